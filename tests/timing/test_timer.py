"""
Tests for L{pptpgw.timing.timer}.
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.task import Clock

from pptpgw.timing.timer import within


def test_inTime() -> None:
    """
    A result in time is passed on, and the timer is cancelled.
    """
    clock, one = Clock(), Deferred[int]()
    within(one, 5, clock)
    assert len(clock.getDelayedCalls()) == 1
    results: list[int] = []
    one.addCallback(results.append)
    one.callback(1)
    assert results == [1] and not clock.getDelayedCalls()


def test_late() -> None:
    """
    A Deferred without a result is cancelled after the time.
    """
    clock, one = Clock(), Deferred[int]()
    within(one, 5, clock)
    clock.advance(5)
    failures: list[object] = []
    one.addErrback(lambda failure: failures.append(failure.check(TimeoutError)))
    assert failures == [TimeoutError]


def test_lateByAnotherName() -> None:
    """
    A function may replace the failure.
    """
    clock, one = Clock(), Deferred[str]()
    within(one, 5, clock, lambda result, seconds: f"{result.check(CancelledError)} {seconds}")
    clock.advance(5)
    results: list[str] = []
    one.addCallback(results.append)
    assert results == [f"{CancelledError} 5"]


def test_noTimer() -> None:
    """
    A Deferred that has a result gets no timer.
    """
    clock = Clock()
    within(succeed(1), 5, clock)
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize("late", [False, True])
def test_waitingForAnother(late: bool) -> None:
    """
    A Deferred that waits for another one, which a callback returned, has no result yet.
    """
    clock, other = Clock(), Deferred[int]()
    one: Deferred[int] = succeed(1).addCallback(lambda _: other)
    within(one, 5, clock)
    assert len(clock.getDelayedCalls()) == 1
    if late:
        clock.advance(5)
        failures: list[object] = []
        one.addErrback(lambda failure: failures.append(failure.check(TimeoutError)))
        assert failures == [TimeoutError]
    else:
        other.callback(2)
        assert not clock.getDelayedCalls()
