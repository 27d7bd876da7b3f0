"""
The router's side of one link: Neighbor Discovery (RFC 4861), and the other packets to its
link-local address. This is state without I/O: packets and time in, packets out.

The rules:

 - An advertisement is sent when the router starts, a second and a third at intervals of
   C{MAX_INITIAL_INTERVAL}, and then one every C{MIN_INTERVAL} to C{MAX_INTERVAL} (section 6.2.4).
 - A Router Solicitation is answered at once, and by unicast if its sender has an address. The
   delays of section 6.2.6 spread the answers of several routers; this link has only one. At most
   C{SOLICITED_LIMIT} in C{SOLICITED_SECONDS} are answered.
 - A Neighbor Solicitation for our link-local address is answered, as is the peer's Duplicate
   Address Detection for it (section 7.2.4), so that the peer doesn't take that address. One for any
   other address is ignored.
 - An echo request to our link-local address, to all nodes or to all routers is answered (RFC 4443
   section 4.2). DHCPv6 messages are passed to the server.
 - At most L{LIMIT} packets a second are looked at. Packets beyond that, malformed packets and
   packets for other addresses are counted and silently discarded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address
from random import uniform

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.error import Malformed
from pptpgw.networks.ipv6.dhcpv6 import DHCPv6Server
from pptpgw.networks.ipv6.wire.dhcpv6 import ALL_SERVERS
from pptpgw.networks.ipv6.wire.ipv6 import (
    ALL_NODES,
    ALL_ROUTERS,
    ECHO_REPLY,
    ECHO_REQUEST,
    UNSPECIFIED,
    Datagram,
    ICMPv6Message,
    IPv6Packet,
    decode,
    decodeDatagram,
    decodeMessage,
    encodeDatagram,
    encodeMessage,
)
from pptpgw.networks.ipv6.wire.neighbor import (
    NEIGHBOR_SOLICITATION,
    NeighborAdvertisement,
    RouterAdvertisement,
    checkRouterSolicitation,
    neighborSolicited,
    solicitedNode,
)
from pptpgw.networks.wire.ip import DHCPV6_CLIENT, DHCPV6_SERVER, ICMPV6, ROUTER_SOLICITATION, UDP
from pptpgw.timing.timer import cancelled

# MinRtrAdvInterval and MaxRtrAdvInterval (RFC 4861 section 6.2.1), and the constants of section 10;
# in seconds, but for the numbers of packets.
MIN_INTERVAL, MAX_INTERVAL = 200.0, 600.0
MAX_INITIAL_INTERVAL = 16.0
MAX_INITIAL_ADVERTISEMENTS = 3

SOLICITED_LIMIT = 3
"""
The most Router Solicitations that are answered in C{SOLICITED_SECONDS}.
"""

SOLICITED_SECONDS = 3.0
"""
MIN_DELAY_BETWEEN_RAS (RFC 4861 section 10), in seconds.
"""

LIMIT = 50
"""
The most packets that are looked at in a second.
"""

TOO_MANY = "too many packets to the link itself"
NOT_OURS = "to the link itself, and nothing here takes it"
MALFORMED = "malformed IPv6 to the link itself"


class IPv6Router:
    """
    The router on one link.

    @ivar address: the router's link-local address.
    """

    __slots__ = (
        "_advertisement",
        "_clock",
        "_counters",
        "_dhcp",
        "_initial",
        "_limit",
        "_send",
        "_solicited",
        "_solicitedNode",
        "_timer",
        "address",
    )

    def __init__(
        self,
        clock: IReactorTime,
        address: IPv6Address,
        advertisement: RouterAdvertisement,
        send: Callable[[bytes], None],
        counters: Counters,
        dhcp: DHCPv6Server | None = None,
    ) -> None:
        """
        @param send: called with each packet for the peer.
        @param counters: counts what is discarded.
        @param dhcp: the server for the peer's DHCPv6 messages; None for no DHCPv6.
        """
        self.address = address
        self._solicitedNode = solicitedNode(address)
        self._clock = clock
        self._advertisement = advertisement
        self._send = send
        self._counters = counters
        self._dhcp = dhcp
        self._limit = Bucket(clock.seconds, (LIMIT, LIMIT))
        self._solicited = Bucket(
            clock.seconds, (SOLICITED_LIMIT / SOLICITED_SECONDS, SOLICITED_LIMIT)
        )
        self._initial = MAX_INITIAL_ADVERTISEMENTS
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """
        Send the first advertisement, and go on advertising.
        """
        self._advertise(self._advertisement)
        self._initial -= 1
        interval = uniform(MIN_INTERVAL, MAX_INTERVAL)
        if self._initial > 0:
            interval = min(interval, MAX_INITIAL_INTERVAL)
        self._timer = self._clock.callLater(interval, self.start)

    def stop(self) -> None:
        """
        Stop advertising, without telling the peer. Calling this before L{start} does nothing.
        """
        self._timer = cancelled(self._timer)

    def cease(self) -> None:
        """
        Tell the peer that this is no router any more (RFC 4861 section 6.2.5).
        """
        self._advertise(replace(self._advertisement, lifetime=0))

    def received(self, octets: bytes) -> None:
        """
        Handle a packet from the peer that isn't to be forwarded: see C{local} of L{Attachment}.
        """
        if not self._limit.take():
            self._counters.discard(TOO_MANY)
            return
        try:
            reason = self._received(decode(octets))
        except Malformed:
            reason = MALFORMED
        if reason:
            self._counters.discard(reason)

    def _received(self, packet: IPv6Packet) -> str:
        """
        Answer a packet, and return why it is discarded; an empty text if it isn't.

        @raise Malformed: the packet isn't valid.
        """
        ours = (self.address, self._solicitedNode, ALL_NODES, ALL_ROUTERS)
        if packet.source.is_multicast:
            return MALFORMED
        if packet.protocol == ICMPV6 and packet.destination in ours:
            return self._messageReceived(packet, decodeMessage(packet))
        if packet.protocol == UDP and packet.destination in (self.address, ALL_SERVERS):
            return self._datagramReceived(packet, decodeDatagram(packet))
        return NOT_OURS

    def _messageReceived(self, packet: IPv6Packet, message: ICMPv6Message) -> str:
        """
        Answer an ICMPv6 message; see L{_received}.
        """
        asker = packet.source
        somebody = asker != UNSPECIFIED
        if message.type == ROUTER_SOLICITATION:
            checkRouterSolicitation(packet, message)
            if not self._solicited.take():
                return TOO_MANY
            self._advertise(self._advertisement, asker if somebody else ALL_NODES)
            return ""
        if message.type == NEIGHBOR_SOLICITATION:
            if neighborSolicited(packet, message) == self.address:
                answer = NeighborAdvertisement(self.address, somebody).message()
                self._answer(asker if somebody else ALL_NODES, answer)
                return ""
        elif message.type == ECHO_REQUEST and somebody:
            self._answer(asker, ICMPv6Message(ECHO_REPLY, 0, message.body))
            return ""
        return NOT_OURS

    def _datagramReceived(self, packet: IPv6Packet, datagram: Datagram) -> str:
        """
        Answer a UDP datagram; see L{_received}.
        """
        if datagram.destinationPort != DHCPV6_SERVER or self._dhcp is None:
            return NOT_OURS
        unicast = packet.destination == self.address
        reply = self._dhcp.received(datagram.payload, packet.source, unicast)
        if reply is not None:
            answer = Datagram(DHCPV6_SERVER, DHCPV6_CLIENT, reply)
            self._send(encodeDatagram(self.address, packet.source, answer))
        return ""

    def _advertise(
        self, advertisement: RouterAdvertisement, destination: IPv6Address = ALL_NODES
    ) -> None:
        self._answer(destination, advertisement.message())

    def _answer(self, destination: IPv6Address, message: ICMPv6Message) -> None:
        """
        Send an ICMPv6 message, with the hop limit 255 that Neighbor Discovery requires.
        """
        self._send(encodeMessage(self.address, destination, message))
