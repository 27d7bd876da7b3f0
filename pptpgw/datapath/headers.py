"""
The compression of TCP's headers between an open IPv4 of a call and its channel (RFC 1332 section 4;
L{pptpgw.datapath.vj}).

Only IPCP on lines agrees on it (L{pptpgw.networks.ipv4.plugin}), so sessions by other tunnels have
nothing of it in their way. A packet that the transport has no room for is discarded before it is
compressed, as the other end would be out of step after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pptpgw.counting.counters import Counters
from pptpgw.datapath.checks import NO_ROOM, Carrier, OpenProtocol, Transmit
from pptpgw.datapath.vj import Compressor, Decompressor
from pptpgw.error import Malformed
from pptpgw.interfaces import HeaderCompression
from pptpgw.ppp.wire.ppp import COMPRESSED_TCP, UNCOMPRESSED_TCP

BAD_HEADER = "malformed compressed TCP header"
AFTER_LOSS = "compressed TCP header after a loss"


class Headers:
    """
    The compression of headers of one call, in both directions.

    @ivar forms: the forms of packets that have protocol numbers of their own.
    """

    __slots__ = ("_compressor", "_counters", "_decompressor", "forms")

    def __init__(
        self, network: OpenProtocol, settings: HeaderCompression, counters: Counters
    ) -> None:
        """
        @param network: the open IPv4.
        @param settings: what IPCP has agreed on.
        @param counters: those of the call.
        """
        self._counters = counters
        self._compressor: Compressor | None = None
        if settings.sendSlots:
            self._compressor = Compressor(settings.sendSlots, settings.omitsSlot)
        self._decompressor = decompressor = Decompressor(settings.receiveSlots)
        self.forms = {
            UNCOMPRESSED_TCP: Form(UNCOMPRESSED_TCP, network, decompressor.remember, counters),
            COMPRESSED_TCP: Form(COMPRESSED_TCP, network, decompressor.decompress, counters),
        }

    def carrying(self, carrier: Carrier) -> Transmit:
        """
        Return the function that compresses packets of IPv4 and sends them by C{carrier}.
        """
        compressor, counters, carry = self._compressor, self._counters, carrier.transmit
        if compressor is None:
            return carry
        compress, forms = compressor.compress, self.forms

        def transmit(network: OpenProtocol, packets: Sequence[bytes]) -> None:
            for packet in packets:
                if carrier.isFull:
                    counters.discard(NO_ROOM)
                    continue
                protocol, octets = compress(packet)
                sent = counters.packetsSent
                carry(forms.get(protocol, network), (octets,))
                # The octets of packets are counted as they were.
                counters.octetsSent += (counters.packetsSent - sent) * (len(packet) - len(octets))

        return transmit

    def lost(self) -> None:
        """
        Note that a frame from the peer was lost, which may have been one with a compressed header.
        """
        self._decompressor.lost()


def _ignore(packets: Sequence[bytes]) -> None:
    """
    Ignore packets: the network of a form that is closed.
    """


class Form(OpenProtocol):
    """
    A form of IPv4's packets that has a protocol number of its own. It takes its place among the
    open protocols of a channel, which sets its C{prefix}; its network does everything else.
    """

    __slots__ = ("_deliverTo", "_restore")

    def __init__(
        self,
        protocol: int,
        network: OpenProtocol,
        restore: Callable[[bytes], bytes | None],
        counters: Counters,
    ) -> None:
        """
        @param restore: returns the packet of a frame, or None if it can't be known; it raises
            L{Malformed}.
        """
        self.protocol = protocol
        self.field = protocol.to_bytes(2, "big")
        self.prefix = b""
        self.attachment = network.attachment
        self._counters = counters
        self._restore = restore
        self._deliverTo: Callable[[Sequence[bytes]], None] = network.received

    def carriedBy(self, carrier: Carrier) -> None:
        """
        Do nothing: the network sends the packets.
        """

    def close(self) -> None:
        """
        See L{OpenProtocol.close}.
        """
        # This breaks a reference cycle.
        self._deliverTo = _ignore

    def received(self, packets: Sequence[bytes]) -> None:
        """
        Restore packets from the peer, and give them to the network.
        """
        for octets in packets:
            try:
                packet = self._restore(octets)
            except Malformed:
                self._counters.discard(BAD_HEADER)
            else:
                if packet is None:
                    self._counters.discard(AFTER_LOSS)
                else:
                    self._deliverTo((packet,))
