"""
The packets of EAP (RFC 3748 section 4), and the content that EAP-TLS and its relatives put into
them (RFC 5216 section 3).

A method is identified by a vendor and a number. Methods of vendor 0, which IANA assigns, may be
written in one octet or in the expanded form, which mean the same (RFC 3748 section 5.7). They are
sent in one octet.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from pptpgw.error import Malformed
from pptpgw.ppp.wire.chap import checkIdentifier
from pptpgw.ppp.wire.ppp import HEADER_OCTETS, decodePacket, encodePacket

_EXPANDED = 254
_NAK = 3
_LARGEST_VENDOR = 0xFFFFFF
_LARGEST_NUMBER = 0xFFFFFFFF
# The largest length of a packet's data, in octets.
_MAXIMUM = 0xFFFF - HEADER_OCTETS

_expanded = struct.Struct("!BBHI")
_length = struct.Struct("!I")


class Method(NamedTuple):
    """
    The Type of a Request or Response.

    @ivar number: 0 to 253 for vendor 0, otherwise 32 bits.
    @ivar vendor: the vendor's SMI enterprise code, 24 bits; 0 for Types that IANA assigns.
    """

    number: int
    vendor: int = 0

    def encode(self) -> bytes:
        """
        Return the octets of the Type field: one octet, or the eight of the expanded form.
        """
        if self.vendor == 0 and self.number < _EXPANDED:
            return bytes((self.number,))
        return _expand(self)


IDENTITY = Method(1)
NOTIFICATION = Method(2)
MD5_CHALLENGE = Method(4)
TLS = Method(13)
MSCHAPV2 = Method(26)


@dataclass(frozen=True, slots=True)
class _Typed:
    """
    The common part of Request and Response (RFC 3748 section 4.1).

    @ivar method: any method but Nak.
    @ivar content: the data of the method.
    """

    CODE: ClassVar[int]

    identifier: int
    method: Method
    content: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        checkIdentifier(self.identifier)
        number, vendor = self.method
        if not (0 <= number <= _LARGEST_NUMBER and 0 <= vendor <= _LARGEST_VENDOR):
            raise ValueError(f"{self.method} doesn't fit")
        if self.method == Method(_NAK):
            raise ValueError("a Nak is no method")
        if len(self.content) > _MAXIMUM - _expanded.size:
            raise ValueError(f"{len(self.content)} octets don't fit")

    def encode(self) -> bytes:
        """
        Return the octets of the packet.
        """
        return encodePacket(self.CODE, self.identifier, self.method.encode() + self.content)


@dataclass(frozen=True, slots=True)
class EAPRequest(_Typed):
    """
    A Request of the authenticator (RFC 3748 section 4.1).
    """

    CODE: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class EAPResponse(_Typed):
    """
    A Response of the peer, other than a Nak (RFC 3748 section 4.1).
    """

    CODE: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Nak:
    """
    The Response of a peer that wants another method (RFC 3748 sections 5.3.1 and 5.3.2).

    @ivar wanted: the methods that the peer would accept; empty if it accepts none.
    @ivar expanded: whether this is an Expanded Nak.
    """

    CODE: ClassVar[int] = 2

    identifier: int
    wanted: tuple[Method, ...]
    expanded: bool = False

    def __post_init__(self) -> None:
        checkIdentifier(self.identifier)
        size = 8 if self.expanded else 1
        if size * len(self.wanted) > _MAXIMUM - size:
            raise ValueError(f"{len(self.wanted)} methods don't fit")
        for number, vendor in self.wanted:
            largest = _LARGEST_NUMBER if self.expanded else 0xFF
            if not (0 < number <= largest and 0 <= vendor <= (self.expanded * _LARGEST_VENDOR)):
                raise ValueError(f"method {number} of vendor {vendor} doesn't fit")

    def encode(self) -> bytes:
        """
        Return the octets of the packet.
        """
        none = Method(0)
        if self.expanded:
            types = b"".join(map(_expand, (Method(_NAK), *(self.wanted or (none,)))))
        else:
            types = bytes((_NAK, *(number for number, _ in self.wanted or (none,))))
        return encodePacket(self.CODE, self.identifier, types)


@dataclass(frozen=True, slots=True)
class _Result:
    """
    The common part of Success and Failure (RFC 3748 section 4.2).
    """

    CODE: ClassVar[int]

    identifier: int

    def __post_init__(self) -> None:
        checkIdentifier(self.identifier)

    def encode(self) -> bytes:
        """
        Return the octets of the packet.
        """
        return encodePacket(self.CODE, self.identifier)


@dataclass(frozen=True, slots=True)
class EAPSuccess(_Result):
    """
    A Success: the peer is authenticated (RFC 3748 section 4.2).
    """

    CODE: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class EAPFailure(_Result):
    """
    A Failure: the peer isn't authenticated (RFC 3748 section 4.2).
    """

    CODE: ClassVar[int] = 4


Packet = EAPRequest | EAPResponse | Nak | EAPSuccess | EAPFailure

_RESULTS: dict[int, type[EAPSuccess] | type[EAPFailure]] = {3: EAPSuccess, 4: EAPFailure}


def decode(packet: bytes) -> Packet:
    """
    Return the value of a packet.

    @raise Malformed: C{packet} isn't a packet of EAP.
    """
    code, identifier, data = decodePacket(packet)
    if code in _RESULTS:
        if data:
            raise Malformed(f"an EAP result with {len(data)} octets behind it")
        return _RESULTS[code](identifier)
    if code not in (EAPRequest.CODE, EAPResponse.CODE):
        raise Malformed(f"EAP code {code}")
    method, rest = _takeMethod(data)
    if method == Method(_NAK):
        if code == EAPRequest.CODE:
            raise Malformed("a Nak in a Request")
        expanded = data[0] == _EXPANDED
        wanted = _takeMethods(rest) if expanded else tuple(Method(number) for number in rest)
        return Nak(identifier, tuple(one for one in wanted if one.number), expanded)
    if len(rest) > _MAXIMUM - _expanded.size:
        raise Malformed("more than fits behind an expanded type")
    return (EAPRequest if code == EAPRequest.CODE else EAPResponse)(identifier, method, rest)


def _expand(method: Method) -> bytes:
    vendor = method.vendor
    return _expanded.pack(_EXPANDED, vendor >> 16, vendor & 0xFFFF, method.number)


def _takeMethod(data: bytes) -> tuple[Method, bytes]:
    """
    Return the method that C{data} begins with, and the octets after it.

    @raise Malformed: C{data} is too short.
    """
    if not data:
        raise Malformed("an EAP packet without a type")
    if data[0] != _EXPANDED:
        return Method(data[0]), data[1:]
    if len(data) < _expanded.size:
        raise Malformed(f"an expanded type of {len(data)} octets")
    _, high, low, number = _expanded.unpack_from(data)
    return Method(number, high << 16 | low), data[_expanded.size :]


def _takeMethods(data: bytes) -> tuple[Method, ...]:
    """
    Return the methods that an Expanded Nak wants.

    @raise Malformed: one of them is cut off, or isn't in the expanded form.
    """
    methods = []
    while data:
        if data[0] != _EXPANDED:
            raise Malformed("an Expanded Nak wants what isn't expanded")
        method, data = _takeMethod(data)
        methods.append(method)
    return tuple(methods)


@dataclass(frozen=True, slots=True)
class Fragment:
    """
    The content of an EAP-TLS Request or Response (RFC 5216 sections 3.1 and 3.2).

    @ivar octets: a part of a TLS message; empty in a Start and in an acknowledgement.
    @ivar total: the length of the whole message in octets, if this is its first fragment.
    @ivar more: whether another fragment follows.
    @ivar start: whether this is a Start, by which the authenticator asks the peer to begin.
    """

    octets: bytes = field(default=b"", repr=False)
    total: int | None = None
    more: bool = False
    start: bool = False

    def __post_init__(self) -> None:
        if self.total is not None and not 0 <= self.total <= 0xFFFFFFFF:
            raise ValueError(f"a message of {self.total} octets")

    def encode(self) -> bytes:
        """
        Return the octets of the content.
        """
        flags = (self.total is not None) << 7 | self.more << 6 | self.start << 5
        total = b"" if self.total is None else _length.pack(self.total)
        return bytes((flags,)) + total + self.octets

    @classmethod
    def decode(cls, content: bytes) -> Fragment:
        """
        Return the value of a content. Reserved flags are ignored. If there isn't even an octet of
        flags, as in what RFC 5216 section 2.1.5 calls a packet with no data, no flag is set.

        @raise Malformed: the length that the flags announce is cut off.
        """
        flags, rest, total = content[0] if content else 0, content[1:], None
        if flags & 0x80:
            if len(rest) < _length.size:
                raise Malformed("the length of a TLS message is cut off")
            (total,) = _length.unpack_from(rest)
            rest = rest[_length.size :]
        return cls(rest, total, bool(flags & 0x40), bool(flags & 0x20))
