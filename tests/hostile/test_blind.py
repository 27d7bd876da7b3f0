"""
Tests with an attacker who sends packets in a caller's name and sees none, with a caller that floods
before it authenticates, and with honest callers whose packets look similar.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from pptpgw.datapath.earlylimit import EARLY, LIMIT
from pptpgw.ppp.automaton import RESTART_SECONDS
from pptpgw.ppp.wire import ppp
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.window import REACH
from pptpgw.tunnels.pptp.wire import gre
from tests.hostile.callers import Caller, Honest
from tests.hostile.world import SERVER, World
from tests.octets import encodeFrame

TERMINATE = ppp.encodePacket(ppp.TERMINATE_REQUEST, 1, b"")
NUMBERS = gre.NUMBERS


@pytest.fixture(params=["require", "off"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """
    A gateway, with and without encryption.
    """
    world = World(request.param)
    yield world
    world.assertNoFailure()
    world.stop()


class Blind:
    """
    Sends packets to the gateway in the name of a caller.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.wire = caller.world.wire
        call = caller.line.call
        assert isinstance(call, Call)
        self.callID = call.localCallID
        self.random = Random(37)

    def send(self, number: int, protocol: int = ppp.LCP, information: bytes = TERMINATE) -> None:
        """
        Send one packet.
        """
        payload = encodeFrame(protocol, information)
        octets = gre.encode(self.callID, payload, number % NUMBERS)
        self.wire.send(self.caller.address, SERVER, octets)

    @property
    def expected(self) -> int:
        """
        The number of the next packet in order, which the attacker doesn't know.
        """
        channel: Any = self.caller.line.channel
        expected: int = channel._window.expected
        return expected % NUMBERS


FRAMES = {
    "end": (ppp.LCP, TERMINATE),
    "ended": (ppp.LCP, ppp.encodePacket(ppp.TERMINATE_ACK, 1, b"")),
    "begin": (ppp.LCP, ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, b"")),
    "reject code": (ppp.LCP, ppp.encodePacket(ppp.CODE_REJECT, 1, b"\x01")),
    "reject LCP": (ppp.LCP, ppp.encodePacket(ppp.PROTOCOL_REJECT, 1, b"\xc0\x21")),
    "reply": (ppp.LCP, ppp.encodePacket(ppp.ECHO_REPLY, 1, bytes(12))),
    "end CCP": (ppp.CCP, TERMINATE),
    "end IPCP": (ppp.IPCP, TERMINATE),
    "count 0": (0xFD, b"\x90\x00" + bytes(50)),
    "count 2000": (0xFD, b"\x97\xd0" + bytes(50)),
}
"""
Frames that end a link, a network or encryption, or that could change the numbering.
"""


@pytest.mark.parametrize(("protocol", "information"), FRAMES.values(), ids=FRAMES)
def test_whateverNumberItGuesses(world: World, protocol: int, information: bytes) -> None:
    """
    Forged packets with numbers from everywhere, many of each, end nothing and don't change the
    numbering, even if the caller sends nothing but answers to Echo-Requests.
    """
    honest = Honest(world)
    blind = Blind(honest.callers[0])
    lines = set(world.gateway.lines)
    for step in range(1, 64):
        first = step * (NUMBERS // 64) + blind.random.randrange(1000)
        for number in range(70):
            blind.send(first + number, protocol, information)
        world.run(0.05, 0.01)
    for ahead in (1, 2, 63, 64, 1000, REACH - 1, REACH, NUMBERS - 99, NUMBERS - REACH):
        for number in range(70):
            blind.send(blind.expected + ahead + number, protocol, information)
            world.run(0.002)
        world.run(3, 0.05)
    assert set(world.gateway.lines) == lines
    assert [len(caller.session.networks) for caller in honest.callers] == [12, 12]
    honest.assertServed()


def test_aCallerThatNumbersAnew(world: World) -> None:
    """
    A caller that begins a new numbering is asked, and its answer proves that the numbers are its
    own.
    """
    honest = Honest(world)
    for jump in (-5000, 3 * REACH, NUMBERS // 2, 70, -3):
        for caller in honest.callers:
            channel: Any = caller.call.channel
            channel._window.sending = (channel._window.sending + jump) % NUMBERS
        # Any packet makes the gateway ask, the third one at the latest.
        for _ in range(3):
            for caller in honest.callers:
                caller.say(ppp.LCP, ppp.encodePacket(ppp.DISCARD_REQUEST, 1, bytes(4)))
            world.run(0.2, 0.01)
        honest.assertServed()


@pytest.mark.parametrize("lost", [1, 1000])
def test_anHonestEndBehindAGap(world: World, lost: int) -> None:
    """
    A Terminate-Request after a gap in the numbers is believed when the caller doesn't answer an
    Echo-Request.
    """
    honest = Honest(world)
    caller = honest.callers[0]
    blind = Blind(caller)
    # The caller doesn't answer any more, as RFC 1661 demands, but repeats its request.
    world.wire.ports.pop(caller.address)
    number = blind.expected + lost
    for repetition in range(3):
        assert caller.isThere()
        blind.send(number + repetition)
        world.run(1.5, 0.01)
    world.run(RESTART_SECONDS, 0.01)
    assert not caller.isThere()


def test_aFloodBeforeAuthentication(world: World) -> None:
    """
    A limited number of frames of a caller that hasn't authenticated is handled, and other callers
    are served.
    """
    stranger = Caller(world, b"mallory", [])
    # The stranger never answers a challenge.
    del world.wire.ports[stranger.address]
    world.run(0.01)
    blind = Blind(stranger)
    channel = stranger.line.channel
    assert channel is not None
    for number in range(20_000):
        blind.send(3 * number, ppp.IPCP if number % 2 else ppp.IPV4, bytes(20))
        if number % 20 == 0:
            world.run(0.001)
    rate, burst = LIMIT
    assert channel.counters.discards[EARLY] >= 20_000 - 2 * (burst + 1.1 * rate)
    Honest(world).assertServed()
    stranger.drop()
