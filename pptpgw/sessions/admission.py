"""
The limits on calls and sessions at a time.

The rules:

 - A call is counted from its request to its end. It is being set up until its first network
   protocol is open, and has a seat from the moment that its caller has authenticated.
 - A call that is requested while no seat is left is refused at once, which costs next to nothing.
   A call that is requested while too many are being set up is refused too, unless it displaces one
   whose caller hasn't authenticated, by the rules of L{pptpgw.sessions.places}. The caller of a
   refused call may call again.
 - Seats are counted once more when one is taken, since several callers may authenticate at the same
   time.
 - When a user has as many seats as it may have, its next caller is refused, or its oldest seats
   must go, as C{[limits] per-user} says.

L{Admission} only counts; its user ends the calls that must go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Generic, TypeVar

from pptpgw.config.section import LimitsSection
from pptpgw.error import Category, ConfigurationError, Exhausted, Refused
from pptpgw.interfaces import TunnelKind
from pptpgw.sessions import hours
from pptpgw.sessions.places import Known, Places
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.remedy import Remedy

C = TypeVar("C")
"""
A call, whatever stands for it.
"""


class _Counted:
    """
    The state of one call.

    @ivar user: the identity of the user whose seat the call has; None if it has no seat yet.
    @ivar isDialled: whether this gateway dialled it.
    """

    __slots__ = ("isDialled", "setup", "source", "user")

    def __init__(self, source: str) -> None:
        self.source = source
        self.setup = True
        self.isDialled = False
        self.user: str | None = None


class _Tally:
    """
    The number of calls, in all and from each source.
    """

    __slots__ = ("sources", "total")

    def __init__(self) -> None:
        self.total = 0
        self.sources: dict[str, int] = {}

    def add(self, source: str) -> None:
        """
        Count one more call from C{source}.
        """
        self.total += 1
        self.sources[source] = self.sources.get(source, 0) + 1

    def remove(self, source: str) -> None:
        """
        Count one call from C{source} less, which was added before.
        """
        self.total -= 1
        self.sources[source] -= 1
        if not self.sources[source]:
            del self.sources[source]

    def fault(self, source: str, limit: int, sourceLimit: int, what: str, key: str) -> str:
        """
        Say which limit prevents one more of C{what} from C{source}; empty if none does.

        @param key: the key of C{limit}; with C{-per-source} added, that of C{sourceLimit}.
        """
        if _reached(self.total, limit):
            return f"there are {limit} {what}, see [limits] {key}"
        if _reached(self.sources.get(source, 0), sourceLimit):
            return f"there are {sourceLimit} {what} from there, see [limits] {key}-per-source"
        return ""


class Admission(Generic[C]):
    """
    The calls that exist now, from L{begin} to L{leave}, and the seats that they have. It is a
    collection of these calls.

    @ivar limits: the limits of the configuration. They may be replaced: calls that exist stay.
    @ivar dialled: how many of the calls this gateway has dialled.
    """

    def __init__(self, limits: LimitsSection, seconds: Callable[[], float], known: Known) -> None:
        """
        @param limits: the limits of the configuration.
        @param seconds: returns the monotonic time, in seconds.
        @param known: the sources for which half of the places are kept.
        """
        self.limits = limits
        self.dialled = 0
        self._unproven: Places[C] = Places(seconds, known)
        self._calls: dict[C, _Counted] = {}
        self._setups = _Tally()
        self._seats = _Tally()
        # The calls with a seat of each user, in the order in which the seats were taken.
        self._users: dict[str, dict[C, None]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[C]:
        return iter(self._calls)

    def __contains__(self, call: object) -> bool:
        return call in self._calls

    def room(self, source: str) -> list[C]:
        """
        Make room for a call from the address C{source}.

        @return: the calls that must be ended for it; L{leave} must be called for them.
        @raise Exhausted: there is no room.
        """
        full = self._full(source)
        if full:
            raise Exhausted(full)
        limits, setups = self.limits, self._setups
        what = "calls being set up", "max-setups"
        fault = setups.fault(source, 0, limits.maxSetupsPerSource, *what)
        if fault:
            found = self._unproven.displaceOwn(source)
        elif fault := setups.fault(source, limits.maxSetups, 0, *what):
            found = self._unproven.displace(source, limits.maxSetups)
        else:
            return []
        if found is None:
            raise Exhausted(fault, Category.BUSY)
        return [found]

    def begin(self, call: C, source: str) -> None:
        """
        Count C{call}, for which L{room} has made room, as being set up.
        """
        self._calls[call] = _Counted(source)
        self._unproven.add(call, source)
        self._setups.add(source)

    def join(self, call: C) -> None:
        """
        Count C{call} among those that exist, but to no limit: this gateway dialled it.
        """
        self._calls[call] = state = _Counted("")
        state.setup, state.isDialled = False, True
        self.dialled += 1

    def rivals(self, call: C, user: str, profile: Profile) -> tuple[list[C], list[C]]:
        """
        Return the other calls of a user that has as many seats as it may have: those that keep
        C{call} from a seat, and those that must go for it. At least one of the lists is empty.

        @param user: the user's identity, see L{pptpgw.interfaces.Claim.identity}.
        """
        own = [one for one in self._users.get(user, ()) if one != call]
        allowed = self._allowed(profile)
        if not _reached(len(own), allowed):
            return [], []
        if self.limits.perUser == "deny":
            return own, []
        return [], own[: len(own) - allowed + 1]

    def seat(self, call: C, user: str, profile: Profile) -> list[C]:
        """
        Give C{call}, which L{begin} has counted, a seat as the user of C{profile}. It replaces a
        seat that the call already has.

        @param user: the user's identity.
        @return: the calls that must be ended for it; L{leave} must be called for them.
        @raise Refused: the user may have no more seats.
        @raise Exhausted: all seats are taken.
        """
        self.unseat(call)
        state = self._calls[call]
        standing, leaving = self.rivals(call, user, profile)
        if standing:
            allowed = self._allowed(profile)
            text = f"{profile.name} has {len(standing)} sessions, and may have {allowed}"
            raise Refused(text, retry=False, category=Category.LIMITS, remedy=Remedy.SESSIONS)
        if not leaving:
            full = self._full(state.source)
            if full:
                raise Exhausted(full)
        state.user = user
        self._unproven.remove(call)
        self._seats.add(state.source)
        self._users.setdefault(user, {})[call] = None
        return leaving

    def unseat(self, call: C) -> None:
        """
        Take the seat of C{call} back, if it has one.
        """
        state = self._calls[call]
        if state.user is not None:
            self._seats.remove(state.source)
            own = self._users[state.user]
            del own[call]
            if not own:
                del self._users[state.user]
            state.user = None
            if state.setup:
                self._unproven.add(call, state.source)

    def joined(self, call: C) -> None:
        """
        Count C{call} as a further link of a session, which has the seat.
        """
        self._unproven.remove(call)
        self.opened(call)

    def opened(self, call: C) -> None:
        """
        Count C{call} as set up: its first network protocol is open.
        """
        state = self._calls[call]
        if state.setup:
            state.setup = False
            self._setups.remove(state.source)

    def leave(self, call: C) -> None:
        """
        Count C{call} no longer: it has ended.
        """
        self.unseat(call)
        self.opened(call)
        self._unproven.remove(call)
        self.dialled -= self._calls.pop(call).isDialled

    def _allowed(self, profile: Profile) -> int:
        """
        Return how many seats the user of C{profile} may have; 0 for any number.
        """
        limit = self.limits.maxSessionsPerUser
        return limit if profile.sessions is None else profile.sessions

    def _full(self, source: str) -> str:
        limits = self.limits
        return self._seats.fault(
            source, limits.maxSessions, limits.maxSessionsPerSource, "sessions", "max-sessions"
        )


class Disclosed(Refused):
    """
    The refusal of a claim whose password was right, for a reason that tells the caller so: that it
    has expired.

    @ivar profile: the profile of the account.
    """

    def __init__(self, profile: Profile, *arguments: Any) -> None:
        """
        @param arguments: those of L{Refused}.
        """
        super().__init__(*arguments)
        self.profile = profile


def isWithin(source: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """
    Return whether C{source} is an address in one of C{networks}. The source of a caller by a tunnel
    that knows no IP addresses never is.
    """
    try:
        address = ip_address(source)
    except ValueError:
        return False
    return any(address in network for network in networks)


def permit(profile: Profile, source: str, now: float) -> None:
    """
    Check that the user of C{profile} may call from the address C{source} at the time C{now}, in
    seconds since 1970.

    @raise Refused: the user may not, or the user's hours can't be read.
    """
    if profile.sources and not isWithin(source, profile.sources):
        raise Refused(
            f"{profile.name} may not call from {source}",
            retry=False,
            category=Category.FORBIDDEN,
            remedy=Remedy.SOURCES,
        )
    if profile.hours:
        try:
            left = hours.parse(profile.hours).left(now)
        except ConfigurationError as error:
            raise Refused(
                f"the account of {profile.name}: {error}", retry=False, category=Category.FORBIDDEN
            ) from error
        if not left:
            raise Refused(
                f"{profile.name} may call in its hours only: {profile.hours}",
                retry=False,
                category=Category.FORBIDDEN,
                remedy=Remedy.HOURS,
            )


def barred(profile: Profile, tunnel: TunnelKind) -> str:
    """
    Say that the user of C{profile} may not call by C{tunnel}; empty if the user may.
    """
    if profile.tunnels is None or tunnel.name in profile.tunnels:
        return ""
    others = f", only by {' or '.join(sorted(profile.tunnels))}" if profile.tunnels else ""
    return f"{profile.name} may not call by {tunnel.name}{others}"


def _reached(count: int, limit: int) -> bool:
    return 0 < limit <= count
