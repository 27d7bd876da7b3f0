"""
The framer of one end of a line, which converts PPP frames to a stream of octets and back.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.interfaces import IFrameSender
from pptpgw.ppp.wire.ppp import DEFAULT_ACCM
from pptpgw.tunnels.hdlc.wire import (
    DEFAULT_ESCAPES,
    FLAG,
    StreamDecoder,
    encode,
    escapesOf,
    insertedOf,
)

LONGEST = 4 + 4096
"""
The length in octets of the longest frame that is accepted, without FCS. No [link] mru is larger.
"""

IDLE = 1.0
"""
The time in seconds without a frame after which the next one begins with a flag of its own. The flag
makes the peer discard octets that noise on the line has produced.
"""

EXCESS = 65536
"""
The number of octets of control frames that may be added to a transport that is full. Beyond it
control frames are discarded too, since a peer that never reads could cause any number of them.
"""

# Address, control and the protocol number of LCP, which is never compressed.
_LCP = b"\xff\x03\xc0\x21"


@implementer(IFrameSender)
class Framer:
    """
    See L{IFrameSender}.

    @ivar full: see L{IFrameSender}; set by L{pptpgw.tunnels.hdlc.framer.Framer.paused}.
    @ivar receive: called with each frame that arrives; None if there is no channel.
    """

    def __init__(
        self,
        clock: IReactorTime,
        write: Callable[[bytes], object],
        discard: Callable[[str], None],
    ) -> None:
        """
        @param write: called with octets to send.
        @param discard: called with the reason for each frame that is discarded.
        """
        self.full = False
        self.receive: Callable[[bytes], None] | None = None
        self._seconds = clock.seconds
        self._write = write
        self._decoder = StreamDecoder(LONGEST, discard)
        self._escapes = DEFAULT_ESCAPES
        self._sent = float("-inf")
        self._excess = 0

    def dataReceived(self, octets: bytes) -> None:
        """
        Decode octets from the line, and pass on the frames in them.
        """
        for frame in self._decoder.feed(octets):
            if self.receive is not None:
                self.receive(frame)

    def paused(self, full: bool) -> None:
        """
        Note whether the transport is full, so that no packets may be added. The transport says so
        at each write while it is.
        """
        if full != self.full:
            self.full = full
            self._excess = 0

    # IFrameSender

    def send(self, frame: bytes) -> None:
        """
        See L{IFrameSender.send}.

        @raise OSError: the transport is full, and L{EXCESS} octets have been added to it.
        """
        escapes = DEFAULT_ESCAPES if frame.startswith(_LCP) else self._escapes
        octets = encode(frame, escapes)
        now = self._seconds()
        if now - self._sent > IDLE:
            octets = FLAG + octets
        if self.full:
            self._excess += len(octets)
            if self._excess > EXCESS:
                raise OSError(errno.ENOBUFS, "the peer doesn't read")
        self._sent = now
        self._write(octets)

    def setACCM(self, send: int, receive: int) -> None:
        """
        See L{IFrameSender.setACCM}.
        """
        self._escapes = DEFAULT_ESCAPES if send == DEFAULT_ACCM else escapesOf(send)
        self._decoder.inserted = insertedOf(receive)

    def disconnected(self) -> None:
        """
        See L{IFrameSender.disconnected}.
        """
        self.receive = None
