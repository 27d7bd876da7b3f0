"""
The host's side of one link, where the other end is the router: Neighbor Discovery (RFC 4861), and
addresses of our own by its advertisements (RFC 4862). This is state without I/O: packets and time
in, packets out.

The rules:

 - Router Solicitations are sent until an advertisement comes, at intervals that double, by the
   times of RFC 7559.
 - An address is made from each prefix of 64 bits that is good for that, with our interface
   identifier. Duplicate addresses can't be, because IPV6CP has made the identifier unique.
 - The valid lifetime of an address isn't shortened to less than two hours by an advertisement,
   which nobody signs (RFC 4862 section 5.5.3).
 - A Neighbor Solicitation for an address of ours, and an echo request to one on the link or to all
   nodes, is answered. DHCPv6 messages are passed to the client.
 - At most L{LIMIT} packets a second are looked at. Packets beyond that, malformed packets and
   packets for other addresses are counted and silently discarded.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
from random import Random, SystemRandom

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.error import Malformed
from pptpgw.networks.ipv6.dhcpv6client import DHCPv6Client, Held
from pptpgw.networks.ipv6.grant import NEVER, seconds
from pptpgw.networks.ipv6.router import LIMIT, MALFORMED, NOT_OURS, TOO_MANY
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
    PrefixInformation,
    RouterAdvertisement,
    neighborSolicited,
    routerSolicitation,
    solicitedNode,
)
from pptpgw.networks.wire.ip import (
    DHCPV6_CLIENT,
    DHCPV6_SERVER,
    ICMPV6,
    ROUTER_ADVERTISEMENT,
    UDP,
)
from pptpgw.timing.timer import cancelled

LENGTH = 64
"""
The length in bits of prefixes from which addresses are made.
"""

MAX_ADDRESSES = 4
"""
The most addresses that are made.
"""

# The intervals of Router Solicitations, in seconds (RFC 7559 section 2).
FIRST_INTERVAL, LONGEST_INTERVAL = 4.0, 3600.0
# The lifetime below which an advertisement can't bring that of an address (RFC 4862 section 5.5.3).
TWO_HOURS = 7200.0

_MASK = (1 << LENGTH) - 1


class IPv6Host:
    """
    The host on one link.

    @ivar address: our link-local address.
    @ivar addresses: the other addresses that we have made, with their ends.
    @ivar dns: the name servers that the router advertises.
    @ivar search: the domains that the router advertises.
    @ivar hasRouter: whether the other end is a default router.
    """

    def __init__(
        self,
        clock: IReactorTime,
        address: IPv6Address,
        send: Callable[[bytes], None],
        changed: Callable[[], None],
        counters: Counters,
        random: Random | None = None,
    ) -> None:
        """
        @param send: called with each packet for the router.
        @param changed: called when an attribute of this object has changed, but for times alone.
        @param counters: counts what is discarded.
        """
        self.address = address
        self.addresses: dict[IPv6Address, Held] = {}
        self.dns: tuple[IPv6Address, ...] = ()
        self.search: tuple[str, ...] = ()
        self.hasRouter = False
        self.dhcp: DHCPv6Client | None = None
        self._clock = clock
        self._send = send
        self._changed = changed
        self._counters = counters
        self._random = random or SystemRandom()
        self._limit = Bucket(clock.seconds, (LIMIT, LIMIT))
        self._isStopped = False
        self._interval = 0.0
        # When the router, and what it has told of names, are forgotten.
        self._routerEnd = self._namesEnd = NEVER
        self._solicitation: IDelayedCall | None = None
        self._expiry: IDelayedCall | None = None

    def start(self) -> None:
        """
        Ask for an advertisement until one comes.
        """
        self._send(encodeMessage(self.address, ALL_ROUTERS, routerSolicitation()))
        varied = 1 + self._random.uniform(-0.1, 0.1)
        self._interval = min(2 * self._interval or FIRST_INTERVAL, LONGEST_INTERVAL)
        self._solicitation = self._clock.callLater(self._interval * varied, self.start)

    def stop(self) -> None:
        """
        Do nothing any more. Calling this again does nothing.
        """
        self._isStopped = True
        self._solicitation = cancelled(self._solicitation)
        self._expiry = cancelled(self._expiry)

    def sendToServers(self, octets: bytes) -> None:
        """
        Send a message of DHCPv6 to all servers.
        """
        datagram = Datagram(DHCPV6_CLIENT, DHCPV6_SERVER, octets)
        self._send(encodeDatagram(self.address, ALL_SERVERS, datagram))

    def received(self, octets: bytes) -> None:
        """
        Handle a packet from the router that isn't to be forwarded: see C{local} of L{Attachment}.
        """
        if self._isStopped:
            return
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
        Handle a packet, and return why it is discarded; an empty text if it isn't.

        @raise Malformed: the packet isn't valid.
        """
        if packet.source.is_multicast:
            return MALFORMED
        ours = (self.address, solicitedNode(self.address), ALL_NODES, ALL_ROUTERS)
        if packet.protocol == ICMPV6 and packet.destination in ours:
            return self._messageReceived(packet, decodeMessage(packet))
        if packet.protocol == UDP and packet.destination == self.address:
            datagram = decodeDatagram(packet)
            if datagram.destinationPort == DHCPV6_CLIENT and self.dhcp is not None:
                self.dhcp.received(datagram.payload)
                return ""
        return NOT_OURS

    def _messageReceived(self, packet: IPv6Packet, message: ICMPv6Message) -> str:
        """
        Handle an ICMPv6 message; see L{_received}.
        """
        asker = packet.source
        somebody = asker != UNSPECIFIED
        if message.type == ROUTER_ADVERTISEMENT:
            self._advertised(RouterAdvertisement.decode(packet, message))
            return ""
        if message.type == NEIGHBOR_SOLICITATION:
            target = neighborSolicited(packet, message)
            if target == self.address or target in self.addresses:
                answer = NeighborAdvertisement(target, somebody).message()
                self._answer(asker if somebody else ALL_NODES, answer)
                return ""
        elif message.type == ECHO_REQUEST and somebody:
            self._answer(asker, ICMPv6Message(ECHO_REPLY, 0, message.body))
            return ""
        return NOT_OURS

    def _answer(self, destination: IPv6Address, message: ICMPv6Message) -> None:
        self._send(encodeMessage(self.address, destination, message))

    def _advertised(self, advertisement: RouterAdvertisement) -> None:
        """
        Take what the router says of itself and of its prefixes.
        """
        before = self._state()
        now = self._clock.seconds()
        self.hasRouter = advertisement.lifetime > 0
        self._routerEnd = now + advertisement.lifetime if self.hasRouter else NEVER
        if self.hasRouter:
            self._solicitation, self._interval = cancelled(self._solicitation), 0.0
        self.dns, self.search = advertisement.dns, advertisement.search
        told = seconds(advertisement.dnsLifetime)
        self._namesEnd = now + told if self.dns or self.search else NEVER
        for prefix in advertisement.prefixes:
            self._prefixed(prefix, now)
        self._expire()
        if self._state() != before:
            self._changed()

    def _prefixed(self, prefix: PrefixInformation, now: float) -> None:
        """
        Make an address from C{prefix}, or change the ends of the one that was made (RFC 4862
        section 5.5.3).
        """
        network = prefix.network
        isGood = prefix.autonomous and network.prefixlen == LENGTH
        if not isGood or prefix.preferred > prefix.valid or not usable(network):
            return
        address = IPv6Address(int(network.network_address) | int(self.address) & _MASK)
        preferred, valid = seconds(prefix.preferred), seconds(prefix.valid)
        held = self.addresses.get(address)
        if held is None:
            if not valid or len(self.addresses) >= MAX_ADDRESSES:
                return
        else:
            left = held.valid - now
            if valid <= TWO_HOURS and valid < left:
                valid = min(left, TWO_HOURS)
        self.addresses[address] = Held(now + preferred, now + valid)

    def _expire(self) -> None:
        """
        Forget what has ended, and wait for the next end.
        """
        now = self._clock.seconds()
        for address in [one for one, end in self.addresses.items() if end.valid <= now]:
            del self.addresses[address]
        if self._namesEnd <= now:
            self.dns, self.search, self._namesEnd = (), (), NEVER
        if self._routerEnd <= now:
            self.hasRouter, self._routerEnd = False, NEVER
            # Perhaps another one begins, or its advertisements were lost.
            self._solicitation = cancelled(self._solicitation)
            self.start()
        self._expiry = cancelled(self._expiry)
        ends = [end.valid for end in self.addresses.values()]
        following = min([*ends, self._namesEnd, self._routerEnd])
        if following < NEVER:
            self._expiry = self._clock.callLater(following - now, self._expired)

    def _expired(self) -> None:
        before = self._state()
        self._expire()
        if self._state() != before:
            self._changed()

    def _state(self) -> tuple[object, ...]:
        return set(self.addresses), self.dns, self.search, self.hasRouter


def usable(network: IPv6Network) -> bool:
    """
    Return whether addresses of C{network} may be used: it is neither local to the link nor
    multicast, nor does it hold the unspecified address.
    """
    first = network.network_address
    return not (first.is_link_local or first.is_multicast or first == UNSPECIFIED)
