"""
A limit on how often something may happen.
"""

from __future__ import annotations

from collections.abc import Callable


class Bucket:
    """
    A token bucket: so many a second on average, and so many at once.
    """

    __slots__ = ("_burst", "_left", "_rate", "_seconds", "_when")

    def __init__(self, seconds: Callable[[], float], rate: tuple[float, float]) -> None:
        """
        @param seconds: returns the time in seconds.
        @param rate: the number a second, and the largest number at once.
        """
        self._seconds = seconds
        self._rate, self._burst = rate
        self._left = self._burst
        self._when = seconds()

    def take(self, count: float = 1) -> bool:
        """
        Return whether C{count} more are allowed now, and use them up if so.
        """
        now = self._seconds()
        self._left = min(self._burst, self._left + (now - self._when) * self._rate)
        self._when = now
        if self._left < count:
            return False
        self._left -= count
        return True
