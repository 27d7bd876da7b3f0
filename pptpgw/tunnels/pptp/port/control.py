"""
Control connections over TCP: the server's side, at port 1723, and the client's side.

The memory used for each peer is bounded. At most one incomplete message from a peer is kept. At
most L{QUEUE} octets, and L{QUEUE_PER_CALL} more for each call that the peer may have, wait to be
sent to it. A peer for which more octets wait, or that reads nothing for L{STALL_TIMEOUT} seconds,
is disconnected. While a peer doesn't read, nothing is read from it either.
"""

from __future__ import annotations

import socket
from typing import Protocol as TypingProtocol
from typing import cast

from twisted.internet.address import IPv4Address as TCPAddress
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, ServerFactory, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import ITunnelEnvironment
from pptpgw.sessions.cause import DISPLACED, SHUT_DOWN
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.entrance import Entrance
from pptpgw.tunnels.pptp.call import CONTROL, PPTP, Channels
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import ConnectionOwner, ControlTransport
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import ConnectionState, Side

STALL_TIMEOUT = 30.0
QUEUE = 8192
QUEUE_PER_CALL = 256


class TCPTransport(ControlTransport, TypingProtocol):
    """
    The parts of Twisted's TCP transport that this module uses.

    @ivar bufferSize: the number of octets waiting to be sent at which the producer is paused.
    """

    bufferSize: int

    def getHost(self) -> TCPAddress: ...
    def getPeer(self) -> TCPAddress: ...
    def getHandle(self) -> socket.socket: ...
    def setTcpNoDelay(self, enabled: bool) -> None: ...
    def setTcpKeepAlive(self, enabled: bool) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


@implementer(IPushProducer)
class PPTPProtocol(Protocol):
    """
    The protocol of a TCP connection, which carries one L{ControlConnection} and is its transport.
    It is also the producer of the octets that the peer has to read.

    @ivar connection: the control connection, once the TCP connection is made.
    """

    connection: ControlConnection

    def __init__(self, factory: ConnectionFactory) -> None:
        self._factory = factory
        self._stalled: IDelayedCall | None = None
        # The messages that are sent while received octets are handled, to be written all at once;
        # None at other times.
        self._gathered: list[bytes] | None = None
        # The number of octets that the peer may not have read yet.
        self._unread = 0
        self._limit = QUEUE + QUEUE_PER_CALL * factory.settings.maximumCalls

    @property
    def _tcp(self) -> TCPTransport:
        return cast(TCPTransport, self.transport)

    def connectionMade(self) -> None:
        """
        Make the control connection, and begin it.
        """
        tcp = self._tcp
        tcp.setTcpNoDelay(True)
        tcp.setTcpKeepAlive(True)
        # By default the kernel keeps some MiB for a peer that doesn't read.
        tcp.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limit)
        inner = tcp
        while isinstance(inner, ProtocolWrapper):
            inner = cast(TCPTransport, inner.transport)
        inner.bufferSize = QUEUE
        tcp.registerProducer(self, True)
        self.connection = self._factory.buildConnection(tcp.getHost().host, tcp.getPeer().host)
        self._factory.opened(self)
        self.connection.connectionMade(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Pass octets to the control connection, and write its answers at once.
        """
        if self._gathered is not None:
            self.connection.dataReceived(data)
            return
        if self.connection.state is ConnectionState.IDLE and not self._isAdmitted():
            self._tcp.abortConnection()
            return
        self._gathered = []
        try:
            self.connection.dataReceived(data)
        finally:
            self._send()
        if self.connection.state is not ConnectionState.IDLE:
            self._factory.heard(self)

    def _isAdmitted(self) -> bool:
        """
        Return whether the peer may go on, now that its first octets are here. Before that, a
        transport behind a proxy (PROXY protocol) doesn't know the peer's address.
        """
        peer = self._tcp.getPeer().host
        return peer == self.connection.peerAddress or self._factory.named(
            self, self._tcp.getHost().host, peer
        )

    # pptpgw.tunnels.entrance.IncomingConnection

    @property
    def isProven(self) -> bool:
        """
        Whether a caller on the control connection is or was authenticated.
        """
        return self.connection.isProven

    def displace(self) -> None:
        """
        Close the connection, to make room for a newer one.
        """
        self.connection.end(DISPLACED)
        self._tcp.abortConnection()

    def stop(self) -> None:
        """
        Hang up every call and stop the control connection. The TCP connection is closed at most
        C{stopTimeout} and C{closeTimeout} later.
        """
        self.connection.stop(SHUT_DOWN)

    # pptpgw.tunnels.pptp.owner.ControlTransport

    def write(self, octets: bytes) -> None:
        """
        Send octets, after those of earlier calls. If too many wait for the peer, the connection
        ends.
        """
        self._unread += len(octets)
        if self._unread > self._limit:
            if self._unread - len(octets) <= self._limit:
                self._factory.clock.callLater(0, self._giveUp)
        elif self._gathered is not None:
            self._gathered.append(octets)
        else:
            self._tcp.write(octets)

    def loseConnection(self) -> None:
        """
        Close the TCP connection after everything has been sent.
        """
        self._send()
        self._tcp.loseConnection()

    def abortConnection(self) -> None:
        """
        Close the TCP connection at once, without sending what waits.
        """
        self._tcp.abortConnection()

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, None
        if gathered:
            self._tcp.write(b"".join(gathered))
        if self._stalled is None:
            # Less than bufferSize waits in the transport.
            self._unread = 0

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End the control connection, since the TCP connection is lost.
        """
        self.connected = 0
        self._moving()
        why = reason.getErrorMessage().removesuffix(".")
        self.connection.connectionLost(f"the TCP connection ended: {why}")
        self._factory.closed(self)

    def pauseProducing(self) -> None:
        """
        See L{IPushProducer}: the peer doesn't read, so read no further messages from it.
        """
        if self._stalled is None:
            self._stalled = self._factory.clock.callLater(STALL_TIMEOUT, self._stall)
            self._tcp.pauseProducing()

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer}: the peer has read everything, so read from it again.
        """
        self._moving()
        self._unread = 0
        self._tcp.resumeProducing()
        if self.connection.state is ConnectionState.CLOSED:
            # A transport doesn't close while it has a producer.
            self._tcp.unregisterProducer()

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}. There is nothing to do, since L{connectionLost} follows.
        """

    def _moving(self) -> None:
        self._stalled = cancelled(self._stalled)

    def _stall(self) -> None:
        self._stalled = None
        self._giveUp()

    def _giveUp(self) -> None:
        if self.connected:
            self._factory.counters.discard("control connection whose peer doesn't read")
            self._tcp.abortConnection()


class ConnectionFactory(Factory):
    """
    The common part of the factories of the server's and the client's side.
    """

    noisy = False
    side: Side

    def __init__(
        self,
        clock: IReactorTime,
        settings: ConnectionSettings,
        callIDs: CallIDs,
        owner: ConnectionOwner,
        counters: Counters | None = None,
        channels: Channels | None = None,
    ) -> None:
        """
        @param channels: opens the channels of calls, for a data path in Python; None if there is no
            such data path.
        """
        self.clock = clock
        self.settings = settings
        self.callIDs = callIDs
        self.owner = owner
        self.counters = Counters() if counters is None else counters
        self.channels = channels

    def buildProtocol(self, addr: IAddress | None) -> PPTPProtocol | None:
        """
        Make the protocol for a TCP connection.
        """
        return PPTPProtocol(self)

    def buildConnection(self, localAddress: str, peerAddress: str) -> ControlConnection:
        """
        Make the control connection for a TCP connection between these addresses.
        """
        return ControlConnection(
            self.clock,
            self.settings,
            self.callIDs,
            self.owner,
            self.side,
            localAddress,
            peerAddress,
            self.counters,
            self.channels,
        )

    def opened(self, protocol: PPTPProtocol) -> None:
        """
        Note that C{protocol} has a TCP connection. Do nothing here.
        """

    def named(self, protocol: PPTPProtocol, here: str, peer: str) -> bool:
        """
        Set the addresses of both ends of a connection, which a proxy has told.

        @param here: our address, dotted.
        @param peer: the peer's address, dotted.
        @return: whether the peer may go on.
        """
        protocol.connection.localAddress = here
        protocol.connection.peerAddress = peer
        return True

    def heard(self, protocol: PPTPProtocol) -> None:
        """
        Note that the peer has sent a whole message. Do nothing here.
        """

    def closed(self, protocol: PPTPProtocol) -> None:
        """
        Note that the TCP connection of C{protocol} is lost. Do nothing here.
        """


class ControlClientFactory(ConnectionFactory):
    """
    The factory for a client endpoint. Each connection is a control connection that we open, as PNS.
    """

    side = Side.ORIGINATOR


class ControlFactory(ConnectionFactory, ServerFactory):
    """
    The factory of a listening port. Each connection is a control connection that a client, the PNS,
    opens to us, the PAC. Connections beyond the limits are closed at once.

    @ivar entrance: the entrance of the tunnel, which lets clients in.
    """

    side = Side.RECEIVER

    def __init__(
        self,
        environment: ITunnelEnvironment,
        settings: ConnectionSettings,
        callIDs: CallIDs,
        owner: ConnectionOwner,
        channels: Channels | None = None,
    ) -> None:
        counters: Counters = environment.counters
        super().__init__(environment.reactor, settings, callIDs, owner, counters, channels)
        self.entrance: Entrance[PPTPProtocol] = Entrance(environment, PPTP, CONTROL)

    def buildProtocol(self, addr: IAddress | None) -> PPTPProtocol | None:
        """
        Make the protocol for a client, or return None if the client isn't let in.
        """
        host: str = getattr(addr, "host", "")
        if self._isIPv4(host) and self.entrance.admits(host):
            return super().buildProtocol(addr)
        return None

    def opened(self, protocol: PPTPProtocol) -> None:
        """
        Note that a client has connected, and count it.
        """
        self.entrance.opened(protocol, protocol.connection.peerAddress)

    def named(self, protocol: PPTPProtocol, here: str, peer: str) -> bool:
        """
        See L{ConnectionFactory.named}.
        """
        isAdmitted = self._isIPv4(peer) and self.entrance.renamed(protocol, peer)
        return isAdmitted and super().named(protocol, here, peer)

    def heard(self, protocol: PPTPProtocol) -> None:
        """
        See L{ConnectionFactory.heard}.
        """
        self.entrance.heard(protocol)

    def closed(self, protocol: PPTPProtocol) -> None:
        """
        See L{ConnectionFactory.closed}.
        """
        self.entrance.closed(protocol)

    def _isIPv4(self, host: str) -> bool:
        """
        Return whether C{host} is an address of IPv4, to which GRE can be sent. Any other is
        refused.
        """
        try:
            socket.inet_pton(socket.AF_INET, host)
        except (OSError, ValueError):
            self.entrance.refuse(host, "control connection not over IPv4")
            return False
        return True
