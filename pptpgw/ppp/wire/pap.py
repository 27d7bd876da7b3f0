"""
The packets of PAP (RFC 1334 section 2.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pptpgw.error import Malformed
from pptpgw.ppp.wire.chap import checkIdentifier
from pptpgw.ppp.wire.ppp import decodePacket, encodePacket


@dataclass(frozen=True, slots=True)
class AuthenticateRequest:
    """
    An Authenticate-Request, in which the peer gives its name and password (RFC 1334 section 2.2.1).

    @ivar peerID: the peer's name, at most 255 octets.
    @ivar password: the password in clear, at most 255 octets.
    """

    CODE: ClassVar[int] = 1

    identifier: int
    peerID: bytes
    password: bytes = field(repr=False)

    def __post_init__(self) -> None:
        checkIdentifier(self.identifier)
        _checkSize(self.peerID)
        _checkSize(self.password)

    def encode(self) -> bytes:
        """
        Return the octets of the packet.
        """
        return encodePacket(self.CODE, self.identifier, _sized(self.peerID) + _sized(self.password))


@dataclass(frozen=True, slots=True)
class _Reply:
    """
    The common part of Authenticate-Ack and Authenticate-Nak (RFC 1334 section 2.2.2).

    @ivar message: the text for a human reader, at most 255 octets.
    """

    CODE: ClassVar[int]

    identifier: int
    message: bytes = b""

    def __post_init__(self) -> None:
        checkIdentifier(self.identifier)
        _checkSize(self.message)

    def encode(self) -> bytes:
        """
        Return the octets of the packet.
        """
        return encodePacket(self.CODE, self.identifier, _sized(self.message))


@dataclass(frozen=True, slots=True)
class AuthenticateAck(_Reply):
    """
    An Authenticate-Ack: the name and password are right (RFC 1334 section 2.2.2).
    """

    CODE: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class AuthenticateNak(_Reply):
    """
    An Authenticate-Nak: the name and password aren't accepted (RFC 1334 section 2.2.2).
    """

    CODE: ClassVar[int] = 3


Packet = AuthenticateRequest | AuthenticateAck | AuthenticateNak

_REPLIES: dict[int, type[AuthenticateAck] | type[AuthenticateNak]] = {
    2: AuthenticateAck,
    3: AuthenticateNak,
}


def decode(packet: bytes) -> Packet:
    """
    Return the value of a packet.

    A reply without any message field, not even its length, counts as one with an empty message,
    since some authenticators send that.

    @raise Malformed: C{packet} isn't a packet of PAP.
    """
    code, identifier, data = decodePacket(packet)
    if code in _REPLIES:
        return _REPLIES[code](identifier, _take(data)[0] if data else b"")
    if code != AuthenticateRequest.CODE:
        raise Malformed(f"PAP code {code}")
    peerID, rest = _take(data)
    return AuthenticateRequest(identifier, peerID, _take(rest)[0])


def _checkSize(value: bytes) -> None:
    if len(value) > 0xFF:
        raise ValueError(f"a field of {len(value)} octets, 0 to 255 are allowed")


def _sized(value: bytes) -> bytes:
    return bytes((len(value),)) + value


def _take(data: bytes) -> tuple[bytes, bytes]:
    """
    Return the field that C{data} begins with, whose length is in its first octet, and the octets
    after the field.

    @raise Malformed: the field is cut off.
    """
    if not data or data[0] > len(data) - 1:
        raise Malformed("a field is longer than its packet")
    return data[1 : 1 + data[0]], data[1 + data[0] :]
