"""
Encoding and decoding of DHCPv6's messages between client and server (RFC 8415 section 8), and of
the options that hold leases (sections 21.4 to 21.6, 21.21 and 21.22).

Options of unknown kinds are left out when a message is decoded. The messages of relay agents
(section 9) aren't supported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPV6LENGTH, IPv6Address, IPv6Network
from struct import Struct
from typing import ClassVar, Generic, Self, TypeVar
from uuid import UUID

from pptpgw.error import Malformed
from pptpgw.networks.ipv6.wire.dhcpv6option import (
    PLAIN,
    DHCPv6Option,
    Status,
    decodeOptions,
    encodeOptions,
    require,
)

ALL_SERVERS = IPv6Address("ff02::1:2")
"""
All_DHCP_Relay_Agents_and_Servers, the address that clients send to (section 7.1).
"""

INFINITY = 0xFFFFFFFF
"""
The lifetime that has no end (section 7.7).
"""

_DUID_UUID = b"\0\4"
_TRANSACTION = 0xFFFFFF

_address = Struct("!16sII")
_prefix = Struct("!IIB16s")
_messageHeader = Struct("!I")

K = TypeVar("K", bound=DHCPv6Option)
V = TypeVar("V", IPv6Address, IPv6Network)


class DHCPv6MessageType(IntEnum):
    """
    The types of messages (section 7.3).
    """

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    RECONFIGURE = 10
    INFORMATION_REQUEST = 11


@dataclass(frozen=True, slots=True)
class _Lease(DHCPv6Option, Generic[V]):
    """
    An address or a prefix with its lifetimes.

    @ivar value: the address or the prefix.
    @ivar preferred: the preferred lifetime in seconds.
    @ivar valid: the valid lifetime in seconds.
    @ivar status: the status of the lease; None for success.
    """

    value: V
    preferred: int = 0
    valid: int = 0
    status: Status | None = None

    def __post_init__(self) -> None:
        require(0 <= self.preferred <= INFINITY, "preferred lifetime", self.preferred)
        require(0 <= self.valid <= INFINITY, "valid lifetime", self.valid)

    def _statusOctets(self) -> bytes:
        return encodeOptions([self.status] if self.status else [])


class Address(_Lease[IPv6Address]):
    """
    IA Address (section 21.6).
    """

    __slots__ = ()

    code = 5

    def encode(self) -> bytes:
        return _address.pack(self.value.packed, self.preferred, self.valid) + self._statusOctets()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if len(value) < _address.size:
            raise Malformed(f"an IA Address of {len(value)} octets")
        address, preferred, valid = _address.unpack_from(value)
        return cls(IPv6Address(address), preferred, valid, _status(value[_address.size :]))


class Prefix(_Lease[IPv6Network]):
    """
    IA Prefix (section 21.22). A client that asks only for a length names C{::/56}, for example.
    """

    __slots__ = ()

    code = 26

    def encode(self) -> bytes:
        packed = self.value.network_address.packed
        octets = _prefix.pack(self.preferred, self.valid, self.value.prefixlen, packed)
        return octets + self._statusOctets()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if len(value) < _prefix.size:
            raise Malformed(f"an IA Prefix of {len(value)} octets")
        preferred, valid, length, address = _prefix.unpack_from(value)
        if length > IPV6LENGTH:
            raise Malformed(f"a prefix of {length} bits")
        # The address bits behind the prefix length are ignored.
        prefix = IPv6Network((address, length), strict=False)
        return cls(prefix, preferred, valid, _status(value[_prefix.size :]))


@dataclass(frozen=True, slots=True)
class Association(DHCPv6Option):
    """
    An identity association (section 4.2).

    @ivar iaid: the number of the association among those of the same kind and client.
    @ivar leases: the addresses or prefixes that it has, or that a client asks for.
    @ivar status: the status of the association; None for success.
    @cvar kind: the type of its leases.
    """

    form: ClassVar[Struct]
    kind: ClassVar[type[Address | Prefix]]

    iaid: int
    leases: tuple[Address | Prefix, ...] = ()
    status: Status | None = None

    def __post_init__(self) -> None:
        require(0 <= self.iaid <= 0xFFFFFFFF, "IAID", self.iaid)
        require(all(type(lease) is self.kind for lease in self.leases), "leases", self.leases)

    @property
    def times(self) -> tuple[int, ...]:
        """
        The numbers that follow the IAID in the encoding: T1 and T2, if the association has them.
        """
        return ()

    def encode(self) -> bytes:
        inner: tuple[DHCPv6Option, ...] = (self.status,) if self.status else ()
        return self.form.pack(self.iaid, *self.times) + encodeOptions(self.leases + inner)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        if len(value) < cls.form.size:
            raise Malformed(f"{cls.__name__} of {len(value)} octets")
        iaid, *times = cls.form.unpack_from(value)
        inner = list(decodeOptions(value[cls.form.size :], {cls.kind.code: cls.kind, **_STATUS}))
        leases = tuple(one for one in inner if isinstance(one, cls.kind))
        status = next((one for one in inner if isinstance(one, Status)), None)
        return cls(iaid, leases, status, *times)


class TemporaryAssociation(Association):
    """
    IA_TA (section 21.5): temporary addresses.
    """

    __slots__ = ()

    code = 4
    form = Struct("!I")
    kind = Address


@dataclass(frozen=True, slots=True)
class RenewableAssociation(Association):
    """
    An association whose leases a client extends before they end.

    @ivar t1: seconds after which the client asks the same server to extend them; 0 leaves it to the
        client.
    @ivar t2: seconds after which the client asks any server.
    """

    form = Struct("!III")

    t1: int = 0
    t2: int = 0

    def __post_init__(self) -> None:
        Association.__post_init__(self)
        require(0 <= self.t1 <= INFINITY, "T1", self.t1)
        require(0 <= self.t2 <= INFINITY, "T2", self.t2)

    @property
    def times(self) -> tuple[int, ...]:
        return self.t1, self.t2


class AddressAssociation(RenewableAssociation):
    """
    IA_NA (section 21.4): addresses that aren't temporary.
    """

    __slots__ = ()

    code = 3
    kind = Address


class PrefixAssociation(RenewableAssociation):
    """
    IA_PD (section 21.21): delegated prefixes.
    """

    __slots__ = ()

    code = 25
    kind = Prefix


@dataclass(frozen=True, slots=True)
class DHCPv6Message:
    """
    A message between client and server (RFC 8415 section 8).

    @ivar transactionID: a number of 24 bits, which the answer repeats.
    @ivar options: the options in the order of the encoding.
    """

    messageType: DHCPv6MessageType
    transactionID: int
    options: tuple[DHCPv6Option, ...] = ()

    def __post_init__(self) -> None:
        require(0 <= self.transactionID <= _TRANSACTION, "transaction id", self.transactionID)

    def first(self, kind: type[K]) -> K | None:
        """
        Return the first option of C{kind}; None if there is none.
        """
        return next(iter(self.every(kind)), None)

    def every(self, kind: type[K]) -> list[K]:
        """
        Return all options of C{kind}.
        """
        return [option for option in self.options if isinstance(option, kind)]

    def encode(self) -> bytes:
        """
        Return the encoding of the message, the data of a UDP datagram.
        """
        return _messageHeader.pack(self.messageType << 24 | self.transactionID) + encodeOptions(
            self.options
        )


def decode(octets: bytes) -> DHCPv6Message:
    """
    Return the message in the data of a UDP datagram.

    @raise Malformed: it isn't a message between client and server, or an option in it is malformed.
    """
    if len(octets) < _messageHeader.size:
        raise Malformed(f"a message of {len(octets)} octets")
    (head,) = _messageHeader.unpack_from(octets)
    if head >> 24 not in _TYPES:
        raise Malformed(f"a message of type {head >> 24}")
    options = decodeOptions(octets[_messageHeader.size :], _OPTIONS)
    return DHCPv6Message(DHCPv6MessageType(head >> 24), head & _TRANSACTION, tuple(options))


def makeDUID(uuid: UUID) -> bytes:
    """
    Return the DUID-UUID (RFC 6355) for C{uuid}.
    """
    return _DUID_UUID + uuid.bytes


def _byCode(kinds: Iterable[type[DHCPv6Option]]) -> dict[int, type[DHCPv6Option]]:
    return {kind.code: kind for kind in kinds}


def _status(octets: bytes) -> Status | None:
    return next((one for one in decodeOptions(octets, _STATUS) if isinstance(one, Status)), None)


_TYPES = frozenset(DHCPv6MessageType)
_STATUS = _byCode([Status])
_OPTIONS = _byCode([*PLAIN, AddressAssociation, TemporaryAssociation, PrefixAssociation])
