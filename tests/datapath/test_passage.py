"""
Tests for L{pptpgw.datapath.passage}: the frames of a call pass to another channel, and back.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.datapath.channel import MALFORMED, NOT_SENT
from pptpgw.datapath.checks import NO_ROOM
from pptpgw.datapath.earlylimit import EARLY, LIMIT
from pptpgw.datapath.framed import FramedChannel
from pptpgw.datapath.passage import MOST, Passages
from pptpgw.datapath.python import PythonDataPath
from pptpgw.datapath.recording import startRecording
from pptpgw.datapath.wire.pcapng import RECEIVED, SENT
from pptpgw.ppp.wire.ppp import CHAP, IPV4, LCP, MPPE
from pptpgw.testing import MemoryGRE, MemoryTUN, MemoryWire
from pptpgw.tunnels.pptp.channel import GREChannel
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.wire.gre import PROTOCOL_TYPE
from tests.datapath.test_framed import End
from tests.datapath.test_python import Owner

LOCAL, PEER = "192.0.2.1", "192.0.2.2"


class Line:
    """
    A PPTP call whose frames pass to a call by another tunnel.

    @ivar leg: that call, whose C{sender} has what was sent there.
    @ivar sent: the GRE packets to the caller.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.gre = MemoryGRE(MemoryWire(self.clock), LOCAL)
        self.sent: list[bytes] = []
        self.owner = Owner()
        host = PythonDataPath(self.clock, MemoryTUN())
        self.channel = GREChannel(host, self.owner, Ends(LOCAL, PEER, 7, 9), self.gre)
        self.channel._sendAll = self._send
        self.channel._send = self.sent.append
        self.leg = End()
        self._next = 0

    def _send(self, packets: Sequence[bytes]) -> list[tuple[int, OSError]]:
        self.sent += packets
        return []

    def join(self) -> None:
        """
        Let the frames of both calls pass.
        """
        self.channel.passFrames(self.leg.channel.sendFrames)
        self.leg.channel.passFrames(self.channel.sendFrames)

    def receive(self, protocol: int, *frames: bytes) -> None:
        """
        Receive frames of the caller in order.
        """
        self.channel.framesReceived(self._next, protocol, list(frames))
        self._next += len(frames)

    def payloads(self) -> list[bytes]:
        """
        The frames that were sent to the caller.
        """
        frames = []
        for one in self.sent:
            flags, size = int.from_bytes(one[:2], "big"), int.from_bytes(one[4:6], "big")
            assert int.from_bytes(one[2:4], "big") == PROTOCOL_TYPE and flags & 0x1000
            if size:
                frames.append(one[-size:])
        return frames


def test_bothWays() -> None:
    """
    Frames of every protocol pass with an uncompressed header, alone and in runs, and are counted at
    both ends: those of networks and MPPE as packets too.
    """
    line = Line()
    line.join()
    line.receive(LCP, b"request")
    line.receive(MPPE, b"one", b"two", b"three")
    line.receive(IPV4, b"packet", b"another")
    assert line.leg.sender.sent == [
        b"\xff\x03\xc0\x21request",
        b"\xff\x03\x00\xfdone",
        b"\xff\x03\x00\xfdtwo",
        b"\xff\x03\x00\xfdthree",
        b"\xff\x03\x00\x21packet",
        b"\xff\x03\x00\x21another",
    ]
    for frame in (b"\xff\x03\xc0\x21answer", b"\xc2\x23\x03\x01", b"\xfdfour", b"\x21reply"):
        line.leg.channel.received(frame)
    assert line.payloads() == [
        b"\xff\x03\xc0\x21answer",
        b"\xff\x03\xc2\x23\x03\x01",
        b"\xff\x03\x00\xfdfour",
        b"\xff\x03\x00\x21reply",
    ]
    here, there = line.channel.counters, line.leg.channel.counters
    assert (here.framesReceived, here.packetsReceived, here.octetsReceived) == (6, 5, 24)
    assert (here.framesSent, here.packetsSent, here.octetsSent) == (4, 2, 9)
    assert (there.framesReceived, there.packetsReceived, there.octetsReceived) == (4, 2, 9)
    assert (there.framesSent, there.packetsSent, there.octetsSent) == (6, 5, 24)
    assert line.owner.frames == [] and line.leg.owner.frames == []


def test_outOfOrder() -> None:
    """
    GRE's sequence numbers are still those of the caller's tunnel: what comes early waits.
    """
    line = Line()
    line.join()
    line.receive(IPV4, b"0")
    line.channel.framesReceived(2, IPV4, [b"2"])
    line.channel.framesReceived(1, IPV4, [b"1"])
    assert [one[4:] for one in line.leg.sender.sent] == [b"0", b"1", b"2"]


def test_aFloodOfTheCaller() -> None:
    """
    The limit on frames before a network opens ends when frames begin to pass.
    """
    line = Line()
    burst = [b"packet"] * (LIMIT[1] + 1)
    line.gre.receivers[PEER, 7](0, LCP, burst)
    assert line.channel.counters.discards == {EARLY: len(burst)} and line.owner.frames == []
    line.join()
    line.gre.receivers[PEER, 7](0, IPV4, burst)
    assert len(line.leg.sender.sent) == len(burst)
    assert line.channel.counters.discards == {EARLY: len(burst)}


def test_aTransportThatIsFull() -> None:
    """
    What the other end sends faster than the caller's transport takes is discarded and counted,
    control frames too, so that nothing grows.
    """
    line = Line()
    line.join()
    line.leg.sender.full = True
    line.receive(IPV4, *[b"packet"] * 100)
    line.receive(LCP, *[b"echo"] * 100)
    assert line.leg.sender.sent == []
    assert line.leg.channel.counters.discards == {NO_ROOM: 200}
    line.leg.sender.full = False
    line.leg.sender.error = OSError()
    line.receive(LCP, b"echo")
    assert line.leg.channel.counters.discards == {NO_ROOM: 200, NOT_SENT: 1}


def test_malformed() -> None:
    """
    A frame without a protocol number is discarded.
    """
    line = Line()
    line.join()
    line.leg.channel.received(b"\xff\x03\xc0")
    line.receive(0, b"\xff\x03\xc0")
    assert line.sent == [] and line.leg.sender.sent == []
    assert line.channel.counters.discards == {MALFORMED: 1}
    assert line.leg.channel.counters.discards == {MALFORMED: 1}


def test_allProtocols() -> None:
    """
    A peer that uses every protocol number doesn't let a table grow.
    """
    taken: list[int] = []
    passages = Passages(Line().channel.counters, lambda protocol, frames: taken.append(protocol))
    for protocol in range(1, 0x10000, 2):
        passage = passages.get(protocol)
        assert passage is not None and passage.field == protocol.to_bytes(2, "big")
        passage.received((b"",))
    assert taken == list(range(1, 0x10000, 2))
    assert len(passages._made) <= MOST
    assert passages.get(0) is None and 0 not in passages and 7 in passages


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_anyOctets(frames: list[bytes]) -> None:
    """
    Whatever either end sends, nothing raises, and what passes passes unchanged.
    """
    line = Line()
    line.join()
    for frame in frames:
        line.leg.channel.received(frame)
    for sent in line.payloads():
        assert any(sent.endswith(frame[-len(sent) + 4 :]) for frame in frames)


class Recorder:
    """
    Keeps the frames that it is given.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[int, bytes]] = []

    def record(self, direction: int, frame: bytes) -> None:
        self.seen.append((direction, frame))

    def closed(self) -> None:
        pass


def test_recorded() -> None:
    """
    Frames that pass are recorded in both directions while somebody captures them.
    """
    line, recorder = Line(), Recorder()
    line.join()
    startRecording(line.channel, recorder)
    line.receive(CHAP, b"challenge")
    line.leg.channel.received(b"\xfdpacket")
    assert line.leg.sender.sent == [b"\xff\x03\xc2\x23challenge"]
    assert line.payloads() == [b"\xff\x03\x00\xfdpacket"]
    assert recorder.seen == [
        (RECEIVED, b"\xff\x03\xc2\x23challenge"),
        (SENT, b"\xff\x03\x00\xfdpacket"),
    ]


def test_closed() -> None:
    """
    A channel that is closed passes nothing on, and both channels are freed without the garbage
    collector.
    """
    line = Line()
    line.join()
    line.channel.close()
    line.leg.channel.received(b"\x21packet")
    line.receive(IPV4, b"packet")
    assert line.sent == [] and line.leg.sender.sent == []
    line.channel.passFrames(line.leg.channel.sendFrames)
    line.channel.sendFrames(IPV4, [b"packet"])
    assert line.sent == []


def test_freed() -> None:
    """
    Channels that have passed frames to each other are freed without the garbage collector.
    """

    class Weak(FramedChannel):
        __slots__ = ("__weakref__",)

    ends = End(), End()
    one, other = (Weak(end.dataPath, end.owner, end.sender) for end in ends)
    one.passFrames(other.sendFrames)
    other.passFrames(one.sendFrames)
    one.received(b"\x21packet")
    for channel in (one, other):
        channel.close()
    references = weakref.ref(one), weakref.ref(other)
    gc.disable()
    try:
        del one, other, channel
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()
