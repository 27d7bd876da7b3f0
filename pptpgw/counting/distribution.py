"""
How often a figure was in each range of values.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Distribution:
    """
    The number of values in each range.

    @ivar bounds: the largest value of each range but the last, which has no bound.
    @ivar counts: the number of values in each range.
    @ivar sum: the sum of all values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """
        @param bounds: in ascending order.
        """
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """
        Count C{value}.
        """
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
