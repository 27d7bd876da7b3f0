"""
Tests with sessions that come and go, in every order and phase.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from pptpgw.networks.ethernet import wire
from pptpgw.networks.ipx import wire as ipx
from pptpgw.ppp.wire import ppp
from tests.hostile import packets
from tests.hostile.callers import CONTROLS, KINDS, Caller, Honest, Hostile, raw
from tests.hostile.limits import (
    LIMITS,
    LIMITS_PER_CALL,
    assertGivenBack,
    assertWithinLimits,
    containers,
    living,
    rest,
)
from tests.hostile.world import World

SESSIONS = 100
AT_ONCE = 12


class Churn:
    """
    Callers of all kinds.

    @ivar gone: those that have ended.
    @ivar opened: how many sessions had every protocol open.
    """

    def __init__(self, world: World, random: Random) -> None:
        self.world = world
        self.random = random
        self.callers: list[Caller] = []
        self.gone: list[Caller] = []
        self.opened = 0

    def one(self) -> None:
        """
        Add one caller of a random kind.
        """
        ways: list[Callable[[], Caller]] = [
            self.early,
            self.whole,
            self.whole,
            self.anew,
            self.using,
            self.silent,
        ]
        self.callers.append(self.random.choice(ways)())
        while len(self.callers) >= AT_ONCE or (self.callers and self.random.random() < 0.3):
            self.end(self.callers.pop(self.random.randrange(len(self.callers))))

    def end(self, caller: Caller) -> None:
        """
        End one caller, in order or not.
        """
        match self.random.randrange(4):
            case 0:
                caller.drop()
            case 1:
                caller.hangUp()
            case 2:
                if caller.isThere():
                    caller.line.hangUp("enough")
            case _:
                caller.say(ppp.LCP, ppp.encodePacket(ppp.TERMINATE_REQUEST, 1))
        self.world.run(self.random.choice((0.001, 0.01)))
        self.gone.append(caller)

    def early(self) -> Caller:
        """
        A caller that ends somewhere between the call and its first protocol.
        """
        caller = self._call()
        self.world.run(self.random.randrange(1, 40) / 1000)
        return caller

    def whole(self) -> Caller:
        """
        A caller that opens every protocol.
        """
        caller = self._call()
        self.world.run(0.1)
        self.opened += len(caller.session.networks) == len(CONTROLS)
        return caller

    def anew(self) -> Caller:
        """
        A caller that negotiates LCP anew while its protocols are open, and perhaps again.
        """
        caller = self.whole()
        for _ in range(self.random.randrange(1, 4)):
            lcp = caller.call.link.lcp
            lcp.lowerDown()
            lcp.lowerUp()
            self.world.run(self.random.randrange(1, 90) / 1000)
        return caller

    def using(self) -> Caller:
        """
        A caller that takes as much as it can of everything.
        """
        hostile = Hostile(self.world, b"mallory")
        for control in CONTROLS:
            hostile.do_follow(control)
        caller = hostile.caller
        node = caller.protocol("ipx").peerNode
        hostile.do_send((ppp.IPV6, packets.solicit(self.random.randrange(9), rapid=True)), 1)
        for number in range(20):
            source = b"\x02" + self.random.randbytes(5)
            hostile.do_send((ppp.BRIDGE, wire.encode(packets.frame(source=source))), 1)
            told = packets.rip(ipx.RESPONSE, number + 1) if number % 2 else packets.sap(number)
            hostile.do_send((ppp.IPX, told[:22] + node + told[28:]), 1)
        return caller

    def silent(self) -> Caller:
        """
        A caller that sends nothing after it has authenticated.
        """
        caller = Caller(self.world, b"eve", raw())
        self.world.run(0.05)
        return caller

    def _call(self) -> Caller:
        ends = [kind(self.world.clock).ends[0] for kind in KINDS]
        return Caller(self.world, self.random.choice((b"eve", b"mallory")), ends)


def test_theLimitsAreOfWhatThereIs() -> None:
    """
    Every limit that is checked belongs to a container that a gateway in use has.
    """
    world = World()
    churn = Churn(world, Random(1))
    churn.using()
    there = containers(world.gateway, world.callIDs).keys()
    assert LIMITS.keys() | LIMITS_PER_CALL.keys() <= there
    world.stop()


@pytest.mark.parametrize("encryption", ("require", "off"))
def test_churn(encryption: str) -> None:
    """
    L{SESSIONS} sessions leave the gateway as it was, and two other callers are served all the time.
    """
    world = World(encryption)
    honest = Honest(world)
    honest.assertServed()
    before, alive = rest(world), living()
    churn = Churn(world, Random(encryption))
    for number in range(SESSIONS):
        churn.one()
        if number % 50 == 49:
            assertWithinLimits(world, AT_ONCE + 2 + 20)
            honest.assertServed()
            world.assertNoFailure()
    assert churn.opened > SESSIONS / 4
    while churn.callers:
        churn.end(churn.callers.pop())
    # Callers that are in the middle of something are given up in the end.
    world.rest(70)
    for caller in churn.gone:
        caller.drop()
    del churn, caller
    world.rest(1)
    honest.assertServed()
    world.assertNoFailure()
    world.rest(1)
    assertGivenBack(world, before, alive)
    world.stop()
