"""
The interface between control connections and their transport, and the ends of calls.
"""

from __future__ import annotations

from dataclasses import dataclass
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
