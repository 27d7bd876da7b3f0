"""
The calls of a control connection (RFC 2637 sections 2.7 to 2.15 and 3.2).

A PNS asks a PAC for an outgoing call, and a PAC offers a PNS an incoming one. Either end of a
control connection may do either, so the role in a call is the call's own.
L{pptpgw.tunnels.pptp.asked} has the calls that the peer requests, and
L{pptpgw.tunnels.pptp.placed} those that we request.

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

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
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
    IKernelTransport,
    IStagedCall,
    LineErrors,
    Refusal,
    TunnelKind,
)
from pptpgw.ppp.wire.ppp import DEFAULT_ACCM
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.lineerrors import LineErrorNotices
from pptpgw.tunnels.pptp.callcode import disconnection
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import CallState, ConnectionState, Role
from pptpgw.tunnels.pptp.wire.code import CauseCode, DisconnectResult, StopReason, describe
from pptpgw.tunnels.pptp.wire.message import (
    CallClearRequest,
    CallDisconnectNotify,
    ControlMessage,
    SetLinkInfo,
    WANErrorNotify,
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
    peerName: str
    peerVendorName: str
    settings: ConnectionSettings
    state: ConnectionState

    def connectionLost(self, reason: str) -> None: ...
    def send(self, message: ControlMessage) -> None: ...
    def within(self, message: ControlMessage) -> float: ...
    def allocate(self) -> int: ...
    def addCall(self, call: Call) -> None: ...
    def renumber(self, call: Call, ids: range) -> None: ...
    def callAsked(self, call: Any) -> None: ...
    def callFinished(self, call: Call) -> None: ...
    def open(self) -> None: ...
    def askToStop(self, reason: str, code: StopReason) -> None: ...
    def end(self, reason: str) -> None: ...
    def stop(self, reason: str = ..., code: StopReason = ...) -> Deferred[None]: ...


@implementer(IStagedCall)
class Call(ABC):
    """
    See L{IStagedCall}.

    @cvar role: our role in the call.
    @cvar isPlaced: whether we requested the call.
    @ivar connection: the control connection of the call.
    @ivar localCallID: the call id that we assigned, which is in the GRE packets that we receive.
    @ivar peerCallID: the call id that the peer assigned, which may be 0; -1 if it isn't known yet.
    @ivar peerWindow: the peer's receive window in packets.
    @ivar owner: the L{ICallOwner}; None before a call is accepted, and after its end.
    @ivar cause: why the call ended or is ending.
    @ivar setACCM: see L{IJoinedCall}, which calls provide that we have as PAC.
    """

    __slots__ = (
        "_notices",
        "_timer",
        "_told",
        "cause",
        "connection",
        "localCallID",
        "owner",
        "peerCallID",
        "peerWindow",
        "setACCM",
        "state",
    )

    role: ClassVar[Role]
    isPlaced: ClassVar[bool]
    tunnel = PPTP
    headStart = HEAD_START
    carrier = "GRE"
    encrypted = False
    accm: int | None = None

    def __init__(
        self,
        connection: CallConnection,
        localCallID: int,
        owner: ICallOwner | None = None,
    ) -> None:
        self.connection = connection
        self.localCallID = localCallID
        self.owner = owner
        self.peerCallID = -1
        self.peerWindow = 0
        self.state = CallState.WAIT_REPLY
        self.cause = ""
        self.setACCM: Callable[[int, int], object] | None = None
        self._notices: LineErrorNotices | None = None
        self._timer: IDelayedCall | None = None
        # The maps that the PAC uses.
        self._told = DEFAULT_ACCM, DEFAULT_ACCM

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
    def caller(self) -> str:
        """
        The IPv4 address of the end that requested the call, dotted.
        """
        return self.localAddress if self.isPlaced else self.peerAddress

    @property
    def called(self) -> str:
        """
        The IPv4 address of the end that was asked, dotted.
        """
        return self.peerAddress if self.isPlaced else self.localAddress

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

    @abstractmethod
    def accept(self, owner: ICallOwner) -> None:
        """
        See L{ICall.accept}.

        @raise CallError: the call can't be accepted.
        """

    @abstractmethod
    def refuse(self, reason: Refusal) -> None:
        """
        See L{ICall.refuse}.

        @raise CallError: the call can't be refused.
        """

    def hangUp(self, cause: str) -> None:
        """
        See L{ICall.hangUp}. A PAC sends a Call-Disconnect-Notify, and the call is over. A PNS sends
        a Call-Clear-Request, and the call is over with the peer's notification, or after
        C{clearTimeout}.
        """
        if self.state is CallState.ENDED or self.state is CallState.WAIT_DISCONNECT:
            return
        if self.role is Role.PNS:
            self.cause = cause
            self.state = CallState.WAIT_DISCONNECT
            clear = CallClearRequest(self.localCallID)
            self.wait(self.connection.within(clear), self._notNotified)
            self.connection.send(clear)
        else:
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
        return channels.open(self, owner, dataPath)

    def tellACCM(self, send: int, receive: int) -> None:
        """
        As PNS, tell the PAC which characters are to be escaped on the line that it may have: the
        maps of what we send and of what we receive (RFC 2637 section 2.15).
        """
        if self.role is Role.PNS and self.isEstablished and self._told != (send, receive):
            self._told = send, receive
            self.connection.send(SetLinkInfo(self.peerCallID, send, receive))

    def joined(self, other: ICall) -> None:
        """
        See L{IJoinedCall.joined}: the PNS gets WAN-Error-Notifies (RFC 2637 section 2.14).
        """
        self._notices = LineErrorNotices(self.connection.clock, self._tellErrors)
        self._notices.begin(other)

    # Methods for the control connection

    @property
    def isEstablished(self) -> bool:
        """
        Whether the call can carry packets.
        """
        return self.state is CallState.ESTABLISHED

    def establish(self) -> None:
        """
        Carry packets from now on, and tell the owner.
        """
        self._cancel()
        self.state = CallState.ESTABLISHED
        if self.owner is not None:
            tell(self.owner.callEstablished, self)

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
        self.setACCM = None
        if self._notices is not None:
            self._notices.end()
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

    def _tellErrors(self, errors: LineErrors) -> None:
        self.connection.send(
            WANErrorNotify(
                self.peerCallID,
                crcErrors=errors.crc,
                framingErrors=errors.framing,
                bufferOverruns=errors.overruns,
            )
        )

    def _notNotified(self) -> None:
        self.finish(self.cause)

    def _notify(self, result: int, error: int, causeCode: int) -> None:
        self.connection.send(
            CallDisconnectNotify(
                callID=self.localCallID, result=result, error=error, cause=causeCode
            )
        )
