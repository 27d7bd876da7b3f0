"""
What the state machines of both ends have in common: the end of a call, the Hello timer, and the
answers to messages that don't belong to a state ([MS-SSTP] sections 3.1, 3.2.5.3 and 3.3.5.2).

A machine is given the control packets of one connection, and has its owner send others. It never
raises anything, whatever the packets are. It is in its new state before it sends anything, since
the answer may come at once.

The rules:

 - A message that has no place in a state, or that can't be understood, aborts the call: Call Abort
   is sent, and the connection is closed a second after the peer's Call Abort, or after three.
 - An end in order sends Call Disconnect, and closes the connection with the peer's answer, or after
   five seconds. The peer's Call Disconnect is answered, and the connection closed after a second.
 - The owner is told once that the call is ending, when the first of these packets goes either way.
   From then on no PPP frame passes.
 - If nothing is received for 60 seconds an Echo-Request is sent. If nothing is received in the next
   60 either, the connection is closed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.error import Malformed
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.sstp.wire import (
    Identifier,
    Kind,
    Message,
    Status,
    StatusInfo,
    decodeMessage,
    decodeStatusInfo,
)

NEGOTIATION_SECONDS = 60.0
HELLO_SECONDS = 60.0
ABORT_SECONDS, ABORTED_SECONDS = 3.0, 1.0
"""
Seconds that the peer's Call Abort is waited for, and seconds from then to the end.
"""

DISCONNECT_SECONDS, DISCONNECTED_SECONDS = 5.0, 1.0
"""
Seconds that the peer's Call Disconnect Acknowledge is waited for, and from ours to the end.
"""


class State(Enum):
    """
    The states of a machine, by the names of the specification.
    """

    CALL_DISCONNECTED = "Call_Disconnected"
    REQUEST_PENDING = "Server_Connect_Request_Pending"
    CONNECTED_PENDING = "Server_Call_Connected_Pending"
    REQUEST_SENT = "Client_Connect_Request_Sent"
    ACK_RECEIVED = "Client_Connect_Ack_Received"
    CONNECTED = "Call_Connected"
    ABORT_PENDING = "Call_Abort_Pending"
    ABORT_TIMEOUT_PENDING = "Call_Abort_Timeout_Pending"
    DISCONNECT_ACK_PENDING = "Call_Disconnect_Ack_Pending"
    DISCONNECT_TIMEOUT_PENDING = "Call_Disconnect_Timeout_Pending"


_OVER = {
    State.CALL_DISCONNECTED,
    State.ABORT_TIMEOUT_PENDING,
    State.DISCONNECT_TIMEOUT_PENDING,
}
"""
The states in which every message is ignored.
"""

_ENDING = _OVER | {State.ABORT_PENDING, State.DISCONNECT_ACK_PENDING}
"""
The states of a call that ends or hasn't begun.
"""


class MachineOwner(TypingProtocol):
    """
    The connection whose control packets a machine handles, and which does what the machine decides.
    """

    def send(self, packet: bytes) -> None:
        """
        Send a control packet.
        """

    def linkUp(self) -> None:
        """
        Begin PPP: its control frames pass from now on.
        """

    def established(self) -> None:
        """
        Let packets pass: the binding holds, or as a client we have sent ours.
        """

    def bindingFailed(self, reason: str) -> None:
        """
        Note that the peer's binding doesn't hold. L{ending} follows.
        """

    def ending(self, cause: Cause) -> None:
        """
        End the call: no PPP frame passes any more. This is called once.
        """

    def ended(self) -> None:
        """
        Close the connection, since nothing is to be sent or received any more.
        """


class Machine:
    """
    The base class of both machines.

    @ivar state: the L{State}.
    """

    def __init__(self, clock: IReactorTime, owner: MachineOwner) -> None:
        self.state = State.CALL_DISCONNECTED
        self._clock = clock
        self._owner = owner
        self._timer: IDelayedCall | None = None
        self._heardAt = self._askedAt = 0.0

    # Calls of the owner

    def heard(self) -> None:
        """
        Note that the peer has sent something, whatever it is.
        """
        self._heardAt = self._clock.seconds()

    def received(self, packet: bytes) -> None:
        """
        Handle a control packet.
        """
        if self.state in _OVER:
            return
        try:
            message = decodeMessage(packet)
        except Malformed as error:
            self._unacceptable(Status.INVALID_FRAME_RECEIVED, str(error))
            return
        if message.kind == Kind.CALL_ABORT:
            self._abortReceived(message)
        elif message.kind == Kind.CALL_DISCONNECT:
            self._disconnectReceived()
        elif self.state is State.DISCONNECT_ACK_PENDING:
            if message.kind == Kind.CALL_DISCONNECT_ACK:
                self._end()
        elif self.state is State.CONNECTED and message.kind == Kind.ECHO_REQUEST:
            self._send(Kind.ECHO_RESPONSE)
        elif self.state is State.CONNECTED and message.kind == Kind.ECHO_RESPONSE:
            self._answered()
        elif self.state is State.ABORT_PENDING:
            return
        elif not self._negotiate(message, packet):
            self._unacceptable(Status.UNACCEPTED_FRAME_RECEIVED, _nameOf(message.kind))

    def disconnect(self, cause: Cause) -> None:
        """
        End the call in order. Do nothing if it is ending.
        """
        if self.state not in _ENDING:
            self._wait(State.DISCONNECT_ACK_PENDING, DISCONNECT_SECONDS, self._end)
            self._owner.ending(cause)
            self._send(Kind.CALL_DISCONNECT, StatusInfo(Identifier.NONE, Status.NO_ERROR))

    def lost(self, cause: Cause) -> None:
        """
        End the call without sending anything, since the connection is lost.
        """
        ending = self.state not in _ENDING
        self._stop()
        if ending:
            self._owner.ending(cause)

    # For both ends

    def _negotiate(self, message: Message, packet: bytes) -> bool:
        """
        Handle a message that belongs to the set-up of a call.

        @return: whether it has a place in the state.
        """
        raise NotImplementedError

    def _answered(self) -> None:
        """
        Note an Echo Response. It was heard, and that is all.
        """

    def _abort(self, attribute: Identifier, status: Status, cause: Cause) -> None:
        """
        Abort the call: send Call Abort, and wait for the peer's.
        """
        self._wait(State.ABORT_PENDING, ABORT_SECONDS, self._end)
        self._owner.ending(cause)
        self._send(Kind.CALL_ABORT, StatusInfo(attribute, status))

    def _unacceptable(self, status: Status, what: str) -> None:
        """
        Abort the call because of a message, unless it is ending.
        """
        if self.state not in _ENDING:
            text = f"the call was aborted because of a message in {self.state.value}: {what}"
            self._abort(Identifier.STATUS_INFO, status, Cause(text, Termination.USER_ERROR))

    def _connected(self) -> None:
        """
        Go on to L{State.CONNECTED}, and begin with the Hello timer.
        """
        self.heard()
        self._wait(State.CONNECTED, HELLO_SECONDS, self._hello)

    def _negotiating(self, state: State) -> None:
        """
        Go on to a state in which a message is waited for.
        """
        self._wait(state, NEGOTIATION_SECONDS, self._notNegotiated)

    def _send(self, kind: Kind, *statuses: StatusInfo) -> None:
        self._owner.send(Message(kind, tuple(one.encode() for one in statuses)).encode())

    # What is private

    def _wait(self, state: State, seconds: float, then: Callable[[], None]) -> None:
        self.state = state
        cancelled(self._timer)
        self._timer = self._clock.callLater(seconds, then)

    def _stop(self) -> None:
        self.state = State.CALL_DISCONNECTED
        self._timer = cancelled(self._timer)

    def _end(self) -> None:
        self._stop()
        self._owner.ended()

    def _notNegotiated(self) -> None:
        text = f"nothing came in {self.state.value} within {NEGOTIATION_SECONDS:g} s"
        cause = Cause(text, Termination.USER_ERROR)
        self._abort(Identifier.STATUS_INFO, Status.NEGOTIATION_TIMEOUT, cause)

    def _hello(self) -> None:
        left = self._heardAt + HELLO_SECONDS - self._clock.seconds()
        if left > 0:
            self._wait(State.CONNECTED, left, self._hello)
        elif self._askedAt > self._heardAt:
            text = f"the peer is silent: no Echo-Response within {HELLO_SECONDS:g} s"
            self._stop()
            self._owner.ending(Cause(text, Termination.LOST_CARRIER))
            self._owner.ended()
        else:
            self._askedAt = self._clock.seconds()
            self._wait(State.CONNECTED, HELLO_SECONDS, self._hello)
            self._send(Kind.ECHO_REQUEST)

    def _abortReceived(self, message: Message) -> None:
        if self.state is State.ABORT_PENDING:
            self._wait(State.ABORT_TIMEOUT_PENDING, ABORTED_SECONDS, self._end)
            return
        ending = self.state in _ENDING
        self._wait(State.ABORT_TIMEOUT_PENDING, ABORTED_SECONDS, self._end)
        if not ending:
            text = f"the peer aborted the call: {_statusOf(message)}"
            self._owner.ending(Cause(text, Termination.USER_ERROR))
        self._send(Kind.CALL_ABORT)

    def _disconnectReceived(self) -> None:
        if self.state is State.ABORT_PENDING:
            return
        ending = self.state in _ENDING
        self._wait(State.DISCONNECT_TIMEOUT_PENDING, DISCONNECTED_SECONDS, self._end)
        if not ending:
            text = "the peer disconnected the call"
            self._owner.ending(Cause(text, Termination.USER_REQUEST))
        self._send(Kind.CALL_DISCONNECT_ACK)


def _nameOf(kind: int) -> str:
    return Kind(kind).name if kind in set(Kind) else f"type {kind}"


def _statusOf(message: Message) -> str:
    """
    Return the status in a message, in words.
    """
    try:
        status = decodeStatusInfo(message.value(Identifier.STATUS_INFO) or b"").status
    except Malformed:
        return "no status"
    return Status(status).name if status in set(Status) else f"status {status}"
