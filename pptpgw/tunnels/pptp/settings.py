"""
The settings of a control connection.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """
    The identity of a control connection, and its limits. Times are in seconds.

    @ivar window: the receive window that we offer for each call, in packets.
    @ivar linkSpeed: the speed of calls that we announce, in bits per second.
    @ivar maximumCalls: the largest number of calls on one control connection.
    @ivar handshakeTimeout: the time from the TCP connection to the end of the
        Start-Control-Connection exchange.
    @ivar firstCallTimeout: how long a PAC keeps a connection that has had no call yet.
    @ivar callTimeout: how long a PAC keeps a connection that has no call any more.
    @ivar answerTimeout: how long the owner may take to accept or refuse a call.
    @ivar replyTimeout: how long a PNS waits for an Outgoing-Call-Reply.
    @ivar clearTimeout: how long a PNS waits for a Call-Disconnect-Notify after its
        Call-Clear-Request.
    @ivar echoInterval: the silence after which an Echo-Request is sent.
    @ivar echoTimeout: the silence after the Echo-Request with which the connection is closed.
    @ivar stopTimeout: how long we wait for a Stop-Control-Connection-Reply.
    @ivar closeTimeout: how long TCP may take to close in order before it is aborted.
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
