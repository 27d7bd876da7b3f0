"""
Tests for L{pptpgw.tunnels.pptp.call}, L{pptpgw.tunnels.pptp.asked} and
L{pptpgw.tunnels.pptp.placed}.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from twisted.internet.task import Clock
from zope.interface import alsoProvides, implementer
from zope.interface.verify import verifyObject

from pptpgw.error import CallError, Exhausted
from pptpgw.interfaces import (
    Grant,
    ICall,
    ICallOwner,
    IKernelCall,
    ILineCall,
    LineErrors,
    Refusal,
    Stations,
    TunnelKind,
)
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.tunnels.pptp.asked import AskedCall, AskedIncomingCall
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.callid import KERNELS, OURS, CallIDs
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.placed import PlacedIncomingCall
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import CallState, Role, Side
from pptpgw.tunnels.pptp.wire.code import (
    CauseCode,
    DisconnectResult,
    GeneralError,
    IncomingCallResult,
    OutgoingCallResult,
)
from pptpgw.tunnels.pptp.wire.framing import Framing
from pptpgw.tunnels.pptp.wire.message import (
    CallClearRequest,
    CallDisconnectNotify,
    ControlMessage,
    EchoRequest,
    IncomingCallConnected,
    IncomingCallReply,
    IncomingCallRequest,
    OutgoingCallReply,
    OutgoingCallRequest,
    SetLinkInfo,
    StartControlConnectionReply,
    StartControlConnectionRequest,
    WANErrorNotify,
    decode,
    encode,
)


@implementer(ICallOwner)
class Line:
    """
    An established control connection, its transport and the owner of everything on it.
    """

    def __init__(self, side: Side) -> None:
        self.clock = Clock()
        self.callIDs = CallIDs(self.clock)
        self.octets = b""
        self.requested: list[AskedCall] = []
        self.told: list[tuple[str, object]] = []
        self.connection = ControlConnection(
            self.clock, ConnectionSettings(), self.callIDs, self, side, "192.0.2.1", "192.0.2.9"
        )
        self.connection.connectionMade(self)
        opening: ControlMessage = StartControlConnectionRequest()
        if side is Side.ORIGINATOR:
            opening = StartControlConnectionReply()
        self.receive(opening)
        self.sent()

    def write(self, octets: bytes) -> None:
        self.octets += octets

    def loseConnection(self) -> None:
        pass

    def abortConnection(self) -> None:
        pass

    def connectionOpened(self, connection: ControlConnection) -> None:
        pass

    def callRequested(self, call: AskedCall) -> None:
        self.requested.append(call)

    def connectionClosed(self, connection: ControlConnection, reason: str) -> None:
        pass

    def callEstablished(self, call: Any) -> None:
        self.told.append(("established", call.localCallID))

    def callEnded(self, call: Any, cause: str) -> None:
        self.told.append(("ended", cause))

    def receive(self, message: ControlMessage) -> None:
        self.connection.dataReceived(encode(message))

    def sent(self) -> list[ControlMessage]:
        framing = Framing()
        framing.feed(self.octets)
        self.octets = b""
        found = []
        while (frame := framing.next()) is not None:
            found.append(decode(frame))
        return found

    def asked(self, callID: int = 0x1234, accept: bool = True) -> AskedCall:
        """
        An outgoing call that the peer requests.
        """
        self.receive(
            OutgoingCallRequest(callID=callID, window=3, maximumBPS=10_000_000, phoneNumber=b"555")
        )
        call = self.requested[-1]
        if accept:
            call.accept(self)
            self.sent()
        self.told.clear()
        return call

    def placed(self, peerCallID: int = 0x4321) -> Call:
        """
        A call that we placed and the peer accepted.
        """
        call = self.connection.placeCall(self)
        self.receive(OutgoingCallReply(callID=peerCallID, peerCallID=call.localCallID, window=16))
        self.sent()
        self.told.clear()
        return call


@pytest.fixture
def pac() -> Line:
    return Line(Side.RECEIVER)


@pytest.fixture
def pns() -> Line:
    return Line(Side.ORIGINATOR)


# Calls of a PAC.


def test_accept(pac: Line) -> None:
    """
    The Outgoing-Call-Reply has both ends' call ids and our window.
    """
    call = pac.asked(accept=False)
    assert (call.peerCallID, call.peerWindow) == (0x1234, 3)
    assert (call.localAddress, call.peerAddress) == ("192.0.2.1", "192.0.2.9")
    call.accept(pac)
    assert pac.sent() == [
        OutgoingCallReply(
            callID=call.localCallID,
            peerCallID=0x1234,
            result=OutgoingCallResult.CONNECTED,
            connectSpeed=10_000_000,
            window=64,
        )
    ]
    assert pac.told == [("established", call.localCallID)]
    with pytest.raises(CallError):
        call.accept(pac)
    with pytest.raises(CallError):
        call.refuse(Refusal.BUSY)
    call.tellACCM(0, 0)
    assert pac.sent() == []


def test_zeroCallIDs(pac: Line) -> None:
    """
    A peer's call id of 0, and one that is already in use, are accepted.
    """
    first, second = pac.asked(0), pac.asked(0)
    assert first.peerCallID == second.peerCallID == 0
    assert first.localCallID != second.localCallID
    assert pac.connection.calls == {first.localCallID: first, second.localCallID: second}


def test_refuse(pac: Line) -> None:
    """
    A refused call gives back its id, and no owner is told.
    """
    call = pac.asked(accept=False)
    call.refuse(Refusal.BUSY)
    (reply,) = pac.sent()
    assert isinstance(reply, OutgoingCallReply)
    assert (reply.result, reply.cause, reply.peerCallID) == (
        4,
        CauseCode.RESOURCE_UNAVAILABLE,
        0x1234,
    )
    assert (call.state, call.cause) == (CallState.ENDED, "refused: busy")
    assert pac.connection.calls == {}
    assert len(pac.callIDs) == 0
    call.refuse(Refusal.BUSY)
    assert pac.sent() == []
    assert pac.told == []


def test_notAnswered(pac: Line) -> None:
    """
    A call is refused when its owner doesn't decide in time, and the owner's late answer does
    nothing.
    """
    call = pac.asked(accept=False)
    pac.clock.advance(29)
    assert pac.sent() == []
    pac.clock.advance(1)
    (reply,) = pac.sent()
    assert isinstance(reply, OutgoingCallReply)
    assert reply.result == OutgoingCallResult.TIME_OUT
    call.accept(pac)
    assert pac.sent() == []
    assert pac.told == [("ended", "refused: time out")]


def test_lostBeforeAccepted(pac: Line) -> None:
    """
    An owner that accepts a call which has already ended is told so, once.
    """
    call = pac.asked(accept=False)
    pac.connection.connectionLost("gone")
    assert pac.told == []
    call.accept(pac)
    assert pac.told == [("ended", "gone")]


def test_hangUp(pac: Line) -> None:
    """
    A PAC hangs up with a Call-Disconnect-Notify that has its own call id (section 2.13).
    """
    call = pac.asked()
    call.hangUp("quota")
    assert pac.sent() == [
        CallDisconnectNotify(call.localCallID, DisconnectResult.ADMIN_SHUTDOWN, 0, 16)
    ]
    assert pac.told == [("ended", "quota")]
    call.hangUp("again")
    assert pac.sent() == []
    assert len(pac.told) == 1


def test_hangUpBeforeAccepted(pac: Line) -> None:
    """
    Hanging up a call that isn't accepted refuses it.
    """
    pac.asked(accept=False).hangUp("no")
    (reply,) = pac.sent()
    assert isinstance(reply, OutgoingCallReply)
    assert reply.result == OutgoingCallResult.BUSY


def test_cleared(pac: Line) -> None:
    """
    A Call-Clear-Request has the PNS's call id (section 2.12), and the answer has the PAC's.
    """
    other, call = pac.asked(5), pac.asked(6)
    pac.receive(CallClearRequest(6))
    assert pac.sent() == [CallDisconnectNotify(call.localCallID, DisconnectResult.REQUEST, 0, 16)]
    assert pac.told == [("ended", "the peer cleared the call")]
    assert other.isEstablished


def test_clearedByOurID(pac: Line) -> None:
    """
    A Call-Clear-Request with our call id, which some peers send, clears the call if no call has
    that id as the peer's.
    """
    first = pac.asked(5)
    second = pac.asked(first.localCallID)
    pac.receive(CallClearRequest(first.localCallID))
    assert (first.isEstablished, second.isEstablished) == (True, False)
    pac.receive(CallClearRequest(first.localCallID))
    assert first.state is CallState.ENDED
    pac.receive(CallClearRequest(first.localCallID))
    assert pac.connection.counters.discards == {"control message for no call": 1}


def test_clearedBeforeAccepted(pac: Line) -> None:
    """
    A PNS may clear a call before it is accepted.
    """
    call = pac.asked(5, accept=False)
    pac.receive(CallClearRequest(5))
    assert [message.messageType for message in pac.sent()] == [13]
    call.accept(pac)
    assert pac.told == [("ended", "the peer cleared the call")]


@pytest.mark.parametrize("result", [0, 1, 4, 255])
def test_disconnectedByPNS(pac: Line, result: int) -> None:
    """
    A PNS that sends a Call-Disconnect-Notify, as a PAC does, ends the call, whatever its result is.
    """
    pac.asked(5)
    pac.receive(CallDisconnectNotify(5, result))
    assert pac.sent() == []
    assert len(pac.told) == 1


def test_linkInfo(pac: Line) -> None:
    """
    Set-Link-Info changes nothing, and is tolerated for unknown calls, repeatedly, and late.
    """
    call = pac.asked()
    info = SetLinkInfo(call.localCallID, 0xFFFFFFFF, 0x000A0000)
    pac.receive(info)
    pac.receive(info)
    pac.receive(SetLinkInfo(call.localCallID ^ 1))
    assert pac.told == [] and call.isEstablished
    call.hangUp("over")
    pac.receive(info)
    assert pac.told == [("ended", "over")]
    assert call.connection.state.value == "established"


# Calls of a PNS.


def test_place(pns: Line) -> None:
    """
    The request has our call id and the reply has the peer's.
    """
    call = pns.connection.placeCall(pns, Stations(called="123"))
    (request,) = pns.sent()
    assert isinstance(request, OutgoingCallRequest)
    assert request.callID == call.localCallID
    assert (request.phoneNumber, request.phoneNumberLength, request.window) == (b"123", 3, 64)
    assert call.peerCallID == -1
    pns.receive(OutgoingCallReply(callID=0, peerCallID=call.localCallID, window=16))
    assert (call.peerCallID, call.peerWindow) == (0, 16)
    assert pns.told == [("established", call.localCallID)]
    pns.receive(OutgoingCallReply(callID=8, peerCallID=call.localCallID))
    assert call.peerCallID == 0
    assert pns.connection.counters.discards == {"Outgoing-Call-Reply to no request": 1}


def test_placeSeveral(pns: Line) -> None:
    """
    Each placed call has its own call id and serial number.
    """
    calls = [pns.connection.placeCall(pns) for _ in range(3)]
    assert len({call.localCallID for call in calls}) == 3
    requests = [one for one in pns.sent() if isinstance(one, OutgoingCallRequest)]
    assert [one.callSerialNumber for one in requests] == [1, 2, 3]


def test_replyRefuses(pns: Line) -> None:
    """
    A refusal ends the call, and the cause has its codes in words.
    """
    call = pns.connection.placeCall(pns)
    pns.receive(OutgoingCallReply(peerCallID=call.localCallID, result=2, error=4, cause=34))
    assert pns.told == [
        (
            "ended",
            "the peer refused the call: general error, no resource, cause: no circuit available",
        )
    ]
    assert len(pns.callIDs) == 0


def test_notReplied(pns: Line) -> None:
    """
    A request without a reply is cleared, and the call ends soon after.
    """
    call = pns.connection.placeCall(pns)
    pns.sent()
    pns.clock.advance(59.9)
    pns.sent()
    pns.clock.advance(0.1)
    assert CallClearRequest(call.localCallID) in pns.sent()
    assert pns.told == []
    pns.clock.advance(5)
    assert pns.told == [("ended", "the peer didn't answer the Outgoing-Call-Request")]


def test_clear(pns: Line) -> None:
    """
    A PNS hangs up with a Call-Clear-Request that has its own call id, and the peer's notification
    ends the call.
    """
    call = pns.placed()
    call.hangUp("enough")
    assert pns.sent() == [CallClearRequest(call.localCallID)]
    call.hangUp("again")
    assert pns.sent() == []
    assert pns.told == []
    pns.receive(CallDisconnectNotify(call.peerCallID))
    assert pns.told == [("ended", "enough")]


def test_clearUnanswered(pns: Line) -> None:
    """
    A PNS waits for the notification of a cleared call for a limited time.
    """
    pns.placed().hangUp("enough")
    pns.clock.advance(5)
    assert pns.told == [("ended", "enough")]
    assert pns.connection.calls == {}


def test_clearBeforeReply(pns: Line) -> None:
    """
    A call that is cleared before the reply waits for the notification, which may have a call id
    that the PNS never learnt.
    """
    call = pns.connection.placeCall(pns)
    call.hangUp("changed my mind")
    pns.receive(CallDisconnectNotify(0x7777))
    assert pns.told == [("ended", "changed my mind")]


def test_clearCrossesReply(pns: Line) -> None:
    """
    A reply that crosses our Call-Clear-Request doesn't establish the call.
    """
    call = pns.connection.placeCall(pns)
    call.hangUp("changed my mind")
    pns.receive(OutgoingCallReply(callID=9, peerCallID=call.localCallID))
    assert pns.told == []
    pns.receive(CallDisconnectNotify(9))
    assert pns.told == [("ended", "changed my mind")]


@pytest.mark.parametrize("result", [0, 3, 9])
def test_disconnected(pns: Line, result: int) -> None:
    """
    A Call-Disconnect-Notify with any code ends its call, and other calls go on.
    """
    other, call = pns.placed(1), pns.placed(2)
    pns.receive(CallDisconnectNotify(2, result))
    assert call.state is CallState.ENDED
    assert other.isEstablished
    assert len(pns.told) == 1
    pns.receive(CallDisconnectNotify(other.localCallID))
    assert len(pns.told) == 2


def test_placedNotAsked(pns: Line) -> None:
    """
    A call that we placed can neither be accepted nor refused.
    """
    call = pns.placed()
    with pytest.raises(CallError):
        call.accept(pns)
    with pytest.raises(CallError):
        call.refuse(Refusal.BUSY)


# Incoming calls, as PNS.


def incoming(line: Line) -> AskedCall:
    """
    An incoming call that the peer, a PAC, offers.
    """
    line.receive(
        IncomingCallRequest(
            callID=0x1234,
            callSerialNumber=3,
            physicalChannelID=9,
            dialedNumber=b"555",
            dialingNumber=b"0123 456",
            subaddress=b"7",
        )
    )
    return line.requested[-1]


def test_incoming(pac: Line) -> None:
    """
    A call that a PAC offers is established by its Incoming-Call-Connected, once it was accepted.
    """
    call = incoming(pac)
    assert (call.role, call.caller, call.called) == (Role.PNS, "192.0.2.9", "192.0.2.1")
    assert isinstance(call, AskedIncomingCall) and call.peerCallID == 0x1234
    assert call.stations == Stations("0123 456", "555", "7", channel="9")
    assert (call.concentrator, call.tunnelEnds.connection) == ("192.0.2.9", "3")
    pac.receive(IncomingCallConnected(call.localCallID))
    assert pac.connection.counters.discards == {"Incoming-Call-Connected of no call": 1}
    call.accept(pac)
    assert pac.sent() == [IncomingCallReply(callID=call.localCallID, peerCallID=0x1234, window=64)]
    assert pac.told == []
    pac.receive(IncomingCallConnected(call.localCallID, window=7))
    assert pac.told == [("established", call.localCallID)]
    assert call.peerWindow == 7
    pac.receive(IncomingCallConnected(call.localCallID, window=9))
    assert call.peerWindow == 7
    for maps in ((0xFFFFFFFF, 0xFFFFFFFF), (0xA0000, 0), (0xA0000, 0), (0xFFFFFFFF, 0xFFFFFFFF)):
        call.tellACCM(*maps)
    assert pac.sent() == [SetLinkInfo(0x1234, 0xA0000, 0), SetLinkInfo(0x1234)]
    with pytest.raises(CallError):
        call.refuse(Refusal.BUSY)


@pytest.mark.parametrize(
    ("reason", "result", "error"),
    [(Refusal.BUSY, 2, 4), (Refusal.FORBIDDEN, 3, 0), (Refusal.STOPPING, 2, 4)],
)
def test_incomingRefused(pac: Line, reason: Refusal, result: int, error: int) -> None:
    """
    A refused call that a PAC offered gives back its id, and no owner is told.
    """
    call = incoming(pac)
    call.refuse(reason)
    (reply,) = pac.sent()
    assert isinstance(reply, IncomingCallReply)
    assert (reply.result, reply.error, reply.peerCallID) == (result, error, 0x1234)
    assert len(pac.callIDs) == 0 and pac.told == []


def test_incomingNotAnswered(pac: Line) -> None:
    """
    A call that a PAC offered is refused when its owner doesn't decide in time.
    """
    incoming(pac)
    pac.clock.advance(30)
    (reply,) = pac.sent()
    assert isinstance(reply, IncomingCallReply)
    assert reply.result == IncomingCallResult.GENERAL_ERROR


def test_incomingNotConnected(pac: Line) -> None:
    """
    A PAC that doesn't connect the call which we accepted has it cleared.
    """
    call = incoming(pac)
    call.accept(pac)
    pac.clock.advance(59.9)
    pac.sent()
    pac.clock.advance(0.1)
    assert CallClearRequest(call.localCallID) in pac.sent()
    pac.receive(CallDisconnectNotify(0x1234))
    assert pac.told == [("ended", "the peer sent no Incoming-Call-Connected")]


def test_incomingCleared(pac: Line) -> None:
    """
    We, the PNS, end an incoming call by a Call-Clear-Request. That of a PAC has no meaning.
    """
    call = incoming(pac)
    call.accept(pac)
    pac.receive(IncomingCallConnected(call.localCallID))
    pac.receive(CallClearRequest(0x1234))
    assert pac.connection.counters.discards == {"Call-Clear-Request of a PAC": 1}
    pac.sent()
    call.hangUp("enough")
    assert pac.sent() == [CallClearRequest(call.localCallID)]
    pac.receive(CallDisconnectNotify(0x1234))
    assert pac.told[1:] == [("ended", "enough")]


# Incoming calls, as PAC.


def offered(line: Line, isAsynchronous: bool = False) -> PlacedIncomingCall:
    """
    An incoming call that we offer.
    """
    return line.connection.offerCall(line, Stations("0123 456", "555"), isAsynchronous)


@pytest.mark.parametrize("isAsynchronous", [False, True])
def test_offer(pns: Line, isAsynchronous: bool) -> None:
    """
    We offer a call with its numbers, and connect it as soon as the PNS accepts it. The bearer and
    the framing are those of its line.
    """
    call = offered(pns, isAsynchronous)
    kind = 1 if isAsynchronous else 2
    assert (call.role, call.caller, call.called) == (Role.PAC, "192.0.2.1", "192.0.2.9")
    assert pns.sent() == [
        IncomingCallRequest(
            callID=call.localCallID,
            callSerialNumber=1,
            bearerType=kind,
            dialedNumberLength=3,
            dialingNumberLength=8,
            dialedNumber=b"555",
            dialingNumber=b"0123 456",
        )
    ]
    pns.receive(OutgoingCallReply(callID=5, peerCallID=call.localCallID))
    assert pns.told == []
    pns.receive(IncomingCallReply(callID=6, peerCallID=call.localCallID, window=3))
    assert pns.sent() == [IncomingCallConnected(6, framingType=kind)]
    assert pns.told == [("established", call.localCallID)]
    assert (call.peerCallID, call.peerWindow) == (6, 3)
    pns.receive(CallClearRequest(6))
    assert pns.sent() == [CallDisconnectNotify(call.localCallID, DisconnectResult.REQUEST, 0, 16)]
    assert pns.told[1:] == [("ended", "the peer cleared the call")]


class Errors:
    """
    The errors of a line.
    """

    errors = LineErrors()


@pytest.mark.parametrize("isOffered", [True, False])
def test_joinedToALine(isOffered: bool) -> None:
    """
    The PNS is told of the errors of the line by which a call passes, which it asked for or was
    offered, at most once a minute. It tells which characters are to be escaped on the line.
    """
    line: Any = Errors()
    alsoProvides(line, ILineCall)
    pns = Line(Side.ORIGINATOR if isOffered else Side.RECEIVER)
    call: Any
    if isOffered:
        call = offered(pns)
        pns.receive(IncomingCallReply(callID=6, peerCallID=call.localCallID))
    else:
        call = pns.asked(6)
    call.joined(line)
    maps: list[tuple[int, int]] = []
    call.setACCM = lambda send, receive: maps.append((send, receive))
    pns.receive(SetLinkInfo(call.localCallID, 0xA0000, 0))
    assert maps == [(0xA0000, 0)]
    pns.sent()
    for errors in (LineErrors(2, 1), LineErrors(2, 1), LineErrors(3, 1, 5)):
        line.errors = errors
        pns.clock.advance(59)
        pns.receive(EchoRequest())
        pns.clock.advance(1)
    told = [one for one in pns.sent() if isinstance(one, WANErrorNotify)]
    assert told == [WANErrorNotify(6, 2, 1), WANErrorNotify(6, 3, 1, bufferOverruns=5)]
    call.hangUp("over")
    pns.receive(SetLinkInfo(call.localCallID, 0, 0))
    assert maps == [(0xA0000, 0)]
    pns.clock.advance(60)
    assert not [one for one in pns.sent() if isinstance(one, WANErrorNotify)]


def test_offerRefused(pns: Line) -> None:
    """
    A refusal ends the call that we offered, and the cause has its codes in words.
    """
    call = offered(pns)
    pns.receive(IncomingCallReply(peerCallID=call.localCallID, result=2, error=4))
    assert pns.told == [("ended", "the peer refused the call: general error, no resource")]
    assert len(pns.callIDs) == 0


def test_offerNotReplied(pns: Line) -> None:
    """
    An offer without a reply ends with a Call-Disconnect-Notify.
    """
    call = offered(pns)
    pns.clock.advance(59.9)
    pns.sent()
    pns.clock.advance(0.1)
    assert [one for one in pns.sent() if isinstance(one, CallDisconnectNotify)] == [
        CallDisconnectNotify(call.localCallID, DisconnectResult.LOST_CARRIER, 0, 16)
    ]
    assert pns.told == [("ended", "the peer didn't answer the Incoming-Call-Request")]


# Call ids.


def test_callIDs() -> None:
    """
    Call ids are unique among live calls, never 0, and in no predictable order.
    """
    callIDs = CallIDs(Clock())
    drawn = [callIDs.allocate() for _ in range(2000)]
    assert len(set(drawn)) == len(callIDs) == 2000
    assert min(drawn) > 0
    assert max(drawn) <= 0x7FFF
    steps = {(after - before) % 0x10000 for before, after in pairwise(drawn)}
    assert len(steps) > 1900


def test_callIDsRest(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The id of an ended call isn't used again for a while.
    """
    clock = Clock()
    callIDs = CallIDs(clock, rest=60)
    draws: Iterator[int] = iter([])
    monkeypatch.setattr(secrets, "randbelow", lambda limit: next(draws))
    draws = iter([4])
    assert callIDs.allocate() == 5
    callIDs.release(5)
    callIDs.release(5)
    clock.advance(59)
    draws = iter([4, 4, 6])
    assert callIDs.allocate() == 7
    clock.advance(1)
    draws = iter([4])
    assert callIDs.allocate() == 5
    assert len(callIDs) == 2


def test_callIDsRestBounded() -> None:
    """
    Short calls in quick succession don't use up the ids.
    """
    callIDs = CallIDs(Clock())
    for _ in range(CallIDs.RESTING + 5):
        callIDs.release(callIDs.allocate())
    assert len(callIDs) == 0
    assert len(callIDs._resting) == len(callIDs._restingIDs) == CallIDs.RESTING


@pytest.mark.parametrize("ids", [OURS, KERNELS])
def test_callIDsExhausted(ids: range) -> None:
    """
    All ids of a kind can be used at a time, and no more; the other kind isn't touched.
    """
    clock = Clock()
    callIDs = CallIDs(clock)
    assert {callIDs.allocate(ids) for _ in ids} == set(ids)
    with pytest.raises(Exhausted):
        callIDs.allocate(ids)
    one = ids[76]
    callIDs.release(one)
    with pytest.raises(Exhausted):
        callIDs.allocate(ids)
    clock.advance(60)
    assert callIDs.allocate(ids) == one
    callIDs.withdraw(one)
    assert callIDs.allocate(ids) == one
    (other,) = {OURS, KERNELS} - {ids}
    assert callIDs.allocate(other) in other


class Carrier:
    """
    What carries calls within the kernel, or refuses to.
    """

    def __init__(self) -> None:
        self.carried: list[int] = []
        self.error: OSError | None = None

    def openTransport(self, call: Call, receive: object) -> None:
        if self.error is not None:
            raise self.error
        self.carried.append(call.localCallID)

    def open(self, call: Call, owner: object, dataPath: object) -> None:
        self.carried.append(call.localCallID)


class TestCarriedByTheKernel:
    def test_renumbered(self, pac: Line) -> None:
        """
        A call that the kernel carries has one of the kernel's call ids, and the peer is told of
        that one alone.
        """
        pac.connection.channels = carrier = Carrier()  # type: ignore[assignment]
        call = pac.asked()
        before = call.localCallID
        assert before in OURS
        call.openTransport(lambda protocol, information: None)
        assert carrier.carried == [call.localCallID] and call.localCallID in KERNELS
        assert pac.connection.calls == {call.localCallID: call}
        # The data path may find out later that the kernel can't carry it.
        nothing: Any = None
        call.openChannel(nothing, nothing)
        assert carrier.carried[1] == call.localCallID and call.localCallID in OURS
        call.openTransport(lambda protocol, information: None)
        assert len(pac.callIDs) == 1

    def test_refused(self, pac: Line) -> None:
        """
        A call that the kernel can't carry has one of this process' call ids again.
        """
        pac.connection.channels = carrier = Carrier()  # type: ignore[assignment]
        carrier.error = OSError("no route")
        call = pac.asked()
        with pytest.raises(OSError, match="no route"):
            call.openTransport(lambda protocol, information: None)
        assert call.localCallID in OURS
        assert pac.connection.calls == {call.localCallID: call}
        assert len(pac.callIDs) == 1

    def test_placed(self, pns: Line) -> None:
        """
        A call that we place isn't carried, since the peer knows its id.
        """
        assert IKernelCall.providedBy(pns.asked())
        assert not IKernelCall.providedBy(pns.placed())


def test_interfaces(pac: Line, pns: Line) -> None:
    """
    A call provides L{ICall}, whichever end placed it.
    """
    offered, placed = pac.asked(), pns.placed()
    verifyObject(ICall, offered)
    verifyObject(ICallOwner, pac)
    assert (offered.caller, offered.called) == ("192.0.2.9", "192.0.2.1")
    assert (placed.caller, placed.called) == ("192.0.2.1", "192.0.2.9")
    assert offered.tunnel == TunnelKind("pptp", "PPTP", type=1, medium=1, portType=5)


@pytest.mark.parametrize(
    ("reason", "result", "cause"),
    [
        (Refusal.BUSY, OutgoingCallResult.BUSY, CauseCode.RESOURCE_UNAVAILABLE),
        (Refusal.FORBIDDEN, OutgoingCallResult.DO_NOT_ACCEPT, CauseCode.CALL_REJECTED),
        (Refusal.STOPPING, OutgoingCallResult.BUSY, CauseCode.TEMPORARY_FAILURE),
    ],
)
def test_everyRefusalHasItsCodes(pac: Line, reason: Refusal, result: int, cause: int) -> None:
    pac.asked(accept=False).refuse(reason)
    (reply,) = pac.sent()
    assert isinstance(reply, OutgoingCallReply)
    assert (reply.result, reply.error, reply.cause) == (result, 0, cause)


def test_aCallWithoutResourcesSaysSo(pac: Line) -> None:
    """
    The codes of a Call-Disconnect-Notify follow from the code of the call's cause.
    """
    call = pac.asked()
    call.hangUp(Cause("no address is left", Termination.SERVICE_UNAVAILABLE))
    assert pac.sent() == [
        CallDisconnectNotify(
            call.localCallID,
            DisconnectResult.GENERAL_ERROR,
            GeneralError.NO_RESOURCE,
            CauseCode.RESOURCE_UNAVAILABLE,
        )
    ]


def test_aProvenCallerProvesItsControlConnection(pac: Line) -> None:
    call = pac.asked()
    assert not call.connection.isProven
    call.authenticated(Grant("alice", b"", None, None))
    assert call.connection.isProven


def test_aCallWithoutGRE(pac: Line) -> None:
    """
    A call that was made for another data path can't have a channel in this process.
    """
    call: Any = pac.asked()
    with pytest.raises(CallError, match="no GRE port"):
        call.openChannel(None, None)
