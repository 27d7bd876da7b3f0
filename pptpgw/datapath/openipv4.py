"""
IPv4 while it is open for a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from pptpgw.counting.bucket import Bucket
from pptpgw.datapath.checks import NOT_DELIVERED, SPOOFED, TOO_BIG, Carrier, OpenProtocol
from pptpgw.datapath.interface import DeliverAll, DeliverPacket, Peer
from pptpgw.datapath.ipv4 import clampMSS, fragment, mayFragment, tooBig
from pptpgw.datapath.route import RouteTable
from pptpgw.datapath.source import Sources
from pptpgw.interfaces import Attachment
from pptpgw.networks.wire.ip import IPV4_HEADER, TCP, TCP_HEADER

if TYPE_CHECKING:
    from pptpgw.datapath.headers import Headers

TCP_OVERHEAD = IPV4_HEADER + TCP_HEADER
"""
Octets of the IPv4 and TCP headers without options. The MSS is the MTU less these.
"""

_SOURCE = slice(12, 16)
_SYN = 0x02
_SHORTEST_TCP = 40


class OpenIPv4(OpenProtocol):
    """
    IPv4. The source of packets from the peer is checked, and the MSS is clamped both ways. A packet
    that is too large is fragmented or, if it forbids that, answered with an ICMP error.

    @ivar clamp: whether the MSS is clamped.
    @ivar headers: the compression of TCP's headers; None if there is none.
    @ivar sources: the addresses that the peer may send from.
    """

    __slots__ = ("_source", "clamp", "headers", "sources")

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
        self.headers: Headers | None = None
        super().__init__(protocol, attachment, carrier, deliver, deliverAll, failures)
        if attachment.headers is not None:
            from pptpgw.datapath.headers import Headers

            self.headers = Headers(self, attachment.headers, carrier.counters)
            self.carriedBy(carrier)
        self.sources = Sources(attachment, IPv4Network, routes)
        # The peer's only address, since comparing it is faster than a look-up.
        self._source = self.sources.single()
        self.clamp = clamp

    @property
    def forms(self) -> Mapping[int, OpenProtocol]:
        """
        See L{OpenProtocol.forms}.
        """
        return super().forms if self.headers is None else self.headers.forms

    def carriedBy(self, carrier: Carrier) -> None:
        """
        See L{OpenProtocol.carriedBy}.
        """
        super().carriedBy(carrier)
        if self.headers is not None:
            self._carry = self.headers.carrying(carrier)

    def lost(self) -> None:
        """
        See L{OpenProtocol.lost}.
        """
        if self.headers is not None:
            self.headers.lost()

    def close(self) -> None:
        """
        See L{OpenProtocol.close}.
        """
        super().close()
        for form in self.forms.values():
            form.close()

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
