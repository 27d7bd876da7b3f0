"""
The call over a line. Each connection carries one call, which lasts as long as the connection.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from pptpgw.datapath.checks import NO_ROOM
from pptpgw.datapath.framed import FramedChannel
from pptpgw.interfaces import (
    Grant,
    ICallOwner,
    IChannel,
    IChannelHost,
    IChannelOwner,
    ILineCall,
    IStagedCall,
    LineErrors,
    Refusal,
    TunnelKind,
)
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.tunnels.hdlc.framer import Framer
from pptpgw.tunnels.hdlc.wire import ABORTED, BAD_FCS, TOO_LONG, TOO_SHORT

HDLC = TunnelKind("hdlc", "HDLC", portType=0)


@implementer(IStagedCall, ILineCall)
class HDLCCall:
    """
    See L{IStagedCall} and L{ILineCall}.

    @ivar proven: whether the caller has been authenticated.
    @ivar channel: the channel of the call, or None before there is one.
    """

    tunnel = HDLC
    headStart = 0.0
    encrypted = False
    steps = ()
    carrier = "line"

    def __init__(
        self,
        caller: str,
        called: str,
        framer: Framer,
        accm: int,
        close: Callable[[], object],
    ) -> None:
        """
        @param accm: the ACCM that the peer is asked to use.
        @param close: called to close the connection after everything has been sent.
        """
        self.caller = caller
        self.called = called
        self.accm = accm
        self.proven = False
        self.channel: FramedChannel | None = None
        self._framer = framer
        self._close = close
        self._owner: ICallOwner | None = None
        self._cause: str | None = None

    @property
    def silence(self) -> str:
        """
        See L{ICall}.
        """
        return (
            f"no PPP frame from {self.caller} since the line is connected: does the other end "
            "speak PPP, and at the same speed?"
        )

    @property
    def errors(self) -> LineErrors:
        """
        See L{ILineCall}.
        """
        discards = {} if self.channel is None else self.channel.counters.discards
        framing = sum(discards.get(one, 0) for one in (TOO_SHORT, TOO_LONG, ABORTED))
        return LineErrors(discards.get(BAD_FCS, 0), framing, discards.get(NO_ROOM, 0))

    def __repr__(self) -> str:
        return f"<HDLCCall of {self.caller}>"

    def accept(self, owner: ICallOwner) -> None:
        """
        See L{ICall.accept}.
        """
        if self._cause is not None:
            owner.callEnded(self, self._cause)
        else:
            self._owner = owner
            owner.callEstablished(self)

    def refuse(self, reason: Refusal) -> None:
        """
        See L{ICall.refuse}. The connection is closed, since nothing before LCP could tell the
        reason.
        """
        self.hangUp(f"refused: {reason.value}")

    def hangUp(self, cause: str) -> None:
        """
        See L{ICall.hangUp}.
        """
        if self._cause is None:
            self._end(cause)
            self._close()

    def authenticated(self, grant: Grant) -> None:
        """
        See L{ICall.authenticated}.
        """
        self.proven = True

    def openChannel(self, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{ICall.openChannel}.
        """
        channel = FramedChannel(dataPath, owner, self._framer)
        self._framer.receive = channel.received
        self.channel = channel
        return channel

    def lost(self, reason: str) -> None:
        """
        End the call, since the connection is lost.
        """
        if self._cause is None:
            self._end(Cause(f"the line was disconnected: {reason}", Termination.LOST_CARRIER))

    def _end(self, cause: str) -> None:
        self._cause = cause
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.callEnded(self, cause)
