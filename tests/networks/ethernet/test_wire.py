"""
Tests for L{pptpgw.networks.ethernet.wire}.
"""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, LLC, STP, Dot3, Ether

from pptpgw.error import Malformed
from pptpgw.networks.ethernet import wire
from pptpgw.networks.ethernet.wire import CONTROL, FCS_PRESENT, LAN_ID, SHORTEST, ZERO_FILL
from pptpgw.ppp.wire.ppp import BRIDGE, SPANNING_TREE_8021D
from tests.octets import encodeFrame

ONE = "02:00:00:00:00:01"
OTHER = "02:00:00:00:00:02"
PING = bytes(
    Ether(src=ONE, dst=OTHER) / IP(src="10.1.0.1", dst="10.1.0.2") / ICMP() / b"sixty octets or so"
)
QUESTION = bytes(
    Ether(src=ONE, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.1.0.1", pdst="10.1.0.2")
).ljust(SHORTEST, b"\x00")
HELLO = bytes(
    Dot3(src=ONE, dst="01:80:c2:00:00:00", len=38) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP()
)

frames = st.binary(min_size=14, max_size=1518)


def shown(tmp_path: Path, *packets: bytes, fields: str) -> list[list[str]]:
    """
    The values that tshark finds for C{fields} in PPP frames, a list for each frame.
    """
    capture = tmp_path / "frames.pcap"
    octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 9)
    for packet in packets:
        octets += struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet
    capture.write_bytes(octets)
    command = ["tshark", "-r", str(capture), "-o", "eth.check_fcs:TRUE", "-T", "fields"]
    for field in fields.split():
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("frame", [PING, QUESTION, HELLO])
@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
def test_roundTrip(frame: bytes, control: bool, compress: bool, checksum: bool) -> None:
    """
    A frame is decoded to what was encoded, whatever the flags are.
    """
    assert wire.decode(wire.encode(frame, control, compress, checksum)) == frame


@given(frames, st.booleans(), st.booleans(), st.booleans())
def test_everyFrameComesBack(frame: bytes, control: bool, compress: bool, checksum: bool) -> None:
    assert wire.decode(wire.encode(frame, control, compress, checksum)) == frame


@given(st.binary(max_size=100), st.sampled_from([b"", b"\x00\x01", b"\xa0\x01", b"\xef\x01"]))
def test_arbitraryOctets(octets: bytes, start: bytes) -> None:
    """
    Any octets are decoded to a frame with a header or raise L{Malformed}.
    """
    try:
        frame = wire.decode(start + octets)
    except Malformed:
        return
    assert len(frame) >= 14


def test_plain() -> None:
    """
    A plain frame has no flags and MAC type 1.
    """
    assert wire.encode(PING) == b"\x00\x01" + PING


def test_tinygram() -> None:
    """
    Only a frame of the shortest length is compressed, and never its header (RFC 3518 section 3.3).
    """
    assert wire.encode(QUESTION, compress=True) == b"\x20\x01" + QUESTION.rstrip(b"\x00")
    assert len(wire.encode(QUESTION, compress=True)) < SHORTEST
    longer = QUESTION + b"\x00"
    assert wire.encode(longer, compress=True) == b"\x00\x01" + longer
    shorter = QUESTION[:50]
    assert wire.encode(shorter, compress=True) == b"\x00\x01" + shorter
    assert wire.encode(bytes(SHORTEST), compress=True) == b"\x20\x01" + bytes(14)


def test_tinygramIsRestoredToTheShortestLength() -> None:
    assert wire.decode(b"\x20\x01" + QUESTION[:42]) == QUESTION
    assert wire.decode(b"\x20\x01" + QUESTION) == QUESTION


def test_fcsOfATinygramIsThatOfTheWholeFrame() -> None:
    """
    The FCS of a tinygram is that of the whole frame. Only the zeros before it are left out.
    """
    packet = wire.encode(QUESTION, compress=True, checksum=True)
    assert packet[0] == FCS_PRESENT | ZERO_FILL
    assert packet[-4:] == zlib.crc32(QUESTION).to_bytes(4, "little")
    assert packet[2:-4] == QUESTION.rstrip(b"\x00")


def test_fcs() -> None:
    """
    A frame and its FCS together have the well-known residue that Ethernet controllers check.
    """
    assert zlib.crc32(PING + wire.fcs(PING)) == 0x2144DF1C


def test_wrongFCS() -> None:
    packet = bytearray(wire.encode(PING, checksum=True))
    packet[20] ^= 1
    with pytest.raises(Malformed, match="FCS is wrong"):
        wire.decode(bytes(packet))


@given(st.integers(0, 15), st.booleans())
def test_pads(count: int, checksum: bool) -> None:
    """
    As many pad octets as the flags count are stripped from the end, after the FCS.
    """
    packet = wire.encode(PING, checksum=checksum)
    padded = bytes((packet[0] | count,)) + packet[1:] + b"\xaa" * count
    assert wire.decode(padded) == PING


@pytest.mark.parametrize("flags", [0, ZERO_FILL, CONTROL])
def test_shortest(flags: int) -> None:
    """
    A frame has at least its header, whatever the flags are.
    """
    start = bytes((flags, 1))
    assert wire.decode(start + PING[:14])[:14] == PING[:14]
    with pytest.raises(Malformed):
        wire.decode(start + PING[:13])


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (b"", "no header"),
        (b"\x00", "no header"),
        (b"\x00\x01", "no header"),
        (bytes((LAN_ID, 1)) + bytes(4) + PING, "LAN ID"),
        (b"\x00\x00" + PING, "MAC type 0 "),
        (b"\x00\x03\x00\x40" + PING, "MAC type 3 "),
        (b"\x00\x0c\x00\x50" + PING, "MAC type 12 "),
        (bytes((FCS_PRESENT, 1)) + PING[:17], "flags 0x80"),
        (b"\x0f\x01" + PING[:28], "flags 0x0f"),
        (b"\x8f\x01", "flags 0x8f"),
        (bytes((ZERO_FILL, 1)) + bytes(SHORTEST + 1), "isn't short"),
    ],
)
def test_malformed(packet: bytes, text: str) -> None:
    """
    Frames that are short, contradict themselves, belong to another LAN or have fields that RFC 3518
    removed are malformed.
    """
    with pytest.raises(Malformed, match=text):
        wire.decode(packet)


def test_reserved() -> None:
    """
    Exactly the sixteen addresses of IEEE 802.1D table 7-10 are reserved.
    """
    for last in range(256):
        address = bytes.fromhex("0180c20000") + bytes((last,))
        assert wire.isReserved(address) == (last < 16)
    assert not wire.isReserved(bytes.fromhex("0180c2000100"))
    assert not wire.isReserved(b"\xff" * 6)


class TestOldBPDU:
    """
    Tests for the old form of BPDUs, protocol number 0x0201.
    """

    def test_bothWays(self) -> None:
        octets = wire.encodeBPDU(HELLO.ljust(SHORTEST, b"\x00"))
        assert octets == bytes(STP())
        source = bytes.fromhex(ONE.replace(":", ""))
        assert wire.decodeBPDU(octets, source) == HELLO.ljust(SHORTEST, b"\x00")

    def test_topologyChange(self) -> None:
        """
        A topology change notification, which is the shortest BPDU, passes in both directions.
        """
        frame = wire.decodeBPDU(bytes.fromhex("00000080"), bytes(6))
        assert len(frame) == SHORTEST
        assert frame[12:14] == b"\x00\x07"
        assert wire.encodeBPDU(frame) == bytes.fromhex("00000080")

    @pytest.mark.parametrize("size", [0, 3, 1498])
    def test_impossibleSizes(self, size: int) -> None:
        with pytest.raises(Malformed):
            wire.decodeBPDU(bytes(size), bytes(6))

    @given(st.binary(min_size=14, max_size=80))
    def test_arbitraryFrames(self, frame: bytes) -> None:
        """
        Any frame is encoded to a BPDU of the size that it claims, or to nothing.
        """
        try:
            octets = wire.encodeBPDU(frame)
        except Malformed:
            return
        assert 4 <= len(octets) <= len(frame) - 17

    @pytest.mark.parametrize(
        "frame",
        [
            PING,
            HELLO[:30],
            HELLO[:14] + b"\xaa\xaa\x03" + HELLO[17:],
            HELLO[:12] + b"\x00\x06" + HELLO[14:],
        ],
    )
    def test_noBPDU(self, frame: bytes) -> None:
        """
        Frames without LLC, cut frames, frames in SNAP (such as Cisco's PVST) and short frames
        aren't BPDUs.
        """
        with pytest.raises(Malformed):
            wire.encodeBPDU(frame)

    @given(st.binary(min_size=4, max_size=1497), st.binary(min_size=6, max_size=6))
    def test_everyBPDUComesBack(self, octets: bytes, source: bytes) -> None:
        assert wire.encodeBPDU(wire.decodeBPDU(octets, source)) == octets


class TestShark:
    """
    Tests with tshark, which has its own decoder of RFC 3518.
    """

    def test_bridged(self, tmp_path: Path) -> None:
        """
        tshark reads our PPP frames as bridged PDUs with the Ethernet frame inside, and finds each
        FCS good.
        """
        packets = [
            wire.encode(PING),
            wire.encode(QUESTION),
            wire.encode(PING, checksum=True),
            wire.encode(HELLO),
        ]
        assert shown(
            tmp_path,
            *(encodeFrame(BRIDGE, packet) for packet in packets),
            fields="ppp.protocol bcp_bpdu.mac_type bcp_bpdu.flags eth.src eth.fcs.status "
            "icmp.type arp.dst.proto_ipv4 stp.type",
        ) == [
            ["0x0031", "1", "0x00", ONE, "", "8", "", ""],
            ["0x0031", "1", "0x00", ONE, "", "", "10.1.0.2", ""],
            ["0x0031", "1", "0x80", ONE, "1", "8", "", ""],
            ["0x0031", "1", "0x00", ONE, "", "", "", "0x00"],
        ]

    def test_flags(self, tmp_path: Path) -> None:
        """
        tshark reads each flag as we mean it.
        """
        packets = [
            wire.encode(QUESTION, compress=True),
            wire.encode(QUESTION, checksum=True),
            wire.encode(HELLO, control=True),
            b"\x03\x01" + PING + bytes(3),
        ]
        names = ("flags.fcs_present", "flags.zeropad", "flags.bcontrol", "pads")
        assert shown(
            tmp_path,
            *(encodeFrame(BRIDGE, packet) for packet in packets),
            fields=" ".join(f"bcp_bpdu.{name}" for name in names),
        ) == [
            ["0", "1", "0", "0"],
            ["1", "0", "0", "0"],
            ["0", "0", "1", "0"],
            ["0", "0", "0", "3"],
        ]

    def test_oldBPDU(self, tmp_path: Path) -> None:
        """
        tshark knows the protocol number of old BPDUs.
        """
        frame = encodeFrame(SPANNING_TREE_8021D, wire.encodeBPDU(HELLO))
        assert shown(tmp_path, frame, fields="ppp.protocol data.data") == [
            ["0x0201", bytes(STP()).hex()]
        ]
