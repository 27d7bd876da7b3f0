"""
An SSTP connection, at either end: what joins a transport, the framer, the state machine and the
call, from the moment when HTTP is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.error import Malformed
from pptpgw.interfaces import Refusal
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.sstp.call import SSTPCall
from pptpgw.tunnels.sstp.clientside import ClientMachine
from pptpgw.tunnels.sstp.framer import NOT_READ, Framer
from pptpgw.tunnels.sstp.machine import State
from pptpgw.tunnels.sstp.opening import ACCEPTED, encodeRefusal
from pptpgw.tunnels.sstp.port import shortQueue
from pptpgw.tunnels.sstp.records import Records
from pptpgw.tunnels.sstp.serverside import ServerMachine

CLOSE_SECONDS = 5.0
"""
Seconds that the last octets have to be sent when a connection is closed.
"""

BINDING = "crypto binding that doesn't hold"
STRANGE = "stream that isn't SSTP's"

_REFUSALS = {
    Refusal.BUSY: (503, "Service Unavailable"),
    Refusal.FORBIDDEN: (403, "Forbidden"),
    Refusal.STOPPING: (503, "Service Unavailable"),
}


class ConnectionOwner(TypingProtocol):
    """
    The owner of a connection.
    """

    def discard(self, reason: str) -> None:
        """
        Count what belongs to no call.
        """


class SSTPConnection:
    """
    An SSTP connection. It is the L{pptpgw.tunnels.sstp.machine.MachineOwner} of its machine, and
    the L{pptpgw.tunnels.sstp.call.CallConnection} of its call.

    @ivar call: the call.
    @ivar framer: the framer.
    """

    machine: ServerMachine | ClientMachine

    def __init__(self, clock: IReactorTime, transport: Any, owner: ConnectionOwner) -> None:
        """
        @param transport: the transport with TLS, or one in clear behind a proxy that terminates it.
        """
        self.call: SSTPCall
        self._records = records = Records(clock, transport)
        self.framer = Framer(records.write, self._received, self._discard, self._giveUp)
        self._clock = clock
        self._transport = transport
        self._owner = owner
        self._closing: IDelayedCall | None = None
        self._isClosed = self._isGivenUp = False
        shortQueue(transport)
        transport.registerProducer(self, True)

    def dataReceived(self, octets: bytes) -> None:
        """
        Handle the next octets of the stream.
        """
        self.machine.heard()
        try:
            self.framer.feed(octets)
        except Malformed as error:
            self._discard(STRANGE)
            text = f"the connection was given up: {error}"
            self._abandon(Cause(text, Termination.USER_ERROR))

    def connectionLost(self, reason: str) -> None:
        """
        End the call, since the connection is lost.
        """
        self._isClosed = True
        self._records.drop()
        self._closing = cancelled(self._closing)
        cause = Cause(f"the connection was lost: {reason}", Termination.LOST_CARRIER)
        self.machine.lost(cause)
        self.call.ended(cause)

    def stop(self, cause: Cause) -> None:
        """
        End the call in order, and close the connection.
        """
        self.call.hangUp(cause)
        # Otherwise the machine says when the connection is to be closed.
        if self.machine.state is State.CALL_DISCONNECTED and self._closing is None:
            self._close()

    def abort(self, cause: Cause | None = None) -> None:
        """
        Close the connection at once.

        @param cause: why the call ends, if it hasn't ended.
        """
        if cause is not None:
            self.call.ended(cause)
        self._closing = cancelled(self._closing)
        if not self._isClosed:
            self._records.drop()
            self._transport.abortConnection()

    # pptpgw.tunnels.sstp.call.CallConnection

    def accept(self) -> None:
        """
        Answer the client's HTTP request, and wait for its Call Connect Request.
        """
        self._records.write(ACCEPTED)
        self.machine.start()

    def refuse(self, reason: Refusal) -> None:
        """
        Answer the client's HTTP request with an error, and close the connection.
        """
        self._records.write(encodeRefusal(*_REFUSALS[reason]))
        self._close()

    def hangUp(self, cause: Cause) -> None:
        """
        See L{pptpgw.tunnels.sstp.call.CallConnection.hangUp}.
        """
        self.machine.disconnect(cause)

    def authenticated(self, keys: Sequence[bytes]) -> None:
        """
        See L{pptpgw.tunnels.sstp.call.CallConnection.authenticated}.
        """
        self.machine.authenticated(keys)

    # pptpgw.tunnels.sstp.machine.MachineOwner

    def send(self, packet: bytes) -> None:
        """
        See L{pptpgw.tunnels.sstp.machine.MachineOwner.send}.
        """
        self.framer.sendControl(packet)

    def linkUp(self) -> None:
        """
        See L{pptpgw.tunnels.sstp.machine.MachineOwner.linkUp}.
        """
        self.framer.open()
        self.call.connected()

    def established(self) -> None:
        """
        See L{pptpgw.tunnels.sstp.machine.MachineOwner.established}.
        """
        self.framer.bound()
        self.call.bound()

    def bindingFailed(self, reason: str) -> None:
        """
        See L{pptpgw.tunnels.sstp.machine.MachineOwner.bindingFailed}.
        """
        self._discard(BINDING)
        self.call.attacked(f"the crypto binding doesn't hold: {reason}")

    def ending(self, cause: Cause) -> None:
        """
        See L{pptpgw.tunnels.sstp.machine.MachineOwner.ending}.
        """
        self.framer.close()
        self.call.ended(cause)

    def ended(self) -> None:
        """
        See L{pptpgw.tunnels.sstp.machine.MachineOwner.ended}.
        """
        self._close()

    # IPushProducer

    def pauseProducing(self) -> None:
        """
        See L{twisted.internet.interfaces.IPushProducer}: send no packets until the transport has
        sent what waits.
        """
        self.framer.paused(True)

    def resumeProducing(self) -> None:
        """
        See L{twisted.internet.interfaces.IPushProducer}: send packets again.
        """
        self.framer.paused(False)

    def stopProducing(self) -> None:
        """
        See L{twisted.internet.interfaces.IPushProducer}. There is nothing to do, since
        L{connectionLost} follows.
        """

    # What is private

    def _received(self, packet: bytes) -> None:
        self.machine.received(packet)

    def _close(self) -> None:
        """
        Close the connection once everything has been sent, or after L{CLOSE_SECONDS}.
        """
        self._closing = cancelled(self._closing)
        if not self._isClosed:
            self._closing = self._clock.callLater(CLOSE_SECONDS, self.abort)
            self._records.flush()
            self._transport.unregisterProducer()
            self._transport.loseConnection()

    def _abandon(self, cause: Cause) -> None:
        """
        Close the connection at once without telling the peer.
        """
        self.machine.lost(cause)
        self.abort(cause)

    def _giveUp(self) -> None:
        if self._isGivenUp:
            return
        self._isGivenUp = True
        self._discard(NOT_READ)
        text = "the peer doesn't read what it is sent"
        # The transport is being written to.
        self._clock.callLater(0, self._abandon, Cause(text, Termination.LOST_CARRIER))

    def _discard(self, reason: str) -> None:
        channel = self.call.channel
        if channel is None:
            self._owner.discard(reason)
        else:
            channel.counters.discard(reason)
