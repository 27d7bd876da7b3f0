"""
Tests for L{pptpgw.tunnels.pptp.connection}, L{pptpgw.tunnels.pptp.statetable} and
L{pptpgw.tunnels.pptp.handlers}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger
from zope.interface import implementer

from pptpgw.error import CallError, Exhausted
from pptpgw.interfaces import ICallOwner, Refusal
from pptpgw.tunnels import telling
from pptpgw.tunnels.pptp import handlers
from pptpgw.tunnels.pptp.asked import AskedCall
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import (
    ACTIONS,
    ANSWERS,
    CallState,
    ConnectionState,
    Role,
    Side,
)
from pptpgw.tunnels.pptp.wire.code import (
    ControlMessageType,
    GeneralError,
    IncomingCallResult,
    OutgoingCallResult,
    StopReason,
    nameOf,
)
from pptpgw.tunnels.pptp.wire.framing import Framing
from pptpgw.tunnels.pptp.wire.message import (
    MESSAGES,
    CallClearRequest,
    CallDisconnectNotify,
    ControlMessage,
    EchoReply,
    EchoRequest,
    IncomingCallConnected,
    IncomingCallReply,
    IncomingCallRequest,
    OutgoingCallReply,
    OutgoingCallRequest,
    SetLinkInfo,
    StartControlConnectionReply,
    StartControlConnectionRequest,
    StopControlConnectionReply,
    StopControlConnectionRequest,
    decode,
    encode,
)

SETTINGS = ConnectionSettings(hostName=b"gateway", vendorName=b"vendor", maximumCalls=4)


@implementer(ILogObserver)
class Log:
    """
    A log observer that keeps the events.
    """

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        self.events.append(event)


@implementer(ICallOwner)
class Bench:
    """
    A control connection whose transport and owner record what they are told.
    """

    def __init__(
        self, side: Side = Side.RECEIVER, state: ConnectionState = ConnectionState.IDLE
    ) -> None:
        self.clock = Clock()
        self.callIDs = CallIDs(self.clock)
        self.octets = b""
        self.closing = False
        self.aborted = False
        self.opened = 0
        self.closed: list[str] = []
        self.requested: list[AskedCall] = []
        self.established: list[Call] = []
        self.ended: list[tuple[Call, str]] = []
        self.decide: Callable[[AskedCall], object] = lambda call: call.accept(self)
        self.connection = ControlConnection(
            self.clock, SETTINGS, self.callIDs, self, side, "192.0.2.1", "192.0.2.9"
        )
        self.connection.connectionMade(self)
        if state is ConnectionState.ESTABLISHED or state is ConnectionState.WAIT_STOP_REPLY:
            self.receive(
                StartControlConnectionRequest()
                if side is Side.RECEIVER
                else StartControlConnectionReply(maximumChannels=1)
            )
        if state is ConnectionState.WAIT_STOP_REPLY:
            self.connection.stop("bench")
        assert self.connection.state in (state, ConnectionState.WAIT_CTL_REPLY)
        self.sent()

    def write(self, octets: bytes) -> None:
        assert not self.closing
        self.octets += octets

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.aborted = True

    def connectionOpened(self, connection: ControlConnection) -> None:
        self.opened += 1

    def callRequested(self, call: AskedCall) -> None:
        self.requested.append(call)
        self.decide(call)

    def connectionClosed(self, connection: ControlConnection, reason: str) -> None:
        assert not connection.calls
        self.closed.append(reason)

    def callEstablished(self, call: Any) -> None:
        self.established.append(call)

    def callEnded(self, call: Any, cause: str) -> None:
        self.ended.append((call, cause))

    @property
    def discards(self) -> dict[str, int]:
        return self.connection.counters.discards

    def receive(self, *received: ControlMessage) -> None:
        self.connection.dataReceived(b"".join(encode(message) for message in received))

    def sent(self) -> list[ControlMessage]:
        framing = Framing()
        framing.feed(self.octets)
        self.octets = b""
        found = []
        while (frame := framing.next()) is not None:
            found.append(decode(frame))
        return found

    def call(self, peerCallID: int = 7) -> Call:
        """
        Establish one more call.
        """
        if self.connection.side is Side.RECEIVER:
            self.receive(OutgoingCallRequest(callID=peerCallID))
        else:
            placed = self.connection.placeCall(self)
            self.receive(OutgoingCallReply(callID=peerCallID, peerCallID=placed.localCallID))
        self.sent()
        return self.established[-1]


# The handshake.


def test_receives() -> None:
    """
    A PAC answers the request with its own values, and its owner is told.
    """
    bench = Bench()
    bench.receive(StartControlConnectionRequest(hostName=b"h\x07st", vendorName=b"Microsoft"))
    assert bench.sent() == [
        StartControlConnectionReply(
            maximumChannels=4, firmwareRevision=1, hostName=b"gateway", vendorName=b"vendor"
        )
    ]
    assert bench.opened == 1
    assert bench.connection.state is ConnectionState.ESTABLISHED
    assert bench.connection.peerName == "h?st"
    assert bench.connection.peerVendorName == "Microsoft"


def test_originates() -> None:
    """
    A PNS sends the request when TCP connects, and the reply establishes the connection.
    """
    bench = Bench(Side.ORIGINATOR)
    connection = ControlConnection(
        bench.clock, SETTINGS, bench.callIDs, bench, Side.ORIGINATOR, "192.0.2.1", "192.0.2.9"
    )
    connection.connectionMade(bench)
    assert bench.sent() == [
        StartControlConnectionRequest(
            maximumChannels=0, firmwareRevision=1, hostName=b"gateway", vendorName=b"vendor"
        )
    ]
    assert connection.state is ConnectionState.WAIT_CTL_REPLY
    with pytest.raises(CallError):
        connection.placeCall(bench)


@pytest.mark.parametrize("result", [0, 1])
def test_replyAccepted(result: int) -> None:
    """
    A PNS takes result 1 as success, and also 0, which some peers send.
    """
    bench = Bench(Side.ORIGINATOR)
    bench.receive(StartControlConnectionReply(result=result, hostName=b"there"))
    assert bench.opened == 1
    assert bench.connection.peerName == "there"


def test_replyRefused() -> None:
    """
    A PNS closes at any other result and gives the reason.
    """
    bench = Bench(Side.ORIGINATOR)
    bench.receive(StartControlConnectionReply(result=2, error=GeneralError.NO_RESOURCE))
    assert bench.closing
    assert bench.closed == ["the peer refused the control connection: general error, no resource"]
    assert bench.opened == 0


def test_earlierVersionRequested() -> None:
    """
    A PAC answers an earlier version than its own with result 5, then closes.
    """
    bench = Bench()
    bench.receive(StartControlConnectionRequest(protocolVersion=0x00FF))
    (reply,) = bench.sent()
    assert isinstance(reply, StartControlConnectionReply)
    assert reply.result == 5
    assert bench.closed == ["the peer's protocol version is 0x00ff"]
    assert bench.opened == 0


def test_laterVersionRequested() -> None:
    """
    A PAC answers a later version with its own, and the connection is established (section 3.1.2).
    """
    bench = Bench()
    bench.receive(StartControlConnectionRequest(protocolVersion=0x0200))
    (reply,) = bench.sent()
    assert isinstance(reply, StartControlConnectionReply)
    assert (reply.result, reply.protocolVersion) == (1, 0x0100)
    assert bench.opened == 1


def test_earlierVersionReplied() -> None:
    """
    A PNS answers an earlier version with a Stop of reason 2 (section 3.1.1).
    """
    bench = Bench(Side.ORIGINATOR)
    bench.receive(StartControlConnectionReply(protocolVersion=0x0001))
    assert bench.sent() == [StopControlConnectionRequest(StopReason.STOP_PROTOCOL)]
    assert bench.connection.state is ConnectionState.WAIT_STOP_REPLY
    bench.receive(StopControlConnectionReply())
    assert bench.closed == ["the peer's protocol version is 0x0001"]


def test_secondRequest() -> None:
    """
    A second request is answered with the result that a connection exists, which stays open with its
    calls.
    """
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    call = bench.call()
    bench.receive(StartControlConnectionRequest())
    (reply,) = bench.sent()
    assert isinstance(reply, StartControlConnectionReply)
    assert reply.result == 3
    assert bench.opened == 1
    assert call.isEstablished


# Every message in every state.

# The visible effects. drop: nothing is sent, and the message is counted; quiet: nothing is sent or
# counted; end: the connection closes. The columns are those of L{pptpgw.tunnels.pptp.statetable}.
SEEN = """
Start-Control-Connection-Request  2    2    drop  end   2    drop
Start-Control-Connection-Reply    end  drop drop  quiet drop drop
Stop-Control-Connection-Request   4end 4end 4end  4end  4end 4end
Stop-Control-Connection-Reply     end  drop end   end   drop end
Echo-Request                      end  6    6     end   6    6
Echo-Reply                        end  drop drop  end   drop drop
Outgoing-Call-Request             end  8    drop  end   8    drop
Outgoing-Call-Reply               end  drop drop  end   quiet drop
Incoming-Call-Request             end  10   drop  end   10   drop
Incoming-Call-Reply               end  drop drop  end   drop drop
Incoming-Call-Connected           end  drop drop  end   drop drop
Call-Clear-Request                end  13   drop  end   drop drop
Call-Disconnect-Notify            end  quiet drop end   quiet drop
WAN-Error-Notify                  end  drop drop  end   drop drop
Set-Link-Info                     end  quiet drop end   quiet drop
"""
COLUMNS = [
    (Side.RECEIVER, ConnectionState.IDLE),
    (Side.RECEIVER, ConnectionState.ESTABLISHED),
    (Side.RECEIVER, ConnectionState.WAIT_STOP_REPLY),
    (Side.ORIGINATOR, ConnectionState.WAIT_CTL_REPLY),
    (Side.ORIGINATOR, ConnectionState.ESTABLISHED),
    (Side.ORIGINATOR, ConnectionState.WAIT_STOP_REPLY),
]
CASES = [
    (line.split()[0], side, state, seen)
    for line in SEEN.strip().splitlines()
    for (side, state), seen in zip(COLUMNS, line.split()[1:], strict=True)
]


@pytest.mark.parametrize(("name", "side", "state", "seen"), CASES)
def test_everyMessageInEveryState(name: str, side: Side, state: ConnectionState, seen: str) -> None:
    """
    Each message has exactly the effect that the table gives for the role and the state.
    """
    (kind,) = [kind for kind in MESSAGES if nameOf(kind.messageType) == name]
    bench = Bench(side, state)
    message = kind()
    if state is ConnectionState.ESTABLISHED:
        call = bench.call(peerCallID=0)
        if kind is OutgoingCallReply:
            placed = bench.connection.placeCall(bench) if side is Side.ORIGINATOR else call
            message = OutgoingCallReply(callID=9, peerCallID=placed.localCallID)
            bench.sent()
    bench.receive(message)
    answers = [answer.messageType for answer in bench.sent()]
    assert answers == (
        [ControlMessageType(int(seen.removesuffix("end")))] if seen[0].isdigit() else []
    )
    assert bench.closing is seen.endswith("end")
    assert len(bench.closed) == (1 if seen.endswith("end") else 0)
    if not seen.endswith("end") and state is not ConnectionState.IDLE and seen != "quiet":
        assert bench.connection.state is state
    counted = sum(bench.discards.values())
    if seen == "drop":
        assert counted == 1
    elif seen == "quiet" or seen[0].isdigit():
        assert counted == 0


def test_rulesComplete() -> None:
    """
    The table has an action for each message and state, and code for each action.
    """
    assert len(ACTIONS) == 15 * 4
    for (_, kind), action in ACTIONS.items():
        assert action in ("take", "refuse", "drop", "end")
        if action in ("take", "refuse"):
            prefix = {"take": "pptp", "refuse": "refuse"}[action]
            assert callable(getattr(handlers, f"{prefix}_{kind.name}"))
    for answer, setting in ANSWERS.values():
        assert isinstance(answer, ControlMessageType)
        assert getattr(SETTINGS, setting) > 0


@pytest.mark.parametrize(("side", "state"), COLUMNS)
@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n",
        bytes.fromhex("001000011a2b3c4e0005000000000000"),
        bytes.fromhex("0000"),
        bytes.fromhex("000b"),
        bytes.fromhex("00dd"),
        bytes.fromhex("ffff"),
        bytes.fromhex("001400011a2b3c4d000500000000000000000000"),
        bytes.fromhex("000c00011a2b3c4d00050000"),
    ],
    ids=["http", "cookie", "0", "11", "221", "65535", "long", "short"],
)
def test_malformed(side: Side, state: ConnectionState, octets: bytes) -> None:
    """
    Octets that aren't a message close the connection at once, in every state.
    """
    bench = Bench(side, state)
    bench.connection.dataReceived(octets)
    assert bench.closing
    assert bench.closed[0].startswith("malformed: ")
    assert bench.discards == {"control message malformed": 1}
    bench.receive(EchoRequest(1))
    assert bench.sent() == []


@pytest.mark.parametrize(("side", "state"), COLUMNS)
@pytest.mark.parametrize(
    "octets",
    [
        bytes.fromhex("001000011a2b3c4d0010000000000000"),
        bytes.fromhex("001000021a2b3c4d0005000000000000"),
    ],
    ids=["type 16", "management"],
)
def test_unknown(side: Side, state: ConnectionState, octets: bytes) -> None:
    """
    An unknown but well-framed message is dropped by an established connection, and closes any
    other.
    """
    bench = Bench(side, state)
    bench.connection.dataReceived(octets)
    if state in (ConnectionState.ESTABLISHED, ConnectionState.WAIT_STOP_REPLY):
        assert not bench.closing
        assert bench.discards == {"control message unknown": 1}
        bench.receive(EchoRequest(5))
        assert bench.sent() == [EchoReply(5)]
    else:
        assert bench.closed[0].startswith("malformed: ")


CONVERSATION = b"".join(
    encode(message)
    for message in (
        StartControlConnectionRequest(hostName=b"x"),
        OutgoingCallRequest(callID=0),
        OutgoingCallRequest(callID=0),
        EchoRequest(77),
        IncomingCallRequest(callID=3),
        SetLinkInfo(1),
        CallClearRequest(0),
        StopControlConnectionRequest(),
    )
)


@pytest.mark.parametrize("size", [1, 2, 13, 100, len(CONVERSATION)])
def test_segments(size: int) -> None:
    """
    A conversation has the same course whether its octets arrive in one segment or one by one.
    """
    bench = Bench()
    for start in range(0, len(CONVERSATION), size):
        bench.connection.dataReceived(CONVERSATION[start : start + size])
    assert [message.messageType for message in bench.sent()] == [2, 8, 8, 6, 10, 13, 4]
    assert len(bench.ended) == 3
    assert bench.closed == ["the peer stopped the control connection: none"]


# Refusals.


@pytest.mark.parametrize("side", list(Side))
def test_eitherSideAnswers(side: Side) -> None:
    """
    Whoever has opened the connection, the peer may ask for outgoing calls and offer incoming ones.
    """
    bench = Bench(side, ConnectionState.ESTABLISHED)
    bench.receive(OutgoingCallRequest(callID=5), IncomingCallRequest(callID=6))
    outgoing, incoming = bench.requested
    assert (outgoing.role, incoming.role) == (Role.PAC, Role.PNS)
    assert [message.messageType for message in bench.sent()] == [8, 10]


@pytest.mark.parametrize("side", list(Side))
def test_eitherSideAsks(side: Side) -> None:
    """
    Whoever has opened the connection, we may ask for outgoing calls and offer incoming ones.
    """
    bench = Bench(side, ConnectionState.ESTABLISHED)
    outgoing = bench.connection.placeCall(bench)
    incoming = bench.connection.offerCall(bench)
    assert (outgoing.role, incoming.role) == (Role.PNS, Role.PAC)
    first, second = bench.sent()
    assert isinstance(first, OutgoingCallRequest) and isinstance(second, IncomingCallRequest)
    assert (first.callSerialNumber, second.callSerialNumber) == (1, 2)


def test_incomingCallRefused() -> None:
    """
    An incoming call is refused with the code of section 2.10.
    """
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    bench.decide = lambda call: call.refuse(Refusal.FORBIDDEN)
    bench.receive(IncomingCallRequest(callID=5))
    (call,) = bench.requested
    assert bench.sent() == [
        IncomingCallReply(
            callID=call.localCallID,
            peerCallID=5,
            result=IncomingCallResult.DO_NOT_ACCEPT,
            window=0,
        )
    ]
    assert len(bench.callIDs) == 0


def test_tooManyCalls() -> None:
    """
    A call beyond the limit gets General Error with No-Resource, and uses nothing up.
    """
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    for number in range(4):
        bench.call(number)
    bench.receive(OutgoingCallRequest(callID=9))
    assert bench.sent() == [
        OutgoingCallReply(
            peerCallID=9,
            result=OutgoingCallResult.GENERAL_ERROR,
            error=GeneralError.NO_RESOURCE,
            connectSpeed=0,
            window=0,
        )
    ]
    bench.receive(IncomingCallRequest(callID=9))
    assert bench.sent() == [
        IncomingCallReply(
            peerCallID=9,
            result=IncomingCallResult.GENERAL_ERROR,
            error=GeneralError.NO_RESOURCE,
            window=0,
        )
    ]
    assert len(bench.connection.calls) == len(bench.callIDs) == 4
    assert bench.discards == {
        "Outgoing-Call-Request beyond the limit": 1,
        "Incoming-Call-Request beyond the limit": 1,
    }


def test_tooManyCallsPlaced() -> None:
    """
    The limit of calls applies to a PNS too.
    """
    bench = Bench(Side.ORIGINATOR, ConnectionState.ESTABLISHED)
    for number in range(4):
        bench.call(number)
    with pytest.raises(Exhausted):
        bench.connection.placeCall(bench)


# Time limits.


def test_handshakeTimer() -> None:
    """
    A TCP connection is closed if no control connection is opened on it in time.
    """
    for side, awaited in ((Side.RECEIVER, "Request"), (Side.ORIGINATOR, "Reply")):
        bench = Bench(side)
        bench.connection.dataReceived(encode(EchoRequest())[:5])
        bench.clock.advance(9.9)
        assert bench.closed == []
        bench.clock.advance(0.2)
        assert bench.closed == [f"no Start-Control-Connection-{awaited} in 10 s"]


def test_echo() -> None:
    """
    An Echo-Request is sent after 60 s of silence, and the connection ends after 60 s more.
    """
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    call = bench.call()
    bench.clock.advance(59)
    assert bench.sent() == []
    bench.clock.advance(1)
    (request,) = bench.sent()
    assert isinstance(request, EchoRequest)
    bench.clock.advance(59)
    assert bench.closed == []
    bench.clock.advance(1)
    assert bench.closed == ["no answer to an Echo-Request in 60 s"]
    assert bench.ended == [(call, "no answer to an Echo-Request in 60 s")]


def test_echoAnswered() -> None:
    """
    An Echo-Reply, like any message, starts the 60 s anew. A part of a message doesn't.
    """
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    bench.call()
    bench.clock.advance(60)
    (request,) = bench.sent()
    assert isinstance(request, EchoRequest)
    bench.receive(EchoReply(request.identifier))
    bench.clock.advance(59)
    bench.receive(SetLinkInfo(0))
    bench.clock.advance(59)
    assert bench.sent() == []
    bench.connection.dataReceived(encode(EchoRequest())[:15])
    bench.clock.advance(1)
    (second,) = bench.sent()
    assert isinstance(second, EchoRequest)
    assert second.identifier != request.identifier


def test_noCall() -> None:
    """
    A PAC stops a connection that has no call for a time, at its beginning and later.
    """
    early = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    early.clock.advance(10)
    assert early.sent() == [StopControlConnectionRequest(StopReason.NONE)]
    early.receive(StopControlConnectionReply())
    assert early.closed == ["no call for 10 s"]
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    bench.clock.advance(9)
    call = bench.call()
    for _ in range(4):
        bench.clock.advance(50)
        bench.receive(EchoRequest())
    call.hangUp("over")
    bench.sent()
    bench.clock.advance(50)
    bench.receive(EchoRequest())
    bench.sent()
    bench.clock.advance(10)
    assert bench.sent() == [StopControlConnectionRequest(StopReason.NONE)]
    bench.receive(StopControlConnectionReply())
    assert bench.closed == ["no call for 60 s"]


def test_closeBounded() -> None:
    """
    A TCP connection that doesn't close in order is aborted.
    """
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    bench.receive(StopControlConnectionRequest())
    assert bench.closing
    bench.clock.advance(4.9)
    before = bench.aborted
    bench.clock.advance(0.2)
    assert (before, bench.aborted) == (False, True)
    bench.connection.connectionLost("aborted")
    assert len(bench.closed) == 1
    assert bench.clock.getDelayedCalls() == []


# Ends.


@pytest.mark.parametrize("side", list(Side))
def test_stop(side: Side) -> None:
    """
    C{stop} notifies every call and then sends a Stop-Control-Connection-Request, and the reply
    closes the connection.
    """
    bench = Bench(side, ConnectionState.ESTABLISHED)
    calls = [bench.call(1), bench.call(2)]
    fired: list[None] = []
    bench.connection.stop("bye").addCallback(fired.append)
    notice = 13 if side is Side.RECEIVER else 12
    sent = bench.sent()
    assert [message.messageType for message in sent] == [notice, notice, 3]
    assert sent[-1] == StopControlConnectionRequest(StopReason.STOP_LOCAL_SHUTDOWN)
    assert bench.ended == [(call, "bye") for call in calls]
    assert fired == []
    again: list[None] = []
    bench.connection.stop("again").addCallback(again.append)
    assert bench.sent() == []
    bench.receive(StopControlConnectionReply())
    assert fired == again == [None]
    assert bench.closed == ["bye"]
    assert bench.closing


def test_stopUnanswered() -> None:
    """
    C{stop} waits for the peer's reply for a limited time.
    """
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    fired: list[None] = []
    bench.connection.stop().addCallback(fired.append)
    bench.receive(EchoRequest())
    bench.clock.advance(5)
    assert fired == [None]
    assert bench.closed == ["shut down"]


def test_stopBeforeAndAfter() -> None:
    """
    C{stop} closes a connection at once that isn't open or has closed.
    """
    bench = Bench()
    fired: list[None] = []
    bench.connection.stop().addCallback(fired.append)
    assert bench.closed == ["shut down"]
    bench.connection.stop().addCallback(fired.append)
    assert fired == [None, None]
    assert bench.sent() == []


def test_stopFromCallEnded() -> None:
    """
    An owner that stops the connection when a call ends causes one Stop.
    """
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    bench.call(1)
    bench.call(2)
    stops: list[Deferred[None]] = []

    def callEnded(call: Call, cause: str) -> None:
        stops.append(bench.connection.stop("from within"))

    bench.callEnded = callEnded  # type: ignore[method-assign]
    bench.connection.stop("bye")
    assert [message.messageType for message in bench.sent()] == [13, 13, 3]
    bench.receive(StopControlConnectionReply())
    assert all(stop.called for stop in stops)
    assert len(stops) == 2


def test_lost() -> None:
    """
    The loss of the TCP connection ends its calls at once and leaves nothing behind.
    """
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    calls = [bench.call(1), bench.call(2)]
    bench.connection.connectionLost("gone")
    assert bench.ended == [(call, "gone") for call in calls]
    assert bench.closed == ["gone"]
    assert not bench.closing
    assert len(bench.callIDs) == 0
    assert bench.clock.getDelayedCalls() == []
    calls[0].hangUp("late")
    assert bench.sent() == []
    assert len(bench.ended) == 2


def test_ownersFault(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An exception of an owner hinders neither the other owners nor the connection.
    """
    log = Log()
    monkeypatch.setattr(telling, "_log", Logger(observer=log))
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    bench.call(1)
    bench.call(2)

    def callEnded(call: Call, cause: str) -> None:
        bench.ended.append((call, cause))
        raise RuntimeError("fault")

    bench.callEnded = callEnded  # type: ignore[method-assign]
    bench.connection.connectionLost("gone")
    assert len(bench.ended) == 2
    assert len(bench.closed) == 1
    assert len(log.events) == 2


def test_ownerFailsToDecide(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A request whose owner raises is refused when its time is up.
    """
    monkeypatch.setattr(telling, "_log", Logger(observer=Log()))
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)

    def decide(call: Call) -> None:
        raise RuntimeError("fault")

    bench.decide = decide
    bench.receive(OutgoingCallRequest(callID=1))
    bench.clock.advance(30)
    (reply,) = bench.sent()
    assert isinstance(reply, OutgoingCallReply)
    assert reply.result == OutgoingCallResult.TIME_OUT


def test_reentrant() -> None:
    """
    Octets that arrive while a message is handled are handled after it.
    """
    bench = Bench(Side.RECEIVER, ConnectionState.ESTABLISHED)
    order: list[int] = []

    def decide(call: Call) -> None:
        if call.peerCallID == 1:
            bench.receive(OutgoingCallRequest(callID=3))
        order.append(call.peerCallID)
        call.accept(bench)

    bench.decide = decide
    bench.receive(OutgoingCallRequest(callID=1), OutgoingCallRequest(callID=2))
    assert order == [1, 2, 3]


# Fuzzing.

SMALL = st.one_of(st.integers(0, 3), st.integers(0, 0xFFFF))
FUZZ_MESSAGE = st.one_of(
    st.sampled_from([kind() for kind in MESSAGES]),
    st.builds(OutgoingCallRequest, callID=SMALL, window=SMALL, maximumBPS=SMALL),
    st.builds(OutgoingCallReply, callID=SMALL, peerCallID=SMALL, result=st.integers(0, 8)),
    st.builds(IncomingCallRequest, callID=SMALL),
    st.builds(IncomingCallReply, callID=SMALL, peerCallID=SMALL, result=st.integers(0, 4)),
    st.builds(IncomingCallConnected, SMALL),
    st.builds(CallClearRequest, SMALL),
    st.builds(CallDisconnectNotify, SMALL, st.integers(0, 255)),
    st.builds(SetLinkInfo, SMALL),
    st.builds(StartControlConnectionRequest, st.sampled_from([0, 0x100, 0xFFFF])),
)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    octets = bytearray(encode(draw(FUZZ_MESSAGE)))
    octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return bytes(octets)


STEP = st.one_of(
    FUZZ_MESSAGE.map(encode),
    FUZZ_MESSAGE.map(encode),
    FUZZ_MESSAGE.map(encode),
    _mutated(),
    st.binary(max_size=30),
    st.floats(0.1, 70),
    st.sampled_from(["place", "offer", "answer", "connect", "mine", "hang up", "stop"]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(COLUMNS),
    st.lists(STEP, max_size=25),
    st.lists(st.sampled_from(["accept", "refuse", "later"]), min_size=1),
)
def test_fuzz(
    column: tuple[Side, ConnectionState],
    steps: list[bytes | float | str],
    decisions: list[str],
) -> None:
    """
    No messages in any state raise an exception or exceed a limit, each call ends exactly once, and
    after a silence nothing is left.
    """
    bench = Bench(*column)
    accepted: list[Call] = []

    def decide(call: Call) -> None:
        decision = decisions[len(bench.requested) % len(decisions)]
        if decision == "accept":
            accepted.append(call)
            call.accept(bench)
        elif decision == "refuse":
            call.refuse(Refusal.BUSY)

    bench.decide = decide
    connection = bench.connection
    for step in steps:
        living = list(connection.calls.values())
        if isinstance(step, bytes):
            connection.dataReceived(step)
        elif isinstance(step, float):
            bench.clock.advance(step)
        elif step in ("place", "offer"):
            place = connection.placeCall if step == "place" else connection.offerCall
            try:
                accepted.append(place(bench))
            except (CallError, Exhausted):
                pass
        elif step == "answer" and living:
            bench.receive(
                OutgoingCallReply(callID=1, peerCallID=living[-1].localCallID),
                IncomingCallReply(callID=1, peerCallID=living[-1].localCallID),
            )
        elif step == "connect" and living:
            bench.receive(IncomingCallConnected(living[-1].localCallID))
        elif step == "mine" and living:
            bench.receive(CallDisconnectNotify(living[0].localCallID))
        elif step == "hang up" and living:
            living[0].hangUp("fuzz")
        elif step == "stop":
            connection.stop()
        assert len(connection.calls) == len(bench.callIDs) <= SETTINGS.maximumCalls
        assert len(bench.clock.getDelayedCalls()) <= 2 + SETTINGS.maximumCalls
        bench.sent()
    for _ in range(10):
        bench.clock.advance(30)
    assert connection.state is ConnectionState.CLOSED
    assert bench.closing
    assert bench.aborted
    connection.connectionLost("over")
    assert len(bench.closed) == 1
    assert connection.calls == {}
    assert len(bench.callIDs) == 0
    assert bench.clock.getDelayedCalls() == []
    assert sorted(map(id, accepted)) == sorted(id(call) for call, _ in bench.ended)
    assert all(call.state is CallState.ENDED for call in bench.requested)
