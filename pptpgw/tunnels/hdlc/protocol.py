"""
The protocol of connections that carry PPP frames.
"""

from __future__ import annotations

from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.sessions.cause import DISPLACED, SHUT_DOWN
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.entrance import addressText
from pptpgw.tunnels.hdlc.call import HDLCCall
from pptpgw.tunnels.hdlc.framer import Framer

CLOSE_SECONDS = 5.0
"""
The time in seconds that the last frames have to be sent when a connection is closed.
"""


class StreamOwner(TypingProtocol):
    """
    The owner of connections that carry calls, which is told about them.
    """

    def opened(self, protocol: HDLCProtocol) -> None:
        """
        Note that C{protocol} is connected, and has a call.
        """

    def closed(self, protocol: HDLCProtocol) -> None:
        """
        Note that C{protocol} is disconnected. This is called once for each connection that was
        opened.
        """

    def discard(self, reason: str) -> None:
        """
        Count a frame that was discarded while the call had no channel.
        """


@implementer(IPushProducer)
class HDLCProtocol(Protocol):
    """
    The protocol of a connection, which carries one call.

    @ivar caller: the address of the other end, in text.
    @ivar call: the L{HDLCCall}, once the protocol is connected.
    """

    call: HDLCCall

    def __init__(
        self,
        clock: IReactorTime,
        caller: str,
        accm: int,
        owner: StreamOwner,
        isPlaced: bool = False,
    ) -> None:
        """
        @param accm: the ACCM that the peer is asked to use.
        @param isPlaced: whether the call is ours.
        """
        self._isPlaced = isPlaced
        self.caller = caller
        self._clock = clock
        self._accm = accm
        self._owner = owner
        self._framer: Framer | None = None
        self._closing: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """
        Make the call of this connection, and tell the owner.
        """
        transport: Any = self.transport
        # A transport of a Unix socket may provide ITCPTransport too: it derives from those of TCP.
        isTCP = getattr(transport.getHost(), "type", "") == "TCP"
        if isTCP and ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        self._framer = framer = Framer(self._clock, transport.write, self._discard)
        called = addressText(transport.getHost())
        ends = (called, self.caller) if self._isPlaced else (self.caller, called)
        self.call = HDLCCall(*ends, framer, self._accm, self.close)
        transport.registerProducer(self, True)
        self._owner.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Pass octets to the framer, unless the connection has ended.
        """
        if self._framer is not None:
            self._framer.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End the call, and tell the owner.
        """
        self._closing = cancelled(self._closing)
        self._framer = None
        self.connected = 0
        self.call.lost(reason.getErrorMessage())
        self._owner.closed(self)

    def close(self) -> None:
        """
        Close the connection once everything has been sent, or after L{CLOSE_SECONDS}.
        """
        transport: Any = self.transport
        if self._closing is None and self._framer is not None:
            self._closing = self._clock.callLater(CLOSE_SECONDS, self.abort)
            transport.unregisterProducer()
            transport.loseConnection()

    def abort(self) -> None:
        """
        Close the connection at once.
        """
        transport: Any = self.transport
        self._closing = cancelled(self._closing)
        abort = getattr(transport, "abortConnection", None) or transport.loseConnection
        abort()

    # pptpgw.tunnels.entrance.IncomingConnection

    @property
    def isProven(self) -> bool:
        """
        Whether the caller was authenticated.
        """
        return self.call.proven

    def displace(self) -> None:
        """
        Close the connection at once, to make room for a newer one.
        """
        self.call.hangUp(DISPLACED)
        self.abort()

    def stop(self) -> None:
        """
        End the call and close the connection, since the gateway stops.
        """
        self.call.hangUp(SHUT_DOWN)
        self.close()

    def _discard(self, reason: str) -> None:
        channel = self.call.channel
        if channel is None:
            self._owner.discard(reason)
        else:
            channel.damaged(reason)

    # IPushProducer

    def pauseProducing(self) -> None:
        """
        See L{IPushProducer}: send no packets until the transport has sent what waits.
        """
        if self._framer is not None:
            self._framer.paused(True)

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer}: send packets again.
        """
        if self._framer is not None:
            self._framer.paused(False)

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}. There is nothing to do, since L{connectionLost} follows.
        """
