"""
Tests for what callers are told, and what is logged, while nobody can judge or serve them. The
gateway and its callers are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from pptpgw.error import Exhausted, Unavailable
from pptpgw.ppp.exchange import OUTAGE, VERIFICATION_SECONDS
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.outage import QUIET_SECONDS
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.wire.code import CauseCode, DisconnectResult, GeneralError
from pptpgw.tunnels.pptp.wire.message import CallDisconnectNotify, ControlMessage
from tests.limited import Made, World, worlds

make = pytest.fixture(worlds)


def away(credentials: Any) -> Deferred[Any]:
    return fail(Unavailable("db.example, port 5432: connection refused"))


def broken(credentials: Any) -> Deferred[Any]:
    raise KeyError("broken")


def hung(credentials: Any) -> Deferred[Any]:
    return Deferred()


@contextmanager
def judging(world: World, judge: Callable[[Any], Deferred[Any]]) -> Iterator[None]:
    """
    Replace the checker's judgement by C{judge}.
    """
    checker: Any = world.checker
    checker.requestAvatarId = judge
    yield
    del checker.requestAvatarId


def outages(world: World) -> list[str]:
    return [line for line in world.log if "outage" in line]


def authenticated(world: World) -> list[bytes]:
    """
    The packets of authentication that the gateway sent, without their random parts.
    """
    channels = world.dataPath.channels
    return [bytes(one[:1]) for each in channels for number, one in each.sent if number == ppp.CHAP]


@pytest.mark.parametrize("judge", [away, broken, hung])
def test_callersHearIt(
    make: Made,
    judge: Callable[[Any], Deferred[Any]],
    monkeypatch: pytest.MonkeyPatch,
    loggedFailures: list[Failure],
) -> None:
    """
    When the checker is away, raises or hangs, the link ends with a text and the call with 'no
    resources'. No caller is told that a password is wrong, and no guess is counted.
    """
    notices: list[CallDisconnectNotify] = []
    send = ControlConnection.send

    def watched(connection: ControlConnection, message: ControlMessage) -> None:
        if isinstance(message, CallDisconnectNotify):
            notices.append(message)
        send(connection, message)

    monkeypatch.setattr(ControlConnection, "send", watched)
    world = make(maxFailures=2)
    with judging(world, judge):
        placed = [world.call(b"alice", f"192.0.2.{number}") for number in range(20, 25)]
        world.run(VERIFICATION_SECONDS + 5, 0.01)
    assert {one.failure for one in placed} == {f"the peer terminated LCP: {OUTAGE}"}
    assert {(one.result, one.error, one.cause) for one in notices} == {
        (
            DisconnectResult.GENERAL_ERROR,
            GeneralError.NO_RESOURCE,
            CauseCode.RESOURCE_UNAVAILABLE,
        )
    }
    # Only Challenges.
    assert set(authenticated(world)) == {b"\x01"}
    assert not world.observer.lockouts
    assert world.call(b"alice").call is not None
    # One failure, however many calls there were.
    assert len(loggedFailures) == (judge is broken)
    loggedFailures.clear()


def test_theLogTellsOnce(make: Made) -> None:
    """
    The log reports the beginning of an outage with its reason, and its end with the number of
    claims that it affected. A short interruption of an outage isn't its end.
    """
    world = make()
    with judging(world, away):
        for _ in range(7):
            world.call(b"alice")
    assert outages(world) == [
        "an outage begins: callers can't be judged or served: db.example, port 5432: connection "
        "refused"
    ]
    world.call(b"alice")
    world.run(QUIET_SECONDS - 1, 0.05)
    with judging(world, away):
        world.call(b"alice")
    world.run(QUIET_SECONDS + 1, 0.05)
    assert len(outages(world)) == 1
    world.call(b"bob")
    world.run(QUIET_SECONDS + 1, 0.05)
    assert len(outages(world)) == 2
    assert outages(world)[1].startswith("the outage is over after 2")
    assert outages(world)[1].endswith(" s: 8 claims were turned away")
    assert not [line for line in world.log if "is refused" in line]
    assert len(world.observer.refused) == 8


def test_sessionsAreKept(make: Made) -> None:
    """
    Sessions whose callers are challenged during an outage go on, and are judged when that is
    possible.
    """
    world = make(options={"rechallenge": 30.0})
    for number in range(20, 40):
        world.call(b"alice", f"192.0.2.{number}")
    with judging(world, away):
        world.run(120, 0.05)
    assert len(world.gateway.sessions) == 20 and not world.observer.ended
    world.checker.profiles.clear()
    world.run(60, 0.05)
    assert not world.gateway.sessions


def test_nothingIsLeftToGive(make: Made) -> None:
    """
    A caller for whom a network has nothing gets the same answer, and that isn't an outage.
    """
    world = make()
    network = world.gateway.context.networks["ipv4"]
    allocate = network.pool.allocate
    network.pool.allocate = lambda subscriber, caller: fail(
        Exhausted("the address pool is used up")
    )
    placed = world.call(b"alice")
    assert placed.failure == f"the peer terminated LCP: {OUTAGE}"
    assert not outages(world)
    assert any("is refused, by mschapv2: the address pool is used up" in one for one in world.log)
    network.pool.allocate = allocate
    assert world.call(b"alice").call is not None


def test_stop(make: Made) -> None:
    """
    A gateway that stops during an outage logs how many claims the outage affected, and leaves no
    timer.
    """
    world = make()
    with judging(world, away):
        world.call(b"alice")
    world.call(b"bob")
    world.gateway.stop(1)
    world.run(2, 0.05)
    world.gateway.context.refusals.stop()
    assert outages(world)[1].endswith(" s: 1 claims were turned away")
    assert not world.gateway.lines
