"""
Tests of L{pptpgw.datapath.limit}.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from pptpgw.datapath.limit import Limit


def test_soManyAndNoMore() -> None:
    clock = Clock()
    limit = Limit(clock, 2, 3)
    assert [limit.allows() for _ in range(4)] == [True, True, False, False]
    clock.advance(2.9)
    assert not limit.allows()
    clock.advance(0.1)
    assert [limit.allows() for _ in range(3)] == [True, True, False]


def test_theRunBeginsWithTheFirst() -> None:
    clock = Clock()
    limit = Limit(clock, 1)
    clock.advance(0.9)
    assert limit.allows()
    clock.advance(0.9)
    assert not limit.allows()
    clock.advance(0.1)
    assert limit.allows()
