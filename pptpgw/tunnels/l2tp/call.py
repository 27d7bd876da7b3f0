"""
The calls of a control connection (RFC 2661 sections 5.2, 5.6 and 7.4), which the RFC calls
sessions.

Who asks for an incoming call is its LAC, who asks for an outgoing call is its LNS: see
L{CallKind}. The gateway answers both kinds, as every call is one that the peer begins, and PPP is
the same at both ends. L{pptpgw.tunnels.l2tp.statetable.CALL_RULES} says which message is legal in
which state.

A call ends by a CDN from either end, with its control connection, or by L{L2TPCall.hangUp}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from pptpgw.error import CallError
from pptpgw.interfaces import (
    UNKNOWN_STATIONS,
    Grant,
    ICall,
    ICallOwner,
    ICarriedCall,
    IChannel,
    IChannelHost,
    IChannelOwner,
    IConcentratedCall,
    IJoinedCall,
    IKernelCall,
    IKernelTransport,
    IProtectedCall,
    IProxiedCall,
    IStagedCall,
    LineErrors,
    Negotiated,
    Refusal,
    Stations,
    TunnelEnds,
    TunnelKind,
)
from pptpgw.log import readable
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.l2tp.carriage import SYNCHRONOUS, Carriage, DataConnection
from pptpgw.tunnels.l2tp.details import NO_DETAILS, CallDetails, groupOf, negotiatedOf
from pptpgw.tunnels.l2tp.ending import REFUSALS, reason, resultOf, told
from pptpgw.tunnels.l2tp.statetable import CALL_ACTIONS, CallKind, CallPhase
from pptpgw.tunnels.l2tp.wire.avp import CallErrors, ResultCode, SendReceiveACCM
from pptpgw.tunnels.l2tp.wire.code import AVP, CDNResult, ErrorCode, MessageType
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, nameOf
from pptpgw.tunnels.lineerrors import LineErrorNotices
from pptpgw.tunnels.telling import tell

L2TP = TunnelKind("l2tp", "L2TP", type=3, medium=1)


class L2TPCallConnection(DataConnection, TypingProtocol):
    """
    The parts of a control connection that calls use.
    L{pptpgw.tunnels.l2tp.connection.L2TPConnection} implements them.
    """

    accepted: float | None
    clock: IReactorTime
    isInitiator: bool
    isProven: bool

    @property
    def peerName(self) -> str: ...
    @property
    def believed(self) -> str: ...
    def callFinished(self, call: L2TPCall) -> None: ...


@implementer(
    IStagedCall,
    IProtectedCall,
    IProxiedCall,
    IConcentratedCall,
    ICarriedCall,
    IJoinedCall,
    IKernelCall,
)
class L2TPCall:
    """
    See L{IStagedCall}, L{IProtectedCall}, L{IProxiedCall}, L{IConcentratedCall},
    L{ICarriedCall}, L{IJoinedCall} and L{IKernelCall}.

    @ivar kind: which end we are, and who asked for the call.
    @ivar connection: the control connection of the call.
    @ivar localID: the session id that we assigned, which is in the messages that we receive.
    @ivar owner: the L{ICallOwner}; None before the peer's call is accepted, and after the end.
    @ivar cause: why the call ended.
    """

    tunnel = L2TP
    headStart = 0.0
    carrier = "L2TP data"
    accm = None

    def __init__(
        self,
        connection: L2TPCallConnection,
        kind: CallKind,
        localID: int,
        serial: int,
        peerID: int = 0,
        owner: ICallOwner | None = None,
        details: CallDetails = NO_DETAILS,
        stations: Stations = UNKNOWN_STATIONS,
    ) -> None:
        self.connection = connection
        self._details = details
        self.kind = kind
        self.localID = localID
        self.serial = serial
        self.owner, self.cause = owner, ""
        self.negotiated: Negotiated | None = None
        self.stations = stations
        self.setACCM: Callable[[int, int], object] | None = None
        self._notices: LineErrorNotices | None = None
        self.encrypted = bool(self.protection)
        self.phase = CallPhase.WAIT_REPLY if kind.isOurs else CallPhase.WAIT_ANSWER
        self._timer: IDelayedCall | None = None
        self._carriage = Carriage(connection, kind, localID, peerID)

    def __repr__(self) -> str:
        return (
            f"<L2TPCall {self.localID} of {self.connection.peer[0]} (session id there "
            f"{self.peerID}), {self.kind.value}, {self.phase.value}>"
        )

    @property
    def peerID(self) -> int:
        """
        The session id that the peer assigned; 0 while it is unknown.
        """
        return self._carriage.peerID

    @property
    def caller(self) -> str:
        """
        The IPv4 address of the end that asked for the call, dotted.
        """
        connection = self.connection
        return connection.localAddress if self.kind.isOurs else connection.peer[0]

    @property
    def called(self) -> str:
        """
        The IPv4 address of the other end, dotted.
        """
        connection = self.connection
        return connection.peer[0] if self.kind.isOurs else connection.localAddress

    @property
    def concentrator(self) -> str:
        """
        See L{IConcentratedCall}.
        """
        return "" if self.kind.isOurs else self.connection.believed

    @property
    def tunnelEnds(self) -> TunnelEnds:
        """
        See L{ICarriedCall}.
        """
        connection = self.connection
        addresses = connection.localAddress, connection.peer[0]
        names = readable(connection.settings.name), connection.peerName
        if not connection.isInitiator:
            addresses, names = addresses[::-1], names[::-1]
        return TunnelEnds(L2TP, *addresses, *names, str(self.serial))

    @property
    def steps(self) -> Sequence[tuple[str, float]]:
        """
        See L{IStagedCall}. Only the first call of a control connection is why it was opened.
        """
        accepted = self.connection.accepted
        return () if accepted is None else (("L2TP", accepted),)

    @property
    def protection(self) -> str:
        """
        See L{IProtectedCall}.
        """
        return self.connection.settings.protection(self.connection.peer)

    @property
    def silence(self) -> str:
        """
        See L{ICall}.
        """
        return (
            f"no PPP frame from {self.connection.peer[0]} since the call was set up: has its PPP "
            "begun, and do data messages pass, which are as large as packets?"
        )

    @property
    def framesReceived(self) -> int:
        """
        How many frames have come from the peer.
        """
        return self._carriage.framesReceived

    # ICall

    def accept(self, owner: ICallOwner) -> None:
        """
        See L{pptpgw.interfaces.ICall.accept}.

        @raise CallError: the call is one that we placed, or it has been accepted before.
        """
        if self.kind.isOurs or self.owner is not None:
            raise CallError(f"{self!r} can't be accepted")
        if self.phase is CallPhase.ENDED:
            tell(owner.callEnded, self, self.cause)
            return
        self.owner = owner
        if self.kind is CallKind.LNS_INCOMING:
            self.phase = CallPhase.WAIT_CONNECT
            self._wait("the peer didn't send an ICCN")
            self._send(MessageType.ICRP, {AVP.ASSIGNED_SESSION_ID: self.localID})
        else:
            self._send(MessageType.OCRP, {AVP.ASSIGNED_SESSION_ID: self.localID})
            self._send(MessageType.OCCN, self._connected())
            self._establish()

    def refuse(self, reason: Refusal) -> None:
        """
        See L{pptpgw.interfaces.ICall.refuse}.

        @raise CallError: the call is one that we placed, or it has been accepted.
        """
        if self.phase is CallPhase.ENDED:
            return
        if self.kind.isOurs or self.owner is not None:
            raise CallError(f"{self!r} can't be refused")
        self._disconnect(REFUSALS[reason])
        self.finish(f"refused: {reason.value}")

    def hangUp(self, cause: str) -> None:
        """
        See L{pptpgw.interfaces.ICall.hangUp}.
        """
        if self.phase is CallPhase.ENDED:
            return
        if self.owner is None and not self.kind.isOurs:
            self.refuse(Refusal.STOPPING)
            return
        self._disconnect(resultOf(cause))
        self.finish(cause)

    def authenticated(self, grant: Grant) -> None:
        """
        See L{pptpgw.interfaces.ICall.authenticated}. From now on the control connection isn't
        closed to make room.
        """
        self.connection.isProven = True

    def openChannel(self, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{pptpgw.interfaces.ICall.openChannel}.
        """
        return self._carriage.open(owner, dataPath)

    def openTransport(self, receive: Callable[[int, bytes], None]) -> IKernelTransport:
        """
        See L{IKernelCall.openTransport}.

        @raise CallError: the kernel can't tell this call from another one, or there is no UDP port.
        """
        return self._carriage.openTransport(self.encrypted, receive)

    def joined(self, other: ICall) -> None:
        """
        See L{IJoinedCall.joined}. An LNS tells a LAC nothing of lines.
        """
        if self.kind.isLAC:
            self._notices = LineErrorNotices(self.connection.clock, self._tellErrors)
            self._notices.begin(other)

    # Methods for the control connection

    def requested(self) -> None:
        """
        Limit the time for an answer. This is called after the owner of the connection was told of
        the call.
        """
        if self.phase is CallPhase.WAIT_ANSWER:
            self._wait("the gateway didn't answer")

    def placed(self) -> None:
        """
        Ask the peer for the call.
        """
        values: dict[int, Any] = {
            AVP.ASSIGNED_SESSION_ID: self.localID,
            AVP.CALL_SERIAL_NUMBER: self.serial,
        }
        speed = self.connection.settings.linkSpeed
        if self.kind is CallKind.LAC_INCOMING:
            self._wait("the peer didn't answer the ICRQ")
            self._send(MessageType.ICRQ, {**values, **self._details.request})
        else:
            self._wait("the peer didn't answer the OCRQ")
            more: dict[int, Any] = {
                AVP.MINIMUM_BPS: 0,
                AVP.MAXIMUM_BPS: speed,
                AVP.BEARER_TYPE: 0,
                AVP.FRAMING_TYPE: SYNCHRONOUS,
                AVP.CALLED_NUMBER: b"",
            }
            self._send(MessageType.OCRQ, values | more)

    def received(self, message: L2TPMessage) -> None:
        """
        Handle a message that belongs to this call.
        """
        action = CALL_ACTIONS[self.kind, self.phase, MessageType(message.type)]
        if action == "take":
            getattr(self, f"l2tp_{MessageType(message.type).name}")(message)
            return
        self.connection.counters.discard("control message out of place")
        if action == "end":
            self.fail(ErrorCode.VENDOR_SPECIFIC, f"{nameOf(message.type)} out of place")

    def fail(self, error: ErrorCode, text: str) -> None:
        """
        End the call because of an error of the peer.
        """
        self._disconnect(ResultCode(CDNResult.GENERAL_ERROR, error, reason(text)))
        self.finish(Cause(text, Termination.USER_ERROR))

    def finish(self, cause: str) -> None:
        """
        End the call without sending anything, and tell the owner. Calling this again does nothing.
        """
        if self.phase is CallPhase.ENDED:
            return
        self._timer = cancelled(self._timer)
        self.phase = CallPhase.ENDED
        self.cause = cause
        self._carriage.close()
        if self._notices is not None:
            self._notices.end()
        self.setACCM = None
        self.connection.callFinished(self)
        owner, self.owner = self.owner, None
        if owner is not None:
            tell(owner.callEnded, self, cause)

    # The messages of the peer

    def l2tp_ICRP(self, message: L2TPMessage) -> None:
        """
        Answer an ICRP by an ICCN: the call is established.
        """
        self._carriage.peerID = message.get(AVP.ASSIGNED_SESSION_ID)
        self._send(MessageType.ICCN, self._connected(), self._details.hidden)
        self._establish()

    def l2tp_ICCN(self, message: L2TPMessage) -> None:
        """
        Note that the LAC has connected the call.
        """
        if self.connection.believed:
            self.negotiated = negotiatedOf(message)
            self.stations = replace(self.stations, group=groupOf(message))
        self._carriage.framing = message.get(AVP.FRAMING_TYPE)
        if message.get(AVP.SEQUENCING_REQUIRED):
            self._carriage.number()
        self._establish()

    l2tp_OCCN = l2tp_ICCN

    def l2tp_OCRP(self, message: L2TPMessage) -> None:
        """
        Note that the LAC places the call. It says by an OCCN when it is connected.
        """
        self._carriage.peerID = message.get(AVP.ASSIGNED_SESSION_ID)
        self.phase = CallPhase.WAIT_CONNECT
        self._wait("the peer didn't send an OCCN")

    def l2tp_CDN(self, message: L2TPMessage) -> None:
        """
        End the call at the peer's CDN, whatever its codes are.
        """
        result: ResultCode = message.get(AVP.RESULT_CODE)
        text = f"the peer disconnected the call: {told(CDNResult, message)}"
        lost = result.result == CDNResult.LOSS_OF_CARRIER
        self.finish(Cause(text, Termination.LOST_CARRIER if lost else Termination.USER_REQUEST))

    def l2tp_WEN(self, message: L2TPMessage) -> None:
        """
        Count that the LAC has had errors on its line.
        """
        self.connection.counters.discard("L2TP line errors told by a LAC")

    def l2tp_SLI(self, message: L2TPMessage) -> None:
        """
        Take the ACCMs that the LNS has negotiated, for a line that we may have.
        """
        accm: SendReceiveACCM = message.get(AVP.ACCM)
        if self.setACCM is not None:
            self.setACCM(accm.send, accm.receive)

    def _connected(self) -> dict[int, Any]:
        """
        Return the values of an ICCN or OCCN.
        """
        values: dict[int, Any] = {
            AVP.TX_CONNECT_SPEED: self.connection.settings.linkSpeed,
            AVP.FRAMING_TYPE: SYNCHRONOUS,
        }
        if self._carriage.isNumbered:
            values[AVP.SEQUENCING_REQUIRED] = True
        values.update(self._details.connected)
        return values

    def _establish(self) -> None:
        self._timer = cancelled(self._timer)
        # A peer in the same process may have ended the call already.
        if self.phase is not CallPhase.ENDED:
            self.phase = CallPhase.ESTABLISHED
            if self.owner is not None:
                tell(self.owner.callEstablished, self)

    def _wait(self, late: str) -> None:
        self._timer = cancelled(self._timer)
        clock = self.connection.clock
        self._timer = clock.callLater(self.connection.settings.answerTimeout, self._late, late)

    def _late(self, text: str) -> None:
        self._timer = None
        if self.phase is CallPhase.WAIT_ANSWER:
            self.refuse(Refusal.BUSY)
        else:
            self.hangUp(Cause(text, Termination.LOST_CARRIER))

    def _tellErrors(self, errors: LineErrors) -> None:
        told = CallErrors(errors.crc, errors.framing, bufferOverruns=errors.overruns)
        self._send(MessageType.WEN, {AVP.CALL_ERRORS: told})

    def _disconnect(self, result: ResultCode) -> None:
        self._send(
            MessageType.CDN, {AVP.RESULT_CODE: result, AVP.ASSIGNED_SESSION_ID: self.localID}
        )

    def _send(
        self, kind: MessageType, values: dict[int, Any], hidden: frozenset[int] = frozenset()
    ) -> None:
        self.connection.send(L2TPMessage(kind, values), self.peerID, hidden)
