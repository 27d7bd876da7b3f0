"""
An IPX router and its stations, played by hand.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.network.ipx.router import Router
from pptpgw.network.ipx.routing import Station
from pptpgw.wire import ipx
from pptpgw.wire.ipx import Address, Header, Route, SAPQuery, SAPResponse, Service

NETWORK = 0x77000000
ROUTER = bytes.fromhex("f20000000000")
BEHIND = 0x1A2B
FURTHER = 0x1A2C
FILES = 4
PRINTERS = 7


class Caller:
    """
    A station, and what it got.
    """

    def __init__(self, world: World, number: int) -> None:
        self.router = world.router
        self.got: list[bytes] = []
        self.node = bytes.fromhex("f2") + number.to_bytes(5, "big")
        self.station: Station = self.router.join(self.node, self.got.append)

    def address(self, socket: int = 0x4000, network: int = NETWORK) -> Address:
        return Address(network, self.node, socket)

    def send(
        self,
        destination: Address,
        data: bytes = b"data",
        *,
        type: int = ipx.PACKET_EXCHANGE,
        source: Address | None = None,
        hops: int = 0,
        checksum: int = ipx.NO_CHECKSUM,
    ) -> bytes:
        """
        Send a packet; the packet.
        """
        packet = bytearray(ipx.encodePacket(type, destination, source or self.address(), data))
        packet[ipx.CHECKSUM] = checksum.to_bytes(2, "big")
        packet[ipx.TRANSPORT_CONTROL] = hops
        self.router.received(self.station, bytes(packet))
        return bytes(packet)

    def tell(self, operation: int, *routes: Route) -> None:
        """
        Send RIP.
        """
        source = self.address(ipx.RIP_SOCKET)
        data = ipx.encodeRIP(operation, routes)
        self.send(everybody(ipx.RIP_SOCKET), data, type=ipx.RIP, source=source)

    def advertise(self, *services: Service) -> None:
        """
        Send SAP.
        """
        source = self.address(ipx.SAP_SOCKET)
        data = ipx.encodeSAP(SAPResponse(ipx.RESPONSE, services))
        self.send(everybody(ipx.SAP_SOCKET), data, source=source)

    def ask(self, query: SAPQuery) -> list[SAPResponse]:
        """
        Send a query of SAP; the answers.
        """
        self.got.clear()
        source = self.address(0x4005)
        self.send(everybody(ipx.SAP_SOCKET), ipx.encodeSAP(query), source=source)
        return self.servers(source, query.operation + 1)

    def servers(self, to: Address, operation: int = ipx.RESPONSE) -> list[SAPResponse]:
        """
        What SAP told it.
        """
        responses = []
        for header, data in map(parted, self.got):
            assert (header.type, header[4:7]) == (ipx.PACKET_EXCHANGE, to)
            assert header.source == Address(NETWORK, ROUTER, ipx.SAP_SOCKET)
            response = ipx.decodeSAP(data)
            assert isinstance(response, SAPResponse)
            assert response.operation == operation
            assert len(response.services) <= ipx.SERVICES
            responses.append(response)
        return responses

    def askRoutes(self, *networks: int) -> list[Route]:
        """
        Send a request of RIP; the routes of the answers.
        """
        self.got.clear()
        self.tell(ipx.REQUEST, *(Route(network, 0xFFFF, 0xFFFF) for network in networks))
        return self.routes(self.address(ipx.RIP_SOCKET))

    def routes(self, to: Address) -> list[Route]:
        """
        What RIP told it.
        """
        routes: list[Route] = []
        for header, data in map(parted, self.got):
            assert (header.type, header[4:7]) == (ipx.RIP, to)
            assert header.source == Address(NETWORK, ROUTER, ipx.RIP_SOCKET)
            packet = ipx.decodeRIP(data)
            assert packet.operation == ipx.RESPONSE
            assert len(packet.routes) <= ipx.ROUTES
            routes += packet.routes
        return routes


class World:
    """
    A router with three callers.
    """

    def __init__(self, learns: bool = True) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.router = Router(self.clock, NETWORK, ROUTER, learns, self.counters)
        self.one, self.two, self.three = (Caller(self, number) for number in (1, 2, 3))

    def discarded(self) -> dict[str, int]:
        """
        What was discarded since the last time.
        """
        discards = dict(self.counters.discards)
        self.counters.discards.clear()
        return discards

    def nothing(self, reason: str) -> None:
        """
        Nobody got anything, and one packet was discarded for C{reason}.
        """
        assert (self.one.got, self.two.got, self.three.got) == ([], [], [])
        assert self.discarded() == {reason: 1}


def everybody(socket: int, network: int = NETWORK) -> Address:
    return Address(network, ipx.ALL_NODES, socket)


def parted(packet: bytes) -> tuple[Header, bytes]:
    return ipx.decodeHeader(packet), packet[ipx.HEADER_OCTETS :]


def passed(packet: bytes) -> bytes:
    """
    The packet after one router more.
    """
    return packet[:4] + bytes((packet[4] + 1,)) + packet[5:]


def server(name: str, type: int = FILES, hops: int = 1) -> Service:
    return Service(type, name.encode(), Address(BEHIND, bytes.fromhex("000000000001"), 0x451), hops)
