"""
Tests for L{pptpgw.sessions.ending}.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.sessions.ending import REPORT_SECONDS, Endings


class Working(Clock):
    """
    A clock that moves on by a millisecond for each release while C{working} is true.
    """

    working = False

    def work(self) -> None:
        if self.working:
            self.rightNow += 0.001


class World:
    """
    Endings, and the users whose addresses were released.
    """

    def __init__(self) -> None:
        self.clock = Working()
        self.endings = Endings(self.clock)
        self.released: list[str] = []

    def begin(self, user: str, *reports: Deferred[Any]) -> None:
        self.endings.begin(user, reports, lambda: self._release(user))

    def _release(self, user: str) -> None:
        self.clock.work()
        self.released.append(user)

    def over(self, user: str) -> list[object]:
        fired: list[object] = []
        self.endings.over({user}).addCallback(fired.append)
        return fired


@pytest.fixture
def world() -> World:
    return World()


def test_allReports(world: World) -> None:
    """
    The addresses are released at the last of the reports, and no timer is left.
    """
    first: Deferred[None] = Deferred()
    second: Deferred[None] = Deferred()
    world.begin("alice", first, second)
    second.callback(None)
    assert world.released == [] and len(world.endings) == 1
    first.callback(None)
    assert world.released == ["alice"] and len(world.endings) == 0
    assert world.clock.getDelayedCalls() == []


def test_tooLate(world: World) -> None:
    """
    A report that takes longer than L{REPORT_SECONDS} is no longer waited for. It isn't cancelled,
    so its work goes on.
    """
    cancelled: list[object] = []
    report: Deferred[None] = Deferred(cancelled.append)
    world.begin("alice", report)
    world.clock.advance(REPORT_SECONDS - 0.1)
    assert world.released == []
    world.clock.advance(0.1)
    assert world.released == ["alice"]
    report.callback(None)
    assert world.released == ["alice"] and not cancelled


def test_whoeverWaits(world: World) -> None:
    """
    C{over} waits for those endings of the users that had begun when it was called.
    """
    reports: list[Deferred[None]] = [Deferred() for _ in range(3)]
    world.begin("alice", reports[0])
    world.begin("alice", reports[1])
    waiting = world.over("alice")
    world.begin("alice", reports[2])
    assert world.over("bob") == [None]
    reports[0].callback(None)
    assert waiting == []
    reports[1].callback(None)
    assert waiting == [None]
    assert world.released == ["alice", "alice"]


def test_whoeverWaitsNoLonger(world: World) -> None:
    report: Deferred[None] = Deferred()
    world.begin("alice", report)
    waiting = world.endings.over({"alice"})
    failures: list[Failure] = []
    waiting.addErrback(failures.append)
    waiting.cancel()
    assert [type(failure.value) for failure in failures] == [CancelledError]
    report.callback(None)
    assert world.released == ["alice"]


def test_finish(world: World) -> None:
    reports: list[Deferred[None]] = [Deferred(), Deferred()]
    world.begin("alice", reports[0])
    world.begin("bob", reports[1])
    waiting = world.over("bob")
    finished: list[object] = []
    world.endings.finish().addCallback(finished.append)
    assert finished == [None]
    assert world.released == ["alice", "bob"] and waiting == [None]
    assert world.clock.getDelayedCalls() == []


def test_finishOfMany(world: World) -> None:
    """
    C{finish} releases the addresses of many sessions in slices of a few milliseconds.
    """
    for number in range(500):
        world.begin(f"user {number}", Deferred())
    world.clock.working = True
    finished: list[object] = []
    world.endings.finish().addCallback(finished.append)
    most = len(world.released)
    assert 0 < most < 10 and not finished
    while not finished:
        before = len(world.released)
        world.clock.advance(0.001)
        most = max(most, len(world.released) - before)
    assert len(world.released) == 500 and most < 10
    assert world.clock.getDelayedCalls() == []
