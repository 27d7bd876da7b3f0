"""
Who is let in: how many calls and sessions there may be at a time.

The rules:

 - A call is counted from its request to its end. Until its first network protocol is open it is
   being set up; from the moment that its caller has proven who it is it has a seat.
 - A call that is requested while no seat is left is refused then and there, which costs next to
   nothing. So is one that is requested while too many are being set up, unless it can have the
   place of one whose caller hasn't proven anything yet, by the rules of L{pptpgw.session.places}.
   What is refused so is refused for now; the peer may call again.
 - Seats are counted once more when one is taken, for several callers may prove themselves at a
   time.
 - Where a user has as many seats as it may, the next caller is refused, or those that have sat
   longest must go.

It counts, and does nothing: whoever must go is ended by whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Generic, TypeVar

from pptpgw.error import ConfigurationError, Exhausted, Refused
from pptpgw.profile import Profile
from pptpgw.section import Limits
from pptpgw.session import hours
from pptpgw.session.places import Known, Places

C = TypeVar("C")
"""
A call, whatever stands for it.
"""


class _Place:
    """
    What is known of one call.

    @ivar user: the identity of whose seat it has; None: none yet.
    """

    __slots__ = ("setup", "source", "user")

    def __init__(self, source: str) -> None:
        self.source = source
        self.setup = True
        self.user: str | None = None


class _Tally:
    """
    How many there are, in all and from each source.
    """

    __slots__ = ("sources", "total")

    def __init__(self) -> None:
        self.total = 0
        self.sources: dict[str, int] = {}

    def add(self, source: str) -> None:
        """
        One more.
        """
        self.total += 1
        self.sources[source] = self.sources.get(source, 0) + 1

    def remove(self, source: str) -> None:
        """
        One less.
        """
        self.total -= 1
        self.sources[source] -= 1
        if not self.sources[source]:
            del self.sources[source]

    def fault(self, source: str, limit: int, sourceLimit: int, what: str, key: str) -> str:
        """
        Which limit is reached for one more of C{what} from C{source}; empty: none.

        @param key: of C{limit}; with C{-per-source} that of C{sourceLimit}.
        """
        if _reached(self.total, limit):
            return f"there are {limit} {what}, see [limits] {key}"
        if _reached(self.sources.get(source, 0), sourceLimit):
            return f"there are {sourceLimit} {what} from there, see [limits] {key}-per-source"
        return ""


class Admission(Generic[C]):
    """
    The calls of now, counted.
    """

    def __init__(self, limits: Limits, seconds: Callable[[], float], known: Known) -> None:
        """
        @param seconds: the time, for durations.
        @param known: the sources whose callers' places are kept.
        """
        self._limits = limits
        self._unproven: Places[C] = Places(seconds, known)
        self._places: dict[C, _Place] = {}
        self._setups = _Tally()
        self._seats = _Tally()
        # Of each user, in the order in which they were taken.
        self._users: dict[str, dict[C, None]] = {}

    def room(self, source: str) -> list[C]:
        """
        Make room for a call from the address C{source}.

        @return: the calls that must be ended for it, which L{leave} then is told of.
        @raise Exhausted: there is none.
        """
        full = self._full(source)
        if full:
            raise Exhausted(full)
        limits, setups = self._limits, self._setups
        what = "calls being set up", "max-setups"
        fault = setups.fault(source, 0, limits.maxSetupsPerSource, *what)
        if fault:
            found = self._unproven.displaceOwn(source)
        elif fault := setups.fault(source, limits.maxSetups, 0, *what):
            found = self._unproven.displace(source, limits.maxSetups)
        else:
            return []
        if found is None:
            raise Exhausted(fault)
        return [found]

    def begin(self, call: C, source: str) -> None:
        """
        C{call}, which L{room} was made for, begins to be set up.
        """
        self._places[call] = _Place(source)
        self._unproven.add(call, source)
        self._setups.add(source)

    def rivals(self, call: C, user: str, profile: Profile) -> tuple[list[C], list[C]]:
        """
        The other calls of a user that has as many seats as it may: those that keep C{call} from
        one, and those that must go for it. One or the other is empty.

        @param user: its identity: what its name is compared by.
        """
        own = [one for one in self._users.get(user, ()) if one != call]
        allowed = self._allowed(profile)
        if not _reached(len(own), allowed):
            return [], []
        if self._limits.perUser == "deny":
            return own, []
        return [], own[: len(own) - allowed + 1]

    def seat(self, call: C, user: str, profile: Profile) -> list[C]:
        """
        Give C{call}, which L{begin} knows, a seat as the user of C{profile}, instead of one that it
        has.

        @param user: its identity.
        @return: the calls that must be ended for it, which L{leave} then is told of.
        @raise Refused: the user may have no more.
        @raise Exhausted: all are taken.
        """
        self.unseat(call)
        place = self._places[call]
        standing, leaving = self.rivals(call, user, profile)
        if standing:
            allowed = self._allowed(profile)
            text = f"{profile.name} has {len(standing)} sessions, and may have {allowed}"
            raise Refused(text, retry=False)
        if not leaving:
            full = self._full(place.source)
            if full:
                raise Exhausted(full)
        place.user = user
        self._unproven.remove(call)
        self._seats.add(place.source)
        self._users.setdefault(user, {})[call] = None
        return leaving

    def unseat(self, call: C) -> None:
        """
        Take the seat of C{call} back, if it has one.
        """
        place = self._places[call]
        if place.user is not None:
            self._seats.remove(place.source)
            own = self._users[place.user]
            del own[call]
            if not own:
                del self._users[place.user]
            place.user = None
            if place.setup:
                self._unproven.add(call, place.source)

    def opened(self, call: C) -> None:
        """
        C{call} is set up.
        """
        place = self._places[call]
        if place.setup:
            place.setup = False
            self._setups.remove(place.source)

    def leave(self, call: C) -> None:
        """
        C{call} is over.
        """
        self.unseat(call)
        self.opened(call)
        self._unproven.remove(call)
        del self._places[call]

    def _allowed(self, profile: Profile) -> int:
        """
        How many seats the user of C{profile} may have; 0: as many as it likes.
        """
        limit = self._limits.maxSessionsPerUser
        return limit if profile.sessions is None else profile.sessions

    def _full(self, source: str) -> str:
        limits = self._limits
        return self._seats.fault(
            source, limits.maxSessions, limits.maxSessionsPerSource, "sessions", "max-sessions"
        )


def permit(profile: Profile, source: str, now: float) -> None:
    """
    Whether the user of C{profile} may call from the address C{source}, at the time C{now} in
    seconds since 1970.

    @raise Refused: it may not, or its hours can't be read.
    """
    if profile.sources:
        address = ip_address(source)
        if not any(address in network for network in profile.sources):
            raise Refused(f"{profile.name} may not call from {source}", retry=False)
    if profile.hours:
        try:
            left = hours.parse(profile.hours).left(now)
        except ConfigurationError as error:
            raise Refused(f"the account of {profile.name}: {error}", retry=False) from error
        if not left:
            raise Refused(
                f"{profile.name} may call in its hours only: {profile.hours}", retry=False
            )


def _reached(count: int, limit: int) -> bool:
    return 0 < limit <= count
