"""
Tests for L{pptpgw.datapath.framed}, the channels whose frames have no sequence numbers.
"""

from __future__ import annotations

import gc
import random
import weakref

import pytest
from scapy.layers.inet import IP, TCP
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.counting.counters import Counters
from pptpgw.datapath.capture import Capture
from pptpgw.datapath.channel import NOT_ENCRYPTED, NOT_SENT
from pptpgw.datapath.checks import NO_ROOM
from pptpgw.datapath.earlylimit import EARLY, LIMIT
from pptpgw.datapath.framed import FramedChannel
from pptpgw.datapath.headers import AFTER_LOSS, BAD_HEADER
from pptpgw.datapath.python import PythonDataPath
from pptpgw.datapath.recording import startRecording, stopRecording
from pptpgw.interfaces import (
    Attachment,
    HeaderCompression,
    IChannel,
    IChannelHost,
    IFrameSender,
    MPPEParameters,
)
from pptpgw.ppp.wire.ppp import IPV4, LCP
from pptpgw.testing import MemoryTUN
from tests.datapath.test_capture import MemorySink, read
from tests.datapath.test_python import KEY, SUBSCRIBER, Owner, packet
from tests.datapath.test_recording import MemoryRecorder

ADDRESS = str(SUBSCRIBER.network_address)


@implementer(IFrameSender)
class Sender:
    """
    A transport that records what is sent.
    """

    def __init__(self) -> None:
        self.full = False
        self.sent: list[bytes] = []
        self.maps: tuple[int, int] | None = None
        self.error: OSError | None = None
        self.ends = 0

    def send(self, frame: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(frame)

    def setACCM(self, send: int, receive: int) -> None:
        self.maps = (send, receive)

    def disconnected(self) -> None:
        self.ends += 1


class End:
    """
    One end of a call: a data path with a channel and IPv4.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.tun = MemoryTUN()
        self.dataPath = PythonDataPath(self.clock, self.tun)
        self.owner = Owner()
        self.sender = Sender()
        self.channel = FramedChannel(self.dataPath, self.owner, self.sender)

    def open(self, encrypted: bool, stateful: bool = False) -> None:
        self.channel.openNetwork(IPV4, Attachment((SUBSCRIBER,)))
        if encrypted:
            self.channel.requireMPPE()
            self.channel.setSendMPPE(MPPEParameters(KEY, 128, stateful))
            self.channel.setReceiveMPPE(MPPEParameters(KEY, 128, stateful))

    def frames(self, count: int) -> list[bytes]:
        """
        The frames of C{count} different packets.
        """
        self.sender.sent.clear()
        for number in range(count):
            self.channel.sendPacket(IPV4, numbered(number))
        return list(self.sender.sent)

    @property
    def received(self) -> list[bytes]:
        return self.tun.written

    @property
    def discards(self) -> dict[str, int]:
        return dict(self.channel.counters.discards)


def numbered(number: int) -> bytes:
    return packet(payload=number.to_bytes(4, "big") + bytes(36))


def tcp(number: int, source: str = ADDRESS, port: int = 1000) -> bytes:
    """
    One of the segments of a connection.
    """
    header = IP(src=source, dst=ADDRESS, id=number)
    return bytes(header / TCP(sport=port, seq=100 * number, flags="A") / bytes(100))


@pytest.fixture
def here() -> End:
    return End()


@pytest.fixture
def there() -> End:
    return End()


def test_headerCompression(here: End, there: End) -> None:
    """
    TCP's headers are compressed on their way to a peer that remembers connections. A packet that
    the transport has no room for isn't compressed, and one whose frame was damaged makes others
    useless until one names its slot. Counters count packets as they were.
    """
    headers = HeaderCompression(16, True, 16)
    for end in (here, there):
        end.channel.openNetwork(IPV4, Attachment((SUBSCRIBER,), headers=headers))
    here.channel.setFraming(True, True)
    packets = [tcp(number) for number in range(6)]
    for number, one in enumerate(packets):
        here.sender.full = number == 2
        here.channel.sendPacket(IPV4, one)
    assert [frame[0] for frame in here.sender.sent] == [0x2F, 0x2D, 0x2D, 0x2D, 0x2D]
    assert here.discards == {NO_ROOM: 1}
    counters = here.channel.counters
    assert (counters.packetsSent, counters.octetsSent) == (5, 5 * len(packets[0]))
    assert sum(map(len, here.sender.sent)) < counters.octetsSent - 100
    first, second, third, *others = here.sender.sent
    there.channel.received(first)
    there.channel.received(second)
    there.channel.received(third)
    assert there.received == [packets[0], packets[1], packets[3]]
    there.channel.damaged("bad")
    there.channel.received(others[0])
    there.channel.received(b"\x2d")
    assert len(there.received) == 3
    assert there.discards == {"bad": 1, AFTER_LOSS: 1, BAD_HEADER: 1}
    there.channel.received(first)
    assert there.received[3:] == [packets[0]]
    counters = there.channel.counters
    assert (counters.packetsReceived, counters.octetsReceived) == (4, 4 * len(packets[0]))
    # Restored packets are checked like others.
    there.channel.received(bytes([0x2F]) + tcp(0, "192.0.2.66"))
    there.channel.closeNetwork(IPV4)
    there.channel.received(first)
    assert len(there.received) == 4
    assert there.owner.frames[-1] == (0x2F, first[1:])


def test_headersInOneDirection(here: End, there: End) -> None:
    """
    An end that doesn't compress takes compressed packets, and the other way round.
    """
    one, other = HeaderCompression(4, False, 0), HeaderCompression(0, False, 4)
    here.channel.openNetwork(IPV4, Attachment((SUBSCRIBER,), headers=one))
    there.channel.openNetwork(IPV4, Attachment((SUBSCRIBER,), headers=other))
    for number in range(3):
        here.channel.sendPacket(IPV4, tcp(number))
        there.channel.sendPacket(IPV4, tcp(number))
    assert [frame[3] for frame in here.sender.sent] == [0x2F, 0x2D, 0x2D]
    assert [frame[3] for frame in there.sender.sent] == [0x21, 0x21, 0x21]
    for frame in here.sender.sent:
        there.channel.received(frame)
        here.channel.received(frame)
    assert there.received == [tcp(0), tcp(1), tcp(2)]
    assert here.received == [] and here.discards == {BAD_HEADER: 3}


def test_compressedHeadersUnderMPPE(here: End, there: End) -> None:
    """
    Compressed headers are encrypted like packets. After frames that were lost without a word, MPPE
    notices, and nothing is restored wrongly.
    """
    headers = HeaderCompression(16, True, 16)
    for end in (here, there):
        end.open(True)
        end.channel.openNetwork(IPV4, Attachment((SUBSCRIBER,), headers=headers))
    for number in range(12):
        here.channel.sendPacket(IPV4, tcp(number, port=1000 + number // 8))
    for number, frame in enumerate(here.sender.sent):
        assert frame[2:4] == b"\x00\xfd"
        if number != 3:
            there.channel.received(frame)
    # The second connection begins with packet 8.
    assert there.received == [tcp(number) for number in range(3)] + [
        tcp(number, port=1001) for number in range(8, 12)
    ]
    assert there.discards == {AFTER_LOSS: 4}


def test_aCaptureOfCompressedHeaders(here: End) -> None:
    """
    Recording begins and ends without a change of the headers' compression.
    """
    headers = HeaderCompression(16, True, 16)
    here.channel.openNetwork(IPV4, Attachment((SUBSCRIBER,), headers=headers))
    recorder = MemoryRecorder()
    here.channel.sendPacket(IPV4, tcp(0))
    startRecording(here.channel, recorder)
    here.channel.sendPacket(IPV4, tcp(1))
    stopRecording(here.channel, recorder)
    here.channel.sendPacket(IPV4, tcp(2))
    assert [frame[3] for frame in here.sender.sent] == [0x2F, 0x2D, 0x2D]
    assert [frame for _, frame in recorder.frames] == [here.sender.sent[1]]


def test_interfaces(here: End) -> None:
    assert verifyObject(IChannel, here.channel)
    assert verifyObject(IChannelHost, here.dataPath)
    assert verifyObject(IFrameSender, here.sender)
    assert not hasattr(here.channel, "__dict__")


def test_controlFrames(here: End) -> None:
    """
    Control frames are sent uncompressed whatever was negotiated, and are read however they are
    compressed.
    """
    here.channel.setFraming(True, True, 0x000A0000, 0xFFFFFFFF)
    assert here.sender.maps == (0x000A0000, 0xFFFFFFFF)
    here.channel.sendFrame(LCP, b"a request")
    assert here.sender.sent == [b"\xff\x03\xc0\x21a request"]
    here.channel.received(b"\xff\x03\xc0\x21one")
    here.channel.received(b"\xc0\x21two")
    assert here.owner.frames == [(LCP, b"one"), (LCP, b"two")]
    here.channel.received(b"\xff\x03\xc0")
    assert here.discards == {"malformed PPP header": 1}
    assert here.channel.counters.framesReceived == 3
    assert here.channel.counters.framesSent == 1


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_packets(here: End, there: End, encrypted: bool) -> None:
    """
    Packets arrive, have the negotiated compression, and are counted.
    """
    here.channel.setFraming(True, True)
    here.open(encrypted)
    there.open(encrypted)
    frames = here.frames(3)
    assert [frame[:1] for frame in frames] == [b"\xfd" if encrypted else b"\x21"] * 3
    for frame in frames:
        there.channel.received(frame)
    assert there.received == [numbered(one) for one in range(3)]
    sent, received = here.channel.counters, there.channel.counters
    assert (sent.framesSent, sent.packetsSent, sent.octetsSent) == (3, 3, 180)
    assert (received.framesReceived, received.packetsReceived) == (3, 3)


def test_nothingInClear(here: End, there: End) -> None:
    """
    No packet passes in clear, in either direction, where encryption is required.
    """
    here.open(encrypted=False)
    there.open(encrypted=True)
    (frame,) = here.frames(1)
    there.channel.received(frame)
    assert there.received == [] and there.discards == {"network packet in clear": 1}
    there.channel.setSendMPPE(None)
    assert there.frames(1) == [] and there.discards[NOT_ENCRYPTED] == 1


@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
@pytest.mark.parametrize("lost", [1, 255, 256, 2000])
def test_lossUnderMPPE(here: End, there: End, lost: int, stateful: bool) -> None:
    """
    The coherency count says how many frames are missing (RFC 3078 section 3.1). The frames after a
    gap are read with stateless MPPE as soon as all keys between are made, and with stateful MPPE
    after a flush.
    """
    here.open(True, stateful)
    there.open(True, stateful)
    frames = here.frames(lost + 12)
    there.channel.received(frames[0])
    for frame in frames[lost + 1 :]:
        there.clock.advance(0.1)
        there.channel.received(frame)
    if stateful and there.owner.resyncs:
        here.channel.resetSendMPPE()
        (flushed,) = here.frames(1)
        there.channel.received(flushed)
        assert there.received[-1] == numbered(0)
    else:
        assert there.received[-1] == numbered(lost + 11)
        assert len(there.received) == 12 or lost > 256
    assert there.owner.failures == []


def test_reorderingUnderMPPE(here: End, there: End) -> None:
    """
    A frame that overtakes others is read, and only the overtaken frames are lost.
    """
    here.open(True)
    there.open(True)
    frames = here.frames(200)
    order = sorted(range(200), key=lambda one: one + random.Random(one).choice((0, 0, 0, 1.5)))
    for one in order:
        there.channel.received(frames[one])
    assert set(there.received) >= {numbered(one) for one in range(199) if one == order[one]}
    assert len(there.received) > 180
    assert there.owner.failures == []


def test_noiseUnderMPPE(here: End, there: End) -> None:
    """
    A frame that was changed on the way isn't delivered, and the next ones are.
    """
    here.open(True)
    there.open(True)
    frames = here.frames(50)
    for place, frame in enumerate(frames):
        if place % 5 == 3:
            frame = frame[:-30] + bytes(one ^ 0x5A for one in frame[-30:])
        there.channel.received(frame)
    good = [numbered(one) for one in range(50) if one % 5 != 3]
    assert [one for one in there.received if one in good] == good


def test_aFullTransport(here: End, there: End) -> None:
    """
    Packets for a full transport are dropped and counted before they are encrypted. Control frames
    are sent all the same.
    """
    here.open(True)
    there.open(True)
    first, second = here.frames(2)
    here.sender.full = True
    assert here.frames(5) == [] and here.discards == {NO_ROOM: 5}
    here.channel.sendFrame(LCP, b"an echo")
    assert here.sender.sent == [b"\xff\x03\xc0\x21an echo"]
    here.sender.full = False
    (third,) = here.frames(1)
    for frame in (first, second, third):
        there.channel.received(frame)
    assert there.received == [numbered(0), numbered(1), numbered(0)] and there.discards == {}


def test_theSystemRefuses(here: End) -> None:
    here.open(False)
    here.sender.error = OSError("no")
    here.channel.sendPacket(IPV4, numbered(1))
    here.channel.sendFrame(LCP, b"a request")
    assert here.discards == {NOT_SENT: 2}
    assert here.channel.counters.framesSent == here.channel.counters.packetsSent == 0


def test_theLimitBeforeANetworkOpens(here: End) -> None:
    """
    A caller may send few frames before a network opens, and any number after that.
    """
    for _ in range(LIMIT[1] + 7):
        here.channel.received(b"\xff\x03\xc0\x21noise")
    assert len(here.owner.frames) == LIMIT[1] and here.discards == {EARLY: 7}
    here.open(False)
    for _ in range(LIMIT[1]):
        here.channel.received(b"\xff\x03\xc0\x21noise")
    assert len(here.owner.frames) == 2 * LIMIT[1]


def test_closed(here: End) -> None:
    """
    A closed channel sends and delivers nothing, and its transport is told once.
    """
    here.open(False)
    here.channel.close()
    here.channel.close()
    assert here.sender.ends == 1
    here.channel.received(b"\xff\x03\xc0\x21late")
    here.channel.sendFrame(LCP, b"late")
    here.channel.sendPacket(IPV4, numbered(1))
    assert here.owner.frames == [] and here.sender.sent == []


@pytest.mark.parametrize("opened", [False, True])
def test_aClosedChannelIsFreedAtOnce(here: End, opened: bool) -> None:
    class Weak(FramedChannel):
        __slots__ = ("__weakref__",)

    channel = Weak(here.dataPath, here.owner, here.sender)
    if opened:
        channel.openNetwork(IPV4, Attachment((SUBSCRIBER,)))
        channel.setReceiveMPPE(MPPEParameters(KEY, 128))
    channel.close()
    gc.disable()
    try:
        reference = weakref.ref(channel)
        del channel
        assert reference() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_captured(encrypted: bool) -> None:
    """
    A capture has every frame of both directions once, decrypted.
    """
    here, there = End(), End()
    sink = MemorySink()
    capture = Capture(sink, 1 << 20, Counters(), there.clock.seconds)
    capture.start()
    recorder = capture.open("/dev/ttyS0", "hdlc", there.channel.counters)
    startRecording(there.channel, recorder)
    here.open(encrypted)
    there.open(encrypted)
    capture.rename(there.channel.counters, "alice@/dev/ttyS0")
    for frame in here.frames(2):
        there.channel.received(frame)
    there.channel.received(b"\xff\x03\xc0\x21hear")
    there.channel.sendFrame(LCP, b"say")
    there.channel.sendPacket(IPV4, numbered(5))
    seen = [frame[1:] for file in sink.files for _, frame in read(file)]
    ip = b"\xff\x03\x00\x21"
    assert seen == [
        ip + numbered(0),
        ip + numbered(1),
        b"\xff\x03\xc0\x21hear",
        b"\xff\x03\xc0\x21say",
        ip + numbered(5),
    ]
    there.channel.close()
