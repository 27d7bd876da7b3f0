"""
Encoding and decoding of Neighbor Discovery on a point-to-point link (RFC 4861 section 4). A router
receives Router and Neighbor Solicitations; it sends Neighbor Advertisements, and Router
Advertisements with name servers and a search list (RFC 8106 section 5), which a host receives.

PPP has no link-layer addresses, so options with such addresses are never sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPV6LENGTH, IPv6Address, IPv6Network
from struct import Struct

from pptpgw.error import Malformed
from pptpgw.networks.ipv6.wire.domain import decodeNames, encodeNames
from pptpgw.networks.ipv6.wire.ipv6 import UNSPECIFIED, ICMPv6Message, IPv6Packet
from pptpgw.networks.wire.ip import ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION

# Types of ICMPv6 messages.
NEIGHBOR_SOLICITATION = 135
NEIGHBOR_ADVERTISEMENT = 136

_HOP_LIMIT = 255
_INFINITY = 0xFFFFFFFF
# Types of options (RFC 4861 section 4.6, RFC 8106 section 5).
_SOURCE_LINK_LAYER = 1
_PREFIX_INFORMATION = 3
_MTU = 5
_RDNSS = 25
_DNSSL = 31

_MANAGED, _OTHER = 0x80, 0x40
_ON_LINK, _AUTONOMOUS = 0x80, 0x40
_ROUTER, _SOLICITED, _OVERRIDE = 0x80, 0x40, 0x20

_advertisement = Struct("!BBHII")
_prefix = Struct("!BBIII16s")
_mtu = Struct("!HI")
_names = Struct("!HI")
MAX_PREFIXES, MAX_NAMES = 8, 8
"""
The most prefixes, and the most name servers and domains, of an advertisement that are decoded.
"""

_SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))


@dataclass(frozen=True, slots=True)
class PrefixInformation:
    """
    A Prefix Information option (RFC 4861 section 4.6.2).

    @ivar preferred: the preferred lifetime in seconds.
    @ivar valid: the valid lifetime in seconds.
    @ivar onLink: whether addresses of the prefix are reached without a router.
    @ivar autonomous: whether hosts may make addresses from the prefix (RFC 4862).
    """

    network: IPv6Network
    preferred: int
    valid: int
    onLink: bool = False
    autonomous: bool = True


@dataclass(frozen=True, slots=True)
class RouterAdvertisement:
    """
    A Router Advertisement (RFC 4861 section 4.2).

    @ivar lifetime: seconds for which the sender is a default router; 0 if it is none any more.
    @ivar managed: whether DHCPv6 gives addresses.
    @ivar other: whether DHCPv6 gives other information, such as name servers.
    @ivar mtu: the MTU of the link, in octets.
    @ivar dns: at most 127 name servers.
    @ivar search: domain names for lookups.
    @ivar dnsLifetime: seconds for which C{dns} and C{search} are valid.
    @ivar hopLimit: the hop limit for packets that hosts send.
    """

    lifetime: int
    prefixes: tuple[PrefixInformation, ...] = ()
    managed: bool = False
    other: bool = False
    mtu: int | None = None
    dns: tuple[IPv6Address, ...] = ()
    search: tuple[str, ...] = ()
    dnsLifetime: int = 0
    hopLimit: int = 64

    def message(self) -> ICMPv6Message:
        """
        Return the ICMPv6 message of the advertisement.
        """
        flags = self.managed * _MANAGED | self.other * _OTHER
        body = _advertisement.pack(self.hopLimit, flags, self.lifetime, 0, 0)
        for prefix in self.prefixes:
            flags = prefix.onLink * _ON_LINK | prefix.autonomous * _AUTONOMOUS
            body += _option(
                _PREFIX_INFORMATION,
                _prefix.pack(
                    prefix.network.prefixlen,
                    flags,
                    prefix.valid,
                    prefix.preferred,
                    0,
                    prefix.network.network_address.packed,
                ),
            )
        if self.mtu is not None:
            body += _option(_MTU, _mtu.pack(0, self.mtu))
        if self.dns:
            servers = b"".join(server.packed for server in self.dns)
            body += _option(_RDNSS, _names.pack(0, self.dnsLifetime) + servers)
        if self.search:
            body += _option(_DNSSL, _names.pack(0, self.dnsLifetime) + encodeNames(self.search))
        return ICMPv6Message(ROUTER_ADVERTISEMENT, 0, body)

    @classmethod
    def decode(cls, packet: IPv6Packet, message: ICMPv6Message) -> RouterAdvertisement:
        """
        Return the advertisement that C{message} in C{packet} is. Name servers and domains whose
        lifetime is 0 are left out; that of the others is the shortest.

        @raise Malformed: it isn't valid (RFC 4861 section 6.1.2), or an option isn't.
        """
        _check(packet, message, _advertisement.size)
        if not packet.source.is_link_local:
            raise Malformed("a Router Advertisement from beyond the link")
        hopLimit, flags, lifetime, _, _ = _advertisement.unpack_from(message.body)
        prefixes: list[PrefixInformation] = []
        mtu: int | None = None
        dns: tuple[IPv6Address, ...] = ()
        search: tuple[str, ...] = ()
        lifetimes = [_INFINITY]
        for number, value in _options(message.body, _advertisement.size):
            if number == _PREFIX_INFORMATION and len(prefixes) < MAX_PREFIXES:
                prefixes.append(_prefixInformation(value))
            elif number == _MTU:
                if len(value) != _mtu.size:
                    raise Malformed(f"an MTU in {len(value)} octets")
                (_, mtu) = _mtu.unpack(value)
            elif number in (_RDNSS, _DNSSL):
                if len(value) < _names.size:
                    raise Malformed(f"names in {len(value)} octets")
                _, seconds = _names.unpack_from(value)
                if not seconds:
                    continue
                lifetimes.append(seconds)
                told = value[_names.size :]
                if number == _RDNSS:
                    dns += _servers(told)
                else:
                    search += _domains(told)
        return cls(
            lifetime,
            tuple(prefixes),
            bool(flags & _MANAGED),
            bool(flags & _OTHER),
            mtu,
            dns[:MAX_NAMES],
            search[:MAX_NAMES],
            min(lifetimes) if dns or search else 0,
            hopLimit,
        )


@dataclass(frozen=True, slots=True)
class NeighborAdvertisement:
    """
    A router's Neighbor Advertisement for its own address (RFC 4861 section 4.4).

    @ivar solicited: whether it answers a solicitation that came from an address. One for Duplicate
        Address Detection comes from none.
    """

    target: IPv6Address
    solicited: bool

    def message(self) -> ICMPv6Message:
        """
        Return the ICMPv6 message of the advertisement.
        """
        flags = _ROUTER | self.solicited * _SOLICITED | _OVERRIDE
        return ICMPv6Message(
            NEIGHBOR_ADVERTISEMENT, 0, bytes((flags, 0, 0, 0)) + self.target.packed
        )


def routerSolicitation() -> ICMPv6Message:
    """
    Return a Router Solicitation (RFC 4861 section 4.1).
    """
    return ICMPv6Message(ROUTER_SOLICITATION, 0, bytes(4))


def checkRouterSolicitation(packet: IPv6Packet, message: ICMPv6Message) -> None:
    """
    Check the Router Solicitation C{message} in C{packet} (RFC 4861 section 6.1.1).

    @raise Malformed: it isn't valid.
    """
    _check(packet, message, 4)


def neighborSolicited(packet: IPv6Packet, message: ICMPv6Message) -> IPv6Address:
    """
    Return the address that the Neighbor Solicitation C{message} in C{packet} asks for (RFC 4861
    sections 4.3 and 7.1.1).

    @raise Malformed: the solicitation isn't valid.
    """
    _check(packet, message, 20)
    target = IPv6Address(message.body[4:20])
    if target.is_multicast:
        raise Malformed("a Neighbor Solicitation for a multicast address")
    if packet.source == UNSPECIFIED and packet.destination != solicitedNode(target):
        raise Malformed("a Neighbor Solicitation of nobody to somebody")
    return target


def solicitedNode(address: IPv6Address) -> IPv6Address:
    """
    Return the solicited-node multicast address for C{address} (RFC 4291 section 2.7.1).
    """
    return IPv6Address(_SOLICITED_NODE | int(address) & 0xFFFFFF)


def _check(packet: IPv6Packet, message: ICMPv6Message, fixed: int) -> None:
    """
    Check what is the same for all solicitations.

    @param fixed: octets of the body before the options.
    @raise Malformed: the solicitation isn't valid.
    """
    if packet.hopLimit != _HOP_LIMIT:
        raise Malformed(f"Neighbor Discovery with a hop limit of {packet.hopLimit}")
    if message.code != 0:
        raise Malformed(f"Neighbor Discovery with code {message.code}")
    body = message.body
    if len(body) < fixed:
        raise Malformed(f"Neighbor Discovery of {len(body)} octets")
    for number, _ in _options(body, fixed):
        if number == _SOURCE_LINK_LAYER and packet.source == UNSPECIFIED:
            raise Malformed("a link-layer address of nobody")


def _options(body: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    """
    Iterate over the options in C{body} from C{position} on, each with its number and what follows
    its length.

    @raise Malformed: an option is longer than the body, or has no length.
    """
    while position < len(body):
        length = body[position + 1] * 8 if position + 1 < len(body) else 0
        if length == 0 or position + length > len(body):
            raise Malformed(f"option {body[position]} gives its length as {length}")
        yield body[position], body[position + 2 : position + length]
        position += length


def _prefixInformation(value: bytes) -> PrefixInformation:
    if len(value) != _prefix.size:
        raise Malformed(f"Prefix Information of {len(value)} octets")
    length, flags, valid, preferred, _, address = _prefix.unpack(value)
    if length > IPV6LENGTH:
        raise Malformed(f"a prefix of {length} bits")
    return PrefixInformation(
        IPv6Network((address, length), strict=False),
        preferred,
        valid,
        bool(flags & _ON_LINK),
        bool(flags & _AUTONOMOUS),
    )


def _servers(value: bytes) -> tuple[IPv6Address, ...]:
    if not value or len(value) % 16:
        raise Malformed(f"name servers in {len(value)} octets")
    return tuple(IPv6Address(value[at : at + 16]) for at in range(0, len(value), 16))


def _domains(value: bytes) -> tuple[str, ...]:
    # Zeros fill the option up.
    names = value.rstrip(b"\0")
    if not names:
        raise Malformed("a list without domains")
    return decodeNames(names + b"\0")


def _option(number: int, value: bytes) -> bytes:
    """
    Return an option, padded to a multiple of eight octets.
    """
    value += bytes(-(len(value) + 2) % 8)
    return bytes((number, (len(value) + 2) // 8)) + value
