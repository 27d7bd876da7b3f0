"""
Tests for L{pptpgw.datapath.mppc}.

The file C{mppc.hex} has frames whose bits FreeRDP has made, as RDP's compression with a history of
8 KiB ([MS-RDPBCGR] section 3.1.8) is the same: C{mppc_compress} of Debian's libfreerdp2-2 2.11.7,
with the packets of L{packets}. Its C{mppc_decompress} has read what L{Compressor} makes of them and
of thousands of others.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.datapath.mppc import (
    COMPRESSED,
    COUNTS,
    ENCRYPTED,
    FLUSHED,
    FRONT,
    HISTORY,
    Compressor,
    Decompressor,
)
from pptpgw.error import Malformed

IPV4 = b"\x00\x21"
LONGEST = 1502
VECTORS = Path(__file__).with_name("mppc.hex")


def digest(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def packets() -> Iterator[bytes]:
    """
    Protocol numbers and packets: runs, words that come again, and some that don't shrink. Together
    they are longer than four histories.
    """
    for number in range(90):
        chance = digest(number)
        words = (digest(one % 12)[: 4 + one % 20] for one in chance[: 1 + chance[0] % 32])
        body = b"".join(words) * (1 + chance[1] % 3)
        if number % 9 == 4:
            body = bytes([chance[2]]) * (chance[3] * 4 + 1)
        if number % 9 == 8:
            body = b"".join(digest(number * 100 + one) for one in range(4))
        yield IPV4 + body


def test_whatFreeRDPHasCompressed() -> None:
    """
    The frames of another implementation are decompressed, past several fronts and flushes.
    """
    frames = [bytes.fromhex(line) for line in VECTORS.read_text().split()]
    decompressor = Decompressor(LONGEST)
    flags = 0
    for frame, plain in zip(frames, packets(), strict=True):
        flags |= int.from_bytes(frame[:2], "big")
        assert decompressor.decompress(frame) == plain
    assert flags & ~(COUNTS - 1) == FLUSHED | FRONT | COMPRESSED


def frameOf(bits: str, header: int = FLUSHED | COMPRESSED) -> bytes:
    """
    A frame with these bits, 0 and 1 with spaces between them.
    """
    digits = bits.replace(" ", "")
    octets = len(digits) + 7 >> 3
    number = int(digits.ljust(8 * octets, "0") or "0", 2)
    return header.to_bytes(2, "big") + number.to_bytes(octets, "big")


@pytest.mark.parametrize(
    ("bits", "plain"),
    [
        # The examples of [MS-RDPBCGR] section 3.1.8.4.1.1.
        ("01010110 10 1100111", b"\x56\xe7"),
        # An octet, and a copy of 3, of 4 and of 15 octets that overlaps with itself.
        ("01100001 1111 000001 0", b"aaaa"),
        ("01100001 1111 000001 10 00", b"aaaaa"),
        ("01100001 1111 000001 110 111", b"a" * 16),
        # Copies of the zeros with which a history begins, from before its front.
        ("01100001 1110 00000001 0", b"a\0\0\0"),
        ("01100001 110 0000000000001 0", b"a\0\0\0"),
    ],
)
def test_encoding(bits: str, plain: bytes) -> None:
    """
    Octets and copies are encoded by RFC 2118 section 4.
    """
    assert Decompressor(LONGEST).decompress(frameOf(bits)) == plain


def test_everyOffsetAndLength() -> None:
    """
    Copies from everywhere in the history, of every length, arrive.
    """
    chance = random.Random(3)
    compressor, decompressor = Compressor(), Decompressor(HISTORY)
    whole = chance.randbytes(200)
    for size in (3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 1023, 1024):
        for start in (0, 50, 150):
            packet = (whole[start:] * 12)[:size] + bytes(6)
            frame = compressor.compress(IPV4, packet)
            if frame is not None:
                assert decompressor.decompress(frame) == IPV4 + packet
    for size in (4095, 4096, 8000):
        compressor.reset()
        frame = compressor.compress(IPV4, bytes(size))
        assert frame is not None and len(frame) < 12
        assert decompressor.decompress(frame) == IPV4 + bytes(size)
    assert compressor.compress(IPV4, bytes(HISTORY)) is None


@pytest.mark.parametrize("seed", range(4))
def test_everyPacketArrives(seed: int) -> None:
    """
    Packets arrive, in the order of their counts, whether or not they are compressed, and after both
    ends have begun anew.
    """
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randrange(2, 30)) for _ in range(60)]
    compressor, decompressor = Compressor(), Decompressor(LONGEST)
    compressor._count = decompressor._count = 4090
    flags, asIs = 0, 0
    for _ in range(120):
        packet = b"".join(chance.choice(words) for _ in range(chance.randrange(1, 60)))
        if chance.random() < 0.2:
            packet = chance.randbytes(chance.randrange(1, 1400))
        if chance.random() < 0.05:
            compressor.reset()
            # Frames that are marked are taken after any loss.
            decompressor._count = None
        frame = compressor.compress(IPV4, packet[:1400])
        if frame is None:
            asIs += 1
        else:
            flags |= int.from_bytes(frame[:2], "big")
            assert len(frame) < len(packet) + 2
            assert decompressor.decompress(frame) == IPV4 + packet[:1400]
    assert asIs and flags & FLUSHED and flags & FRONT


def test_aLostFrame() -> None:
    """
    After a lost frame none is taken until one is marked.
    """
    compressor, decompressor = Compressor(), Decompressor(LONGEST)
    frames = [compressor.compress(IPV4, b"%d bottles " % one * 9) for one in range(4)]
    compressor.reset()
    frames.append(compressor.compress(IPV4, b"%d bottles " % 9 * 9))
    one, _, *lost, last = (frame for frame in frames if frame is not None)
    decompressor.decompress(one)
    for frame in (*lost, one[:0], lost[-1]):
        with pytest.raises(Malformed):
            decompressor.decompress(frame)
    assert decompressor.decompress(last) == IPV4 + b"9 bottles " * 9


def test_framesThatArentCompressed() -> None:
    """
    Other senders put packets that wouldn't shrink in frames, which aren't remembered.
    """
    decompressor = Decompressor(LONGEST)
    assert decompressor.decompress(FLUSHED.to_bytes(2, "big") + b"\x21abc") == b"\x21abc"
    assert decompressor.decompress(b"\x00\x01" + b"\x21abc") == b"\x21abc"
    # A copy of three octets from three before: there is nothing but zeros.
    frame = frameOf("00100001 1111 000011 0", COMPRESSED | 2)
    assert decompressor.decompress(frame) == b"!\0\0!"


@pytest.mark.parametrize(
    "bits",
    [
        # Nothing, an octet, an offset and a length that are cut off, and an offset of 0.
        "",
        "10 000000",
        "01100001 110 00000",
        "01100001 1111 000001 111111",
        "01100001 1111 000000 0",
        # A length beyond the history, and more than the MRU permits.
        "01100001 1111 000001 1111111111110 0000000000000",
        "01100001 1111 000001 111111111110 000000000000",
        "01100001 1111 000001 11111111110 00000000000",
    ],
)
def test_refused(bits: str) -> None:
    """
    Frames are refused that are cut off, that copy what can't be, and of which too much would come;
    and then all that aren't marked.
    """
    decompressor = Decompressor(LONGEST)
    with pytest.raises(Malformed):
        decompressor.decompress(frameOf(bits))
    with pytest.raises(Malformed):
        decompressor.decompress(frameOf("01100001", COMPRESSED | 1))
    assert decompressor.decompress(frameOf("01100001")) == b"a"


def test_theEndOfTheHistory() -> None:
    """
    No packet goes past the end of the history, though the MRU would permit it.
    """
    decompressor = Decompressor(HISTORY)
    decompressor.decompress(frameOf("01100001 1111 000001 111111111110 111111111110"))
    with pytest.raises(Malformed):
        decompressor.decompress(frameOf("01100001 1111 000001 10 00", COMPRESSED | 1))


def test_headers() -> None:
    """
    A frame that is encrypted, that has no octets, or whose count isn't the next one is refused.
    """
    for header in (ENCRYPTED | FLUSHED, ENCRYPTED | FLUSHED | COMPRESSED, COMPRESSED | 1):
        with pytest.raises(Malformed):
            Decompressor(LONGEST).decompress(header.to_bytes(2, "big") + b"\x21a")
    for frame in (b"", b"\xa0", b"\xa0\0", FLUSHED.to_bytes(2, "big") + bytes(LONGEST + 1)):
        with pytest.raises(Malformed):
            Decompressor(LONGEST).decompress(frame)


@given(
    st.lists(st.tuples(st.sampled_from((0, FLUSHED, FRONT)), st.binary(max_size=60)), max_size=8)
)
def test_whateverComes(frames: list[tuple[int, bytes]]) -> None:
    """
    Any octets are decompressed to no more than is permitted, or refused.
    """
    decompressor = Decompressor(200)
    for number, (flags, octets) in enumerate(frames):
        try:
            plain = decompressor.decompress(
                (flags | COMPRESSED | number).to_bytes(2, "big") + octets
            )
        except Malformed:
            continue
        assert 0 < len(plain) <= 200
        assert len(decompressor._history) == HISTORY
