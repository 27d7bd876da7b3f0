"""
Tests for L{pptpgw.counting.distribution}.
"""

from __future__ import annotations

import pytest

from pptpgw.counting.distribution import Distribution


def test_counts() -> None:
    """
    A value that equals a bound belongs to the range below it; the last range has no bound.
    """
    distribution = Distribution((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 3.0, 9.0):
        distribution.add(value)
    assert distribution.counts == [2, 1, 2]
    assert distribution.sum == 15.0


@pytest.mark.parametrize(
    ("part", "value"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 3.0), (1.0, 5.0)]
)
def test_quantile(part: float, value: float) -> None:
    """
    Values are spread evenly over their ranges.
    """
    distribution = Distribution((1.0, 5.0))
    for one in (0.1, 0.9, 2.0, 4.0):
        distribution.add(one)
    assert distribution.quantile(part) == value


def test_quantileOfTheLastRange() -> None:
    """
    Values beyond all bounds count as the last bound.
    """
    distribution = Distribution((1.0, 5.0))
    for one in (0.5, 100.0, 200.0):
        distribution.add(one)
    assert distribution.quantile(0.95) == 5.0


def test_quantileSince() -> None:
    """
    Values until an earlier time are left out; without any there is no quantile.
    """
    distribution = Distribution((1.0, 5.0))
    assert distribution.quantile(0.5) is None
    distribution.add(0.5)
    since = tuple(distribution.counts)
    assert distribution.quantile(0.5, since) is None
    distribution.add(3.0)
    assert distribution.quantile(0.5, since) == 3.0
