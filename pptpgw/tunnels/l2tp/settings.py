"""
The settings of a control connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pptpgw.tunnels.l2tp.secrets import PeerTrust, nobody


def unprotected(peer: tuple[str, int]) -> str:
    """
    Return what protects the datagrams of a peer where nothing does.
    """
    return ""


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """
    The identity of an end of control connections, and its limits. Times are in seconds.

    @ivar name: our Host Name.
    @ivar protection: returns in words what protects the datagrams of a peer, by its address and
        port; empty for nothing.
    @ivar trust: returns what is agreed on with a peer, by its Host Name.
    @ivar permissive: whether errors of the peer are overlooked: the bit M of AVPs and messages that
        we don't know, and the tunnel id 0 in its messages.
    @ivar numbered: whether a LAC that we are asks for sequence numbers in data messages.
    @ivar maximumCalls: the largest number of calls on one control connection.
    @ivar linkSpeed: the speed of calls that we announce, in bits per second.
    @ivar handshakeTimeout: the time until the control connection is established.
    @ivar answerTimeout: the time until a call is established, from its request.
    @ivar idleTimeout: how long we keep a connection without a call that the peer opened.
    @ivar helloInterval: the silence after which a HELLO is sent.
    @ivar stopTimeout: how long we wait for the acknowledgement of a StopCCN.
    """

    name: bytes = b"pptpgw"
    protection: Callable[[tuple[str, int]], str] = field(default=unprotected, compare=False)
    trust: Callable[[bytes], PeerTrust] = field(default=nobody, compare=False)
    permissive: bool = False
    numbered: bool = False
    maximumCalls: int = 1024
    linkSpeed: int = 100_000_000
    handshakeTimeout: float = 10.0
    answerTimeout: float = 30.0
    idleTimeout: float = 60.0
    helloInterval: float = 60.0
    stopTimeout: float = 5.0
