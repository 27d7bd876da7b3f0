"""
Tests for L{pptpgw.timing.lapse}.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.timing.lapse import GRAIN, Lapse
from tests.ticking import Ticking


def test_oneTimerForAll() -> None:
    """
    Each function is called once its time has passed, and hardly later.
    """
    clock = Clock()
    lapse = Lapse(clock, 0.5)
    called: list[tuple[int, float]] = []
    for number in range(100):
        lapse.add(lambda number=number: called.append((number, clock.seconds())))  # type: ignore[misc]
        assert len(clock.getDelayedCalls()) == 1
        clock.advance(0.001)
    clock.pump([0.001] * 700)
    assert [number for number, _ in called] == list(range(100))
    for number, at in called:
        assert 0.5 - 1e-6 <= at - number * 0.001 <= 0.5 + GRAIN + 0.0015
    assert clock.getDelayedCalls() == []


def test_removed() -> None:
    """
    A function that was removed isn't called, and the timer stops when none is left.
    """
    clock = Clock()
    lapse = Lapse(clock, 0.5)
    called: list[str] = []
    first = lapse.add(lambda: called.append("first"))
    second = lapse.add(lambda: called.append("second"))
    lapse.remove(first)
    lapse.remove(first)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(0.5)
    assert called == ["second"]
    lapse.remove(second)
    third = lapse.add(lambda: called.append("third"))
    lapse.remove(third)
    assert clock.getDelayedCalls() == [] and not lapse._queue
    lapse.add(lambda: called.append("fourth"))
    clock.advance(0.5)
    assert called == ["second", "fourth"]
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("failing", [False, True])
def test_changesMeanwhile(failing: bool, loggedFailures: list[Failure]) -> None:
    """
    A function may remove others and add itself again; one that fails doesn't affect others.
    """
    clock = Clock()
    lapse = Lapse(clock, 0.5)
    called: list[str] = []

    def first() -> None:
        called.append("first")
        lapse.remove(second)
        if len(called) < 3:
            lapse.add(first)
        if failing:
            raise ZeroDivisionError

    lapse.add(first)
    second = lapse.add(lambda: called.append("second"))
    clock.pump([0.1] * 30)
    assert called == ["first"] * 3
    assert clock.getDelayedCalls() == []
    assert len(loggedFailures) == 3 * failing
    loggedFailures.clear()


def test_inSlices() -> None:
    """
    Many that are due at once are called in several turns.
    """
    clock = Ticking()
    lapse = Lapse(clock, 0.5)
    called: list[int] = []
    for number in range(50):
        lapse.add(lambda number=number: called.append(number))  # type: ignore[misc]
    clock.rightNow += 1
    assert clock.finish() > 10
    assert called == list(range(50))
