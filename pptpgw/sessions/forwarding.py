"""
Where calls are passed on to, and the tunnels by which they get there.

The rules:

 - The user's account decides: the ends that a RADIUS server names, or the destination of the
   configuration that the account names. If it says nothing, the destination with the realm of the
   user's name is taken, and then the one for what was called. If there is none, PPP ends here.
 - A destination may take callers that haven't authenticated here: those of its realms as soon as
   they have given a name, and calls to its addresses at once. Such a call never ends another
   session for its user, and proves nothing about its source.
 - Ends are tried in the order of their preference, those of the same preference in random order,
   each for C{[forwarding] timeout}, and all together for L{SECONDS}.
 - A call whose tunnel is bound to the authentication on it (L{pptpgw.interfaces.IBoundCall}) never
   passes before that: its caller is refused where callers of other tunnels would.
 - Only the gateway's own log says which end failed, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from random import shuffle
from types import MappingProxyType
from typing import NamedTuple

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from pptpgw.config.forwarding import Destination, ForwardingSection
from pptpgw.error import Category, ConfigurationError, PPTPGWError, Refused, Unavailable
from pptpgw.interfaces import (
    Claim,
    Forward,
    IBoundCall,
    ICall,
    ICallOwner,
    IDiallingCall,
    IForwarder,
    IStationCall,
    Negotiated,
)
from pptpgw.log import Logger, Quota
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.username import nameOf
from pptpgw.timing.timer import within

SECONDS = 20.0
"""
Seconds that all ends together have to take a call. It is less than callers wait for a verdict.
"""

MOST = 16
"""
The most ends that are tried for one call.
"""

_NOBODY: Mapping[str, IForwarder] = MappingProxyType({})

Shuffle = Callable[[list[Forward]], object]
"""
A function that puts a list into random order.
"""


class Passed(NamedTuple):
    """
    A call that an end has taken.

    @ivar forward: the end.
    @ivar call: the call that was placed there.
    """

    forward: Forward
    call: ICall


class NotPassed(Unavailable):
    """
    No end has taken a call; the text says what each of them did.
    """

    remedy = Remedy.NOT_PASSED


class Forwarding:
    """
    The destinations of the configuration, and the tunnels that place calls.

    @ivar forwarders: the tunnels that place calls, by their names.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        quota: Quota,
        section: ForwardingSection,
        shuffle: Shuffle = shuffle,
    ) -> None:
        """
        @param quota: limits the lines of the log.
        @param shuffle: puts ends of the same preference into random order.
        @raise ConfigurationError: the file with a secret can't be used.
        """
        self.forwarders = _NOBODY
        self._clock = clock
        self._quota = quota
        self._shuffle = shuffle
        self.prepare(section)()

    def prepare(self, section: ForwardingSection) -> Callable[[], None]:
        """
        Prepare to follow C{section}.

        @return: puts it in force, for calls to come.
        @raise ConfigurationError: the file with a secret can't be used, or two destinations have
            the same realm, or address.
        """
        ends = {one.name: one.forwards() for one in section.destination}
        realms: dict[str, Destination] = {}
        called: dict[str, Destination] = {}
        for one in section.destination:
            for table, keys in ((realms, map(str.casefold, one.realms)), (called, one.called)):
                for name in keys:
                    if table.setdefault(name, one) is not one:
                        raise ConfigurationError(
                            f"[[forwarding.destination]] {one.name}: {name} is that of "
                            f"{table[name].name}, too"
                        )

        def apply() -> None:
            self._timeout = section.timeout
            self._ends = ends
            self._realms = realms
            self._called = called

        return apply

    def assertPlaced(self, section: ForwardingSection) -> None:
        """
        Check that there are the tunnels that C{section} names.

        @raise ConfigurationError: there is one that isn't served, or places no calls.
        """
        for one in section.destination:
            if one.tunnel not in self.forwarders:
                able = ", ".join(self.forwarders) or "none"
                raise ConfigurationError(
                    f"[[forwarding.destination]] {one.name}: tunnel = {one.tunnel!a} is none of "
                    f"[listen] tunnels that places calls: {able}"
                )

    # Where a call goes

    def atOnce(self, call: ICall) -> tuple[Forward, ...]:
        """
        Return the ends to which C{call} is passed on before anything is known of its caller; none
        if it isn't.
        """
        found = None if IBoundCall.providedBy(call) else self._byCalled(call)
        return self._unless(True, found)

    def unjudged(self, claim: Claim, call: ICall) -> tuple[Forward, ...]:
        """
        Return the ends to which the call of a caller with this claim is passed on without judging
        it; none if it isn't.
        """
        found = None if IBoundCall.providedBy(call) else self._byRealm(claim)
        return self._unless(True, found)

    def judged(self, claim: Claim, profile: Profile, call: ICall) -> tuple[Forward, ...]:
        """
        Return the ends to which the call of a user who has authenticated is passed on; none if it
        isn't.

        @raise Refused: the account names a destination that there isn't, or restricts what can't be
            restricted here.
        """
        ends = profile.forwards
        if not ends and profile.forward:
            ends = self._ends.get(profile.forward, ())
            if not ends:
                raise Refused(
                    f"there is no destination {profile.forward!a}",
                    retry=False,
                    category=Category.FORBIDDEN,
                    remedy=Remedy.DESTINATION,
                )
        if not ends:
            found = self._byRealm(claim) or self._byCalled(call)
            ends = self._unless(False, found)
            if found is not None and not ends and IBoundCall.providedBy(call):
                raise Refused(
                    f"a call by {call.tunnel.title} is bound to the authentication here, and "
                    f"callers of {found.name!a} authenticate there alone",
                    retry=False,
                    category=Category.FORBIDDEN,
                    remedy=Remedy.BOUND,
                )
        why = unapplied(profile) if ends else ""
        if why:
            raise Refused(why, retry=False, category=Category.FORBIDDEN, remedy=Remedy.UNAPPLIED)
        return ends

    def _byRealm(self, claim: Claim) -> Destination | None:
        _, separator, realm = nameOf(claim.name).rpartition("@")
        return self._realms.get(realm.casefold()) if separator else None

    def _byCalled(self, call: ICall) -> Destination | None:
        """
        Return the destination for what was called: the number that is to be dialled, else the
        number or name that was, else the address.
        """
        dialled = IDiallingCall(call).number if IDiallingCall.providedBy(call) else ""
        station = IStationCall(call).stations.called if IStationCall.providedBy(call) else ""
        found = map(self._called.get, (dialled, station, call.called))
        return next(filter(None, found), None)

    def _unless(self, early: bool, found: Destination | None) -> tuple[Forward, ...]:
        """
        Return the ends of a destination, unless it takes callers at another time.

        @param early: whether callers haven't authenticated.
        """
        return () if found is None or found.authenticated is early else self._ends[found.name]

    # Getting there

    def place(
        self, ends: Sequence[Forward], negotiated: Negotiated, caller: ICall, owner: ICallOwner
    ) -> Deferred[Passed]:
        """
        Place a call to the first one of C{ends} that takes it.

        @param caller: the call that is passed on.
        @param owner: told when the placed call ends.
        @return: see L{IForwarder.place}. It fails with L{NotPassed} if no end takes the call, and
            with L{Refused} if no tunnel leads to any.
        """
        return Deferred.fromCoroutine(self._place(self._ordered(ends), negotiated, caller, owner))

    def _ordered(self, ends: Sequence[Forward]) -> list[Forward]:
        found = list(ends)
        self._shuffle(found)
        # The sort is stable, so those of the same preference stay in random order.
        return sorted(found, key=attrgetter("preference"))[:MOST]

    async def _place(
        self, ends: list[Forward], negotiated: Negotiated, caller: ICall, owner: ICallOwner
    ) -> Passed:
        begun = self._clock.seconds()
        failures = []
        isServed = False
        for one in ends:
            forwarder = self._forwarder(one.tunnel)
            if forwarder is None:
                failures.append(f"{one.endpoint}: no tunnel here is {one.tunnel}")
                continue
            isServed = True
            left = begun + SECONDS - self._clock.seconds()
            if left <= 0:
                failures.append(f"{one.endpoint}: not tried, there was no time left")
                continue
            placed = maybeDeferred(forwarder.place, one, negotiated, caller, owner)
            within(placed, min(self._timeout, left), self._clock)
            try:
                return Passed(one, await placed)
            except DeferredTimeout:
                why = "no answer in time"
            except PPTPGWError as error:
                why = str(error)
            failures.append(f"{one.endpoint}: {why}")
            if self._quota.allows("ends that take no call", one.endpoint):
                self._log.warn(
                    "{tunnel} {endpoint} doesn't take a call: {why}",
                    tunnel=forwarder.kind.title,
                    endpoint=one.endpoint,
                    why=why,
                )
        text = f"no end takes the call; {'; '.join(failures)}"
        if not isServed:
            raise Refused(text, retry=False, category=Category.FORBIDDEN, remedy=Remedy.DESTINATION)
        raise NotPassed(text)

    def _forwarder(self, tunnel: str | int) -> IForwarder | None:
        if isinstance(tunnel, str):
            return self.forwarders.get(tunnel)
        return next((one for one in self.forwarders.values() if one.kind.type == tunnel), None)


def unapplied(profile: Profile) -> str:
    """
    Return why the call of a user with C{profile} can't be passed on: what restricts packets can't
    be applied where PPP doesn't end. It is empty if it can.
    """
    restrictions = {
        "filter": profile.filter,
        "rate": profile.receiveRate or profile.sendRate,
        "encryption": profile.encryption == "require",
    }
    found = " and ".join(name for name, value in restrictions.items() if value)
    if not found:
        return ""
    return f"the {found} of {profile.name} can't be applied to a call that is passed on"
