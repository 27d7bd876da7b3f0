"""
Encoding and decoding of the DHCPv6 options that hold no other options (RFC 8415 section 21, RFC
3646).
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
The most options that a message or an option may have side by side.
"""

MIN_DUID_OCTETS, MAX_DUID_OCTETS = 3, 130

_header = Struct("!HH")
_code = Struct("!H")


class StatusCode(IntEnum):
    """
    The status codes (section 21.13).
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
    The base class of options. Building one whose value can't be encoded raises C{ValueError}.
    """

    __slots__ = ()

    code: ClassVar[int]

    @abstractmethod
    def encode(self) -> bytes:
        """
        Return the encoding of the option's value, which follows its code and length.
        """

    @classmethod
    @abstractmethod
    def decode(cls, value: bytes) -> Self:
        """
        Return the option whose value has this encoding.

        @raise Malformed: C{value} isn't the encoding of such an option.
        """


def encodeOptions(options: Iterable[DHCPv6Option]) -> bytes:
    """
    Return the encoding of options, one after another.
    """
    values = ((option.code, option.encode()) for option in options)
    return b"".join(_header.pack(code, len(value)) + value for code, value in values)


def decodeOptions(octets: bytes, kinds: Mapping[int, type[DHCPv6Option]]) -> Iterator[DHCPv6Option]:
    """
    Return the options that C{octets} hold one after another, without those whose codes C{kinds}
    doesn't have.

    @raise Malformed: an option is malformed, or there are more than L{MAX_OPTIONS}.
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
    An option that is one DHCP Unique Identifier.

    @ivar duid: the DHCP Unique Identifier (section 11), 3 to 130 octets.
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
    Client Identifier (section 21.2).
    """

    __slots__ = ()

    code = 1


class ServerID(_DUIDOption):
    """
    Server Identifier (section 21.3).
    """

    __slots__ = ()

    code = 2


@dataclass(frozen=True, slots=True)
class _Number(DHCPv6Option):
    """
    An option that is one unsigned number.
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
    Preference (section 21.8) of a server, 0 to 255. A client takes the first server with 255 at
    once.
    """

    __slots__ = ()

    code = 7
    form = Struct("!B")


class ElapsedTime(_Number):
    """
    Elapsed Time (section 21.9) since the client began, in hundredths of a second.
    """

    __slots__ = ()

    code = 8
    form = Struct("!H")


class InformationRefreshTime(_Number):
    """
    Information Refresh Time (section 21.23), in seconds.
    """

    __slots__ = ()

    code = 32
    form = Struct("!I")


class SolicitMaximum(_Number):
    """
    SOL_MAX_RT (section 21.24): the longest time between two Solicits of a client, in seconds.
    """

    __slots__ = ()

    code = 82
    form = Struct("!I")


@dataclass(frozen=True, slots=True)
class RapidCommit(DHCPv6Option):
    """
    Rapid Commit (section 21.14): two messages instead of four.
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
    Option Request (section 21.7): the codes of the options that a client wants.
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
    Status Code (section 21.13).

    @ivar status: a L{StatusCode}, or another number.
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
    DNS Recursive Name Server (RFC 3646 section 3).
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
    Domain Search List (RFC 3646 section 4).
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
The options in this module, by their codes.
"""


def require(condition: bool, name: str, value: object) -> None:
    """
    Raise an exception unless C{condition} holds, because the value can't be encoded.

    @param name: the name of the value, for the text.
    @raise ValueError: C{condition} doesn't hold.
    """
    if not condition:
        raise ValueError(f"{name} can't be {value!r}")
