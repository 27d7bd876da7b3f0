"""
Calls that the peer requests: outgoing ones, which a PNS asks of us, the PAC (RFC 2637 sections 2.7
and 2.8), and incoming ones, which a PAC offers to us, the PNS (sections 2.9 to 2.11).

The owner answers by L{AskedCall.accept} or L{AskedCall.refuse}. A call that isn't answered within
C{answerTimeout} is refused. An incoming call is established when the PAC has connected it, which
may take C{replyTimeout}.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from zope.interface import implementer

from pptpgw.error import CallError
from pptpgw.interfaces import (
    ICallOwner,
    ICarriedCall,
    IChannel,
    IChannelHost,
    IChannelOwner,
    IConcentratedCall,
    IDiallingCall,
    IJoinedCall,
    IKernelCall,
    IKernelTransport,
    Refusal,
    Stations,
    TunnelEnds,
)
from pptpgw.log import readable
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.tunnels.pptp.call import PPTP, Call, CallConnection
from pptpgw.tunnels.pptp.callcode import INCOMING, OUTGOING
from pptpgw.tunnels.pptp.callid import KERNELS, OURS
from pptpgw.tunnels.pptp.statetable import CallState, Role
from pptpgw.tunnels.pptp.wire.code import (
    GeneralError,
    IncomingCallResult,
    OutgoingCallResult,
    describe,
)
from pptpgw.tunnels.pptp.wire.message import (
    IncomingCallConnected,
    IncomingCallReply,
    IncomingCallRequest,
    OutgoingCallReply,
    OutgoingCallRequest,
)
from pptpgw.tunnels.telling import tell


@implementer(IKernelCall)
class AskedCall(Call):
    """
    A call that the peer requests. See L{IKernelCall}.
    """

    __slots__ = ()

    isPlaced = False

    def accept(self, owner: ICallOwner) -> None:
        """
        See L{ICall.accept}.

        @raise CallError: the call has been accepted before.
        """
        if self.owner is not None:
            raise CallError(f"{self!r} can't be accepted")
        if self.state is CallState.ENDED:
            tell(owner.callEnded, self, self.cause)
            return
        self.owner = owner
        self._cancel()
        self._answer()

    def refuse(self, reason: Refusal) -> None:
        """
        See L{ICall.refuse}.

        @raise CallError: the call has been accepted.
        """
        if self.state is CallState.ENDED:
            return
        if self.owner is not None:
            raise CallError(f"{self!r} can't be refused")
        self._turnDown(reason)

    def hangUp(self, cause: str) -> None:
        """
        See L{ICall.hangUp}. A call that wasn't accepted is refused.
        """
        if self.owner is None:
            self.refuse(Refusal.STOPPING)
        else:
            super().hangUp(cause)

    def openChannel(self, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{ICall.openChannel}.
        """
        if self.localCallID in KERNELS:
            # The kernel was to carry it, and couldn't.
            self.connection.renumber(self, OURS)
        return super().openChannel(owner, dataPath)

    def openTransport(self, receive: Callable[[int, bytes], None]) -> IKernelTransport:
        """
        See L{IKernelCall.openTransport}. The call gets another call id.

        @raise CallError: the connection has no GRE port.
        """
        channels = self.connection.channels
        if channels is None:
            raise CallError(f"the kernel doesn't carry {self!r}")
        self.connection.renumber(self, KERNELS)
        try:
            return channels.openTransport(self, receive)
        except BaseException:
            self.connection.renumber(self, OURS)
            raise

    def requested(self) -> None:
        """
        Limit the time for an answer. This is called after the owner of the connection was told of
        the call, unless it has answered.
        """
        if self.state is CallState.WAIT_REPLY and self.owner is None:
            self.wait(self.connection.settings.answerTimeout, self._notAnswered)

    @abstractmethod
    def _answer(self) -> None:
        """
        Tell the peer that the call is accepted.
        """

    @abstractmethod
    def _turnDown(self, reason: Refusal) -> None:
        """
        Tell the peer that the call is refused, and end it.
        """

    @abstractmethod
    def _notAnswered(self) -> None:
        """
        End the call, which the owner hasn't answered in time.
        """


@implementer(IDiallingCall, IJoinedCall)
class AskedOutgoingCall(AskedCall):
    """
    A call that a PNS asks of us, the PAC. It is established when it is accepted. See
    L{IDiallingCall} and L{IJoinedCall}.
    """

    __slots__ = ("_request", "number")

    role = Role.PAC

    def __init__(
        self, connection: CallConnection, localCallID: int, request: OutgoingCallRequest
    ) -> None:
        super().__init__(connection, localCallID)
        self.peerCallID = request.callID
        self.peerWindow = request.window
        self.number = readable(request.phoneNumber)
        self._request = request

    def _answer(self) -> None:
        """
        See L{AskedCall._answer}.
        """
        settings = self.connection.settings
        self.state = CallState.ESTABLISHED
        self._reply(
            OutgoingCallResult.CONNECTED,
            connectSpeed=min(settings.linkSpeed, self._request.maximumBPS or settings.linkSpeed),
            window=settings.window,
        )
        # A peer in the same process may have ended the call already.
        if self.isEstablished:
            self.establish()

    def _turnDown(self, reason: Refusal) -> None:
        """
        See L{AskedCall._turnDown}.
        """
        self._refused(*OUTGOING[reason])

    def _notAnswered(self) -> None:
        """
        See L{AskedCall._notAnswered}.
        """
        self._refused(OutgoingCallResult.TIME_OUT)

    def _refused(self, result: int, cause: int = 0) -> None:
        self._reply(result, cause=cause)
        self.finish(f"refused: {describe(OutgoingCallResult, result)}")

    def _reply(self, result: int, cause: int = 0, connectSpeed: int = 0, window: int = 0) -> None:
        self.connection.send(
            OutgoingCallReply(
                callID=self.localCallID,
                peerCallID=self.peerCallID,
                result=result,
                cause=cause,
                connectSpeed=connectSpeed,
                window=window,
            )
        )


@implementer(IConcentratedCall, ICarriedCall)
class AskedIncomingCall(AskedCall):
    """
    A call that a PAC offers to us, the PNS. It is established when the PAC says, after we have
    accepted it, that it is connected. See L{IConcentratedCall} and L{ICarriedCall}.
    """

    __slots__ = ("_serial", "stations")

    role = Role.PNS
    accm = 0

    def __init__(
        self, connection: CallConnection, localCallID: int, request: IncomingCallRequest
    ) -> None:
        super().__init__(connection, localCallID)
        self.peerCallID = request.callID
        self.stations = Stations(
            readable(request.dialingNumber),
            readable(request.dialedNumber),
            readable(request.subaddress),
            channel=str(request.physicalChannelID or ""),
        )
        self._serial = request.callSerialNumber

    @property
    def concentrator(self) -> str:
        """
        See L{IConcentratedCall}. A PAC without a name is called by its address.
        """
        return self.connection.peerName or self.peerAddress

    @property
    def tunnelEnds(self) -> TunnelEnds:
        """
        See L{ICarriedCall}.
        """
        connection = self.connection
        return TunnelEnds(
            PPTP,
            self.caller,
            self.called,
            connection.peerName,
            readable(connection.settings.hostName),
            str(self._serial),
        )

    def connected(self, message: IncomingCallConnected) -> bool:
        """
        Handle an Incoming-Call-Connected.

        @return: False if none was expected.
        """
        if self.state is not CallState.WAIT_CONNECT:
            return False
        self.peerWindow = message.window
        self.establish()
        return True

    def _answer(self) -> None:
        """
        See L{AskedCall._answer}.
        """
        self.state = CallState.WAIT_CONNECT
        reply = self._reply(IncomingCallResult.CONNECT, window=self.connection.settings.window)
        self.wait(self.connection.within(reply), self._notConnected)
        self.connection.send(reply)

    def _turnDown(self, reason: Refusal) -> None:
        """
        See L{AskedCall._turnDown}.
        """
        self._refused(*INCOMING[reason])

    def _notAnswered(self) -> None:
        """
        See L{AskedCall._notAnswered}.
        """
        self._refused(IncomingCallResult.GENERAL_ERROR, GeneralError.NO_RESOURCE)

    def _notConnected(self) -> None:
        text = "the peer sent no Incoming-Call-Connected"
        self.hangUp(Cause(text, Termination.LOST_CARRIER))

    def _refused(self, result: int, error: int) -> None:
        self.connection.send(self._reply(result, error))
        self.finish(f"refused: {describe(IncomingCallResult, result)}")

    def _reply(self, result: int, error: int = 0, window: int = 0) -> IncomingCallReply:
        return IncomingCallReply(
            callID=self.localCallID,
            peerCallID=self.peerCallID,
            result=result,
            error=error,
            window=window,
        )
