"""
Tests for L{pptpgw.timing.slices}.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.timing.slices import Burst, inSlices, oneByOne
from tests.ticking import Ticking


def steps(count: int, done: list[int]) -> Iterator[None]:
    """
    A generator that records the number of each step.
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
    Long work is done in one slice a turn, and ends.
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
    The rest of cancelled work isn't done, whether it is cancelled between slices or by a step.
    """
    clock, done = Ticking(), list[int]()
    work = inSlices(clock, steps(100, done)).addErrback(lambda why: why.trap(CancelledError))
    before = len(done)
    work.cancel()
    clock.finish()
    assert 0 < len(done) == before
    assert clock.getDelayedCalls() == []


class Asked:
    """
    A burst, and the numbers of the calls that it has done.
    """

    def __init__(self) -> None:
        self.clock = Ticking()
        self.burst = Burst(self.clock)
        self.done: list[int] = []

    def ask(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.burst.do(self.done.append, number)


def test_fewThingsAreDoneAtOnce() -> None:
    """
    Single calls are done at once, however many there are over time.
    """
    asked = Asked()
    for number in range(100):
        asked.ask([number])
        assert asked.done[-1] == number
        asked.clock.turn()
    assert asked.clock.getDelayedCalls() == []


def test_aBurst() -> None:
    """
    The calls of a burst that don't fit one turn are done in later ones, in order, with those that
    are added meanwhile.
    """
    asked = Asked()
    asked.ask(range(100))
    assert 0 < len(asked.done) < 10
    asked.clock.turn()
    asked.ask([100])
    before = len(asked.done)
    assert asked.clock.finish() > 5
    assert before < 30
    assert asked.done == list(range(101))


def test_aBurstOfAProcessThatIsHeldUp() -> None:
    """
    A turn does one slice of a burst, however long other processes hold the processor meanwhile.
    """
    asked = Asked()
    for number in range(20):
        asked.ask([number])
        asked.clock.rightNow += 1
    assert asked.done == [0]
    asked.clock.finish()
    assert asked.done == list(range(20))


class Thing:
    """
    An object whose end is recorded.
    """


def test_oneByOne() -> None:
    """
    Each object is freed when the next one is taken, unless somebody else has it.
    """
    things = {Thing() for _ in range(10)}
    gone: list[int] = []
    for thing in things:
        weakref.finalize(thing, gone.append, 1)
    del thing
    each = oneByOne(things)
    for count in range(10):
        things.discard(next(each))
        assert len(gone) == count + 1


def test_oneOfABurstThatFails(loggedFailures: list[Failure]) -> None:
    """
    An exception of one call of a burst is logged, and the calls after it are done.
    """
    asked = Asked()
    asked.ask(range(50))
    asked.burst.do(int, "x")
    asked.ask([50])
    asked.clock.finish()
    assert asked.done == list(range(51))
    (failure,) = loggedFailures
    assert failure.check(ValueError)
    loggedFailures.clear()
