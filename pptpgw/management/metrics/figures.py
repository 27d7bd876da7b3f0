"""
All figures of a gateway.

The rules:

 - Figures that exist are read when somebody asks; events are counted where they happen
   (L{pptpgw.sessions.tally}). No packet costs anything more.
 - One pass over the calls, in slices, adds up what each of them has. It is shared by all who ask
   within L{FRESH}.
 - No label has the name of a user, an address of a caller, an identifier of a session, or any other
   text that strangers choose. Every family has all its labels from the start, since Prometheus sees
   no increase from nothing to one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from prometheus_client.core import InfoMetricFamily, Metric
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from pptpgw import __version__
from pptpgw.counting.counters import LOST, Counters
from pptpgw.counting.distribution import Distribution
from pptpgw.datapath import mppe
from pptpgw.dialling.redial import DialState
from pptpgw.dialling.service import DialResult
from pptpgw.error import Category
from pptpgw.interfaces import ICountedPools, IGatewayService
from pptpgw.management.metrics.family import Labels, Values, counter, gauge, histogram
from pptpgw.management.radius import portOf
from pptpgw.radius.home import Home, RequestResult
from pptpgw.sessions.cause import Termination
from pptpgw.sessions.door import Limit
from pptpgw.sessions.tally import CallResult
from pptpgw.timing.slices import inSlices

FRESH = 1.0
"""
Seconds for which the figures of one pass are answered.
"""

REASONS = 150
"""
How many reasons of discards are told apart.
"""

_STATES = _STARTING, _ACTIVE = "starting", "active"

# How many calls a step of a slice adds up.
_STEP = 32


class _Sums:
    """
    What one pass over the calls has found.
    """

    def __init__(self) -> None:
        self.counters = Counters()
        self.sessions: Counter[tuple[str, str]] = Counter()
        self.traffic: defaultdict[str, Counters] = defaultdict(Counters)
        self.networks: Counter[tuple[str]] = Counter()


class Figures:
    """
    The figures of a gateway.

    @ivar families: the families of metrics that the last pass has made.
    """

    def __init__(self, clock: IReactorTime, gateway: IGatewayService, delays: Distribution) -> None:
        """
        @param clock: for the slices of a pass.
        @param delays: how late the reactor is.
        """
        self.families: tuple[Metric, ...] = ()
        self._clock = clock
        self._gateway = gateway
        self._delays = delays
        self._reasons = Labels(REASONS)
        self._made = -FRESH
        self._waiting: list[Deferred[None]] = []
        self._pass: Deferred[None] | None = None

    def refreshed(self) -> Deferred[None]:
        """
        Make L{families} anew, unless they have just been made.

        @return: fires when they are there.
        """
        done: Deferred[None] = Deferred()
        if self._pass is None and self._clock.seconds() - self._made < FRESH:
            done.callback(None)
            return done
        self._waiting.append(done)
        if self._pass is None:
            sums = _Sums()
            self._pass = made = inSlices(self._clock, self._add(sums))
            made.addCallback(lambda _: self._have(sums))
            made.addBoth(self._tell)
        return done

    def stop(self) -> None:
        """
        Give up the pass that goes on. Those who wait for it are told by C{CancelledError}.
        """
        if self._pass is not None:
            self._pass.cancel()

    def _have(self, sums: _Sums) -> None:
        self.families = tuple(self._all(sums))
        self._made = self._clock.seconds()

    def _tell(self, result: Failure | None) -> None:
        self._pass = None
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(result)

    def _add(self, sums: _Sums) -> Iterator[None]:
        gateway = self._gateway
        # What there is now: calls may come and go between two slices.
        parts = gateway.counters.parts()
        lines = [(line, line.figures) for line in gateway.lines]
        for tunnel, counters in gateway.tally.traffic.items():
            sums.traffic[tunnel].addTraffic(counters)
        for number, counters in enumerate(parts):
            sums.counters.add(counters)
            if not number % _STEP:
                yield
        for number, (line, figures) in enumerate(lines):
            tunnel = line.caller.tunnel.name
            for counters in figures:
                sums.traffic[tunnel].addTraffic(counters)
            if line in gateway.lines:
                session = line.session
                sums.sessions[tunnel, _ACTIVE if session else _STARTING] += 1
                if session is not None:
                    for name in session.networks:
                        sums.networks[name,] += 1
            if not number % _STEP:
                yield

    def _all(self, sums: _Sums) -> Iterator[Metric]:
        yield from self._gatewayItself()
        yield from self._calls(sums)
        yield from self._byTunnel(sums)
        yield from self._dials()
        yield from self._pools()
        yield from self._servers()
        yield from self._discards(sums.counters)
        yield histogram(
            "pptpgw_reactor_delay_seconds",
            "How much later than due a timer was, measured four times a second.",
            {(): self._delays},
        )

    def _gatewayItself(self) -> Iterator[Metric]:
        gateway = self._gateway
        known = {"version": __version__, "mppe": mppe.implementation}
        yield InfoMetricFamily("pptpgw_build", "The version of the gateway.", known)
        yield gauge(
            "pptpgw_draining", "1 while the gateway is drained.", {(): gateway.draining is not None}
        )
        yield gauge(
            "pptpgw_faults",
            "The number of faults for which the gateway takes no calls.",
            {(): len(gateway.faults)},
        )
        last = gateway.lastReload
        ended = gateway.started if last is None else last.time
        yield gauge(
            "pptpgw_reload_success",
            "0 if the last reload failed; 1 if it succeeded, or there was none.",
            {(): last is None or not last.error},
        )
        if ended is not None:
            yield gauge(
                "pptpgw_reload_timestamp_seconds",
                "When the last reload ended, or else the gateway started, in seconds since 1970.",
                {(): ended},
            )

    def _calls(self, sums: _Sums) -> Iterator[Metric]:
        gateway, tally = self._gateway, self._gateway.tally
        if limit := gateway.configuration.limits.maxSessions:
            yield gauge(
                "pptpgw_sessions_limit", "The most sessions that there may be.", {(): limit}
            )
        networks = {*gateway.networks, *(name for (name,) in sums.networks)}
        yield gauge(
            "pptpgw_network_sessions",
            "The number of sessions in which the network protocol is open.",
            {(one,): sums.networks[one,] for one in networks},
            "protocol",
        )
        yield counter(
            "pptpgw_session_ends",
            "Sessions that have ended, by Acct-Terminate-Cause of RADIUS.",
            {(one.name.lower().replace("_", "-"),): tally.ends[one] for one in Termination},
            "cause",
        )
        yield gauge(
            "pptpgw_lockouts",
            "The number of users and addresses that are locked out.",
            {(): sum(1 for _ in gateway.lockouts)},
        )

    def _byTunnel(self, sums: _Sums) -> Iterator[Metric]:
        tally = self._gateway.tally
        counted = {*sums.sessions, *tally.calls, *tally.refusals, *tally.connections}
        tunnels = {*self._gateway.tunnels, *(name for name, _ in counted)}
        yield gauge(
            "pptpgw_sessions",
            "The number of callers that have a session (active), and of those being set up "
            "(starting).",
            {(one, state): sums.sessions[one, state] for one in tunnels for state in _STATES},
            "tunnel",
            "state",
        )
        yield histogram(
            "pptpgw_setup_seconds",
            "The time from the request for a call to its first open network protocol.",
            {(one,): tally.setups[one] for one in tunnels},
            "tunnel",
        )
        yield counter(
            "pptpgw_calls",
            "Calls: opened, failed before a network protocol opened, or refused at once.",
            {
                (one, result.value): tally.calls[one, result]
                for one in tunnels
                for result in CallResult
            },
            "tunnel",
            "result",
        )
        yield counter(
            "pptpgw_refusals",
            "Calls and logins that were refused.",
            {
                (one, cause.value): tally.refusals[one, cause]
                for one in tunnels
                for cause in Category
            },
            "tunnel",
            "cause",
        )
        yield counter(
            "pptpgw_attacks",
            "Calls that showed signs of an attack: the audit has them.",
            {(one,): tally.attacks[one] for one in tunnels},
            "tunnel",
        )
        limits = {"clients", *(one.value for one in Limit), *(key for _, key in tally.connections)}
        yield counter(
            "pptpgw_connections_refused",
            "Connections that were not let in, by the key of [listen] that forbids them.",
            {(one, key): tally.connections[one, key] for one in tunnels for key in limits},
            "tunnel",
            "limit",
        )
        carried = [(one, sums.traffic[one]) for one in tunnels]
        yield counter(
            "pptpgw_octets",
            "Octets of packets from users (received) and to them (sent).",
            {(one, "received"): figures.octetsReceived for one, figures in carried}
            | {(one, "sent"): figures.octetsSent for one, figures in carried},
            "tunnel",
            "direction",
        )
        yield counter(
            "pptpgw_packets",
            "Packets from users (received) and to them (sent).",
            {(one, "received"): figures.packetsReceived for one, figures in carried}
            | {(one, "sent"): figures.packetsSent for one, figures in carried},
            "tunnel",
            "direction",
        )

    def _dials(self) -> Iterator[Metric]:
        dials = self._gateway.dialling.dials
        yield gauge(
            "pptpgw_dial_up",
            "1 while a call that the gateway dials is up.",
            {(name,): one.redial.state is DialState.UP for name, one in dials.items()},
            "dial",
        )
        yield counter(
            "pptpgw_dials",
            "Attempts to dial: opened, or failed before a network protocol opened.",
            {
                (name, result.value): one.results[result]
                for name, one in dials.items()
                for result in DialResult
            },
            "dial",
            "result",
        )

    def _pools(self) -> Iterator[Metric]:
        values: Values = {
            (name, pool.name, state): number
            for name, network in self._gateway.networks.items()
            if ICountedPools.providedBy(network)
            for pool in ICountedPools(network).figures()
            for state, number in (
                ("used", pool.used),
                ("reserved", pool.reserved),
                ("free", pool.free),
            )
        }
        yield gauge(
            "pptpgw_pool_addresses",
            "The number of addresses, or prefixes, that callers have (used), that belong to "
            "accounts (reserved), and that anybody may be given (free).",
            values,
            "network",
            "pool",
            "state",
        )

    def _servers(self) -> Iterator[Metric]:
        client, spool = self._gateway.radius, self._gateway.spool
        homes: list[Home] = [] if client is None else client.homes
        named = {(f"{one.server.host}:{portOf(one)}", one.service.value): one for one in homes}
        labels = "server", "service"
        yield gauge(
            "pptpgw_radius_up",
            "1 for a RADIUS server that answers, as far as is known, and 0 for a dead one.",
            {name: not one.dead for name, one in named.items()},
            *labels,
        )
        yield counter(
            "pptpgw_radius_requests",
            "Requests to a RADIUS server, by what became of them.",
            {
                (*name, result.value): one.results[result]
                for name, one in named.items()
                for result in RequestResult
            },
            *labels,
            "result",
        )
        yield histogram(
            "pptpgw_radius_seconds",
            "The time of a RADIUS server's answer, with retransmissions.",
            {name: one.times for name, one in named.items()},
            *labels,
        )
        yield gauge(
            "pptpgw_accounting_spool_records",
            "The number of accounting records that no RADIUS server has answered yet.",
            {(): 0 if spool is None else len(spool)},
        )

    def _discards(self, total: Counters) -> Iterator[Metric]:
        yield counter(
            "pptpgw_gre_missing",
            "Packets from users that never came, as the sequence numbers of GRE show.",
            {(): total.discards.pop(LOST, 0)},
        )
        yield counter(
            "pptpgw_discards",
            "Discarded packets, frames, messages and calls.",
            self._reasons.add(total.discards),
            "reason",
        )
