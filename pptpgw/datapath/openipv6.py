"""
IPv6 while it is open for a call.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import IPv6Network

from pptpgw.counting.bucket import Bucket
from pptpgw.datapath.checks import NOT_DELIVERED, SPOOFED, TOO_BIG, Carrier, OpenProtocol, closed
from pptpgw.datapath.interface import DeliverAll, DeliverPacket, Peer
from pptpgw.datapath.ipv6 import clampMSS, tooBig
from pptpgw.datapath.route import RouteTable
from pptpgw.datapath.source import Sources
from pptpgw.interfaces import Attachment
from pptpgw.networks.wire.ip import EXTENSIONS, IPV6_HEADER, TCP, TCP_HEADER

TCP_OVERHEAD = IPV6_HEADER + TCP_HEADER
"""
Octets of the IPv6 and TCP headers without options.
"""

ERROR_LIMIT = 100
"""
The most ICMPv6 errors a second that one peer may cause (RFC 4443 section 2.4).
"""

_SYN = 0x02
_SHORTEST_TCP = 60
# The first octet of link-local and multicast addresses is at least this; few other addresses have
# it.
_SPECIAL = 0xFE
_MULTICAST = b"\xff"
_UNSPECIFIED = bytes(16)


def _unserved(packet: bytes) -> None:
    """
    Raise OSError: what delivers packets for the link itself if nothing handles them.
    """
    raise OSError(errno.EADDRNOTAVAIL, "nothing here has a link-local address")


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
            if packet[24] >= _SPECIAL or (
                packet[8:16] != prefix
                and (not 0 < packet[8] < _SPECIAL or not self._mayCome(packet))
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
        self._local = closed

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
            if len(packet) < _SHORTEST_TCP or not packet[53] & _SYN:
                return packet
        elif number not in EXTENSIONS:
            return packet
        if not self.clamp:
            return packet
        return clampMSS(packet, max(1, self.mtu - TCP_OVERHEAD))

    def _tooBig(self, packet: bytes) -> None:
        """
        Count C{packet}, which is too large, and send its sender a Packet Too Big.
        """
        self._counters.discard(TOO_BIG)
        answer = tooBig(packet, self.mtu)
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
    return begin[0] == _SPECIAL and begin[1] & 0xC0 == 0x80
