"""
The control connection of L2TP (RFC 2661 sections 5.1 and 7.2), apart from its datagrams.

L{pptpgw.tunnels.l2tp.statetable} says which message is legal in which state,
L{pptpgw.tunnels.l2tp.delivery} has them delivered, and L{pptpgw.tunnels.l2tp.connections} finds the
connection of a datagram.

A connection on which nothing was heard for C{helloInterval} gets a HELLO. Frames of its calls count
as a sign of life too, so that a peer that doesn't acknowledge HELLOs, as some phones don't, is only
given up when nothing comes from it at all.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.error import CallError
from pptpgw.interfaces import ICallOwner
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.remedy import Remedy
from pptpgw.tunnels.l2tp.call import L2TPCall
from pptpgw.tunnels.l2tp.calls import CallTable
from pptpgw.tunnels.l2tp.carriage import Address, DataPort
from pptpgw.tunnels.l2tp.delivery import Delivery
from pptpgw.tunnels.l2tp.details import NO_DETAILS, CallDetails
from pptpgw.tunnels.l2tp.ending import reason, told
from pptpgw.tunnels.l2tp.handshake import Handshake, Unacceptable
from pptpgw.tunnels.l2tp.life import Life
from pptpgw.tunnels.l2tp.owner import L2TPOwner
from pptpgw.tunnels.l2tp.reading import NotUnderstood, read
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.statetable import CONNECTION_ACTIONS, CallKind, CallPhase, ControlState
from pptpgw.tunnels.l2tp.wire.avp import ResultCode
from pptpgw.tunnels.l2tp.wire.code import AVP, ErrorCode, MessageType, StopResult
from pptpgw.tunnels.l2tp.wire.header import ControlHeader
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, encode, nameOf
from pptpgw.tunnels.telling import tell

TIE_BREAKER_OCTETS, VECTOR_OCTETS = 8, 16


class L2TPConnection:
    """
    One control connection.

    @ivar accepted: when the first message came, by the clock; None once there has been a call.
    @ivar calls: the current calls.
    @ivar closeReason: why the connection was closed; empty before.
    @ivar counters: counts discarded messages.
    @ivar isInitiator: whether we opened the connection.
    @ivar isProven: whether a caller on the connection has been authenticated.
    @ivar localID: the id that we assigned, which is in the messages that we receive.
    @ivar peer: the address from which the peer sends, and its port.
    @ivar port: carries the frames of calls; None if there is no such port.
    @ivar tieBreaker: the value that we sent to tell which of two connections remains.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: ControlSettings,
        owner: L2TPOwner,
        transmit: Callable[[L2TPConnection, bytes], object],
        forget: Callable[[L2TPConnection], object],
        port: DataPort | None,
        counters: Counters,
        localID: int,
        localAddress: str,
        peer: Address,
        isInitiator: bool = False,
    ) -> None:
        """
        @param transmit: called with this connection and a datagram to send to the peer.
        @param forget: called with this connection when it is closed.
        """
        self.clock = clock
        self.settings = settings
        self.owner = owner
        self.port = port
        self.counters = counters
        self.localID = localID
        self.localAddress = localAddress
        self.peer = peer
        self.isInitiator = isInitiator
        self.delivery = Delivery(clock, self, proven=isInitiator)
        self.state = ControlState.IDLE
        self.accepted: float | None = clock.seconds()
        self.calls = CallTable(self)
        self.isProven = False
        self.closeReason = ""
        self.tieBreaker = b""
        self._transmit = transmit
        self._forget = forget
        self._handshake = Handshake(settings, localID, isInitiator)
        self._life = Life(clock, self)
        self._stopped: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return (
            f"<L2TPConnection {self.localID} with {self.peer[0]}:{self.peer[1]} (id there "
            f"{self.peerID}), {self.state.value}, {len(self.calls)} calls>"
        )

    @property
    def peerID(self) -> int:
        """
        The id that the peer assigned; 0 while it is unknown.
        """
        return self.delivery.peerID

    @property
    def peerName(self) -> str:
        """
        The peer's Host Name, printable; empty while it is unknown.
        """
        return self._handshake.peerName

    @property
    def isEstablished(self) -> bool:
        """
        Whether calls can be placed.
        """
        return self.state is ControlState.ESTABLISHED

    @property
    def isStopping(self) -> bool:
        """
        Whether the peer is to acknowledge a StopCCN.
        """
        return self.state is ControlState.STOPPING

    @property
    def hasSecret(self) -> bool:
        """
        Whether a secret is agreed on with the peer.
        """
        return bool(self._handshake.secret)

    @property
    def believed(self) -> str:
        """
        See L{Handshake}.
        """
        return self._handshake.believed

    # Methods for the transport

    def open(self) -> None:
        """
        Open the connection by an SCCRQ.
        """
        self.state = ControlState.WAIT_CTL_REPLY
        self._life.within(self.settings.handshakeTimeout)
        self.tieBreaker = token_bytes(TIE_BREAKER_OCTETS)
        values = self._handshake.introduction() | {AVP.TIE_BREAKER: self.tieBreaker}
        self.send(L2TPMessage(MessageType.SCCRQ, values))

    def begin(self, header: ControlHeader, body: bytes, request: L2TPMessage) -> None:
        """
        Handle the SCCRQ by which the peer opens this connection.

        @param request: the message that C{body} is.
        """
        self.delivery.peerID = request.get(AVP.ASSIGNED_TUNNEL_ID)
        self._handshake.named(request)
        self.received(header, body)

    def received(self, header: ControlHeader, body: bytes) -> None:
        """
        Handle a control message of the peer, in order or not.
        """
        if self.state is not ControlState.CLOSED:
            self._life.heard()
            self.delivery.received(header, body)

    # DeliveryOwner

    def transmit(self, octets: bytes) -> None:
        """
        See L{pptpgw.tunnels.l2tp.delivery.DeliveryOwner.transmit}.
        """
        self._transmit(self, octets)

    def delivered(self, sessionID: int, body: bytes) -> None:
        """
        See L{pptpgw.tunnels.l2tp.delivery.DeliveryOwner.delivered}.
        """
        if self.state is ControlState.CLOSED:
            return
        call = self.calls.get(sessionID)
        try:
            kind, message = read(body, self._handshake.secret, self.settings.permissive)
        except NotUnderstood as error:
            self.counters.discard(error.reason)
            if error.error:
                self._fail(call, error.error, str(error))
            return
        action = CONNECTION_ACTIONS[self.state, kind]
        if action == "take":
            getattr(self, f"l2tp_{kind.name}")(message)
        elif action == "call":
            call = self.calls.find(sessionID, message)
            if call is None:
                self.counters.discard("control message of no call")
            else:
                call.received(message)
        else:
            self.counters.discard("control message out of place")
            if action == "end":
                text = f"{nameOf(kind)} in state {self.state.value}"
                self.stop(
                    Cause(text, Termination.USER_ERROR),
                    ResultCode(StopResult.FINITE_STATE_MACHINE_ERROR, 0, reason(text)),
                )

    def emptied(self) -> None:
        """
        See L{pptpgw.tunnels.l2tp.delivery.DeliveryOwner.emptied}: a StopCCN that is acknowledged
        closes the connection.
        """
        if self.state is ControlState.STOPPING:
            self.end(self.closeReason)

    def undelivered(self) -> bool:
        """
        See L{pptpgw.tunnels.l2tp.delivery.DeliveryOwner.undelivered}.
        """
        if self.state is ControlState.ESTABLISHED and self._life.isPresent():
            return True
        text = "control messages aren't acknowledged"
        if self.state is ControlState.WAIT_CTL_REPLY:
            text = "no answer to an SCCRQ"
        self.end(self.closeReason or Cause(text, Termination.LOST_CARRIER, Remedy.VANISHED))
        return False

    def discard(self, reason: str) -> None:
        """
        See L{pptpgw.tunnels.l2tp.delivery.DeliveryOwner.discard}.
        """
        self.counters.discard(reason)

    # Methods for the owner

    def placeCall(
        self, owner: ICallOwner, outgoing: bool = False, details: CallDetails = NO_DETAILS
    ) -> L2TPCall:
        """
        Ask the peer for a call. C{owner} is told what becomes of it.

        @param outgoing: whether to ask for an outgoing call, as LNS; otherwise as LAC.
        @param details: what the peer is told of an incoming call.
        @raise CallError: the connection isn't established.
        @raise pptpgw.error.Exhausted: the connection has as many calls as are allowed.
        """
        if self.state is not ControlState.ESTABLISHED:
            raise CallError(f"{self!r} can't place a call")
        kind = CallKind.LNS_OUTGOING if outgoing else CallKind.LAC_INCOMING
        call = self.calls.place(kind, owner, details)
        self._life.rest()
        call.placed()
        return call

    def stop(self, cause: str = "shut down", result: ResultCode | None = None) -> Deferred[None]:
        """
        End every call and send a StopCCN.

        @return: fires when the StopCCN is acknowledged, or after C{stopTimeout}.
        """
        if self.state is ControlState.CLOSED:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        if self.state is ControlState.STOPPING:
            return stopped
        self.closeReason = cause
        # Set before the owners of the calls are told, since they may stop the connection too.
        self.state = ControlState.STOPPING
        self.calls.finish(cause)
        if result is None:
            result = ResultCode(StopResult.SHUTTING_DOWN, 0, reason(cause))
        values: dict[int, Any] = {AVP.ASSIGNED_TUNNEL_ID: self.localID, AVP.RESULT_CODE: result}
        self._life.within(self.settings.stopTimeout)
        self.send(L2TPMessage(MessageType.STOPCCN, values))
        if not self.delivery.proven or not self.peerID:
            # It isn't repeated to a peer that may not read it.
            self.end(cause)
        return stopped

    def end(self, cause: str) -> None:
        """
        Close the connection without sending anything, and tell the owner. Calling this again does
        nothing.
        """
        if self.state is ControlState.CLOSED:
            return
        self.state = ControlState.CLOSED
        self.closeReason = cause
        self._life.end()
        self.calls.finish(cause)
        self.calls.end()
        self._forget(self)
        self.delivery.close()
        tell(self.owner.connectionClosed, self, cause)
        stopped, self._stopped = self._stopped, []
        for deferred in stopped:
            deferred.callback(None)

    # Methods for calls

    def send(
        self, message: L2TPMessage, sessionID: int = 0, hidden: frozenset[int] = frozenset()
    ) -> None:
        """
        Send a message, unless the connection is closed.

        @param sessionID: the id that the peer assigned to the call; 0 for the connection.
        @param hidden: the attributes whose values are hidden.
        @raise ValueError: something is to be hidden, and no secret is agreed on.
        """
        secret = self._handshake.secret
        if hidden and not secret:
            raise ValueError("without a secret nothing can be hidden")
        vector = token_bytes(VECTOR_OCTETS) if hidden else b""
        self.delivery.send(sessionID, encode(message, secret, vector, hidden))

    def callFinished(self, call: L2TPCall) -> None:
        """
        Remove C{call}, which is over.
        """
        del self.calls[call.localID]
        if not self.calls and self.state is ControlState.ESTABLISHED:
            self._life.rest()

    # The messages of the peer

    def l2tp_SCCRQ(self, message: L2TPMessage) -> None:
        """
        Answer the SCCRQ by which the peer opens the connection by an SCCRP.
        """
        self.state = ControlState.WAIT_CTL_CONN
        self._life.within(self.settings.handshakeTimeout)
        handshake = self._handshake
        try:
            handshake.introduced(message)
            values = handshake.introduction() | handshake.answer(message, MessageType.SCCRP)
        except Unacceptable as error:
            self._refuse(error)
            return
        self.delivery.peerWindow = handshake.peerWindow
        self.send(L2TPMessage(MessageType.SCCRP, values))

    def l2tp_SCCRP(self, message: L2TPMessage) -> None:
        """
        Answer an SCCRP by an SCCCN: the connection is established.
        """
        handshake = self._handshake
        self.delivery.peerID = message.get(AVP.ASSIGNED_TUNNEL_ID)
        try:
            handshake.introduced(message)
            handshake.verify(message)
            values = handshake.answer(message, MessageType.SCCCN)
        except Unacceptable as error:
            self._refuse(error)
            return
        self.delivery.peerWindow = handshake.peerWindow
        self.send(L2TPMessage(MessageType.SCCCN, values))
        self._establish()

    def l2tp_SCCCN(self, message: L2TPMessage) -> None:
        """
        Establish the connection, if the peer has proved that it knows the secret.
        """
        self.delivery.proven = True
        try:
            self._handshake.verify(message)
        except Unacceptable as error:
            self._refuse(error)
            return
        self._establish()

    def l2tp_STOPCCN(self, message: L2TPMessage) -> None:
        """
        Close the connection at the peer's StopCCN, whatever its codes are.
        """
        text = f"the peer closed the control connection: {told(StopResult, message)}"
        if self.state is ControlState.WAIT_CTL_REPLY:
            self.delivery.peerID = message.get(AVP.ASSIGNED_TUNNEL_ID)
        self.delivery.acknowledge()
        result = message.get(AVP.RESULT_CODE).result
        remedy = Remedy.SECRET if result == StopResult.NOT_AUTHORIZED else None
        self.end(self.closeReason or Cause(text, Termination.USER_REQUEST, remedy))

    def l2tp_HELLO(self, message: L2TPMessage) -> None:
        """
        Do nothing, since the HELLO is acknowledged.
        """

    def l2tp_ICRQ(self, message: L2TPMessage) -> None:
        """
        Tell the owner that the peer has an incoming call.
        """
        self._callRequested(CallKind.LNS_INCOMING, message)

    def l2tp_OCRQ(self, message: L2TPMessage) -> None:
        """
        Tell the owner that the peer asks for an outgoing call.
        """
        self._callRequested(CallKind.LAC_OUTGOING, message)

    # Internal methods

    def _refuse(self, error: Unacceptable) -> None:
        """
        Stop the connection, which the peer can't have.
        """
        self.stop(Cause(str(error), Termination.USER_ERROR, Remedy.SECRET), error.result)

    def _establish(self) -> None:
        self.state = ControlState.ESTABLISHED
        self._life.rest()
        tell(self.owner.connectionOpened, self)

    def _callRequested(self, kind: CallKind, message: L2TPMessage) -> None:
        wasFull = self.calls.isFull
        call = self.calls.answer(kind, message)
        if call is None:
            self.counters.discard("call requested twice")
            return
        self._life.rest()
        if wasFull:
            call.fail(ErrorCode.NO_RESOURCES, "as many calls on the connection as are allowed")
            return
        tell(self.owner.callRequested, call)
        self.accepted = None
        call.requested()

    def _fail(self, call: L2TPCall | None, error: ErrorCode, text: str) -> None:
        """
        End a call, or the connection if there is none, because of an error of the peer.
        """
        if call is not None and call.phase is not CallPhase.ENDED:
            call.fail(error, text)
        elif self.state is not ControlState.STOPPING:
            cause = Cause(text, Termination.USER_ERROR)
            self.stop(cause, ResultCode(StopResult.GENERAL_ERROR, error, reason(text)))
