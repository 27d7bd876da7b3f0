"""
The MSS clamp on TCP segments, for IPv4 and IPv6.
"""

from __future__ import annotations

from struct import Struct

from pptpgw.networks.wire.ip import TCP_HEADER

_SYN = 0x02
_END_OF_OPTIONS = 0
_NO_OPTION = 1
_MSS_OPTION = 2
_CHECKSUM = 16
_U16 = Struct("!H")


def clampSegment(packet: bytes, start: int, mss: int) -> bytes:
    """
    Return the packet with the MSS option of a TCP SYN lowered to C{mss} and the checksum updated
    (RFC 1624). A segment that is no SYN, isn't whole, or has a lower MSS is returned unchanged.

    @param start: the offset of the TCP header in C{packet}.
    """
    size = len(packet)
    if size < start + TCP_HEADER or not packet[start + 13] & _SYN:
        return packet
    at = start + TCP_HEADER
    end = min(start + (packet[start + 12] >> 4) * 4, size)
    while at + 4 <= end and packet[at] != _END_OF_OPTIONS:
        if packet[at] == _NO_OPTION:
            at += 1
            continue
        length = packet[at + 1]
        if packet[at] == _MSS_OPTION and length == 4:
            return _withMSS(packet, start, at + 2, mss)
        if length < 2:
            break
        at += length
    return packet


def _withMSS(packet: bytes, start: int, at: int, mss: int) -> bytes:
    """
    Return C{packet} with the MSS lowered to C{mss}.

    @param start: the offset of the TCP header.
    @param at: the offset of the MSS.
    """
    (old,) = _U16.unpack_from(packet, at)
    if old <= mss:
        return packet
    new = mss
    changed = bytearray(packet)
    _U16.pack_into(changed, at, mss)
    if (at - start) & 1:
        # The MSS lies across two words of the checksum, and counts with its octets swapped.
        old = (old & 0xFF) << 8 | old >> 8
        new = (new & 0xFF) << 8 | new >> 8
    (before,) = _U16.unpack_from(packet, start + _CHECKSUM)
    total = (before ^ 0xFFFF) + (old ^ 0xFFFF) + new
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    _U16.pack_into(changed, start + _CHECKSUM, total ^ 0xFFFF)
    return bytes(changed)
