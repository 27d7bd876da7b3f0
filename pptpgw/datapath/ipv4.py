"""
Changes of IPv4 packets and answers to them by the data path: the MSS clamp, fragmentation, and ICMP
errors about packets that are too large. The data path changes nothing else, not even time to live.

All functions take whole packets, with options, as bytes. They raise nothing for malformed packets.
"""

from __future__ import annotations

from struct import Struct

from pptpgw.datapath.tcp import clampSegment
from pptpgw.networks.wire.checksum import checksum
from pptpgw.networks.wire.ip import ICMP, IPV4_HEADER, TCP

DONT_FRAGMENT = 0x4000
MORE_FRAGMENTS = 0x2000
OFFSET = 0x1FFF

QUOTE_LIMIT = 548
"""
The most octets of a packet that an ICMP error quotes, so that the error has at most 576 octets (RFC
1812 section 4.3.2.3).
"""

_NO_OPTION = 1
_ICMP_ERRORS = frozenset((3, 4, 5, 11, 12))
_ICMP_TTL = 64
_U16 = Struct("!H")
_IPV4 = Struct("!BBHHHBBH4s4s")
_UNREACHABLE = Struct("!BBHHH")


def clampMSS(packet: bytes, mss: int) -> bytes:
    """
    Return the packet with the MSS option of a TCP SYN lowered to C{mss}. Any other packet, and one
    with a lower MSS, is returned unchanged.
    """
    header = (packet[0] & 0x0F) * 4
    if header < IPV4_HEADER or len(packet) < header or packet[9] != TCP:
        return packet
    if _U16.unpack_from(packet, 6)[0] & OFFSET:
        return packet
    return clampSegment(packet, header, mss)


def mayFragment(packet: bytes) -> bool:
    """
    Return whether the packet may be fragmented: whether DF is clear.
    """
    return not packet[6] & DONT_FRAGMENT >> 8


def fragment(packet: bytes, mtu: int) -> list[bytes]:
    """
    Return the fragments of the packet, of at most C{mtu} octets each (RFC 791 section 3.2). There
    are none if the header is inconsistent, or if C{mtu} leaves no room for 8 octets behind the
    header.
    """
    header = (packet[0] & 0x0F) * 4
    length = min(_U16.unpack_from(packet, 2)[0], len(packet))
    first = packet[:header]
    room = (mtu - header) // 8 * 8
    if header < IPV4_HEADER or length <= header or room <= 0:
        return []
    following = first[:IPV4_HEADER] + _copied(first[IPV4_HEADER:])
    (word,) = _U16.unpack_from(packet, 6)
    pieces = []
    at = header
    begin = first
    while at < length:
        room = (mtu - len(begin)) // 8 * 8
        # The length of the last fragment needn't be a multiple of 8.
        here = length - at if length - at <= mtu - len(begin) else room
        last = at + here >= length
        flags = word & ~OFFSET | (word & OFFSET) + (at - header) // 8
        if not last:
            flags |= MORE_FRAGMENTS
        pieces.append(_piece(begin, flags, packet[at : at + here]))
        at += here
        begin = following
    return pieces


def _piece(header: bytes, flags: int, payload: bytes) -> bytes:
    """
    Return a fragment with this header, in which length, flags and checksum are set.
    """
    octets = bytearray(header)
    octets[0] = 0x40 | len(header) // 4
    _U16.pack_into(octets, 2, len(header) + len(payload))
    _U16.pack_into(octets, 6, flags)
    _U16.pack_into(octets, 10, 0)
    _U16.pack_into(octets, 10, checksum(bytes(octets)))
    return bytes(octets) + payload


def _copied(options: bytes) -> bytes:
    """
    Return those options that every fragment carries, padded to a multiple of four octets.
    """
    kept = b""
    at = 0
    while at < len(options) and options[at] != 0:
        length = 1
        if options[at] != _NO_OPTION:
            length = options[at + 1] if at + 1 < len(options) else 0
            if length < 2 or at + length > len(options):
                break
        if options[at] & 0x80:
            kept += options[at : at + length]
        at += length
    return kept + bytes(-len(kept) % 4)


def tooBig(packet: bytes, mtu: int) -> bytes | None:
    """
    Return the ICMP error 'fragmentation needed' (RFC 792, RFC 1191 section 4) for the sender of
    C{packet}; None if none may be sent (RFC 1122 section 3.2.2).

    Its source is the packet's destination, as if that host's own link were too narrow. An address
    of the gateway would be no use: a kernel discards packets from outside whose source is one of
    its own addresses. Senders look at the packet that is quoted, not at the source.

    @param mtu: the next-hop MTU to name.
    """
    header = (packet[0] & 0x0F) * 4
    origin, destination = packet[12:16], packet[16:20]
    if len(packet) < header + 8 or _U16.unpack_from(packet, 6)[0] & OFFSET:
        return None
    if packet[9] == ICMP and packet[header] in _ICMP_ERRORS:
        return None
    # None of these is the address of a single host: "this" network, loopback, multicast, reserved
    # and broadcast.
    if origin[0] in (0, 127) or origin[0] >= 224 or destination[0] >= 224:
        return None
    quoted = packet[:QUOTE_LIMIT]
    message = _UNREACHABLE.pack(3, 4, 0, 0, mtu) + quoted
    message = message[:2] + _U16.pack(checksum(message)) + message[4:]
    # Identification 0 and DF: the packet is never fragmented (RFC 6864).
    fields = (0x45, 0xC0, IPV4_HEADER + len(message), 0, DONT_FRAGMENT, _ICMP_TTL, ICMP)
    head = _IPV4.pack(*fields, 0, destination, origin)
    return _IPV4.pack(*fields, checksum(head), destination, origin) + message
