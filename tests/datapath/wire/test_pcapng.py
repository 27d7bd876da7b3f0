"""
Tests for L{pptpgw.datapath.wire.pcapng}. Scapy and tshark read the files.
"""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import RawPcapReader

from pptpgw.datapath.wire.pcapng import (
    LINKTYPE_PPP_WITH_DIR,
    NAME_LIMIT,
    RECEIVED,
    SENT,
    enhancedPacket,
    interfaceDescription,
    interfaceStatistics,
    sectionHeader,
)

ways = st.sampled_from([RECEIVED, SENT])


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2**62), ways, st.binary(max_size=70)),
        max_size=8,
    )
)
def test_scapyReadsIt(packets: list[tuple[int, int, int, bytes]]) -> None:
    """
    scapy reads the interface, the time, the direction and the octets that were written.
    """
    octets = sectionHeader("a test")
    octets += b"".join(interfaceDescription(f"interface {number}", "pptp") for number in range(3))
    octets += b"".join(enhancedPacket(*packet) for packet in packets)
    reader: Any = RawPcapReader(cast(Any, BytesIO(octets)))
    for interface, microseconds, way, frame in packets:
        found, metadata = reader._read_packet()
        assert found == (b"\x00" if way == RECEIVED else b"\x01") + frame
        assert metadata.linktype == LINKTYPE_PPP_WITH_DIR
        assert metadata.ifname == f"interface {interface}".encode()
        assert metadata.direction == way
        assert metadata.tshigh << 32 | metadata.tslow == microseconds
        assert metadata.tsresol == 1_000_000
    with pytest.raises(EOFError):
        reader._read_packet()


@given(st.lists(st.text(max_size=400), max_size=4))
def test_everyBlockIsWhole(names: list[str]) -> None:
    """
    Each block has a multiple of four octets and its length at both ends, whatever the name is.
    """
    octets = sectionHeader("a test") + b"".join(interfaceDescription(one, one) for one in names)
    blocks = 0
    while octets:
        size = int.from_bytes(octets[4:8], "little")
        assert size % 4 == 0
        assert octets[size - 4 : size] == octets[4:8]
        octets = octets[size:]
        blocks += 1
    assert blocks == 1 + len(names)


def test_longNames() -> None:
    """
    A long name is cut between two characters.
    """
    block = interfaceDescription("x" + "ü" * NAME_LIMIT, "sstp")
    size = int.from_bytes(block[18:20], "little")
    assert block[20 : 20 + size].decode() == "x" + "ü" * (NAME_LIMIT // 2)


def test_octets() -> None:
    """
    The blocks are those of the draft's sections 4.1 to 4.3 and 4.6.
    """
    assert sectionHeader("me").hex() == (
        "0a0d0d0a280000004d3c2b1a01000000ffffffffffffffff040002006d6500000000000028000000"
    )
    assert interfaceDescription("a@b", "sstp").hex() == (
        "0100000028000000cc00000000000000020003006140620003000400737374700000000028000000"
    )
    assert enhancedPacket(3, 0x123456789A, SENT, b"\xff\x03\xc0\x21").hex() == (
        "06000000"
        "34000000"
        "03000000"
        "12000000"
        "9a785634"
        "05000000"
        "05000000"
        "01ff03c0"
        "21000000"
        "02000400"
        "02000000"
        "00000000"
        "34000000"
    )
    # Two octets of the frame are missing.
    assert enhancedPacket(0, 0, SENT, b"\xff\x03\xc0\x21", 2).hex()[40:56] == "0500000007000000"
    assert interfaceStatistics(1, 0x123456789A, 7, 3).hex() == (
        "05000000"
        "34000000"
        "01000000"
        "12000000"
        "9a785634"
        "04000800"
        "0700000000000000"
        "05000800"
        "0300000000000000"
        "00000000"
        "34000000"
    )


def test_tsharkReadsIt(tmp_path: Path) -> None:
    """
    tshark reads the interface, the time, the protocol, and the direction, both from the octet
    before the frame and from the flags.
    """
    echo = bytes.fromhex("ff03c02109010008deadbeef")
    file = tmp_path / "capture"
    file.write_bytes(
        sectionHeader("a test")
        + interfaceDescription("alice@192.0.2.10", "sstp")
        + enhancedPacket(0, 1_700_000_000_123_456, RECEIVED, echo)
        + enhancedPacket(0, 1_700_000_000_223_456, SENT, echo)
    )
    fields = [
        "frame.interface_name",
        "frame.interface_description",
        "frame.p2p_dir",
        "frame.packet_flags_direction",
        "ppp.code",
    ]
    fields += ["frame.time_epoch", "frame.protocols"]
    done = subprocess.run(
        ["tshark", "-r", str(file), "-Tfields", "-Eseparator=|", *(f"-e{one}" for one in fields)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        "alice@192.0.2.10|sstp|1|0x00000001|9|1700000000.123456000|ppp:lcp",
        "alice@192.0.2.10|sstp|0|0x00000002|9|1700000000.223456000|ppp:lcp",
    ]
