"""
What the data path does to IPv6 packets themselves: the MSS clamp, and ICMPv6's word about packets
that are too large. Hop limits are left to the kernel.

Packets are bytes, at least a header whole. Nothing here raises for hostile ones.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from pptpgw.datapath.tcp import clampSegment
from pptpgw.networks.ipv6.wire.ipv6 import (
    HEADER,
    ICMP,
    MINIMUM_MTU,
    PACKET_TOO_BIG,
    REDIRECT,
    TCP,
    ICMPv6Message,
    encodeMessage,
)

# Extension headers that may stand ahead of TCP (RFC 8200 section 4).
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS = 0, 43, 44, 60
EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS))

# So many are looked into: section 4.1 has four or five of them in a packet.
_EXTENSION_LIMIT = 6
_FRAGMENT_OCTETS = 8
# Headers of the answer: IPv6, ICMPv6, and the MTU.
_OVERHEAD = HEADER + 8
# ICMPv6 types below this are errors (RFC 4443 section 2.1).
_FIRST_INFORMATIONAL = 128


def upperLayer(packet: bytes) -> tuple[int, int]:
    """
    The number of the first header that isn't one of L{EXTENSIONS}, and the offset where it begins,
    perhaps beyond the end; in a fragment that isn't the first the upper layer is -1.
    """
    number = packet[6]
    at = HEADER
    for _ in range(_EXTENSION_LIMIT):
        if number not in EXTENSIONS or len(packet) < at + _FRAGMENT_OCTETS:
            break
        if number == FRAGMENT:
            # The offset stands above three other bits.
            if packet[at + 2] or packet[at + 3] & 0xF8:
                return -1, at
            length = _FRAGMENT_OCTETS
        else:
            length = (packet[at + 1] + 1) * 8
        number = packet[at]
        at += length
    return number, at


def clampMSS(packet: bytes, mss: int) -> bytes:
    """
    The packet with the MSS option of a TCP SYN brought down to C{mss}; any other packet, and one
    that asks for less, unchanged.
    """
    number, at = upperLayer(packet)
    return clampSegment(packet, at, mss) if number == TCP else packet


def tooBig(packet: bytes, mtu: int) -> bytes | None:
    """
    The Packet Too Big (RFC 4443 section 3.2) that goes back to the sender of C{packet}, with as
    much of it as 1280 octets hold; None where none may be sent (section 2.4).

    It comes from the packet's destination, as if that had found its own link too narrow: the sender
    can reach that in any case, and goes by the packet that is quoted.

    @param mtu: the MTU to name.
    """
    source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    if source.is_unspecified or source.is_multicast or source.is_loopback:
        return None
    if destination.is_multicast:
        return None
    number, at = upperLayer(packet)
    if number == ICMP and at < len(packet):
        kind = packet[at]
        if kind < _FIRST_INFORMATIONAL or kind == REDIRECT:
            return None
    quoted = packet[: MINIMUM_MTU - _OVERHEAD]
    message = ICMPv6Message(PACKET_TOO_BIG, 0, mtu.to_bytes(4, "big") + quoted)
    return encodeMessage(destination, source, message, hopLimit=64)
