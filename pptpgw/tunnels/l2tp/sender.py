"""
The data messages of one call: PPP frames with L2TP's header (RFC 2661 sections 3.1 and 5.4).

Sequence numbers are sent if the LAC has asked for them, or if we are the LAC and the LNS sends
some. Of those that arrive, frames that are late are discarded, since the frames after them have
been passed on; what is missing isn't waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from zope.interface import implementer

from pptpgw.interfaces import IFrameSender
from pptpgw.tunnels.l2tp.wire.header import dataPrefix, numberedPrefix

LATE = "L2TP data message late"

_NUMBERS = 0x10000


class Writer(Protocol):
    """
    What sends datagrams to the peer: see L{pptpgw.ports.udpsockets.DatagramWriter}.
    """

    def write(self, octets: bytes) -> object:
        """
        Send a datagram; raise OSError if the system refuses.
        """

    def writeAll(self, datagrams: Sequence[bytes]) -> list[tuple[int, OSError]]:
        """
        Send datagrams, and return the places and errors of those that the system refused.
        """


@implementer(IFrameSender)
class DataSender:
    """
    See L{IFrameSender}.

    @ivar receive: called with each frame that arrives; None if there is no channel.
    @ivar receiveAll: called with frames that follow each other, and have no sequence numbers.
    """

    __slots__ = (
        "_discard",
        "_expected",
        "_follows",
        "_linkInfo",
        "_number",
        "_peer",
        "_prefix",
        "_unregister",
        "_write",
        "_writeAll",
        "receive",
        "receiveAll",
    )

    full = False

    def __init__(
        self,
        peer: tuple[int, int],
        writer: Writer,
        unregister: Callable[[], None],
        discard: Callable[[str], None],
        linkInfo: Callable[[int, int], None],
        follows: bool,
    ) -> None:
        """
        @param peer: the ids that the peer assigned to connection and call.
        @param writer: sends the messages.
        @param unregister: called when no frames are taken any more.
        @param discard: called with the reason for each frame that is discarded.
        @param linkInfo: called with the ACCMs, of what is sent and received.
        @param follows: whether we send sequence numbers once the peer does.
        """
        self.receive: Callable[[bytes], None] | None = None
        self.receiveAll: Callable[[Sequence[bytes]], None] | None = None
        self._peer = peer
        self._prefix = dataPrefix(*peer)
        self._write, self._writeAll = writer.write, writer.writeAll
        self._unregister = unregister
        self._discard = discard
        self._linkInfo = linkInfo
        self._follows = follows
        # Our next sequence number; -1 while none are sent.
        self._number = -1
        self._expected = -1

    def numbered(self) -> None:
        """
        Send sequence numbers from now on.
        """
        if self._number < 0:
            self._number = 0

    def received(self, frame: bytes, sequence: int = -1) -> None:
        """
        Take a frame of the peer.

        @param sequence: its sequence number; -1 for none.
        """
        if self.receive is None:
            return
        if sequence >= 0:
            if self._follows:
                self.numbered()
            behind = (self._expected - sequence) % _NUMBERS
            if self._expected >= 0 and 0 < behind < _NUMBERS // 2:
                self._discard(LATE)
                return
            self._expected = (sequence + 1) % _NUMBERS
        self.receive(frame)

    def receivedAll(self, frames: Sequence[bytes]) -> None:
        """
        Take frames of the peer that follow each other, and have no sequence numbers.
        """
        if self.receiveAll is not None:
            self.receiveAll(frames)

    # IFrameSender

    def send(self, frame: bytes) -> None:
        """
        See L{IFrameSender.send}.
        """
        self._write(self._next() + frame)

    def sendAll(self, frames: Sequence[bytes]) -> list[tuple[int, OSError]]:
        """
        Send frames as L{send} does it.

        @return: the places and errors of those that the system refused.
        """
        if self._number < 0:
            prefix = self._prefix
            return self._writeAll([prefix + frame for frame in frames])
        return self._writeAll([self._next() + frame for frame in frames])

    def _next(self) -> bytes:
        """
        Return the header of the next message.
        """
        number = self._number
        if number < 0:
            return self._prefix
        self._number = (number + 1) % _NUMBERS
        return numberedPrefix(*self._peer, number)

    def setACCM(self, send: int, receive: int) -> None:
        """
        See L{IFrameSender.setACCM}. Nothing is escaped here, but a LAC may have a line where it
        matters.
        """
        self._linkInfo(send, receive)

    def disconnected(self) -> None:
        """
        See L{IFrameSender.disconnected}.
        """
        self.receive = self.receiveAll = None
        self._unregister()
