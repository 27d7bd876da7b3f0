"""
The control connection of PPTP (RFC 2637 section 3.1), apart from its TCP connection.

This module has the connection's state, its timers, and its interfaces to the transport below and
the owner above. L{pptpgw.tunnels.pptp.statetable} says which message is legal in which state, and
L{pptpgw.tunnels.pptp.handlers} has a function for each message.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.error import CallError, Exhausted, Malformed
from pptpgw.interfaces import UNKNOWN_STATIONS, ICallOwner, Stations
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.pptp import handlers
from pptpgw.tunnels.pptp.asked import AskedCall
from pptpgw.tunnels.pptp.call import Call, Channels
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.owner import ConnectionOwner, ControlTransport
from pptpgw.tunnels.pptp.placed import PlacedCall, PlacedIncomingCall, PlacedOutgoingCall
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import ACTIONS, ANSWERS, ConnectionState, Side
from pptpgw.tunnels.pptp.wire.code import StopReason, nameOf
from pptpgw.tunnels.pptp.wire.framing import Framing
from pptpgw.tunnels.pptp.wire.message import (
    ControlMessage,
    EchoRequest,
    StartControlConnectionRequest,
    StopControlConnectionRequest,
    UnknownMessage,
    decode,
    encode,
)
from pptpgw.tunnels.telling import tell

Placed = TypeVar("Placed", bound=PlacedCall)


class ControlConnection:
    """
    One control connection.

    @ivar accepted: when the TCP connection was established, by the clock; None once there has been
        a call.
    @ivar calls: the current calls by our call id.
    @ivar peerName: the peer's name for itself, printable.
    @ivar peerVendorName: the name of the peer's vendor, printable.
    @ivar closeReason: why the connection was closed; empty before.
    @ivar counters: counts discarded messages.
    @ivar isProven: whether a caller on the connection has been authenticated.
    @ivar hadCall: whether the connection has had a call.
    """

    __slots__ = (
        "_echoAsked",
        "_framing",
        "_idleTimer",
        "_receiving",
        "_serial",
        "_stopped",
        "_timer",
        "_transport",
        "accepted",
        "callIDs",
        "calls",
        "channels",
        "clock",
        "closeReason",
        "counters",
        "echoIdentifier",
        "hadCall",
        "isProven",
        "localAddress",
        "owner",
        "peerAddress",
        "peerName",
        "peerVendorName",
        "settings",
        "side",
        "state",
    )

    def __init__(
        self,
        clock: IReactorTime,
        settings: ConnectionSettings,
        callIDs: CallIDs,
        owner: ConnectionOwner,
        side: Side,
        localAddress: str,
        peerAddress: str,
        counters: Counters | None = None,
        channels: Channels | None = None,
    ) -> None:
        """
        @param channels: opens the channels of calls, for a data path in Python; None if there is no
            such data path.
        """
        self.clock = clock
        self.settings = settings
        self.callIDs = callIDs
        self.owner = owner
        self.side = side
        self.localAddress = localAddress
        self.peerAddress = peerAddress
        self.counters = Counters() if counters is None else counters
        self.channels = channels
        self.accepted: float | None = None
        self.calls: dict[int, Call] = {}
        self.hadCall = False
        self.isProven = False
        self.peerName = ""
        self.peerVendorName = ""
        self.state = ConnectionState.IDLE
        self.closeReason = ""
        self._transport: ControlTransport | None = None
        self._framing = Framing()
        self._receiving = False
        # Fires when nothing came for as long as the state allows: see _silent.
        self._timer: IDelayedCall | None = None
        self._idleTimer: IDelayedCall | None = None
        self._echoAsked = False
        # The identifier of the last Echo-Request; -1, which matches no reply, before the first.
        self.echoIdentifier = -1
        self._serial = 0
        self._stopped: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return (
            f"<ControlConnection as {self.side.value} with {self.peerAddress}, {self.state.value}, "
            f"{len(self.calls)} calls>"
        )

    @property
    def isEstablished(self) -> bool:
        """
        Whether calls can be placed.
        """
        return self.state is ConnectionState.ESTABLISHED

    @property
    def isStopping(self) -> bool:
        """
        Whether the peer is to answer a Stop-Control-Connection-Request.
        """
        return self.state is ConnectionState.WAIT_STOP_REPLY

    # Methods for the transport

    def connectionMade(self, transport: ControlTransport) -> None:
        """
        Begin, since the TCP connection is established. The originator sends the
        Start-Control-Connection-Request.
        """
        self._transport = transport
        self.accepted = self.clock.seconds()
        self._watch(self.settings.handshakeTimeout)
        if self.side is Side.ORIGINATOR:
            self.state = ConnectionState.WAIT_CTL_REPLY
            settings = self.settings
            self.ask(
                StartControlConnectionRequest(
                    framingCapabilities=settings.framingCapabilities,
                    bearerCapabilities=settings.bearerCapabilities,
                    firmwareRevision=settings.firmwareRevision,
                    hostName=settings.hostName,
                    vendorName=settings.vendorName,
                )
            )

    def dataReceived(self, octets: bytes) -> None:
        """
        Handle octets of the TCP stream, which may contain parts of messages.
        """
        if self._isClosed:
            return
        self._framing.feed(octets)
        if self._receiving:
            # A peer in the same process has answered a message while we handle another one, which
            # comes first.
            return
        self._receiving = True
        try:
            while not self._isClosed and (frame := self._framing.next()) is not None:
                self._frameReceived(frame)
        except Malformed as error:
            self.counters.discard("control message malformed")
            self.end(Cause(f"malformed: {error}", Termination.USER_ERROR, Remedy.NOT_PPTP))
        finally:
            self._receiving = False

    def connectionLost(self, reason: str) -> None:
        """
        End the control connection, since the TCP connection is lost.
        """
        self._transport = None
        self.end(Cause(reason, Termination.LOST_CARRIER))
        self._unwatch()

    # Methods for the owner

    def placeCall(
        self, owner: ICallOwner, stations: Stations = UNKNOWN_STATIONS
    ) -> PlacedOutgoingCall:
        """
        As PNS, ask the peer for a call. C{owner} is told what becomes of it.

        @raise CallError: the control connection isn't established.
        @raise Exhausted: no call id is left, or this connection has too many calls.
        """
        return self._placed(PlacedOutgoingCall, owner, stations)

    def offerCall(
        self,
        owner: ICallOwner,
        stations: Stations = UNKNOWN_STATIONS,
        isAsynchronous: bool = False,
    ) -> PlacedIncomingCall:
        """
        As PAC, offer the peer a call that has come in; see L{placeCall}.

        @param isAsynchronous: whether it has come by an asynchronous line.
        """
        kind = partial(PlacedIncomingCall, isAsynchronous=isAsynchronous)
        return self._placed(kind, owner, stations)

    def _placed(self, kind: Callable[..., Placed], owner: ICallOwner, stations: Stations) -> Placed:
        if self.state is not ConnectionState.ESTABLISHED:
            raise CallError(f"{self!r} can't place a call")
        callID = self.allocate()
        self._serial = (self._serial + 1) & 0xFFFF
        call = kind(self, callID, self._serial, owner, stations)
        self.addCall(call)
        call.placed()
        return call

    def stop(
        self, reason: str = "shut down", code: StopReason = StopReason.STOP_LOCAL_SHUTDOWN
    ) -> Deferred[None]:
        """
        Hang up every call and send a Stop-Control-Connection-Request. Close the connection when the
        peer has answered, or after C{stopTimeout}.

        @return: fires when the control connection is closed.
        """
        if self.state is ConnectionState.CLOSED:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        if self.state is ConnectionState.ESTABLISHED:
            # Set before the owners of the calls are told, since they may stop the connection too.
            self.state = ConnectionState.WAIT_STOP_REPLY
            for call in list(self.calls.values()):
                call.hangUp(reason)
                # The stop clears the call implicitly (RFC 2637 section 2.3), so a PNS needn't wait
                # for the notification.
                call.finish(reason)
            if not self._isClosed:
                self.askToStop(reason, code)
        elif self.state is not ConnectionState.WAIT_STOP_REPLY:
            self.end(reason)
        return stopped

    # Methods for calls and message handlers

    def send(self, message: ControlMessage) -> None:
        """
        Send a message, unless the connection is closed.
        """
        if self._transport is not None and self.state is not ConnectionState.CLOSED:
            self._transport.write(encode(message))

    def within(self, message: ControlMessage) -> float:
        """
        Return how many seconds the answer to C{message} may take, according to
        L{pptpgw.tunnels.pptp.statetable.RULES}.
        """
        seconds: float = getattr(self.settings, ANSWERS[message.messageType][1])
        return seconds

    def allocate(self) -> int:
        """
        Assign a call id to a new call on this connection.

        @raise Exhausted: no call id is left, or this connection has too many calls.
        """
        if len(self.calls) >= self.settings.maximumCalls:
            raise Exhausted(f"{self!r} has as many calls as are allowed")
        return self.callIDs.allocate()

    def addCall(self, call: Call) -> None:
        """
        Add C{call} to the current calls.
        """
        self.calls[call.localCallID] = call
        self.hadCall = True
        self._stopIdling()

    def renumber(self, call: Call, ids: range) -> None:
        """
        Give C{call}, of whose call id the peer wasn't told yet, another one, of C{ids}.

        @raise Exhausted: none of C{ids} is left.
        """
        callID = self.callIDs.allocate(ids)
        self.callIDs.withdraw(call.localCallID)
        del self.calls[call.localCallID]
        call.localCallID = callID
        self.calls[callID] = call

    def callAsked(self, call: AskedCall) -> None:
        """
        Tell the owner that the peer asks for C{call}.
        """
        tell(self.owner.callRequested, call)
        self.accepted = None

    def callFinished(self, call: Call) -> None:
        """
        Remove C{call}, which is over, and release its call id.
        """
        del self.calls[call.localCallID]
        self.callIDs.release(call.localCallID)
        self._startIdling()

    @property
    def _isClosed(self) -> bool:
        return self.state is ConnectionState.CLOSED

    def _frameReceived(self, frame: bytes) -> None:
        try:
            message = decode(frame)
        except UnknownMessage:
            if self.state in (ConnectionState.ESTABLISHED, ConnectionState.WAIT_STOP_REPLY):
                self.counters.discard("control message unknown")
                self._alive()
                return
            raise
        kind = message.messageType
        action = ACTIONS[self.state, kind]
        self._alive()
        if action == "take":
            getattr(handlers, f"pptp_{kind.name}")(self, message)
        elif action == "refuse":
            getattr(handlers, f"refuse_{kind.name}")(self, message)
        else:
            self.counters.discard("control message out of place")
            if action == "end":
                text = f"{nameOf(kind)} before the control connection was established"
                self.end(Cause(text, remedy=Remedy.NOT_PPTP))

    # Changes of the connection's state, by messages and timers

    def open(self) -> None:
        """
        Establish the connection, since the Start-Control-Connection exchange is done.
        """
        self.state = ConnectionState.ESTABLISHED
        self._watch(self.settings.echoInterval)
        self._startIdling()
        tell(self.owner.connectionOpened, self)

    def askToStop(self, reason: str, code: StopReason) -> None:
        """
        Send a Stop-Control-Connection-Request. The connection closes with the answer, or after
        C{stopTimeout}.
        """
        self._stopIdling()
        self.state = ConnectionState.WAIT_STOP_REPLY
        self.closeReason = reason
        self.ask(StopControlConnectionRequest(code))

    def end(self, reason: str) -> None:
        """
        End every call, close the TCP connection if there is one, and tell the owner.
        """
        if self.state is ConnectionState.CLOSED:
            return
        self.state = ConnectionState.CLOSED
        self.closeReason = reason
        self._stopIdling()
        for call in list(self.calls.values()):
            call.finish(reason)
        if self._transport is not None:
            self._watch(self.settings.closeTimeout)
            self._transport.loseConnection()
        tell(self.owner.connectionClosed, self, reason)
        stopped, self._stopped = self._stopped, []
        for deferred in stopped:
            deferred.callback(None)

    def ask(self, message: ControlMessage) -> None:
        """
        Send a message, and limit the time for its answer.
        """
        self._watch(self.within(message))
        self.send(message)

    def _alive(self) -> None:
        if self.state is ConnectionState.ESTABLISHED and self._timer is not None:
            self._echoAsked = False
            self._timer.reset(self.settings.echoInterval)

    def _silent(self) -> None:
        """
        Act on silence: nothing came for as long as the state allows.
        """
        self._timer = None
        if self.state is ConnectionState.ESTABLISHED and not self._echoAsked:
            self._echoAsked = True
            self.echoIdentifier = (self.echoIdentifier + 1) & 0xFFFFFFFF
            self.ask(EchoRequest(self.echoIdentifier))
        elif self.state is ConnectionState.ESTABLISHED:
            text = f"no answer to an Echo-Request in {self.settings.echoTimeout:g} s"
            self.end(Cause(text, Termination.LOST_CARRIER, Remedy.VANISHED))
        elif self.state is ConnectionState.WAIT_STOP_REPLY:
            self.end(self.closeReason)
        elif self.state is ConnectionState.CLOSED:
            if self._transport is not None:
                self._transport.abortConnection()
        else:
            awaited = "Request" if self.side is Side.RECEIVER else "Reply"
            text = f"no Start-Control-Connection-{awaited} in {self.settings.handshakeTimeout:g} s"
            self.end(Cause(text, remedy=Remedy.NOTHING_SAID))

    def _watch(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.clock.callLater(seconds, self._silent)
        else:
            self._timer.reset(seconds)

    def _unwatch(self) -> None:
        self._timer = cancelled(self._timer)

    def _startIdling(self) -> None:
        isOurs = self.side is Side.ORIGINATOR
        if not isOurs and self.state is ConnectionState.ESTABLISHED and not self.calls:
            self._stopIdling()
            settings = self.settings
            seconds = settings.callTimeout if self.hadCall else settings.firstCallTimeout
            self._idleTimer = self.clock.callLater(seconds, self._idled, seconds)

    def _stopIdling(self) -> None:
        self._idleTimer = cancelled(self._idleTimer)

    def _idled(self, seconds: float) -> None:
        self._idleTimer = None
        self.stop(Cause(f"no call for {seconds:g} s", remedy=Remedy.NO_CALL), StopReason.NONE)
