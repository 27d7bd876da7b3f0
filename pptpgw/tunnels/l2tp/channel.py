"""
The channel of an L2TP call, which passes packets on that come at once by few system calls.
"""

from __future__ import annotations

from collections.abc import Sequence

from pptpgw.datapath.channel import NOT_ENCRYPTED, NOT_SENT
from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.framed import FramedChannel
from pptpgw.datapath.passage import Passage
from pptpgw.error import Malformed
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.tunnels.l2tp.sender import DataSender


class L2TPChannel(FramedChannel):
    """
    The channel of one L2TP call.
    """

    __slots__ = ()

    _sender: DataSender

    def receivedAll(self, frames: Sequence[bytes]) -> None:
        """
        Receive frames as L{FramedChannel.received} does, those of one protocol together.
        """
        last, run = -1, list[bytes]()
        for frame in frames:
            try:
                protocol, information = decodeFrame(frame)
            except Malformed:
                protocol, information = 0, frame
            if protocol != last and run:
                self._receive(0, last, run)
                run = []
            last = protocol
            run.append(information)
        if run:
            self._receive(0, last, run)

    def _framesReceived(self, sequence: int, protocol: int, frames: list[bytes]) -> None:
        """
        See L{FramedChannel._framesReceived}. Packets of a network go there together.
        """
        network = self._inClear.get(protocol) if self.direct else None
        if network is None:
            super()._framesReceived(sequence, protocol, frames)
            return
        self.counters.framesReceived += len(frames)
        network.received(frames)

    def transmit(self, network: OpenProtocol | Passage, packets: Sequence[bytes]) -> None:
        """
        See L{pptpgw.datapath.channel.Channel.transmit}.
        """
        counters, encryptor = self.counters, self._encryptor
        if encryptor is not None:
            prefix, field, encrypt = self._mppePrefix, network.field, encryptor.encrypt
            frames = [encrypt(prefix, field, packet) for packet in packets]
        elif self._required:
            counters.discard(NOT_ENCRYPTED, len(packets))
            return
        else:
            prefix = network.prefix
            frames = [prefix + packet for packet in packets]
        failed = self._sender.sendAll(frames)
        if failed:
            counters.discard(NOT_SENT, len(failed))
        sent = len(frames) - len(failed)
        counters.framesSent += sent
        counters.packetsSent += sent
        counters.octetsSent += sum(map(len, packets))
        for place, _ in failed:
            counters.octetsSent -= len(packets[place])
