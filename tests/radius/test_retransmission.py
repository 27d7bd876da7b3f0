from __future__ import annotations

import itertools
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pptpgw.radius.retransmission import waits


@given(st.integers(), st.floats(1, 120))
def test_byTheRulesOfRFC5080(seed: int, seconds: float) -> None:
    """
    The waits have IRT and MRT with a tenth of jitter, each is about twice the one before, and all
    together take MRD (RFC 5080).
    """
    times = list(waits(Random(seed), seconds))
    assert abs(sum(times) - seconds) < 1e-6
    assert all(time > 0 for time in times)
    whole = times[:-1]
    if whole:
        assert 1.8 <= whole[0] <= 2.2
    for before, after in itertools.pairwise(whole):
        assert 1.9 * before <= after <= 2.1 * before or 14.4 <= after <= 17.6
    assert all(time <= 17.6 for time in times)


def test_twoClientsDontKeepStep() -> None:
    assert list(waits(Random(1), 30)) != list(waits(Random(2), 30))


def test_howManyThereAre() -> None:
    """
    A request is sent at about 0, 2, 6, 14 and 30 seconds.
    """
    assert len(list(waits(Random(3), 40))) == 5
