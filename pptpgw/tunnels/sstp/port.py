"""
The TCP socket under an SSTP connection, and the name of this machine.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import ITCPTransport
from twisted.protocols.policies import ProtocolWrapper

UNSENT = 131072
"""
The most octets that wait in the kernel to be sent for the first time. More would only delay the
packets behind them, and a peer that doesn't read would cost memory.
"""


def thisHost() -> str:
    """
    Return the name of this machine.
    """
    return socket.gethostname() or "pptpgw"


def shortQueue(transport: Any) -> None:
    """
    Send without delay, and limit what waits in the kernel, if C{transport} is over TCP.
    """
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    # A transport of a Unix socket may provide ITCPTransport too: it derives from those of TCP.
    isTCP = getattr(transport.getHost(), "type", "") == "TCP"
    if isTCP and ITCPTransport.providedBy(transport):
        transport.setTcpNoDelay(True)
        if hasattr(transport, "socket"):
            option = socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT
            transport.socket.setsockopt(*option, UNSENT)
