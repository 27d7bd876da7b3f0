"""
The enhanced GRE header of RFC 2637 section 4.1, encoded and decoded by functions.

L{encode} and L{decode} are for single packets. To save a function call and a tuple for each packet,
C{pptpgw.tunnels.pptp.channel} packs the header of a data packet together with the PPP header, and
C{pptpgw.tunnels.pptp.port.raw} reads it together with the IPv4 header. Both have structures of
their own, made from the flags below.

A header is malformed if a bit is set that is zero in PPTP (checksum, routing, strict source route,
recursion control, the reserved flags), since the length of such a header can't be trusted.
"""

from __future__ import annotations

from struct import Struct

from pptpgw.error import Malformed

PROTOCOL_TYPE = 0x880B
"""
The protocol type of PPP in enhanced GRE.
"""

VERSION = 0x0001
KEY = 0x2000
SEQUENCE = 0x1000
ACKNOWLEDGEMENT = 0x0080

DATA = KEY | SEQUENCE | VERSION
"""
The flags and version of a header with a sequence number: 12 octets, then the payload.
"""

DATA_ACKNOWLEDGEMENT = DATA | ACKNOWLEDGEMENT
"""
The flags and version of a header with both numbers: 16 octets, then the payload.
"""

ACKNOWLEDGEMENT_ONLY = KEY | ACKNOWLEDGEMENT | VERSION
"""
The flags and version of an acknowledgement without a frame: 12 octets and no payload.
"""

NUMBERS = 1 << 32
"""
The number of sequence numbers, which continue with 0 after the largest.
"""

_ONE_NUMBER = Struct("!HHHHI")
_TWO_NUMBERS = Struct("!HHHHII")


def encode(
    callID: int,
    payload: bytes = b"",
    sequence: int | None = None,
    acknowledgement: int | None = None,
) -> bytes:
    """
    Return the octets of a packet: header and payload.

    @param callID: the peer's call id.
    @param payload: a PPP frame; empty if there is no sequence number.
    @param sequence: the sequence number, or None for an acknowledgement alone.
    @param acknowledgement: the highest sequence number received, or None.
    @raise ValueError: there is neither number, or a payload without a sequence number, or the
        payload has more than 65,535 octets.
    """
    if len(payload) > 0xFFFF:
        raise ValueError(f"a GRE payload of {len(payload)} octets")
    if sequence is None:
        if acknowledgement is None or payload:
            raise ValueError("a GRE packet without a sequence number only acknowledges")
        return _ONE_NUMBER.pack(ACKNOWLEDGEMENT_ONLY, PROTOCOL_TYPE, 0, callID, acknowledgement)
    if acknowledgement is None:
        return _ONE_NUMBER.pack(DATA, PROTOCOL_TYPE, len(payload), callID, sequence) + payload
    return (
        _TWO_NUMBERS.pack(
            DATA_ACKNOWLEDGEMENT, PROTOCOL_TYPE, len(payload), callID, sequence, acknowledgement
        )
        + payload
    )


def decode(octets: bytes) -> tuple[int, bytes, int | None, int | None]:
    """
    Return the call id, payload, sequence number and acknowledgement number of a packet. A number
    that the header doesn't have is None. Octets after the payload are ignored.

    @raise Malformed: this isn't an enhanced GRE packet of PPTP, or it is cut off.
    """
    if len(octets) < _ONE_NUMBER.size:
        raise Malformed(f"a GRE packet of {len(octets)} octets")
    flags, protocol, length, callID, first = _ONE_NUMBER.unpack_from(octets)
    if protocol != PROTOCOL_TYPE:
        raise Malformed(f"GRE protocol type 0x{protocol:04x}")
    if flags == ACKNOWLEDGEMENT_ONLY:
        return callID, b"", None, first
    if flags == DATA:
        start = _ONE_NUMBER.size
        acknowledgement = None
    elif flags == DATA_ACKNOWLEDGEMENT:
        start = _TWO_NUMBERS.size
        if len(octets) < start:
            raise Malformed(f"a GRE packet of {len(octets)} octets")
        acknowledgement = int.from_bytes(octets[12:16], "big")
    else:
        raise Malformed(f"GRE flags and version 0x{flags:04x}")
    if start + length > len(octets):
        raise Malformed(f"a GRE payload of {length} octets, {len(octets) - start} there")
    return callID, octets[start : start + length], first, acknowledgement
