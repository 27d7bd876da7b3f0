"""
The gateway takes calls from all tunnels, and decides which calls it takes. What callers have in
common is in a L{LineContext}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from time import time

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.deprecate import deprecated
from twisted.python.versions import Version
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.config.forwarding import ForwardingSection
from pptpgw.config.reload import ReloadStep
from pptpgw.config.section import LimitsSection
from pptpgw.counting.counters import Counters, Totals
from pptpgw.error import Category, PPTPGWError, Refused, Unavailable
from pptpgw.interfaces import (
    Direction,
    ICall,
    ICallTaker,
    IDataPath,
    IHealth,
    INetwork,
    ISession,
    ISessionObserver,
    Refusal,
)
from pptpgw.log import Logger, Quota
from pptpgw.ppp.exchange import Authenticate
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.admission import Admission, isWithin
from pptpgw.sessions.answered import AnsweredLine
from pptpgw.sessions.attempts import CALL, Attempts, wordsOf
from pptpgw.sessions.bundles import Bundles
from pptpgw.sessions.cause import Cause, Termination, causeOf
from pptpgw.sessions.context import LineContext
from pptpgw.sessions.forwarding import Forwarding
from pptpgw.sessions.gate import Filters
from pptpgw.sessions.limits import SessionLimits
from pptpgw.sessions.line import Line
from pptpgw.sessions.lockout import Lockout
from pptpgw.sessions.networkprotocols import Returns
from pptpgw.sessions.offers import Offers
from pptpgw.sessions.places import Known
from pptpgw.sessions.refusal import Refusals
from pptpgw.sessions.registry import Registry
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.report import Reports
from pptpgw.sessions.seating import Seating
from pptpgw.sessions.seenclaims import SeenClaims
from pptpgw.sessions.tally import Tally
from pptpgw.timing.slices import inSlices, oneByOne
from pptpgw.timing.timer import cancelled

_DISPLACED = Cause(
    "a newer call needs its place", Termination.SERVICE_UNAVAILABLE, Remedy.DISPLACED
)
_STOPPING = Cause("the gateway is stopping", Termination.ADMIN_REBOOT, Remedy.STOPPING)


@implementer(ICallTaker)
class Gateway:
    """
    The gateway.

    @ivar sessions: the registry of sessions and their observers.
    @ivar lines: the lines of the current callers, authenticated or not, and of calls that the
        gateway has dialled.
    @ivar attempts: what became of each call, and of callers that were turned away.
    @ivar tally: counts what became of callers.
    @ivar context: what the lines of callers are given.
    @ivar offers: what callers to come are offered. A reload replaces it.
    @ivar health: the data path, networks and tunnels that must be without fault for calls to be
        taken; as must the observers.
    @ivar counters: the L{Totals} of packets, octets and discards.
    @ivar quota: limits the lines of the log that callers can cause.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        offers: Offers,
        networks: Mapping[str, INetwork],
        dataPath: IDataPath,
        authenticate: Authenticate,
        observers: Iterable[ISessionObserver] = (),
        counters: Counters | None = None,
        limits: LimitsSection | None = None,
        now: Callable[[], float] = time,
        sessions: Registry | None = None,
        filters: Filters | None = None,
        forwarding: ForwardingSection | None = None,
    ) -> None:
        """
        @param clock: measures durations.
        @param offers: what callers are offered.
        @param networks: the networks that callers are offered, by the names of their protocols, in
            the order of negotiation.
        @param authenticate: judges claims.
        @param counters: the figures of the ports, for what belongs to no call.
        @param limits: the limits; None for the defaults.
        @param observers: are told of sessions, after the data path and the networks.
        @param now: gives the time of day, in seconds since 1970.
        @param sessions: the registry of sessions; None for a new one.
        @param filters: the filters that accounts may name; None for none.
        @param forwarding: where calls are passed on to; None for nowhere.
        @raise pptpgw.error.ConfigurationError: an observer lacks something, or a secret of
            C{forwarding} can't be read.
        """
        limits = LimitsSection() if limits is None else limits
        self._sessionLimits = SessionLimits(clock, limits, now)
        ours = (dataPath, *networks.values())
        self.sessions = Registry(clock) if sessions is None else sessions
        for one in ours:
            if ISessionObserver.providedBy(one):
                self.sessions.addObserver(ISessionObserver(one))
        filters = Filters() if filters is None else filters
        for observer in (self._sessionLimits, filters, *observers):
            self.sessions.addObserver(observer)
        self.health = [IHealth(one) for one in ours if IHealth.providedBy(one)]
        self.counters = Totals(self._living, Counters() if counters is None else counters)
        self.quota = Quota(clock, self.counters.own)
        known = Known(clock.seconds, limits.knownSources)
        self.lines: Admission[Line] = Admission(limits, clock.seconds, known)
        self.attempts = Attempts(clock, now, limits.attempts, wordsOf(networks.values()))
        self.tally = Tally()
        refusals = Refusals(clock, self.quota, self.counters.own, self.sessions, now, self.tally)
        self.context = LineContext(
            clock=clock,
            now=now,
            dataPath=dataPath,
            networks=networks,
            filters=filters,
            authenticate=authenticate,
            lockout=Lockout(clock, limits, refusals.lockedOut),
            bundles=Bundles(),
            lines=self.lines,
            seating=Seating(self.lines, self.sessions, now),
            known=known,
            sessions=self.sessions,
            forwarding=Forwarding(clock, self.quota, forwarding or ForwardingSection()),
            returns=Returns(self._settle),
            counters=self.counters,
            reports=Reports(self.quota),
            refusals=refusals,
            attempts=self.attempts,
            tally=self.tally,
            seenClaims=SeenClaims(),
        )
        self.offers = offers
        self._papClients = limits.papClients
        self._stopped: Deferred[None] | None = None
        self._draining: Callable[[], None] | None = None

    @deprecated(Version("pptpgw", "NEXT", 0, 0), "pptpgw.interfaces.ISessions.sessionFor")
    def sessionFor(self, address: str) -> ISession | None:
        """
        See L{pptpgw.interfaces.ISessions.sessionFor}.
        """
        return self.sessions.sessionFor(address)

    def use(self, offers: Offers) -> None:
        """
        Offer C{offers} to callers to come.
        """
        self.offers = offers

    def follow(self, configuration: Configuration) -> ReloadStep:
        """
        Prepare to follow the limits, filters and destinations of C{configuration}.

        @raise pptpgw.error.ConfigurationError: a destination can't be used.
        """
        forwarding = self.context.forwarding
        forwarding.assertPlaced(configuration.forwarding)
        follow = forwarding.prepare(configuration.forwarding)
        rules = {one.name: one.rules for one in configuration.network.filter}

        def apply() -> None:
            self.limit(configuration.limits)
            self.context.filters.change(rules, self.sessions)
            follow()

        return ReloadStep("[limits], filters and [forwarding]", apply)

    def limit(self, limits: LimitsSection) -> None:
        """
        Apply other limits from now on: those of sessions to the current ones too. Calls and
        sessions beyond a lower limit of their number go on.
        """
        self.lines.limits = limits
        self.context.lockout.change(limits)
        self.context.known.keep(limits.knownSources)
        self._papClients = limits.papClients
        self.attempts.resize(limits.attempts)
        self._sessionLimits.change(limits)

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
        late = self.context.clock.callLater(timeout, self._abandon)
        stopped.addCallback(lambda _: cancelled(late))
        inSlices(self.context.clock, self._each(Line.hangUp, _STOPPING))
        self._settle()
        return stopped

    @property
    def empty(self) -> bool:
        """
        Whether no call is left, and the networks have taken back what they gave.
        """
        return not (self.lines or self.sessions.endings or self.context.returns)

    @property
    def isDrained(self) -> bool:
        """
        Whether no caller's call is left. Calls that the gateway has dialled may be.
        """
        called = len(self.lines) > self.lines.dialled
        return not (called or self.sessions.endings or self.context.returns)

    @property
    def faults(self) -> list[str]:
        """
        What is wrong with parts that must be without fault for calls to be taken.
        """
        return [one.fault for one in (*self.health, *self.sessions.health) if one.fault]

    def drain(self, settled: Callable[[], None]) -> None:
        """
        Take no more calls until L{undrain}. The current ones go on.

        @param settled: called when a call has ended and the gateway L{isDrained}.
        """
        self._draining = settled

    def undrain(self) -> None:
        """
        Take calls again.
        """
        self._draining = None

    def hangUpAll(self, cause: str) -> None:
        """
        End every caller's call in order, without waiting for the end.
        """

        def hangUp(line: Line, cause: str) -> None:
            if line.direction is Direction.IN:
                line.hangUp(cause)

        inSlices(self.context.clock, self._each(hangUp, cause))

    # ICallTaker

    def callRequested(self, call: ICall) -> None:
        """
        Take the call, or refuse it.
        """
        if self._stopped is not None:
            self.tally.refused(call.tunnel.name)
            self.tally.refusals[call.tunnel.name, Category.DRAINING] += 1
            call.refuse(Refusal.STOPPING)
            return
        source = call.caller
        if self._draining is not None:
            reason = Cause("the gateway is drained", remedy=Remedy.DRAINED)
            self._refuse(call, Refusal.STOPPING, reason, Category.DRAINING)
            return
        try:
            settings = self.settingsFor(call)
        except Refused as error:
            self._refuse(call, Refusal.FORBIDDEN, causeOf(error), error.category)
            return
        try:
            self._assertWell()
            leaving = self.lines.room(source)
        except Unavailable as error:
            self._refuse(call, Refusal.BUSY, causeOf(error), error.category)
            return
        for other in leaving:
            self.counters.own.discard("call displaced by a newer one")
            other.drop(_DISPLACED)
        try:
            line = AnsweredLine(self.context, call, settings)
        except PPTPGWError as error:
            self._refuse(call, Refusal.BUSY, causeOf(error), Category.OUTAGE)
            return
        self.lines.begin(line, source)
        call.accept(line)

    def settingsFor(self, call: ICall) -> LinkSettings:
        """
        Return the settings of the link of C{call}.

        @raise Refused: there is no authentication protocol that its caller may be offered.
        """
        permitsPAP = not self._papClients or isWithin(call.caller, self._papClients)
        return self.offers.settingsFor(call, permitsPAP)

    def _refuse(self, call: ICall, refusal: Refusal, reason: Cause, category: Category) -> None:
        """
        Refuse a call, and report it.
        """
        call.refuse(refusal)
        self.attempts.turnedAway(call.caller, call.tunnel, CALL, reason)
        self.tally.refused(call.tunnel.name)
        self.context.refusals.call(call, str(reason), category)

    def _assertWell(self) -> None:
        for fault in self.faults:
            raise Unavailable(fault)

    def _each(self, end: Callable[[Line, str], None], cause: str) -> Iterator[None]:
        """
        End every line, one in each step.
        """
        for line in oneByOne(self.lines):
            if line in self.lines:
                try:
                    end(line, cause)
                except Exception:
                    # The others end all the same.
                    self._log.failure("A call failed to end", session=line.caller.session)
            yield

    def _abandon(self) -> None:
        dropped = inSlices(self.context.clock, self._each(Line.drop, _STOPPING))
        dropped.addCallback(lambda _: self.sessions.endings.finish())
        dropped.addCallback(lambda _: self._abandoned())

    def _abandoned(self) -> None:
        self.context.returns.abandon()
        self._settle()

    def _settle(self) -> None:
        if self.empty and self._stopped is not None and not self._stopped.called:
            self._stopped.callback(None)
        if self.isDrained and self._draining is not None:
            self._draining()

    def _living(self) -> Iterable[Counters]:
        # A copy: calls may come and go before all is added up.
        counters = (one for line in tuple(self.lines) for one in line.figures)
        return chain((self.context.dataPath.counters,), counters)
