"""
UDP ports that receive from one peer only, and stay open after ICMP errors from its host.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port


class ConnectedPort(Port):
    """
    A UDP port that survives errors of its socket.

    Twisted's reactors close a port when an ICMP error comes without a packet. This port calls the
    protocol's C{connectionRefused} instead, as Twisted does when the error comes with a packet, and
    stays open. A new port for each packet to a dead server would also log two lines for each.
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
    Open a port that sends to, and receives from, C{port} at C{host} only.

    @raise CannotListenError: it can't be opened, or nothing can be sent to C{host}.
    """
    make: Any = ConnectedPort
    opened = make(0, protocol, "::" if ":" in host else "", 8192, reactor)
    opened.startListening()
    try:
        opened.connect(host, port)
    except OSError as error:
        # There is no route to the host, or a firewall refuses.
        opened.stopListening()
        raise CannotListenError(host, port, error) from error
