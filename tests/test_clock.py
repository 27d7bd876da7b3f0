"""
Tests for L{pptpgw.clock}. tests/lab/test_clock.py sets the machine's clock under a gateway.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.portal import Portal
from twisted.internet import reactor as installed
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.auth.realm import SubscriberRealm
from pptpgw.clock import Steady, steady
from pptpgw.config.configuration import Configuration
from pptpgw.service import GatewayService
from tests.ticking import Ticking

reactor: Any = installed


def test_aReactor() -> None:
    """
    The steady clock passes everything on to the reactor except time.
    """
    made = steady(reactor)
    assert made.seconds is monotonic
    assert made.listenTCP == reactor.listenTCP
    assert IReactorTime.providedBy(made) and IReactorTCP.providedBy(made)
    assert steady(made) is made


def test_oneIsToldForAll() -> None:
    """
    Everything that asks for a steady clock, such as a store, gets the gateway's, which is told when
    the machine's clock is set.
    """
    assert steady(reactor) is steady(reactor)


class Machine:
    """
    A machine whose clock can be set, with a reactor that uses the time of day.

    @ivar passed: the seconds that have really passed since the beginning.
    """

    def __init__(self) -> None:
        self.passed = 0.0
        self.reactor = Clock()
        self.steady = Steady(self.reactor, lambda: self.passed)

    def run(self, seconds: float) -> None:
        self.passed += seconds
        self.reactor.advance(seconds)

    def set(self, step: float) -> None:
        self.reactor.rightNow += step
        self.steady.clockWasSet()


@pytest.mark.parametrize("step", [-300.0, 300.0])
def test_theClockIsSet(step: float) -> None:
    """
    Pending and new timers run on time after the machine's clock was set.
    """
    machine = Machine()
    fired: list[float] = []
    machine.steady.callLater(10, lambda: fired.append(machine.passed))
    machine.run(4)
    machine.set(step)
    machine.steady.callLater(2, lambda: fired.append(machine.passed))
    for _ in range(20):
        machine.run(0.5)
    assert fired == [6, 10]
    assert machine.reactor.getDelayedCalls() == []


def test_aTimerThatFails(loggedFailures: list[Failure]) -> None:
    """
    An exception of a timer is logged, and the other timers run.
    """
    machine = Machine()
    fired: list[int] = []
    machine.steady.callLater(1, lambda: fired.append(1))
    machine.steady.callLater(1, fired.remove, 2)
    machine.steady.callLater(1, lambda: fired.append(3))
    machine.run(1)
    assert fired == [1, 3]
    assert [one.type for one in loggedFailures] == [ValueError]
    loggedFailures.clear()


def test_manyAtOnce() -> None:
    """
    A few of many timers run in each turn of the reactor, in order, so that others have their turns
    in between.
    """
    reactor = Ticking()
    made = Steady(reactor, reactor.seconds)
    fired: list[int] = []
    now = reactor.seconds()
    for number in range(100):
        made.callLater(now + 1 - reactor.rightNow, fired.append, number)
    reactor.rightNow += 1
    turns = 0
    while len(fired) < 100:
        before = len(fired)
        assert reactor.turn()
        assert 0 < len(fired) - before < 10
        turns += 1
    assert turns > 10
    assert fired == list(range(100))
    assert reactor.getDelayedCalls() == []


def test_whatIsOutdatedDoesNotPileUp() -> None:
    """
    The entries of timers that were cancelled, or moved to an earlier time, are removed a few at a
    time, and timers run as usual meanwhile.
    """
    machine = Machine()
    fired: list[int] = []
    kept = [machine.steady.callLater(1000 + n, fired.append, n) for n in range(100)]
    most = 0

    def entries() -> int:
        return len(machine.steady._heap) + len(machine.steady._swept)

    for number in range(3000):
        kept[-1].reset(900 - number / 10)
        before = entries()
        machine.steady.callLater(2000, lambda: None).cancel()
        assert before - entries() < 10
        most = max(most, before)
    assert 200 < most < 500
    assert set(machine.steady.getDelayedCalls()) == set(kept)
    machine.run(601)
    assert fired == [99]
    for _ in range(99):
        machine.run(machine.steady._due - machine.passed)
        machine.steady.callLater(2000, lambda: None).cancel()
    machine.run(1000)
    assert fired == [99, *range(99)]
    assert entries() == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("later"), st.integers(0, 20)),
        st.tuples(st.just("cancel"), st.integers(0, 99)),
        st.tuples(st.just("reset"), st.tuples(st.integers(0, 99), st.integers(0, 20))),
        st.tuples(st.just("delay"), st.tuples(st.integers(0, 99), st.integers(-5, 20))),
        st.tuples(st.just("run"), st.integers(1, 10)),
        st.tuples(st.just("set"), st.integers(-50, 50)),
    ),
    max_size=60,
)


@given(STEPS)
def test_asAnyClock(steps: list[tuple[str, Any]]) -> None:
    """
    The steady clock does the same as a clock that is never set, also when timers make further ones.
    Timers that are due at the same time may run in any order.
    """
    machine, other = Machine(), Clock()
    fired: tuple[list[Any], list[Any]] = ([], [])
    clocks: tuple[Any, Any] = (machine.steady, other)
    timers: tuple[dict[float, Any], dict[float, Any]] = ({}, {})

    def later(which: int, number: float, seconds: float, again: bool) -> None:
        def fire() -> None:
            fired[which].append((number, clocks[which].seconds()))
            if again:
                later(which, number + 0.5, seconds + 1, False)

        timers[which][number] = clocks[which].callLater(seconds, fire)

    for number, (kind, value) in enumerate(steps):
        if kind == "run":
            for _ in range(value):
                machine.run(1)
                other.advance(1)
        elif kind == "set":
            machine.set(value)
        for which in (0, 1):
            if kind == "later":
                later(which, number, value, value % 2 == 0)
            elif kind in ("cancel", "reset", "delay"):
                index, *amount = value if isinstance(value, tuple) else (value,)
                active = [one for _, one in sorted(timers[which].items()) if one.active()]
                if active:
                    getattr(active[index % len(active)], kind)(*amount)
    for _ in range(100):
        machine.run(1)
        other.advance(1)
    assert sorted(fired[0]) == sorted(fired[1])
    assert machine.steady.getDelayedCalls() == other.getDelayedCalls() == []
    assert machine.reactor.getDelayedCalls() == []


def test_aClockOfItsOwn() -> None:
    """
    A clock that isn't the time of day, such as that of a test, is used as it is.
    """
    clock = Clock()
    assert steady(clock) is clock


def test_theGateway() -> None:
    """
    All parts of the gateway have the steady clock.
    """
    service = GatewayService(reactor, Configuration(), Portal(SubscriberRealm(), []))
    assert service.gateway.context.clock.seconds is monotonic
