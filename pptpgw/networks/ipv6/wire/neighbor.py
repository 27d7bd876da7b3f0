"""
Neighbor Discovery as a router on a point-to-point link needs it (RFC 4861 section 4): what it
reads, Router and Neighbor Solicitations, and what it says, Router and Neighbor Advertisements, the
former with name servers and a search list (RFC 8106 section 5).

There are no link-layer addresses on PPP, so none is ever named.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from struct import Struct

from pptpgw.error import Malformed
from pptpgw.networks.ipv6.wire.domain import encodeNames
from pptpgw.networks.ipv6.wire.ipv6 import UNSPECIFIED, ICMPv6Message, IPv6Packet

# Types of ICMPv6 messages.
ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
NEIGHBOR_SOLICITATION = 135
NEIGHBOR_ADVERTISEMENT = 136

INFINITY = 0xFFFFFFFF
"""
Seconds of a lifetime that doesn't end.
"""

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

    @ivar preferred: the preferred lifetime in seconds; C{valid} is the valid one.
    @ivar onLink: whether its addresses are reached without a router.
    @ivar autonomous: whether hosts may make addresses of it (RFC 4862).
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

    @ivar lifetime: for how many seconds its sender is a default router; 0: not any longer.
    @ivar managed: whether addresses are to be had by DHCPv6; C{other}: whether anything is.
    @ivar mtu: that of the link.
    @ivar dns: name servers, at most 127; C{search}: domain names for lookups.
    @ivar dnsLifetime: for how many seconds these two hold.
    @ivar hopLimit: what hosts put into their packets.
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
        The ICMPv6 message.
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
    A router's Neighbor Advertisement of an address of its own (RFC 4861 section 4.4).

    @ivar solicited: whether it answers a neighbour that has an address itself.
    """

    target: IPv6Address
    solicited: bool

    def message(self) -> ICMPv6Message:
        """
        The ICMPv6 message.
        """
        flags = _ROUTER | self.solicited * _SOLICITED | _OVERRIDE
        return ICMPv6Message(
            NEIGHBOR_ADVERTISEMENT, 0, bytes((flags, 0, 0, 0)) + self.target.packed
        )


def checkRouterSolicitation(packet: IPv6Packet, message: ICMPv6Message) -> None:
    """
    Find fault with the Router Solicitation C{message} in C{packet} (RFC 4861 section 6.1.1).

    @raise Malformed: it isn't valid.
    """
    _check(packet, message, 4)


def neighborSolicited(packet: IPv6Packet, message: ICMPv6Message) -> IPv6Address:
    """
    The address that the Neighbor Solicitation C{message} in C{packet} asks for (RFC 4861 sections
    4.3 and 7.1.1).

    @raise Malformed: it isn't valid.
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
    The multicast address under which C{address} is asked for (RFC 4291 section 2.7.1).
    """
    return IPv6Address(_SOLICITED_NODE | int(address) & 0xFFFFFF)


def _check(packet: IPv6Packet, message: ICMPv6Message, fixed: int) -> None:
    """
    What all solicitations have in common.

    @param fixed: octets of the body ahead of the options.
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
    An option, padded to eights.
    """
    value += bytes(-(len(value) + 2) % 8)
    return bytes((number, (len(value) + 2) // 8)) + value
