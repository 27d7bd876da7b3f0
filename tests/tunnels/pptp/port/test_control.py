"""
Tests for L{pptpgw.tunnels.pptp.port.control}.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Any

import pytest
from twisted.internet import reactor as globalReactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from pptpgw.config.section import ListenSection
from pptpgw.interfaces import ICallOwner
from pptpgw.log import INTERVAL, PER_SOURCE
from pptpgw.sessions.cause import SHUT_DOWN
from pptpgw.testing import makeTunnelEnvironment
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.port import control
from pptpgw.tunnels.pptp.port.control import (
    QUEUE,
    QUEUE_PER_CALL,
    STALL_TIMEOUT,
    ControlClientFactory,
    ControlFactory,
)
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import ConnectionState, Side
from pptpgw.tunnels.pptp.wire.message import (
    EchoReply,
    EchoRequest,
    OutgoingCallRequest,
    StartControlConnectionRequest,
    StopControlConnectionReply,
    encode,
)

reactor: Any = globalReactor

ECHO = encode(EchoRequest(1))


class TCP(StringTransport):
    """
    A transport that records how TCP is set up.
    """

    noDelay = False
    keepAlive = False
    reading = True

    def getHandle(self) -> Any:
        return self

    def setsockopt(self, *arguments: int) -> None:
        self.options = arguments

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.noDelay = enabled

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.keepAlive = enabled

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True


@implementer(ICallOwner)
class Owner:
    """
    An owner that accepts every call and records what it is told.
    """

    def __init__(self) -> None:
        self.connections: list[ControlConnection] = []
        self.closed: list[str] = []
        self.ended: list[str] = []
        self.opened: Deferred[ControlConnection] = Deferred()
        self.established: Deferred[Call] = Deferred()
        self.over: Deferred[str] = Deferred()

    def connectionOpened(self, connection: ControlConnection) -> None:
        self.connections.append(connection)
        if not self.opened.called:
            self.opened.callback(connection)

    def callRequested(self, call: Call) -> None:
        call.accept(self)

    def connectionClosed(self, connection: ControlConnection, reason: str) -> None:
        self.closed.append(reason)

    def callEstablished(self, call: Any) -> None:
        if not self.established.called:
            self.established.callback(call)

    def callEnded(self, call: Any, cause: str) -> None:
        self.ended.append(cause)
        if not self.over.called:
            self.over.callback(cause)


def factoryOf(clock: Any, owner: Owner, **listen: Any) -> ControlFactory:
    calls: Any = owner
    environment = makeTunnelEnvironment(calls, ListenSection(**listen), clock)
    return ControlFactory(environment, ConnectionSettings(), CallIDs(clock), owner)


class Port:
    """
    A L{ControlFactory}, and the clients that connect to it.
    """

    def __init__(
        self,
        clients: Sequence[IPv4Network] = (),
        maxConnections: int = 8,
        maxConnectionsPerHost: int = 2,
        maxSilent: int = 8,
    ) -> None:
        self.clock = Clock()
        self.owner = Owner()
        self.factory = factoryOf(
            self.clock,
            self.owner,
            clients=clients,
            maxConnections=maxConnections,
            maxConnectionsPerHost=maxConnectionsPerHost,
            maxSilentConnections=maxSilent,
        )

    def connect(self, host: str = "192.0.2.9") -> tuple[Any, Any] | None:
        """
        Connect a client at C{host}.

        @return: the client, or C{None} if it isn't let in.
        """
        peer = IPv4Address("TCP", host, 40000)
        protocol: Any = self.factory.buildProtocol(peer)
        if protocol is None:
            return None
        kind: Any = TCP
        transport = kind(IPv4Address("TCP", "192.0.2.1", 1723), peer)
        protocol.makeConnection(transport)
        return protocol, transport

    def connected(self, host: str = "192.0.2.9") -> tuple[Any, Any]:
        found = self.connect(host)
        assert found is not None
        return found

    def established(self) -> tuple[Any, Any]:
        protocol, transport = self.connected()
        protocol.dataReceived(encode(StartControlConnectionRequest()))
        transport.clear()
        return protocol, transport


def _lost(protocol: Any) -> None:
    protocol.connectionLost(connectionDone)


def test_connection() -> None:
    """
    A TCP connection carries a control connection between its two addresses, with TCP_NODELAY.
    """
    port = Port()
    protocol, transport = port.connected()
    assert transport.noDelay
    assert transport.keepAlive
    connection = protocol.connection
    assert (connection.localAddress, connection.peerAddress) == ("192.0.2.1", "192.0.2.9")
    assert connection.side is Side.RECEIVER
    protocol.dataReceived(encode(StartControlConnectionRequest()))
    assert port.owner.connections == [connection]
    assert len(transport.value()) == 156
    assert port.factory.entrance.connections == {protocol}
    _lost(protocol)
    assert port.owner.closed == ["the TCP connection ended: Connection was closed cleanly"]
    assert port.factory.entrance.connections == set()
    assert port.clock.getDelayedCalls() == []


def test_limits() -> None:
    """
    The number of connections is limited, altogether and from each host. The end of one makes room
    for another.
    """
    port = Port(maxConnections=3, maxConnectionsPerHost=2)
    first = port.connected("192.0.2.9")
    made = [first, port.connected("192.0.2.9"), port.connected("192.0.2.10")]
    for protocol, _ in made:
        protocol.connection.isProven = True
    assert port.connect("192.0.2.9") is None
    assert port.connect("192.0.2.11") is None
    assert port.factory.counters.discards == {
        "too many control connections from one host": 1,
        "too many control connections": 1,
    }
    _lost(first[0])
    assert port.connect("192.0.2.9") is not None


def test_displaced() -> None:
    """
    When places are short, the oldest connection of the host with the most connections is closed at
    once.
    """
    port = Port(maxConnections=3, maxConnectionsPerHost=3)
    made = [port.established() for _ in range(3)]
    assert port.connect("192.0.2.10") is not None
    assert [transport.disconnected for _, transport in made] == [True, False, False]
    assert port.owner.closed == ["a newer connection needs its place"]
    _lost(made[0][0])
    assert port.connect("192.0.2.11") is not None
    assert [transport.disconnected for _, transport in made] == [True, True, False]
    assert port.factory.counters.discards == {"control connection displaced by a newer one": 2}
    assert port.connect("192.0.2.12") is None


def test_silent() -> None:
    """
    Connections that haven't sent anything have places of their own, and can't fill those of the
    others.
    """
    port = Port(maxConnections=10, maxConnectionsPerHost=10, maxSilent=2)
    talking = [port.established() for _ in range(3)]
    silent = [port.connected("192.0.2.66") for _ in range(2)]
    assert port.connect("192.0.2.10") is not None
    assert [transport.disconnected for _, transport in silent] == [True, False]
    assert not any(transport.disconnected for _, transport in talking)
    assert port.connect("192.0.2.11") is None
    assert port.factory.counters.discards["too many control connections without a message"] == 1


def test_hostsForgotten() -> None:
    """
    Nothing is kept of a host without a connection.
    """
    port = Port()
    for number in range(1, 200):
        protocol, _ = port.connected(f"192.0.2.{number}")
        _lost(protocol)
    door = port.factory.entrance._door
    assert not door._hosts and not door._connections
    assert not len(door._unproven) and not len(door._silent)


def test_clients() -> None:
    """
    Clients may connect only from the networks that the configuration names.
    """
    port = Port(clients=[IPv4Network("192.0.2.0/28"), IPv4Network("198.51.100.7/32")])
    assert port.connect("192.0.2.15") is not None
    assert port.connect("192.0.2.16") is None
    assert port.connect("198.51.100.7") is not None
    assert port.factory.counters.discards == {
        "control connection from a client that isn't permitted": 1
    }


@pytest.mark.parametrize("address", [IPv6Address("TCP", "2001:db8::1", 9), None])
def test_onlyIPv4(address: IAddress | None) -> None:
    """
    A control connection over IPv6 is refused, as the tunnel's GRE is over IPv4.
    """
    assert Port().factory.buildProtocol(address) is None


def test_refusalsLogged(log: list[str]) -> None:
    """
    A flood of refused connections is logged in a limited number of lines, and a last line says how
    many were omitted.
    """
    port = Port(maxConnectionsPerHost=0)
    for _ in range(200):
        assert port.connect() is None
    assert len(log) == PER_SOURCE[1]
    key = "[listen] max-connections-per-host"
    assert f"too many control connections from one host, see {key} (1 so far)" in log[0]
    port.clock.advance(INTERVAL)
    (summary,) = log[int(PER_SOURCE[1]) :]
    assert summary.startswith("180 more lines on refused control connections were left out within")
    assert port.factory.counters.discards["too many control connections from one host"] == 200


def test_stop() -> None:
    """
    C{stop} closes the port, stops every connection and waits until the last one is gone.
    """
    port = Port()
    stopped: list[None] = []
    protocol, transport = port.established()
    protocol.dataReceived(encode(OutgoingCallRequest(callID=1)))
    transport.clear()
    other, otherTransport = port.connected("192.0.2.10")
    port.factory.entrance.stop().addCallback(stopped.append)
    assert port.connect("192.0.2.11") is None
    assert port.owner.ended == [SHUT_DOWN]
    # The peer gets Call-Disconnect-Notify and Stop-Control-Connection-Request. A connection that
    # isn't open is just closed.
    assert len(transport.value()) == 148 + 16
    assert otherTransport.disconnecting
    protocol.dataReceived(encode(StopControlConnectionReply()))
    assert transport.disconnecting
    _lost(other)
    assert stopped == []
    _lost(protocol)
    assert stopped == [None]
    port.factory.entrance.stop().addCallback(stopped.append)
    assert stopped == [None, None]
    assert port.clock.getDelayedCalls() == []


def test_stopBounded() -> None:
    """
    C{stop} aborts connections whose peers neither answer nor close.
    """
    port = Port()
    _, transport = port.established()
    port.factory.entrance.stop()
    port.clock.advance(5)
    assert transport.disconnecting
    port.clock.advance(5)
    assert transport.disconnected


def test_slowReader() -> None:
    """
    Nothing more is read from a peer that doesn't read, and if that lasts its connection is aborted.
    """
    port = Port()
    protocol, transport = port.established()
    assert transport.producer is protocol
    protocol.pauseProducing()
    assert not transport.reading
    port.clock.advance(STALL_TIMEOUT - 1)
    protocol.resumeProducing()
    assert transport.reading
    assert not transport.disconnected
    protocol.pauseProducing()
    protocol.pauseProducing()
    port.clock.advance(STALL_TIMEOUT)
    assert transport.disconnected
    assert port.factory.counters.discards == {"control connection whose peer doesn't read": 1}
    _lost(protocol)
    assert port.clock.getDelayedCalls() == []


def test_slowReaderCloses() -> None:
    """
    A connection that is closed while its peer doesn't read is aborted without waiting for more to
    be sent.
    """
    port = Port()
    protocol, transport = port.established()
    protocol.pauseProducing()
    protocol.connection.stop()
    port.clock.advance(5)
    assert protocol.connection.state is ConnectionState.CLOSED
    protocol.resumeProducing()
    assert transport.producer is None


def test_bothEnds() -> Deferred[None]:
    """
    A client and a server work over real TCP: two calls are made, one is cleared, and then the
    server stops.
    """
    return Deferred.fromCoroutine(_bothEnds())


async def _bothEnds() -> None:
    theirs, ours = Owner(), Owner()
    server = factoryOf(reactor, theirs)
    listening = reactor.listenTCP(0, server, interface="127.0.0.1")
    client = ControlClientFactory(reactor, ConnectionSettings(), CallIDs(reactor), ours)
    protocol: Any = await TCP4ClientEndpoint(
        reactor, "127.0.0.1", listening.getHost().port
    ).connect(client)
    connection = await ours.opened
    assert connection is protocol.connection
    first, second = connection.placeCall(ours), connection.placeCall(ours)
    await ours.established
    there = await theirs.established
    assert (there.localCallID, there.peerCallID) == (first.peerCallID, first.localCallID)
    first.hangUp("enough")
    assert await ours.over == "enough"
    assert theirs.ended == ["the peer cleared the call"]
    await server.entrance.stop()
    assert second.cause == "the peer disconnected the call: admin shutdown"
    assert theirs.ended[1:] == [SHUT_DOWN]
    assert server.entrance.connections == set()
    await listening.stopListening()
    await protocol.connection.stop()
    if protocol.connected:
        # The server learns of it in the next turn of the reactor.
        lost: Deferred[None] = Deferred()
        reactor.callLater(0, lost.callback, None)
        await lost


def test_deafPeer(monkeypatch: pytest.MonkeyPatch) -> Deferred[None]:
    """
    A peer that sends Echo-Requests and never reads the replies makes the gateway hold a limited
    number of octets, and is cut off.
    """
    monkeypatch.setattr(control, "STALL_TIMEOUT", 0.5)
    return Deferred.fromCoroutine(_deafPeer())


async def _deafPeer() -> None:
    owner = Owner()
    server = factoryOf(reactor, owner)
    listening = reactor.listenTCP(0, server, interface="127.0.0.1")
    peer: Any = await TCP4ClientEndpoint(reactor, "127.0.0.1", listening.getHost().port).connect(
        Factory.forProtocol(Protocol)
    )
    peer.transport.pauseProducing()
    peer.transport.write(encode(StartControlConnectionRequest()))
    await owner.opened
    protocol: Any = next(iter(server.entrance.connections))
    # The kernel doubles this size for its own needs.
    buffered = protocol.transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert buffered == 2 * (QUEUE + QUEUE_PER_CALL * ConnectionSettings().maximumCalls)
    held: list[int] = []
    closed: Deferred[None] = Deferred()
    connectionLost = protocol.connectionLost

    def lost(reason: Any) -> None:
        transport = protocol.transport
        parts = [transport.dataBuffer, *transport._tempDataBuffer]
        held.append(sum(map(sys.getsizeof, parts)))
        connectionLost(reason)
        closed.callback(None)

    protocol.connectionLost = lost
    peer.transport.write(ECHO * 1_500_000)
    await closed
    # The replies to one read, and what waited before.
    assert QUEUE < held[0] < 3 * QUEUE
    assert server.counters.discards == {"control connection whose peer doesn't read": 1}
    peer.transport.abortConnection()
    await listening.stopListening()
    await server.entrance.stop()


def test_manyEchoesAtOnce() -> None:
    """
    The replies to all requests in one read are sent together, up to the limit. More than that ends
    the connection in the next turn and isn't kept.
    """
    port = Port()
    protocol, transport = port.established()
    limit = QUEUE + QUEUE_PER_CALL * ConnectionSettings().maximumCalls
    reply = len(encode(EchoReply()))
    for _ in range(3):
        protocol.dataReceived(ECHO * (limit // reply))
        assert len(transport.value()) == limit // reply * reply
        transport.clear()
    port.clock.advance(1)
    assert not transport.disconnected
    protocol.dataReceived(ECHO * 4096)
    assert len(transport.value()) == limit // reply * reply
    port.clock.advance(0)
    assert transport.disconnected
    _lost(protocol)
    assert port.clock.getDelayedCalls() == []


def test_aPeerThatFallsBehind() -> None:
    """
    The limit is on what the peer hasn't read since it fell behind, whenever that was sent.
    """
    port = Port()
    protocol, transport = port.established()
    protocol.pauseProducing()
    limit = QUEUE + QUEUE_PER_CALL * ConnectionSettings().maximumCalls
    for _ in range(2 * limit // len(encode(EchoReply()))):
        protocol.connection.send(EchoReply())
    assert limit - 64 < len(transport.value()) <= limit
    port.clock.advance(0)
    assert transport.disconnected
    _lost(protocol)
