"""
How long the peer of a control connection may be silent in each state, and what follows.

Control messages and frames of calls are signs of life. A packet costs nothing here: frames are
looked for only when somebody asks.
"""

from __future__ import annotations

from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.l2tp.calls import CallTable
from pptpgw.tunnels.l2tp.delivery import Delivery
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.statetable import ControlState
from pptpgw.tunnels.l2tp.wire.avp import ResultCode
from pptpgw.tunnels.l2tp.wire.code import MessageType, StopResult
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage


class LivingConnection(TypingProtocol):
    """
    The parts of a control connection that its life depends on.
    """

    calls: CallTable
    closeReason: str
    delivery: Delivery
    isInitiator: bool
    settings: ControlSettings
    state: ControlState

    def send(self, message: L2TPMessage, sessionID: int = 0) -> None: ...
    def stop(self, cause: str, result: ResultCode | None = None) -> Deferred[None]: ...
    def end(self, cause: str) -> None: ...


class Life:
    """
    The life of one connection, which ends it when its peer is silent for too long.
    """

    def __init__(self, clock: IReactorTime, connection: LivingConnection) -> None:
        self._clock = clock
        # None once the connection is closed.
        self._connection: LivingConnection | None = connection
        self._frames = 0
        self._since = clock.seconds()
        # Fires when the peer was silent for as long as the state allows.
        self._timer: IDelayedCall | None = None

    def heard(self) -> None:
        """
        Note that a control message has come.
        """
        self._since = self._clock.seconds()

    def isPresent(self) -> bool:
        """
        Return whether the peer was heard lately, so that no HELLO is due.
        """
        return self._connection is not None and self._untilHello(self._connection) >= 0

    def within(self, seconds: float) -> None:
        """
        Limit the time that the connection may be in its state.
        """
        self._timer = cancelled(self._timer)
        if self._connection is not None:
            self._timer = self._clock.callLater(seconds, self._silent, self._connection)

    def rest(self) -> None:
        """
        Watch an established connection: for silence, or for a call if it has none.
        """
        if self._connection is not None:
            settings = self._connection.settings
            isIdle = _isIdle(self._connection)
            self.within(settings.idleTimeout if isIdle else settings.helloInterval)

    def end(self) -> None:
        """
        Watch nothing more, since the connection is closed.
        """
        self._timer = cancelled(self._timer)
        self._connection = None

    def _untilHello(self, connection: LivingConnection) -> float:
        """
        Return the seconds until the silence is so long that a HELLO is due.
        """
        frames = connection.calls.framesReceived
        if frames != self._frames:
            self._frames = frames
            self.heard()
        return connection.settings.helloInterval - (self._clock.seconds() - self._since)

    def _silent(self, connection: LivingConnection) -> None:
        """
        Act on the time that has passed in the current state.
        """
        self._timer = None
        settings = connection.settings
        if connection.state is ControlState.ESTABLISHED:
            if _isIdle(connection):
                text = f"no call for {settings.idleTimeout:g} s"
                cause = Cause(text, remedy=Remedy.NO_CALL)
                connection.stop(cause, ResultCode(StopResult.CLEARED))
                return
            left = self._untilHello(connection)
            if left <= 0:
                left = settings.helloInterval
                if connection.delivery.isEmpty:
                    connection.send(L2TPMessage(MessageType.HELLO))
            self.within(left)
        elif connection.state is ControlState.STOPPING:
            connection.end(connection.closeReason)
        else:
            awaited = "SCCRP" if connection.isInitiator else "SCCCN"
            text = f"no {awaited} in {settings.handshakeTimeout:g} s"
            connection.end(Cause(text, Termination.LOST_CARRIER, Remedy.NOTHING_SAID))


def _isIdle(connection: LivingConnection) -> bool:
    return not connection.isInitiator and not connection.calls
