"""
DHCPv6's options that hold no others, octets to values and back (RFC 8415 section 21, RFC 3646).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address
from struct import Struct
from typing import ClassVar, Self

from pptpgw.error import Malformed
from pptpgw.networks.ipv6.wire.domain import decodeNames, encodeNames, isName

MAX_OPTIONS = 64
"""
The most options that may stand side by side.
"""

MIN_DUID_OCTETS, MAX_DUID_OCTETS = 3, 130

_header = Struct("!HH")
_code = Struct("!H")


class StatusCode(IntEnum):
    """
    Section 21.13.
    """

    SUCCESS = 0
    UNSPEC_FAIL = 1
    NO_ADDRS_AVAIL = 2
    NO_BINDING = 3
    NOT_ON_LINK = 4
    USE_MULTICAST = 5
    NO_PREFIX_AVAIL = 6


class DHCPv6Option(ABC):
    """
    An option. One that can be built, and isn't longer than 65535 octets, can be encoded: a value
    that doesn't fit is a C{ValueError} at once.
    """

    __slots__ = ()

    code: ClassVar[int]

    @abstractmethod
    def encode(self) -> bytes:
        """
        The octets of its value, behind code and length.
        """

    @classmethod
    @abstractmethod
    def decode(cls, value: bytes) -> Self:
        """
        The option whose value has these octets.

        @raise Malformed: they don't form one.
        """


def encodeOptions(options: Iterable[DHCPv6Option]) -> bytes:
    """
    The octets of options, one behind the other.
    """
    values = ((option.code, option.encode()) for option in options)
    return b"".join(_header.pack(code, len(value)) + value for code, value in values)


def decodeOptions(octets: bytes, kinds: Mapping[int, type[DHCPv6Option]]) -> Iterator[DHCPv6Option]:
    """
    The options that stand one behind the other, those that C{kinds} doesn't have by their code left
    out.

    @raise Malformed: one of them is, or there are more than L{MAX_OPTIONS}.
    """
    position = count = 0
    while position < len(octets):
        if len(octets) - position < _header.size:
            raise Malformed("the last option has no length")
        code, length = _header.unpack_from(octets, position)
        position += _header.size + length
        count += 1
        if position > len(octets):
            raise Malformed(f"option {code} gives its length as {length}")
        if count > MAX_OPTIONS:
            raise Malformed(f"more than {MAX_OPTIONS} options")
        if kind := kinds.get(code):
            yield kind.decode(octets[position - length : position])


@dataclass(frozen=True, slots=True)
class _DUIDOption(DHCPv6Option):
    """
    @ivar duid: a DHCP Unique Identifier (section 11), of 3 to 130 octets.
    """

    duid: bytes

    def __post_init__(self) -> None:
        require(MIN_DUID_OCTETS <= len(self.duid) <= MAX_DUID_OCTETS, "DUID", self.duid)

    def encode(self) -> bytes:
        return self.duid

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if not MIN_DUID_OCTETS <= len(value) <= MAX_DUID_OCTETS:
            raise Malformed(f"a DUID of {len(value)} octets")
        return cls(value)


class ClientID(_DUIDOption):
    """
    Section 21.2.
    """

    __slots__ = ()

    code = 1


class ServerID(_DUIDOption):
    """
    Section 21.3.
    """

    __slots__ = ()

    code = 2


@dataclass(frozen=True, slots=True)
class _Number(DHCPv6Option):
    """
    An option that is one number.
    """

    form: ClassVar[Struct]

    number: int

    def __post_init__(self) -> None:
        require(0 <= self.number < 1 << 8 * self.form.size, "number", self.number)

    def encode(self) -> bytes:
        return self.form.pack(self.number)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if len(value) != cls.form.size:
            raise Malformed(f"{cls.__name__} of {len(value)} octets")
        (number,) = cls.form.unpack(value)
        return cls(number)


class Preference(_Number):
    """
    Section 21.8: 255 has a client look no further.
    """

    __slots__ = ()

    code = 7
    form = Struct("!B")


class ElapsedTime(_Number):
    """
    Section 21.9, in hundredths of a second.
    """

    __slots__ = ()

    code = 8
    form = Struct("!H")


class InformationRefreshTime(_Number):
    """
    Section 21.23, in seconds.
    """

    __slots__ = ()

    code = 32
    form = Struct("!I")


class SolicitMaximum(_Number):
    """
    SOL_MAX_RT (section 21.24): the longest time between two Solicits, in seconds.
    """

    __slots__ = ()

    code = 82
    form = Struct("!I")


@dataclass(frozen=True, slots=True)
class RapidCommit(DHCPv6Option):
    """
    Section 21.14.
    """

    code = 14

    def encode(self) -> bytes:
        return b""

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if value:
            raise Malformed(f"Rapid Commit of {len(value)} octets")
        return cls()


@dataclass(frozen=True, slots=True)
class OptionRequest(DHCPv6Option):
    """
    Section 21.7: the codes of the options that a client wants.
    """

    code = 6

    codes: tuple[int, ...]

    def __post_init__(self) -> None:
        require(all(0 <= code <= 0xFFFF for code in self.codes), "codes", self.codes)

    def encode(self) -> bytes:
        return b"".join(map(_code.pack, self.codes))

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if len(value) % 2:
            raise Malformed(f"an Option Request of {len(value)} octets")
        return cls(tuple(code for (code,) in _code.iter_unpack(value)))


@dataclass(frozen=True, slots=True)
class Status(DHCPv6Option):
    """
    Section 21.13.

    @ivar status: a L{StatusCode}, or a number that isn't there.
    @ivar message: a text for people.
    """

    code = 13

    status: int
    message: str = ""

    def __post_init__(self) -> None:
        require(0 <= self.status <= 0xFFFF, "status", self.status)
        self.message.encode("utf-8")

    def encode(self) -> bytes:
        return _code.pack(self.status) + self.message.encode("utf-8")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if len(value) < 2:
            raise Malformed(f"a status of {len(value)} octets")
        (status,) = _code.unpack_from(value)
        return cls(status, value[2:].decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class NameServers(DHCPv6Option):
    """
    RFC 3646 section 3.
    """

    code = 23

    addresses: tuple[IPv6Address, ...]

    def encode(self) -> bytes:
        return b"".join(address.packed for address in self.addresses)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if len(value) % 16:
            raise Malformed(f"name servers in {len(value)} octets")
        places = range(0, len(value), 16)
        return cls(tuple(IPv6Address(value[place : place + 16]) for place in places))


@dataclass(frozen=True, slots=True)
class DomainList(DHCPv6Option):
    """
    RFC 3646 section 4.
    """

    code = 24

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        require(all(map(isName, self.names)), "names", self.names)

    def encode(self) -> bytes:
        return encodeNames(self.names)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return cls(decodeNames(value))


PLAIN: tuple[type[DHCPv6Option], ...] = (
    ClientID,
    ServerID,
    OptionRequest,
    Preference,
    ElapsedTime,
    Status,
    RapidCommit,
    NameServers,
    DomainList,
    InformationRefreshTime,
    SolicitMaximum,
)
"""
All of them.
"""


def require(condition: bool, name: str, value: object) -> None:
    """
    Refuse a value that can't be encoded.

    @raise ValueError: C{condition} doesn't hold.
    """
    if not condition:
        raise ValueError(f"{name} can't be {value!r}")
