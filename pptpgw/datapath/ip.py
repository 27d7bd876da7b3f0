"""
What the data path does to IPv4 packets themselves: the MSS clamp, fragments, and ICMP's word about
packets that are too large. Time to live and checksums are otherwise left alone.

Packets are whole, options and all, as bytes. Nothing here raises for hostile ones.
"""

from __future__ import annotations

from struct import Struct

from pptpgw.datapath.tcp import clampSegment
from pptpgw.networks.wire.checksum import checksum

HEADER = 20
"""
Octets of a header without options.
"""

DONT_FRAGMENT = 0x4000
MORE_FRAGMENTS = 0x2000
OFFSET = 0x1FFF

ICMP = 1
TCP = 6

QUOTE_LIMIT = 548
"""
How much of a packet an ICMP error quotes: it stays within 576 octets (RFC 1812 section 4.3.2.3).
"""

_NO_OPTION = 1
_ICMP_ERRORS = frozenset((3, 4, 5, 11, 12))
_ICMP_TTL = 64
_U16 = Struct("!H")
_IPV4 = Struct("!BBHHHBBH4s4s")
_UNREACHABLE = Struct("!BBHHH")


def clampMSS(packet: bytes, mss: int) -> bytes:
    """
    The packet with the MSS option of a TCP SYN brought down to C{mss}; any other packet, and one
    that asks for less, unchanged.
    """
    header = (packet[0] & 0x0F) * 4
    if header < HEADER or len(packet) < header or packet[9] != TCP:
        return packet
    if _U16.unpack_from(packet, 6)[0] & OFFSET:
        return packet
    return clampSegment(packet, header, mss)


def mayFragment(packet: bytes) -> bool:
    """
    Whether the packet doesn't forbid it.
    """
    return not packet[6] & DONT_FRAGMENT >> 8


def fragment(packet: bytes, mtu: int) -> list[bytes]:
    """
    The packet in pieces of at most C{mtu} octets (RFC 791 section 3.2); of a packet whose header
    lies, or where the mtu leaves no room for 8 octets behind the header, none.
    """
    header = (packet[0] & 0x0F) * 4
    length = min(_U16.unpack_from(packet, 2)[0], len(packet))
    first = packet[:header]
    room = (mtu - header) // 8 * 8
    if header < HEADER or length <= header or room <= 0:
        return []
    following = first[:HEADER] + _copied(first[HEADER:])
    (word,) = _U16.unpack_from(packet, 6)
    pieces = []
    at = header
    begin = first
    while at < length:
        room = (mtu - len(begin)) // 8 * 8
        # The last piece needn't be a multiple of 8.
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
    A fragment with this header, its length, flags and checksum set.
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
    Those options that every fragment carries, padded to a multiple of 4.
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
    The ICMP 'fragmentation needed' (RFC 792, RFC 1191 section 4) that goes back to the sender of
    C{packet}; None where none may be sent (RFC 1122 section 3.2.2).

    It comes from the packet's destination, as if that had found its own link too narrow. From an
    address of ours it would be lost: a kernel takes no packet from outside that bears one of its
    own addresses. Senders go by the packet that it quotes.

    @param mtu: the next-hop MTU to name.
    """
    header = (packet[0] & 0x0F) * 4
    origin, destination = packet[12:16], packet[16:20]
    if len(packet) < header + 8 or _U16.unpack_from(packet, 6)[0] & OFFSET:
        return None
    if packet[9] == ICMP and packet[header] in _ICMP_ERRORS:
        return None
    # No single host: "this", loopback, multicast, reserved and broadcast.
    if origin[0] in (0, 127) or origin[0] >= 224 or destination[0] >= 224:
        return None
    quoted = packet[:QUOTE_LIMIT]
    message = _UNREACHABLE.pack(3, 4, 0, 0, mtu) + quoted
    message = message[:2] + _U16.pack(checksum(message)) + message[4:]
    # Identification 0 and DF: it is never fragmented (RFC 6864).
    fields = (0x45, 0xC0, HEADER + len(message), 0, DONT_FRAGMENT, _ICMP_TTL, ICMP)
    head = _IPV4.pack(*fields, 0, destination, origin)
    return _IPV4.pack(*fields, checksum(head), destination, origin) + message
