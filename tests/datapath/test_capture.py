"""
Tests for L{pptpgw.datapath.capture}, with channels over GRE in memory. Scapy reads the captures.
"""

from __future__ import annotations

import subprocess
from io import BytesIO
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import pytest
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.utils import RawPcapReader
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pptpgw.counting.counters import Counters
from pptpgw.datapath.capture import LEFT_OUT, WAITING_LIMIT, Capture
from pptpgw.datapath.mppe import Decryptor, Encryptor
from pptpgw.datapath.python import PythonDataPath
from pptpgw.datapath.recording import RecordingDecryptor, startRecording
from pptpgw.interfaces import Attachment, IChannel, MPPEParameters
from pptpgw.testing import MemoryGRE, MemoryTUN
from pptpgw.tunnels.pptp.channel import GREChannel
from pptpgw.tunnels.pptp.owner import Ends
from tests.datapath.test_python import KEY, LOCAL, PEER, KeepingWire, Owner, packet

IN, OUT = b"\0", b"\1"
ECHO = b"\x09\x01\x00\x08\x00\x00\x00\x00"
BEGAN = 1_700_000_000
MPPE = MPPEParameters(KEY, 128)

Seen = list[tuple[str, bytes]]


class MemorySink:
    """
    A sink whose files are in memory.
    """

    def __init__(self) -> None:
        self.full = False
        self.files = [b""]

    def write(self, octets: bytes) -> None:
        self.files[-1] += octets

    def rotate(self) -> None:
        self.files.append(b"")


def read(octets: bytes) -> Seen:
    """
    The interface and the octets of every packet in a file, as scapy reads it.
    """
    reader: Any = RawPcapReader(cast(Any, BytesIO(octets)))
    found: Seen = []
    while True:
        try:
            frame, metadata = reader._read_packet()
        except EOFError:
            return found
        assert metadata.linktype == 204
        assert metadata.direction == (1 if frame[:1] == IN else 2)
        found.append((metadata.ifname.decode(), frame))


class World:
    """
    A data path whose calls are captured.
    """

    def __init__(self, size: int = 1 << 20) -> None:
        self.clock = Clock()
        self.clock.advance(BEGAN)
        self.wire = KeepingWire(self.clock)
        self.gre = MemoryGRE(self.wire, LOCAL)
        self.tun = MemoryTUN()
        self.dataPath = PythonDataPath(self.clock, self.tun)
        self.sink = MemorySink()
        self.counters = Counters()
        self.capture = Capture(self.sink, size, self.counters, self.clock.seconds)
        self.capture.start()

    def call(self, number: int = 7, name: str | None = "alice@192.0.2.2") -> Call:
        """
        Make a call, and name its user if there is a name.
        """
        made = Call(self, number)
        if name is not None:
            self.capture.rename(made.channel.counters, name)
        return made

    def seen(self) -> Seen:
        """
        Every packet that was captured.
        """
        return [one for file in self.sink.files for one in read(file)]


class Call:
    """
    One call, whose peer the test plays.
    """

    def __init__(self, world: World, number: int) -> None:
        self.gre = world.gre
        self.number = number
        self.sequence = 0
        self.owner = Owner()
        ends = Ends(LOCAL, PEER, number, number + 1)
        self.channel: Any = GREChannel(world.dataPath, self.owner, ends, world.gre)
        startRecording(self.channel, world.capture.open(PEER, "pptp", self.channel.counters))

    def arrive(self, protocol: int, *frames: bytes, sequence: int | None = None) -> None:
        """
        Let GRE packets arrive, one after the other.
        """
        first = self.sequence if sequence is None else sequence
        self.sequence = first + len(frames)
        self.gre.receivers[PEER, self.number](first, protocol, list(frames))

    def open(self, number: int = 0x21) -> None:
        self.channel.openNetwork(number, Attachment((IPv4Network("10.77.0.10"),)))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def call(world: World) -> Call:
    return world.call()


def ppp(protocol: int, information: bytes) -> bytes:
    return b"\xff\x03" + protocol.to_bytes(2, "big") + information


def frames(world: World) -> list[bytes]:
    return [frame for _, frame in world.seen()]


def test_interface(call: Call) -> None:
    assert verifyObject(IChannel, call.channel)


class TestReceived:
    def test_controlFrames(self, world: World, call: Call) -> None:
        call.arrive(0xC021, ECHO)
        assert frames(world) == [IN + ppp(0xC021, ECHO)]
        assert call.owner.frames == [(0xC021, ECHO)]

    def test_packetsInARun(self, world: World, call: Call) -> None:
        """
        Packets that go straight to their network are captured once each.
        """
        call.open()
        packets = [packet(payload=bytes([number])) for number in range(3)]
        call.arrive(0x21, *packets)
        assert frames(world) == [IN + ppp(0x21, one) for one in packets]
        assert world.tun.written == packets

    def test_inOrder(self, world: World, call: Call) -> None:
        """
        Packets are captured in order, and once each.
        """
        call.open()
        packets = [packet(payload=bytes([number])) for number in range(4)]
        for sequence in (0, 2, 0, 1, 1, 3, 2):
            call.arrive(0x21, packets[sequence], sequence=sequence)
        assert frames(world) == [IN + ppp(0x21, one) for one in packets]

    def test_decrypted(self, world: World, call: Call) -> None:
        """
        Packets under MPPE are captured decrypted, with a protocol number of one octet or two.
        Frames in clear are captured too, even those that go no further.
        """
        call.open()
        call.channel.setReceiveMPPE(MPPE)
        peer = Encryptor(KEY, 128, False)
        call.arrive(0xFD, peer.encrypt(b"", b"\x00\x21", packet()))
        call.arrive(0xFD, peer.encrypt(b"", b"\x21", packet()))
        call.arrive(0x21, packet())
        assert frames(world) == [
            IN + ppp(0x21, packet()),
            IN + b"\xff\x03\x21" + packet(),
            IN + ppp(0x21, packet()),
        ]
        assert world.tun.written == [packet()] * 2

    def test_notDecrypted(self, world: World, call: Call) -> None:
        """
        Frames of MPPE that can't be decrypted aren't captured, and neither are frames without a
        protocol number.
        """
        call.arrive(0xFD, bytes(20))
        call.channel.setReceiveMPPE(MPPE)
        call.arrive(0xFD, b"\x00")
        call.arrive(0, b"what")
        assert frames(world) == []

    def test_decryptor(self, world: World, call: Call) -> None:
        """
        The decryptor that records behaves like the one that it wraps.
        """
        recorder = world.capture.open("x", "pptp", Counters())
        peer = Encryptor(KEY, 128, False)
        sent = [peer.encrypt(b"", b"\x00\x21", b"packet") for _ in range(40)]
        plain, recorded = Decryptor(KEY, 128, False), Decryptor(KEY, 128, False)
        recording = RecordingDecryptor(recorded, recorder.record)
        for skipped, number in ((0, 0), (0, 39), (38, 39), (0, 1)):
            plain.skip(skipped)
            recording.skip(skipped)
            tried = recording.copy().decrypt(sent[number])
            assert recording.decrypt(sent[number]) == plain.decrypt(sent[number]) == tried
            assert recording.count == recorded.count == plain.count
            assert recording.rekeys == plain.rekeys
        recorder.release()
        assert frames(world) == [IN + ppp(0x21, b"packet")] * 2


class TestSent:
    def test_controlFrames(self, world: World, call: Call) -> None:
        call.channel.sendFrame(0xC021, ECHO)
        assert frames(world) == [OUT + ppp(0xC021, ECHO)]

    @pytest.mark.parametrize("parameters", [None, MPPE])
    def test_packets(self, world: World, call: Call, parameters: MPPEParameters | None) -> None:
        """
        Packets to the peer are captured before they are encrypted.
        """
        call.channel.setFraming(True, True)
        call.channel.setSendMPPE(parameters)
        call.open()
        call.channel.sendPacket(0x21, packet())
        world.dataPath.packetsReceived([packet(destination="10.77.0.10")])
        assert frames(world) == [
            OUT + ppp(0x21, packet()),
            OUT + ppp(0x21, packet(destination="10.77.0.10")),
        ]
        assert len(world.wire.sent) == 2

    def test_notSent(self, world: World, call: Call) -> None:
        """
        Packets that aren't sent aren't captured: those that are too large, those of a network that
        isn't open, those that mustn't go in clear, and those after the end.
        """
        call.open()
        call.channel.sendPacket(0x21, packet(payload=bytes(3000)))
        call.channel.sendPacket(0x57, packet())
        call.channel.requireMPPE()
        call.channel.sendPacket(0x21, packet())
        call.channel.close()
        call.channel.sendFrame(0xC021, ECHO)
        sent = frames(world)
        # IPv4 packets that are too large are fragmented.
        assert [len(frame) for frame in sent] == [1401, 1401, 273]
        assert len(world.wire.sent) == 3


def test_tshark(world: World, call: Call, tmp_path: Path) -> None:
    """
    tshark decodes every protocol in the capture of a call that was encrypted in both directions.
    """
    udp = UDP(sport=9, dport=10) / b"datagram"
    packets: dict[int, tuple[str, bytes]] = {
        0x0021: ("ppp:ip:udp", bytes(IP(src="10.77.0.10", dst="10.1.1.1") / udp)),
        0x0057: ("ppp:ipv6:udp", bytes(IPv6(src="fe80::1", dst="fe80::2") / udp)),
        0x0281: ("ppp:mpls:ip:udp", bytes(MPLS(label=100, s=1) / IP(dst="10.1.1.1") / udp)),
        0x002B: ("ppp:ipx", b"\xff\xff" + bytes([0, 30, 0, 0]) + bytes(24)),
    }
    call.channel.setReceiveMPPE(MPPE)
    call.channel.setSendMPPE(MPPE)
    peer = Encryptor(KEY, 128, False)
    for number, (_, octets) in packets.items():
        call.channel.openNetwork(number, Attachment(receive=lambda packet: None))
        call.arrive(0xFD, peer.encrypt(b"", number.to_bytes(2, "big"), octets))
        call.channel.sendPacket(number, octets)
    file = tmp_path / "capture.pcapng"
    file.write_bytes(world.sink.files[0])
    command = ["tshark", "-r", str(file), "-Tfields", "-eframe.p2p_dir", "-eframe.protocols"]
    seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line.split("\t") for line in seen.splitlines()]
    assert [way for way, _ in lines] == ["1", "0"] * len(packets)
    for (_, layers), (expected, _) in zip(
        lines, [one for one in packets.values() for _ in "io"], strict=True
    ):
        assert layers.startswith(expected)


class TestNames:
    def test_theUserIsKnownLater(self, world: World) -> None:
        """
        Packets before the user is known are written when the user is, with their own times.
        """
        call = world.call(name=None)
        call.arrive(0xC021, ECHO)
        world.clock.advance(1.5)
        call.channel.sendFrame(0xC021, ECHO)
        assert world.seen() == []
        world.capture.rename(call.channel.counters, "alice@192.0.2.2")
        assert world.seen() == [
            ("alice@192.0.2.2", IN + ppp(0xC021, ECHO)),
            ("alice@192.0.2.2", OUT + ppp(0xC021, ECHO)),
        ]
        reader: Any = RawPcapReader(cast(Any, BytesIO(world.sink.files[0])))
        times = [reader._read_packet()[1] for _ in range(2)]
        stamps = [one.tshigh << 32 | one.tslow for one in times]
        assert stamps == [BEGAN * 1_000_000, BEGAN * 1_000_000 + 1_500_000]

    def test_nobody(self, world: World) -> None:
        """
        The interface of a call that ends without a user is named after the peer's address.
        """
        call = world.call(name=None)
        call.arrive(0xC021, ECHO)
        call.channel.close()
        call.channel.close()
        assert world.seen() == [(PEER, IN + ppp(0xC021, ECHO))]

    def test_noMoreThanSoManyWait(self, world: World) -> None:
        """
        When too many packets wait for the user's name they are written under the address, and the
        name applies to later packets.
        """
        call = world.call(name=None)
        for _ in range(WAITING_LIMIT):
            assert world.seen() == []
            call.arrive(0xC021, ECHO)
        assert [name for name, _ in world.seen()] == [PEER] * WAITING_LIMIT
        world.capture.rename(call.channel.counters, "alice@192.0.2.2")
        call.arrive(0xC021, ECHO)
        assert world.seen()[-1][0] == "alice@192.0.2.2"

    def test_sessionsApart(self, world: World) -> None:
        """
        Each session has an interface of its own, also when one user has two.
        """
        names = ["alice@192.0.2.2", "bob@192.0.2.2", "bob@192.0.2.2"]
        calls = [world.call(number, name) for number, name in enumerate(names, 7)]
        for _ in range(2):
            for number, call in enumerate(calls):
                call.arrive(0xC021, bytes([number]))
        assert [name for name, _ in world.seen()] == names * 2
        # The names of the interfaces, of which there are three.
        assert world.sink.files[0].count(b"bob@192.0.2.2") == 2

    def test_afterTheEnd(self, world: World, call: Call) -> None:
        """
        A name for a call that has ended changes nothing.
        """
        call.channel.close()
        world.capture.rename(call.channel.counters, "bob@192.0.2.2")
        assert world.seen() == []

    def test_aCallIDInUse(self, world: World, call: Call) -> None:
        """
        A channel that can't be opened leaves nothing in the capture.
        """
        with pytest.raises(ValueError, match="in use"):
            Call(world, call.number)
        call.arrive(0xC021, ECHO)
        assert len(world.seen()) == 1


class TestFiles:
    def test_eachStandsForItself(self) -> None:
        """
        A full file is followed by another, in which every interface is described again when it is
        needed. No packet is lost.
        """
        world = World(size=1000)
        alice, bob = world.call(7), world.call(8, "bob@192.0.2.3")
        for number in range(30):
            (alice if number % 3 else bob).arrive(0xC021, bytes([number]) * 40)
        files = [read(file) for file in world.sink.files]
        assert len(files) > 2
        assert all(900 < len(file) < 1200 for file in world.sink.files[:-1])
        assert [frame[5] for file in files for _, frame in file] == list(range(30))
        assert all(
            name == ("alice@192.0.2.2" if frame[5] % 3 else "bob@192.0.2.3")
            for file in files
            for name, frame in file
        )

    def test_aSinkThatIsFull(self, world: World, call: Call) -> None:
        """
        Packets that a full sink can't take are left out and counted, and the file stays valid. An
        interface that was new meanwhile is described later.
        """
        call.arrive(0xC021, b"1")
        world.sink.full = True
        other = world.call(8, "bob@192.0.2.3")
        call.arrive(0xC021, b"2")
        other.arrive(0xC021, b"3")
        world.sink.full = False
        call.arrive(0xC021, b"4")
        other.arrive(0xC021, b"5")
        assert world.seen() == [
            ("alice@192.0.2.2", IN + ppp(0xC021, b"1")),
            ("alice@192.0.2.2", IN + ppp(0xC021, b"4")),
            ("bob@192.0.2.3", IN + ppp(0xC021, b"5")),
        ]
        assert world.counters.discards == {LEFT_OUT: 2}
