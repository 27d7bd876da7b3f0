"""
The registry of sessions: the current sessions, the session of each address in the tunnels, and the
observers that are told of sessions.

The rules:

 - Each event has a method here, of the same name as the method of L{ISessionObserver} that it
   calls. Observers are told in the order in which they were added.
 - An exception that an observer raises is logged, and the other observers are told all the same.
   Lines that an observer logs while it is told begin with the identifier of the session.
 - Observers may be added and removed at any time. An observer that is added while the others are
   told of an event hears of the next one; one that is removed hears of nothing more.
 - The addresses of a session stay reserved until every observer has accounted for its end
   (L{pptpgw.sessions.ending}).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address
from secrets import token_hex

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import Invalid, implementer
from zope.interface.verify import verifyObject

from pptpgw.datapath.route import RouteTable
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Attack,
    Caller,
    Direction,
    Drain,
    IAttackObserver,
    ICall,
    ICarriedCall,
    IConcentratedCall,
    IHealth,
    INetworkProtocol,
    IOperatorObserver,
    IProtectedCall,
    IServiceObserver,
    ISessionObserver,
    ISessions,
    IStationCall,
    Operated,
    ReloadOutcome,
)
from pptpgw.log import Logger, about
from pptpgw.sessions.ending import Endings
from pptpgw.sessions.session import Session
from pptpgw.timing.slices import Burst


def known(caller: Caller, call: ICall) -> Caller:
    """
    Return C{caller} with everything that C{call} tells of it now.
    """
    if IStationCall.providedBy(call):
        caller = replace(caller, stations=IStationCall(call).stations)
    if IConcentratedCall.providedBy(call):
        caller = replace(caller, concentrator=IConcentratedCall(call).concentrator)
    if ICarriedCall.providedBy(call):
        caller = replace(caller, carrier=ICarriedCall(call).tunnelEnds)
    if IProtectedCall.providedBy(call):
        caller = replace(caller, protection=IProtectedCall(call).protection)
    return caller


@implementer(ISessions)
class Registry:
    """
    The sessions of a gateway, and their observers.

    @ivar observers: the observers, in the order in which they are told.
    @ivar health: those of the observers that provide L{IHealth}.
    @ivar addresses: maps the addresses that sessions have to the sessions.
    @ivar endings: the sessions that have ended and whose addresses are still reserved.
    @ivar hangUps: ends sessions one after the other, where thousands are ended at once.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        """
        @param clock: limits how long observers may take to account for the end of a session.
        """
        self.observers: tuple[ISessionObserver, ...] = ()
        self.health: tuple[IHealth, ...] = ()
        self.addresses: RouteTable[Session] = RouteTable()
        self.endings = Endings(clock)
        self.hangUps = Burst(clock)
        # Both in the order in which the sessions began.
        self._identifiers: dict[str, Session] = {}
        self._numbers: dict[int, Session] = {}
        self._calls = 0
        self._run = token_hex(4)

    # ISessions

    def __len__(self) -> int:
        return len(self._identifiers)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._identifiers.values()))

    def withIdentifier(self, identifier: str) -> Session | None:
        """
        See L{ISessions.withIdentifier}.
        """
        return self._identifiers.get(identifier)

    def withNumber(self, number: int) -> Session | None:
        """
        See L{ISessions.withNumber}.
        """
        return self._numbers.get(number)

    def sessionFor(self, address: str) -> Session | None:
        """
        See L{ISessions.sessionFor}.
        """
        return self.addresses.lookup(ip_address(address).packed)

    def addObserver(self, observer: ISessionObserver) -> None:
        """
        See L{ISessions.addObserver}.
        """
        try:
            verifyObject(ISessionObserver, observer)
        except Invalid as error:
            raise ConfigurationError(
                f"the session observer {observer!r} doesn't provide all of ISessionObserver; "
                f"derive its class from pptpgw.sessions.observer.SessionObserver: {error}"
            ) from error
        self._observe((*self._without(observer), observer))

    def removeObserver(self, observer: ISessionObserver) -> None:
        """
        See L{ISessions.removeObserver}.
        """
        self._observe(self._without(observer))

    # What lines ask and tell

    def callerOf(self, call: ICall, direction: Direction = Direction.IN) -> Caller:
        """
        Give C{call} the number and the identifier that its session will have.

        @param direction: who placed it.
        """
        self._calls += 1
        number, identifier = self._calls, f"{self._run}{self._calls:08x}"
        ends = call.caller, call.called
        return known(Caller(*ends, number, identifier, call.tunnel, direction=direction), call)

    def sessionStarted(self, session: Session) -> None:
        """
        Add C{session} to the current sessions, and tell the observers.
        """
        self._identifiers[session.identifier] = session
        self._numbers[session.number] = session
        self._tell(session, "a session's start", lambda one: one.sessionStarted(session))

    def protocolOpened(
        self,
        session: Session,
        protocol: INetworkProtocol,
        networks: Sequence[IPv4Network | IPv6Network],
    ) -> None:
        """
        Note that C{protocol} opened in C{session}, which has C{networks} by it.
        """
        self._attach(session, protocol, networks)
        self._tell(
            session, "an open network protocol", lambda one: one.protocolOpened(session, protocol)
        )

    def networksChanged(
        self,
        session: Session,
        protocol: INetworkProtocol,
        networks: Sequence[IPv4Network | IPv6Network],
    ) -> None:
        """
        Note that C{session} now has C{networks} by C{protocol}, and no others.
        """
        self._attach(session, protocol, networks)
        self._tell(session, "other networks", lambda one: one.networksChanged(session))

    def protocolClosed(self, session: Session, protocol: INetworkProtocol) -> None:
        """
        Note that C{protocol} closed in C{session}, which has no networks by it any more.
        """
        self._detach(session, protocol)
        self._tell(
            session, "a closed network protocol", lambda one: one.protocolClosed(session, protocol)
        )

    def sessionChanged(self, session: Session) -> None:
        """
        Note that C{session} has another profile.
        """
        self._log.info(
            "{user} {other}: changed",
            session=session.identifier,
            user=session.user,
            other=session.other,
        )
        self._tell(session, "a changed session", lambda one: one.sessionChanged(session))

    def sessionEnded(
        self, session: Session, cause: str, user: str, release: Callable[[], None]
    ) -> None:
        """
        Remove C{session}, which is over.

        @param user: the identity of its user, see L{pptpgw.interfaces.Claim.identity}.
        @param release: gives back what the session had. It is called when every observer has
            accounted for the end, or after L{pptpgw.sessions.ending.REPORT_SECONDS}.
        """
        del self._identifiers[session.identifier]
        del self._numbers[session.number]
        reports = self._tell(
            session, "a session's end", lambda one: one.sessionEnded(session, cause)
        )
        if reports:
            self.endings.begin(user, reports, release)
        else:
            release()

    def callerRefused(self, caller: str, name: str, method: str, reason: str, tunnel: str) -> None:
        """
        See L{ISessionObserver.callerRefused}.
        """
        self._tell(
            None,
            "a refused caller",
            lambda one: one.callerRefused(caller, name, method, reason, tunnel),
        )

    def attacked(self, attack: Attack) -> None:
        """
        See L{IAttackObserver.attacked}.
        """
        self._tell(
            None,
            "an attack",
            lambda one: (
                IAttackObserver(one).attacked(attack) if IAttackObserver.providedBy(one) else None
            ),
        )

    def lockedOut(self, kind: str, subject: str, failures: int, until: float) -> None:
        """
        See L{ISessionObserver.lockedOut}.
        """
        self._tell(None, "a lockout", lambda one: one.lockedOut(kind, subject, failures, until))

    def reloaded(self, outcome: ReloadOutcome) -> None:
        """
        See L{IServiceObserver.reloaded}.
        """
        self._tellService("a reload", lambda one: one.reloaded(outcome))

    def drainChanged(self, drain: Drain | None, drained: bool) -> None:
        """
        See L{IServiceObserver.drainChanged}.
        """
        self._tellService("a drain", lambda one: one.drainChanged(drain, drained))

    def operated(self, act: Operated) -> None:
        """
        See L{IOperatorObserver.operated}.
        """
        self._tell(
            None,
            "what an operator has done",
            lambda one: (
                IOperatorObserver(one).operated(act) if IOperatorObserver.providedBy(one) else None
            ),
        )

    def _tellService(self, event: str, tell: Callable[[IServiceObserver], object]) -> None:
        """
        Tell those observers of an event that are L{IServiceObserver}s.
        """
        self._tell(
            None,
            event,
            lambda one: tell(IServiceObserver(one)) if IServiceObserver.providedBy(one) else None,
        )

    def _without(self, observer: ISessionObserver) -> tuple[ISessionObserver, ...]:
        return tuple(one for one in self.observers if one is not observer)

    def _observe(self, observers: tuple[ISessionObserver, ...]) -> None:
        # A new tuple each time, since an iteration over the old one may be going on.
        self.observers = observers
        self.health = tuple(IHealth(one) for one in observers if IHealth.providedBy(one))

    def _attach(
        self,
        session: Session,
        protocol: INetworkProtocol,
        networks: Sequence[IPv4Network | IPv6Network],
    ) -> None:
        self._detach(session, protocol)
        session.networks[protocol.name] = tuple(networks)
        for network in networks:
            self.addresses.add(network, session)

    def _detach(self, session: Session, protocol: INetworkProtocol) -> None:
        for network in session.networks.pop(protocol.name, ()):
            self.addresses.remove(network, session)

    def _tell(
        self, session: Session | None, event: str, tell: Callable[[ISessionObserver], object]
    ) -> list[Deferred[object]]:
        """
        Tell every observer of an event.

        @param session: the session that the event is about, if there is one.
        @param event: what the event is, in words for the log.
        @param tell: tells one observer.
        @return: the Deferreds that observers returned and that haven't fired; none of them fails.
        """
        reports: list[Deferred[object]] = []
        observers = self.observers
        identifier = "" if session is None else session.identifier
        with about(identifier):
            for observer in observers:
                if self.observers is not observers and not self._has(observer):
                    continue
                try:
                    told = tell(observer)
                except Exception:
                    self._failed(Failure(), observer, event, identifier)
                else:
                    if isinstance(told, Deferred):
                        done: list[object] = []
                        told.addErrback(self._failed, observer, event, identifier)
                        told.addCallback(done.append)
                        if not done:
                            reports.append(told)
        return reports

    def _has(self, observer: ISessionObserver) -> bool:
        return any(one is observer for one in self.observers)

    def _failed(
        self, failure: Failure, observer: ISessionObserver, event: str, session: str
    ) -> None:
        self._log.failure(
            "session observer {observer} failed when it was told of {event}",
            failure=failure,
            session=session,
            observer=observer,
            event=event,
        )
