"""
The fragments of the Multilink Protocol (RFC 1990 section 3).
"""

from __future__ import annotations

from pptpgw.error import Malformed

BEGINNING = 0x80
ENDING = 0x40
"""
The bits of a fragment that begins a frame, and of one that ends it.
"""

LONG_NUMBERS = 1 << 24
SHORT_NUMBERS = 1 << 12
"""
How many sequence numbers there are of each form.
"""

LONG_HEADER = 4
SHORT_HEADER = 2
"""
The length of each form of the header, in octets.
"""


def decode(fragment: bytes, short: bool) -> tuple[int, int, bytes]:
    """
    Return the bits L{BEGINNING} and L{ENDING} of a fragment, its sequence number, and its part of
    the frame. Reserved bits are ignored.

    @param short: whether the header is of the short form.
    @raise Malformed: the header isn't complete.
    """
    size = SHORT_HEADER if short else LONG_HEADER
    if len(fragment) < size:
        raise Malformed(f"a fragment of {len(fragment)} octets has no header")
    mask = (SHORT_NUMBERS if short else LONG_NUMBERS) - 1
    number = int.from_bytes(fragment[:size], "big") & mask
    return fragment[0] & (BEGINNING | ENDING), number, fragment[size:]


def encode(bits: int, number: int, part: bytes, short: bool) -> bytes:
    """
    Return the octets of a fragment.

    @param number: a sequence number of the form that C{short} says.
    """
    if short:
        return (bits << 8 | number).to_bytes(SHORT_HEADER, "big") + part
    return (bits << 24 | number).to_bytes(LONG_HEADER, "big") + part
