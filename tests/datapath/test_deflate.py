"""
Tests for L{pptpgw.datapath.deflate}. pppd and the kernel are at the other end in the lab's tests of
lines and of compression.
"""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.datapath.deflate import Deflater, Inflater
from pptpgw.error import Malformed

IPV4, MPLS = b"\x00\x21", b"\x02\x81"
LONGEST = 1502


def packets(seed: int, count: int) -> list[tuple[bytes, bytes]]:
    """
    Packets of two networks, some of which have much in common and some nothing.
    """
    chance = random.Random(seed)
    words = [chance.randbytes(20) for _ in range(30)]
    made = []
    for _ in range(count):
        size = chance.randrange(1, 70)
        packet = chance.randbytes(chance.choice((1, 40, 1400)))
        if chance.random() < 0.6:
            packet = b"".join(chance.choice(words) for _ in range(size))
        made.append((chance.choice((IPV4, IPV4, MPLS)), packet))
    return made


@pytest.mark.parametrize("window", [9, 12, 13, 15])
def test_everyPacketArrives(window: int) -> None:
    """
    Packets that shrink and those that don't follow each other, past the last sequence number.
    """
    deflater, inflater = Deflater(window), Inflater(window, LONGEST)
    deflater._number = inflater._number = 65500
    forms = [0, 0]
    for protocol, packet in packets(window, 300):
        frame = deflater.compress(protocol, packet)
        forms[frame is None] += 1
        if frame is None:
            inflater.passed(protocol, packet)
        else:
            assert len(frame) < len(packet) + 2
            assert inflater.decompress(frame) == protocol.lstrip(b"\0") + packet
    assert min(forms) > 20


def test_theFormat() -> None:
    """
    A frame is the sequence number and an octet-aligned piece of a raw deflate stream, without its
    last four octets.
    """
    deflater = Deflater(15)
    packet = b"abcabcabcabc" * 20
    frames = [deflater.compress(IPV4, packet), deflater.compress(MPLS, packet)]
    stream = b""
    for number, frame in enumerate(frames):
        assert frame is not None and frame[:2] == number.to_bytes(2, "big")
        stream += frame[2:] + b"\x00\x00\xff\xff"
    assert zlib.decompressobj(-13).decompress(stream) == b"\x21" + packet + MPLS + packet


def test_aLostFrame() -> None:
    """
    After a lost frame, or one that came twice, all are refused until both ends begin anew.
    """
    deflater, inflater = Deflater(15), Inflater(15, LONGEST)
    frames = [deflater.compress(IPV4, bytes(100) + bytes([number])) for number in range(4)]
    assert all(frames)
    assert frames[0] is not None and frames[1] is not None and frames[2] is not None
    inflater.decompress(frames[0])
    for frame in (frames[2], frames[1], frames[0], frames[3]):
        assert frame is not None
        with pytest.raises(Malformed):
            inflater.decompress(frame)
    # What comes as it is meanwhile has no effect.
    inflater.passed(IPV4, b"x")
    deflater.reset()
    inflater.reset()
    frame = deflater.compress(IPV4, bytes(100))
    assert frame is not None
    assert inflater.decompress(frame) == b"\x21" + bytes(100)
    # A packet that was lost as it is shows, too.
    deflater.compress(IPV4, random.Random(1).randbytes(500))
    frame = deflater.compress(IPV4, bytes(100))
    assert frame is not None
    with pytest.raises(Malformed):
        inflater.decompress(frame)


@pytest.mark.parametrize("size", [LONGEST, 1 << 16, 1 << 24])
def test_bombs(size: int) -> None:
    """
    A small frame of which much would come is refused, without much memory.
    """
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = compressor.compress(b"\x21" + bytes(size)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    inflater = Inflater(15, LONGEST)
    with pytest.raises(Malformed):
        inflater.decompress(b"\0\0" + bomb[:-4])
    with pytest.raises(Malformed):
        inflater.decompress(b"\0\1\x03")


def test_refused() -> None:
    """
    Frames are refused that are too short, that aren't Deflate's, that have no octets, and that end
    the stream, and so are packets that are too long.
    """
    ended = zlib.compress(b"\x21abc", wbits=-15)
    for frame in (b"", b"\0", b"\0\0", b"\0\0\x07\x07", b"\0\0\x00", b"\0\0" + ended, b"\0\1\x00"):
        with pytest.raises(Malformed):
            Inflater(15, LONGEST).decompress(frame)
    with pytest.raises(Malformed):
        Inflater(15, LONGEST).passed(IPV4, bytes(LONGEST))
    with pytest.raises(Malformed):
        Inflater(15, LONGEST).passed(IPV4, bytes(70000))
    Inflater(15, LONGEST).passed(IPV4, bytes(LONGEST - 1))


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=8))
def test_whateverComes(frames: list[tuple[bool, bytes]]) -> None:
    """
    Any octets are decompressed to no more than is permitted, or refused.
    """
    inflater = Inflater(9, 200)
    for number, (isPlain, octets) in enumerate(frames):
        try:
            if isPlain:
                inflater.passed(IPV4, octets)
            else:
                plain = inflater.decompress(number.to_bytes(2, "big") + octets)
                assert 0 < len(plain) <= 200
        except Malformed:
            inflater.reset()
