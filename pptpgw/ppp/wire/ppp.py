"""
The octets that all PPP protocols have in common (RFC 1661 sections 2, 5 and 6, RFC 1662 section
3.1).

A frame is the optional address and control octets, a protocol number of one or two octets, and the
information. The information of a control protocol is a packet: code, identifier, length and data.
The data of Configure packets are options: type, length and value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pptpgw.error import Malformed

# Protocol numbers (RFC 1661 section 2; assigned by IANA).
IPV4 = 0x0021
COMPRESSED_TCP = 0x002D
UNCOMPRESSED_TCP = 0x002F
IPX = 0x002B
BRIDGE = 0x0031
MULTILINK = 0x003D
IPV6 = 0x0057
MPPE = 0x00FD
SPANNING_TREE_8021D = 0x0201
MPLS = 0x0281
MPLS_MULTICAST = 0x0283
IPCP = 0x8021
IPXCP = 0x802B
BCP = 0x8031
IPV6CP = 0x8057
CCP = 0x80FD
MPLSCP = 0x8281
LCP = 0xC021
PAP = 0xC023
LQR = 0xC025
SPAP = 0xC027
CBCP = 0xC029
SHIVA = 0xC123
CHAP = 0xC223
EAP = 0xC227
AUTHENTICATION = frozenset((PAP, SPAP, SHIVA, CHAP, EAP))
"""
The protocol numbers that IANA has assigned to authentication protocols.
"""

# Codes of control protocols (RFC 1661 section 5, RFC 1570 section 2, RFC 1962 section 4).
CONFIGURE_REQUEST = 1
CONFIGURE_ACK = 2
CONFIGURE_NAK = 3
CONFIGURE_REJECT = 4
TERMINATE_REQUEST = 5
TERMINATE_ACK = 6
CODE_REJECT = 7
PROTOCOL_REJECT = 8
ECHO_REQUEST = 9
ECHO_REPLY = 10
DISCARD_REQUEST = 11
IDENTIFICATION = 12
TIME_REMAINING = 13
RESET_REQUEST = 14
RESET_ACK = 15

DEFAULT_ACCM = 0xFFFFFFFF
"""
The Async-Control-Character-Map that is in force unless LCP has negotiated another (RFC 1662 section
7.1). LCP frames are always sent with this one.
"""

# The address and control fields (RFC 1662 section 3.1), always these two octets.
ADDRESS_CONTROL = b"\xff\x03"
# The length of code, identifier and length together.
HEADER_OCTETS = 4

_packetHeader = struct.Struct("!BBH")

Option = tuple[int, bytes]


def decodeFrame(frame: bytes) -> tuple[int, bytes]:
    """
    Return the protocol number and the information of a frame, whether its header fields are
    compressed or not.

    @raise Malformed: there is no protocol number of the required form (RFC 1661 section 2).
    """
    start = 2 if frame[:2] == ADDRESS_CONTROL else 0
    if len(frame) > start and frame[start] & 1:
        return frame[start], frame[start + 1 :]
    if len(frame) < start + 2 or not frame[start + 1] & 1:
        raise Malformed("the frame has no protocol number")
    return frame[start] << 8 | frame[start + 1], frame[start + 2 :]


def decodePacket(packet: bytes) -> tuple[int, int, bytes]:
    """
    Return the code, identifier and data of a packet. Octets beyond its length are padding, and
    ignored (RFC 1661 section 5).

    @raise Malformed: the packet is shorter than its length field says, or the field is below 4.
    """
    if len(packet) < HEADER_OCTETS:
        raise Malformed(f"a packet of {len(packet)} octets has no header")
    code, identifier, length = _packetHeader.unpack_from(packet)
    if not HEADER_OCTETS <= length <= len(packet):
        raise Malformed(f"a packet of {len(packet)} octets gives its length as {length}")
    return code, identifier, packet[HEADER_OCTETS:length]


def encodePacket(code: int, identifier: int, data: bytes = b"") -> bytes:
    """
    Return the octets of a packet.

    @param data: at most 65531 octets.
    """
    return _packetHeader.pack(code, identifier, HEADER_OCTETS + len(data)) + data


def decodeOptions(data: bytes) -> list[Option]:
    """
    Return the options, as types and values, in their order (RFC 1661 section 6).

    @raise Malformed: an option's length is below 2 or reaches past the end.
    """
    options = []
    position, end = 0, len(data)
    while position < end:
        if end - position < 2:
            raise Malformed("the last option has no length")
        length = data[position + 1]
        if length < 2 or position + length > end:
            raise Malformed(f"option {data[position]} gives its length as {length}")
        options.append((data[position], data[position + 2 : position + length]))
        position += length
    return options


def encodeOptions(options: Iterable[Option]) -> bytes:
    """
    Return the octets of options. Each is a type and a value of at most 253 octets.
    """
    return b"".join(b"%c%c%b" % (number, len(value) + 2, value) for number, value in options)
