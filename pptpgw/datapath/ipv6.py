"""
Changes of IPv6 packets and answers to them by the data path: the MSS clamp, and Packet Too Big. The
kernel decrements hop limits.

All functions take bytes with at least a whole header. They raise nothing for malformed packets.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from pptpgw.datapath.tcp import clampSegment
from pptpgw.networks.ipv6.wire.ipv6 import (
    MINIMUM_MTU,
    PACKET_TOO_BIG,
    REDIRECT,
    ICMPv6Message,
    encodeMessage,
)
from pptpgw.networks.wire.ip import EXTENSION_LIMIT, EXTENSIONS, FRAGMENT, ICMPV6, IPV6_HEADER, TCP

_FRAGMENT_OCTETS = 8
# Octets of the headers of a Packet Too Big: IPv6, ICMPv6, and the MTU.
_OVERHEAD = IPV6_HEADER + 8
# ICMPv6 types below this are errors (RFC 4443 section 2.1).
_FIRST_INFORMATIONAL = 128


def upperLayer(packet: bytes) -> tuple[int, int]:
    """
    Return the number of the first header that isn't one of L{EXTENSIONS}, and the offset where it
    begins, which may be beyond the end. In a fragment that isn't the first one the number is -1.
    """
    number = packet[6]
    at = IPV6_HEADER
    for _ in range(EXTENSION_LIMIT):
        if number not in EXTENSIONS or len(packet) < at + _FRAGMENT_OCTETS:
            break
        if number == FRAGMENT:
            # The fragment offset is in the upper 13 bits of these two octets.
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
    Return the packet with the MSS option of a TCP SYN lowered to C{mss}. Any other packet, and one
    with a lower MSS, is returned unchanged.
    """
    number, at = upperLayer(packet)
    return clampSegment(packet, at, mss) if number == TCP else packet


def tooBig(packet: bytes, mtu: int) -> bytes | None:
    """
    Return the Packet Too Big (RFC 4443 section 3.2) for the sender of C{packet}; None if none may
    be sent (section 2.4). It quotes as much of the packet as fits into 1280 octets.

    Its source is the packet's destination, as if that host's own link were too narrow. The sender
    has a route to that address in any case, and looks at the packet that is quoted, not at the
    source.

    @param mtu: the MTU to name.
    """
    source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    if source.is_unspecified or source.is_multicast or source.is_loopback:
        return None
    if destination.is_multicast:
        return None
    number, at = upperLayer(packet)
    if number == ICMPV6 and at < len(packet):
        kind = packet[at]
        if kind < _FIRST_INFORMATIONAL or kind == REDIRECT:
            return None
    quoted = packet[: MINIMUM_MTU - _OVERHEAD]
    message = ICMPv6Message(PACKET_TOO_BIG, 0, mtu.to_bytes(4, "big") + quoted)
    return encodeMessage(destination, source, message, hopLimit=64)
