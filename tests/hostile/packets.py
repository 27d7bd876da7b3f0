"""
Valid packets of every protocol, from which hostile ones are made.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from pptpgw.networks.ethernet import wire
from pptpgw.networks.ipv6.wire import dhcpv6, dhcpv6option, ipv6, neighbor
from pptpgw.networks.ipx import wire as ipx
from pptpgw.networks.mpls.wire import mpls
from pptpgw.networks.wire.ip import (
    DHCPV6_CLIENT,
    DHCPV6_SERVER,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
)
from pptpgw.ppp.wire import ppp
from tests.hostile.callers import CONTROLLER, CONTROLS

HERE = IPv6Address("fe80::bad")
ROUTERS, NODES = ipv6.ALL_ROUTERS, ipv6.ALL_NODES
STATION = bytes.fromhex("02000000bad1")
EVERYBODY = b"\xff" * 6
IPX_NETWORK = 0x77000000
NODE = bytes.fromhex("f20000000bad")
_CLIENT = dhcpv6option.ClientID(bytes.fromhex("00030001020000000001"))


def dhcp(
    kind: dhcpv6.DHCPv6MessageType, *options: dhcpv6option.DHCPv6Option, client: int = 1
) -> bytes:
    """
    Return an IPv6 packet with a DHCPv6 message.
    """
    who = dhcpv6option.ClientID(b"\x00\x03\x00\x01" + client.to_bytes(6, "big"))
    message = dhcpv6.DHCPv6Message(kind, 7, (who, *options)).encode()
    datagram = ipv6.Datagram(DHCPV6_CLIENT, DHCPV6_SERVER, message)
    return ipv6.encodeDatagram(HERE, dhcpv6.ALL_SERVERS, datagram, hopLimit=1)


def solicit(client: int = 1, rapid: bool = False) -> bytes:
    """
    Return a Solicit for an address and prefixes.
    """
    more = (dhcpv6option.RapidCommit(),) if rapid else ()
    return dhcp(
        dhcpv6.DHCPv6MessageType.SOLICIT,
        *more,
        dhcpv6.AddressAssociation(1),
        *(dhcpv6.PrefixAssociation(number) for number in range(8)),
        client=client,
    )


def icmp(
    kind: int, body: bytes, destination: IPv6Address = ROUTERS, source: IPv6Address = HERE
) -> bytes:
    """
    Return an IPv6 packet with an ICMPv6 message.
    """
    return ipv6.encodeMessage(source, destination, ipv6.ICMPv6Message(kind, 0, body))


def ipv4(source: bytes, destination: bytes = bytes((10, 77, 1, 1)), size: int = 60) -> bytes:
    """
    Return an IPv4 packet.
    """
    header = bytes.fromhex("4500") + size.to_bytes(2, "big") + bytes.fromhex("000100004011 0000")
    return (header + source + destination).ljust(size, b"\xa5")


def frame(
    destination: bytes = EVERYBODY, source: bytes = STATION, kind: bytes = b"\x88\xb5"
) -> bytes:
    """
    Return an Ethernet frame.
    """
    return (destination + source + kind + b"hostile").ljust(60, b"\0")


def bpdu() -> bytes:
    """
    Return a configuration BPDU in the frame of a LAN.
    """
    return wire.decodeBPDU(bytes(35), STATION)


def ipxPacket(
    kind: int = 0,
    node: bytes = EVERYBODY,
    socket: int = 0x4000,
    data: bytes = b"hostile",
    network: int = 0,
    source: bytes = NODE,
    sourceNetwork: int = 0,
) -> bytes:
    """
    Return an IPX packet.
    """
    return ipx.encodePacket(
        kind,
        ipx.IPXAddress(network, node, socket),
        ipx.IPXAddress(sourceNetwork, source, 0x4000),
        data,
    )


def rip(operation: int, *networks: int, hops: int = 1) -> bytes:
    """
    Return an IPX packet with a RIP message.
    """
    routes = [ipx.Route(network, hops, 1) for network in networks]
    return ipxPacket(ipx.RIP, EVERYBODY, ipx.RIP_SOCKET, ipx.encodeRIP(operation, routes))


def sap(first: int, count: int = 7) -> bytes:
    """
    Return a response of SAP with C{count} servers, whose names are numbers from C{first} on.
    """
    services = [
        ipx.IPXService(4, b"%d" % number, ipx.IPXAddress(number + 1, NODE, 0x451), 1)
        for number in range(first, first + count)
    ]
    data = ipx.encodeSAP(ipx.SAPResponse(ipx.RESPONSE, tuple(services)))
    return ipxPacket(ipx.PACKET_EXCHANGE, EVERYBODY, ipx.SAP_SOCKET, data)


def query(operation: int = ipx.REQUEST) -> bytes:
    """
    Return a request of SAP for all servers.
    """
    data = ipx.encodeSAP(ipx.SAPQuery(operation, ipx.ALL_SERVICES))
    return ipxPacket(ipx.PACKET_EXCHANGE, EVERYBODY, ipx.SAP_SOCKET, data)


UNICAST = bytes.fromhex("020000000a0a")

VALID: tuple[tuple[int, bytes], ...] = (
    (ppp.IPV4, ipv4(bytes((10, 77, 0, 10)))),
    (ppp.IPV4, ipv4(bytes((10, 77, 1, 2)))),
    (ppp.IPV6, icmp(ROUTER_SOLICITATION, bytes(4))),
    (ppp.IPV6, icmp(neighbor.NEIGHBOR_SOLICITATION, bytes(4) + HERE.packed)),
    (ppp.IPV6, icmp(ROUTER_ADVERTISEMENT, bytes(60), NODES)),
    (ppp.IPV6, icmp(ipv6.ECHO_REQUEST, bytes(1000), NODES)),
    (ppp.IPV6, icmp(ipv6.PACKET_TOO_BIG, bytes(60), IPv6Address("fc00:0:1:1::1"))),
    (ppp.IPV6, solicit()),
    (ppp.IPV6, solicit(2, rapid=True)),
    (ppp.IPV6, dhcp(dhcpv6.DHCPv6MessageType.INFORMATION_REQUEST)),
    (
        ppp.IPV6,
        dhcp(
            dhcpv6.DHCPv6MessageType.REBIND,
            dhcpv6.PrefixAssociation(1, (dhcpv6.Prefix(IPv6Network("fc00:1::/56")),)),
        ),
    ),
    (ppp.BRIDGE, wire.encode(frame())),
    (ppp.BRIDGE, wire.encode(frame(UNICAST), compress=True, checksum=True)),
    (ppp.BRIDGE, wire.encode(frame(kind=b"\x81\x00"))),
    (ppp.BRIDGE, wire.encode(bpdu(), control=True)),
    (ppp.SPANNING_TREE_8021D, bytes(35)),
    (ppp.MPLS, mpls.encode([mpls.LabelStackEntry(100)], b"under")),
    (ppp.MPLS, mpls.encode([mpls.LabelStackEntry(100, ttl=1), mpls.LabelStackEntry(3)], b"under")),
    (ppp.MPLS, mpls.encode([mpls.LabelStackEntry(one) for one in range(20)], b"")),
    (ppp.MPLS_MULTICAST, mpls.encode([mpls.LabelStackEntry(100)], b"under")),
    (ppp.IPX, ipxPacket()),
    (ppp.IPX, ipxPacket(ipx.NETBIOS, socket=0x455, data=bytes(40))),
    (ppp.IPX, rip(ipx.REQUEST, ipx.ALL_NETWORKS)),
    (ppp.IPX, rip(ipx.RESPONSE, *range(1, 50))),
    (ppp.IPX, rip(ipx.RESPONSE, ipx.DEFAULT_NETWORK)),
    (ppp.IPX, sap(0)),
    (ppp.IPX, query()),
    (ppp.IPX, query(ipx.NEAREST_REQUEST)),
    (ppp.IPX, ipxPacket(network=5, node=UNICAST)),
    *((number, b"hostile") for _, numbers in CONTROLS.values() for number in numbers),
)
"""
Valid packets, each with its protocol number.
"""

NUMBERS = tuple(number for _, numbers in CONTROLS.values() for number in numbers)
assert CONTROLLER.data[0] in NUMBERS
