"""
Tests that ended sessions leave nothing that only the garbage collector would free. (A collection of
many objects stops the gateway for a while, and frozen objects are never collected.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock, deferLater

from pptpgw.config.section import LimitsSection
from pptpgw.error import Exhausted, PPTPGWError, Refused, Unavailable
from pptpgw.interfaces import Grant, INetworkProtocol, ISubscriber
from pptpgw.networks.ethernet.plugin import BridgedSession
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv6.routed import RoutedIPV6CP
from pptpgw.networks.mpls.plugin import Neighbour
from pptpgw.ppp.link import Link
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.ending import REPORT_SECONDS
from pptpgw.sessions.line import Line
from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.session import Session
from tests.garbage import leftBy
from tests.hostile.callers import KINDS, Caller
from tests.hostile.world import USERS, World


def ignore(packet: bytes) -> None:
    """
    Ignore a packet.
    """


def ipv4(world: World) -> list[INetworkProtocol]:
    """
    The protocols of a caller with IPv4 alone.
    """
    return [IPCP(IPv4Settings.client(ignore))]


def everything(world: World) -> list[INetworkProtocol]:
    """
    The protocols of a caller with every protocol.
    """
    return [kind(world.clock).ends[0] for kind in KINDS]


def vanish(caller: Caller) -> None:
    caller.drop()


def hangUp(caller: Caller) -> None:
    caller.hangUp()


def beHungUp(caller: Caller) -> None:
    caller.line.hangUp("enough")


def terminate(caller: Caller) -> None:
    caller.say(ppp.LCP, ppp.encodePacket(ppp.TERMINATE_REQUEST, 1))


def negotiateAnew(caller: Caller) -> None:
    lcp = caller.call.link.lcp
    lcp.lowerDown()
    lcp.lowerUp()
    caller.world.run(0.1)
    caller.hangUp()


def stay(caller: Caller) -> None:
    """
    Wait until a refused caller has been told.
    """
    caller.world.rest(20)


def forget(caller: Caller) -> None:
    """
    End the caller and forget its protocols.
    """
    caller.drop()
    caller.world.rest(70)
    # The client's call keeps its protocols for the program that placed it.
    caller.call.protocols.clear()


def assertFreed(world: World, call: Callable[[], None]) -> None:
    """
    Assert that C{call} leaves nothing of ours in C{world} to the collector, and stop the world.
    """
    found = leftBy(call)
    world.stop()
    assert not [kind for kind in found if kind.__module__.startswith("pptpgw")]


class Accountant(SessionObserver):
    """
    An observer that delays the accounting of a session's end.
    """

    def __init__(self, seconds: float) -> None:
        self.clock = Clock()
        self.seconds = seconds

    def sessionEnded(self, session: object, cause: str) -> Deferred[None]:
        """
        See L{SessionObserver.sessionEnded}.
        """
        return deferLater(self.clock, self.seconds, lambda: None)


@pytest.mark.parametrize("seconds", [1.0, REPORT_SECONDS + 10])
def test_oneWhoseEndIsAccountedForIsFreed(seconds: float) -> None:
    """
    A session is freed when its end is accounted for, and also when that takes too long.
    """
    accountant = Accountant(seconds)
    world = World(observers=[accountant])
    accountant.clock = world.clock

    def call() -> None:
        caller = Caller(world, b"eve", ipv4(world))
        world.run(0.1)
        forget(caller)

    assertFreed(world, call)


@pytest.mark.parametrize("fault", [Refused, Exhausted, Unavailable])
def test_oneWhomANetworkTurnsAwayIsFreed(fault: type[PPTPGWError]) -> None:
    """
    A caller that a network refuses is freed, whatever the reason is.
    """
    world = World()

    def refuse(subscriber: ISubscriber, caller: object) -> Deferred[Any]:
        try:
            raise fault("no")
        except PPTPGWError:
            return fail()

    world.networks["ipv4"].makeProtocol = refuse

    def call() -> None:
        caller = Caller(world, b"eve", ipv4(world))
        world.rest(20)
        assert not caller.isThere()
        forget(caller)

    assertFreed(world, call)


def test_oneWhoIsLockedOutIsFreed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A locked-out caller is freed when it has been answered.
    """
    world = World()
    monkeypatch.setitem(USERS, b"stranger", b"a guess")

    def call() -> None:
        caller = Caller(world, b"stranger", ipv4(world))
        stay(caller)
        forget(caller)

    for _ in range(2 * LimitsSection().maxFailures):
        caller = Caller(world, b"stranger", ipv4(world))
        world.rest(9)
        caller.drop()
    assert world.gateway.context.lockout._users.locked("stranger")
    assertFreed(world, call)


def test_oneThatHangsUpWhileAnotherIsProbedIsFreed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A caller is freed that hangs up while it waits for a probe of the session that has its address.
    """
    world = World()
    Caller(world, b"alice", ipv4(world))
    world.rest(1)
    monkeypatch.setattr(Link, "probe", lambda link: Deferred())

    def call() -> None:
        caller = Caller(world, b"alice", ipv4(world))
        world.rest(1)
        assert caller.isThere()
        forget(caller)

    assertFreed(world, call)


def test_oneThatHangsUpWhileItIsJudgedIsFreed() -> None:
    """
    A caller is freed that hangs up while a checker judges it in a coroutine, as RADIUS's does.
    """
    world = World()

    async def hang() -> Grant:
        await Deferred[None]()
        raise AssertionError

    world.gateway.context = replace(
        world.gateway.context, authenticate=lambda claim: Deferred.fromCoroutine(hang())
    )

    def call() -> None:
        caller = Caller(world, b"eve", ipv4(world))
        world.rest(1)
        assert caller.isThere()
        forget(caller)

    assertFreed(world, call)


@pytest.mark.parametrize("encryption", ["require", "refused"])
@pytest.mark.parametrize("end", [vanish, hangUp, beHungUp, terminate, negotiateAnew, stay])
@pytest.mark.parametrize("protocols", [ipv4, everything])
@pytest.mark.parametrize("user", [b"eve", b"stranger"])
def test_anEndedSessionIsFreed(
    user: bytes,
    protocols: Callable[[World], list[INetworkProtocol]],
    end: Callable[[Caller], None],
    encryption: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    An ended session is freed, however it ends, whether it was let in or not, and whether it was
    encrypted or not.
    """
    world = World("prefer" if encryption == "refused" else encryption)
    if encryption == "refused":
        # The callers' setting.
        world.encryption = "off"
    monkeypatch.setitem(USERS, b"stranger", b"a guess")

    def call() -> None:
        caller = Caller(world, user, protocols(world))
        world.run(0.1)
        if caller.isThere():
            end(caller)
            world.run(0.2)
        forget(caller)

    found = leftBy(call)
    world.stop()
    if protocols is ipv4:
        # The client has objects of the same classes.
        ours = [kind for kind in found if kind.__module__.startswith("pptpgw")]
    else:
        ours = [
            kind for kind in (Line, Session, RoutedIPV6CP, BridgedSession, Neighbour) if found[kind]
        ]
    assert ours == []
