"""
Tests of L{pptpgw.sessions.ending}, and of how observers are told.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.sessions.ending import REPORT_SECONDS, Endings
from pptpgw.sessions.observer import SessionObserver, tell


class World:
    """
    Endings, and what was given back.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.endings = Endings(self.clock)
        self.released: list[str] = []

    def begin(self, user: str, *reports: Deferred[Any]) -> None:
        self.endings.begin(user, reports, lambda: self.released.append(user))

    def over(self, user: str) -> list[object]:
        fired: list[object] = []
        self.endings.over({user}).addCallback(fired.append)
        return fired


@pytest.fixture
def world() -> World:
    return World()


def test_allReports(world: World) -> None:
    """
    The last one decides, and no timer is left.
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
    Who takes too long isn't waited for, nor cancelled: its work goes on.
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
    For one's own sessions, all of those that were over by then.
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
    world.endings.finish()
    assert world.released == ["alice", "bob"] and waiting == [None]
    assert world.clock.getDelayedCalls() == []


class Reporter(SessionObserver):
    """
    Answers what it is told to.
    """

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def sessionEnded(self, session: object, cause: str) -> Deferred[Any] | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        report: Deferred[Any] | None = self.answer
        return report


def test_tell(loggedFailures: list[Failure]) -> None:
    """
    Only who isn't done is waited for; what fails, now or later, is logged and counts as done.
    """
    pending: Deferred[None] = Deferred()
    chained = succeed(None)
    within: Deferred[None] = Deferred()
    chained.addCallback(lambda _: within)
    observers = [
        Reporter(answer) for answer in (None, succeed(1), ValueError("at once"), pending, chained)
    ]
    reports = tell(observers, "sessionEnded", object(), "")
    assert len(reports) == 2
    done: list[object] = []
    for report in reports:
        report.addCallback(done.append)
    pending.errback(KeyError("later"))
    within.callback(None)
    assert done == [None, None]
    assert [type(failure.value) for failure in loggedFailures] == [ValueError, KeyError]
    loggedFailures.clear()


def test_anObserverThatLacksAMethod(loggedFailures: list[Failure]) -> None:
    """
    It is named in the log, and whoever comes behind it is told.
    """
    lacking: Any = object()
    last: Deferred[None] = Deferred()
    assert len(tell([lacking, Reporter(last)], "sessionEnded", object(), "cause")) == 1
    assert [type(failure.value) for failure in loggedFailures] == [AttributeError]
    loggedFailures.clear()
