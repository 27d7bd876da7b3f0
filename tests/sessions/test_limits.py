"""
Tests for L{pptpgw.sessions.limits}.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.task import Clock

from pptpgw.config.section import LimitsSection
from pptpgw.sessions import hours
from pptpgw.sessions.cause import Cause, Termination, codeOf
from pptpgw.sessions.limits import HOURS_SECONDS, VOLUME_SECONDS, SessionLimits
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import Session
from pptpgw.testing import makeSession

NOON = 43200.0


class World:
    """
    Limits, and the times and causes at which they ended sessions.
    """

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.limits = SessionLimits(self.clock, LimitsSection(**limits), self.clock.seconds)
        self.ended: list[tuple[float, str, Termination]] = []

    def begin(self, **profile: Any) -> Session:
        session = makeSession(
            Profile("alice", **profile),
            seconds=self.clock.seconds,
            hangUp=self._hungUp,
            changed=self.limits.sessionChanged,
        )
        self.limits.sessionStarted(session)
        return session

    def _hungUp(self, cause: str) -> None:
        assert isinstance(cause, Cause)
        self.ended.append((self.clock.seconds(), str(cause), codeOf(cause)))

    def run(self, seconds: float, step: float = 0.5) -> None:
        for _ in range(int(seconds / step)):
            self.clock.advance(step)


def test_theMachinesClockIsSet() -> None:
    """
    A change of the machine's clock neither prolongs nor shortens a session.
    """
    world = World(sessionTimeout=100.0, idleTimeout=200.0)
    session = world.begin()
    for since in (session.since + 300, session.since - 600):
        session.since = since
        world.limits.sessionChanged(session)
    world.run(99)
    assert not world.ended
    world.run(2)
    assert world.ended == [(100.0, "the session's time is over", Termination.SESSION_TIMEOUT)]


def test_noLimitNoTimer() -> None:
    world = World()
    world.begin()
    assert world.clock.getDelayedCalls() == []


def test_oneTimer() -> None:
    """
    A session has one timer, however many limits it has, and none when it has ended.
    """
    world = World()
    session = world.begin(sessionTimeout=10, idleTimeout=10, volume=10, hours="Mo")
    assert len(world.clock.getDelayedCalls()) == 1
    session.change(replace(session.profile, sessionTimeout=20))
    assert len(world.clock.getDelayedCalls()) == 1
    world.limits.sessionEnded(session, "")
    assert world.clock.getDelayedCalls() == []
    session.change(session.profile)
    assert world.clock.getDelayedCalls() == []


def test_time() -> None:
    world = World()
    world.begin(sessionTimeout=100.0)
    world.run(99.5)
    assert world.ended == []
    world.run(200)
    assert world.ended == [(100, "the session's time is over", Termination.SESSION_TIMEOUT)]


def test_configuration() -> None:
    """
    The configuration's limits apply where the account has none, and an account's 0 is no limit.
    """
    world = World(sessionTimeout=50.0, idleTimeout=50.0, volume=50)
    world.begin()
    assert world.clock.getDelayedCalls()
    world = World(sessionTimeout=50.0, idleTimeout=50.0, volume=50)
    world.begin(sessionTimeout=0, idleTimeout=0, volume=0)
    assert world.clock.getDelayedCalls() == []


def test_silence() -> None:
    """
    Packets from the user keep a session alive. An idle session ends at most a quarter of its
    C{idleTimeout} too late.
    """
    world = World()
    session = world.begin(idleTimeout=40.0)
    for _ in range(10):
        session.counters.packetsReceived += 1
        world.run(30)
    assert world.ended == []
    world.run(60)
    ((when, text, code),) = world.ended
    assert 270 + 40 <= when <= 270 + 50
    assert (text, code) == ("the session was idle", Termination.IDLE_TIMEOUT)


def test_whatIsNoSignOfLife() -> None:
    """
    Frames that aren't packets, such as LCP's Echo-Requests, and packets to the user don't keep a
    session alive.
    """
    world = World()
    session = world.begin(idleTimeout=40.0)
    for _ in range(8):
        session.counters.framesReceived += 1
        session.counters.framesSent += 1
        session.counters.packetsSent += 1
        session.counters.octetsSent += 100
        world.run(5)
    assert [when for when, _, _ in world.ended] == [40]


@pytest.mark.parametrize("way", ["octetsReceived", "octetsSent"])
def test_volume(way: str) -> None:
    """
    The volume is that of both directions together. A session that exceeds it ends within
    L{VOLUME_SECONDS}.
    """
    world = World()
    session = world.begin(volume=1000)
    session.counters.octetsReceived = session.counters.octetsSent = 499
    world.run(100)
    assert world.ended == []
    setattr(session.counters, way, 501)
    world.run(VOLUME_SECONDS)
    ((when, text, code),) = world.ended
    assert when <= 100 + VOLUME_SECONDS
    assert (text, code) == ("the session's volume is used up", Termination.NAS_REQUEST)


def test_hours() -> None:
    """
    The session ends when the user's hours are over. (1970 began on a Thursday.)
    """
    world = World()
    world.clock.advance(NOON)
    world.begin(hours="Mo-Th")
    world.run(3600 * 24 * 2, 30)
    ((when, text, code),) = world.ended
    assert 0 <= when - (NOON + hours.parse("Mo-Th").left(NOON)) <= 30
    assert (text, code) == ("the user's hours are over", Termination.SESSION_TIMEOUT)


def test_theMachinesClock() -> None:
    """
    The hours are checked every L{HOURS_SECONDS}, however long they last, since the machine's clock
    may be set.
    """
    world = World()
    world.clock.advance(NOON)
    world.begin(hours="We-Su")
    (timer,) = world.clock.getDelayedCalls()
    assert timer.getTime() == NOON + HOURS_SECONDS


def test_hoursThatCannotBeRead() -> None:
    """
    A session ends when its account gets hours that can't be read.
    """
    world = World()
    session = world.begin()
    session.change(replace(session.profile, hours="late"))
    world.run(1)
    ((_, text, code),) = world.ended
    assert 'hours "late"' in text and code is Termination.NAS_ERROR


class TestChange:
    def test_shorter(self) -> None:
        """
        A session that exceeds a limit after a change of its account ends at once, but not while the
        change is being made.
        """
        world = World()
        session = world.begin(sessionTimeout=1000.0)
        world.run(100)
        session.change(replace(session.profile, sessionTimeout=50.0))
        assert world.ended == []
        world.run(0.5)
        assert [text for _, text, _ in world.ended] == ["the session's time is over"]

    def test_longer(self) -> None:
        """
        A session's new time limit counts from its beginning.
        """
        world = World()
        session = world.begin(sessionTimeout=100.0)
        world.run(50)
        session.change(replace(session.profile, sessionTimeout=200.0))
        world.run(300)
        assert [when for when, _, _ in world.ended] == [200]

    def test_noMore(self) -> None:
        world = World()
        session = world.begin(sessionTimeout=100.0, volume=10)
        session.change(replace(session.profile, sessionTimeout=None, volume=None))
        assert world.clock.getDelayedCalls() == []

    def test_silenceGoesOn(self) -> None:
        """
        A change of the account doesn't keep an idle session alive.
        """
        world = World()
        session = world.begin(idleTimeout=40.0)
        for _ in range(7):
            world.run(5)
            session.change(replace(session.profile, filter="x"))
        world.run(10)
        assert [when for when, _, _ in world.ended] == [40]


def test_thousands() -> None:
    """
    Each idle timeout costs four looks at a session, however many packets the session carries.
    """
    world = World()
    sessions = [world.begin(idleTimeout=600.0) for _ in range(2000)]
    looks = 0
    for _ in range(60):
        for session in sessions:
            session.counters.packetsReceived += 100
        due = [
            call
            for call in world.clock.getDelayedCalls()
            if call.getTime() <= world.clock.seconds() + 10
        ]
        looks += len(due)
        world.clock.advance(10)
    assert looks == 4 * len(sessions)
    assert world.ended == []
