"""
Tests for L{pptpgw.datapath.recording}, with channels over GRE in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import pytest
from twisted.internet.task import Clock

from pptpgw.datapath.mppe import Encryptor
from pptpgw.datapath.python import PythonDataPath
from pptpgw.datapath.recording import (
    Recording,
    RecordingDecryptor,
    startRecording,
    stopRecording,
)
from pptpgw.datapath.wire.pcapng import RECEIVED, SENT
from pptpgw.interfaces import Attachment, MPPEParameters
from pptpgw.testing import MemoryGRE, MemoryTUN
from pptpgw.tunnels.pptp.channel import GREChannel
from pptpgw.tunnels.pptp.owner import Ends
from tests.datapath.test_python import KEY, LOCAL, PEER, KeepingWire, Owner, packet

ECHO = b"\x09\x01\x00\x08\x00\x00\x00\x00"
IP = b"\xff\x03\x00\x21"
LCP = b"\xff\x03\xc0\x21"


class MemoryRecorder:
    """
    A recorder that keeps frames.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.ends = 0

    def record(self, direction: int, frame: bytes) -> None:
        self.frames.append((direction, frame))

    def closed(self) -> None:
        self.ends += 1


class Fixture:
    """
    A call that goes on, with IPv4.
    """

    def __init__(self, encrypted: bool = False) -> None:
        self.clock = Clock()
        self.wire = KeepingWire(self.clock)
        self.gre = MemoryGRE(self.wire, LOCAL)
        self.tun = MemoryTUN()
        self.dataPath = PythonDataPath(self.clock, self.tun)
        self.owner = Owner()
        self.channel: Any = GREChannel(self.dataPath, self.owner, Ends(LOCAL, PEER, 7, 8), self.gre)
        self.recorder = MemoryRecorder()
        self.sequence = 0
        self.peer: Any = None
        if encrypted:
            self.peer = Encryptor(KEY, 128, False)
            parameters = MPPEParameters(KEY, 128)
            self.channel.requireMPPE()
            self.channel.setSendMPPE(parameters)
            self.channel.setReceiveMPPE(parameters)
        self.channel.openNetwork(0x21, Attachment((IPv4Network("10.77.0.10"),)))

    def arrive(self, protocol: int, *frames: bytes, sequence: int | None = None) -> None:
        first = self.sequence if sequence is None else sequence
        self.sequence = first + len(frames)
        self.gre.receivers[PEER, 7](first, protocol, list(frames))

    def exchange(self, number: int) -> None:
        """
        A packet in each direction.
        """
        octets = packet(payload=bytes([number]))
        if self.peer is None:
            self.arrive(0x21, octets)
        else:
            self.arrive(0xFD, self.peer.encrypt(b"", b"\x00\x21", octets))
        self.dataPath.packetsReceived([packet(destination="10.77.0.10", payload=bytes([number]))])

    def expected(self, *numbers: int) -> list[tuple[int, bytes]]:
        return [
            one
            for number in numbers
            for one in (
                (RECEIVED, IP + packet(payload=bytes([number]))),
                (SENT, IP + packet(destination="10.77.0.10", payload=bytes([number]))),
            )
        ]

    def methods(self) -> list[Any]:
        """
        Everything that a packet passes.
        """
        channel = self.channel
        return [
            type(channel),
            channel._networks[0x21]._carry,
            channel._window._deliver,
            channel._direct is channel._inClear,
            type(channel._decryptor),
            self.gre.receivers[PEER, 7],
        ]


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_whileItLasts(encrypted: bool) -> None:
    """
    A recording begins and ends on a channel that carries packets. It has every frame between, none
    before and none after, decrypted; no packet is lost.
    """
    call = Fixture(encrypted)
    call.exchange(1)
    startRecording(call.channel, call.recorder)
    call.exchange(2)
    call.arrive(0xC021, ECHO)
    call.channel.sendFrame(0xC021, ECHO)
    call.exchange(3)
    stopRecording(call.channel, call.recorder)
    call.exchange(4)
    echoes = [(RECEIVED, LCP + ECHO), (SENT, LCP + ECHO)]
    assert call.recorder.frames == [*call.expected(2), *echoes, *call.expected(3)]
    assert call.tun.written == [packet(payload=bytes([number])) for number in (1, 2, 3, 4)]
    assert len(call.wire.sent) == 5
    assert call.recorder.ends == 0


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_afterwards(encrypted: bool) -> None:
    """
    A channel whose recording has ended is as it was: the same class, and the same methods are
    called for a packet.
    """
    call = Fixture(encrypted)
    call.exchange(1)
    before, decryptor = call.methods(), call.channel._decryptor
    startRecording(call.channel, call.recorder)
    assert issubclass(call.methods()[0], Recording) and call.methods()[1] != before[1]
    stopRecording(call.channel, call.recorder)
    stopRecording(call.channel, call.recorder)
    assert call.methods() == before
    assert call.channel._decryptor is decryptor
    assert type(call.channel) is GREChannel


def test_heldFrames() -> None:
    """
    Frames that the window holds are recorded when their turn comes, or not if that is later.
    """
    call = Fixture()
    call.exchange(0)
    call.arrive(0x21, packet(payload=b"\x02"), sequence=2)
    startRecording(call.channel, call.recorder)
    call.arrive(0x21, packet(payload=b"\x01"), sequence=1)
    received = [frame for _, frame in call.recorder.frames]
    assert received == [IP + packet(payload=bytes([number])) for number in (1, 2)]
    call.arrive(0x21, packet(payload=b"\x04"), sequence=4)
    stopRecording(call.channel, call.recorder)
    call.arrive(0x21, packet(payload=b"\x03"), sequence=3)
    assert len(call.recorder.frames) == 2
    assert len(call.tun.written) == 5


def test_severalRecorders() -> None:
    """
    Several recorders are given the frames, each until its own end.
    """
    call, other = Fixture(), MemoryRecorder()
    startRecording(call.channel, call.recorder)
    call.exchange(1)
    startRecording(call.channel, other)
    call.exchange(2)
    stopRecording(call.channel, call.recorder)
    call.exchange(3)
    assert call.recorder.frames == call.expected(1, 2)
    assert other.frames == call.expected(2, 3)


def test_changesMeanwhile() -> None:
    """
    A network that opens and MPPE that begins during a recording are recorded, and go on after it.
    """
    call = Fixture()
    startRecording(call.channel, call.recorder)
    call.channel.closeNetwork(0x21)
    call.peer = Encryptor(KEY, 128, False)
    call.channel.setReceiveMPPE(MPPEParameters(KEY, 128))
    call.channel.openNetwork(0x21, Attachment((IPv4Network("10.77.0.10"),)))
    call.exchange(1)
    stopRecording(call.channel, call.recorder)
    call.exchange(2)
    assert call.recorder.frames == call.expected(1)
    assert len(call.tun.written) == 2
    assert not isinstance(call.channel._decryptor, RecordingDecryptor)


def test_theEnd() -> None:
    """
    The end of the channel ends the recording, once.
    """
    call = Fixture()
    startRecording(call.channel, call.recorder)
    for _ in range(2):
        call.channel.close()
    assert call.recorder.ends == 1
    stopRecording(call.channel, call.recorder)
    assert call.recorder.ends == 1


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_endInTheMiddle(encrypted: bool) -> None:
    """
    A recorder may end the recording while it is given a frame, which goes its way all the same.
    """

    class Once(MemoryRecorder):
        def record(self, direction: int, frame: bytes) -> None:
            super().record(direction, frame)
            stopRecording(call.channel, self)

    call = Fixture(encrypted)
    steps: list[Callable[[], object]] = [
        lambda: call.exchange(1),
        lambda: call.dataPath.packetsReceived([packet(destination="10.77.0.10")]),
        lambda: call.channel.sendFrame(0xC021, ECHO),
        lambda: call.arrive(0xC021, ECHO),
    ]
    for step in steps:
        once = Once()
        startRecording(call.channel, once)
        step()
        assert len(once.frames) == 1
        assert not isinstance(call.channel, Recording)
    assert len(call.tun.written) == 1 and len(call.wire.sent) == 3
    assert call.owner.frames == [(0xC021, ECHO)]
