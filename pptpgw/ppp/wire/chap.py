"""
The packets of CHAP (RFC 1994 section 4), and the fields that MS-CHAP defines in them (RFC 2433, RFC
2759).

All variants have the first four packets in common. They differ in the value field of the Response,
which is 16 octets of MD5 or the 49 octets of L{MSCHAPResponse} and L{MSCHAPV2Response}, and in the
message of the Failure, which is a L{FailureMessage}. Only MS-CHAPv2 has L{ChangePassword}.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import ClassVar

from pptpgw.error import Malformed
from pptpgw.ppp.wire.ppp import HEADER_OCTETS, decodePacket, encodePacket

# The largest length of a packet's data, in octets.
_MAXIMUM = 0xFFFF - HEADER_OCTETS
_MSCHAP = struct.Struct("!24s24sB")
_MSCHAPV2 = struct.Struct("!16s8x24sB")
_CHANGE = struct.Struct("!516s16s16s8x24sH")


def checkIdentifier(identifier: int) -> None:
    """
    Check the identifier of a packet.

    @raise ValueError: C{identifier} doesn't fit into one octet.
    """
    if not 0 <= identifier <= 0xFF:
        raise ValueError(f"identifier {identifier}, 0 to 255 is allowed")


@dataclass(frozen=True, slots=True)
class _Valued:
    """
    The common part of Challenge and Response (RFC 1994 section 4.1).

    @ivar value: 1 to 255 octets.
    @ivar name: the name of the sender.
    """

    CODE: ClassVar[int]

    identifier: int
    value: bytes = field(repr=False)
    name: bytes

    def __post_init__(self) -> None:
        checkIdentifier(self.identifier)
        if not 1 <= len(self.value) <= 0xFF:
            raise ValueError(f"a value of {len(self.value)} octets, 1 to 255 are allowed")
        if len(self.value) + len(self.name) > _MAXIMUM - 1:
            raise ValueError(f"a name of {len(self.name)} octets doesn't fit")

    def encode(self) -> bytes:
        """
        Return the octets of the packet.
        """
        return encodePacket(
            self.CODE, self.identifier, bytes((len(self.value),)) + self.value + self.name
        )


@dataclass(frozen=True, slots=True)
class _Messaged:
    """
    The common part of Success and Failure (RFC 1994 section 4.2).
    """

    CODE: ClassVar[int]

    identifier: int
    message: bytes = b""

    def __post_init__(self) -> None:
        checkIdentifier(self.identifier)
        if len(self.message) > _MAXIMUM:
            raise ValueError(f"a message of {len(self.message)} octets doesn't fit")

    def encode(self) -> bytes:
        """
        Return the octets of the packet.
        """
        return encodePacket(self.CODE, self.identifier, self.message)


@dataclass(frozen=True, slots=True)
class Challenge(_Valued):
    """
    A Challenge, which asks the peer to authenticate (RFC 1994 section 4.1).
    """

    CODE: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class CHAPResponse(_Valued):
    """
    A Response, the peer's answer to a Challenge (RFC 1994 section 4.1).
    """

    CODE: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class CHAPSuccess(_Messaged):
    """
    A Success: the Response is right (RFC 1994 section 4.2).
    """

    CODE: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class CHAPFailure(_Messaged):
    """
    A Failure: the Response is wrong, or refused for another reason (RFC 1994 section 4.2).
    """

    CODE: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """
    A Change-Password, by which the peer replaces a password that has expired (RFC 2759 section 7).
    The flags and reserved octets are sent as zeros and ignored when received.

    @ivar encryptedPassword: the new password, encrypted with the hash of the old one: 516 octets.
    @ivar encryptedHash: the hash of the old password, encrypted with that of the new one: 16
        octets.
    @ivar peerChallenge: as in L{MSCHAPV2Response}: 16 octets.
    @ivar ntResponse: the answer to the challenge in the Failure, made from the new password: 24
        octets.
    """

    CODE: ClassVar[int] = 7

    identifier: int
    encryptedPassword: bytes = field(repr=False)
    encryptedHash: bytes = field(repr=False)
    peerChallenge: bytes = field(repr=False)
    ntResponse: bytes = field(repr=False)

    def __post_init__(self) -> None:
        checkIdentifier(self.identifier)
        _checkSizes(516, self.encryptedPassword, 16, self.encryptedHash)
        _checkSizes(16, self.peerChallenge, 24, self.ntResponse)

    def encode(self) -> bytes:
        """
        Return the octets of the packet: 586.
        """
        octets = _CHANGE.pack(
            self.encryptedPassword, self.encryptedHash, self.peerChallenge, self.ntResponse, 0
        )
        return encodePacket(self.CODE, self.identifier, octets)


Packet = Challenge | CHAPResponse | CHAPSuccess | CHAPFailure | ChangePassword

_VALUED: dict[int, type[Challenge] | type[CHAPResponse]] = {1: Challenge, 2: CHAPResponse}
_MESSAGED: dict[int, type[CHAPSuccess] | type[CHAPFailure]] = {3: CHAPSuccess, 4: CHAPFailure}


def decode(packet: bytes) -> Packet:
    """
    Return the value of a packet.

    @raise Malformed: C{packet} isn't a packet of CHAP.
    """
    code, identifier, data = decodePacket(packet)
    if code in _MESSAGED:
        return _MESSAGED[code](identifier, data)
    if code == ChangePassword.CODE:
        if len(data) != _CHANGE.size:
            raise Malformed(f"a Change-Password of {len(packet)} octets")
        *fields, _ = _CHANGE.unpack(data)
        return ChangePassword(identifier, *fields)
    if code not in _VALUED:
        raise Malformed(f"CHAP code {code}")
    size = data[0] if data else 0
    if not 1 <= size <= len(data) - 1:
        raise Malformed(f"a value of {size} octets in {len(data)} octets")
    return _VALUED[code](identifier, data[1 : 1 + size], data[1 + size :])


@dataclass(frozen=True, slots=True)
class MSCHAPResponse:
    """
    The value field of an MS-CHAPv1 Response (RFC 2433 section 6).

    @ivar lmResponse: the LAN Manager response, 24 octets; zeros if there is none.
    @ivar ntResponse: the Windows NT response, 24 octets.
    @ivar useNT: whether C{ntResponse} is present and to be used.
    """

    SIZE: ClassVar[int] = _MSCHAP.size

    lmResponse: bytes = field(repr=False)
    ntResponse: bytes = field(repr=False)
    useNT: bool

    def __post_init__(self) -> None:
        _checkSizes(24, self.lmResponse, 24, self.ntResponse)

    def encode(self) -> bytes:
        """
        Return the 49 octets of the value field.
        """
        return _MSCHAP.pack(self.lmResponse, self.ntResponse, self.useNT)

    @classmethod
    def decode(cls, value: bytes) -> MSCHAPResponse:
        """
        Return the response that a value field holds.

        @raise Malformed: C{value} isn't 49 octets long.
        """
        if len(value) != cls.SIZE:
            raise Malformed(f"an MS-CHAP response of {len(value)} octets")
        lmResponse, ntResponse, flag = _MSCHAP.unpack(value)
        return cls(lmResponse, ntResponse, bool(flag & 1))


@dataclass(frozen=True, slots=True)
class MSCHAPV2Response:
    """
    The value field of an MS-CHAPv2 Response (RFC 2759 section 4). The flags and reserved octets are
    sent as zeros and ignored when received.

    @ivar peerChallenge: 16 octets.
    @ivar ntResponse: 24 octets.
    """

    SIZE: ClassVar[int] = _MSCHAPV2.size

    peerChallenge: bytes = field(repr=False)
    ntResponse: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _checkSizes(16, self.peerChallenge, 24, self.ntResponse)

    def encode(self) -> bytes:
        """
        Return the 49 octets of the value field.
        """
        return _MSCHAPV2.pack(self.peerChallenge, self.ntResponse, 0)

    @classmethod
    def decode(cls, value: bytes) -> MSCHAPV2Response:
        """
        Return the response that a value field holds.

        @raise Malformed: C{value} isn't 49 octets long.
        """
        if len(value) != cls.SIZE:
            raise Malformed(f"an MS-CHAPv2 response of {len(value)} octets")
        peerChallenge, ntResponse, _ = _MSCHAPV2.unpack(value)
        return cls(peerChallenge, ntResponse)


def _checkSizes(firstSize: int, first: bytes, secondSize: int, second: bytes) -> None:
    if len(first) != firstSize or len(second) != secondSize:
        raise ValueError(f"{firstSize} and {secondSize} octets are allowed")


@dataclass(frozen=True, slots=True)
class FailureMessage:
    """
    The message of an MS-CHAP Failure, C{E=691 R=1 C=... V=3 M=...} (RFC 2759 section 6, RFC 2433
    section 8).

    @ivar error: the number of the error, such as 691 for a wrong password.
    @ivar retry: whether the peer may respond again.
    @ivar challenge: the challenge for the next Response, 8 octets (MS-CHAPv1) or 16; empty if none
        was sent.
    @ivar version: the version of the protocol for changing the password.
    @ivar text: the text for a human reader.
    """

    error: int
    retry: bool
    challenge: bytes = b""
    version: int = 3
    text: bytes = b""

    def encode(self) -> bytes:
        """
        Return the octets of the message field.
        """
        words = [b"E=%d R=%d" % (self.error, self.retry)]
        if self.challenge:
            words.append(b"C=" + self.challenge.hex().upper().encode("ascii"))
        words.append(b"V=%d" % self.version)
        if self.text:
            words.append(b"M=" + self.text)
        return b" ".join(words)

    @classmethod
    def decode(cls, message: bytes) -> FailureMessage:
        """
        Return the value of a message field. Unknown fields are ignored (RFC 2433 section 8).

        @raise Malformed: there is no error number, or a field can't be read.
        """
        head, mark, text = message.partition(b"M=")
        fields = {word[:1]: word[2:] for word in head.split() if word[1:2] == b"="}
        try:
            challenge = bytes.fromhex(fields.get(b"C", b"").decode("ascii"))
            return cls(
                error=_decimal(fields[b"E"]),
                retry=_decimal(fields.get(b"R", b"0")) == 1,
                challenge=challenge,
                version=_decimal(fields.get(b"V", b"1")),
                text=text if mark else b"",
            )
        except (KeyError, ValueError) as problem:
            raise Malformed("the message of a Failure can't be read") from problem


def _decimal(digits: bytes) -> int:
    """
    Return the number that at most ten decimal digits stand for.

    @raise ValueError: C{digits} isn't such a number.
    """
    if not digits.isdigit() or len(digits) > 10:
        raise ValueError("not a decimal number of at most ten digits")
    return int(digits)
