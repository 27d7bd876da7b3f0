"""
A small IPX router in this process. Its stations, which are callers and DOSBox clients, are all on
one network.

The rules, after Novell's IPX Router Specification (107-000029-001):

 - A station has one node number, which no other station has, and sends from it. Only a station that
   is a router, because it has told a route, also sends from addresses of other networks: those that
   it told of.
 - A unicast packet goes to the station with its node number or, for another network, to the station
   that told the route. The transport control is incremented each time; a packet in which it would
   reach 16 is discarded.
 - A broadcast goes to all other stations. In packets of type 20 (NetBIOS) the transport control
   counts the networks in their data. All stations are on one network, so these packets are passed
   on unchanged, and the routers behind callers add networks. A packet of type 20 that has come
   through this network before is in a loop, and one that has come through more than eight networks
   has gone too far; both are discarded.
 - Broadcasts are limited to a number a second for each station, and to a number of copies a second
   for all stations together.
 - RIP and SAP packets are handled here (L{pptpgw.networks.ipx.routing}) and not passed on. IPXWAN
   packets (RFC 1634) concern one link and aren't answered, because IPXCP has negotiated everything
   (RFC 1552 section 2.4).
 - Checksums aren't verified: the receiver does that, and a checksum doesn't cover what changes on
   the way. If the router fills in the source network it removes the checksum, as IPX allows.
 - A packet that can't be passed on is counted and silently discarded.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.error import Malformed
from pptpgw.networks.ipx import wire
from pptpgw.networks.ipx.routing import Routing, Station
from pptpgw.networks.ipx.wire import Header

HOPS = 16
"""
The value of the transport control with which a packet is discarded.
"""

COPIES = (20000.0, 20000.0)
"""
The copies of broadcasts: how many are made a second, and how many at once.
"""

PORTION = 50
"""
The number of copies that are charged as one broadcast of a station. However many stations there
are, it takes four that broadcast as much as they may to use up L{COPIES}.
"""

MALFORMED = "malformed IPX packet"
SPOOFED = "IPX source not the station's"
TOO_FAR = "IPX packet passed too many routers"
CIRCLING = "IPX packet of type 20 in circles"
TOO_OFTEN = "too many IPX broadcasts"
NO_STATION = "IPX packet for no station"
NOBODY_LISTENS = "IPX packet for the router itself"


class IPXRouter:
    """
    The router and its stations, which are all on one network.

    @ivar network: the number of that network.
    @ivar node: the router's own node number on it.
    """

    def __init__(
        self, clock: IReactorTime, network: int, node: bytes, learns: bool, counters: Counters
    ) -> None:
        """
        @param learns: whether routes and servers are learnt from stations.
        """
        self.network = network
        self.node = node
        self._seconds = clock.seconds
        self._counters = counters
        self._stations: dict[bytes, Station] = {}
        self._routing = Routing(clock.seconds, network, node, learns, counters)
        self._copies = Bucket(clock.seconds, COPIES)

    def isFree(self, node: bytes) -> bool:
        """
        Return whether nobody has the node number C{node}.
        """
        return node not in self._stations and node != self.node

    def join(self, node: bytes, send: Callable[[bytes], None]) -> Station:
        """
        Add a station to the network and return it.

        @param node: a free node number.
        @param send: sends a packet to the station.
        """
        station = Station(node, send, self._seconds)
        self._stations[node] = station
        return station

    def leave(self, station: Station) -> None:
        """
        Remove C{station}, with the routes and servers that were learnt from it.
        """
        del self._stations[station.node]
        self._routing.forget(station)

    def learn(self, learns: bool) -> None:
        """
        Set whether routes and servers are learnt from stations. If not, those that were learnt are
        forgotten.
        """
        self._routing.learns = learns
        if not learns:
            for station in self._stations.values():
                self._routing.forget(station)
                station.routes = False

    def update(self) -> None:
        """
        Send routes and servers to the stations that are routers. Called every
        L{pptpgw.networks.ipx.routing.UPDATE_SECONDS} seconds.
        """
        self._routing.update(tuple(self._stations.values()))

    def received(self, station: Station, packet: bytes) -> None:
        """
        Handle a packet from C{station}; octets past its length are padding.
        """
        try:
            header = wire.decodeHeader(packet)
            self._received(station, header, packet[: header.length])
        except Malformed:
            self._counters.discard(MALFORMED)

    def _received(self, station: Station, header: Header, packet: bytes) -> None:
        if not self._mayComeFrom(station, header):
            self._counters.discard(SPOOFED)
            return
        broadcast = header.node == wire.BROADCAST_NODE
        here = header.network in (wire.THIS_NETWORK, self.network)
        if not (here or (broadcast and header.network == wire.ALL_NETWORKS)):
            self._route(station, header, packet)
        elif not broadcast and header.node != self.node:
            self._forward(station, self._stations.get(header.node), header, packet)
        elif self._routing.received(station, header, packet):
            pass
        elif broadcast and header.socket != wire.IPXWAN_SOCKET:
            self._broadcast(station, header, packet)
        elif header.socket != wire.ECHO_SOCKET:
            # Packets to the echo socket are answers to echo requests, which need no reply.
            self._counters.discard(NOBODY_LISTENS)

    def _mayComeFrom(self, station: Station, header: Header) -> bool:
        if header.sourceNetwork in (wire.THIS_NETWORK, self.network):
            return header.sourceNode == station.node
        return self._routing.next(header.sourceNetwork) is station

    def _route(self, station: Station, header: Header, packet: bytes) -> None:
        """
        Send a packet from C{station} to another network.
        """
        if header.sourceNetwork == wire.THIS_NETWORK:
            octets = bytearray(packet)
            octets[wire.CHECKSUM] = wire.NO_CHECKSUM.to_bytes(2, "big")
            octets[wire.SOURCE_NETWORK] = self.network.to_bytes(4, "big")
            packet = bytes(octets)
        self._forward(station, self._routing.next(header.network), header, packet)

    def _forward(self, station: Station, to: Station | None, header: Header, packet: bytes) -> None:
        """
        Send a packet from C{station} to the station C{to}, unless that is None or C{station}
        itself.
        """
        if to is None or to is station:
            self._counters.discard(NO_STATION)
        elif header.hops >= HOPS - 1:
            self._counters.discard(TOO_FAR)
        else:
            to.send(_passed(header, packet))

    def _broadcast(self, station: Station, header: Header, packet: bytes) -> None:
        """
        Send a packet to all stations but C{station}.
        """
        if header.hops > (wire.NETBIOS_NETWORKS if header.type == wire.NETBIOS else HOPS - 2):
            self._counters.discard(TOO_FAR)
            return
        if header.type != wire.NETBIOS:
            packet = _passed(header, packet)
        elif self.network in wire.decodeNetworks(packet[wire.HEADER_OCTETS :], header.hops):
            self._counters.discard(CIRCLING)
            return
        copies = len(self._stations) - 1
        allowed = station.broadcasts.take(max(1, copies / PORTION)) and self._copies.take(copies)
        if not allowed:
            self._counters.discard(TOO_OFTEN)
            return
        for other in tuple(self._stations.values()):
            if other is not station:
                other.send(packet)


def _passed(header: Header, packet: bytes) -> bytes:
    """
    Return the packet with the transport control incremented.
    """
    before, after = packet[: wire.TRANSPORT_CONTROL], packet[wire.TRANSPORT_CONTROL + 1 :]
    return b"%b%c%b" % (before, header.hops + 1, after)
