"""
Tests for L{pptpgw.datapath.compressed}, with the channels of lines and of PPTP.
"""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyClass

from pptpgw.datapath.channel import NO_MPPE, NOT_OPEN
from pptpgw.datapath.checks import NO_ROOM, SPOOFED
from pptpgw.datapath.compressed import NOT_COMPRESSED, NOT_DECOMPRESSED
from pptpgw.datapath.headers import AFTER_LOSS
from pptpgw.datapath.recording import startRecording, stopRecording
from pptpgw.datapath.resync import INTERVAL, LIMIT
from pptpgw.interfaces import (
    Attachment,
    CompressionParameters,
    HeaderCompression,
    IChannel,
    MPPEParameters,
)
from pptpgw.ppp.wire.ppp import IPV4, LCP
from pptpgw.testing import MemoryChannel
from tests.datapath.test_framed import End, tcp
from tests.datapath.test_python import KEY, SUBSCRIBER, Fixture, packet
from tests.datapath.test_recording import MemoryRecorder

PARAMETERS = [
    CompressionParameters("deflate", 15, 1502),
    CompressionParameters("mppc", 0, 1502),
]
HEADER = b"\xff\x03\x00"

each = pytest.mark.parametrize("parameters", PARAMETERS, ids=lambda one: one.method)


def text(number: int, size: int = 400) -> bytes:
    """
    A packet that shrinks.
    """
    return packet(payload=(b"%d bottles of beer on the wall, " % number * 50)[:size])


def noise(number: int) -> bytes:
    """
    A packet that doesn't.
    """
    return packet(payload=bytes(number * 7 + place * place * 31 & 0xFF for place in range(20)))


class Both:
    """
    Two ends of a call whose packets are compressed.
    """

    def __init__(self, parameters: CompressionParameters, headers: bool = False) -> None:
        self.here, self.there = End(), End()
        attachment = Attachment(
            (SUBSCRIBER,), headers=HeaderCompression(16, True, 16) if headers else None
        )
        # Compression may open before the networks, or after them.
        self.here.channel.openNetwork(IPV4, attachment)
        for end in (self.here, self.there):
            end.channel.setFraming(False, False)
            end.channel.setCompression(parameters, parameters)
        self.there.channel.openNetwork(IPV4, attachment)

    def send(self, *packets: bytes) -> list[bytes]:
        """
        Send packets from here to there.

        @return: the frames.
        """
        frames = self.here.sender.sent
        frames.clear()
        for one in packets:
            self.here.channel.sendPacket(IPV4, one)
        for frame in frames:
            self.there.channel.received(frame)
        return list(frames)

    def taken(self) -> list[bytes]:
        """
        What has arrived there since the last call.
        """
        taken = list(self.there.received)
        self.there.received.clear()
        return taken


def test_interface() -> None:
    assert verifyClass(IChannel, MemoryChannel)


@each
def test_packetsArrive(parameters: CompressionParameters) -> None:
    """
    Packets are compressed, unless they wouldn't shrink. Counters count them as they were.
    """
    both = Both(parameters)
    packets = [text(1), noise(1), text(2), text(1), noise(2), text(3)]
    frames = both.send(*packets)
    assert both.taken() == packets
    assert sum(map(len, frames)) < sum(map(len, packets)) - 600
    sent, received = both.here.channel.counters, both.there.channel.counters
    assert sent.packetsSent == received.packetsReceived == len(packets)
    assert sent.octetsSent == received.octetsReceived == sum(map(len, packets))
    assert not both.here.discards and not both.there.discards


@each
def test_aLostFrame(parameters: CompressionParameters) -> None:
    """
    After a lost frame compressed ones are discarded and the peer is asked to begin anew, now and
    then, until it does. Control frames pass.
    """
    both = Both(parameters)
    both.send(text(1))
    both.here.channel.sendPacket(IPV4, text(2))
    both.taken()
    both.send(text(3), text(4))
    assert both.taken() == []
    assert both.there.discards == {NOT_DECOMPRESSED: 2}
    assert both.there.owner.resyncs == 1
    both.there.channel.received(b"\xff\x03\xc0\x21control")
    assert both.there.owner.frames == [(LCP, b"control")]
    both.there.clock.advance(INTERVAL)
    both.send(text(5))
    assert both.there.owner.resyncs == 2
    both.here.channel.resetCompression(True)
    both.there.channel.resetCompression(False)
    both.send(text(6), text(7))
    assert both.taken() == [text(6), text(7)]
    for _ in range(LIMIT + 1):
        both.there.channel.received(HEADER + b"\xfd\xff\xff\xff\xff")
        both.there.clock.advance(INTERVAL)
    assert both.there.owner.failures == ["the peer doesn't resynchronise compression"]


@each
def test_whatIsCheckedOfPackets(parameters: CompressionParameters) -> None:
    """
    Packets that were compressed are checked like others, and those of networks that aren't open are
    discarded.
    """
    both = Both(parameters)
    both.send(tcp(0, "192.0.2.66") + bytes(200))
    assert both.taken() == [] and both.there.discards == {SPOOFED: 1}
    both.there.channel.closeNetwork(IPV4)
    both.send(text(1))
    assert both.there.discards == {SPOOFED: 1, NOT_OPEN: 1}


@each
def test_aFullTransport(parameters: CompressionParameters) -> None:
    """
    What the transport has no room for isn't compressed, and the other end keeps in step.
    """
    both = Both(parameters)
    both.send(text(1))
    both.here.sender.full = True
    both.send(text(2))
    both.here.sender.full = False
    both.send(text(3))
    assert both.taken() == [text(1), text(3)]
    assert both.here.discards == {NO_ROOM: 1}


@each
def test_compressedHeaders(parameters: CompressionParameters) -> None:
    """
    Headers of TCP may be compressed before the packets.
    """
    both = Both(parameters, headers=True)
    packets = [tcp(number) for number in range(5)]
    both.send(*packets)
    assert both.taken() == packets
    counters = both.here.channel.counters
    assert counters.octetsSent == sum(map(len, packets))


@each
def test_compressedHeadersAfterALostFrame(parameters: CompressionParameters) -> None:
    """
    A header that leaves out its slot isn't taken for one of the slot before the loss.
    """
    both = Both(parameters, headers=True)
    both.send(tcp(0), tcp(0, port=1001))
    both.here.channel.sendPacket(IPV4, tcp(1))
    both.taken()
    both.send(tcp(2))
    both.here.channel.resetCompression(True)
    both.there.channel.resetCompression(False)
    both.send(tcp(3), tcp(1, port=1001), tcp(2, port=1001))
    assert both.taken() == [tcp(1, port=1001), tcp(2, port=1001)]
    assert both.there.discards == {NOT_DECOMPRESSED: 1, AFTER_LOSS: 1}


@each
def test_oneDirection(parameters: CompressionParameters) -> None:
    """
    A direction without compression is as it was, and compressed frames that come by it are
    discarded.
    """
    here, there = End(), End()
    for end in (here, there):
        end.channel.openNetwork(IPV4, Attachment((SUBSCRIBER,)))
    here.channel.setCompression(parameters, None)
    there.channel.setCompression(None, parameters)
    here.channel.sendPacket(IPV4, text(1))
    there.channel.sendPacket(IPV4, text(1))
    assert there.sender.sent == [HEADER + b"\x21" + text(1)]
    there.channel.received(here.sender.sent[0])
    here.channel.received(there.sender.sent[0])
    assert (here.received, there.received) == ([text(1)], [text(1)])
    here.channel.received(here.sender.sent[0])
    assert here.discards == {NOT_COMPRESSED: 1}


@each
def test_notUnderMPPE(parameters: CompressionParameters) -> None:
    """
    Where MPPE is required nothing is compressed, and compressed frames are discarded.
    """
    both = Both(parameters)
    (frame,) = both.send(text(1))
    for end in (both.here, both.there):
        end.channel.requireMPPE()
        end.channel.setCompression(parameters, parameters)
        end.channel.setSendMPPE(MPPEParameters(KEY, 128))
    both.there.channel.received(frame)
    assert both.there.discards == {NO_MPPE: 1}
    both.there.channel.setReceiveMPPE(MPPEParameters(KEY, 128))
    both.taken()
    (frame,) = both.send(text(2))
    assert both.taken() == [text(2)] and len(frame) == len(text(2)) + 8


@each
def test_compressionEnds(parameters: CompressionParameters) -> None:
    """
    After the end packets go as they are, and compressed ones belong to nobody.
    """
    both = Both(parameters)
    (frame,) = both.send(text(1))
    both.taken()
    for end in (both.here, both.there):
        end.channel.setCompression(None, None)
    assert both.send(text(2)) == [HEADER + b"\x21" + text(2)]
    both.there.channel.received(frame)
    assert both.taken() == [text(2)]
    assert both.there.discards == {NO_MPPE: 1}
    both.there.channel.setCompression(parameters, parameters)
    both.there.channel.close()
    both.there.channel.setCompression(parameters, parameters)
    both.there.channel.received(frame)
    assert both.taken() == []


@each
def test_recording(parameters: CompressionParameters) -> None:
    """
    Packets are recorded as they are before and after compression, each once.
    """
    both = Both(parameters)
    recorder = MemoryRecorder()
    both.send(text(1))
    for channel in (both.here.channel, both.there.channel):
        startRecording(channel, recorder)
    both.send(text(2), noise(2))
    for channel in (both.here.channel, both.there.channel):
        stopRecording(channel, recorder)
    both.send(text(3))
    assert both.taken() == [text(1), text(2), noise(2), text(3)]
    expected = [HEADER + b"\x21" + one for one in (text(2), noise(2))]
    sent = [frame for _, frame in recorder.frames[:2]]
    received = [frame for _, frame in recorder.frames[2:]]
    assert sent == received == expected


@each
def test_overPPTP(parameters: CompressionParameters) -> None:
    """
    Frames that come out of order wait for their turn, and after a gap compression begins anew.
    """
    path = Fixture()
    path.open()
    path.channel.setCompression(parameters, parameters)
    there = End()
    there.channel.openNetwork(IPV4, Attachment((SUBSCRIBER,)))
    there.channel.setCompression(parameters, parameters)
    for number in range(8):
        there.channel.sendPacket(IPV4, text(number))
    frames = [frame[2:] for frame in there.sender.sent]
    for sequence in (0, 2, 1, 3, 5, 6):
        path.arrive(frames[sequence], sequence=sequence)
    assert path.tun.written == [text(number) for number in range(4)]
    path.clock.advance(5)
    assert path.owner.resyncs == 1
    assert path.tun.written == [text(number) for number in range(4)]
    there.channel.resetCompression(True)
    path.channel.resetCompression(False)
    there.sender.sent.clear()
    there.channel.sendPacket(IPV4, text(9))
    path.arrive(there.sender.sent[0][2:], sequence=7)
    assert path.tun.written[4:] == [text(9)]
