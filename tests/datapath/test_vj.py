"""
Tests for L{pptpgw.datapath.vj}, with tshark as a decompressor that isn't ours.
"""

from __future__ import annotations

import random
import struct
import subprocess
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP

from pptpgw.datapath.vj import Compressor, Decompressor
from pptpgw.error import Malformed
from pptpgw.networks.wire.checksum import checksum
from pptpgw.ppp.wire.ppp import COMPRESSED_TCP, IPCP, IPV4, UNCOMPRESSED_TCP

# Frames with the direction in an octet before each.
LINKTYPE_PPP_WITH_DIR = 204

Sent = tuple[int, bytes]


def segment(
    data: bytes = b"",
    sequence: int = 1,
    acknowledgement: int = 1,
    identifier: int = 1,
    port: int = 1000,
    flags: str = "A",
    window: int = 4096,
    urgent: int = 0,
    tos: int = 0,
    options: tuple[tuple[str, int | bytes], ...] = (),
) -> bytes:
    """
    A TCP segment over IPv4.
    """
    tcp = TCP(
        sport=port,
        dport=80,
        seq=sequence,
        ack=acknowledgement,
        flags=flags,
        window=window,
        urgptr=urgent,
        options=list(options),
    )
    ip = IP(src="10.77.0.10", dst="10.77.0.1", id=identifier, tos=tos, flags="DF")
    return bytes(ip / tcp / data)


def taken(decompressor: Decompressor, sent: Sent) -> bytes | None:
    """
    What the other end makes of what was sent.
    """
    protocol, octets = sent
    if protocol == UNCOMPRESSED_TCP:
        return decompressor.remember(octets)
    return decompressor.decompress(octets) if protocol == COMPRESSED_TCP else octets


@cache
def conversation(seed: int, count: int, isUrgent: bool = True) -> list[bytes]:
    """
    Segments of twenty connections as they follow each other, with everything that can change.

    @param isUrgent: whether some have urgent data.
    """
    chance = random.Random(seed)
    states = [
        [chance.getrandbits(32), chance.getrandbits(32), chance.getrandbits(16), 1000]
        for _ in range(20)
    ]
    made = []
    for _ in range(count):
        number = chance.randrange(3 if chance.random() < 0.8 else 20)
        state = states[number]
        size = chance.choice((0, 0, 1, 100, 1000))
        state[2] = state[2] + chance.choice((0, 1, 1, 1, 2, 300)) & 0xFFFF
        if chance.random() < 0.3:
            state[1] = state[1] + chance.choice((1, size, 500, 70000)) & 0xFFFFFFFF
        if chance.random() < 0.1:
            state[3] = chance.getrandbits(16)
        rare = ("FA", "S", "RA", "AE", "AC", *(("AU", "PAU") if isUrgent else ()))
        flags = chance.choice(("A", "PA") if chance.random() < 0.85 else rare)
        urgent = chance.choice((0, 5, 400)) if "U" in flags else 0
        made.append(
            segment(
                chance.randbytes(size),
                state[0],
                state[1],
                state[2],
                port=1000 + number,
                flags=flags,
                window=state[3],
                urgent=urgent,
            )
        )
        if chance.random() < 0.95:
            state[0] = state[0] + size & 0xFFFFFFFF
    return made


def test_theFormsOfPackets() -> None:
    """
    The first packet of a connection is sent whole with its slot, those that follow as differences,
    what begins or ends connections and what isn't TCP as it is.
    """
    compressor, decompressor = Compressor(16, True), Decompressor(16)
    first = segment(b"abc", sequence=100, identifier=7)
    assert compressor.compress(first) == (
        UNCOMPRESSED_TCP,
        first[:9] + b"\0" + first[10:],
    )
    assert decompressor.remember(first[:9] + b"\0" + first[10:]) == first
    cases: list[tuple[bytes, str]] = [
        # A stream in one direction: the mask and the checksum alone.
        (segment(b"defg", sequence=103, identifier=8), "0f"),
        # The same, pushed, with an identifier that jumps.
        (segment(b"hi", sequence=107, identifier=300, flags="PA"), "3f 000124"),
        # Both numbers rise by what was sent last, as with an echo.
        (segment(b"j", sequence=109, acknowledgement=3, identifier=301), "0b"),
        # The window shrinks, and the sequence number rises: no special case.
        (segment(sequence=110, acknowledgement=3, identifier=302, window=4095), "0a 00ffff 01"),
    ]
    for packet, known in cases:
        protocol, octets = compressor.compress(packet)
        mask, differences = bytes.fromhex(known)[:1], bytes.fromhex(known)[1:]
        assert (protocol, octets) == (
            COMPRESSED_TCP,
            mask + packet[36:38] + differences + packet[40:],
        )
        assert decompressor.decompress(octets) == packet
    for other in (
        segment(flags="S"),
        segment(flags="FA"),
        segment(flags="RA"),
        segment(flags="AE"),
        segment(flags="AC"),
        segment()[:30],
        segment()[:6] + b"\x20\0" + segment()[8:],
        segment() + b"padding",
        b"",
        bytes(IP(proto=17)) + bytes(30),
    ):
        assert compressor.compress(other) == (IPV4, other)


@pytest.mark.parametrize(
    "change",
    [
        {"tos": 8},
        {"options": (("NOP", b""), ("NOP", b""), ("Timestamp", (1, 2)))},
        {"sequence": 0},
        {"sequence": 70000},
        {"acknowledgement": 70000},
        {"urgent": 3},
        # Sent again: perhaps the other end is out of step.
        {},
    ],
)
def test_whatDifferencesCantTell(change: dict[str, int]) -> None:
    """
    A packet whose header differs by what the mask has no bit for is sent whole.
    """
    compressor, decompressor = Compressor(16, True), Decompressor(16)
    assert taken(decompressor, compressor.compress(segment(b"x"))) == segment(b"x")
    packet = segment(b"x", **{"identifier": 2, **change})  # type: ignore[arg-type]
    sent = compressor.compress(packet)
    assert sent[0] == UNCOMPRESSED_TCP
    assert taken(decompressor, sent) == packet


@pytest.mark.parametrize(("slots", "omits"), [(16, True), (16, False), (4, True), (1, True)])
@pytest.mark.parametrize("seed", range(3))
def test_everyPacketArrives(slots: int, omits: bool, seed: int) -> None:
    """
    All packets of twenty connections are restored, whatever the number of slots.
    """
    compressor, decompressor = Compressor(slots, omits), Decompressor(slots)
    forms = set()
    for packet in conversation(seed, 1000):
        sent = compressor.compress(packet)
        forms.add(sent[0])
        assert taken(decompressor, sent) == packet
        if sent[0] == COMPRESSED_TCP and not omits:
            assert sent[1][0] & 0x40
    assert forms == {IPV4, UNCOMPRESSED_TCP, COMPRESSED_TCP}


def test_tsharkRestoresThem(tmp_path: Path) -> None:
    """
    tshark, whose decompressor isn't ours, reads the same headers. (It always reads urgent pointers
    in two octets, unlike RFC 1144.)
    """
    option = bytes.fromhex("0206002d0f01")
    agreed = (4 + len(option)).to_bytes(2, "big") + option
    frames = [
        (way, IPCP, bytes((code, 1)) + agreed)
        for code, ways in ((1, (0, 1)), (2, (1, 0)))
        for way in ways
    ]
    packets = conversation(7, 1000, isUrgent=False)
    compressor = Compressor(16, True)
    misled: set[bytes] = set()
    # The packets, with whether tshark can know their sequence numbers.
    expected: list[tuple[bytes, bool]] = []
    lasts: dict[bytes, int] = {}
    for packet in packets:
        protocol, sent = compressor.compress(packet)
        frames.append((1, protocol, sent))
        connection = packet[20:24]
        if protocol == UNCOMPRESSED_TCP:
            misled.discard(connection)
        elif protocol == COMPRESSED_TCP and sent[0] & 0x0F in (0x0B, 0x0F):
            # For the data of a packet that came whole, tshark takes TCP's header, too.
            misled |= {connection} if lasts[connection] == UNCOMPRESSED_TCP else set()
        if protocol != IPV4:
            lasts[connection] = protocol
        expected.append((packet, connection not in misled))
    assert sum(isKnown for _, isKnown in expected) > 500
    octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINKTYPE_PPP_WITH_DIR)
    for way, protocol, information in frames:
        frame = bytes((way, 0xFF, 3)) + protocol.to_bytes(2, "big") + information
        octets += struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame
    file = tmp_path / "capture"
    file.write_bytes(octets)
    fields = ["ip.id", "ip.len", "ip.checksum.status", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags"]
    fields += ["tcp.window_size_value", "tcp.urgent_pointer", "tcp.checksum.status", "tcp.len"]
    preferences = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
    done = subprocess.run(
        ["tshark", "-r", str(file), *preferences, "-Tfields", *(f"-e{one}" for one in fields)],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()[4:]
    for line, (packet, isKnown) in zip(lines, expected, strict=True):
        ip = IP(packet)
        tcp = ip[TCP]
        size = len(tcp.payload)
        # 1 stands for a good checksum.
        headers = [ip.id, ip.len, 1, tcp.seq, tcp.ack, int(tcp.flags), tcp.window, tcp.urgptr]
        if isKnown or packet[33] & 0x07:
            assert [int(one, 0) for one in line.split("\t")] == [*headers, 1, size]


@pytest.mark.parametrize("seed", range(3))
def test_nothingWrongAfterALoss(seed: int) -> None:
    """
    If every lost frame is told, none is restored wrongly but those whose own connection lost one,
    and these are right again once the connection sends a packet whole.
    """
    compressor, decompressor = Compressor(16, True), Decompressor(16)
    chance = random.Random(seed)
    refused = 0
    behind: set[bytes] = set()
    for packet in conversation(seed, 1000):
        protocol, octets = compressor.compress(packet)
        connection = packet[20:24]
        if chance.random() < 0.02:
            decompressor.lost()
            if protocol != IPV4:
                behind.add(connection)
            continue
        try:
            restored = taken(decompressor, (protocol, octets))
        except Malformed:
            # The packet that would have opened the slot was lost.
            assert connection in behind
            continue
        if restored is None:
            refused += 1
            behind.add(connection)
            continue
        if protocol == UNCOMPRESSED_TCP:
            behind.discard(connection)
        # TCP's checksum finds what the differences of the lost packet would have changed.
        assert restored == packet or connection in behind
    assert refused


def test_refused() -> None:
    """
    Slots that don't exist or that nothing is known of, truncated headers and packets that would be
    too large are malformed. What follows must name its slot.
    """
    decompressor = Decompressor(2)
    first = segment(b"abc", sequence=100)
    whole = first[:9] + b"\1" + first[10:]
    with pytest.raises(Malformed):
        decompressor.remember(first[:9] + b"\2" + first[10:])
    for end in (0, 1, 19, 39):
        with pytest.raises(Malformed):
            decompressor.remember(whole[:end])
    assert decompressor.decompress(b"\x0f\0\0") is None
    decompressor.remember(whole)
    assert decompressor.decompress(b"\x0f\0\0") is not None
    for octets in (b"\x4f\0\0\0", b"\x4f\2\0\0", b"", b"\x4f", b"\x4f\1\0", b"\x48\1\0\0\0\1"):
        with pytest.raises(Malformed):
            decompressor.decompress(octets)
    # Those may have been anything.
    decompressor.lost()
    assert decompressor.decompress(b"\x0f\0\0") is None
    assert decompressor.decompress(b"\x4f\1\0\0") is not None
    assert decompressor.decompress(b"\x0f\0\0" + bytes(0xFFFF - 40)) is not None
    with pytest.raises(Malformed):
        decompressor.decompress(b"\x0f\0\0" + bytes(0xFFFF - 39))


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=80)), max_size=12))
def test_whateverComes(frames: list[tuple[int, bytes]]) -> None:
    """
    Any octets are a packet of IPv4 with a right length and checksum, or are refused.
    """
    decompressor = Decompressor(16)
    decompressor.remember(segment()[:9] + b"\0" + segment()[10:])
    for kind, octets in frames:
        try:
            if kind == 0:
                decompressor.lost()
                packet = None
            elif kind == 1:
                packet = decompressor.remember(segment()[:9] + octets + segment()[10:])
            else:
                packet = decompressor.decompress(octets)
        except Malformed:
            continue
        if kind > 1 and packet is not None:
            assert int.from_bytes(packet[2:4], "big") == len(packet) <= 0xFFFF
            assert checksum(packet[: (packet[0] & 15) * 4]) == 0
    assert len(decompressor._headers) <= 16
