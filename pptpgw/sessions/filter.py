"""
Filters, which are lists of rules that decide which IP packets pass.

The rules:

 - A rule reads C{ACTION PROTOCOL from NETWORK [port PORTS] to NETWORK [port PORTS]}. The first rule
   that a packet matches decides. A packet that matches no rule is denied. Earlier packets make no
   difference.
 - Octets that aren't a whole IP packet are denied, and so is a packet that would go somewhere else
   than to the destination in its header (IPv4 source routes, IPv6 routing headers with segments
   left).
 - A fragment that isn't the first has no ports, and in IPv6 no protocol: it matches only rules that
   ask for none. A first fragment that lacks the header with the ports is denied, and so is a later
   one that could overlap that header (RFC 1858 sections 3 and 4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from pptpgw.networks.wire.ip import (
    EXTENSION_LIMIT,
    EXTENSIONS,
    FRAGMENT,
    ICMP,
    ICMPV6,
    IPV4_HEADER,
    IPV6_HEADER,
    ROUTING,
    TCP,
    UDP,
)

ALLOWED = (
    '"ACTION PROTOCOL from NETWORK [port PORTS] to NETWORK [port PORTS]": permit or deny; ip, tcp, '
    "udp, icmp or a number up to 255; any, or networks of one family without host bits; for tcp "
    "and udp ports from 0 to 65535, as in 80,8000-8100"
)
"""
The form of a rule, in words.
"""

_RULE = re.compile(
    r"(permit|deny) +(ip|tcp|udp|icmp|\d{1,3}) +from +([^ ]+)(?: +port +([0-9,-]+))?"
    r" +to +([^ ]+)(?: +port +([0-9,-]+))?",
    re.ASCII,
)
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)

_NUMBERS = {"tcp": TCP, "udp": UDP}

ANY = -1
"""
The protocol of rules for every protocol.
"""

UNKNOWN = 256
"""
The number of the unknown protocol of an IPv6 fragment that isn't the first. No rule can name it.
"""

SOURCE_ROUTES = b"\x83\x89"
"""
Options of IPv4 that are source routes (RFC 791).
"""

LEAST = {TCP: 16, UDP: 8}
"""
The octets that a first fragment must have of the protocols with ports: of TCP as far as the flags
(RFC 1858 section 3.1), of UDP its whole header.
"""

Ports = tuple[tuple[int, int], ...]
"""
The first and the last port of each range; empty: no port is asked for.
"""


class FamilyRule(NamedTuple):
    """
    A rule for packets of one address family, with networks as numbers.
    """

    permit: bool
    protocol: int
    source: int
    sourceMask: int
    destination: int
    destinationMask: int
    sourcePorts: Ports
    destinationPorts: Ports


class _Packet(NamedTuple):
    """
    The parts of a packet that rules look at.

    @ivar ports: the source and the destination port; None if the packet has no ports.
    """

    protocol: int
    source: int
    destination: int
    ports: tuple[int, int] | None


class Filter:
    """
    A list of rules in the form in which packets are judged. Filters with the same rules are equal.

    @ivar ipv4: the rules for IPv4.
    @ivar ipv6: the rules for IPv6.
    """

    __slots__ = ("ipv4", "ipv6")

    def __init__(self, rules: Iterable[str]) -> None:
        """
        @raise ValueError: one of C{rules} isn't L{ALLOWED}.
        """
        read = [_read(rule) for rule in rules]
        self.ipv4 = tuple(ipv4 for ipv4, _ in read if ipv4 is not None)
        self.ipv6 = tuple(ipv6 for _, ipv6 in read if ipv6 is not None)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Filter):
            return NotImplemented
        return (self.ipv4, self.ipv6) == (other.ipv4, other.ipv6)

    def __hash__(self) -> int:
        return hash((self.ipv4, self.ipv6))

    def permits(self, packet: bytes) -> bool:
        """
        Return whether C{packet}, which may consist of any octets, may pass.
        """
        version = packet[0] >> 4 if packet else 0
        if version == 4:
            seen, rules = _ipv4(packet), self.ipv4
        elif version == 6:
            seen, rules = _ipv6(packet), self.ipv6
        else:
            return False
        if seen is None:
            return False
        number, source, destination, ports = seen
        for rule in rules:
            if (
                (rule.protocol == number or rule.protocol == ANY)
                and source & rule.sourceMask == rule.source
                and destination & rule.destinationMask == rule.destination
                and (not rule.sourcePorts or (ports and _within(ports[0], rule.sourcePorts)))
                and (
                    not rule.destinationPorts
                    or (ports and _within(ports[1], rule.destinationPorts))
                )
            ):
                return rule.permit
        return False


def _within(port: int, ranges: Ports) -> bool:
    return any(first <= port <= last for first, last in ranges)


def _read(text: str) -> tuple[FamilyRule | None, FamilyRule | None]:
    """
    Read a rule. Return its form for IPv4 and its form for IPv6, each None if the rule isn't for
    that family.
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    action, protocol, source, sourcePorts, destination, destinationPorts = match.groups()
    ports = _ports(sourcePorts), _ports(destinationPorts)
    networks = _network(source), _network(destination)
    made: list[FamilyRule | None] = []
    for family, icmp in ((IPv4Network, ICMP), (IPv6Network, ICMPV6)):
        if protocol == "ip":
            number = ANY
        else:
            number = icmp if protocol == "icmp" else _NUMBERS.get(protocol) or int(protocol)
        if number > 255 or (any(ports) and number not in LEAST):
            raise ValueError(text)
        if all(one is None or isinstance(one, family) for one in networks):
            made.append(
                FamilyRule(
                    action == "permit", number, *_pair(networks[0]), *_pair(networks[1]), *ports
                )
            )
        else:
            made.append(None)
    if made == [None, None]:
        raise ValueError(text)
    return made[0], made[1]


def _network(text: str) -> IPv4Network | IPv6Network | None:
    return None if text == "any" else ip_network(text)


def _pair(network: IPv4Network | IPv6Network | None) -> tuple[int, int]:
    """
    Return the address and the mask of a network as numbers.
    """
    return (0, 0) if network is None else (int(network.network_address), int(network.netmask))


def _ports(text: str | None) -> Ports:
    if text is None:
        return ()
    ranges = []
    for one in text.split(","):
        match = _PORTS.fullmatch(one)
        if match is None:
            raise ValueError(text)
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last <= 0xFFFF:
            raise ValueError(text)
        ranges.append((first, last))
    return tuple(ranges)


def _ipv4(packet: bytes) -> _Packet | None:
    """
    Parse an IPv4 packet; return None if it is denied whatever the rules say.
    """
    if len(packet) < IPV4_HEADER:
        return None
    at = (packet[0] & 0x0F) * 4
    end = int.from_bytes(packet[2:4], "big")
    if not IPV4_HEADER <= at <= end <= len(packet):
        return None
    # The octets of another option may look like a source route; such a packet is denied too.
    if at > IPV4_HEADER and any(one in SOURCE_ROUTES for one in packet[IPV4_HEADER:at]):
        return None
    number = packet[9]
    offset = int.from_bytes(packet[6:8], "big") & 0x1FFF
    ports = None
    if offset:
        if number == TCP and offset == 1:
            return None
    elif number in LEAST:
        ports = _portsAt(packet, number, at, end)
        if ports is None:
            return None
    return _Packet(
        number,
        int.from_bytes(packet[12:16], "big"),
        int.from_bytes(packet[16:20], "big"),
        ports,
    )


def _ipv6(packet: bytes) -> _Packet | None:
    """
    Parse an IPv6 packet; return None if it is denied whatever the rules say.
    """
    if len(packet) < IPV6_HEADER:
        return None
    end = IPV6_HEADER + int.from_bytes(packet[4:6], "big")
    if end > len(packet):
        return None
    number, at = packet[6], IPV6_HEADER
    for _ in range(EXTENSION_LIMIT):
        if number not in EXTENSIONS:
            break
        if end < at + 8 or (number == ROUTING and packet[at + 3]):
            return None
        length = (packet[at + 1] + 1) * 8
        if number == FRAGMENT:
            length = 8
            if int.from_bytes(packet[at + 2 : at + 4], "big") & 0xFFF8:
                number = UNKNOWN
                break
        number = packet[at]
        at += length
    # A first fragment contains all headers (RFC 7112).
    if number in EXTENSIONS or at > end:
        return None
    ports = None
    if number in LEAST:
        ports = _portsAt(packet, number, at, end)
        if ports is None:
            return None
    return _Packet(
        number,
        int.from_bytes(packet[8:24], "big"),
        int.from_bytes(packet[24:40], "big"),
        ports,
    )


def _portsAt(packet: bytes, number: int, at: int, end: int) -> tuple[int, int] | None:
    """
    Return both ports of the header at C{at}; None if the header isn't whole before C{end}.
    """
    if end < at + LEAST[number]:
        return None
    return int.from_bytes(packet[at : at + 2], "big"), int.from_bytes(
        packet[at + 2 : at + 4], "big"
    )
