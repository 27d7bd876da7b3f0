"""
The packets of EAP (RFC 3748 section 4) and what the methods of TLS put into them (RFC 5216
section 3).

A method is known by its vendor and a number. The Internet's own, those of vendor 0, are written in
one octet or in the expanded form, and mean the same (section 5.7); they are sent in one octet.
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
# The most that a packet holds behind its header.
_MAXIMUM = 0xFFFF - HEADER_OCTETS

_expanded = struct.Struct("!BBHI")
_length = struct.Struct("!I")


class Method(NamedTuple):
    """
    A Type of requests and responses.

    @ivar number: 0 to 253 for vendor 0, 32 bits otherwise.
    @ivar vendor: its SMI enterprise code, 24 bits; 0: assigned by IANA.
    """

    number: int
    vendor: int = 0

    def encode(self) -> bytes:
        """
        The type field: one octet, or the eight of the expanded form.
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
    What Request and Response have in common (section 4.1).

    @ivar method: any but a Nak's.
    @ivar content: what the method says.
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
        The octets of the packet.
        """
        return encodePacket(self.CODE, self.identifier, self.method.encode() + self.content)


@dataclass(frozen=True, slots=True)
class EAPRequest(_Typed):
    """
    The authenticator asks.
    """

    CODE: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class EAPResponse(_Typed):
    """
    The peer answers.
    """

    CODE: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Nak:
    """
    The Response of a peer that wants another method (sections 5.3.1 and 5.3.2).

    @ivar wanted: the methods that it would take; none: it would take no other.
    @ivar expanded: whether it is the one in the expanded form.
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
        The octets of the packet.
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
    What Success and Failure have in common (section 4.2).
    """

    CODE: ClassVar[int]

    identifier: int

    def __post_init__(self) -> None:
        checkIdentifier(self.identifier)

    def encode(self) -> bytes:
        """
        The octets of the packet.
        """
        return encodePacket(self.CODE, self.identifier)


@dataclass(frozen=True, slots=True)
class EAPSuccess(_Result):
    """
    The peer is believed.
    """

    CODE: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class EAPFailure(_Result):
    """
    The peer isn't believed.
    """

    CODE: ClassVar[int] = 4


Packet = EAPRequest | EAPResponse | Nak | EAPSuccess | EAPFailure

_RESULTS: dict[int, type[EAPSuccess] | type[EAPFailure]] = {3: EAPSuccess, 4: EAPFailure}


def decode(packet: bytes) -> Packet:
    """
    The packet that C{packet} holds.

    @raise Malformed: it holds none.
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
    The method that C{data} begins with, and what follows it.
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
    The methods that an Expanded Nak wants.
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
    The content of an EAP-TLS request or response (RFC 5216 sections 3.1 and 3.2).

    @ivar octets: of TLS; none in a Start and in an acknowledgement.
    @ivar total: of the whole message, where this is the first of its fragments.
    @ivar more: another fragment follows.
    @ivar start: the authenticator asks the peer to begin.
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
        The octets of the content.
        """
        flags = (self.total is not None) << 7 | self.more << 6 | self.start << 5
        total = b"" if self.total is None else _length.pack(self.total)
        return bytes((flags,)) + total + self.octets

    @classmethod
    def decode(cls, content: bytes) -> Fragment:
        """
        What C{content} says; reserved flags aren't looked at, and where there are none at all, as
        in what RFC 5216 section 2.1.5 calls a packet with no data, none is set.

        @raise Malformed: it is too short for what its flags announce.
        """
        flags, rest, total = content[0] if content else 0, content[1:], None
        if flags & 0x80:
            if len(rest) < _length.size:
                raise Malformed("the length of a TLS message is cut off")
            (total,) = _length.unpack_from(rest)
            rest = rest[_length.size :]
        return cls(rest, total, bool(flags & 0x40), bool(flags & 0x20))
