"""
The octets of a spool's file: a magic, then entries, of which each is a record or says that one was
answered.

The rules:

 - An entry has a kind, the length of its body, a CRC-32 of all but the length, the number of its
   record and a body.
 - A file is read up to the first octets that aren't an entry: a torn end is what a crash leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple
from zlib import crc32

MAGIC = b"pptpgw spool 1\n\n"
RECORD = b"R"
DONE = b"D"

_HEADER = Struct(">cIIQ")

DONE_OCTETS = _HEADER.size
"""
What an entry takes that says that a record was answered.
"""


class SpoolEntry(NamedTuple):
    """
    What stands in a file: a record, or that one was answered.

    @ivar kind: L{RECORD} or L{DONE}.
    @ivar body: of a record: its session's length in an octet, its session, its octets.
    """

    kind: bytes
    number: int
    body: bytes

    def encode(self) -> bytes:
        """
        As the file has it.
        """
        check = crc32(self.kind + self.number.to_bytes(8, "big") + self.body)
        return _HEADER.pack(self.kind, len(self.body), check, self.number) + self.body


def entries(octets: bytes) -> Iterator[SpoolEntry | None]:
    """
    The entries of a file, at the end C{None} if there is more that isn't one.
    """
    here = len(MAGIC)
    if octets[:here] != MAGIC:
        if octets:
            yield None
        return
    while len(octets) - here >= _HEADER.size:
        kind, length, _, number = _HEADER.unpack_from(octets, here)
        body = octets[here + _HEADER.size : here + _HEADER.size + length]
        found = SpoolEntry(kind, number, body)
        if (
            kind not in (RECORD, DONE)
            or (kind == RECORD and (not body or len(body) <= body[0]))
            or len(body) != length
            or found.encode() != octets[here : here + _HEADER.size + length]
        ):
            break
        yield found
        here += _HEADER.size + length
    if here != len(octets):
        yield None
