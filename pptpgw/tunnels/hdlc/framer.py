"""
One end of a line: PPP frames to and from a stream of octets.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.interfaces import IFrameSender
from pptpgw.tunnels.hdlc.wire import (
    DEFAULT_ACCM,
    DEFAULT_ESCAPES,
    FLAG,
    Decoder,
    encode,
    escapesOf,
    insertedOf,
)

LONGEST = 4 + 4096
"""
The length in octets of the longest frame that is taken, without FCS: no [link] mru is larger.
"""

IDLE = 1.0
"""
Seconds without a frame after which the next one begins with a flag of its own, so that the peer
discards what the line has made up meanwhile.
"""

EXCESS = 65536
"""
Octets of control frames that may be added to what waits in a full transport. With more, control
frames are discarded too, since a peer could cause them without reading any.
"""

# Address, control and the protocol number of LCP, which is never compressed.
_LCP = b"\xff\x03\xc0\x21"


@implementer(IFrameSender)
class Framer:
    """
    See L{IFrameSender}.

    @ivar full: whether the transport has much to send already, see L{Framer.paused}.
    @ivar receive: called with each frame that arrives; None while nobody takes them.
    """

    def __init__(
        self,
        clock: IReactorTime,
        write: Callable[[bytes], object],
        discard: Callable[[str], None],
    ) -> None:
        """
        @param write: sends octets, in order.
        @param discard: called with the reason for each frame that is discarded.
        """
        self.full = False
        self.receive: Callable[[bytes], None] | None = None
        self._seconds = clock.seconds
        self._write = write
        self._decoder = Decoder(LONGEST, discard)
        self._escapes = DEFAULT_ESCAPES
        self._sent = float("-inf")
        self._excess = 0

    def dataReceived(self, octets: bytes) -> None:
        """
        Take octets from the line.
        """
        for frame in self._decoder.feed(octets):
            if self.receive is not None:
                self.receive(frame)

    def paused(self, full: bool) -> None:
        """
        Note whether the transport has so much to send that packets must not be added.
        """
        self.full = full
        self._excess = 0

    # IFrameSender

    def send(self, frame: bytes) -> None:
        """
        See L{IFrameSender.send}.

        @raise OSError: the transport is full, and of control frames too.
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
