"""
A gateway, and TCP connections to it on the test's clock, for tests of client endpoints.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw import client
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.client import PacketProtocol, PPTPClientEndpoint
from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.testing import DELAY, MemoryDataPath, answering, makeTunnelEnvironment
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.client import ClientPorts
from pptpgw.tunnels.pptp.port.control import ControlFactory
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from tests.test_gateway import SERVER, World

HERE = IPv4Address("TCP", "192.0.2.7", 40000)
THERE = IPv4Address("TCP", SERVER, 1723)


def program() -> str:
    """
    The program in the documentation of L{pptpgw.client}.
    """
    text = (client.__doc__ or "").partition("::\n\n")[2].partition("\n\nThe packets come")[0]
    return textwrap.dedent(text) + "\n"


class Side:
    """
    One end of a TCP connection, on which everything takes L{DELAY} seconds.
    """

    bufferSize = 0
    other: Side

    def __init__(self, clock: Clock, protocol: Any, host: IPv4Address, peer: IPv4Address) -> None:
        self.protocol = protocol
        self._clock = clock
        self._host = host
        self._peer = peer
        self.closed = False

    def getHost(self) -> IPv4Address:
        return self._host

    def getPeer(self) -> IPv4Address:
        return self._peer

    def getHandle(self) -> Side:
        return self

    def setsockopt(self, *arguments: int) -> None:
        pass

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def registerProducer(self, producer: object, streaming: bool) -> None:
        pass

    def write(self, octets: bytes) -> None:
        if not self.closed:
            self._clock.callLater(DELAY, self.other.received, octets)

    def received(self, octets: bytes) -> None:
        if not self.closed and self.protocol is not None:
            self.protocol.dataReceived(octets)

    def loseConnection(self) -> None:
        self._clock.callLater(DELAY, self.other.lost, ConnectionDone())
        self._clock.callLater(DELAY, self.lost, ConnectionDone())

    def abortConnection(self) -> None:
        self._clock.callLater(DELAY, self.other.lost, ConnectionLost())
        self._clock.callLater(0, self.lost, ConnectionLost())

    def lost(self, reason: Exception) -> None:
        if not self.closed:
            self.closed = True
            if self.protocol is not None:
                self.protocol.connectionLost(Failure(reason))


class Connector:
    """
    A TCP connection that is being opened.
    """

    def __init__(self, reactor: Reactor, factory: Any) -> None:
        self._factory = factory
        self._reactor = reactor
        self._connecting: IDelayedCall | None = None
        factory.doStart()
        factory.startedConnecting(self)
        if reactor.reachable:
            self._connecting = reactor.callLater(DELAY, self._connected)

    def getDestination(self) -> IPv4Address:
        return THERE

    def stopConnecting(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self._factory.doStop()

    def _connected(self) -> None:
        protocol = self._factory.buildProtocol(THERE)
        server = self._reactor.server
        answering = server.buildProtocol(HERE) if server is not None else None
        here = Side(self._reactor, protocol, HERE, THERE)
        there = Side(self._reactor, answering, THERE, HERE)
        here.other, there.other = there, here
        self._reactor.sides.append(there)
        if answering is not None:
            accepted: Any = answering
            accepted.makeConnection(there)
        connecting: Any = protocol
        connecting.makeConnection(here)


class Reactor(Clock):
    """
    A clock that also opens TCP connections to the gateway.

    @ivar reachable: whether TCP connections open at all.
    @ivar server: the factory of the server, or C{None} for a server that accepts connections and
        sends nothing.
    @ivar sides: the server's ends of the connections that were opened.
    """

    reachable = True
    server: ControlFactory | None = None

    def __init__(self) -> None:
        super().__init__()
        self.sides: list[Side] = []

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Connector:
        return Connector(self, factory)


class Ports(ClientPorts):
    """
    Ports that count their users.
    """

    users = 0

    def acquire(self) -> None:
        self.users += 1

    def release(self) -> None:
        self.users -= 1


class Hearing(PacketProtocol):
    """
    A protocol that records the events that it is told of.
    """

    def __init__(self) -> None:
        self.told: list[Any] = []

    def connectionMade(self) -> None:
        self.told.append("made")

    def networkOpened(self, network: str) -> None:
        self.told.append(f"{network} opened")

    def networkClosed(self, network: str) -> None:
        self.told.append(f"{network} closed")

    def packetReceived(self, network: str, packet: bytes) -> None:
        self.told.append((network, packet))

    def connectionLost(self, reason: Any = None) -> None:
        self.told.append(reason.value)


def factoryFor(protocol: Callable[[], Hearing]) -> Any:
    """
    Return a factory of packet protocols, whose type Twisted's annotations of factories don't allow.
    """
    kind: Any = Factory
    factory = kind.forProtocol(protocol)
    factory.noisy = False
    return factory


class Dialling(World):
    """
    A gateway, an endpoint, and a factory for its protocols.
    """

    def __init__(self, secrets: Any, **options: Any) -> None:
        super().__init__(secrets, clock=Reactor(), **options)
        reactor: Any = self.clock
        self.reactor: Reactor = reactor
        self.reactor.server = ControlFactory(
            makeTunnelEnvironment(self.gateway, clock=self.clock),
            ConnectionSettings(),
            self.callIDs,
            answering(self.gateway),
        )
        self.ports = Ports(MemoryDataPath(self.network), CallIDs(self.clock), None)
        self.factory = factoryFor(Hearing)

    def endpoint(
        self,
        password: bytes = b"open sesame",
        methods: tuple[IAuthenticationProtocol, ...] = (MSCHAPV2,),
        timeout: float = 30,
        **options: Any,
    ) -> PPTPClientEndpoint:
        settings = LinkSettings(identity=Identity(b"alice", password, methods))
        return PPTPClientEndpoint(
            self.reactor, SERVER, settings, timeout=timeout, ports=self.ports, **options
        )

    def connect(self, **options: Any) -> Deferred[Any]:  # type: ignore[override]
        return self.endpoint(**options).connect(self.factory)

    def connected(self, **options: Any) -> Hearing:
        found: list[Hearing] = []
        self.connect(**options).addCallback(found.append)
        self.run(0.2)
        (protocol,) = found
        return protocol

    def left(self) -> Iterator[str]:
        """
        Return what is left of calls and connections at either end, in words.
        """
        counts = {
            "lines": len(self.gateway.lines),
            "sessions": len(self.gateway.sessions),
            "addresses": self.pool.used,
            "users of ports": self.ports.users,
            "call ids here": len(self.ports.callIDs),
            "call ids there": len(self.callIDs),
            "TCP connections": sum(not side.closed for side in self.reactor.sides),
            "timers": len(self.clock.getDelayedCalls()),
            "factories": self.factory.numPorts,
            "channels": len(self.network._channels),
        }
        return (f"{count} {what}" for what, count in counts.items() if count)
