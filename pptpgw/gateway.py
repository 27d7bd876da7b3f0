"""
The gateway: what its callers have in common, and whom it tells of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address
from secrets import token_hex
from time import time

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.config.section import LimitsSection
from pptpgw.counting.counters import Counters, Totals
from pptpgw.datapath.route import RouteTable
from pptpgw.error import Unavailable
from pptpgw.interfaces import (
    Caller,
    Claim,
    Grant,
    ICall,
    ICallTaker,
    IDataPath,
    IHealth,
    INetwork,
    INetworkProtocol,
    ISessionObserver,
    ISubscriber,
    Refusal,
)
from pptpgw.log import Logger, Quota
from pptpgw.ppp.settings import LinkSettings
from pptpgw.ppp.wire.ppp import PAP
from pptpgw.sessions.admission import Admission, isWithin
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.ending import Endings
from pptpgw.sessions.limits import SessionLimits
from pptpgw.sessions.line import Line
from pptpgw.sessions.lockout import Lockout
from pptpgw.sessions.making import Returns
from pptpgw.sessions.observer import tell, verified
from pptpgw.sessions.places import Known
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.refusal import Refusals
from pptpgw.sessions.seating import Seating
from pptpgw.sessions.session import Session
from pptpgw.timing.slices import Burst, inSlices, oneByOne
from pptpgw.timing.timer import cancelled

Authenticate = Callable[[Claim], Deferred[Grant]]

_DISPLACED = Cause("a newer call needs its place", Termination.SERVICE_UNAVAILABLE)
_STOPPING = Cause("the gateway is stopping", Termination.ADMIN_REBOOT)


@implementer(ICallTaker)
class Gateway:
    """
    The gateway: everything that its callers share.

    @ivar lines: the current callers, authenticated or not.
    @ivar health: the L{IHealth} providers that must be without fault for calls to be taken.
    @ivar returns: the network protocols that networks are taking back.
    @ivar lockout: judges claims, unless their user or source is locked out.
    @ivar counters: the L{Totals} of packets, octets and discards.
    @ivar known: the addresses from which somebody has logged in lately.
    @ivar quota: limits the lines of the log that callers can cause.
    @ivar refusals: reports callers that are turned away.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: LinkSettings,
        networks: Mapping[str, INetwork],
        dataPath: IDataPath,
        authenticate: Authenticate,
        observers: Iterable[ISessionObserver] = (),
        counters: Counters | None = None,
        limits: LimitsSection | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        """
        @param clock: measures durations.
        @param settings: the settings of each link.
        @param networks: the networks that callers are offered, by the names of their protocols, in
            the order of negotiation.
        @param authenticate: judges claims.
        @param counters: the figures of the ports, for what belongs to no call.
        @param limits: the limits; None for the defaults.
        @param observers: are told of sessions.
        @param now: gives the time of day, in seconds since 1970.
        @raise pptpgw.error.ConfigurationError: an observer lacks something.
        """
        limits = LimitsSection() if limits is None else limits
        self.clock = clock
        self._now = now
        self.settings = settings
        self.networks = dict(networks)
        self.dataPath = dataPath
        self.authenticate = authenticate
        # What is ours and wants to know of sessions knows before everybody else.
        ours = [one for one in (dataPath, *networks.values()) if ISessionObserver.providedBy(one)]
        every = (*ours, SessionLimits(clock, limits, now), *observers)
        self.observers: list[ISessionObserver] = [verified(one) for one in every]
        self.health: list[IHealth] = [
            one
            for one in (dataPath, *networks.values(), *self.observers)
            if IHealth.providedBy(one)
        ]
        self.lines: set[Line] = set()
        self.known = Known(clock.seconds, limits.knownSources)
        self._admission: Admission[Line] = Admission(limits, clock.seconds, self.known)
        self._papClients = limits.papClients
        self._withoutPAP = replace(
            settings, methods=tuple(one for one in settings.methods if one.number != PAP)
        )
        self._onlyPAP = bool(settings.usableMethods) and not self._withoutPAP.usableMethods
        self._endings = Endings(clock)
        self.hangUps = Burst(clock)
        self.returns = Returns(self._settle)
        self.counters = Totals(self._living, Counters() if counters is None else counters)
        self.quota = Quota(clock, self.counters.own)
        self.refusals = Refusals(clock, self.quota, self.counters.own, self._tell, now)
        self.lockout = Lockout(clock, limits, self.refusals.lockedOut)
        self._addresses: RouteTable[Session] = RouteTable()
        self._seating = Seating(
            lambda: self.lines, self._admission, self._endings, self._addresses, now
        )
        self._calls = 0
        self._run = token_hex(4)
        self._stopped: Deferred[None] | None = None

    @property
    def sessions(self) -> list[Session]:
        """
        The sessions of now.
        """
        return [line.session for line in self.lines if line.session is not None]

    def sessionFor(self, address: str) -> Session | None:
        """
        The session that C{address}, of either family, leads to: who is asking, for a service that
        is reached through the tunnels; None where it is nobody's.

        @raise ValueError: it is no address.
        """
        return self._addresses.lookup(ip_address(address).packed)

    def start(self) -> None:
        """
        Take calls, as from the beginning: needed after a L{stop} only.
        """
        self._stopped = None

    def stop(self, timeout: float) -> Deferred[None]:
        """
        Take no more calls, and end the current ones.

        @return: fires when no call is left and the networks have taken back what they gave, or
            after C{timeout} seconds.
        """
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        late = self.clock.callLater(timeout, self._abandon)
        stopped.addCallback(lambda _: cancelled(late))
        inSlices(self.clock, self._each(Line.hangUp))
        self._settle()
        return stopped

    # ICallTaker

    def callRequested(self, call: ICall) -> None:
        """
        Take the call, or refuse it.
        """
        if self._stopped is not None:
            call.refuse(Refusal.STOPPING)
            return
        source = call.caller
        if self._onlyPAP and self.settingsFor(source) is self._withoutPAP:
            call.refuse(Refusal.FORBIDDEN)
            self.refusals.call(source, "only PAP is permitted, but not from there (pap-clients)")
            return
        try:
            self._assertWell()
            leaving = self._admission.room(source)
        except Unavailable as reason:
            call.refuse(Refusal.BUSY)
            self.refusals.call(source, str(reason))
            return
        for other in leaving:
            self.counters.own.discard("call displaced by a newer one")
            other.drop(_DISPLACED)
        line = Line(self, call)
        self.lines.add(line)
        self._admission.begin(line, source)
        call.accept(line)

    # What lines ask

    def settingsFor(self, source: str) -> LinkSettings:
        """
        What the link of a caller at the address C{source}, a text, wants.
        """
        if not self._papClients or isWithin(source, self._papClients):
            return self.settings
        return self._withoutPAP

    def admit(self, line: Line, profile: Profile) -> Deferred[None]:
        """
        Let the user of C{profile} have a session on C{line}.

        See L{Seating.admit}.
        """
        return self._seating.admit(line, profile)

    # What lines tell

    def attach(
        self, session: Session, protocol: str, addresses: Sequence[IPv4Network | IPv6Network]
    ) -> None:
        """
        C{session} has these networks by the network protocol of this name, and no others.
        """
        self.detach(session, protocol)
        session.networks[protocol] = tuple(addresses)
        for network in addresses:
            self._addresses.add(network, session)

    def detach(self, session: Session, protocol: str) -> None:
        """
        C{session} has no networks by this network protocol any more.
        """
        for network in session.networks.pop(protocol, ()):
            self._addresses.remove(network, session)

    def callerOf(self, call: ICall) -> Caller:
        """
        Who calls, with the number and the identifier that its session will have.
        """
        self._calls += 1
        return Caller(
            call.caller,
            call.called,
            self._calls,
            f"{self._run}{self._calls:08x}",
            call.tunnel,
        )

    def sessionStarted(self, line: Line, grant: Grant) -> Session:
        """
        Make the session of C{line}.
        """
        caller = line.caller
        session = Session(
            caller.port,
            caller.session,
            ISubscriber(grant.subscriber),
            caller.address,
            self._now(),
            line.channel.counters,
            line.hangUpInTurn,
            self._changed,
            self.clock.seconds,
        )
        self.known.add(caller.address)
        line.call.authenticated(grant)
        session.called = caller.called
        session.tunnel = caller.tunnel
        session.authentication = line.authentication
        self._tell("sessionStarted", session)
        return session

    def refused(self, line: Line, claim: Claim, failure: Failure) -> None:
        """
        Report that a claim of C{line}'s failed.
        """
        if line.session is None and line in self.lines:
            self._admission.unseat(line)
        self.refusals.claim(claim, line.caller.address, failure, line.session is not None)

    def protocolOpened(
        self, line: Line, session: Session, protocol: INetworkProtocol, took: float
    ) -> None:
        """
        A network protocol of C{session}, C{line}'s, opened, C{took} seconds after its call was
        requested.
        """
        self._admission.opened(line)
        self._log.info(
            "{user} from {caller}: {protocol} {networks} open {took:.3f} s after the call, "
            "{authentication}, {encryption}",
            session=session.identifier,
            user=session.user,
            caller=session.caller,
            protocol=protocol.name,
            networks=", ".join(map(str, session.networks[protocol.name])) or "is",
            took=took,
            authentication=session.authentication,
            encryption=session.encryption,
        )
        self._tell("protocolOpened", session, protocol)

    def networksChanged(self, session: Session) -> None:
        """
        A network protocol of C{session} has other networks.
        """
        self._tell("networksChanged", session)

    def protocolClosed(self, session: Session, protocol: INetworkProtocol) -> None:
        """
        A network protocol of C{session} closed.
        """
        self._tell("protocolClosed", session, protocol)

    def protocolFinished(self, session: Session, protocol: INetworkProtocol, reason: str) -> None:
        """
        A network protocol of C{session} ended, or never opened.
        """
        self._log.info(
            "{user} from {caller}: {protocol} is over: {reason}",
            session=session.identifier,
            user=session.user,
            caller=session.caller,
            protocol=protocol.name,
            reason=reason,
        )

    def lineEnded(self, line: Line, cause: str) -> None:
        """
        A caller is gone.
        """
        self.lines.discard(line)
        self._admission.leave(line)
        counters = line.channel.counters
        self.counters.retire(counters)
        # The session refers to its line: this breaks the cycle.
        session, line.session = line.session, None
        if session is None:
            if self.quota.allows("calls without a session", line.caller.address):
                self._log.info(
                    "{caller}: call ended without a session: {cause}",
                    session=line.caller.session,
                    caller=line.caller.address,
                    cause=cause,
                )
        else:
            self._log.info(
                "{user} from {caller}: ended after {seconds:.0f} s, {received} octets received, "
                "{sent} sent: {cause}",
                session=session.identifier,
                user=session.user,
                caller=session.caller,
                seconds=session.duration,
                received=counters.octetsReceived,
                sent=counters.octetsSent,
                cause=cause,
            )
            reports = self._tell("sessionEnded", session, cause)
            if reports:
                self._endings.begin(line.identity, reports, line.release)
                return
        line.release()

    def framesMissed(self, line: Line, text: str) -> None:
        """
        Report that the caller of C{line} has sent no frame yet, and what may be wrong.
        """
        if self.quota.allows("calls without a frame", line.caller.address):
            self._log.warn("{text}", session=line.caller.session, text=text)

    def _assertWell(self) -> None:
        for one in self.health:
            if one.fault:
                raise Unavailable(one.fault)

    def _each(self, end: Callable[[Line, str], None]) -> Iterator[None]:
        """
        End every line, one in each step.
        """
        for line in oneByOne(self.lines):
            if line in self.lines:
                try:
                    end(line, _STOPPING)
                except Exception:
                    # The others end all the same.
                    self._log.failure("A call failed to end", session=line.caller.session)
            yield

    def _abandon(self) -> None:
        dropped = inSlices(self.clock, self._each(Line.drop))
        dropped.addCallback(lambda _: self._abandoned())

    def _abandoned(self) -> None:
        self._endings.finish()
        self.returns.abandon()
        self._settle()

    def _settle(self) -> None:
        stopped, busy = self._stopped, self.lines or self._endings or self.returns
        if stopped is not None and not stopped.called and not busy:
            stopped.callback(None)

    def _living(self) -> Iterable[Counters]:
        yield self.dataPath.counters
        for line in self.lines:
            yield line.channel.counters

    def _changed(self, session: Session) -> None:
        self._log.info(
            "{user} from {caller}: changed",
            session=session.identifier,
            user=session.user,
            caller=session.caller,
        )
        self._tell("sessionChanged", session)

    def _tell(self, event: str, *arguments: object) -> list[Deferred[object]]:
        return tell(self.observers, event, *arguments)
