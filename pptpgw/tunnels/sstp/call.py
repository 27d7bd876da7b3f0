"""
The call over an SSTP connection, at either end. Each connection carries one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol as TypingProtocol

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.datapath.framed import FramedChannel
from pptpgw.interfaces import (
    UNKNOWN_STATIONS,
    Grant,
    IAlertedOwner,
    IBoundCall,
    ICallOwner,
    IChannel,
    IChannelHost,
    IChannelOwner,
    IKeys,
    IProtectedCall,
    IStagedCall,
    IStationCall,
    Refusal,
    Stations,
    TunnelKind,
)
from pptpgw.sessions.cause import Cause, asCause
from pptpgw.tunnels.sstp.framer import Framer

# IANA has no Tunnel-Type for SSTP. This is Microsoft's ([MS-RNAP] section 2.2.2.1), which begins
# with its enterprise number, 311.
SSTP = TunnelKind("sstp", "SSTP", type=0x013701, medium=1)


class CallConnection(TypingProtocol):
    """
    The connection that a call is on: its packets, and what the call tells the client.
    """

    @property
    def framer(self) -> Framer:
        """
        The framer of the connection.
        """

    def accept(self) -> None:
        """
        Tell the client that its call is accepted.
        """

    def refuse(self, reason: Refusal) -> None:
        """
        Tell the client that its call is refused, and close the connection.
        """

    def hangUp(self, cause: Cause) -> None:
        """
        End the call in order.
        """

    def authenticated(self, keys: Sequence[bytes]) -> None:
        """
        Bind the connection to an authentication that has succeeded.

        @param keys: the L{IKeys.bindings} that were earned; empty for none.
        """


@implementer(IStagedCall, IBoundCall, IStationCall, IProtectedCall)
class SSTPCall:
    """
    See L{IStagedCall}, L{IBoundCall}, L{IStationCall} and L{IProtectedCall}.

    @ivar proven: whether the caller has been authenticated.
    @ivar channel: the channel of the call, or None before there is one.
    """

    tunnel = SSTP
    headStart = 0.0
    encrypted = True
    accm = None
    carrier = "SSTP"

    def __init__(
        self,
        connection: CallConnection,
        caller: str,
        called: str,
        steps: Sequence[tuple[str, float]] = (),
        owner: ICallOwner | None = None,
        stations: Stations = UNKNOWN_STATIONS,
        protection: str = "",
    ) -> None:
        """
        @param steps: see L{IStagedCall}.
        @param owner: the owner of a call that we place.
        @param stations: the name of the host that was called, if it is known.
        @param protection: see L{IProtectedCall}.
        """
        self.caller = caller
        self.called = called
        self.stations = stations
        self.protection = protection
        self.steps = steps
        self.proven = False
        self.channel: IChannel | None = None
        self._connection = connection
        self._owner = owner
        self._cause: Cause | None = None
        self._bound: Deferred[None] = Deferred()

    @property
    def silence(self) -> str:
        """
        See L{ICall}.
        """
        return f"no PPP frame from {self.caller} since its call is connected"

    def __repr__(self) -> str:
        return f"<SSTPCall of {self.caller}>"

    def accept(self, owner: ICallOwner) -> None:
        """
        See L{ICall.accept}.
        """
        if self._cause is not None:
            owner.callEnded(self, self._cause)
        else:
            self._owner = owner
            self._connection.accept()

    def refuse(self, reason: Refusal) -> None:
        """
        See L{ICall.refuse}.
        """
        if self._cause is None:
            self._cause = Cause(f"refused: {reason.value}")
            self._connection.refuse(reason)

    def hangUp(self, cause: str) -> None:
        """
        See L{ICall.hangUp}.
        """
        if self._cause is None:
            self._connection.hangUp(asCause(cause))
            self.ended(asCause(cause))

    def authenticated(self, grant: Grant) -> None:
        """
        See L{ICall.authenticated}.
        """
        self.proven = True
        self.bind(grant.keys)

    def bind(self, keys: IKeys | None) -> None:
        """
        See L{IBoundCall.bind}.
        """
        self._connection.authenticated(() if keys is None else keys.bindings)

    def whenBound(self) -> Deferred[None]:
        """
        See L{IBoundCall.whenBound}.
        """
        return self._bound

    def openChannel(self, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{ICall.openChannel}.
        """
        framer = self._connection.framer
        channel = FramedChannel(dataPath, owner, framer)
        framer.receive = channel.received
        self.channel = channel
        return channel

    # Calls of the connection

    def connected(self) -> None:
        """
        Tell the owner that the call can carry frames.
        """
        if self._owner is not None:
            self._owner.callEstablished(self)

    def bound(self) -> None:
        """
        Note that the crypto binding holds, or as a client that we have sent ours.
        """
        self._bound.callback(None)

    def attacked(self, reason: str) -> None:
        """
        Tell the owner that there are signs of an attack.
        """
        if IAlertedOwner.providedBy(self._owner):
            IAlertedOwner(self._owner).callAttacked(self, reason)

    def ended(self, cause: Cause) -> None:
        """
        Tell the owner that the call is over. Calling this again does nothing.
        """
        if self._cause is None:
            self._cause = cause
            owner, self._owner = self._owner, None
            if owner is not None:
                owner.callEnded(self, cause)


def protectionOf(tls: SSL.Connection) -> str:
    """
    Return the version of TLS and the cipher, such as C{TLSv1.3 TLS_AES_256_GCM_SHA384}.
    """
    return f"{tls.get_protocol_version_name()} {tls.get_cipher_name()}"
