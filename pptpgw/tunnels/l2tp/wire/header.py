"""
The header of L2TP messages (RFC 2661 section 3.1).

The first octet begins with the bit T, which tells control messages from data messages. A control
message always has a length and sequence numbers, and its length field is believed: octets beyond it
are ignored. In a data message every field but the ids is optional.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from pptpgw.error import Malformed

PORT = 1701

T, L, S, O, P = 0x8000, 0x4000, 0x0800, 0x0200, 0x0100  # noqa: E741
"""
The bits that say which fields a header has: T for a control message, L for a length, S for sequence
numbers, O for an offset, and P for a data message that should be sent before others.
"""

VERSION, _VERSION_BITS = 2, 0x000F

_CONTROL = Struct("!6H")
_DATA = Struct("!3H")
_NUMBERED = Struct("!5H")
_HEADERS = {L: 2, S: 4, O: 2}

CONTROL_OCTETS = _CONTROL.size
"""
The length in octets of a control message's header, and of a whole zero-length body (ZLB) message.
"""

LONGEST = 0xFFFF - CONTROL_OCTETS
"""
The most octets of AVPs in a control message.
"""


class ControlHeader(NamedTuple):
    """
    The header of a control message.

    @ivar tunnelID: the id that the receiver assigned to the control connection; 0 if the sender
        doesn't know it.
    @ivar sessionID: the id that the receiver assigned to the call; 0 for the connection.
    @ivar sent: Ns, the sequence number of this message.
    @ivar expected: Nr, the sequence number of the message that the sender expects next.
    """

    tunnelID: int
    sessionID: int
    sent: int
    expected: int


class DataMessage(NamedTuple):
    """
    A data message.

    @ivar tunnelID: the id that the receiver assigned to the control connection.
    @ivar sessionID: the id that the receiver assigned to the call.
    @ivar sequence: Ns, the sequence number; -1 if there is none.
    @ivar frame: the PPP frame, with or without address and control fields.
    """

    tunnelID: int
    sessionID: int
    sequence: int
    frame: bytes


def isControl(octets: bytes) -> bool:
    """
    Return whether a datagram is a control message, by its first octet.
    """
    return bool(octets) and octets[0] >= 0x80


def encodeControl(header: ControlHeader, body: bytes = b"") -> bytes:
    """
    Return the octets of a control message.

    @param body: its AVPs, at most L{LONGEST} octets; none for a ZLB message.
    """
    return _CONTROL.pack(T | L | S | VERSION, CONTROL_OCTETS + len(body), *header) + body


def decodeControl(octets: bytes) -> tuple[ControlHeader, bytes]:
    """
    Return the header and the AVPs of a control message.

    @raise Malformed: this is no control message of L2TP, or it is shorter than its length field
        says.
    """
    if len(octets) < CONTROL_OCTETS:
        raise Malformed(f"a control message of {len(octets)} octets")
    flags, length, *fields = _CONTROL.unpack_from(octets)
    if flags & _VERSION_BITS != VERSION or flags & (T | L | S) != T | L | S:
        raise Malformed(f"flags and version {flags:#06x} of a control message")
    if not CONTROL_OCTETS <= length <= len(octets):
        raise Malformed(f"{len(octets)} octets whose length field says {length}")
    return ControlHeader(*fields), octets[CONTROL_OCTETS:length]


def dataPrefix(tunnelID: int, sessionID: int) -> bytes:
    """
    Return the header of data messages without sequence numbers.
    """
    return _DATA.pack(VERSION, tunnelID, sessionID)


def numberedPrefix(tunnelID: int, sessionID: int, sequence: int) -> bytes:
    """
    Return the header of a data message with a sequence number. Nr is reserved in data messages.
    """
    return _NUMBERED.pack(S | VERSION, tunnelID, sessionID, sequence, 0)


def encodeData(message: DataMessage) -> bytes:
    """
    Return the octets of a data message, in the shortest form.
    """
    tunnelID, sessionID, sequence, frame = message
    if sequence < 0:
        return dataPrefix(tunnelID, sessionID) + frame
    return numberedPrefix(tunnelID, sessionID, sequence) + frame


def decodeData(octets: bytes) -> DataMessage:
    """
    Return the value of a data message, whichever fields its header has.

    @raise Malformed: this is no data message of L2TP, or it is shorter than its fields say.
    """
    if len(octets) < _DATA.size:
        raise Malformed(f"a data message of {len(octets)} octets")
    flags = octets[0] << 8 | octets[1]
    if flags & (T | _VERSION_BITS) != VERSION:
        raise Malformed(f"flags and version {flags:#06x} of a data message")
    end = len(octets)
    place = 2
    if flags & L:
        end = octets[2] << 8 | octets[3]
        place = 4
    start = _DATA.size + sum(size for bit, size in _HEADERS.items() if flags & bit)
    if not start <= end <= len(octets):
        raise Malformed(f"a data message of {len(octets)} octets has no room for its header")
    tunnelID = octets[place] << 8 | octets[place + 1]
    sessionID = octets[place + 2] << 8 | octets[place + 3]
    sequence = octets[place + 4] << 8 | octets[place + 5] if flags & S else -1
    if flags & O:
        start += octets[start - 2] << 8 | octets[start - 1]
        if start > end:
            raise Malformed("the offset of a data message points past its end")
    return DataMessage(tunnelID, sessionID, sequence, octets[start:end])
