"""
One network protocol that is open on one call: what its packets are checked for, and where they go.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.datapath import ipv6
from pptpgw.datapath.edges import Deliver
from pptpgw.datapath.ip import HEADER, TCP, clampMSS, fragment, mayFragment, tooBig
from pptpgw.datapath.route import RouteTable
from pptpgw.datapath.source import Sources
from pptpgw.interfaces import Attachment
from pptpgw.log import Logger
from pptpgw.networks.ipv6.wire.ipv6 import HEADER as IPV6_HEADER

IPV4 = 0x0021
IPV6 = 0x0057

SPOOFED = "source address not the peer's"
TOO_BIG = "too big for the peer"
NOT_DELIVERED = "not taken by the network"

TCP_OVERHEAD = 40
"""
Octets of IPv4 and TCP header, without options: the MTU less these is the MSS.
"""

IPV6_TCP_OVERHEAD = 60
"""
The same of IPv6.
"""

ERROR_LIMIT = 100
"""
ICMPv6 errors a second, at most, on behalf of one peer (RFC 4443 section 2.4).
"""

FAILURE_LIMIT = 1 / 20, 3
"""
How many packets a second a network may fail on, and how many at once, before it is only counted.
"""

_SOURCE = slice(12, 16)
_SYN = 0x02
_SHORTEST_TCP = 40
_SHORTEST_IPV6_TCP = 60
# From here on: link-local unicast, and a little else, and multicast.
_IPV6_SPECIAL = 0xFE
_MULTICAST = b"\xff"
_UNSPECIFIED = bytes(16)


def _closed(packet: bytes) -> None:
    """
    What delivering is once the network has been closed.
    """
    raise OSError(errno.ENETDOWN, "the network is closed")


def _unserved(packet: bytes) -> None:
    """
    What delivering is where nobody serves the link itself.
    """
    raise OSError(errno.EADDRNOTAVAIL, "nothing here has a link-local address")


class Carrier(Protocol):
    """
    What takes the packets to the peer: a channel.
    """

    @property
    def counters(self) -> Counters:
        """
        The call's.
        """

    def transmit(self, network: OpenProtocol, packet: bytes) -> None:
        """
        Send one packet, which fits.
        """


class OpenProtocol:
    """
    A protocol of which nothing is known but its number.

    @ivar field: the protocol number, two octets.
    @ivar prefix: what stands before a packet in clear; the channel sets it.
    @ivar mtu: the largest packet to the peer; the channel sets it.
    """

    __slots__ = (
        "_carry",
        "_counters",
        "_deliver",
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
        deliver: Deliver,
        failures: Bucket,
    ) -> None:
        """
        @param failures: limits how often a failure of the receiver of packets is logged.
        """
        self.protocol = protocol
        self.field = protocol.to_bytes(2, "big")
        self.attachment = attachment
        self.prefix = b""
        self.mtu = attachment.mtu
        self._carry = carrier.transmit
        self._counters = carrier.counters
        self._deliver = deliver
        self._failures = failures

    def received(self, packets: Sequence[bytes]) -> None:
        """
        Packets came from the peer: check them and hand them to the network.
        """
        counters = self._counters
        for packet in packets:
            counters.packetsReceived += 1
            counters.octetsReceived += len(packet)
            try:
                self._deliver(packet)
            except Exception as error:
                self._failed(error)

    def close(self) -> None:
        """
        Hand nothing more to the network, though there be more packets to come in one run.
        """
        self._deliver = _closed

    def transmit(self, packet: bytes) -> None:
        """
        A packet is to go to the peer.
        """
        if len(packet) > self.mtu:
            self._counters.discard(TOO_BIG)
            return
        self._carry(self, packet)

    def _failed(self, error: Exception) -> None:
        """
        The network didn't take a packet: the next one has its turn.
        """
        if not isinstance(error, OSError) and self._failures.take():
            self._log.failure(
                "The network of protocol 0x{protocol:04x} failed on a packet",
                protocol=self.protocol,
            )
        self._counters.discard(NOT_DELIVERED)


class OpenIPv6(OpenProtocol):
    """
    IPv6: what concerns the link alone is told from what goes further; of the latter sources are
    checked, MSS is clamped both ways, and the sender of a packet that is too large is told.
    """

    __slots__ = ("_clamp", "_errors", "_local", "_prefix", "_sources")

    def __init__(
        self,
        protocol: int,
        attachment: Attachment,
        carrier: Carrier,
        deliver: Deliver,
        failures: Bucket,
        routes: RouteTable[Deliver] | None,
        clamp: bool,
        errors: Bucket,
    ) -> None:
        """
        @param routes: see L{Sources}.
        @param clamp: whether to clamp the MSS.
        @param errors: how often an ICMPv6 error may be sent.
        """
        super().__init__(protocol, attachment, carrier, deliver, failures)
        self._sources = Sources(attachment, IPv6Network, routes)
        # The peer's first /64, for a comparison instead of a look-up.
        self._prefix = self._sources.half()
        self._local: Deliver = attachment.local or attachment.receive or _unserved
        self._clamp = clamp
        self._errors = errors

    def received(self, packets: Sequence[bytes]) -> None:
        """
        See L{OpenProtocol.received}.
        """
        prefix = self._prefix
        counters = self._counters
        for packet in packets:
            deliver = self._deliver
            size = len(packet)
            if size < IPV6_HEADER or packet[0] >> 4 != 6:
                counters.discard(SPOOFED)
                continue
            # Nearly every packet is from its /64 to the world, a router's from its other networks.
            if packet[24] >= _IPV6_SPECIAL or (
                packet[8:16] != prefix
                and (not 0 < packet[8] < _IPV6_SPECIAL or not self._mayCome(packet))
            ):
                if isLocal(packet):
                    deliver = self._local
                elif not self._mayCome(packet):
                    counters.discard(SPOOFED)
                    continue
            counters.packetsReceived += 1
            counters.octetsReceived += size
            try:
                deliver(self._clamped(packet))
            except Exception as error:
                self._failed(error)

    def _mayCome(self, packet: bytes) -> bool:
        """
        Whether the peer may send from the source address of this packet.
        """
        return self._sources.permit(packet[8:24], self.transmit)

    def close(self) -> None:
        """
        See L{OpenProtocol.close}.
        """
        super().close()
        self._local = _closed

    def transmit(self, packet: bytes) -> None:
        """
        See L{OpenProtocol.transmit}.
        """
        if len(packet) > self.mtu:
            self._tooBig(packet)
        else:
            self._carry(self, self._clamped(packet))

    def _clamped(self, packet: bytes) -> bytes:
        """
        The packet with the MSS of a SYN within the MTU.
        """
        number = packet[6]
        if number == TCP:
            if len(packet) < _SHORTEST_IPV6_TCP or not packet[53] & _SYN:
                return packet
        elif number not in ipv6.EXTENSIONS:
            return packet
        if not self._clamp:
            return packet
        return ipv6.clampMSS(packet, max(1, self.mtu - IPV6_TCP_OVERHEAD))

    def _tooBig(self, packet: bytes) -> None:
        """
        Tell the sender of a packet.
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
    Whether an IPv6 packet concerns the link alone: link-local or without a source, or to a
    link-local address or a multicast one.
    """
    return (
        packet[24:25] == _MULTICAST
        or _isLinkLocal(packet[24:26])
        or _isLinkLocal(packet[8:10])
        or packet[8:24] == _UNSPECIFIED
    )


def _isLinkLocal(begin: bytes) -> bool:
    """
    Whether an address that begins with these two octets is of fe80::/10.
    """
    return begin[0] == _IPV6_SPECIAL and begin[1] & 0xC0 == 0x80


class OpenIPv4(OpenProtocol):
    """
    IPv4: sources checked, MSS clamped both ways, and a packet that is too large cut in fragments,
    or answered where it forbids that.
    """

    __slots__ = ("_clamp", "_source", "_sources")

    def __init__(
        self,
        protocol: int,
        attachment: Attachment,
        carrier: Carrier,
        deliver: Deliver,
        failures: Bucket,
        routes: RouteTable[Deliver] | None,
        clamp: bool,
    ) -> None:
        """
        @param routes: see L{Sources}.
        @param clamp: whether to clamp the MSS.
        """
        super().__init__(protocol, attachment, carrier, deliver, failures)
        self._sources = Sources(attachment, IPv4Network, routes)
        # The peer's one address, for a comparison instead of a look-up.
        self._source = self._sources.single()
        self._clamp = clamp

    def received(self, packets: Sequence[bytes]) -> None:
        """
        See L{OpenProtocol.received}.
        """
        ours = self._source
        count = len(packets)
        octets = 0
        for packet in packets:
            # A header of 20 octets from the peer's one address is nearly every packet.
            if (packet[_SOURCE] != ours or packet[0] != 0x45) and not self._mayCome(packet):
                self._counters.discard(SPOOFED)
                count -= 1
                continue
            size = len(packet)
            octets += size
            if packet[9] == TCP and size >= _SHORTEST_TCP and packet[33] & _SYN | packet[0] ^ 0x45:
                packet = self._clamped(packet)
            try:
                self._deliver(packet)
            except Exception as error:
                self._failed(error)
        self._counters.packetsReceived += count
        self._counters.octetsReceived += octets

    def transmit(self, packet: bytes) -> None:
        """
        See L{OpenProtocol.transmit}.
        """
        size = len(packet)
        if size > self.mtu:
            self._tooBig(packet)
            return
        # Where there are options the flags aren't at 33, and the clamp has to look for them.
        if size >= _SHORTEST_TCP and packet[9] == TCP and packet[33] & _SYN | packet[0] ^ 0x45:
            packet = self._clamped(packet)
        self._carry(self, packet)

    def _clamped(self, packet: bytes) -> bytes:
        """
        The packet with its MSS within the MTU.
        """
        return clampMSS(packet, max(1, self.mtu - TCP_OVERHEAD)) if self._clamp else packet

    def _mayCome(self, packet: bytes) -> bool:
        """
        Whether this is IPv4 from an address of the peer's.
        """
        return (
            len(packet) >= HEADER
            and packet[0] >> 4 == 4
            and self._sources.permit(packet[12:16], self.transmit)
        )

    def _tooBig(self, packet: bytes) -> None:
        """
        Cut the packet in pieces that fit, or tell its sender.
        """
        if mayFragment(packet):
            for piece in fragment(packet, self.mtu):
                self._carry(self, piece)
            return
        self._counters.discard(TOO_BIG)
        answer = tooBig(packet, self.mtu)
        if answer is not None:
            try:
                self._deliver(answer)
            except OSError:
                self._counters.discard(NOT_DELIVERED)
