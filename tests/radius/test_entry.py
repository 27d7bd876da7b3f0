"""
Tests of L{pptpgw.radius.entry}: a file is read as it was written, and no further than that.
"""

from __future__ import annotations

import pytest

from pptpgw.radius.entry import DONE, DONE_OCTETS, MAGIC, RECORD, SpoolEntry, entries

RECORDED = SpoolEntry(RECORD, 2**63, b"\x03abcoctets")
ANSWERED = SpoolEntry(DONE, 2**63, b"")


def test_entryRoundTrip() -> None:
    """
    Entries are read as they were written.
    """
    assert list(entries(MAGIC + RECORDED.encode() + ANSWERED.encode())) == [RECORDED, ANSWERED]


def test_everyEnd() -> None:
    """
    Of a file that ends anywhere the whole entries are read, and it is said that there is more.
    """
    first = len(MAGIC) + len(RECORDED.encode())
    whole = MAGIC + RECORDED.encode() + ANSWERED.encode()
    assert len(whole) == first + DONE_OCTETS
    for length in range(1, len(whole)):
        read = [RECORDED] if length >= first else []
        torn = [] if length in (len(MAGIC), first) else [None]
        assert list(entries(whole[:length])) == [*read, *torn]
    assert list(entries(b"")) == []


def test_everyBit() -> None:
    """
    Whatever bit of it is another, an entry isn't read.
    """
    octets = bytearray(MAGIC + RECORDED.encode())
    for bit in range(len(octets) * 8):
        octets[bit // 8] ^= 1 << bit % 8
        assert list(entries(bytes(octets))) == [None]
        octets[bit // 8] ^= 1 << bit % 8
    assert list(entries(bytes(octets))) == [RECORDED]


@pytest.mark.parametrize(
    "entry",
    [SpoolEntry(b"X", 1, b""), SpoolEntry(RECORD, 1, b""), SpoolEntry(RECORD, 1, b"\x03ab")],
)
def test_noSuchEntry(entry: SpoolEntry) -> None:
    """
    Nor is one of another kind, or a record without all of its session, though its CRC is right.
    """
    assert list(entries(MAGIC + entry.encode())) == [None]
