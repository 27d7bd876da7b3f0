"""
What the data path does to TCP segments, whatever carries them: the MSS clamp.
"""

from __future__ import annotations

from struct import Struct

HEADER = 20
"""
Octets of a header without options.
"""

_SYN = 0x02
_END_OF_OPTIONS = 0
_NO_OPTION = 1
_MSS_OPTION = 2
_CHECKSUM = 16
_U16 = Struct("!H")


def clampSegment(packet: bytes, start: int, mss: int) -> bytes:
    """
    C{packet}, whose TCP header begins at the offset C{start}, with the MSS option of a SYN brought
    down to C{mss}, its checksum updated (RFC 1624); a segment that is no SYN, isn't whole, or asks
    for less, unchanged.
    """
    size = len(packet)
    if size < start + HEADER or not packet[start + 13] & _SYN:
        return packet
    at = start + HEADER
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
    C{packet} with the MSS at the offset C{at} brought down to C{mss}.
    """
    (old,) = _U16.unpack_from(packet, at)
    if old <= mss:
        return packet
    new = mss
    changed = bytearray(packet)
    _U16.pack_into(changed, at, mss)
    if (at - start) & 1:
        # The value lies across two words of the sum: swapped, it adds the same.
        old = (old & 0xFF) << 8 | old >> 8
        new = (new & 0xFF) << 8 | new >> 8
    (before,) = _U16.unpack_from(packet, start + _CHECKSUM)
    total = (before ^ 0xFFFF) + (old ^ 0xFFFF) + new
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    _U16.pack_into(changed, start + _CHECKSUM, total ^ 0xFFFF)
    return bytes(changed)
