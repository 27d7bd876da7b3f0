"""
Tests of L{pptpgw.slices}.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.slices import inSlices
from tests.ticking import Ticking


def steps(count: int, done: list[int]) -> Iterator[None]:
    """
    Note the number of each step.
    """
    for number in range(count):
        done.append(number)
        yield


def test_shortWorkIsDoneAtOnce() -> None:
    clock, done = Clock(), list[int]()
    fired: list[None] = []
    inSlices(clock, steps(1000, done)).addCallback(fired.append)
    assert len(done) == 1000
    assert fired == [None]
    assert clock.getDelayedCalls() == []


def test_longWorkLetsOthersHaveTheirTurn() -> None:
    """
    It ends all the same, with one slice a turn.
    """
    clock, done = Ticking(), list[int]()
    fired: list[None] = []
    inSlices(clock, steps(100, done)).addCallback(fired.append)
    most = 0
    while not fired:
        before = len(done)
        clock.turn()
        most = max(most, len(done) - before)
    assert len(done) == 100
    assert 1 < most < 10


def test_whatAStepRaisesEndsIt() -> None:
    clock, done = Ticking(), list[int]()
    failures: list[Failure] = []

    def failing() -> Iterator[None]:
        yield from steps(10, done)
        raise ValueError("enough")

    inSlices(clock, failing()).addErrback(failures.append)
    clock.finish()
    assert [failure.getErrorMessage() for failure in failures] == ["enough"]


def test_cancelled() -> None:
    """
    The rest is left undone, be it cancelled between slices or by a step.
    """
    clock, done = Ticking(), list[int]()
    work = inSlices(clock, steps(100, done)).addErrback(lambda why: why.trap(CancelledError))
    before = len(done)
    work.cancel()
    clock.finish()
    assert 0 < len(done) == before
    assert clock.getDelayedCalls() == []
