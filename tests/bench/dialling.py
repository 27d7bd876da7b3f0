"""
The callers' end of each tunnel: how a call is placed with our own client.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from OpenSSL import SSL
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.datapath.python import PythonDataPath
from pptpgw.networks.ipv4.ipcp import IPCP
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import LinkSettings
from pptpgw.tunnels.hdlc.client import HDLCClientFactory
from pptpgw.tunnels.l2tp.client import LACClient
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.pptp.client import ControlClient, SharedPorts
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.sstp.certificate import loaded
from pptpgw.tunnels.sstp.client import SSTPClient
from pptpgw.tunnels.sstp.trust import Trust
from tests.bench.namespaces import SERVER
from tests.bench.tunnels import HDLC, L2TP, LINES, PPTP, SSTP

PATIENCE = 300.0
"""
Seconds that one call may take.
"""

TLS_PORT = 443


def _discard(octets: bytes) -> None:
    """
    Discard octets.
    """


class Dialler(ABC):
    """
    Places calls by one tunnel, each on a connection of its own.

    @cvar name: the name of the tunnel.
    """

    name: ClassVar[str]

    def __init__(
        self, reactor: Any, dataPath: PythonDataPath, sources: Sequence[str], certificate: str
    ) -> None:
        """
        @param dataPath: carries the packets of all calls.
        @param sources: the addresses to call from, in turn.
        @param certificate: the path of the server's certificate.
        """
        self._reactor = reactor
        self._dataPath = dataPath
        self._sources = sources
        self._certificate = certificate
        self._connections: list[Any] = []

    @abstractmethod
    async def _connect(self, number: int) -> Any:
        """
        Open a connection, whose C{call} places a call and whose C{close} closes it.
        """

    async def place(self, number: int, settings: LinkSettings, ipv4: IPCP) -> ClientCall:
        """
        Open the connection with this number and place a call on it, until IPv4 is open.
        """
        connection = await self._connect(number)
        self._connections.append(connection)
        call: ClientCall = connection.call(settings, [ipv4])
        await call.opened.addTimeout(PATIENCE, self._reactor)
        return call

    @abstractmethod
    def drain(self) -> None:
        """
        Discard what the last connection brings, if it must be read.
        """

    @property
    def count(self) -> int:
        """
        The number of connections.
        """
        return len(self._connections)

    async def close(self) -> int:
        """
        Close all connections.

        @return: how many there were.
        """
        ended: list[Deferred[None]] = [one.close() for one in self._connections]
        self._connections.clear()
        await gatherResults(ended)
        return len(ended)


class PPTPDialler(Dialler):
    """
    Calls by TCP and GRE.
    """

    name = PPTP

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        ports = SharedPorts(self._reactor)
        ports.dataPath = self._dataPath
        settings = ConnectionSettings(handshakeTimeout=PATIENCE)
        self._endpoints = [
            ControlClient(
                *(self._reactor, SERVER),
                ports=ports,
                settings=settings,
                bindAddress=one,
                timeout=PATIENCE,
            )
            for one in self._sources
        ]

    async def _connect(self, number: int) -> Any:
        return await self._endpoints[number % len(self._endpoints)].connect()

    def drain(self) -> None:
        """
        Do nothing: packets are dropped before.
        """


class SSTPDialler(Dialler):
    """
    Calls by TLS over TCP, from any address.
    """

    name = SSTP

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        fingerprint = loaded(self._certificate, "", False).fingerprint
        self._trust = Trust(fingerprint=fingerprint)
        self._client = SSTPClient(
            self._reactor, SERVER, trust=self._trust, timeout=PATIENCE, dataPath=self._dataPath
        )

    async def _connect(self, number: int) -> Any:
        return await self._client.connect()

    def drain(self) -> None:
        self._connections[-1].tcp.dataReceived = _discard

    async def greet(self, count: int, tls: bool) -> None:
        """
        Open connections one after the other, and close each at once, or after the handshake of TLS.
        """
        endpoint = TCP4ClientEndpoint(self._reactor, SERVER, TLS_PORT, timeout=PATIENCE)
        for _ in range(count):
            factory: Any = Factory.forProtocol(Greeting)
            if tls:
                creator = self._trust.creator(SERVER)
                factory = TLSMemoryBIOFactory(creator, True, factory, self._reactor)
            made: Any = await endpoint.connect(factory)
            greeting = made.wrappedProtocol if tls else made
            if not tls:
                greeting.handshakeCompleted()
            await greeting.over


@implementer(IHandshakeListener)
class Greeting(Protocol):
    """
    The protocol of a connection that is closed as soon as it is made.

    @ivar over: fires when it is closed.
    """

    def __init__(self) -> None:
        self.over: Deferred[None] = Deferred()

    def handshakeCompleted(self) -> None:
        """
        Close the connection.
        """
        transport: Any = self.transport
        transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Fire L{over}, unless TLS failed.
        """
        if reason.check(SSL.Error):
            self.over.errback(reason)
        else:
            self.over.callback(None)


class L2TPDialler(Dialler):
    """
    Calls by UDP.
    """

    name = L2TP

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        settings = ControlSettings(handshakeTimeout=PATIENCE, answerTimeout=PATIENCE)
        self._clients = [
            LACClient(
                *(self._reactor, SERVER),
                settings=settings,
                bindAddress=one,
                timeout=PATIENCE,
                dataPath=self._dataPath,
            )
            for one in self._sources
        ]

    async def _connect(self, number: int) -> Any:
        return await self._clients[number % len(self._clients)].connect()

    def drain(self) -> None:
        """
        Do nothing: packets are dropped before.
        """


class _Line:
    """
    A TCP connection in place of a serial line, which has one call.
    """

    def __init__(self, reactor: Any, dataPath: PythonDataPath, source: str) -> None:
        self._reactor = reactor
        self._dataPath = dataPath
        self._source = source
        self._call: ClientCall
        self._factory: HDLCClientFactory
        self._protocol: Any = None

    def call(self, settings: LinkSettings, protocols: list[Any]) -> ClientCall:
        """
        Open the line, and place the call.
        """
        settings = replace(settings, accm=0)
        self._call = ClientCall(self._reactor, self._dataPath, settings, protocols)
        self._factory = HDLCClientFactory(self._reactor, self._call, 0)
        endpoint = TCP4ClientEndpoint(
            *(self._reactor, SERVER, LINES), timeout=PATIENCE, bindAddress=(self._source, 0)
        )
        endpoint.connect(self._factory).addCallbacks(self._connected, self._failed)
        return self._call

    def _connected(self, protocol: Any) -> None:
        self._protocol = protocol

    def _failed(self, failure: Failure) -> None:
        self._call.opened.errback(failure)

    def drain(self) -> None:
        """
        Discard what comes.
        """
        self._protocol.dataReceived = _discard

    def close(self) -> Deferred[None]:
        """
        Hang up, and disconnect the line.
        """
        ended = self._call.hangUp()
        return ended.addCallback(lambda _: self._factory.whenDisconnected())


class HDLCDialler(Dialler):
    """
    Calls over lines.
    """

    name = HDLC

    async def _connect(self, number: int) -> Any:
        source = self._sources[number % len(self._sources)]
        return _Line(self._reactor, self._dataPath, source)

    def drain(self) -> None:
        self._connections[-1].drain()


DIALLERS: dict[str, type[Dialler]] = {
    one.name: one for one in (PPTPDialler, SSTPDialler, L2TPDialler, HDLCDialler)
}
"""
What places calls, by the name of the tunnel.
"""
