"""
Tests for L{pptpgw.sessions.tally}: what a gateway counts of its callers.
"""

from __future__ import annotations

import pytest

from pptpgw.config.section import LimitsSection
from pptpgw.counting.distribution import Distribution
from pptpgw.error import Category
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.tally import CallResult
from tests.limited import World


def test_aCallFromItsRequestToItsEnd() -> None:
    """
    A call that is served counts once, with the time of its set-up, and its session at its end.
    """
    world = World(LimitsSection())
    world.allow(Profile("alice"))
    tally = world.gateway.tally
    call = world.call(b"alice")
    assert tally.calls == {("pptp", CallResult.OPENED): 1}
    setups = tally.setups["pptp"]
    assert sum(setups.counts) == 1 and 0 < setups.sum < 0.2
    assert (tally.setUp().counts, tally.setUp().sum) == (setups.counts, setups.sum)
    assert not tally.ends and not tally.refusals
    call.hangUp()
    world.run(0.2)
    assert tally.ends == {Termination.USER_REQUEST: 1}
    assert tally.calls == {("pptp", CallResult.OPENED): 1}


@pytest.mark.parametrize(
    ("profile", "password", "category"),
    [
        (Profile("bob"), b"alice", Category.WRONG_PASSWORD),
        (Profile("alice"), b"wrong", Category.WRONG_PASSWORD),
        (Profile("alice", sessions=1, pool="none"), b"alice", Category.NO_ADDRESS),
        (Profile("alice", protocols=frozenset(("ipx",))), b"alice", Category.FORBIDDEN),
        (Profile("alice", hours="Wk0000-0000"), b"alice", Category.FORBIDDEN),
    ],
)
def test_whoIsRefused(profile: Profile, password: bytes, category: Category) -> None:
    """
    A call that ends before it is served has failed, and the reason is counted in one word.
    """
    world = World(LimitsSection())
    world.allow(profile)
    placed = world.place(world.connect(), b"alice", password)
    world.run(5)
    assert placed.failure
    assert world.gateway.tally.calls == {("pptp", CallResult.FAILED): 1}
    assert set(world.gateway.tally.refusals) == {("pptp", category)}


def test_lockout() -> None:
    """
    A claim during a lockout is told apart from the false ones that led to it.
    """
    world = World(LimitsSection(maxFailures=2, lockout=600.0))
    world.allow(Profile("alice"))
    for password in (b"wrong", b"wrong", b"alice"):
        world.place(world.connect(), b"alice", password)
        world.run(20, 0.05)
    refusals = world.gateway.tally.refusals
    assert refusals["pptp", Category.WRONG_PASSWORD] == 2
    assert refusals["pptp", Category.LOCKED_OUT] > 0


def test_limits() -> None:
    """
    A session too many is refused by limits, and a call too many because the gateway is busy.
    """
    world = World(LimitsSection(maxSessions=1, maxSetups=1, maxSetupsPerSource=1))
    world.allow(Profile("alice"), Profile("bob"))
    tally = world.gateway.tally
    first, second = world.connect("192.0.2.7"), world.connect("192.0.2.8")
    world.place(first, b"alice")
    world.place(second, b"bob")
    world.run(0.3)
    assert tally.refusals == {("pptp", Category.BUSY): 1}
    world.place(second, b"bob")
    world.run(0.3)
    assert tally.refusals == {("pptp", Category.BUSY): 1, ("pptp", Category.LIMITS): 1}
    assert tally.calls == {("pptp", CallResult.OPENED): 1, ("pptp", CallResult.REFUSED): 2}


def test_whoComesTooLate() -> None:
    """
    Calls during a drain, and while the gateway stops, are counted alike.
    """
    world = World(LimitsSection())
    world.allow(Profile("alice"))
    world.gateway.drain(lambda: None)
    world.call(b"alice")
    world.gateway.undrain()
    connection = world.connect()
    world.gateway.stop(1)
    world.place(connection, b"alice")
    world.run(0.3)
    assert world.gateway.tally.refusals == {("pptp", Category.DRAINING): 2}
    assert world.gateway.tally.calls == {("pptp", CallResult.REFUSED): 2}


def test_ends() -> None:
    """
    The end of a session counts by the code of its cause, also one of a plain text.
    """
    world = World(LimitsSection())
    world.allow(Profile("alice"), Profile("bob"))
    world.call(b"alice"), world.call(b"bob")
    texts = ["a plain text", Cause("idle for too long", Termination.IDLE_TIMEOUT)]
    for session, text in zip(world.gateway.sessions, texts, strict=True):
        session.hangUp(text)
    world.run(0.5)
    assert world.gateway.tally.ends == {
        Termination.NAS_REQUEST: 1,
        Termination.IDLE_TIMEOUT: 1,
    }


def test_distribution() -> None:
    """
    A value belongs to the first range whose bound isn't lower, and the last range has no bound.
    """
    distribution = Distribution((1, 2))
    for value in (0, 1, 1.5, 2, 2.5, 100):
        distribution.add(value)
    assert distribution.counts == [2, 2, 2]
    assert distribution.sum == 107
    other = Distribution((1, 2))
    other.add(2)
    other.merge(distribution)
    assert (other.counts, other.sum) == ([2, 3, 2], 109)
