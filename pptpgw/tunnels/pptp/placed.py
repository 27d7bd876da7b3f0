"""
Calls that we request: outgoing ones, which we, the PNS, ask of a PAC (RFC 2637 sections 2.7 and
2.8), and incoming ones, which we, the PAC, offer to a PNS (sections 2.9 to 2.11).

The peer has C{replyTimeout} for its reply.
"""

from __future__ import annotations

from abc import abstractmethod
from enum import IntEnum
from typing import ClassVar

from zope.interface import implementer

from pptpgw.error import CallError
from pptpgw.interfaces import ICallOwner, IJoinedCall, Refusal, Stations
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.tunnels.pptp.call import Call, CallConnection
from pptpgw.tunnels.pptp.statetable import CallState, Role
from pptpgw.tunnels.pptp.wire.code import (
    CauseCode,
    GeneralError,
    IncomingCallResult,
    OutgoingCallResult,
    describe,
    nameOf,
)
from pptpgw.tunnels.pptp.wire.message import (
    IncomingCallConnected,
    IncomingCallReply,
    IncomingCallRequest,
    OutgoingCallReply,
    OutgoingCallRequest,
)

LONGEST_NUMBER = 64
"""
The number of octets that a message has for a phone number.
"""

_ASYNCHRONOUS, _SYNCHRONOUS = 1, 2
"""
The types of framing (RFC 2637 section 2.11), and of the bearer: analog and digital (section 2.9).
"""

Reply = OutgoingCallReply | IncomingCallReply


class PlacedCall(Call):
    """
    A call that we request.

    @cvar results: the result codes of its reply.
    """

    __slots__ = ("_serial", "_stations")

    isPlaced = True
    results: ClassVar[type[IntEnum]]

    def __init__(
        self,
        connection: CallConnection,
        localCallID: int,
        serial: int,
        owner: ICallOwner,
        stations: Stations,
    ) -> None:
        """
        @param serial: the Call Serial Number, by which people find the call in both logs.
        """
        super().__init__(connection, localCallID, owner)
        self._stations = stations
        self._serial = serial

    @abstractmethod
    def _request(self) -> OutgoingCallRequest | IncomingCallRequest:
        """
        Return the message that requests the call.
        """

    def accept(self, owner: ICallOwner) -> None:
        """
        See L{ICall.accept}.

        @raise CallError: always, since nobody asks us.
        """
        raise CallError(f"{self!r} can't be accepted")

    def refuse(self, reason: Refusal) -> None:
        """
        See L{ICall.refuse}.

        @raise CallError: always, since nobody asks us.
        """
        raise CallError(f"{self!r} can't be refused")

    def placed(self) -> None:
        """
        Send the request.
        """
        request = self._request()
        self.wait(self.connection.within(request), self._notReplied)
        self.connection.send(request)

    def replied(self, reply: Reply) -> bool:
        """
        Handle the peer's reply.

        @return: False if none was expected.
        """
        if self.state not in (CallState.WAIT_REPLY, CallState.WAIT_DISCONNECT):
            return False
        # Both kinds of reply have the same code for success.
        if reply.result != OutgoingCallResult.CONNECTED:
            text = describe(self.results, reply.result)
            if reply.error:
                text += f", {describe(GeneralError, reply.error)}"
            if isinstance(reply, OutgoingCallReply) and reply.cause:
                text += f", cause: {describe(CauseCode, reply.cause)}"
            self.finish(self.cause or f"the peer refused the call: {text}")
            return True
        self.peerCallID = reply.callID
        self.peerWindow = reply.window
        if self.state is CallState.WAIT_REPLY:
            self.establish()
        return True

    def _notReplied(self) -> None:
        text = f"the peer didn't answer the {nameOf(self._request().messageType)}"
        self.hangUp(Cause(text, Termination.LOST_CARRIER))


class PlacedOutgoingCall(PlacedCall):
    """
    A call that we, the PNS, ask of a PAC.
    """

    __slots__ = ()

    role = Role.PNS
    results = OutgoingCallResult

    def _request(self) -> OutgoingCallRequest:
        """
        See L{PlacedCall._request}.
        """
        settings = self.connection.settings
        number = _number(self._stations.called)
        return OutgoingCallRequest(
            callID=self.localCallID,
            callSerialNumber=self._serial,
            maximumBPS=settings.linkSpeed,
            window=settings.window,
            phoneNumberLength=len(number),
            phoneNumber=number,
        )


@implementer(IJoinedCall)
class PlacedIncomingCall(PlacedCall):
    """
    A call that we, the PAC, offer to a PNS. It is connected as soon as the PNS accepts it, since
    the caller waits already. See L{IJoinedCall}.
    """

    __slots__ = ("_kind",)

    role = Role.PAC
    results = IncomingCallResult

    def __init__(
        self,
        connection: CallConnection,
        localCallID: int,
        serial: int,
        owner: ICallOwner,
        stations: Stations,
        isAsynchronous: bool,
    ) -> None:
        """
        @param isAsynchronous: whether the call has come by an asynchronous line.
        """
        super().__init__(connection, localCallID, serial, owner, stations)
        # An asynchronous line is analog, as far as we know.
        self._kind = _ASYNCHRONOUS if isAsynchronous else _SYNCHRONOUS

    def _request(self) -> IncomingCallRequest:
        """
        See L{PlacedCall._request}.
        """
        called, calling = _number(self._stations.called), _number(self._stations.calling)
        return IncomingCallRequest(
            callID=self.localCallID,
            callSerialNumber=self._serial,
            bearerType=self._kind,
            dialedNumberLength=len(called),
            dialingNumberLength=len(calling),
            dialedNumber=called,
            dialingNumber=calling,
            subaddress=_number(self._stations.subaddress),
        )

    def establish(self) -> None:
        """
        Tell the PNS that the call is connected, before the first frame.
        """
        settings = self.connection.settings
        self.state = CallState.ESTABLISHED
        self.connection.send(
            IncomingCallConnected(
                peerCallID=self.peerCallID,
                connectSpeed=settings.linkSpeed,
                window=settings.window,
                framingType=self._kind,
            )
        )
        # A peer in the same process may have ended the call already.
        if self.isEstablished:
            super().establish()


def _number(text: str) -> bytes:
    """
    Return a phone number as a message has it.
    """
    return text.encode()[:LONGEST_NUMBER]
