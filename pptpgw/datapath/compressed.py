"""
Compression of the packets of one call, between its networks and its channel (RFC 1962).

CCP agrees on it where nothing encrypts (L{pptpgw.ppp.compression}), so other sessions have nothing
of it in their way: the channel puts this object before its own C{transmit}, and in the place of the
table by which it finds who takes a frame.

The rules:

 - Packets that the transport has no room for are discarded before they are compressed.
 - A frame that can't be decompressed is counted and discarded, and the peer is asked to begin
   anew. Packets that come as they are still pass.
 - Packets count with the size that they have uncompressed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.datapath import mppc
from pptpgw.datapath.checks import NO_ROOM, Carrier, OpenProtocol
from pptpgw.datapath.deflate import Deflater, Inflater
from pptpgw.datapath.mppe import split
from pptpgw.datapath.resync import Resync
from pptpgw.error import Malformed
from pptpgw.interfaces import CompressionParameters, IChannelOwner
from pptpgw.ppp.wire.ppp import MPPE

COMPRESSED = MPPE
"""
The protocol number of compressed frames, which is that of MPPE, too.
"""

NOT_DECOMPRESSED = "not decompressed"
NOT_COMPRESSED = "compressed before that was agreed on"


class Compressor(Protocol):
    """
    The compressor of the packets that one end sends.
    """

    def compress(self, protocol: bytes, packet: bytes) -> bytes | None:
        """
        Return the information of a frame; None if the packet must be sent as it is.

        @param protocol: the protocol number as two octets.
        """

    def reset(self) -> None:
        """
        Forget what was sent, since the peer has asked for that by a Reset-Request.
        """


class Decompressor(Protocol):
    """
    The decompressor of the packets that one end receives.
    """

    def decompress(self, frame: bytes) -> bytes:
        """
        Return the protocol number, of one octet or two, and the packet.

        @raise Malformed: that isn't possible until the peer begins anew.
        """

    def passed(self, protocol: bytes, packet: bytes) -> None:
        """
        Note a packet that came as it is, since later frames may refer to it.

        @raise Malformed: it can't be kept, so no frame can be decompressed until the peer begins
            anew.
        """

    def reset(self) -> None:
        """
        Forget what came, as the peer has done on our Reset-Request.
        """


class Compressing(Carrier, Protocol):
    """
    The channel, as this module sees it.
    """

    def decompressed(self, protocol: int, packet: bytes) -> None:
        """
        Pass on a packet that came compressed.
        """

    def lost(self) -> None:
        """
        Note that frames from the peer were lost.
        """

    def transmitCompressed(
        self, network: OpenProtocol, packet: bytes, form: OpenProtocol, frame: bytes
    ) -> None:
        """
        Send C{frame}, which is C{packet} of C{network} compressed.
        """


class Compressed:
    """
    The compression of one call, in both directions.

    @ivar form: stands for a network whose packets are compressed frames.
    """

    __slots__ = (
        "_channel",
        "_compressor",
        "_counters",
        "_decompressor",
        "_networks",
        "_resync",
        "_seen",
        "form",
    )

    def __init__(
        self,
        channel: Compressing,
        networks: Mapping[int, OpenProtocol],
        clock: IReactorTime,
        owner: IChannelOwner,
        send: CompressionParameters | None,
        receive: CompressionParameters | None,
    ) -> None:
        """
        @param networks: the open networks of the channel, by protocol number.
        @param owner: is asked for Reset-Requests.
        """
        self._channel = channel
        self._networks = networks
        self._counters: Counters = channel.counters
        self._compressor = None if send is None else _COMPRESSORS[send.method](send)
        self._decompressor = None if receive is None else _DECOMPRESSORS[receive.method](receive)
        self._resync = Resync(clock, owner, "compression")
        self._seen: dict[int, Taken] = {}
        self.form = Taken(COMPRESSED, self._framesReceived)

    # The place of the table of networks

    def __contains__(self, protocol: object) -> bool:
        return protocol == COMPRESSED or protocol in self._networks

    def get(self, protocol: int, /) -> OpenProtocol | None:
        """
        Return what takes the frames of a protocol: this object those that are compressed, and while
        we decompress the packets of all open networks.
        """
        if protocol == COMPRESSED:
            return self.form
        network = self._networks.get(protocol)
        if network is None or self._decompressor is None:
            return network
        taken = self._seen.get(protocol)
        if taken is None:
            taken = self._seen[protocol] = Taken(protocol, self._packetsReceived)
        return taken

    def _framesReceived(self, taken: Taken, frames: Sequence[bytes]) -> None:
        decompressor = self._decompressor
        if decompressor is None:
            self._counters.discard(NOT_COMPRESSED, len(frames))
            return
        for frame in frames:
            try:
                plain = decompressor.decompress(frame)
            except Malformed:
                self._counters.discard(NOT_DECOMPRESSED)
                self._channel.lost()
                self._resync.request()
            else:
                self._resync.succeeded()
                self._channel.decompressed(*split(plain))

    def _packetsReceived(self, taken: Taken, packets: Sequence[bytes]) -> None:
        decompressor = self._decompressor
        assert decompressor is not None
        for packet in packets:
            try:
                decompressor.passed(taken.field, packet)
            except Malformed:
                self._resync.request()
        network = self._networks.get(taken.protocol)
        if network is not None:
            network.received(packets)

    # pptpgw.datapath.checks.Carrier

    @property
    def counters(self) -> Counters:
        """
        See L{Carrier.counters}.
        """
        return self._counters

    @property
    def isFull(self) -> bool:
        """
        See L{Carrier.isFull}.
        """
        return self._channel.isFull

    def transmit(self, network: OpenProtocol, packets: Sequence[bytes]) -> None:
        """
        See L{Carrier.transmit}.
        """
        channel, compressor, counters = self._channel, self._compressor, self._counters
        if compressor is None:
            channel.transmit(network, packets)
            return
        for packet in packets:
            if channel.isFull:
                counters.discard(NO_ROOM)
                continue
            frame = compressor.compress(network.field, packet)
            if frame is None:
                channel.transmit(network, (packet,))
                continue
            sent = counters.packetsSent
            channel.transmitCompressed(network, packet, self.form, frame)
            counters.octetsSent += (counters.packetsSent - sent) * (len(packet) - len(frame))

    # For the channel

    def reset(self, send: bool) -> None:
        """
        Have the compressor or the decompressor begin anew. See
        L{pptpgw.interfaces.IChannel.resetCompression}.
        """
        if send and self._compressor is not None:
            self._compressor.reset()
        elif not send and self._decompressor is not None:
            self._decompressor.reset()

    def close(self) -> None:
        """
        Ignore the frames that still come to this object: the channel uses it no more.
        """
        # These break reference cycles.
        self._seen = {}
        self.form.take = _ignore


class Taken(OpenProtocol):
    """
    What takes the frames of one protocol in the place of a network.

    @ivar take: called with this object and the information of frames.
    """

    __slots__ = ("take",)

    def __init__(self, protocol: int, take: Callable[[Taken, Sequence[bytes]], None]) -> None:
        self.protocol = protocol
        self.field = protocol.to_bytes(2, "big")
        self.prefix = b""
        self.take = take

    def received(self, packets: Sequence[bytes]) -> None:
        """
        See L{OpenProtocol.received}.
        """
        self.take(self, packets)


def _ignore(taken: Taken, frames: Sequence[bytes]) -> None:
    """
    Ignore frames: compression has ended.
    """


_COMPRESSORS: Mapping[str, Callable[[CompressionParameters], Compressor]] = {
    "deflate": lambda parameters: Deflater(parameters.window),
    "mppc": lambda parameters: mppc.Compressor(),
}

_DECOMPRESSORS: Mapping[str, Callable[[CompressionParameters], Decompressor]] = {
    "deflate": lambda parameters: Inflater(parameters.window, parameters.longest),
    "mppc": lambda parameters: mppc.Decompressor(parameters.longest),
}
