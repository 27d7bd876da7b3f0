"""
The channel of a call whose tunnel carries PPP frames in order and without sequence numbers, such as
a serial line or a stream.

Frames may still be lost, and over datagrams they may arrive in another order. MPPE then has only
its coherency count (RFC 3078 section 3.1): of the states in which the frame could be the next one,
the nearest is tried, up to 2,048 packets ahead (L{pptpgw.datapath.recovery}).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pptpgw.datapath.channel import NOT_ENCRYPTED, NOT_SENT, Channel
from pptpgw.datapath.checks import NO_ROOM, OpenProtocol
from pptpgw.datapath.interface import ReceiveFrames
from pptpgw.datapath.passage import Passage
from pptpgw.error import Malformed
from pptpgw.interfaces import IChannelHost, IChannelOwner, IFrameSender
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL, decodeFrame


def _discard(sequence: int, protocol: int, frames: list[bytes]) -> None:
    """
    Ignore frames: the receiver of a channel that is closed.
    """


class FramedChannel(Channel):
    """
    A channel over an L{IFrameSender}.
    """

    __slots__ = ("_receive", "_sender")

    controlHeader: ClassVar[bytes] = ADDRESS_CONTROL
    """
    What control frames have before their protocol number.
    """

    def __init__(self, host: IChannelHost, owner: IChannelOwner, sender: IFrameSender) -> None:
        super().__init__(host, owner)
        self._sender = sender
        self._receive: ReceiveFrames = self._limited(self._framesReceived)

    def received(self, frame: bytes) -> None:
        """
        Receive a PPP frame: protocol and information, with address and control before them unless
        these are compressed.
        """
        try:
            protocol, information = decodeFrame(frame)
        except Malformed:
            protocol, information = 0, frame
        self._receive(0, protocol, [information])

    def _framesReceived(self, sequence: int, protocol: int, frames: list[bytes]) -> None:
        for information in frames:
            self.counters.framesReceived += 1
            self._frame(protocol, information)

    def damaged(self, reason: str) -> None:
        """
        Count a frame that came, but can't be read.
        """
        self.counters.discard(reason)
        self.lost()

    def _unlimit(self) -> None:
        """
        See L{Channel._unlimit}.
        """
        self._receive = self._framesReceived

    @property
    def isFull(self) -> bool:
        """
        See L{Channel.isFull}.
        """
        return bool(self._sender.full)

    def transmit(self, network: OpenProtocol | Passage, packets: Sequence[bytes]) -> None:
        """
        See L{Channel.transmit}. If the transport is full a packet is counted and discarded before
        it is encrypted, so that MPPE needn't recover from its loss.
        """
        counters = self.counters
        encryptor = self._encryptor
        if encryptor is None and self._required:
            counters.discard(NOT_ENCRYPTED, len(packets))
            return
        for packet in packets:
            if self._sender.full:
                counters.discard(NO_ROOM)
                continue
            try:
                if encryptor is None:
                    self._sender.send(network.prefix + packet)
                else:
                    self._sender.send(encryptor.encrypt(self._mppePrefix, network.field, packet))
            except OSError:
                counters.discard(NOT_SENT)
                continue
            counters.framesSent += 1
            counters.packetsSent += 1
            counters.octetsSent += len(packet)

    def sendFrame(self, protocol: int, information: bytes) -> None:
        """
        See L{pptpgw.interfaces.IChannel.sendFrame}.
        """
        if self._closed:
            return
        try:
            self._sender.send(self.controlHeader + protocol.to_bytes(2, "big") + information)
        except OSError:
            self.counters.discard(NOT_SENT)
        else:
            self.counters.framesSent += 1

    def setFraming(self, acfc: bool, pfc: bool, sendACCM: int = 0, receiveACCM: int = 0) -> None:
        """
        See L{pptpgw.interfaces.IChannel.setFraming}.
        """
        super().setFraming(acfc, pfc)
        self._sender.setACCM(sendACCM, receiveACCM)

    def _disconnect(self) -> None:
        """
        See L{Channel._disconnect}.
        """
        # This breaks a reference cycle.
        self._receive = _discard
        self._sender.disconnected()
