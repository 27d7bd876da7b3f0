"""
What a control connection says of itself, and its limits.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """
    What a control connection says of itself, and its limits.  Times are in seconds.

    @ivar window: the receive window, in packets, that we offer for each call.
    @ivar linkSpeed: what we call a call's speed, in bits per second.
    @ivar maximumCalls: on one control connection.
    @ivar handshakeTimeout: from the TCP connection to Start-Control-Connection done.
    @ivar firstCallTimeout: how long a PAC keeps a connection that has had no call yet.
    @ivar callTimeout: how long a PAC keeps a connection that has no call any more.
    @ivar answerTimeout: how long our owner may take to accept or refuse a call.
    @ivar replyTimeout: how long, as PNS, we wait for an Outgoing-Call-Reply.
    @ivar echoInterval: of silence, before an Echo-Request.
    @ivar echoTimeout: of silence after the Echo-Request, before the connection is closed.
    @ivar stopTimeout: for the Stop-Control-Connection-Reply.
    @ivar closeTimeout: for TCP to close in order, before it is aborted.
    """

    hostName: bytes = b"pptpgw"
    vendorName: bytes = b"pptpgw"
    firmwareRevision: int = 1
    framingCapabilities: int = 3
    bearerCapabilities: int = 3
    window: int = 64
    linkSpeed: int = 100_000_000
    maximumCalls: int = 64
    handshakeTimeout: float = 10.0
    firstCallTimeout: float = 10.0
    callTimeout: float = 60.0
    answerTimeout: float = 30.0
    replyTimeout: float = 60.0
    clearTimeout: float = 5.0
    echoInterval: float = 60.0
    echoTimeout: float = 60.0
    stopTimeout: float = 5.0
    closeTimeout: float = 5.0
