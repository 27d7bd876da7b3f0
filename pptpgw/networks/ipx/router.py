"""
A small IPX router in user space: stations, which are callers and the like, on one network.

The rules, after Novell's IPX Router Specification (107-000029-001):

 - A station has one node number, nobody else's, and sends from it. Only one that is a router, that
   has told a route, sends from other addresses too: those of the networks that it told of.
 - Unicast goes to the station with that node or, for another network, to the one that told the
   route. Each time the transport control is one more; what would reach 16 is discarded.
 - Broadcast goes to all other stations. That is one network, so that packets of type 20, whose
   transport control counts the networks in their data, pass as they are; the routers behind
   callers propagate them. One that has come through this network before is going in circles, and
   one that has come through more than eight is discarded.
 - A broadcast is paid for: each station has so many a second, and so many copies a second are made
   altogether.
 - RIP and SAP end here (L{pptpgw.networks.ipx.routing}), and so does IPXWAN (RFC 1634), which is of
   one link and isn't answered: IPXCP has said all that it would (RFC 1552 section 2.4).
 - A checksum isn't verified: its receiver does that, and it doesn't cover what changes underway.
   Where the packet's source network is filled in it is taken out, as IPX allows.
 - Whatever can't go on is counted and silently discarded.
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
The transport control at which a packet has gone too far.
"""

COPIES = (20000.0, 20000.0)
"""
How many copies of broadcasts are made a second, and how many at once.
"""

PORTION = 50
"""
How many copies count as one broadcast of a station's: however many stations there are, it takes
four that broadcast all they can to use up C{COPIES}.
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
    The router, whose only network all stations are on.

    @ivar network: the number of that.
    @ivar node: the router's own node number on it.
    """

    def __init__(
        self, clock: IReactorTime, network: int, node: bytes, learns: bool, counters: Counters
    ) -> None:
        """
        @param learns: whether stations may tell of routes and servers.
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
        Whether nobody has this node number.
        """
        return node not in self._stations and node != self.node

    def join(self, node: bytes, send: Callable[[bytes], None]) -> Station:
        """
        Let somebody in.

        @param node: a free number.
        @param send: takes a packet to it.
        """
        station = Station(node, send, self._seconds)
        self._stations[node] = station
        return station

    def leave(self, station: Station) -> None:
        """
        It is gone, and what it told of with it.
        """
        del self._stations[station.node]
        self._routing.forget(station)

    def update(self) -> None:
        """
        Tell the routers what is known; once every L{pptpgw.networks.ipx.routing.UPDATE_SECONDS}.
        """
        self._routing.update(tuple(self._stations.values()))

    def received(self, station: Station, packet: bytes) -> None:
        """
        A packet came from C{station}; what stands behind its length is padding.
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
        broadcast = header.node == wire.ALL_NODES
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
            # What comes to that socket is the answer to an echo, which needn't be more than heard.
            self._counters.discard(NOBODY_LISTENS)

    def _mayComeFrom(self, station: Station, header: Header) -> bool:
        if header.sourceNetwork in (wire.THIS_NETWORK, self.network):
            return header.sourceNode == station.node
        return self._routing.next(header.sourceNetwork) is station

    def _route(self, station: Station, header: Header, packet: bytes) -> None:
        """
        Take a packet of C{station} to another network.
        """
        if header.sourceNetwork == wire.THIS_NETWORK:
            octets = bytearray(packet)
            octets[wire.CHECKSUM] = wire.NO_CHECKSUM.to_bytes(2, "big")
            octets[wire.SOURCE_NETWORK] = self.network.to_bytes(4, "big")
            packet = bytes(octets)
        self._forward(station, self._routing.next(header.network), header, packet)

    def _forward(self, station: Station, to: Station | None, header: Header, packet: bytes) -> None:
        """
        Send a packet of C{station} on, but not back.
        """
        if to is None or to is station:
            self._counters.discard(NO_STATION)
        elif header.hops >= HOPS - 1:
            self._counters.discard(TOO_FAR)
        else:
            to.send(_passed(header, packet))

    def _broadcast(self, station: Station, header: Header, packet: bytes) -> None:
        """
        Send a packet to all but C{station}.
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
    The packet with one router more in its transport control.
    """
    before, after = packet[: wire.TRANSPORT_CONTROL], packet[wire.TRANSPORT_CONTROL + 1 :]
    return b"%b%c%b" % (before, header.hops + 1, after)
