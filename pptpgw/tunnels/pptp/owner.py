"""
The owners and transports of control connections, as those see them, and the ends of calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from typing import Protocol as TypingProtocol


@dataclass(frozen=True, slots=True)
class Ends:
    """
    The two ends of one call's GRE tunnel (RFC 2637 section 4.1).

    @ivar localAddress: our IPv4 address, dotted.
    @ivar peerAddress: the peer's IPv4 address, dotted.
    @ivar localCallID: the call id in the GRE packets that we receive.
    @ivar peerCallID: the call id in the GRE packets that we send.
    """

    localAddress: str
    peerAddress: str
    localCallID: int
    peerCallID: int


class ControlTransport(TypingProtocol):
    """
    The parts of a TCP connection that a control connection uses.
    """

    def write(self, octets: bytes, /) -> object:
        """
        Send octets, after those of earlier calls.
        """

    def loseConnection(self) -> object:
        """
        Close the connection after everything has been sent.
        """

    def abortConnection(self) -> object:
        """
        Close the connection at once, without sending what waits.
        """


class ConnectionOwner(TypingProtocol):
    """
    The owner of a control connection, a L{pptpgw.tunnels.pptp.connection.ControlConnection}, which
    is told about it and its calls.
    """

    def connectionOpened(self, connection: Any) -> None:
        """
        Note that the connection is established: calls can be placed, and requested by the peer.
        """

    def callRequested(self, call: Any) -> None:
        """
        Answer a request by the methods of an L{pptpgw.tunnels.pptp.asked.AskedCall}, at once or
        within C{answerTimeout}.
        """

    def connectionClosed(self, connection: Any, reason: str) -> None:
        """
        Note that the connection has ended, and its calls before it. This is called exactly once for
        each connection that got a transport.
        """
