"""
Encoding and decoding of Neighbor Discovery for a router on a point-to-point link (RFC 4861 section
4). The router receives Router and Neighbor Solicitations; it sends Neighbor Advertisements, and
Router Advertisements with name servers and a search list (RFC 8106 section 5).

PPP has no link-layer addresses, so options with such addresses are never sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from struct import Struct

from pptpgw.error import Malformed
from pptpgw.networks.ipv6.wire.domain import encodeNames
from pptpgw.networks.ipv6.wire.ipv6 import UNSPECIFIED, ICMPv6Message, IPv6Packet

# Types of ICMPv6 messages.
ROUTER_ADVERTISEMENT = 134
NEIGHBOR_SOLICITATION = 135
NEIGHBOR_ADVERTISEMENT = 136

_HOP_LIMIT = 255
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
    position = fixed
    while position < len(body):
        length = body[position + 1] * 8 if position + 1 < len(body) else 0
        if length == 0 or position + length > len(body):
            raise Malformed(f"option {body[position]} gives its length as {length}")
        if body[position] == _SOURCE_LINK_LAYER and packet.source == UNSPECIFIED:
            raise Malformed("a link-layer address of nobody")
        position += length


def _option(number: int, value: bytes) -> bytes:
    """
    Return an option, padded to a multiple of eight octets.
    """
    value += bytes(-(len(value) + 2) % 8)
    return bytes((number, (len(value) + 2) // 8)) + value
