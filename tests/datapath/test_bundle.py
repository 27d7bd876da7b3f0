"""
Tests for L{pptpgw.datapath.bundle}: the channels of a bundle at both ends of some links.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.datapath.bundle import WAIT_SECONDS, BundleChannel
from pptpgw.datapath.channel import IN_CLEAR, MALFORMED, NOT_SENT
from pptpgw.datapath.checks import NO_ROOM
from pptpgw.datapath.framed import FramedChannel
from pptpgw.datapath.python import PythonDataPath
from pptpgw.datapath.reassembly import LOST
from pptpgw.interfaces import (
    Attachment,
    IBundleChannel,
    IBundledChannel,
    IFrameSender,
    MPPEParameters,
    MultilinkParameters,
)
from pptpgw.ppp.wire.ppp import CCP, IPCP, IPV4, LCP, MPPE, MULTILINK, decodeFrame
from pptpgw.testing import MemoryTUN
from tests.datapath.test_python import KEY, SUBSCRIBER, Owner, packet

MRU = 100
Lose = Callable[[bytes], bool]


@implementer(IFrameSender)
class Line:
    """
    The transport of a link, which delivers to the other end at once unless it holds frames back.

    @ivar frames: what was sent.
    @ivar held: frames that wait for L{release}; None to hold none.
    """

    def __init__(self) -> None:
        self.full = False
        self.frames: list[bytes] = []
        self.held: list[bytes] | None = None
        self.lose: Lose = lambda frame: False
        self.other: FramedChannel | None = None

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)
        if self.lose(frame):
            return
        if self.held is not None:
            self.held.append(frame)
        elif self.other is not None:
            self.other.received(frame)

    def release(self) -> None:
        held, self.held = self.held or [], None
        for frame in held:
            assert self.other is not None
            self.other.received(frame)

    def setACCM(self, send: int, receive: int) -> None:
        pass

    def disconnected(self) -> None:
        pass


class End:
    """
    One end: the channels of the links, and of the bundle, with IPv4 open.
    """

    def __init__(self, clock: Clock, links: int, parameters: MultilinkParameters) -> None:
        self.clock = clock
        self.tun = MemoryTUN()
        self.dataPath = PythonDataPath(clock, self.tun)
        self.owner = Owner()
        self.owners = [Owner() for _ in range(links)]
        self.lines = [Line() for _ in range(links)]
        self.links = [
            FramedChannel(self.dataPath, *one) for one in zip(self.owners, self.lines, strict=True)
        ]
        self.bundle = self.links[0].makeBundle(self.owner, parameters)
        for one in self.links:
            self.bundle.addLink(one, MRU)
        self.bundle.openNetwork(IPV4, Attachment((SUBSCRIBER,), parameters.mrru))

    @property
    def received(self) -> list[bytes]:
        return self.tun.written

    @property
    def discards(self) -> dict[str, int]:
        return dict(self.bundle.counters.discards)

    def fragments(self, link: int) -> list[bytes]:
        """
        The information of the fragments that a link sent.
        """
        frames = map(decodeFrame, self.lines[link].frames)
        return [information for protocol, information in frames if protocol == MULTILINK]


def numbered(number: int, size: int = 60) -> bytes:
    return packet(payload=number.to_bytes(4, "big") + bytes(size - 32))


class Pair:
    """
    Both ends.
    """

    def __init__(self, links: int = 2, sendShort: bool = False, receiveShort: bool = False) -> None:
        self.clock = Clock()
        self.here = End(self.clock, links, MultilinkParameters(500, sendShort, receiveShort))
        self.there = End(self.clock, links, MultilinkParameters(500, receiveShort, sendShort))
        for link in range(links):
            self.here.lines[link].other = self.there.links[link]
            self.there.lines[link].other = self.here.links[link]


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_interfaces(pair: Pair) -> None:
    assert isinstance(pair.here.bundle, BundleChannel)
    assert verifyObject(IBundleChannel, pair.here.bundle)
    assert verifyObject(IBundledChannel, pair.here.links[0])
    assert not hasattr(pair.here.bundle, "__dict__")
    assert pair.here.bundle.path == "python: a bundle of links"


@pytest.mark.parametrize("short", [False, True])
def test_packetsArriveWholeAndInOrder(short: bool) -> None:
    """
    Small packets are sent whole, on the links in turn; large ones in parts of the same size, none
    of which is larger than a link carries.
    """
    pair = Pair(2, short, not short)
    small = [numbered(number, 60) for number in range(10)]
    for one in small:
        pair.here.bundle.sendPacket(IPV4, one)
    assert pair.there.received == small
    assert [len(pair.here.fragments(link)) for link in (0, 1)] == [5, 5]
    large = [numbered(number, 400) for number in range(10)]
    for one in large:
        pair.here.bundle.sendPacket(IPV4, one)
        pair.there.bundle.sendPacket(IPV4, one)
    assert pair.there.received == small + large and pair.here.received == large
    sizes = {len(one) for link in (0, 1) for one in pair.here.fragments(link)[5:]}
    assert max(sizes) <= MRU and max(sizes) - min(sizes) <= 4
    assert pair.here.fragments(0)[0][0] == 0xC0
    header = 2 if short else 4
    # Within fragments neither address and control nor a protocol field of two octets is sent.
    assert pair.here.fragments(0)[0][header : header + 2] == b"\x21\x45"
    counters = pair.here.bundle.counters
    assert (counters.packetsSent, counters.octetsSent) == (20, sum(map(len, small + large)))
    assert [one.counters.packetsSent for one in pair.here.links] == [0, 0]
    assert sum(one.counters.framesSent for one in pair.here.links) == 10 + 50


def test_bySize(pair: Pair) -> None:
    """
    The link that has carried least carries the next fragment.
    """
    for number in range(30):
        pair.here.bundle.sendPacket(IPV4, numbered(number, 90 if number % 2 else 40))
    carried = [sum(map(len, pair.here.fragments(link))) for link in (0, 1)]
    assert abs(carried[0] - carried[1]) < 100


def test_overtaking(pair: Pair) -> None:
    """
    A slow link delays packets, and doesn't change their order.
    """
    pair.here.bundle.sendFrame(IPCP, b"begin")
    pair.here.lines[0].held = []
    packets = [numbered(number, 300) for number in range(5)]
    for one in packets:
        pair.here.bundle.sendPacket(IPV4, one)
    assert pair.there.received == []
    pair.here.lines[0].release()
    assert pair.there.received == packets and not pair.there.discards


def test_losses(pair: Pair) -> None:
    """
    A lost fragment costs its packet alone.
    """
    lost = iter([False] * 7 + [True] + [False] * 100)
    pair.here.lines[1].lose = lambda frame: next(lost)
    packets = [numbered(number, 300) for number in range(10)]
    for one in packets:
        pair.here.bundle.sendPacket(IPV4, one)
    assert len(pair.there.received) == 9 and set(pair.there.received) < set(packets)
    assert pair.there.discards[LOST] == 1


def test_anIdleLink(pair: Pair) -> None:
    """
    A fragment that is missing while a link carries nothing is given up after a while.
    """
    pair.here.bundle.sendPacket(IPV4, numbered(0))
    for line in pair.here.lines:
        line.held = []
    packets = [numbered(number) for number in (1, 2, 3)]
    for one in packets:
        pair.here.bundle.sendPacket(IPV4, one)
    held = pair.here.lines[0].held
    assert held is not None and pair.here.lines[1].held
    pair.here.lines[0].release()
    waiting = len(pair.there.received)
    pair.clock.advance(WAIT_SECONDS - 0.01)
    assert len(pair.there.received) == waiting
    pair.clock.advance(WAIT_SECONDS)
    assert len(pair.there.received) > waiting
    assert pair.there.discards[LOST] >= 1
    assert not pair.clock.getDelayedCalls()


def test_aLinkThatLeaves(pair: Pair) -> None:
    """
    Packets pass by the other links; and by none, they are counted.
    """
    pair.here.bundle.removeLink(pair.here.links[0])
    pair.here.bundle.sendPacket(IPV4, numbered(1, 300))
    assert pair.there.received == [numbered(1, 300)]
    assert pair.here.fragments(0) == []
    pair.here.bundle.removeLink(pair.here.links[1])
    pair.here.bundle.sendPacket(IPV4, numbered(2))
    pair.here.bundle.sendFrame(IPCP, b"x")
    assert pair.here.discards == {NOT_SENT: 2}
    # Its frames are its link's again.
    pair.here.links[0].received(b"\x00\x21" + numbered(3))
    assert pair.here.received == [] and pair.here.owners[0].frames == [(IPV4, numbered(3))]


def test_aFullLink(pair: Pair) -> None:
    """
    A link without room is left out; if there is none with room, packets are discarded.
    """
    pair.here.lines[0].full = True
    for number in range(4):
        pair.here.bundle.sendPacket(IPV4, numbered(number))
    assert pair.here.fragments(0) == [] and len(pair.there.received) == 4
    pair.here.lines[1].full = True
    pair.here.bundle.sendPacket(IPV4, numbered(5))
    assert pair.here.discards == {NO_ROOM: 1}
    pair.here.bundle.sendFrame(IPCP, b"x")
    assert pair.there.owner.frames == [(IPCP, b"x")]


def test_whoseFrames(pair: Pair) -> None:
    """
    Frames of LCP are a link's. Those of networks and their control protocols are the bundle's,
    whether they come in fragments or not.
    """
    pair.here.links[1].sendFrame(LCP, b"echo")
    assert pair.there.owners[1].frames == [(LCP, b"echo")]
    pair.here.links[1].sendFrame(IPCP, b"alone")
    pair.here.links[0].sendFrame(CCP, b"alone")
    pair.here.bundle.sendFrame(IPCP, b"together")
    assert pair.there.owner.frames == [(IPCP, b"alone"), (CCP, b"alone"), (IPCP, b"together")]
    pair.here.links[0].sendFrame(IPV4, numbered(1))
    assert pair.there.received == [numbered(1)]
    assert pair.there.bundle.counters.packetsReceived == 1
    pair.here.links[0].sendFrame(MULTILINK, b"\xc0\x00\x00")
    assert pair.there.discards == {MALFORMED: 1}


@pytest.mark.parametrize("stateful", [False, True])
def test_encryption(stateful: bool, pair: Pair) -> None:
    """
    The bundle's packets are encrypted before they are cut. Nothing comes in clear then, on any
    link.
    """
    for end in (pair.here, pair.there):
        end.bundle.requireMPPE()
        end.bundle.setSendMPPE(MPPEParameters(KEY, 128, stateful))
        end.bundle.setReceiveMPPE(MPPEParameters(KEY, 128, stateful))
    packets = [numbered(number, 300) for number in range(30)]
    for one in packets:
        pair.here.bundle.sendPacket(IPV4, one)
    assert pair.there.received == packets
    assert not any(packets[0][12:20] in one for one in pair.here.fragments(0))
    pair.here.links[0].sendFrame(IPV4, numbered(1))
    pair.here.links[1].sendFrame(MULTILINK, b"\xc0\x00\x00\xff\x21" + numbered(1))
    assert pair.there.received == packets
    assert pair.there.discards[IN_CLEAR] >= 1
    assert MPPE not in {protocol for protocol, _ in pair.there.owner.frames}


def test_isFreed(pair: Pair) -> None:
    """
    A closed bundle leaves nothing behind, and its links may go on.
    """
    pair.here.lines[0].held = []
    pair.here.bundle.sendPacket(IPV4, numbered(0, 300))
    for end in (pair.here, pair.there):
        end.bundle.close()
        end.bundle.close()
        for link in end.links:
            assert link._passages is None
            link.close()
    assert not pair.clock.getDelayedCalls()
    gc.collect()
    gc.disable()
    try:
        before = bundles()
        del pair.here.bundle, pair.there.bundle
        assert bundles() == before - 2
    finally:
        gc.enable()


def bundles() -> int:
    """
    How many channels of bundles there are.
    """
    return sum(type(one) is BundleChannel for one in gc.get_objects())
