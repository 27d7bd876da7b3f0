"""
A gateway that serves SSTP without TLS, and its peers, in memory and on the test's clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.config.section import ListenSection
from pptpgw.datapath.python import PythonDataPath
from pptpgw.interfaces import IAuthenticationProtocol, ISessionObserver
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.testing import MemoryTUN, World, makeTunnelEnvironment
from pptpgw.tunnels.sstp.certificate import Certificate
from pptpgw.tunnels.sstp.client import ClientConnection, SSTPClientProtocol
from pptpgw.tunnels.sstp.connection import SSTPConnection
from pptpgw.tunnels.sstp.protocol import SSTPProtocol
from pptpgw.tunnels.sstp.tunnel import SSTPFactory, SSTPSettings

DELAY = 0.001
BUFFER = 65536
"""
The octets that a transport keeps before it says that it is full.
"""

CERTIFICATE = b"the certificate of the gateway"
HERE = IPv4Address("TCP", "192.0.2.1", 443)

OPENING = (
    b"SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n"
    b"Host: VPN.example.org:443\r\nContent-Length: 18446744073709551615\r\n"
    b"SSTPCORRELATIONID: {D2D2D2D2-0000-4000-8000-0123456789AB}\r\n\r\n"
)
REQUEST = bytes.fromhex("1001000e0001000100010006 0001")


class End:
    """
    One end of a TCP connection, as its protocol sees it. It doesn't provide Twisted's interfaces of
    TCP transports, so that nobody asks it for a socket.

    @ivar waiting: the octets that the other end hasn't read.
    @ivar reads: whether the other end reads.
    """

    def __init__(self, clock: Any, host: IPv4Address, peer: IPv4Address) -> None:
        self.waiting = b""
        self.reads = True
        self.protocol: Any = None
        self.other: Any = None
        self._clock = clock
        self._host = host
        self._peer = peer
        self._producer: Any = None
        self._isOver = False

    def getHost(self) -> IPv4Address:
        return self._host

    def getPeer(self) -> IPv4Address:
        return self._peer

    def getHandle(self) -> None:
        pass

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, octets: bytes) -> None:
        if self._isOver:
            return
        if self.reads:
            self._clock.callLater(DELAY, self.other.deliver, octets)
            return
        self.waiting += octets
        if self._producer is not None and len(self.waiting) > BUFFER:
            self._producer.pauseProducing()

    def deliver(self, octets: bytes) -> None:
        if not self._isOver:
            self.protocol.dataReceived(octets)

    def loseConnection(self) -> None:
        self._clock.callLater(DELAY, self.other.end)
        self._clock.callLater(DELAY, self.end)

    abortConnection = loseConnection

    def end(self) -> None:
        if not self._isOver:
            self._isOver = True
            self.protocol.connectionLost(Failure(ConnectionDone()))


class Peer:
    """
    A peer that sends octets and keeps what comes.

    @ivar heard: what has come.
    @ivar isOver: whether the connection is closed.
    @ivar theirs: the gateway's end of the connection.
    @ivar protocol: the gateway's protocol.
    """

    theirs: End
    transport: End
    protocol: SSTPProtocol

    def __init__(self) -> None:
        self.heard = b""
        self.isOver = False

    def write(self, *octets: bytes) -> None:
        for one in octets:
            self.transport.write(one)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure) -> None:
        self.isOver = True

    @property
    def connection(self) -> SSTPConnection:
        """
        The gateway's connection, once there is one.
        """
        assert self.protocol.connection is not None
        return self.protocol.connection


class CallingPeer(Peer):
    """
    A peer that calls by our own client, when the gateway has answered its HTTP request.
    """

    caller: ClientConnection | None = None

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.caller is not None:
            self.caller.connection.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        if self.caller is not None:
            self.caller.connection.connectionLost("it is over")
            self.caller.gone.callback(None)


class SSTPGateway(World):
    """
    The gateway.
    """

    def __init__(
        self,
        checker: ICredentialsChecker,
        text: str = "",
        observers: Iterable[ISessionObserver] = (),
        listen: ListenSection | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(f'[listen]\ntunnels = ["sstp"]\n{text}', [checker], observers)
        made = makeTunnelEnvironment(self.gateway, listen, self.clock)
        self.tunnelEnvironment = replace(
            made, tally=self.gateway.tally, attempts=self.gateway.attempts
        )
        self.factory = SSTPFactory(SSTPSettings(**settings), self.tunnelEnvironment)
        self.factory.certificate = Certificate(CERTIFICATE, None)

    def makeDataPath(self) -> Any:
        self.tun = MemoryTUN()
        return PythonDataPath(self.clock, self.tun)

    @property
    def discards(self) -> dict[str, int]:
        """
        What was counted of everything that belongs to no call.
        """
        return dict(self.tunnelEnvironment.counters.discards)

    def meet(self, *octets: bytes, peer: Peer | None = None, source: str = "192.0.2.7") -> Peer:
        """
        Connect, and send octets.
        """
        peer = peer or Peer()
        there = IPv4Address("TCP", source, 40000)
        protocol: Any = self.factory.buildProtocol(there)
        mine, theirs = End(self.clock, there, HERE), End(self.clock, HERE, there)
        mine.other, theirs.other = theirs, mine
        mine.protocol, theirs.protocol = peer, protocol
        peer.transport, peer.theirs, peer.protocol = mine, theirs, protocol
        if protocol is None:
            peer.isOver = True
        else:
            protocol.makeConnection(theirs)
            peer.write(*octets)
        self.run(0.01)
        return peer

    def call(
        self,
        certificate: bytes = CERTIFICATE,
        user: bytes = b"alice",
        password: bytes = b"open sesame",
        methods: tuple[IAuthenticationProtocol, ...] = (MSCHAPV2,),
    ) -> tuple[CallingPeer, ClientCall]:
        """
        Call by our own client, which is shown a certificate, and give the call a second.
        """
        peer = CallingPeer()
        self.meet(OPENING, peer=peer)
        client: Any = SimpleNamespace(clock=self.clock, dataPath=PythonDataPath(self.clock))
        protocol = SSTPClientProtocol(client, lambda stage: None)
        protocol.transport = peer.transport  # type: ignore[assignment]
        peer.caller = ClientConnection(client, protocol, certificate, lambda stage: None)
        settings = LinkSettings(identity=Identity(user, password, methods))
        call = peer.caller.call(settings, [IPCP(IPv4Settings.client(lambda packet: None))])
        call.opened.addErrback(lambda failure: None)
        self.run(1, 0.01)
        return peer, call
