"""
UDP ports that hear one peer alone, and stay open when the peer's host says that nobody listens.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port


class ConnectedPort(Port):
    """
    A UDP port of whose socket an error is no end.

    Reactors take an ICMP error that comes alone for the end of the port. Here the protocol is told
    C{connectionRefused}, as where packets come with the error, and the port goes on: one for each
    packet that a dead server gets would make two lines of the log for each.
    """

    def connectionLost(self, reason: Any = None) -> None:
        """
        See L{Port.connectionLost}.
        """
        port: Any = super()
        if reason is not None and self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            port.startReading()
            self.protocol.connectionRefused()
        else:
            port.connectionLost(reason)


def connectedUDP(reactor: Any, protocol: DatagramProtocol, host: str, port: int) -> None:
    """
    Open a port that hears and asks the port at C{host} alone.

    @raise CannotListenError: none can be opened.
    """
    make: Any = ConnectedPort
    opened = make(0, protocol, "::" if ":" in host else "", 8192, reactor)
    opened.startListening()
    opened.connect(host, port)
