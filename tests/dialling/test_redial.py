"""
Tests for L{pptpgw.dialling.redial}: when a dialled call is placed, and where to.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.internet.task import Clock

from pptpgw.config.dial import Dial
from pptpgw.dialling.redial import LOOK, STAYED, DialState, Redial
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.remedy import Remedy

DIAL = Dial("office", "pptp", ("one", "two"), "alice", "/password", retryMin=4, retryMax=60)
LOST = Cause("lost", Termination.LOST_CARRIER)
REFUSED = Cause("wrong password", Termination.USER_ERROR, Remedy.NOT_BELIEVED)


class Desk:
    """
    A L{Redial} and its placer, which records what it is asked.

    @ivar placed: the numbers of the addresses that were dialled.
    @ivar given: the causes for which calls were given up.
    """

    def __init__(self, now: float = 0.0, highest: bool = True, **keys: Any) -> None:
        self.clock = Clock()
        self.placed: list[int] = []
        self.given: list[str] = []
        self.start = now
        self.redial = Redial(
            self.clock,
            lambda: self.start + self.clock.seconds(),
            replace(DIAL, **keys),
            self,
            lambda low, high: high if highest else low,
        )

    @property
    def state(self) -> str:
        return self.redial.state.name

    def place(self, number: int) -> None:
        self.placed.append(number)

    def giveUp(self, cause: str) -> None:
        self.given.append(cause)

    def until(self) -> float:
        """
        The seconds until the next attempt.
        """
        assert self.redial.state is DialState.WAITING and self.redial.due is not None
        return self.redial.due - self.clock.seconds()

    def fail(self, cause: str = LOST) -> float:
        """
        Have the attempt fail, wait for the next one, and return the seconds of that.
        """
        self.redial.over(cause)
        seconds = self.until()
        self.clock.advance(seconds)
        return seconds


def test_addresses() -> None:
    """
    The addresses are tried in order, one soon after the other. The time between two rounds doubles
    up to the longest, and a call that works for a while ends that.
    """
    desk = Desk()
    desk.redial.up()
    seconds = [desk.fail() for _ in range(12)]
    assert desk.placed == [0, 1] * 6 + [0]
    assert seconds == [4, 4, 4, 8, 4, 16, 4, 32, 4, 60, 4, 60]
    desk.redial.opened()
    desk.clock.advance(STAYED)
    assert desk.fail() == 4
    assert desk.placed[-1] == 0 and desk.redial.failures == 0


def test_aCallThatDoesntLast() -> None:
    """
    A call that ends soon counts as a failure, or a peer that hangs up at once is dialled for ever.
    """
    desk = Desk(addresses=("one",))
    desk.redial.up()
    seconds = []
    for _ in range(3):
        desk.redial.opened()
        desk.clock.advance(STAYED - 1)
        seconds.append(desk.fail())
    assert seconds == [4, 8, 16]


def test_jitter() -> None:
    """
    Up to half of the time is taken off at random.
    """
    desk = Desk(highest=False)
    desk.redial.up()
    assert desk.fail() == 2


def test_refused() -> None:
    """
    A wrong password isn't tried again soon.
    """
    desk = Desk()
    desk.redial.up()
    assert [desk.fail(REFUSED), desk.fail(REFUSED)] == [60, 60]
    assert desk.placed == [0, 1, 0]


def test_late() -> None:
    """
    An attempt that takes too long is given up, and the next one waits for its end. The reason that
    is told is that of the first.
    """
    desk = Desk(timeout=10.0)
    desk.redial.up()
    desk.clock.advance(10)
    assert desk.given == ["no network was open after 10 s"]
    assert desk.state == "ENDING"
    desk.clock.advance(100)
    assert desk.placed == [0]
    desk.redial.over("the peer has hung up")
    assert str(desk.redial.cause) == "no network was open after 10 s"
    assert desk.until() == 4


def test_steered() -> None:
    """
    A call that an operator ends stays down until it is asked for again, which doesn't wait for the
    next attempt.
    """
    desk = Desk(when="asked")
    desk.redial.down("an operator")
    assert desk.state == "OFF" and not desk.given
    desk.redial.up()
    desk.redial.over(LOST)
    desk.redial.up()
    assert desk.placed == [0, 1]
    desk.redial.opened()
    desk.redial.up()
    desk.redial.down("an operator")
    assert desk.given == ["an operator"]
    desk.redial.up()
    desk.redial.over(LOST)
    assert desk.state == "WAITING"
    desk.redial.down("an operator")
    assert desk.state == "OFF" and not desk.clock.getDelayedCalls()


@pytest.mark.parametrize("when", ["always", "asked"])
def test_limits(when: str) -> None:
    """
    A call that was asked for is over at its limits. One that is to be up always is placed anew.
    """
    desk = Desk(when=when)
    desk.redial.up()
    desk.redial.opened()
    desk.clock.advance(100)
    desk.redial.over(Cause("idle", Termination.IDLE_TIMEOUT))
    assert desk.redial.state is (DialState.WAITING if when == "always" else DialState.OFF)


def test_hours() -> None:
    """
    Outside of its hours nothing is dialled, even if an operator asks. The clock is looked at again
    and again, since it may be set.
    """
    monday = datetime(2026, 11, 30, 7, 0).timestamp()
    desk = Desk(monday, hours="Mo-Fr 08:00-18:00")
    desk.redial.up()
    assert desk.until() == 3600 and not desk.placed
    desk.redial.up()
    for _ in range(59):
        desk.clock.advance(LOOK)
    assert not desk.placed
    desk.clock.advance(LOOK)
    assert desk.placed == [0]
    other = Desk(monday, hours="Mo-Fr 08:00-18:00")
    other.redial.up()
    other.start += 3600
    other.clock.advance(LOOK)
    assert other.placed == [0]


def test_changed() -> None:
    """
    Another description ends the call, and is dialled at once if the call waits.
    """
    desk = Desk()
    desk.redial.up()
    desk.fail()
    desk.redial.over(LOST)
    desk.redial.change(replace(DIAL, addresses=("three",)), "changed")
    assert desk.placed == [0, 1, 0]
    desk.redial.opened()
    desk.redial.change(DIAL, "changed")
    assert desk.given == ["changed"]
    desk.redial.over(LOST)
    assert desk.until() == 4


class Machine(RuleBasedStateMachine):
    """
    Whatever happens in whatever order: at most one call exists, a timer runs exactly while
    something is waited for, and the time between two attempts is within its bounds.
    """

    @initialize(
        addresses=st.integers(1, 4), shortest=st.integers(1, 20), longest=st.integers(1, 200)
    )
    def begin(self, addresses: int, shortest: int, longest: int) -> None:
        self.desk = Desk(
            addresses=tuple(map(str, range(addresses))), retryMin=shortest, retryMax=longest
        )
        self.ended = 0

    @property
    def outstanding(self) -> int:
        return len(self.desk.placed) - self.ended

    @rule()
    def up(self) -> None:
        self.desk.redial.up()

    @rule()
    def down(self) -> None:
        self.desk.redial.down("down")

    @rule()
    def opened(self) -> None:
        if self.outstanding:
            self.desk.redial.opened()

    @rule(cause=st.sampled_from([LOST, REFUSED, Cause("idle", Termination.IDLE_TIMEOUT)]))
    def over(self, cause: Cause) -> None:
        if self.outstanding:
            self.ended += 1
            self.desk.redial.over(cause)
            if self.desk.redial.state is DialState.WAITING:
                dial = self.desk.redial._dial
                assert min(dial.retryMin, dial.retryMax) / 2 <= self.desk.until()
                assert self.desk.until() <= max(dial.retryMin, dial.retryMax)

    @rule(seconds=st.integers(0, 300))
    def wait(self, seconds: int) -> None:
        self.desk.clock.advance(seconds)

    @invariant()
    def isSound(self) -> None:
        if not hasattr(self, "desk"):
            return
        redial, timers = self.desk.redial, len(self.desk.clock.getDelayedCalls())
        assert self.outstanding in (0, 1)
        holding = (DialState.DIALLING, DialState.UP, DialState.ENDING)
        assert (redial.state in holding) == bool(self.outstanding)
        assert timers == (redial.state in (DialState.WAITING, DialState.DIALLING))
        assert redial.isWanted or redial.state in (DialState.OFF, DialState.ENDING)
        assert 0 <= redial.number < len(redial._dial.addresses)


TestMachine = Machine.TestCase


@given(st.integers(0, 10**6))
def test_manyFailures(failures: int) -> None:
    """
    No number of failures makes the time overflow.
    """
    desk = Desk(addresses=("one",))
    desk.redial.up()
    desk.redial.failures = failures
    assert 0 < desk.fail() <= 60
