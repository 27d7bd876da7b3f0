"""
How often something may happen.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime


class Limit:
    """
    At most C{count} times in a run of C{seconds}, which begins with the first.
    """

    __slots__ = ("_clock", "_count", "_seconds", "_since", "_times")

    def __init__(self, clock: IReactorTime, count: int, seconds: float = 1) -> None:
        self._clock = clock
        self._count = count
        self._seconds = seconds
        self._since = float("-inf")
        self._times = 0

    def allows(self) -> bool:
        """
        Whether it may happen once more, now.
        """
        now = self._clock.seconds()
        if now - self._since >= self._seconds:
            self._since = now
            self._times = 0
        self._times += 1
        return self._times <= self._count
