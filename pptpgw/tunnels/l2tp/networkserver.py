"""
The gateway as LNS (RFC 2661 section 1.2): it lets clients and LACs in, and offers their calls.
"""

from __future__ import annotations

from pptpgw.interfaces import ITunnelEnvironment
from pptpgw.log import Logger
from pptpgw.sessions.cause import DISPLACED, SHUT_DOWN
from pptpgw.tunnels.entrance import Entrance
from pptpgw.tunnels.l2tp.call import L2TP, L2TPCall
from pptpgw.tunnels.l2tp.connection import L2TPConnection

NOUN = "control connection"
"""
The word for a control connection in the log, and the stage of an attempt before it asks for a call.
"""


class Incoming:
    """
    A control connection that a peer opened, as the entrance sees it: a
    L{pptpgw.tunnels.entrance.IncomingConnection}.
    """

    def __init__(self, connection: L2TPConnection) -> None:
        self._connection = connection

    @property
    def isProven(self) -> bool:
        """
        Whether a caller on the connection is or was authenticated.
        """
        return self._connection.isProven

    def displace(self) -> None:
        """
        Close the connection at once, to make room for a newer one.
        """
        self._connection.end(DISPLACED)

    def stop(self) -> None:
        """
        End the calls on the connection and close it, since the gateway stops.
        """
        self._connection.stop(SHUT_DOWN)


class NetworkServer:
    """
    The owner of the control connections that peers open: a
    L{pptpgw.tunnels.l2tp.connections.Answerer}.

    @ivar entrance: the entrance of the tunnel, which lets peers in.
    @ivar accepts: whether new connections are accepted.
    """

    _log = Logger()

    def __init__(self, environment: ITunnelEnvironment) -> None:
        self.entrance: Entrance[Incoming] = Entrance(environment, L2TP, NOUN)
        self.accepts = False
        self._environment = environment
        self._incoming: dict[L2TPConnection, Incoming] = {}

    def admits(self, host: str) -> bool:
        """
        See L{pptpgw.tunnels.l2tp.connections.Answerer.admits}.
        """
        return self.accepts and self.entrance.admits(host)

    def connectionBegun(self, connection: L2TPConnection) -> None:
        """
        See L{pptpgw.tunnels.l2tp.connections.Answerer.connectionBegun}. Until it is established the
        connection counts as silent.
        """
        self._incoming[connection] = incoming = Incoming(connection)
        self.entrance.opened(incoming, connection.peer[0])

    def connectionOpened(self, connection: L2TPConnection) -> None:
        """
        See L{pptpgw.tunnels.l2tp.owner.L2TPOwner.connectionOpened}.
        """
        self.entrance.heard(self._incoming[connection])
        host, port = connection.peer
        if self._environment.quota.allows("control connections", host):
            self._log.info(
                "{peer}, port {port}: L2TP control connection from {host!r}",
                peer=host,
                port=port,
                host=connection.peerName,
            )

    def callRequested(self, call: L2TPCall) -> None:
        """
        See L{pptpgw.tunnels.l2tp.owner.L2TPOwner.callRequested}.
        """
        self._environment.calls.callRequested(call)

    def connectionClosed(self, connection: L2TPConnection, reason: str) -> None:
        """
        See L{pptpgw.tunnels.l2tp.owner.L2TPOwner.connectionClosed}.
        """
        self.entrance.closed(self._incoming.pop(connection))
        host = connection.peer[0]
        if not connection.calls.wasUsed:
            attempts = self._environment.attempts
            attempts.turnedAway(host, L2TP, NOUN, reason, isRefused=False)
        if self._environment.quota.allows("control connections", host):
            self._log.info(
                "{peer}: L2TP control connection closed: {reason}", peer=host, reason=reason
            )
