"""
The control connections of one port, and which of them a datagram belongs to.

What strangers meet here, before the secret or a caller is known:

 - An SCCRQ opens a connection if its owner admits its address. One that is repeated belongs to the
   connection that the first one has opened.
 - A connection is found by the id that we assigned, which is drawn at random, and datagrams are
   only taken from the address and port from which it was opened.
 - A datagram that belongs to nothing is counted, and not answered. The end of a connection is
   remembered for a while, though, so that the peer's repeated StopCCN is acknowledged.
 - When two ends open a connection to each other at once, the tie breaker decides which one remains
   (RFC 2661 section 4.4.3).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.error import Exhausted, Malformed
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.tunnels.l2tp.carriage import Address, DataPort
from pptpgw.tunnels.l2tp.connection import L2TPConnection
from pptpgw.tunnels.l2tp.delivery import CYCLE
from pptpgw.tunnels.l2tp.ids import unused
from pptpgw.tunnels.l2tp.owner import L2TPOwner
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.statetable import ControlState
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from pptpgw.tunnels.l2tp.wire.header import ControlHeader, decodeControl, encodeControl
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, decode, hostName

MALFORMED = "not L2TP"
STRAY = "L2TP of no connection"

MOST = 16384
"""
The most connections, so that an id that isn't used is found soon.
"""

REMEMBERED = 1024
"""
How many connections that have ended are remembered.
"""


class ControlPort(DataPort, TypingProtocol):
    """
    The port by which all messages come and go.
    """

    def send(self, localAddress: str, peer: Address, octets: bytes) -> None:
        """
        Send a datagram. An error of the system is counted.
        """

    def ended(self, peer: Address, tunnelID: int) -> None:
        """
        Note that a connection has ended, after its calls.

        @param tunnelID: the id that we assigned.
        """


class Answerer(L2TPOwner, TypingProtocol):
    """
    The owner of the connections that peers open.
    """

    def admits(self, host: str) -> bool:
        """
        Decide whether a connection from this address is let in.
        """

    def connectionBegun(self, connection: L2TPConnection) -> None:
        """
        Note that a peer begins to open a connection, which was admitted.
        """


class ControlConnections:
    """
    The control connections of one port.

    @ivar settings: the settings of connections to come.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: ControlSettings,
        counters: Counters,
        port: ControlPort,
        answerer: Answerer | None = None,
    ) -> None:
        """
        @param answerer: the owner of connections that peers open; None if they may open none.
        """
        self.settings = settings
        self._clock = clock
        self._counters = counters
        self._port = port
        self._answerer = answerer
        self._connections: dict[int, L2TPConnection] = {}
        # Those that we opened.
        self._opened: set[L2TPConnection] = set()
        # Those that peers opened, by the address and the id there; and the last one of an address.
        self._requests: dict[tuple[Address, int], L2TPConnection] = {}
        self._peers: dict[Address, L2TPConnection] = {}
        # Those that have ended: the peer, the header of an acknowledgement, and until when.
        self._ended: OrderedDict[int, tuple[Address, ControlHeader, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._connections)

    def open(
        self,
        owner: L2TPOwner,
        localAddress: str,
        peer: Address,
        settings: ControlSettings | None = None,
    ) -> L2TPConnection:
        """
        Open a connection to C{peer}.

        @param localAddress: the address that datagrams come from; empty to leave it to the system.
        @param settings: those of this connection, if they differ from the others'.
        @raise Exhausted: there are as many as can be.
        """
        if len(self._connections) >= MOST:
            raise Exhausted(f"there are {MOST} L2TP connections")
        connection = self._make(owner, localAddress, peer, True, settings)
        self._opened.add(connection)
        connection.open()
        return connection

    def of(self, host: str) -> list[L2TPConnection]:
        """
        Return the connections whose peers have this address.
        """
        return [one for one in self._connections.values() if one.peer[0] == host]

    def knows(self, tunnelID: int, peer: Address) -> bool:
        """
        Return whether there is a connection with this id, which we assigned, and this peer, and it
        has a local address.
        """
        found = self._connections.get(tunnelID)
        return found is not None and found.peer == peer and bool(found.localAddress)

    def continued(self, tunnelID: int, octets: bytes) -> None:
        """
        Handle a datagram with a control message of a connection that was known.
        """
        connection = self._connections.get(tunnelID)
        if connection is not None:
            self.received(octets, connection.peer, connection.localAddress)

    def received(self, octets: bytes, peer: Address, localAddress: str) -> None:
        """
        Handle a datagram with a control message.
        """
        try:
            header, body = decodeControl(octets)
        except Malformed:
            self._counters.discard(MALFORMED)
            return
        connection = self._connections.get(header.tunnelID)
        if connection is None and header.tunnelID == 0:
            connection = self._unnumbered(header, body, peer, localAddress)
            if connection is None:
                return
        if connection is None:
            self._late(header, body, peer, localAddress)
        elif connection.peer == peer or self._moves(connection, peer):
            connection.localAddress = connection.localAddress or localAddress
            connection.received(header, body)
        else:
            self._counters.discard(STRAY)

    # Internal methods

    def _make(
        self,
        owner: L2TPOwner,
        localAddress: str,
        peer: Address,
        isInitiator: bool,
        settings: ControlSettings | None = None,
    ) -> L2TPConnection:
        localID = unused(self._connections)
        self._ended.pop(localID, None)
        connection = L2TPConnection(
            self._clock,
            self.settings if settings is None else settings,
            owner,
            self._transmit,
            self._closed,
            self._port,
            self._counters,
            localID,
            localAddress,
            peer,
            isInitiator,
        )
        self._connections[localID] = connection
        return connection

    def _transmit(self, connection: L2TPConnection, octets: bytes) -> None:
        self._port.send(connection.localAddress, connection.peer, octets)

    def _closed(self, connection: L2TPConnection) -> None:
        """
        Forget a connection that is closed, but for what its peer may repeat.
        """
        peer = connection.peer
        del self._connections[connection.localID]
        self._opened.discard(connection)
        if self._requests.get((peer, connection.peerID)) is connection:
            del self._requests[peer, connection.peerID]
        if self._peers.get(peer) is connection:
            del self._peers[peer]
        if connection.peerID and connection.delivery.proven:
            header = ControlHeader(connection.peerID, 0, *connection.delivery.numbers)
            self._ended[connection.localID] = peer, header, self._clock.seconds() + CYCLE
            if len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
        self._port.ended(peer, connection.localID)

    def _unnumbered(
        self, header: ControlHeader, body: bytes, peer: Address, localAddress: str
    ) -> L2TPConnection | None:
        """
        Handle a message to the tunnel id 0, an SCCRQ.

        @return: the connection that the message belongs to, if there is one and it isn't handled.
        """
        secret = self.settings.trust(hostName(body)).secret
        try:
            message = decode(body, secret)
        except Malformed:
            message = None
        if message is None or message.type != MessageType.SCCRQ:
            # Some peers forget the id (D-Link's DIR-300).
            connection = self._peers.get(peer) if self.settings.permissive else None
            if connection is None:
                self._counters.discard(STRAY if body else MALFORMED)
            return connection
        known = self._requests.get((peer, message.get(AVP.ASSIGNED_TUNNEL_ID)))
        if known is not None:
            return known
        self._requested(header, body, message, peer, localAddress)
        return None

    def _requested(
        self,
        header: ControlHeader,
        body: bytes,
        message: L2TPMessage,
        peer: Address,
        localAddress: str,
    ) -> None:
        answerer = self._answerer
        if answerer is None or header.sent != 0 or len(self._connections) >= MOST:
            self._counters.discard(STRAY)
        elif self._losesTie(message, peer):
            self._counters.discard("L2TP connection lost a tie")
        elif answerer.admits(peer[0]):
            connection = self._make(answerer, localAddress, peer, False)
            self._requests[peer, message.get(AVP.ASSIGNED_TUNNEL_ID)] = connection
            self._peers[peer] = connection
            answerer.connectionBegun(connection)
            connection.begin(header, body, message)

    def _losesTie(self, message: L2TPMessage, peer: Address) -> bool:
        """
        Return whether a connection that C{peer} opens is to be discarded, since we are opening one
        to it. Otherwise ours is.
        """
        for connection in tuple(self._opened):
            if connection.state is ControlState.WAIT_CTL_REPLY and connection.peer == peer:
                theirs = message.get(AVP.TIE_BREAKER, b"")
                if theirs and theirs <= connection.tieBreaker:
                    text = "the peer opens a control connection at the same time"
                    connection.end(Cause(text, Termination.NAS_REQUEST))
                return not theirs or theirs >= connection.tieBreaker
        return False

    def _moves(self, connection: L2TPConnection, peer: Address) -> bool:
        """
        Note that the answer to our SCCRQ comes from another port, as it may (RFC 2661 section 8.1).
        """
        if connection.state is not ControlState.WAIT_CTL_REPLY or connection.peer[0] != peer[0]:
            return False
        connection.peer = peer
        return True

    def _late(self, header: ControlHeader, body: bytes, peer: Address, localAddress: str) -> None:
        """
        Acknowledge what the peer of a connection repeats that has ended.
        """
        self._counters.discard(STRAY)
        ended = self._ended.get(header.tunnelID)
        if ended is not None and body and ended[0] == peer and self._clock.seconds() < ended[2]:
            self._port.send(localAddress, peer, encodeControl(ended[1]))
