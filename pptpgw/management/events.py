"""
The operation of events: what happens to sessions, callers and the gateway, as it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.counting.bucket import Bucket
from pptpgw.interfaces import (
    Attack,
    Drain,
    IAttackObserver,
    IGatewayService,
    INetworkProtocol,
    IServiceObserver,
    ISession,
    ReloadOutcome,
)
from pptpgw.management.eventkinds import (
    AnyEvent,
    CallAttacked,
    CallerRefused,
    ConfigurationReloaded,
    DrainChanged,
    FaultsChanged,
    LockoutBegan,
    ServerChanged,
    SessionChanged,
    SessionEnded,
    SessionStarted,
)
from pptpgw.management.eventlog import EVENTS, EventLog, EventSource
from pptpgw.management.operation import Operation, OperationRequest
from pptpgw.management.serversent import MEDIA_TYPE
from pptpgw.management.sessions import textsOf
from pptpgw.management.status import DrainView
from pptpgw.sessions.cause import codeOf
from pptpgw.sessions.observer import SessionObserver

_Networks = dict[str, tuple[IPv4Network | IPv6Network, ...]]


REFUSALS = (20.0, 200.0)
"""
How many refusals and attacks are told a second, and at once: strangers cause them, and would drive
all other events out.
"""


class EventQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    Which events are sent.

    @ivar kind: the kinds of events.
    @ivar user: the users whose events are sent. Events that are about no user then aren't.
    @ivar tunnel: the kinds of tunnels whose events are sent likewise.
    @ivar after: the identifier of the last event that the client has seen, like the header
        Last-Event-ID, which counts if both are there.
    @ivar last: how many of the events until now are sent first, if the client has seen none.
    """

    kind: str | None = None
    user: str | None = None
    tunnel: str | None = None
    after: str = ""
    last: Annotated[int, Meta(ge=0, le=EVENTS)] = 0


@implementer(IServiceObserver, IAttackObserver)
class Witness(SessionObserver):
    """
    The session observer that notes events. It also looks for what nobody reports: faults, and the
    state of RADIUS servers.
    """

    def __init__(
        self,
        clock: IReactorTime,
        gateway: IGatewayService,
        log: EventLog,
        now: Callable[[], float],
    ) -> None:
        """
        @param now: gives the time of day, in seconds since 1970.
        """
        self._gateway = gateway
        self._log = log
        self._now = now
        self._refusals = Bucket(clock.seconds, REFUSALS)
        self._omitted = 0
        self._faults: list[str] = []
        self._alive: dict[tuple[str, str], bool] = {}

    def sessionStarted(self, session: ISession) -> None:
        """
        See L{pptpgw.interfaces.ISessionObserver.sessionStarted}.
        """
        values = (
            self._now(),
            session.identifier,
            session.user,
            session.caller,
            session.called,
            session.tunnel.name,
            session.authentication,
        )
        self._note(session, "session-started", partial(SessionStarted, *values))

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{pptpgw.interfaces.ISessionObserver.protocolOpened}.
        """
        self._changed(session, "opened", protocol.name)

    def protocolClosed(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{pptpgw.interfaces.ISessionObserver.protocolClosed}.
        """
        self._changed(session, "closed", protocol.name)

    def networksChanged(self, session: ISession) -> None:
        """
        See L{pptpgw.interfaces.ISessionObserver.networksChanged}.
        """
        self._changed(session, "networks")

    def sessionChanged(self, session: ISession) -> None:
        """
        See L{pptpgw.interfaces.ISessionObserver.sessionChanged}.
        """
        self._changed(session, "limits")

    def sessionEnded(self, session: ISession, cause: str) -> Deferred[Any] | None:
        """
        See L{pptpgw.interfaces.ISessionObserver.sessionEnded}.
        """
        counters = session.counters
        values = (
            self._now(),
            session.identifier,
            session.user,
            session.caller,
            session.tunnel.name,
            str(cause),
            int(codeOf(cause)),
            session.duration,
            counters.octetsReceived,
            counters.octetsSent,
            counters.packetsReceived,
            counters.packetsSent,
        )
        self._note(session, "session-ended", partial(SessionEnded, *values))
        return None

    def callerRefused(self, caller: str, name: str, method: str, reason: str, tunnel: str) -> None:
        """
        See L{pptpgw.interfaces.ISessionObserver.callerRefused}.
        """
        values = self._now(), caller, tunnel, name, method, reason
        self._caused("caller-refused", name, tunnel, partial(CallerRefused, *values))

    def attacked(self, attack: Attack) -> None:
        """
        See L{IAttackObserver.attacked}.
        """
        user, tunnel = attack.user, attack.tunnel
        values = self._now(), attack.session, user, attack.source, tunnel, attack.reason
        self._caused("call-attacked", user, tunnel, partial(CallAttacked, *values))

    def lockedOut(self, kind: str, subject: str, failures: int, until: float) -> None:
        """
        See L{pptpgw.interfaces.ISessionObserver.lockedOut}.
        """
        values: Any = (self._now(), kind, subject, failures, until)
        user = subject if kind == "user" else ""
        self._log.add("lockout-began", partial(LockoutBegan, *values), user)

    # IServiceObserver

    def reloaded(self, outcome: ReloadOutcome) -> None:
        """
        See L{IServiceObserver.reloaded}.
        """
        self._log.add("reloaded", partial(_reloaded, outcome))

    def drainChanged(self, drain: Drain | None, drained: bool) -> None:
        """
        See L{IServiceObserver.drainChanged}.
        """
        view = None
        if drain is not None:
            view = DrainView(drain.since, drain.deadline, drain.stop, drained)
        self._log.add("drain-changed", partial(DrainChanged, self._now(), view))

    def look(self) -> None:
        """
        Note what has changed since the last look.
        """
        faults = list(self._gateway.faults)
        if faults != self._faults:
            self._faults = faults
            self._log.add("faults-changed", partial(FaultsChanged, self._now(), faults))
        radius = self._gateway.radius
        before, self._alive = self._alive, {} if radius is None else radius.alive
        for (server, service), alive in self._alive.items():
            if alive != before.get((server, service), True):
                event = partial(ServerChanged, self._now(), server, service, alive)
                self._log.add("radius-server-changed", event)

    def _changed(
        self,
        session: ISession,
        change: Literal["opened", "closed", "networks", "limits"],
        protocol: str = "",
    ) -> None:
        event = partial(
            _sessionChanged,
            self._now(),
            session.identifier,
            session.user,
            change,
            protocol,
            dict(session.networks),
        )
        self._note(session, "session-changed", event)

    def _note(self, session: ISession, kind: str, make: Callable[[], Struct]) -> None:
        """
        Note an event of a session.
        """
        self._log.add(kind, make, session.user, session.tunnel.name)

    def _caused(self, kind: str, user: str, tunnel: str, make: Callable[[int], Struct]) -> None:
        """
        Note an event that strangers can cause, unless there are too many.

        @param make: makes the data of the event, from the number of those that were left out.
        """
        if not self._refusals.take():
            self._omitted += 1
            return
        self._log.add(kind, partial(make, self._omitted), user, tunnel)
        self._omitted = 0


class Events:
    """
    Answers the requests for events.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET",
            "/events",
            "Follow what happens, as Server-Sent Events.",
            self._follow,
            AnyEvent,
            query=EventQuery,
            stream=MEDIA_TYPE,
        )

    def _follow(self, request: OperationRequest) -> EventSource:
        query: EventQuery = request.query
        after = request.lastEvent or query.after
        return EventSource(self._log, query.kind, query.user, query.tunnel, after, query.last)


def _sessionChanged(
    time: float,
    identifier: str,
    user: str,
    change: Literal["opened", "closed", "networks", "limits"],
    protocol: str,
    networks: _Networks,
) -> SessionChanged:
    return SessionChanged(time, identifier, user, change, protocol, textsOf(networks))


def _reloaded(outcome: ReloadOutcome) -> ConfigurationReloaded:
    changes = outcome.reloaded
    return ConfigurationReloaded(
        outcome.time,
        [] if changes is None else [one.name for one in changes.applied],
        [] if changes is None else [one.name for one in changes.kept],
        outcome.error,
    )
