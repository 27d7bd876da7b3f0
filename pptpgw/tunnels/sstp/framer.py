"""
The framer of one end of an SSTP connection, which puts PPP frames into packets and takes them out.

The rules:

 - No frame passes before the call is connected, or after it began to end.
 - Until the binding holds no network packet passes in either direction, only control frames.
 - While the transport is full, because the peer doesn't read, network packets are dropped. Control
   packets and control frames are sent all the same, until L{EXCESS} octets of them wait: then the
   connection is given up.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from zope.interface import implementer

from pptpgw.error import Malformed
from pptpgw.interfaces import IFrameSender
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.tunnels.sstp.wire import LONGEST_FRAME, Splitter, encodeFrame

EXCESS = 65536
"""
The most octets of control packets and control frames that may be added to a transport that is full.
"""

UNBOUND = "network packet before the crypto binding"
UNCONNECTED = "frame outside of a call"
NOT_READ = "SSTP connection whose peer doesn't read"

# The first PPP protocol number that isn't a network protocol's (RFC 1661 section 2).
_CONTROL = 0x8000


@implementer(IFrameSender)
class Framer:
    """
    See L{IFrameSender}.

    @ivar full: see L{IFrameSender}. No packets pass before the binding holds, either.
    @ivar receive: called with each frame that arrives; None if there is no channel.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        control: Callable[[bytes], object],
        discard: Callable[[str], object],
        giveUp: Callable[[], object],
    ) -> None:
        """
        @param write: called with each packet to send.
        @param control: called with each control packet.
        @param discard: called with the reason for each frame that is discarded.
        @param giveUp: called if the peer doesn't read what it must.
        """
        self.full = True
        self.receive: Callable[[bytes], None] | None = None
        self._write = write
        self._discard = discard
        self._giveUp = giveUp
        self._splitter = Splitter(self._unconnected, control)
        self.feed = self._splitter.feed
        self._isOpen = self._isBound = self._isStalled = False
        self._excess = 0

    # Calls of the connection

    def open(self) -> None:
        """
        Let control frames pass, since the call is connected.
        """
        self._isOpen = True
        self._splitter.data = self._unbound

    def bound(self) -> None:
        """
        Let packets pass, since the binding holds.
        """
        self._isBound = True
        self._splitter.data = self.receive or self._unconnected
        self.full = self._isStalled

    def close(self) -> None:
        """
        Let no frame pass any more.
        """
        self._isOpen = self._isBound = False
        self.full = True
        self.receive = None
        self._splitter.data = self._unconnected

    def paused(self, isStalled: bool) -> None:
        """
        Note whether the transport is full. A transport without TLS says so at each write while it
        is.
        """
        if isStalled != self._isStalled:
            self._isStalled = isStalled
            self._excess = 0
        self.full = isStalled or not self._isBound

    def sendControl(self, packet: bytes) -> None:
        """
        Send a control packet.
        """
        if self._fits(packet):
            self._write(packet)

    # IFrameSender

    def send(self, frame: bytes) -> None:
        """
        See L{IFrameSender.send}.

        @raise OSError: the frame is too long, or the transport is full and may take no more.
        """
        if len(frame) > LONGEST_FRAME:
            raise OSError(errno.EMSGSIZE, "a frame that is too long for SSTP")
        if not self._isOpen:
            raise OSError(errno.ENOTCONN, "there is no call")
        packet = encodeFrame(frame)
        if not self._fits(packet):
            raise OSError(errno.ENOBUFS, "the peer doesn't read")
        self._write(packet)

    def setACCM(self, send: int, receive: int) -> None:
        """
        See L{IFrameSender.setACCM}. Nothing is escaped in SSTP.
        """

    def disconnected(self) -> None:
        """
        See L{IFrameSender.disconnected}.
        """
        self.close()

    # What is private

    def _fits(self, packet: bytes) -> bool:
        """
        Return whether a packet may be sent although the transport is full, if it is.
        """
        if not self._isStalled:
            return True
        self._excess += len(packet)
        if self._excess <= EXCESS:
            return True
        self._giveUp()
        return False

    def _unconnected(self, frame: bytes) -> None:
        self._discard(UNCONNECTED)

    def _unbound(self, frame: bytes) -> None:
        try:
            protocol, _ = decodeFrame(frame)
        except Malformed:
            protocol = 0
        if protocol < _CONTROL:
            self._discard(UNBOUND)
        elif self.receive is not None:
            self.receive(frame)
