"""
The open network protocols of a call: each checks packets and passes them on.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.datapath import ipv6
from pptpgw.datapath.fair import FULL
from pptpgw.datapath.interface import DeliverAll, DeliverPacket, Peer
from pptpgw.datapath.ipv4 import clampMSS, fragment, mayFragment, tooBig
from pptpgw.datapath.route import RouteTable
from pptpgw.datapath.source import Sources
from pptpgw.interfaces import Attachment
from pptpgw.log import Logger
from pptpgw.networks.wire.ip import EXTENSIONS, IPV4_HEADER, IPV6_HEADER, TCP, TCP_HEADER

SPOOFED = "source address not the peer's"
TOO_BIG = "too big for the peer"
NOT_DELIVERED = "not taken by the network"

TCP_OVERHEAD = IPV4_HEADER + TCP_HEADER
"""
Octets of the IPv4 and TCP headers without options. The MSS is the MTU less these.
"""

IPV6_TCP_OVERHEAD = IPV6_HEADER + TCP_HEADER
"""
Octets of the IPv6 and TCP headers without options.
"""

ERROR_LIMIT = 100
"""
The most ICMPv6 errors a second that one peer may cause (RFC 4443 section 2.4).
"""

FAILURE_LIMIT = 1 / 20, 3
"""
The failures of a network on a packet that are logged: how many a second, and how many at once.
Others are only counted.
"""

_SOURCE = slice(12, 16)
_SYN = 0x02
_SHORTEST_TCP = 40
_SHORTEST_IPV6_TCP = 60
# The first octet of link-local and multicast addresses is at least this; few other addresses have
# it.
_IPV6_SPECIAL = 0xFE
_MULTICAST = b"\xff"
_UNSPECIFIED = bytes(16)


def _closed(packet: bytes) -> None:
    """
    Raise OSError: what a network that has been closed delivers packets to.
    """
    raise OSError(errno.ENETDOWN, "the network is closed")


def _unserved(packet: bytes) -> None:
    """
    Raise OSError: what delivers packets for the link itself if nothing handles them.
    """
    raise OSError(errno.EADDRNOTAVAIL, "nothing here has a link-local address")


class Carrier(Protocol):
    """
    The sender of packets to the peer, which is the call's channel.
    """

    @property
    def counters(self) -> Counters:
        """
        The counters of the call.
        """

    def transmit(self, network: OpenProtocol, packets: Sequence[bytes]) -> None:
        """
        Send packets of C{network}, which aren't larger than its MTU.
        """


class OpenProtocol:
    """
    An open protocol whose packets aren't looked into. It is a L{Peer} for routes.

    @ivar protocol: the protocol number.
    @ivar field: the protocol number as two octets.
    @ivar prefix: the header of a frame with a packet in clear; the channel sets it.
    @ivar mtu: the largest packet to the peer, in octets; the channel sets it.
    """

    __slots__ = (
        "_carry",
        "_counters",
        "_deliver",
        "_deliverAll",
        "_failures",
        "attachment",
        "field",
        "mtu",
        "prefix",
        "protocol",
    )

    _log = Logger()

    def __init__(
        self,
        protocol: int,
        attachment: Attachment,
        carrier: Carrier,
        deliver: DeliverPacket,
        deliverAll: DeliverAll | None,
        failures: Bucket,
    ) -> None:
        """
        @param deliver: passes a packet to the network.
        @param deliverAll: passes packets to the network at once; None if it takes single packets.
        @param failures: limits how often failures of C{deliver} are logged.
        """
        self.protocol = protocol
        self.field = protocol.to_bytes(2, "big")
        self.attachment = attachment
        self.prefix = b""
        self.mtu = attachment.mtu
        self.carriedBy(carrier)
        self._counters = carrier.counters
        self._deliver = deliver
        self._deliverAll = deliverAll
        self._failures = failures

    def carriedBy(self, carrier: Carrier) -> None:
        """
        Send packets by C{carrier} from now on.
        """
        self._carry = carrier.transmit

    def received(self, packets: Sequence[bytes]) -> None:
        """
        Check packets from the peer and pass them to the network.
        """
        self._counters.packetsReceived += len(packets)
        self._counters.octetsReceived += sum(map(len, packets))
        self._pass(packets)

    def _pass(self, packets: Sequence[bytes]) -> None:
        """
        Pass packets that were checked to the network.
        """
        if self._deliverAll is not None:
            refused = self._deliverAll(packets)
            if refused:
                self._counters.discard(NOT_DELIVERED, refused)
            return
        for packet in packets:
            try:
                self._deliver(packet)
            except Exception as error:
                self._failed(error)

    def close(self) -> None:
        """
        Pass no more packets to the network, not even the rest of those in one call of L{received}.
        """
        self._deliver = _closed
        self._deliverAll = None

    def transmit(self, packets: Sequence[bytes]) -> None:
        """
        Check packets for the peer and send them.
        """
        fitting = [packet for packet in packets if len(packet) <= self.mtu]
        if len(fitting) < len(packets):
            self._counters.discard(TOO_BIG, len(packets) - len(fitting))
        if fitting:
            self._carry(self, fitting)

    def dropped(self, count: int) -> None:
        """
        See L{Peer}.
        """
        self._counters.discard(FULL, count)

    def _failed(self, error: Exception) -> None:
        """
        Count a packet that the network didn't take, and log an unexpected exception.
        """
        if not isinstance(error, OSError) and self._failures.take():
            self._log.failure(
                "The network of protocol 0x{protocol:04x} failed on a packet",
                protocol=self.protocol,
            )
        self._counters.discard(NOT_DELIVERED)


class OpenIPv6(OpenProtocol):
    """
    IPv6. Packets that concern the link alone are passed to the link's router. Of other packets from
    the peer the source is checked. MSS is clamped both ways, and the sender of a packet that is too
    large gets a Packet Too Big.

    @ivar clamp: whether the MSS is clamped.
    @ivar sources: the addresses that the peer may send from.
    """

    __slots__ = ("_errors", "_local", "_prefix", "clamp", "sources")

    def __init__(
        self,
        protocol: int,
        attachment: Attachment,
        carrier: Carrier,
        deliver: DeliverPacket,
        deliverAll: DeliverAll | None,
        failures: Bucket,
        routes: RouteTable[Peer] | None,
        clamp: bool,
        errors: Bucket,
    ) -> None:
        """
        @param routes: see L{Sources}.
        @param clamp: whether to clamp the MSS.
        @param errors: limits how often an ICMPv6 error is sent.
        """
        super().__init__(protocol, attachment, carrier, deliver, deliverAll, failures)
        self.sources = Sources(attachment, IPv6Network, routes)
        # The prefix of the peer's first /64, since comparing it is faster than a look-up.
        self._prefix = self.sources.half()
        self._local: DeliverPacket = attachment.local or attachment.receive or _unserved
        self.clamp = clamp
        self._errors = errors

    def received(self, packets: Sequence[bytes]) -> None:
        """
        See L{OpenProtocol.received}.
        """
        prefix = self._prefix
        counters = self._counters
        accepted: list[bytes] = []
        for packet in packets:
            size = len(packet)
            if size < IPV6_HEADER or packet[0] >> 4 != 6:
                counters.discard(SPOOFED)
                continue
            local = False
            # Nearly every packet comes from the peer's /64 or, for a router, from its other
            # networks, and goes to a global address.
            if packet[24] >= _IPV6_SPECIAL or (
                packet[8:16] != prefix
                and (not 0 < packet[8] < _IPV6_SPECIAL or not self._mayCome(packet))
            ):
                local = isLocal(packet)
                if not local and not self._mayCome(packet):
                    counters.discard(SPOOFED)
                    continue
            counters.packetsReceived += 1
            counters.octetsReceived += size
            packet = self._clamped(packet)
            if not local:
                accepted.append(packet)
                continue
            # It may close the network, so that those before it go first.
            self._pass(accepted)
            accepted = []
            try:
                self._local(packet)
            except Exception as error:
                self._failed(error)
        self._pass(accepted)

    def _mayCome(self, packet: bytes) -> bool:
        """
        Return whether the peer may send from the source address of C{packet}.
        """
        return self.sources.permit(packet[8:24], self)

    def close(self) -> None:
        """
        See L{OpenProtocol.close}.
        """
        super().close()
        self._local = _closed

    def transmit(self, packets: Sequence[bytes]) -> None:
        """
        See L{OpenProtocol.transmit}.
        """
        mtu = self.mtu
        fitting = []
        for packet in packets:
            if len(packet) > mtu:
                self._tooBig(packet)
            else:
                fitting.append(self._clamped(packet))
        if fitting:
            self._carry(self, fitting)

    def _clamped(self, packet: bytes) -> bytes:
        """
        Return C{packet} with its MSS lowered to what fits the MTU, if it is a TCP SYN.
        """
        number = packet[6]
        if number == TCP:
            if len(packet) < _SHORTEST_IPV6_TCP or not packet[53] & _SYN:
                return packet
        elif number not in EXTENSIONS:
            return packet
        if not self.clamp:
            return packet
        return ipv6.clampMSS(packet, max(1, self.mtu - IPV6_TCP_OVERHEAD))

    def _tooBig(self, packet: bytes) -> None:
        """
        Count C{packet}, which is too large, and send its sender a Packet Too Big.
        """
        self._counters.discard(TOO_BIG)
        answer = ipv6.tooBig(packet, self.mtu)
        if answer is not None and self._errors.take():
            try:
                self._deliver(answer)
            except OSError:
                self._counters.discard(NOT_DELIVERED)


def isLocal(packet: bytes) -> bool:
    """
    Return whether an IPv6 packet concerns the link alone: its source is link-local or unspecified,
    or its destination is link-local or multicast.
    """
    return (
        packet[24:25] == _MULTICAST
        or _isLinkLocal(packet[24:26])
        or _isLinkLocal(packet[8:10])
        or packet[8:24] == _UNSPECIFIED
    )


def _isLinkLocal(begin: bytes) -> bool:
    """
    Return whether an address that begins with the octets C{begin} is link-local (fe80::/10).
    """
    return begin[0] == _IPV6_SPECIAL and begin[1] & 0xC0 == 0x80


class OpenIPv4(OpenProtocol):
    """
    IPv4. The source of packets from the peer is checked, and the MSS is clamped both ways. A packet
    that is too large is fragmented or, if it forbids that, answered with an ICMP error.

    @ivar clamp: whether the MSS is clamped.
    @ivar sources: the addresses that the peer may send from.
    """

    __slots__ = ("_source", "clamp", "sources")

    def __init__(
        self,
        protocol: int,
        attachment: Attachment,
        carrier: Carrier,
        deliver: DeliverPacket,
        deliverAll: DeliverAll | None,
        failures: Bucket,
        routes: RouteTable[Peer] | None,
        clamp: bool,
    ) -> None:
        """
        @param routes: see L{Sources}.
        @param clamp: whether to clamp the MSS.
        """
        super().__init__(protocol, attachment, carrier, deliver, deliverAll, failures)
        self.sources = Sources(attachment, IPv4Network, routes)
        # The peer's only address, since comparing it is faster than a look-up.
        self._source = self.sources.single()
        self.clamp = clamp

    def received(self, packets: Sequence[bytes]) -> None:
        """
        See L{OpenProtocol.received}.
        """
        source = self._source
        octets = 0
        accepted = []
        for packet in packets:
            # Nearly every packet has a header of 20 octets and comes from the peer's only address.
            if (packet[_SOURCE] != source or packet[0] != 0x45) and not self._mayCome(packet):
                self._counters.discard(SPOOFED)
                continue
            size = len(packet)
            octets += size
            if packet[9] == TCP and size >= _SHORTEST_TCP and packet[33] & _SYN | packet[0] ^ 0x45:
                packet = self._clamped(packet)
            accepted.append(packet)
        self._pass(accepted)
        self._counters.packetsReceived += len(accepted)
        self._counters.octetsReceived += octets

    def transmit(self, packets: Sequence[bytes]) -> None:
        """
        See L{OpenProtocol.transmit}.
        """
        mtu = self.mtu
        fitting = []
        for packet in packets:
            size = len(packet)
            if size > mtu:
                fitting += self._tooBig(packet)
                continue
            # With IP options the TCP flags aren't at offset 33; the clamp then finds them.
            if size >= _SHORTEST_TCP and packet[9] == TCP and packet[33] & _SYN | packet[0] ^ 0x45:
                packet = self._clamped(packet)
            fitting.append(packet)
        if fitting:
            self._carry(self, fitting)

    def _clamped(self, packet: bytes) -> bytes:
        """
        Return C{packet} with its MSS lowered to what fits the MTU, if it is a TCP SYN.
        """
        return clampMSS(packet, max(1, self.mtu - TCP_OVERHEAD)) if self.clamp else packet

    def _mayCome(self, packet: bytes) -> bool:
        """
        Return whether C{packet} is IPv4 from an address that the peer may send from.
        """
        return (
            len(packet) >= IPV4_HEADER
            and packet[0] >> 4 == 4
            and self.sources.permit(packet[12:16], self)
        )

    def _tooBig(self, packet: bytes) -> list[bytes]:
        """
        Return the fragments of C{packet}, which is too large; if it forbids that, count it, and
        send its sender an ICMP error.
        """
        if mayFragment(packet):
            return fragment(packet, self.mtu)
        self._counters.discard(TOO_BIG)
        answer = tooBig(packet, self.mtu)
        if answer is not None:
            try:
                self._deliver(answer)
            except OSError:
                self._counters.discard(NOT_DELIVERED)
        return []
