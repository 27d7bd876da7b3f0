"""
An IPX router and its stations, which tests play by hand.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.networks.ipx import wire
from pptpgw.networks.ipx.router import IPXRouter
from pptpgw.networks.ipx.routing import Station
from pptpgw.networks.ipx.wire import Header, IPXAddress, IPXService, Route, SAPQuery, SAPResponse

NETWORK = 0x77000000
ROUTER = bytes.fromhex("f20000000000")
BEHIND = 0x1A2B
FURTHER = 0x1A2C
FILES = 4
PRINTERS = 7


class Caller:
    """
    A station, and the packets that it received.
    """

    def __init__(self, world: World, number: int) -> None:
        self.router = world.router
        self.got: list[bytes] = []
        self.node = bytes.fromhex("f2") + number.to_bytes(5, "big")
        self.station: Station = self.router.join(self.node, self.got.append)

    def address(self, socket: int = 0x4000, network: int = NETWORK) -> IPXAddress:
        return IPXAddress(network, self.node, socket)

    def send(
        self,
        destination: IPXAddress,
        data: bytes = b"data",
        *,
        type: int = wire.PACKET_EXCHANGE,
        source: IPXAddress | None = None,
        hops: int = 0,
        checksum: int = wire.NO_CHECKSUM,
    ) -> bytes:
        """
        Send a packet, and return it.
        """
        packet = bytearray(wire.encodePacket(type, destination, source or self.address(), data))
        packet[wire.CHECKSUM] = checksum.to_bytes(2, "big")
        packet[wire.TRANSPORT_CONTROL] = hops
        self.router.received(self.station, bytes(packet))
        return bytes(packet)

    def tell(self, operation: int, *routes: Route) -> None:
        """
        Send a packet of RIP with these routes.
        """
        source = self.address(wire.RIP_SOCKET)
        data = wire.encodeRIP(operation, routes)
        self.send(everybody(wire.RIP_SOCKET), data, type=wire.RIP, source=source)

    def advertise(self, *services: IPXService) -> None:
        """
        Send a SAP response with these servers.
        """
        source = self.address(wire.SAP_SOCKET)
        data = wire.encodeSAP(SAPResponse(wire.RESPONSE, services))
        self.send(everybody(wire.SAP_SOCKET), data, source=source)

    def ask(self, query: SAPQuery) -> list[SAPResponse]:
        """
        Send a query of SAP.

        @return: the answers.
        """
        self.got.clear()
        source = self.address(0x4005)
        self.send(everybody(wire.SAP_SOCKET), wire.encodeSAP(query), source=source)
        return self.servers(source, query.operation + 1)

    def servers(self, to: IPXAddress, operation: int = wire.RESPONSE) -> list[SAPResponse]:
        """
        The SAP responses that the station received.
        """
        responses = []
        for header, data in map(parted, self.got):
            assert (header.type, header[4:7]) == (wire.PACKET_EXCHANGE, to)
            assert header.source == IPXAddress(NETWORK, ROUTER, wire.SAP_SOCKET)
            response = wire.decodeSAP(data)
            assert isinstance(response, SAPResponse)
            assert response.operation == operation
            assert len(response.services) <= wire.SERVICES
            responses.append(response)
        return responses

    def askRoutes(self, *networks: int) -> list[Route]:
        """
        Send a request of RIP.

        @return: the routes in the answers.
        """
        self.got.clear()
        self.tell(wire.REQUEST, *(Route(network, 0xFFFF, 0xFFFF) for network in networks))
        return self.routes(self.address(wire.RIP_SOCKET))

    def routes(self, to: IPXAddress) -> list[Route]:
        """
        The routes in the RIP responses that the station received.
        """
        routes: list[Route] = []
        for header, data in map(parted, self.got):
            assert (header.type, header[4:7]) == (wire.RIP, to)
            assert header.source == IPXAddress(NETWORK, ROUTER, wire.RIP_SOCKET)
            packet = wire.decodeRIP(data)
            assert packet.operation == wire.RESPONSE
            assert len(packet.routes) <= wire.ROUTES
            routes += packet.routes
        return routes


class World:
    """
    A router with three callers.
    """

    def __init__(self, learns: bool = True) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.router = IPXRouter(self.clock, NETWORK, ROUTER, learns, self.counters)
        self.one, self.two, self.three = (Caller(self, number) for number in (1, 2, 3))

    def discarded(self) -> dict[str, int]:
        """
        The discards by reason since this was last called.
        """
        discards = dict(self.counters.discards)
        self.counters.discards.clear()
        return discards

    def nothing(self, reason: str) -> None:
        """
        Assert that nobody received anything and that one packet was discarded for C{reason}.
        """
        assert (self.one.got, self.two.got, self.three.got) == ([], [], [])
        assert self.discarded() == {reason: 1}


def everybody(socket: int, network: int = NETWORK) -> IPXAddress:
    return IPXAddress(network, wire.BROADCAST_NODE, socket)


def parted(packet: bytes) -> tuple[Header, bytes]:
    return wire.decodeHeader(packet), packet[wire.HEADER_OCTETS :]


def passed(packet: bytes) -> bytes:
    """
    C{packet} after it has passed one more router.
    """
    return packet[:4] + bytes((packet[4] + 1,)) + packet[5:]


def server(name: str, type: int = FILES, hops: int = 1) -> IPXService:
    return IPXService(
        type, name.encode(), IPXAddress(BEHIND, bytes.fromhex("000000000001"), 0x451), hops
    )
