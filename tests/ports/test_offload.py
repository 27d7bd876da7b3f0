"""
Tests for segmentation offload, over sockets in place of a TUN device: how frames are split when
they are read (C{native/segment.c}) and how packets are joined when they are written
(C{native/coalesce.c}). scapy says which checksums are right.
"""

from __future__ import annotations

import errno
import importlib
import os
import socket
import sys
from collections import defaultdict
from collections.abc import Iterator
from struct import Struct
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt
from scapy.packet import Raw

from pptpgw.networks.wire.checksum import checksum
from pptpgw.ports.devicesystem import BATCH, READ_SIZE, RealDeviceSystem, fastest
from tests.ports.namespace import inNamespace

compiled: ModuleType | None
try:
    compiled = importlib.import_module("pptpgw.ports._tun")
except ImportError:
    compiled = None

needsCompiled = pytest.mark.skipif(compiled is None, reason="the C extension isn't built")

VNET = Struct("=BBHHHH")
WHOLE = bytes(VNET.size)
NEEDS_CHECKSUM = 1
TCP4, TCP6, UDP_SEGMENTS, ECN = 1, 4, 5, 0x80
LIMIT = 1024
"""
The most packets that one frame makes.
"""


class Device:
    """
    A socket in place of a TUN device, and the kernel's end of it.
    """

    def __init__(self, offload: bool = True, system: Any = fastest) -> None:
        self.kernel, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.kernel, self.socket):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        number = self.socket.fileno()
        self.read = system().reader(number, offload)
        self.write = system().writer(number, offload)
        self.writeAll = system().allWriter(number, offload)

    def close(self) -> None:
        self.kernel.close()
        self.socket.close()

    def split(self, *frames: bytes) -> tuple[list[bytes], int]:
        """
        What is read when the kernel sends frames.
        """
        for frame in frames:
            self.kernel.send(frame)
        found: tuple[list[bytes], int] = self.read()
        return found

    def frames(self) -> list[bytes]:
        """
        The frames that the kernel got.
        """
        frames = []
        while True:
            try:
                frames.append(self.kernel.recv(1 << 17))
            except BlockingIOError:
                return frames


@pytest.fixture
def device() -> Iterator[Device]:
    made = Device()
    yield made
    made.close()


def right(packet: bytes) -> bool:
    """
    Whether lengths and checksums of a packet are those that scapy computes.
    """
    parsed = (IP if packet[0] >> 4 == 4 else IPv6)(packet)
    for layer, fields in ((IP, ("len", "chksum")), (IPv6, ("plen",)), (TCP, ("chksum",))):
        if layer in parsed:
            for field in fields:
                parsed[layer].delfieldval(field)
    if UDP in parsed:
        parsed[UDP].delfieldval("chksum")
        parsed[UDP].delfieldval("len")
    return bytes(parsed) == packet


def transport(packet: bytes) -> int:
    """
    Where the transport header of a packet without extension headers begins.
    """
    return 20 if packet[0] >> 4 == 4 else 40


def incomplete(packet: bytes, start: int | None = None, offset: int = 16) -> bytes:
    """
    The packet with the sum of its pseudo-header in place of the transport's checksum, as the kernel
    leaves it.
    """
    start = transport(packet) if start is None else start
    protocol = 17 if offset == 6 else 6
    addresses = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    length = len(packet) - start
    pseudo = addresses + protocol.to_bytes(4, "big") + length.to_bytes(4, "big")
    total = (checksum(pseudo) ^ 0xFFFF).to_bytes(2, "big")
    return packet[: start + offset] + total + packet[start + offset + 2 :]


def frame(packet: bytes, kind: int, size: int, start: int | None = None) -> bytes:
    """
    A frame that the kernel wants split into packets with C{size} octets of payload.
    """
    start = transport(packet) if start is None else start
    offset = 6 if kind == UDP_SEGMENTS else 16
    header = VNET.pack(NEEDS_CHECKSUM, kind, 0, size, start, offset)
    return header + incomplete(packet, start, offset)


@needsCompiled
class TestSplitting:
    """
    Tests for frames that are read.
    """

    def test_whole(self, device: Device) -> None:
        assert device.split(WHOLE + b"one", WHOLE + b"two") == ([b"one", b"two"], 0)
        assert device.split() == ([], 0)

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from([4, 6]),
        st.integers(1, 4000),
        st.integers(20, 1500),
        st.sampled_from(["A", "PA", "FPA", "PAC", "FPAEC", "A"]),
        st.sampled_from([[], [("Timestamp", (1, 2))]]),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.sampled_from([0, ECN]),
    )
    def test_tcp(
        self,
        version: int,
        octets: int,
        size: int,
        flags: str,
        options: list[Any],
        identification: int,
        sequence: int,
        ecn: int,
    ) -> None:
        """
        A large segment becomes small ones with its payload, whose headers differ in what must
        differ, and whose checksums are right.
        """
        payload = os.urandom(octets)
        ip = IP(id=identification, flags="DF", tos=3) if version == 4 else IPv6(tc=5, fl=7)
        tcp = TCP(seq=sequence, ack=77, flags=flags, window=99, options=options)
        whole = bytes(ip / tcp / Raw(payload))
        device = Device()
        kind = TCP4 if version == 4 else TCP6
        packets, malformed = device.split(frame(whole, kind | ecn, size))
        device.close()
        assert malformed == 0 and len(packets) == -(-octets // size)
        at = 0
        for number, packet in enumerate(packets):
            last, part = number == len(packets) - 1, payload[at : at + size]
            ip.id = (identification + number) & 0xFFFF
            tcp.seq = (sequence + at) & 0xFFFFFFFF
            tcp.flags = "".join(
                flag
                for flag in flags
                if (last or flag not in "FP") and (number == 0 or flag != "C")
            )
            assert packet == bytes(ip / tcp / Raw(part))
            at += size

    @pytest.mark.parametrize("ip", [IP(id=65535), IPv6()], ids=["IPv4", "IPv6"])
    def test_udp(self, device: Device, ip: Any) -> None:
        payload = os.urandom(2500)
        whole = bytes(ip / UDP(sport=1, dport=2) / Raw(payload))
        packets, malformed = device.split(frame(whole, UDP_SEGMENTS, 1000))
        assert malformed == 0 and all(map(right, packets))
        start = transport(whole) + 8
        assert [packet[start:] for packet in packets] == [
            payload[:1000],
            payload[1000:2000],
            payload[2000:],
        ]
        if ip.version == 4:
            assert [packet[4:6] for packet in packets] == [b"\xff\xff", b"\0\0", b"\0\1"]

    def test_extensionHeaders(self, device: Device) -> None:
        """
        Extension headers of IPv6 are in every packet.
        """
        whole = bytes(IPv6() / IPv6ExtHdrDestOpt() / TCP(flags="PA") / Raw(bytes(100)))
        packets, malformed = device.split(frame(whole, TCP6, 60, 48))
        assert malformed == 0 and [len(packet) for packet in packets] == [128, 108]
        assert all(map(right, packets))

    @pytest.mark.parametrize(
        ("layer", "offset"), [(UDP(sport=1, dport=2), 6), (TCP(flags="S"), 16)], ids=["UDP", "TCP"]
    )
    def test_checksum(self, device: Device, layer: Any, offset: int) -> None:
        """
        A checksum that the kernel left out is filled in.
        """
        for ip in (IP(), IPv6()):
            for octets in (0, 1, 8, 1399):
                packet = bytes(ip / layer / Raw(os.urandom(octets)))
                start = transport(packet)
                header = VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, start, offset)
                found = device.split(header + incomplete(packet, start, offset))
                assert found == ([packet], 0)

    def test_noZeroInUDP(self, device: Device) -> None:
        """
        A checksum of zero would mean that there is none (RFC 768).
        """
        packet = bytes(IP() / UDP(sport=1, dport=2) / Raw(b"\0\0"))
        wanted = int.from_bytes(packet[26:28], "big")
        packet = bytes(IP() / UDP(sport=1, dport=2) / Raw(wanted.to_bytes(2, "big")))
        header = VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, 20, 6)
        ((found,), _) = device.split(header + incomplete(packet, 20, 6))
        assert found[26:28] == b"\xff\xff"

    def test_malformed(self, device: Device) -> None:
        """
        A frame whose header doesn't describe its packet is discarded and counted. Those after it
        are read.
        """
        large = bytes(IP() / TCP(flags="A") / Raw(bytes(300)))
        large6 = bytes(IPv6() / TCP(flags="A") / Raw(bytes(300)))
        datagram = bytes(IP() / UDP() / Raw(bytes(300)))
        usual = frame(large, TCP4, 100)

        def altered(at: int, octets: bytes, octetsOf: bytes = large, kind: int = TCP4) -> bytes:
            packet = octetsOf[:at] + octets + octetsOf[at + len(octets) :]
            return frame(packet, kind, 100, transport(octetsOf))

        wrong = [
            b"x",
            WHOLE,
            # Checksums outside of the packet.
            VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, 0, 0) + b"x",
            VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, 339, 0) + large,
            VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, 65535, 65535) + large,
            # No checksum to adjust, or not where the protocol has it.
            VNET.pack(0, TCP4, 0, 100, 20, 16) + large,
            VNET.pack(NEEDS_CHECKSUM, TCP4, 0, 100, 20, 6) + large,
            VNET.pack(NEEDS_CHECKSUM, TCP4, 0, 100, 24, 16) + large,
            # Kinds that weren't asked for, or aren't the packet's.
            frame(large, 2, 100),
            frame(large, 3, 100),
            frame(large, TCP6, 100),
            frame(large6, TCP4, 100),
            frame(large, UDP_SEGMENTS, 100),
            frame(datagram, TCP4, 100, 20),
            # No room for segments, and too many of them.
            frame(large, TCP4, 0),
            frame(bytes(IP() / TCP(flags="A")), TCP4, 100),
            frame(bytes(IP() / TCP(flags="A") / Raw(bytes(LIMIT + 1))), TCP4, 1),
            # Versions, lengths, fragments.
            altered(0, b"\x55"),
            altered(0, b"\x46"),
            altered(0, b"\x41"),
            altered(2, b"\x01\x55"),
            altered(6, b"\x20\x00"),
            altered(6, b"\x00\x01"),
            altered(9, b"\x11"),
            altered(4, b"\x01\x43", large6, TCP6),
            altered(6, b"\x11", large6, TCP6),
            # TCP headers that are too short or too long.
            altered(32, b"\x40"),
            frame(bytes(IP() / TCP(flags="A", dataofs=15) / Raw(bytes(40))), TCP4, 100),
            # A frame that may have been cut.
            WHOLE + bytes(65536),
        ]
        for one in wrong:
            packets, malformed = device.split(one, usual)
            assert (len(packets), malformed) == (3, 1), one[:70].hex()

    def test_theMost(self, device: Device) -> None:
        many = bytes(IP() / TCP(flags="A") / Raw(bytes(LIMIT)))
        packets, malformed = device.split(frame(many, TCP4, 1))
        assert (len(packets), malformed) == (LIMIT, 0)
        largest = bytes(IP() / TCP(flags="A") / Raw(bytes(65495)))
        packets, malformed = device.split(frame(largest, TCP4, 1400))
        assert malformed == 0 and sum(len(packet) - 40 for packet in packets) == 65495

    def test_batch(self, device: Device) -> None:
        """
        No more is read once there is a batch of packets.
        """
        large = frame(bytes(IP() / TCP(flags="A") / Raw(bytes(100 * 50))), TCP4, 100)
        for _ in range(4):
            device.kernel.send(large)
        assert [len(device.read()[0]) for _ in range(3)] == [150, 50, 0]


class Flow:
    """
    A sender of TCP segments.
    """

    def __init__(self, version: int, port: int, fragmentable: bool = False) -> None:
        self.ip: Any = IP(src="10.77.0.10", dst="10.1.1.1", flags="" if fragmentable else "DF")
        if version == 6:
            self.ip = IPv6(src="2001:db8::10", dst="2001:db8:1::1", tc=3, fl=5)
        self.version, self.port = version, port
        self.identification, self.sequence = 65530, 0xFFFFFF00

    def segment(self, octets: int, **fields: Any) -> bytes:
        """
        The next segment.
        """
        ip = self.ip.copy()
        for name in [name for name in fields if name.startswith("ip_")]:
            ip.setfieldval(name[3:], fields.pop(name))
        if self.version == 4 and ip.id == 1:
            ip.id = self.identification & 0xFFFF
        self.identification += 1
        tcp = TCP(sport=self.port, dport=80, flags="A", seq=self.sequence, ack=7, window=99)
        for name, value in fields.items():
            tcp.setfieldval(name, value)
        self.sequence = (self.sequence + octets) & 0xFFFFFFFF
        return bytes(ip / tcp / Raw(os.urandom(octets)))


class Datagrams(Flow):
    """
    A sender of UDP datagrams.
    """

    def segment(self, octets: int, **fields: Any) -> bytes:
        """
        The next datagram.
        """
        ip = self.ip.copy()
        for name in [name for name in fields if name.startswith("ip_")]:
            ip.setfieldval(name[3:], fields.pop(name))
        if self.version == 4 and ip.id == 1:
            ip.id = self.identification & 0xFFFF
        self.identification += 1
        udp = UDP(sport=self.port, dport=443, **fields)
        return bytes(ip / udp / Raw(os.urandom(octets)))


def flowOf(packet: bytes) -> bytes:
    """
    What tells flows apart: addresses and, where they are, ports.
    """
    return packet[12:24] if packet[0] >> 4 == 4 else packet[8:44]


def joinedAndSplit(packets: list[bytes]) -> tuple[list[bytes], int]:
    """
    What the kernel makes of packets that are written at once, and the number of frames.
    """
    device = Device()
    try:
        assert device.writeAll(packets) == 0
        frames = device.frames()
        found: list[bytes] = []
        for one in frames:
            pieces, malformed = device.split(one)
            assert not malformed
            found += pieces
        return found, len(frames)
    finally:
        device.close()


SIZES = st.sampled_from([0, 1, 7, 100, 100, 100, 100])
CHANGES: list[dict[str, Any]] = [
    {},
    {},
    {},
    {},
    {},
    {"flags": "PA"},
    {"flags": "FA"},
    {"flags": "SA"},
    {"flags": "AC"},
    {"flags": ""},
    {"reserved": 1},
    {"ack": 8},
    {"window": 98},
    {"urgptr": 1},
    {"seq": 5},
    {"chksum": 5},
    {"options": [("Timestamp", (1, 2))]},
    {"options": [("NOP", None)] * 4},
]
CHANGES_IP4: list[dict[str, Any]] = [
    {"ip_tos": 4},
    {"ip_ttl": 5},
    {"ip_id": 9},
    {"ip_flags": "MF"},
    {"ip_frag": 3},
    {"ip_chksum": 6},
    {"ip_len": 41},
    {"ip_options": [b"\1\1\1\0"]},
]
CHANGES_IP6: list[dict[str, Any]] = [{"ip_tc": 9}, {"ip_fl": 9}, {"ip_hlim": 9}]
CHANGES4, CHANGES6 = [*CHANGES, *CHANGES_IP4], [*CHANGES, *CHANGES_IP6]
CHANGES_UDP: list[dict[str, Any]] = [{"chksum": 5}, {"chksum": 0}, {"len": 9}]
OTHERS = [
    bytes(IP(src="10.77.0.10", dst="10.1.1.1") / UDP() / Raw(b"datagram")),
    bytes(IPv6(src="2001:db8::10", dst="2001:db8:1::1") / ICMPv6EchoRequest()),
    b"",
    b"\x45",
    b"\x60" + bytes(39),
    b"\x60" + bytes(5) + b"\x06" + bytes(60),
]


@needsCompiled
class TestJoining:
    """
    Tests for packets that are written.
    """

    @pytest.mark.parametrize("version", [4, 6])
    @pytest.mark.parametrize("options", [[], [("Timestamp", (1, 2))]])
    def test_aStream(self, version: int, options: list[Any]) -> None:
        """
        Segments that follow each other are one frame, and the kernel takes its checksum for right.
        """
        flow = Flow(version, 1000)
        packets = [flow.segment(500, options=options) for _ in range(9)]
        packets.append(flow.segment(300, options=options, flags="PA"))
        device = Device()
        assert device.writeAll(packets) == 0
        (one,) = device.frames()
        device.close()
        flags, kind, headers, size, start, offset = VNET.unpack_from(one)
        assert (flags, kind) == (NEEDS_CHECKSUM, TCP4 if version == 4 else TCP6)
        assert (size, start, offset) == (500, transport(packets[0]), 16)
        assert headers == len(packets[0]) - 500
        packet = one[VNET.size :]
        assert packet == incomplete(packet)
        assert len(packet) == headers + 4800
        assert packet[start + 13] == 0x18
        assert joinedAndSplit(packets) == (packets, 1)

    @settings(max_examples=100, deadline=None)
    @given(st.data())
    def test_nothingChanges(self, data: st.DataObject) -> None:
        """
        Whatever is written, the kernel makes the same packets of it; those of one flow keep their
        order, and so do those of no flow.
        """
        flows = [Flow(4, 1), Flow(4, 2, fragmentable=True), Flow(6, 3)]
        flows += [Datagrams(4, 4), Datagrams(4, 5, fragmentable=True), Datagrams(6, 6)]
        packets: list[bytes] = []
        for _ in range(data.draw(st.integers(0, 24))):
            number = data.draw(st.integers(0, 12))
            if number == 12:
                packets.append(data.draw(st.sampled_from(OTHERS)))
                continue
            flow = flows[number % 6]
            changes = CHANGES6 if flow.version == 6 else CHANGES4
            if isinstance(flow, Datagrams):
                changes = [
                    {},
                    {},
                    *CHANGES_UDP,
                    *(CHANGES_IP6 if flow.version == 6 else CHANGES_IP4),
                ]
            packets.append(flow.segment(data.draw(SIZES), **data.draw(st.sampled_from(changes))))
        written = [packet for packet in packets if packet]
        found, frames = joinedAndSplit(written)
        assert frames <= len(written)
        assert sorted(map(normal, found)) == sorted(map(normal, written))
        assert byFlow(found) == byFlow(written)

    @pytest.mark.parametrize(
        ("version", "change"),
        [(4, change) for change in CHANGES4 if change and change != {"ip_id": 9}]
        + [(6, change) for change in CHANGES6 if change],
    )
    def test_whatIsntJoined(self, version: int, change: dict[str, Any]) -> None:
        """
        A segment that differs from those before it isn't joined with them: it is a frame of its own
        with those that follow, unless it ends a run by PSH.
        """
        flow = Flow(version, 1000)
        packets = [flow.segment(100), flow.segment(100, **change), flow.segment(100)]
        found, frames = joinedAndSplit(packets)
        assert byFlow(found) == byFlow(packets)
        assert frames == (2 if change == {"flags": "PA"} else 3)

    @pytest.mark.parametrize("version", [4, 6])
    def test_datagrams(self, version: int) -> None:
        """
        Datagrams of one flow and one size are one frame, with a shorter one at the end, and the
        kernel takes its checksum for right.
        """
        flow = Datagrams(version, 1000)
        packets = [flow.segment(size) for size in (1200, 1200, 1200, 700)]
        device = Device()
        assert device.writeAll(packets) == 0
        (one,) = device.frames()
        device.close()
        start = transport(packets[0])
        fields = VNET.unpack_from(one)
        assert fields == (NEEDS_CHECKSUM, UDP_SEGMENTS, start + 8, 1200, start, 6)
        packet = one[VNET.size :]
        assert packet == incomplete(packet, start, 6) and len(packet) == start + 8 + 4300
        assert int.from_bytes(packet[start + 4 : start + 6], "big") == 8 + 4300
        assert joinedAndSplit(packets) == (packets, 1)

    @pytest.mark.parametrize(
        ("version", "change"),
        [(4, change) for change in CHANGES_UDP + CHANGES_IP4 if change != {"ip_id": 9}]
        + [(6, change) for change in CHANGES_UDP + CHANGES_IP6],
    )
    def test_whichDatagramsArentJoined(self, version: int, change: dict[str, Any]) -> None:
        """
        A datagram that differs from those before it is a frame of its own, and one without a
        checksum keeps none.
        """
        flow = Datagrams(version, 1000)
        packets = [flow.segment(100), flow.segment(100, **change), flow.segment(100)]
        found, frames = joinedAndSplit(packets)
        assert byFlow(found) == byFlow(packets) and frames == 3
        sizes = [flow.segment(size) for size in (0, 0, 8, 9)]
        assert joinedAndSplit(sizes) == (sizes, 4)

    def test_datagramsInTheKernel(self) -> None:
        """
        A socket gets each of the datagrams that were joined, from the real kernel.
        """
        inNamespace("datagrams", module="tests.ports.joined")

    def test_identification(self) -> None:
        """
        The identification of a packet that may be fragmented must be the next one (RFC 6864).
        """
        for fragmentable, frames in ((True, 2), (False, 1)):
            flow = Flow(4, 1000, fragmentable)
            packets = [flow.segment(100), flow.segment(100, ip_id=9)]
            assert joinedAndSplit(packets)[1] == frames
            flow = Datagrams(4, 1000, fragmentable)
            packets = [flow.segment(100), flow.segment(100, ip_id=9)]
            assert joinedAndSplit(packets)[1] == frames

    def test_whatIsShorterEndsARun(self) -> None:
        flow = Flow(4, 1000)
        packets = [flow.segment(size) for size in (100, 100, 99, 99, 100)]
        assert joinedAndSplit(packets) == (packets, 3)

    def test_limits(self) -> None:
        """
        A frame has 64 segments at most, and 65,535 octets.
        """
        flow = Flow(4, 1000)
        packets = [flow.segment(8) for _ in range(65)]
        assert joinedAndSplit(packets) == (packets, 2)
        packets = [flow.segment(30000) for _ in range(3)]
        assert joinedAndSplit(packets) == (packets, 2)
        rest = 65535 - 40 - 60000
        packets = [flow.segment(30000), flow.segment(30000), flow.segment(rest)]
        assert joinedAndSplit(packets) == (packets, 1)

    def test_flowsInTurn(self) -> None:
        """
        Eight flows are joined at the same time. Of more, those that began first are written.
        """
        flows = [Flow(4 if port % 2 else 6, port) for port in range(8)]
        packets = [flow.segment(50) for _ in range(5) for flow in flows]
        found, frames = joinedAndSplit(packets)
        assert frames == 8 and byFlow(found) == byFlow(packets)
        flows.append(Flow(4, 1000))
        packets = [flow.segment(50) for _ in range(5) for flow in flows]
        found, frames = joinedAndSplit(packets)
        assert 9 < frames <= 45 and byFlow(found) == byFlow(packets)

    def test_refusals(self) -> None:
        """
        Every packet of a frame that the kernel refuses is counted.
        """
        device = Device()
        flow = Flow(4, 1000)
        device.close()
        assert device.writeAll([flow.segment(100) for _ in range(5)] + [OTHERS[0]]) == 6


def byFlow(packets: list[bytes]) -> dict[bytes, list[bytes]]:
    """
    The packets of each flow, in order.
    """
    flows: dict[bytes, list[bytes]] = defaultdict(list)
    for packet in packets:
        flows[flowOf(packet)].append(normal(packet))
    return flows


def normal(packet: bytes) -> bytes:
    """
    The packet without an identification that means nothing (RFC 6864), if its checksum is right.
    """
    if len(packet) >= 20 and packet[0] == 0x45 and packet[6] & 0x40 and not checksum(packet[:20]):
        return packet[:4] + bytes(2) + packet[6:10] + bytes(2) + packet[12:]
    return packet


@pytest.mark.parametrize("system", {RealDeviceSystem, fastest})
class TestWithout:
    """
    Tests for devices without offload, in Python and in C where that is built.
    """

    def test_packets(self, system: Any) -> None:
        device = Device(False, system)
        device.write(b"packet")
        flow = Flow(4, 1000)
        packets = [flow.segment(100), flow.segment(100)]
        assert device.writeAll(packets) == 0
        assert device.writeAll(()) == 0
        assert device.frames() == [b"packet", *packets]
        assert device.split(b"one", bytes(READ_SIZE + 1)) == ([b"one", bytes(READ_SIZE)], 0)
        assert device.split() == ([], 0)
        for _ in range(BATCH + 1):
            device.kernel.send(b"x")
        assert [len(device.read()[0]) for _ in range(3)] == [BATCH, 1, 0]
        with pytest.raises(TypeError):
            device.write("packet")
        with pytest.raises(TypeError):
            device.writeAll(["packet"])
        device.close()

    def test_errors(self, system: Any) -> None:
        device = Device(False, system)
        device.close()
        with pytest.raises(OSError) as caught:
            device.read()
        assert caught.value.errno == errno.EBADF
        with pytest.raises(OSError):
            device.write(b"packet")
        assert device.writeAll([b"one", b"two"]) == 2


@needsCompiled
def test_arguments() -> None:
    """
    Wrong arguments of the compiled functions raise TypeError, and no reference is kept.
    """
    assert compiled is not None
    for make in (compiled.reader, compiled.writer, compiled.allWriter):
        for arguments in ((), (1,), ("1", True), (1, True, 2)):
            with pytest.raises(TypeError):
                make(*arguments)
    device = Device()
    device.write(b"packet")
    assert device.frames() == [WHOLE + b"packet"]
    packet = Flow(4, 1).segment(100)
    held = sys.getrefcount(packet)
    for wrong in (None, 5, [None], ["x"]):
        with pytest.raises(TypeError):
            device.writeAll(wrong)
    with pytest.raises(TypeError):
        device.writeAll([packet, None])
    device.writeAll([packet, packet])
    device.close()
    assert sys.getrefcount(packet) == held
