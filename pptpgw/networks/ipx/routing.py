"""
RIP and SAP between an IPX router and the stations on its only network (Novell's IPX Router
Specification, 107-000029-001).

The rules:

 - Requests are answered to the address that they come from, with the routes and servers that
   weren't learnt from the same station.
 - Routes and servers are learnt from responses. A station from which one was learnt is a router,
   and is sent the others once a minute. Hosts aren't; they ask. The router's own network is told
   only to stations that ask.
 - The number of packets a second from a station and to a station is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TypeVar

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.networks.ipx import wire
from pptpgw.networks.ipx.table import RoutingTable
from pptpgw.networks.ipx.wire import Header, IPXAddress, IPXService, Route, SAPQuery, SAPResponse

UPDATE_SECONDS = 60.0
"""
Seconds between two updates for the stations that are routers.
"""

BROADCASTS = (100.0, 200.0)
ROUTING = (20.0, 200.0)
"""
The limit on a station's broadcasts, and on the RIP and SAP packets from and to a station: how many
a second, and how many at once.
"""

TOO_MUCH_ROUTING = "too many packets of RIP and SAP"
NOT_LEARNT = "IPX route or server not learnt"
NO_ANSWER = "answer of SAP without a question"

_TICKS = 1

T = TypeVar("T")


class Station:
    """
    A station on the network: a caller, or a DOSBox client.

    @ivar node: the station's node number.
    @ivar send: sends a packet to the station.
    @ivar routes: whether the station is a router, since it told a route or a server.
    """

    __slots__ = ("broadcasts", "node", "routes", "routing", "send")

    def __init__(
        self, node: bytes, send: Callable[[bytes], None], seconds: Callable[[], float]
    ) -> None:
        self.node = node
        self.send = send
        self.routes = False
        self.broadcasts = Bucket(seconds, BROADCASTS)
        self.routing = Bucket(seconds, ROUTING)


class Routing:
    """
    The routes to other networks, and their servers.

    @ivar learns: whether routes and servers are learnt from stations.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        network: int,
        node: bytes,
        learns: bool,
        counters: Counters,
    ) -> None:
        """
        @param seconds: returns the time in seconds.
        @param network: the number of the network that all stations are on.
        @param node: the router's own node number on it.
        """
        self._network = network
        self._node = node
        self.learns = learns
        self._counters = counters
        self._routes: RoutingTable[int, int, Station] = RoutingTable(seconds)
        self._services: RoutingTable[tuple[int, bytes], IPXAddress, Station] = RoutingTable(seconds)
        self._protocols = {wire.RIP_SOCKET: self._receivedRIP, wire.SAP_SOCKET: self._receivedSAP}

    def received(self, station: Station, header: Header, packet: bytes) -> bool:
        """
        Handle a packet for the router from C{station}. Return False if it is neither RIP nor SAP.

        @raise Malformed: the packet isn't what its socket says.
        """
        receive = self._protocols.get(header.socket)
        if receive is None:
            return False
        if station.routing.take():
            network, node, socket = header.source
            asker = IPXAddress(network or self._network, node, socket)
            receive(station, asker, packet[wire.HEADER_OCTETS :])
        else:
            self._counters.discard(TOO_MUCH_ROUTING)
        return True

    def next(self, network: int) -> Station | None:
        """
        Return the station through which another network is reached; None if there is no route.
        """
        route = self._routes.find(network) or self._routes.find(wire.DEFAULT_NETWORK)
        return route.teller if route is not None else None

    def update(self, stations: Iterable[Station]) -> None:
        """
        Send routes and servers to those of C{stations} that are routers. Called every
        L{UPDATE_SECONDS} seconds.
        """
        for station in stations:
            if station.routes:
                self._update(station)

    def _update(self, station: Station) -> None:
        everybody = IPXAddress(self._network, wire.BROADCAST_NODE, wire.RIP_SOCKET)
        self._tellRoutes(station, everybody, self._known(station))
        everybody = everybody._replace(socket=wire.SAP_SOCKET)
        self._tellServices(station, everybody, self._servers(station, wire.ALL_SERVICES))

    def forget(self, station: Station) -> None:
        """
        Forget the routes and servers that were learnt from C{station}, which has left.
        """
        self._routes.forget(station)
        self._services.forget(station)

    # RIP

    def _receivedRIP(self, station: Station, asker: IPXAddress, data: bytes) -> None:
        packet = wire.decodeRIP(data)
        if packet.operation == wire.RESPONSE:
            for route in packet.routes:
                self._learnt(station, self._learnRoute(station, route))
            return
        known = [Route(self._network, 1, _TICKS), *self._known(station)]
        asked = {route.network for route in packet.routes}
        if wire.ALL_NETWORKS not in asked:
            known = [route for route in known if route.network in asked]
        self._tellRoutes(station, asker, known)

    def _learnRoute(self, station: Station, route: Route) -> bool:
        if route.network in (wire.THIS_NETWORK, wire.ALL_NETWORKS, self._network):
            return False
        return self.learns and self._routes.learn(route.network, route.ticks, route.hops, station)

    def _known(self, station: Station) -> list[Route]:
        """
        Return the routes to tell C{station}: those that weren't learnt from it.
        """
        return [
            Route(network, entry.hops + 1, min(entry.value + _TICKS, 0xFFFF))
            for network, entry in self._routes.tell(station)
        ]

    def _tellRoutes(self, station: Station, to: IPXAddress, routes: Sequence[Route]) -> None:
        for some in _portions(routes, wire.ROUTES):
            self._tell(station, wire.RIP, to, wire.RIP_SOCKET, wire.encodeRIP(wire.RESPONSE, some))

    # SAP

    def _receivedSAP(self, station: Station, asker: IPXAddress, data: bytes) -> None:
        packet = wire.decodeSAP(data)
        if isinstance(packet, SAPQuery):
            servers = self._servers(station, packet.type)
            if packet.operation == wire.REQUEST:
                self._tellServices(station, asker, servers)
            elif servers:
                nearest = min(servers, key=lambda server: server.hops)
                self._tellServices(station, asker, [nearest], wire.NEAREST_RESPONSE)
        elif packet.operation == wire.RESPONSE:
            for service in packet.services:
                self._learnt(station, self._learnService(station, service))
        else:
            self._counters.discard(NO_ANSWER)

    def _learnService(self, station: Station, service: IPXService) -> bool:
        key = service.type, service.name
        return self.learns and self._services.learn(key, service.address, service.hops, station)

    def _servers(self, station: Station, type_: int) -> list[IPXService]:
        """
        Return the servers of a type to tell C{station}: those that weren't learnt from it.
        """
        return [
            IPXService(*key, entry.value, entry.hops + 1)
            for key, entry in self._services.tell(station)
            if type_ in (key[0], wire.ALL_SERVICES)
        ]

    def _tellServices(
        self,
        station: Station,
        to: IPXAddress,
        services: Sequence[IPXService],
        operation: int = wire.RESPONSE,
    ) -> None:
        for some in _portions(services, wire.SERVICES):
            data = wire.encodeSAP(SAPResponse(operation, some))
            self._tell(station, wire.PACKET_EXCHANGE, to, wire.SAP_SOCKET, data)

    # Both

    def _learnt(self, station: Station, learnt: bool) -> None:
        """
        Note that C{station} told a route or a server.

        @param learnt: whether it was learnt; if not, it is counted.
        """
        if learnt:
            station.routes = True
        else:
            self._counters.discard(NOT_LEARNT)

    def _tell(self, station: Station, type_: int, to: IPXAddress, socket: int, data: bytes) -> None:
        if station.routing.take():
            source = IPXAddress(self._network, self._node, socket)
            station.send(wire.encodePacket(type_, to, source, data))
        else:
            self._counters.discard(TOO_MUCH_ROUTING)


def _portions(values: Iterable[T], size: int) -> Iterable[tuple[T, ...]]:
    """
    Return C{values} in groups of at most C{size}.
    """
    left = iter(values)
    while some := tuple(islice(left, size)):
        yield some
