"""
The places of callers that haven't authenticated, and which caller loses its place to a newcomer.

A place is one of a limited number of calls being set up, or of connections by which calls come.

The rules:

 - A newcomer gets the place of the oldest caller of the source (the address) that has the most
   places, provided that these are more than the newcomer's source will have. So a source that takes
   all places loses them to the others one by one, and can't take any from a source that has few.
 - If no source has more, a newcomer gets a place that was held for L{GRACE} seconds or longer: an
   honest caller has usually authenticated by then. A younger place isn't taken away, because honest
   callers would displace each other when they are more than there are places.
 - Half of the places are kept for known sources, from which somebody has logged in lately
   (L{Known}). While known sources hold less than half, a newcomer from one of them displaces a
   caller of another source without further conditions, and newcomers from other sources displace no
   caller of a known one.
 - A newcomer that gets no place by these rules is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

GRACE = 5.0
"""
Seconds for which a caller keeps its place although no source has more places than the newcomer's.
"""

LATELY = 86400.0
"""
Seconds for which a source is known after a log-in from there.
"""

T = TypeVar("T")


class Known:
    """
    The sources from which somebody has logged in lately.
    """

    def __init__(self, seconds: Callable[[], float], limit: int) -> None:
        """
        @param seconds: the time, for durations.
        @param limit: how many sources are remembered. Beyond that, the source with the oldest last
            log-in is forgotten.
        """
        self._seconds = seconds
        self._limit = limit
        self._logins: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._logins)

    def __contains__(self, source: object) -> bool:
        login = self._logins.get(str(source))
        return login is not None and self._seconds() - login < LATELY

    def add(self, source: str) -> None:
        """
        Remember C{source}, from which somebody has logged in.
        """
        self._logins.pop(source, None)
        self._logins[source] = self._seconds()
        self.keep(self._limit)

    def keep(self, limit: int) -> None:
        """
        Remember at most C{limit} sources from now on.
        """
        self._limit = limit
        while len(self._logins) > limit:
            del self._logins[next(iter(self._logins))]


class _Crowd(Generic[T]):
    """
    The callers from one kind of sources, known or other.

    @ivar total: the number of callers.
    """

    __slots__ = ("_byCount", "_most", "_sources", "total")

    def __init__(self) -> None:
        self.total = 0
        # By source: the time since when each caller has its place, the oldest first.
        self._sources: dict[str, dict[T, float]] = {}
        # By number of callers: the sources that have as many.
        self._byCount: dict[int, dict[str, None]] = {}
        self._most = 0

    def count(self, source: str) -> int:
        """
        Return the number of callers from C{source}.
        """
        return len(self._sources.get(source, ()))

    def add(self, item: T, source: str, now: float) -> None:
        """
        Add a caller that has its place since C{now}.
        """
        self._move(source, self.count(source), 1)
        self._sources.setdefault(source, {})[item] = now
        self.total += 1

    def remove(self, item: T, source: str) -> None:
        """
        Remove a caller, and its source if that was the last one.
        """
        self._move(source, self.count(source), -1)
        own = self._sources[source]
        del own[item]
        if not own:
            del self._sources[source]
        self.total -= 1

    def oldestOfMost(self) -> tuple[T, float, int]:
        """
        Return the oldest caller of the source that has the most, the time since when the caller has
        its place, and the number of callers from that source.
        """
        source = next(iter(self._byCount[self._most]))
        item, since = next(iter(self._sources[source].items()))
        return item, since, self._most

    def oldestOf(self, source: str) -> tuple[T, float] | None:
        """
        Return the oldest caller from C{source}, and the time since when it has its place; None if
        there is no caller from there.
        """
        return next(iter(self._sources.get(source, {}).items()), None)

    def _move(self, source: str, count: int, change: int) -> None:
        if count:
            del self._byCount[count][source]
            if not self._byCount[count]:
                del self._byCount[count]
        if count + change:
            self._byCount.setdefault(count + change, {})[source] = None
        if change > 0:
            self._most = max(self._most, count + change)
        elif self._most not in self._byCount:
            self._most -= 1


class Places(Generic[T]):
    """
    The places of callers that haven't authenticated yet.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        known: Known,
        isProven: Callable[[T], bool] = lambda item: False,
    ) -> None:
        """
        @param isProven: whether a caller has authenticated although L{remove} wasn't called for it.
        """
        self._seconds = seconds
        self._known = known
        self._isProven = isProven
        self._crowds: tuple[_Crowd[T], _Crowd[T]] = _Crowd(), _Crowd()
        # The source and the crowd of each caller.
        self._items: dict[T, tuple[str, _Crowd[T]]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T, source: str) -> None:
        """
        Give C{item}, which comes from C{source}, a place.
        """
        crowd = self._crowds[source in self._known]
        crowd.add(item, source, self._seconds())
        self._items[item] = source, crowd

    def remove(self, item: T) -> None:
        """
        Remove C{item}, which is gone or has authenticated. Calling this again does nothing.
        """
        source, crowd = self._items.pop(item, ("", None))
        if crowd is not None:
            crowd.remove(item, source)

    def displace(self, source: str, limit: int) -> T | None:
        """
        Remove the caller that loses its place to a newcomer from C{source}.

        @param limit: how many places there are.
        @return: that caller; None if the newcomer gets no place.
        """
        strangers, known = self._crowds
        isKnown, half = source in self._known, limit / 2
        own = self._crowds[isKnown].count(source)
        ways = [(strangers, isKnown and known.total < half)]
        if isKnown or known.total > half:
            ways.append((known, False))
        for crowd, anyway in ways:
            while crowd.total:
                item, since, count = crowd.oldestOfMost()
                if not (anyway or count > own + 1 or self._isHeldLong(since)):
                    break
                self.remove(item)
                if not self._isProven(item):
                    return item
        return None

    def displaceOwn(self, source: str) -> T | None:
        """
        Remove the caller that loses its place to a newcomer from the same C{source}, after L{GRACE}
        seconds at least.

        @return: that caller; None if the newcomer gets no place.
        """
        for crowd in self._crowds:
            while (found := crowd.oldestOf(source)) is not None and self._isHeldLong(found[1]):
                self.remove(found[0])
                if not self._isProven(found[0]):
                    return found[0]
        return None

    def _isHeldLong(self, since: float) -> bool:
        return self._seconds() - since >= GRACE
