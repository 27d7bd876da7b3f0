"""
Encoding and decoding of IPX, and of RIP and SAP, the protocols between IPX routers.

A packet is a header of 30 octets and its data. The length in the header is that of both; octets
past it are padding. An address is a network (32 bits), a node (six octets) and a socket (16 bits);
the network 0 is the one that the packet is on. The checksum 0xffff means that there is none; a
checksum doesn't cover the transport control, so that routers needn't change it.

IPX has no RFC. This module follows Novell's IPX Router Specification (107-000029-001), and agrees
with the dissectors of Wireshark.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from pptpgw.error import Malformed

HEADER_OCTETS = 30
NODE_OCTETS = 6
NO_CHECKSUM = 0xFFFF

# The places in the header of the fields that a router may change.
CHECKSUM = slice(0, 2)
TRANSPORT_CONTROL = 4
SOURCE_NETWORK = slice(18, 22)

# Packet types.
UNKNOWN = 0
RIP = 1
PACKET_EXCHANGE = 4
NETBIOS = 20

# Socket numbers.
ECHO_SOCKET = 0x0002
SAP_SOCKET = 0x0452
RIP_SOCKET = 0x0453
IPXWAN_SOCKET = 0x9004

# Reserved network and node numbers.
THIS_NETWORK = 0
DEFAULT_NETWORK = 0xFFFFFFFE
ALL_NETWORKS = 0xFFFFFFFF
NO_NODE = bytes(NODE_OCTETS)
BROADCAST_NODE = b"\xff" * NODE_OCTETS

# Operations of RIP and SAP.
REQUEST = 1
RESPONSE = 2
NEAREST_REQUEST = 3
NEAREST_RESPONSE = 4

ALL_SERVICES = 0xFFFF
UNREACHABLE = 16
"""
The number of hops that means that a network or a server can't be reached.
"""

ROUTES = 50
SERVICES = 7
"""
The most routes, and the most servers, in one packet that is sent.
"""

NETBIOS_NETWORKS = 8
"""
The most networks that the data of a packet of type 20 begin with.
"""

_header = struct.Struct("!HHBBI6sHI6sH")
_operation = struct.Struct("!H")
_route = struct.Struct("!IHH")
_query = struct.Struct("!HH")
_service = struct.Struct("!H48sI6sHH")


class IPXAddress(NamedTuple):
    """
    An IPX address: network, node (six octets) and socket.
    """

    network: int
    node: bytes
    socket: int


class Header(NamedTuple):
    """
    The fields of a packet's header, in the order of their encoding.

    @ivar length: the length of header and data, in octets.
    @ivar hops: the transport control, which is the number of routers that the packet has passed.
    """

    checksum: int
    length: int
    hops: int
    type: int
    network: int
    node: bytes
    socket: int
    sourceNetwork: int
    sourceNode: bytes
    sourceSocket: int

    @property
    def source(self) -> IPXAddress:
        """
        The address that the packet comes from.
        """
        return IPXAddress(self.sourceNetwork, self.sourceNode, self.sourceSocket)


class Route(NamedTuple):
    """
    A route: a network, the number of routers on the way, and the time that it takes in ticks of
    1/18 second.
    """

    network: int
    hops: int
    ticks: int


class IPXService(NamedTuple):
    """
    A server: its type, its name (1 to 47 octets), its address, and the number of routers on the
    way.
    """

    type: int
    name: bytes
    address: IPXAddress
    hops: int


class RIPPacket(NamedTuple):
    """
    A request for routes, or a response with routes. A request for L{ALL_NETWORKS} asks for all
    routes.
    """

    operation: int
    routes: tuple[Route, ...]


class SAPQuery(NamedTuple):
    """
    A request for servers of one type, or for those of L{ALL_SERVICES}.
    """

    operation: int
    type: int


class SAPResponse(NamedTuple):
    """
    A response to a request for servers, or an announcement of servers.
    """

    operation: int
    services: tuple[IPXService, ...]


def decodeHeader(packet: bytes) -> Header:
    """
    Return the header of a packet.

    @raise Malformed: the packet is shorter than a header, or than its length says.
    """
    if len(packet) < HEADER_OCTETS:
        raise Malformed(f"an IPX packet of {len(packet)} octets has no header")
    header = Header._make(_header.unpack_from(packet))
    if not HEADER_OCTETS <= header.length <= len(packet):
        raise Malformed(f"an IPX packet of {len(packet)} octets gives its length as {header[1]}")
    return header


def encodePacket(
    type: int, destination: IPXAddress, source: IPXAddress, data: bytes = b""
) -> bytes:
    """
    Return a packet that has passed no router and has no checksum.

    @param data: at most 65505 octets.
    """
    length = HEADER_OCTETS + len(data)
    return _header.pack(NO_CHECKSUM, length, 0, type, *destination, *source) + data


def decodeRIP(data: bytes) -> RIPPacket:
    """
    Decode the data of a RIP packet.

    @raise Malformed: it is neither a request nor a response with at least one route.
    """
    routes, rest = divmod(len(data) - _operation.size, _route.size)
    if routes < 1 or rest:
        raise Malformed(f"{len(data)} octets are no RIP packet")
    (operation,) = _operation.unpack_from(data)
    if operation not in (REQUEST, RESPONSE):
        raise Malformed(f"RIP has no operation {operation}")
    return RIPPacket(operation, tuple(map(Route._make, _route.iter_unpack(data[2:]))))


def encodeRIP(operation: int, routes: Sequence[Route]) -> bytes:
    """
    Return the data of a RIP packet with 1 to L{ROUTES} routes.
    """
    return _operation.pack(operation) + b"".join(_route.pack(*route) for route in routes)


def decodeSAP(data: bytes) -> SAPQuery | SAPResponse:
    """
    Decode the data of a SAP packet.

    @raise Malformed: it is neither a request nor a response with at least one server, each with a
        name.
    """
    if len(data) < _operation.size:
        raise Malformed(f"{len(data)} octets are no SAP packet")
    (operation,) = _operation.unpack_from(data)
    if operation in (REQUEST, NEAREST_REQUEST):
        if len(data) != _query.size:
            raise Malformed(f"a SAP request has {len(data)} octets")
        return SAPQuery(*_query.unpack(data))
    if operation not in (RESPONSE, NEAREST_RESPONSE):
        raise Malformed(f"SAP has no operation {operation}")
    services, rest = divmod(len(data) - _operation.size, _service.size)
    if services < 1 or rest:
        raise Malformed(f"a SAP response has {len(data)} octets")
    return SAPResponse(operation, tuple(map(_decodeService, _service.iter_unpack(data[2:]))))


def _decodeService(fields: tuple[int, bytes, int, bytes, int, int]) -> IPXService:
    type_, padded, network, node, socket, hops = fields
    name = padded.partition(b"\0")[0]
    if not 1 <= len(name) < len(padded):
        raise Malformed("a SAP response has a server without a name, or a name without an end")
    return IPXService(type_, name, IPXAddress(network, node, socket), hops)


def encodeSAP(packet: SAPQuery | SAPResponse) -> bytes:
    """
    Return the data of a SAP packet; a response has 1 to L{SERVICES} servers.
    """
    if isinstance(packet, SAPQuery):
        return _query.pack(*packet)
    return _operation.pack(packet.operation) + b"".join(
        _service.pack(service.type, service.name, *service.address, service.hops)
        for service in packet.services
    )


def decodeNetworks(data: bytes, hops: int) -> tuple[int, ...]:
    """
    Return the networks that a packet of type 20 has come through, from its data.

    @param hops: the transport control, which is the number of these networks.
    @raise Malformed: C{data} is too short for so many.
    """
    if hops > NETBIOS_NETWORKS or len(data) < 4 * hops:
        raise Malformed(f"{len(data)} octets have no room for {hops} networks")
    return struct.unpack_from(f"!{hops}I", data)
