"""
Tests for L{pptpgw.counting.counters}.
"""

from __future__ import annotations

from pptpgw.counting.counters import Counters, Totals


def counted(number: int, reason: str) -> Counters:
    """
    Counters that differ in every figure.
    """
    counters = Counters()
    for position, name in enumerate(sorted(counters.asDict())):
        if name != "discards":
            setattr(counters, name, number * (position + 1))
    counters.discard(reason, number)
    return counters


def test_add() -> None:
    """
    Every figure is added, and each reason of discards separately.
    """
    total = counted(1, "late")
    total.add(counted(10, "late"))
    total.add(counted(100, "stray"))
    expected = counted(111, "late").asDict()
    expected["discards"] = {"late": 11, "stray": 100}
    assert total.asDict() == expected


def test_everyFigureIsShown() -> None:
    """
    Every figure is in the report.
    """
    assert set(Counters().asDict()) == set(Counters.__slots__)


def test_totals() -> None:
    """
    The totals have the gateway's own counters and those of live and ended sessions, each once.
    """
    living = [counted(1, "late"), counted(10, "late")]
    own = Counters()
    totals = Totals(lambda: living, own)
    own.discard("stray")
    expected = counted(11, "late").asDict()
    expected["discards"] = {"late": 11, "stray": 1}
    assert totals.sum().asDict() == expected
    totals.retire(living.pop())
    assert totals.sum().asDict() == expected
