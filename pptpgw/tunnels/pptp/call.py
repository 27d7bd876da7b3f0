"""
The calls of a control connection (RFC 2637 sections 2.7 to 2.15 and 3.2).

As PAC we answer the Outgoing-Call-Request of a PNS by L{Call.accept} or L{Call.refuse}. A call that
isn't answered within C{answerTimeout} is refused with the result Time-out. As PNS we place the call
and wait for the Outgoing-Call-Reply.

A call is found by the call id in a message:

  - Call-Clear-Request: the id that the sender, the PNS, assigned (section 2.12).
  - Call-Disconnect-Notify: the id that the sender, the PAC, assigned (section 2.13).
  - Set-Link-Info and WAN-Error-Notify: the id that the receiver assigned.

Some peers mix these up. So if no call has the id, a call is looked for to which the other side
assigned it.

A call ends by a Call-Clear-Request (from the PNS) or a Call-Disconnect-Notify (from the PAC),
whatever their codes, together with its control connection, or by L{Call.hangUp}. After a
Call-Clear-Request the PNS waits C{clearTimeout} for the notification, no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.error import CallError
from pptpgw.interfaces import (
    Grant,
    ICallOwner,
    IChannel,
    IChannelHost,
    IChannelOwner,
    IKernelCall,
    IKernelTransport,
    IStagedCall,
    Refusal,
    TunnelKind,
)
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.pptp.callcode import REFUSALS, disconnection
from pptpgw.tunnels.pptp.callid import KERNELS, OURS
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import CallState, ConnectionState, Role
from pptpgw.tunnels.pptp.wire.code import (
    CauseCode,
    DisconnectResult,
    GeneralError,
    OutgoingCallResult,
    StopReason,
    describe,
)
from pptpgw.tunnels.pptp.wire.message import (
    CallClearRequest,
    CallDisconnectNotify,
    ControlMessage,
    OutgoingCallReply,
    OutgoingCallRequest,
)
from pptpgw.tunnels.telling import tell

PPTP = TunnelKind("pptp", "PPTP", type=1, medium=1)

CONTROL = "control connection"
"""
The stage of an attempt before it asks for a call, and the word for a TCP connection in the log.
"""

HEAD_START = 0.002
"""
The time in seconds that LCP waits, so that the Outgoing-Call-Reply, which the reactor writes in its
next turn, arrives first. Most clients drop GRE packets that come before it.
"""


class Channels(TypingProtocol):
    """
    The interface of an object that opens the channels of calls.
    """

    def open(self, call: Call, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{pptpgw.interfaces.ICall.openChannel}.
        """

    def openTransport(self, call: Call, receive: Callable[[int, bytes], None]) -> IKernelTransport:
        """
        See L{pptpgw.interfaces.IKernelCall.openTransport}.
        """


class CallConnection(TypingProtocol):
    """
    The parts of a control connection that calls and message handlers use.
    L{pptpgw.tunnels.pptp.connection.ControlConnection} implements them.
    """

    accepted: float | None
    calls: dict[int, Call]
    channels: Channels | None
    clock: IReactorTime
    closeReason: str
    counters: Counters
    echoIdentifier: int
    isProven: bool
    localAddress: str
    peerAddress: str
    peerHostName: str
    peerVendorName: str
    role: Role
    settings: ConnectionSettings
    state: ConnectionState

    def connectionLost(self, reason: str) -> None: ...
    def send(self, message: ControlMessage) -> None: ...
    def within(self, message: ControlMessage) -> float: ...
    def allocate(self) -> int: ...
    def addCall(self, call: Call) -> None: ...
    def renumber(self, call: Call, ids: range) -> None: ...
    def callAsked(self, call: Call) -> None: ...
    def callFinished(self, call: Call) -> None: ...
    def open(self) -> None: ...
    def askToStop(self, reason: str, code: StopReason) -> None: ...
    def end(self, reason: str) -> None: ...
    def stop(self, reason: str = ..., code: StopReason = ...) -> Deferred[None]: ...


@implementer(IStagedCall, IKernelCall)
class Call:
    """
    See L{IStagedCall} and L{IKernelCall}.

    @ivar connection: the control connection of the call.
    @ivar localCallID: the call id that we assigned, which is in the GRE packets that we receive.
    @ivar peerCallID: the call id that the peer assigned, which may be 0; -1 if it isn't known yet.
    @ivar peerWindow: the peer's receive window in packets.
    @ivar request: the Outgoing-Call-Request of the call.
    @ivar owner: the L{ICallOwner}; None before a PAC's call is accepted, and after its end.
    @ivar cause: why the call ended or is ending.
    """

    __slots__ = (
        "_timer",
        "cause",
        "connection",
        "localCallID",
        "owner",
        "peerCallID",
        "peerWindow",
        "request",
        "state",
    )

    tunnel = PPTP
    headStart = HEAD_START
    carrier = "GRE"
    encrypted = False
    accm = None

    def __init__(
        self,
        connection: CallConnection,
        localCallID: int,
        request: OutgoingCallRequest,
        owner: ICallOwner | None = None,
    ) -> None:
        self.connection = connection
        self.localCallID = localCallID
        self.request = request
        self.owner = owner
        self.peerCallID = -1
        self.peerWindow = 0
        self.state = CallState.WAIT_REPLY
        self.cause = ""
        self._timer: IDelayedCall | None = None
        if self.role is Role.PAC:
            self.peerCallID = request.callID
            self.peerWindow = request.window

    @property
    def role(self) -> Role:
        """
        Our role: PAC if the peer asked for the call, PNS if we placed it.
        """
        return self.connection.role

    @property
    def localAddress(self) -> str:
        """
        Our IPv4 address, dotted, which is the same for the control connection and GRE.
        """
        return self.connection.localAddress

    @property
    def peerAddress(self) -> str:
        """
        The peer's IPv4 address, dotted.
        """
        return self.connection.peerAddress

    @property
    def calledNumber(self) -> bytes:
        """
        The phone number in the request, unchanged; usually empty.
        """
        return self.request.phoneNumber

    @property
    def caller(self) -> str:
        """
        The PNS's IPv4 address, dotted.
        """
        return self.peerAddress if self.role is Role.PAC else self.localAddress

    @property
    def called(self) -> str:
        """
        The PAC's IPv4 address, dotted.
        """
        return self.localAddress if self.role is Role.PAC else self.peerAddress

    @property
    def steps(self) -> Sequence[tuple[str, float]]:
        """
        See L{IStagedCall}. Only the first call of a control connection is why it was opened.
        """
        accepted = self.connection.accepted
        return () if accepted is None else (("TCP", accepted),)

    @property
    def silence(self) -> str:
        """
        See L{ICall}.
        """
        return (
            f"no GRE from {self.peerAddress} since the call was set up: "
            "is protocol 47 blocked between us?"
        )

    @property
    def ends(self) -> Ends:
        """
        The two ends of the call's GRE tunnel, once the peer's call id is known.
        """
        return Ends(
            self.localAddress,
            self.peerAddress,
            self.localCallID,
            self.peerCallID,
        )

    def __repr__(self) -> str:
        return (
            f"<Call {self.localCallID} of {self.peerAddress} (call id there {self.peerCallID}), "
            f"{self.state.value}>"
        )

    # ICall, for the owner

    def accept(self, owner: ICallOwner) -> None:
        """
        See L{ICall.accept}.

        @raise CallError: we are the PNS, or the call has been accepted before.
        """
        if self.role is not Role.PAC or self.owner is not None:
            raise CallError(f"{self!r} can't be accepted")
        if self.state is CallState.ENDED:
            tell(owner.callEnded, self, self.cause)
            return
        self.owner = owner
        self._cancel()
        self.state = CallState.ESTABLISHED
        settings = self.connection.settings
        self._reply(
            OutgoingCallResult.CONNECTED,
            connectSpeed=min(settings.linkSpeed, self.request.maximumBPS or settings.linkSpeed),
            window=settings.window,
        )
        # A peer in the same process may have ended the call already.
        if self.isEstablished:
            tell(owner.callEstablished, self)

    def refuse(self, reason: Refusal) -> None:
        """
        See L{ICall.refuse}.

        @raise CallError: we are the PNS, or the call has been accepted.
        """
        result, cause = REFUSALS[reason]
        self._turnDown(result, cause)

    def hangUp(self, cause: str) -> None:
        """
        See L{ICall.hangUp}. A PAC sends a Call-Disconnect-Notify, and the call is over. A PNS sends
        a Call-Clear-Request, and the call is over with the peer's notification, or after
        C{clearTimeout}.
        """
        if self.role is Role.PNS:
            if self.state in (CallState.WAIT_REPLY, CallState.ESTABLISHED):
                self.cause = cause
                self.state = CallState.WAIT_DISCONNECT
                clear = CallClearRequest(self.localCallID)
                self.wait(self.connection.within(clear), self._notNotified)
                self.connection.send(clear)
        elif self.owner is None:
            self.refuse(Refusal.STOPPING)
        elif self.isEstablished:
            self._notify(*disconnection(cause))
            self.finish(cause)

    def authenticated(self, grant: Grant) -> None:
        """
        See L{ICall.authenticated}. From now on the control connection isn't closed to make room.
        """
        self.connection.isProven = True

    def openChannel(self, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{ICall.openChannel}.
        """
        channels = self.connection.channels
        if channels is None:
            raise CallError(f"{self!r} has no GRE port")
        if self.localCallID in KERNELS:
            # The kernel was to carry it, and couldn't.
            self.connection.renumber(self, OURS)
        return channels.open(self, owner, dataPath)

    def openTransport(self, receive: Callable[[int, bytes], None]) -> IKernelTransport:
        """
        See L{IKernelCall.openTransport}. The call gets another call id.

        @raise CallError: we are the PNS, which has told the peer its call id already; or the
            connection has no GRE port.
        """
        channels = self.connection.channels
        if channels is None or self.role is not Role.PAC:
            raise CallError(f"the kernel doesn't carry {self!r}")
        self.connection.renumber(self, KERNELS)
        try:
            return channels.openTransport(self, receive)
        except BaseException:
            self.connection.renumber(self, OURS)
            raise

    # Methods for the control connection

    @property
    def isEstablished(self) -> bool:
        """
        Whether the call can carry packets.
        """
        return self.state is CallState.ESTABLISHED

    def requested(self) -> None:
        """
        As PAC, limit the time for an answer. This is called after the owner of the connection was
        told of the call, unless it has answered.
        """
        if self.state is CallState.WAIT_REPLY:
            self.wait(self.connection.settings.answerTimeout, self._notAnswered)

    def placed(self) -> None:
        """
        As PNS, send the Outgoing-Call-Request.
        """
        self.wait(self.connection.within(self.request), self._notReplied)
        self.connection.send(self.request)

    def replied(self, reply: OutgoingCallReply) -> bool:
        """
        As PNS, handle an Outgoing-Call-Reply.

        @return: False if none was expected.
        """
        if self.state not in (CallState.WAIT_REPLY, CallState.WAIT_DISCONNECT):
            return False
        if reply.result != OutgoingCallResult.CONNECTED:
            text = describe(OutgoingCallResult, reply.result)
            if reply.error:
                text += f", {describe(GeneralError, reply.error)}"
            if reply.cause:
                text += f", cause: {describe(CauseCode, reply.cause)}"
            self.finish(self.cause or f"the peer refused the call: {text}")
            return True
        self.peerCallID = reply.callID
        self.peerWindow = reply.window
        if self.state is CallState.WAIT_REPLY:
            self._cancel()
            self.state = CallState.ESTABLISHED
            if self.owner is not None:
                tell(self.owner.callEstablished, self)
        return True

    def cleared(self) -> None:
        """
        As PAC, end the call at the peer's Call-Clear-Request, which is answered in every state.
        """
        self._notify(DisconnectResult.REQUEST, 0, CauseCode.NORMAL_CALL_CLEARING)
        self.finish(Cause("the peer cleared the call", Termination.USER_REQUEST))

    def disconnected(self, notice: CallDisconnectNotify) -> None:
        """
        End the call at the peer's Call-Disconnect-Notify, whatever its codes are.
        """
        text = f"the peer disconnected the call: {describe(DisconnectResult, notice.result)}"
        lost = notice.result == DisconnectResult.LOST_CARRIER
        code = Termination.LOST_CARRIER if lost else Termination.USER_REQUEST
        self.finish(self.cause or Cause(text, code))

    def finish(self, cause: str) -> None:
        """
        End the call without sending anything, and tell the owner. Calling this again does nothing.
        """
        if self.state is CallState.ENDED:
            return
        self._cancel()
        self.state = CallState.ENDED
        self.cause = cause
        self.connection.callFinished(self)
        owner, self.owner = self.owner, None
        if owner is not None:
            tell(owner.callEnded, self, cause)

    def wait(self, seconds: float, then: Callable[[], None]) -> None:
        """
        Call C{then} after C{seconds}, unless the state of the call changes before.
        """
        self._cancel()
        self._timer = self.connection.clock.callLater(seconds, then)

    def _cancel(self) -> None:
        self._timer = cancelled(self._timer)

    def _turnDown(self, result: int, cause: int = 0) -> None:
        if self.state is CallState.ENDED:
            return
        if self.role is not Role.PAC or self.owner is not None:
            raise CallError(f"{self!r} can't be refused")
        self._reply(result, cause=cause)
        self.finish(f"refused: {describe(OutgoingCallResult, result)}")

    def _notAnswered(self) -> None:
        self._turnDown(OutgoingCallResult.TIME_OUT)

    def _notReplied(self) -> None:
        text = "the peer didn't answer the Outgoing-Call-Request"
        self.hangUp(Cause(text, Termination.LOST_CARRIER))

    def _notNotified(self) -> None:
        self.finish(self.cause)

    def _reply(
        self,
        result: int,
        error: int = GeneralError.NONE,
        cause: int = 0,
        connectSpeed: int = 0,
        window: int = 0,
    ) -> None:
        self.connection.send(
            OutgoingCallReply(
                callID=self.localCallID,
                peerCallID=self.peerCallID,
                result=result,
                error=error,
                cause=cause,
                connectSpeed=connectSpeed,
                window=window,
            )
        )

    def _notify(self, result: int, error: int, causeCode: int) -> None:
        self.connection.send(
            CallDisconnectNotify(
                callID=self.localCallID, result=result, error=error, cause=causeCode
            )
        )
