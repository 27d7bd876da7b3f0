"""
One call of a control connection: a PPP session's tunnel (RFC 2637 sections 2.7 to 2.15 and 3.2).

The rules.  As PAC we answer an Outgoing-Call-Request (the PNS asks, we "dial"): L{Call.accept} or
L{Call.refuse}, within C{answerTimeout} or it is refused with Time-out.  As PNS we place the call
and wait for the Outgoing-Call-Reply.

Whose call id a message carries, and so how a call is found:

  - Call-Clear-Request: the one that its sender, the PNS, assigned (section 2.12).
  - Call-Disconnect-Notify: the one that its sender, the PAC, assigned (section 2.13).
  - Set-Link-Info, WAN-Error-Notify: the one that the receiver assigned.

Peers mix these up, so what matches nothing that way is tried the other way round.

A call ends by Call-Clear-Request (PNS) or Call-Disconnect-Notify (PAC), whatever codes they carry,
with its control connection, or by L{Call.hangUp}; the PNS's Call-Clear-Request waits
C{clearTimeout} for the notification, no longer.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.error import CallError
from pptpgw.interfaces import (
    Grant,
    ICall,
    ICallOwner,
    IChannel,
    IChannelHost,
    IChannelOwner,
    Refusal,
    TunnelKind,
)
from pptpgw.sessions.cause import Cause, Termination, codeOf
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.pptp.owner import Ends, tell
from pptpgw.tunnels.pptp.rules import ConnectionState, Role
from pptpgw.tunnels.pptp.settings import ConnectionSettings
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

PPTP = TunnelKind("pptp", "PPTP", type=1, medium=1)

HEAD_START = 0.002
"""
Seconds that LCP waits so that the Outgoing-Call-Reply, which the reactor writes in its next turn,
arrives first: most clients lose GRE packets that come before it.
"""

_REFUSALS = {
    Refusal.BUSY: (OutgoingCallResult.BUSY, CauseCode.RESOURCE_UNAVAILABLE),
    Refusal.FORBIDDEN: (OutgoingCallResult.DO_NOT_ACCEPT, CauseCode.CALL_REJECTED),
    Refusal.STOPPING: (OutgoingCallResult.DO_NOT_ACCEPT, 0),
}
"""
Result and cause code of an Outgoing-Call-Reply (RFC 2637 section 2.8). Clients dial a busy line
again.
"""

_GENERAL = DisconnectResult.ADMIN_SHUTDOWN, GeneralError.NONE, CauseCode.NORMAL_CALL_CLEARING
_CODES = {
    Termination.SERVICE_UNAVAILABLE: (
        DisconnectResult.GENERAL_ERROR,
        GeneralError.NO_RESOURCE,
        CauseCode.RESOURCE_UNAVAILABLE,
    ),
}
"""
Result, error and cause code of a Call-Disconnect-Notify (RFC 2637 section 2.13), by the code of the
cause; L{_GENERAL} for all others.
"""


class CallState(Enum):
    """
    The states of an outgoing call (RFC 2637 section 3.2); the PAC's wait_cs_ans is WAIT_REPLY too:
    the wait for the Outgoing-Call-Reply, ours or the peer's.
    """

    WAIT_REPLY = "wait_reply"
    ESTABLISHED = "established"
    WAIT_DISCONNECT = "wait_disconnect"
    ENDED = "ended"


class Channels(TypingProtocol):
    """
    What opens the channels of calls.
    """

    def open(self, call: Call, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{pptpgw.interfaces.ICall.openChannel}.
        """


class CallConnection(TypingProtocol):
    """
    What a call, and what the messages do, need of the control connection.

    L{pptpgw.tunnels.pptp.connection.ControlConnection} is one.
    """

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
    def callAsked(self, call: Call) -> None: ...
    def callFinished(self, call: Call) -> None: ...
    def open(self) -> None: ...
    def askToStop(self, reason: str, code: StopReason) -> None: ...
    def end(self, reason: str) -> None: ...
    def stop(self, reason: str = ..., code: StopReason = ...) -> Deferred[None]: ...


@implementer(ICall)
class Call:
    """
    See L{ICall}.

    @ivar connection: the control connection that it belongs to.
    @ivar localCallID: the call id that we assigned: in the GRE packets that we receive.
    @ivar peerCallID: the one that the peer assigned, 0 included; -1 until the peer named it.
    @ivar peerWindow: the peer's receive window in packets.
    @ivar request: the Outgoing-Call-Request that began it.
    @ivar owner: who is told; None until a PAC's call is accepted.
    @ivar cause: why it ended, or is being ended.
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
        What we are: the PAC of a call that was asked of us, the PNS of one that we placed.
        """
        return self.connection.role

    @property
    def localAddress(self) -> str:
        """
        Our IPv4 address, dotted: of the control connection and of the tunnel.
        """
        return self.connection.localAddress

    @property
    def peerAddress(self) -> str:
        """
        The peer's.
        """
        return self.connection.peerAddress

    @property
    def calledNumber(self) -> bytes:
        """
        The phone number of the request, as it came; usually empty.
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
        The ends of its GRE tunnel, once the peer has named its call id.
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

    # The owner's side.

    def accept(self, owner: ICallOwner) -> None:
        """
        As PAC: take the call that was asked for.  Where it ended in the meantime, C{owner} is told
        so at once.

        @raise CallError: it has been accepted before, or isn't ours to accept.
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
        # A peer in the same process may have answered, and ended the call, by now.
        if self.isEstablished:
            tell(owner.callEstablished, self)

    def refuse(self, reason: Refusal) -> None:
        """
        As PAC: turn the call down.  Harmless where it has ended.

        @raise CallError: it has been accepted, or isn't ours to refuse.
        """
        result, cause = _REFUSALS[reason]
        self._turnDown(result, cause)

    def hangUp(self, cause: str) -> None:
        """
        End the call: the PAC sends a Call-Disconnect-Notify, and the call is over; the PNS sends a
        Call-Clear-Request, and it is over with the peer's notification or soon after.  Harmless
        where the call is over or ending.
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
            self._notify(*_CODES.get(codeOf(cause), _GENERAL))
            self.finish(cause)

    def authenticated(self, grant: Grant) -> None:
        """
        See L{ICall.authenticated}: the control connection keeps its place from now on.
        """
        self.connection.isProven = True

    def openChannel(self, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{ICall.openChannel}.
        """
        channels = self.connection.channels
        if channels is None:
            raise CallError(f"{self!r} has no GRE port")
        return channels.open(self, owner, dataPath)

    # The control connection's side.

    @property
    def isEstablished(self) -> bool:
        """
        Whether the tunnel can carry packets.
        """
        return self.state is CallState.ESTABLISHED

    def requested(self) -> None:
        """
        As PAC: the connection's owner has been told of the request; it must answer in time.
        """
        if self.state is CallState.WAIT_REPLY:
            self.wait(self.connection.settings.answerTimeout, self._notAnswered)

    def placed(self) -> None:
        """
        As PNS: send the request.
        """
        self.wait(self.connection.within(self.request), self._notReplied)
        self.connection.send(self.request)

    def replied(self, reply: OutgoingCallReply) -> bool:
        """
        As PNS: an Outgoing-Call-Reply came; False where none was due.
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
        As PAC: a Call-Clear-Request came, which is answered in every state.
        """
        self._notify(DisconnectResult.REQUEST, 0, CauseCode.NORMAL_CALL_CLEARING)
        self.finish(Cause("the peer cleared the call", Termination.USER_REQUEST))

    def disconnected(self, notice: CallDisconnectNotify) -> None:
        """
        A Call-Disconnect-Notify came; it ends the call whatever its codes are.
        """
        text = f"the peer disconnected the call: {describe(DisconnectResult, notice.result)}"
        lost = notice.result == DisconnectResult.LOST_CARRIER
        code = Termination.LOST_CARRIER if lost else Termination.USER_REQUEST
        self.finish(self.cause or Cause(text, code))

    def finish(self, cause: str) -> None:
        """
        The call is over, nothing more is sent for it. Calling this again does nothing.
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
        Call C{then} unless the call moves on within C{seconds}.
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
