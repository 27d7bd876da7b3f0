"""
The packets of SSTP, and their attributes ([MS-SSTP] section 2.2).

A packet is a header of four octets and what follows it: a PPP frame, or for a control packet a
message of attributes. Bits and octets that are reserved are zeros when sent, and aren't looked at
when received.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from pptpgw.error import Malformed

VERSION = 0x10
HEADER = 4
LONGEST = 0x0FFF
"""
The largest length of a packet in octets, with its header.
"""

LONGEST_FRAME = LONGEST - HEADER
"""
The length in octets of the longest PPP frame that a packet can carry.
"""

PPP = 1
"""
The number of PPP as the protocol that is encapsulated.
"""

NONCE_OCTETS = 32
HASH_OCTETS = 32
"""
The octets that a hash or a MAC has in a packet; a shorter one is filled up with zeros.
"""

_CONTROL = 1
_MESSAGE = 4
_ATTRIBUTE = 4
_RESERVED = bytes(3)
# The first part of a Status Info's value: three reserved octets, an attribute and a status.
_STATUS = 8
# The most octets of a rejected value that are sent back (section 2.2.8).
_REJECTED = 64


class Kind(IntEnum):
    """
    The types of control messages (section 2.2.2).
    """

    CALL_CONNECT_REQUEST = 1
    CALL_CONNECT_ACK = 2
    CALL_CONNECT_NAK = 3
    CALL_CONNECTED = 4
    CALL_ABORT = 5
    CALL_DISCONNECT = 6
    CALL_DISCONNECT_ACK = 7
    ECHO_REQUEST = 8
    ECHO_RESPONSE = 9


class Identifier(IntEnum):
    """
    The identifiers of attributes (section 2.2.4).
    """

    NONE = 0
    ENCAPSULATED_PROTOCOL = 1
    STATUS_INFO = 2
    CRYPTO_BINDING = 3
    CRYPTO_BINDING_REQUEST = 4


class Status(IntEnum):
    """
    The statuses of attributes and calls (section 2.2.8).
    """

    NO_ERROR = 0
    DUPLICATE_ATTRIBUTE = 1
    UNRECOGNIZED_ATTRIBUTE = 2
    INVALID_ATTRIBUTE_VALUE_LENGTH = 3
    VALUE_NOT_SUPPORTED = 4
    UNACCEPTED_FRAME_RECEIVED = 5
    RETRY_COUNT_EXCEEDED = 6
    INVALID_FRAME_RECEIVED = 7
    NEGOTIATION_TIMEOUT = 8
    ATTRIBUTE_NOT_SUPPORTED_IN_MESSAGE = 9
    REQUIRED_ATTRIBUTE_MISSING = 10
    STATUS_INFO_NOT_SUPPORTED_IN_MESSAGE = 11


class Attribute(NamedTuple):
    """
    An attribute.

    @ivar identifier: its L{Identifier}, or an unknown one.
    """

    identifier: int
    value: bytes


class Message(NamedTuple):
    """
    A control message.

    @ivar kind: its L{Kind}, or an unknown one.
    """

    kind: int
    attributes: tuple[Attribute, ...] = ()

    def encode(self) -> bytes:
        """
        Return the control packet that has this message, with its header.
        """
        parts = [
            identifier.to_bytes(2, "big") + (_ATTRIBUTE + len(value)).to_bytes(2, "big") + value
            for identifier, value in self.attributes
        ]
        octets = b"".join(parts)
        return (
            bytes((VERSION, _CONTROL))
            + (HEADER + _MESSAGE + len(octets)).to_bytes(2, "big")
            + self.kind.to_bytes(2, "big")
            + len(parts).to_bytes(2, "big")
            + octets
        )

    def value(self, identifier: Identifier) -> bytes | None:
        """
        Return the value of the first attribute of a kind; None if there is none.
        """
        return next((value for one, value in self.attributes if one == identifier), None)


def decodeMessage(packet: bytes) -> Message:
    """
    Decode a control packet, as L{Splitter} has found it.

    @raise Malformed: the attributes don't fill the packet.
    """
    if len(packet) < HEADER + _MESSAGE:
        raise Malformed(f"a control packet of {len(packet)} octets")
    kind = int.from_bytes(packet[4:6], "big")
    count = int.from_bytes(packet[6:8], "big")
    at = HEADER + _MESSAGE
    attributes = []
    while at < len(packet):
        length = int.from_bytes(packet[at + 2 : at + 4], "big") & LONGEST
        if length < _ATTRIBUTE or at + length > len(packet):
            raise Malformed(f"an attribute of {length} octets, {len(packet) - at} are left")
        attributes.append(Attribute(packet[at + 1], packet[at + _ATTRIBUTE : at + length]))
        at += length
    if len(attributes) != count:
        raise Malformed(f"{len(attributes)} attributes, {count} are announced")
    return Message(kind, tuple(attributes))


class StatusInfo(NamedTuple):
    """
    The value of a Status Info: what became of an attribute, or of a call (section 2.2.8).

    @ivar attribute: the L{Identifier} of the attribute that it is about.
    @ivar status: the L{Status}.
    @ivar rejected: the first octets of the value that wasn't accepted, if there is one.
    """

    attribute: int
    status: int
    rejected: bytes = b""

    def encode(self) -> Attribute:
        """
        Return the attribute Status Info, with at most 64 octets of the rejected value.
        """
        octets = bytes((self.attribute,)) + self.status.to_bytes(4, "big")
        return Attribute(Identifier.STATUS_INFO, _RESERVED + octets + self.rejected[:_REJECTED])


def decodeStatusInfo(value: bytes) -> StatusInfo:
    """
    Decode the value of a Status Info.

    @raise Malformed: it is too short or too long.
    """
    if not _STATUS <= len(value) <= _STATUS + _REJECTED:
        raise Malformed(f"a Status Info of {len(value)} octets")
    return StatusInfo(value[3], int.from_bytes(value[4:8], "big"), value[_STATUS:])


class CryptoBindingRequest(NamedTuple):
    """
    The value of a Crypto Binding Request (section 2.2.6).

    @ivar hashes: a mask of the hashes that the server has, see L{pptpgw.tunnels.sstp.binding}.
    @ivar nonce: 32 octets.
    """

    hashes: int
    nonce: bytes

    def encode(self) -> Attribute:
        """
        Return the attribute Crypto Binding Request, of 40 octets in a packet.
        """
        value = _RESERVED + bytes((self.hashes,)) + self.nonce
        return Attribute(Identifier.CRYPTO_BINDING_REQUEST, value)


def decodeCryptoBindingRequest(value: bytes) -> CryptoBindingRequest:
    """
    Decode the value of a Crypto Binding Request.

    @raise Malformed: it has another length.
    """
    if len(value) != _ATTRIBUTE + NONCE_OCTETS:
        raise Malformed(f"a Crypto Binding Request of {len(value)} octets")
    return CryptoBindingRequest(value[3], value[_ATTRIBUTE:])


class CryptoBinding(NamedTuple):
    """
    The value of a Crypto Binding (section 2.2.7).

    @ivar hash: the number of the hash, see L{pptpgw.tunnels.sstp.binding}.
    @ivar nonce: that of the Crypto Binding Request.
    @ivar certificate: the hash of the server's certificate, in 32 octets.
    @ivar mac: the Compound MAC, in 32 octets.
    """

    hash: int
    nonce: bytes
    certificate: bytes
    mac: bytes

    def encode(self) -> Attribute:
        """
        Return the attribute Crypto Binding, of 104 octets in a packet.
        """
        value = _RESERVED + bytes((self.hash,)) + self.nonce + self.certificate + self.mac
        return Attribute(Identifier.CRYPTO_BINDING, value)


def decodeCryptoBinding(value: bytes) -> CryptoBinding:
    """
    Decode the value of a Crypto Binding.

    @raise Malformed: it has another length.
    """
    if len(value) != _ATTRIBUTE + NONCE_OCTETS + 2 * HASH_OCTETS:
        raise Malformed(f"a Crypto Binding of {len(value)} octets")
    return CryptoBinding(value[3], value[4:36], value[36:68], value[68:])


def encodeFrame(frame: bytes) -> bytes:
    """
    Return the packet that carries a PPP frame of at most L{LONGEST_FRAME} octets.
    """
    return b"\x10\x00" + (HEADER + len(frame)).to_bytes(2, "big") + frame


class Splitter:
    """
    A stream that is divided into packets. Between calls less than one packet is kept.

    @ivar data: called with each PPP frame.
    @ivar control: called with each control packet as a whole.
    """

    __slots__ = ("_rest", "control", "data")

    def __init__(self, data: Callable[[bytes], object], control: Callable[[bytes], object]) -> None:
        self._rest = b""
        self.data = data
        self.control = control

    def feed(self, octets: bytes) -> None:
        """
        Divide the next octets of the stream. Both callables may be replaced from within.

        @raise Malformed: no packet can be found in the stream any more.
        """
        if self._rest:
            octets = self._rest + octets
        at, size = 0, len(octets)
        while size - at >= HEADER:
            if octets[at] != VERSION:
                raise Malformed(f"a packet of version 0x{octets[at]:02x}")
            length = (octets[at + 2] & 0x0F) << 8 | octets[at + 3]
            if length < HEADER:
                raise Malformed(f"a packet of {length} octets")
            end = at + length
            if end > size:
                break
            if octets[at + 1] & _CONTROL:
                self.control(octets[at:end])
            else:
                self.data(octets[at + HEADER : end])
            at = end
        self._rest = octets[at:]
