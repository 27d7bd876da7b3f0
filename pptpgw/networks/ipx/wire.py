"""
The octets of IPX, and of the two protocols that IPX routers speak: RIP and SAP.

A packet is a header of 30 octets and its data. The header's length covers both; what stands behind
it is padding. Addresses are a network (32 bits), a node (six octets) and a socket (16 bits); the
network 0 is the one that the packet is on. The checksum 0xffff means that there is none; it
doesn't cover the transport control, so that routers needn't change it.

There is no RFC of IPX: this is Novell's IPX Router Specification (107-000029-001), with which the
dissectors of Wireshark agree.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from pptpgw.error import Malformed

HEADER_OCTETS = 30
NODE_OCTETS = 6
NO_CHECKSUM = 0xFFFF

# Where in the header a router finds what it may have to change.
CHECKSUM = slice(0, 2)
TRANSPORT_CONTROL = 4
SOURCE_NETWORK = slice(18, 22)

# Packet types.
UNKNOWN = 0
RIP = 1
PACKET_EXCHANGE = 4
NETBIOS = 20

# Sockets.
ECHO_SOCKET = 0x0002
SAP_SOCKET = 0x0452
RIP_SOCKET = 0x0453
IPXWAN_SOCKET = 0x9004

# Networks and nodes with a meaning of their own.
THIS_NETWORK = 0
DEFAULT_NETWORK = 0xFFFFFFFE
ALL_NETWORKS = 0xFFFFFFFF
NO_NODE = bytes(NODE_OCTETS)
ALL_NODES = b"\xff" * NODE_OCTETS

# Operations of RIP and SAP.
REQUEST = 1
RESPONSE = 2
NEAREST_REQUEST = 3
NEAREST_RESPONSE = 4

ALL_SERVICES = 0xFFFF
UNREACHABLE = 16
"""
Hops of a network, or of a server, that can't be reached (any more).
"""

ROUTES = 50
SERVICES = 7
"""
How many of them one packet that is sent has at most.
"""

NETBIOS_NETWORKS = 8
"""
How many networks a packet of type 20 has room for at the beginning of its data, at most.
"""

_header = struct.Struct("!HHBBI6sHI6sH")
_operation = struct.Struct("!H")
_route = struct.Struct("!IHH")
_query = struct.Struct("!HH")
_service = struct.Struct("!H48sI6sHH")


class IPXAddress(NamedTuple):
    """
    Network, node (six octets) and socket.
    """

    network: int
    node: bytes
    socket: int


class Header(NamedTuple):
    """
    The fields of a header, in the order of the octets.

    @ivar length: of header and data, in octets.
    @ivar hops: the transport control: how many routers the packet has passed.
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
        Where the packet comes from.
        """
        return IPXAddress(self.sourceNetwork, self.sourceNode, self.sourceSocket)


class Route(NamedTuple):
    """
    A network, and how far it is: in routers to pass, and in ticks of 1/18 second.
    """

    network: int
    hops: int
    ticks: int


class IPXService(NamedTuple):
    """
    A server: its type, its name (1 to 47 octets), where it is reached, and how many routers away.
    """

    type: int
    name: bytes
    address: IPXAddress
    hops: int


class RIPPacket(NamedTuple):
    """
    A request for routes, or a response with routes; a request for L{ALL_NETWORKS} is for all.
    """

    operation: int
    routes: tuple[Route, ...]


class SAPQuery(NamedTuple):
    """
    A request for servers of one type, or of L{ALL_SERVICES}.
    """

    operation: int
    type: int


class SAPResponse(NamedTuple):
    """
    Servers.
    """

    operation: int
    services: tuple[IPXService, ...]


def decodeHeader(packet: bytes) -> Header:
    """
    The header of a packet.

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
    A packet that has passed no router and has no checksum.

    @param data: at most 65505 octets.
    """
    length = HEADER_OCTETS + len(data)
    return _header.pack(NO_CHECKSUM, length, 0, type, *destination, *source) + data


def decodeRIP(data: bytes) -> RIPPacket:
    """
    The data of a packet of RIP.

    @raise Malformed: it is neither a request nor a response with one route or more.
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
    The data of a packet of RIP, with 1 to L{ROUTES} routes.
    """
    return _operation.pack(operation) + b"".join(_route.pack(*route) for route in routes)


def decodeSAP(data: bytes) -> SAPQuery | SAPResponse:
    """
    The data of a packet of SAP.

    @raise Malformed: it is neither a request nor a response with one server or more, each with a
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
    The data of a packet of SAP; a response has 1 to L{SERVICES} servers.
    """
    if isinstance(packet, SAPQuery):
        return _query.pack(*packet)
    return _operation.pack(packet.operation) + b"".join(
        _service.pack(service.type, service.name, *service.address, service.hops)
        for service in packet.services
    )


def decodeNetworks(data: bytes, hops: int) -> tuple[int, ...]:
    """
    The networks that a packet of type 20 has come through, as its data say.

    @param hops: the transport control.
    @raise Malformed: they have no room for so many.
    """
    if hops > NETBIOS_NETWORKS or len(data) < 4 * hops:
        raise Malformed(f"{len(data)} octets have no room for {hops} networks")
    return struct.unpack_from(f"!{hops}I", data)
