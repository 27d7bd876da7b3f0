"""
The operations of the gateway as a whole: its state, and the callers that are being set up.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

from pptpgw import __version__
from pptpgw.datapath import mppe
from pptpgw.interfaces import IGatewayService
from pptpgw.management.operation import Operation, OperationRequest
from pptpgw.management.page import Columns, Page, page
from pptpgw.sessions.line import Line


class DrainView(Struct, frozen=True):
    """
    A drain, while which the gateway takes no calls.

    @ivar since: when it began, in seconds since 1970.
    @ivar deadline: when the sessions that are left are ended, in seconds since 1970; null for
        never.
    @ivar stop: whether the gateway stops when no call is left.
    @ivar drained: whether no call is left.
    """

    since: float
    deadline: float | None
    stop: bool
    drained: bool


class ReloadView(Struct, frozen=True):
    """
    The last reload.

    @ivar time: when it ended, in seconds since 1970.
    @ivar error: why it failed; empty if it didn't.
    """

    time: float
    error: str


class GatewayStatus(Struct, frozen=True):
    """
    The state of the gateway.

    @ivar version: the version of pptpgw.
    @ivar name: the name of the gateway, C{[link] name}.
    @ivar state: whether it takes calls: it serves, has a fault, or is draining.
    @ivar faults: why it takes no calls at present, a text for each reason.
    @ivar started: when it began to take calls, in seconds since 1970.
    @ivar uptime_seconds: how long it has taken calls.
    @ivar sessions: how many sessions there are.
    @ivar max_sessions: how many there may be; null for any number.
    @ivar calls: how many callers are being set up.
    @ivar max_setups: how many callers may be being set up; null for any number.
    @ivar sessions_by_tunnel: the number of sessions of each kind of tunnel.
    @ivar sessions_by_network: the number of sessions in which each network protocol is open.
    @ivar tunnels: where each tunnel listens.
    @ivar octets_received: octets from all users since the start.
    @ivar octets_sent: octets to all users since the start.
    @ivar packets_received: packets from all users since the start.
    @ivar packets_sent: packets to all users since the start.
    @ivar discards: discarded packets and calls, by reason.
    @ivar refusals: how many calls and logins were refused since the start, by cause.
    @ivar drain: the drain that goes on; null if there is none.
    @ivar last_reload: the last reload; null if there was none.
    @ivar mppe: which implementation encrypts.
    @ivar cpu_seconds: the processor time that the process has used.
    @ivar memory_octets: the most memory that the process has had.
    """

    version: str
    name: str
    state: Literal["serving", "faulty", "draining", "drained"]
    faults: list[str]
    started: float | None
    uptime_seconds: float
    sessions: int
    max_sessions: int | None
    calls: int
    max_setups: int | None
    sessions_by_tunnel: dict[str, int]
    sessions_by_network: dict[str, int]
    tunnels: dict[str, list[str]]
    octets_received: int
    octets_sent: int
    packets_received: int
    packets_sent: int
    discards: dict[str, int]
    refusals: dict[str, int]
    drain: DrainView | None
    last_reload: ReloadView | None
    mppe: str
    cpu_seconds: float
    memory_octets: int


class CallView(Struct, frozen=True):
    """
    A caller that is being set up: it has no session yet.

    @ivar session_id: the identifier that its session will have.
    @ivar caller: the address that the call comes from.
    @ivar called: the address that was called.
    @ivar tunnel: the kind of tunnel.
    @ivar phase: the phase of the link (RFC 1661 section 3.2).
    @ivar user: the name that the caller has given; empty if none yet.
    @ivar age_seconds: how long ago the call began.
    """

    session_id: str
    caller: str
    called: str
    tunnel: str
    phase: str
    user: str
    age_seconds: float


class CallFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which callers that are being set up are chosen.

    @ivar caller: the address that the call comes from.
    @ivar tunnel: the kind of tunnel.
    @ivar phase: the phase of the link.
    @ivar user: the name that the caller has given.
    """

    caller: str | None = None
    tunnel: str | None = None
    phase: str | None = None
    user: str | None = None


class Overview:
    """
    Answers the requests for the gateway's state.
    """

    def __init__(self, gateway: IGatewayService, now: Callable[[], float]) -> None:
        """
        @param now: gives the time of day, in seconds since 1970.
        """
        self._gateway = gateway
        self._now = now
        self._columns: Columns[Line] = {
            "session_id": lambda one: one.caller.session,
            "caller": lambda one: one.caller.address,
            "called": lambda one: one.caller.called,
            "tunnel": lambda one: one.caller.tunnel.name,
            "phase": lambda one: one.link.phase.value,
            "user": lambda one: one.identity,
            "age_seconds": lambda one: one.age,
        }

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET", "/status", "Show the state of the gateway.", self._status, GatewayStatus
        )
        yield Operation(
            "GET",
            "/calls",
            "List the callers that are being set up.",
            self._calls,
            Page[CallView],
            query=CallFilter,
            paged=True,
        )

    def _status(self, request: OperationRequest) -> GatewayStatus:
        gateway = self._gateway
        configuration, total = gateway.configuration, gateway.counters.sum()
        used = resource.getrusage(resource.RUSAGE_SELF)
        sessions = list(gateway.sessions)
        started = gateway.started
        return GatewayStatus(
            version=__version__,
            name=configuration.link.name,
            state=stateOf(gateway),
            faults=list(gateway.faults),
            started=started,
            uptime_seconds=0.0 if started is None else max(0.0, self._now() - started),
            sessions=len(sessions),
            max_sessions=configuration.limits.maxSessions or None,
            calls=sum(one.session is None for one in gateway.lines),
            max_setups=configuration.limits.maxSetups or None,
            sessions_by_tunnel=dict(Counter(one.tunnel.name for one in sessions)),
            sessions_by_network=dict(Counter(name for one in sessions for name in one.networks)),
            tunnels={name: list(one.places) for name, one in gateway.tunnels.items()},
            octets_received=total.octetsReceived,
            octets_sent=total.octetsSent,
            packets_received=total.packetsReceived,
            packets_sent=total.packetsSent,
            discards=dict(total.discards),
            refusals=_refusalsOf(gateway),
            drain=drainOf(gateway),
            last_reload=_reloadOf(gateway),
            mppe=mppe.implementation,
            cpu_seconds=used.ru_utime + used.ru_stime,
            memory_octets=used.ru_maxrss * 1024,
        )

    async def _calls(self, request: OperationRequest) -> Page[CallView]:
        lines = (one for one in self._gateway.lines if one.session is None)
        return await page(lines, request, self._columns, _view)


def stateOf(gateway: IGatewayService) -> Literal["serving", "faulty", "draining", "drained"]:
    """
    Return whether C{gateway} takes calls, in one word.
    """
    if gateway.draining is not None:
        return "drained" if gateway.drained else "draining"
    return "faulty" if gateway.faults else "serving"


def drainOf(gateway: IGatewayService) -> DrainView | None:
    """
    Return the drain of C{gateway} that goes on, if there is one.
    """
    drain = gateway.draining
    if drain is None:
        return None
    return DrainView(drain.since, drain.deadline, drain.stop, gateway.drained)


def _refusalsOf(gateway: IGatewayService) -> dict[str, int]:
    """
    Return how many calls and logins were refused, by cause.
    """
    found: Counter[str] = Counter()
    for (_, category), number in gateway.tally.refusals.items():
        found[category.value] += number
    return dict(found)


def _reloadOf(gateway: IGatewayService) -> ReloadView | None:
    last = gateway.lastReload
    return None if last is None else ReloadView(last.time, last.error)


def _view(line: Line) -> CallView:
    caller = line.caller
    return CallView(
        session_id=caller.session,
        caller=caller.address,
        called=caller.called,
        tunnel=caller.tunnel.name,
        phase=line.link.phase.value,
        user=line.identity,
        age_seconds=line.age,
    )
