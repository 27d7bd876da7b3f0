"""
How often a figure was in each range of values.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import add, sub


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
        Count a value in its range, and add it to the sum.
        """
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def merge(self, other: Distribution) -> None:
        """
        Count the values of C{other}, which has the same bounds, too.
        """
        self.counts = list(map(add, self.counts, other.counts))
        self.sum += other.sum

    def quantile(self, part: float, since: Sequence[int] | None = None) -> float | None:
        """
        Estimate the value that the part C{part} of all values doesn't exceed: the values of a range
        count as if they were spread evenly, and those of the last range as its lower bound.

        @param since: the L{counts} of an earlier time, whose values are left out.
        @return: the value; None if there are no values.
        """
        counts = self.counts if since is None else list(map(sub, self.counts, since))
        left = part * sum(counts)
        lower = 0.0
        for bound, count in zip(self.bounds, counts, strict=False):
            if count and left <= count:
                return lower + (bound - lower) * left / count
            left -= count
            lower = bound
        return lower if any(counts) else None
