"""
Encoding and decoding of the label stack before a labelled packet (RFC 3032 section 2.1, RFC 5462).

An entry is four octets: label (20 bits), traffic class (3), bottom of stack (1) and time to live
(8). The packet follows the entry whose bottom-of-stack bit is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pptpgw.error import Malformed

ETHERNET_HEADER = 14
"""
The octets of the Ethernet header before a label stack, whose last two are the type.
"""

ENTRY_OCTETS = 4

DEPTH_LIMIT = 16
"""
The most entries in a stack; no network needs as many.
"""

UNRESERVED = 16
"""
The first label that isn't reserved (section 2.1).
"""

LARGEST = 0xFFFFF
"""
The largest label.
"""

_BOTTOM = 0x100


class LabelStackEntry(NamedTuple):
    """
    One entry of a label stack.

    @ivar label: 0 to 1048575, those below 16 reserved.
    @ivar ttl: the time to live, 0 to 255.
    @ivar trafficClass: 0 to 7.
    """

    label: int
    ttl: int = 64
    trafficClass: int = 0


def decode(packet: bytes) -> tuple[list[LabelStackEntry], bytes]:
    """
    Decode a labelled packet.

    @return: the entries of the stack, the top first, and the packet under it, which may be empty.
    @raise Malformed: none of the first L{DEPTH_LIMIT} entries is the bottom of the stack.
    """
    entries = []
    for position in range(0, DEPTH_LIMIT * ENTRY_OCTETS, ENTRY_OCTETS):
        octets = packet[position : position + ENTRY_OCTETS]
        if len(octets) < ENTRY_OCTETS:
            raise Malformed(f"a label stack of {len(packet)} octets has no bottom")
        number = int.from_bytes(octets, "big")
        entries.append(LabelStackEntry(number >> 12, number & 0xFF, number >> 9 & 7))
        if number & _BOTTOM:
            return entries, packet[position + ENTRY_OCTETS :]
    raise Malformed(f"a label stack of more than {DEPTH_LIMIT} entries")


def topLabel(packet: bytes) -> int:
    """
    Return the label on top. This is called for every packet, so of the other entries it only looks
    for the bottom of the stack.

    @raise Malformed: as L{decode} does.
    """
    for position in range(2, min(len(packet) - 1, DEPTH_LIMIT * ENTRY_OCTETS), ENTRY_OCTETS):
        if packet[position] & 1:
            return packet[0] << 12 | packet[1] << 4 | packet[2] >> 4
    raise Malformed(f"the label stack of a packet of {len(packet)} octets has no bottom")


def encode(entries: Iterable[LabelStackEntry], packet: bytes) -> bytes:
    """
    Return C{packet} with a label stack before it.

    @param entries: at least one entry, the top first.
    """
    numbers = [entry.label << 12 | entry.trafficClass << 9 | entry.ttl for entry in entries]
    numbers[-1] |= _BOTTOM
    return b"".join(number.to_bytes(ENTRY_OCTETS, "big") for number in numbers) + packet
