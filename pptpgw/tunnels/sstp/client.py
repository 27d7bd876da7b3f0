"""
The client's side of SSTP: connections that this end opens, each with one call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.address import HostnameAddress
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IAddress, IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.plugin import IPlugin
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.clock import steady
from pptpgw.config.kind import key, matching
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError, Malformed
from pptpgw.interfaces import (
    ClientStage,
    ICallOwner,
    IClientConnection,
    IDataPath,
    INetworkProtocol,
    ITunnelClient,
    ITunnelClientFactory,
)
from pptpgw.ppp.client import ClientCall, NetworkListener
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.cause import Cause
from pptpgw.tunnels.client import ANY_FILE, OUR_ADDRESS, following, hostAndPort, ignore
from pptpgw.tunnels.entrance import addressText
from pptpgw.tunnels.sstp.call import SSTP, SSTPCall, protectionOf
from pptpgw.tunnels.sstp.clientside import ClientMachine
from pptpgw.tunnels.sstp.connection import SSTPConnection
from pptpgw.tunnels.sstp.opening import Head, decodeStatus, encodeRequest
from pptpgw.tunnels.sstp.trust import Trust

PORT = 443
OK = 200

TCP, TLS, HTTP, BINDING = "TCP", "TLS", "HTTP", "binding"
"""
The names of the stages of a call that aren't those of every call.
"""

FINGERPRINT = matching(
    "the SHA-256 of a certificate, 64 hexadecimal digits with or without colons",
    "(?i)[0-9a-f]{2}(:?[0-9a-f]{2}){31}",
)


@implementer(IClientConnection)
class ClientConnection:
    """
    A connection that we opened, whose HTTP request was answered. It carries one call. See
    L{IClientConnection}.

    @ivar tcp: the protocol of the TCP connection.
    @ivar gone: fires when the TCP connection is closed.
    """

    def __init__(
        self,
        client: SSTPClient,
        protocol: SSTPClientProtocol,
        certificate: bytes,
        reached: Callable[[str], object],
    ) -> None:
        """
        @param certificate: the certificate that the server has shown, in DER.
        @param reached: see L{ITunnelClient.connect}.
        """
        transport: Any = protocol.transport
        clock = client.clock
        self.tcp = protocol
        self.gone: Deferred[None] = Deferred()
        self.connection = connection = SSTPConnection(clock, transport, protocol)
        confirmed = partial(reached, BINDING)
        connection.machine = ClientMachine(clock, connection, certificate, confirmed)
        here, there = addressText(transport.getHost()), addressText(transport.getPeer())
        self._clock = clock
        self._dataPath = client.dataPath
        self._ends = here, there
        self._isUsed = False
        connection.call = SSTPCall(connection, here, there)

    def call(
        self,
        settings: LinkSettings,
        protocols: Sequence[INetworkProtocol],
        listener: NetworkListener | None = None,
    ) -> ClientCall:
        """
        See L{IClientConnection.call}.

        @raise CallError: the connection is closed, or has had its call.
        """
        settings = replace(settings, encrypted=True)
        call = ClientCall(self._clock, self._dataPath, settings, protocols, listener)
        call.placed(self.place(call))
        return call

    def place(self, owner: ICallOwner) -> SSTPCall:
        """
        Place the call of this connection.

        @param owner: told when it is established, and when it has ended.
        @raise CallError: the connection is closed, or has had its call.
        """
        if self._isUsed or self.gone.called:
            raise CallError("the SSTP connection is closed, or has had its call")
        self._isUsed = True
        transport: Any = self.tcp.transport
        tls = transport.getHandle()
        self.connection.call = call = SSTPCall(
            self.connection,
            *self._ends,
            owner=owner,
            protection="" if tls is None else protectionOf(tls),
        )
        self.connection.machine.start()
        return call

    def close(self) -> Deferred[None]:
        """
        See L{IClientConnection.close}.

        @return: fires when the TCP connection is closed.
        """
        self.connection.stop(Cause("hung up"))
        return succeed(None) if self.gone.called else following(self.gone)

    def abort(self, reason: str) -> None:
        """
        See L{IClientConnection.abort}.
        """
        self.connection.abort(Cause(reason))

    def getHost(self) -> IAddress:
        """
        See L{IClientConnection.getHost}.
        """
        transport: Any = self.tcp.transport
        host: IAddress = transport.getHost()
        return host

    def getPeer(self) -> IAddress:
        """
        See L{IClientConnection.getPeer}.
        """
        transport: Any = self.tcp.transport
        peer: IAddress = transport.getPeer()
        return peer


@implementer(IHandshakeListener)
class SSTPClientProtocol(Protocol):
    """
    The protocol of a TCP connection that we open.

    @ivar opened: fires with the L{ClientConnection} once the server has accepted the HTTP request.
    """

    def __init__(self, client: SSTPClient, reached: Callable[[str], object]) -> None:
        """
        @param reached: see L{ITunnelClient.connect}.
        """
        self.opened: Deferred[ClientConnection] = Deferred(self._cancelled)
        self._client = client
        self._reached = reached
        self._head = Head()
        self._certificate = b""
        self._connection: ClientConnection | None = None

    def connectionMade(self) -> None:
        """
        Wait for the handshake of TLS.
        """
        self._reached(TCP)

    def handshakeCompleted(self) -> None:
        """
        See L{IHandshakeListener.handshakeCompleted}: send the HTTP request, if the certificate is
        believed.
        """
        transport: Any = self.transport
        found = transport.getHandle().get_peer_certificate(as_cryptography=True)
        self._certificate = found.public_bytes(Encoding.DER)
        if fault := self._client.trust.fault(self._certificate):
            self._fail(CallError(fault))
            return
        self._reached(TLS)
        transport.write(encodeRequest(self._client.host, str(uuid4()).upper()))

    def dataReceived(self, data: bytes) -> None:
        """
        Pass octets to the connection, or read the answer to the HTTP request.
        """
        if self._connection is not None:
            self._connection.connection.dataReceived(data)
            return
        try:
            size = self._head.feed(data)
            status = decodeStatus(self._head.octets) if size else OK
        except Malformed as error:
            self._fail(CallError(f"the server doesn't speak HTTP: {error}"))
            return
        if status != OK:
            self._fail(CallError(f"the server answers with the HTTP status {status}"))
        elif size and not self.opened.called:
            self._reached(HTTP)
            rest = self._head.octets[size:]
            made = ClientConnection(self._client, self, self._certificate, self._reached)
            self._connection = made
            self.opened.callback(made)
            if rest:
                made.connection.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End the call, since the connection is lost.
        """
        self.connected = 0
        text = reason.getErrorMessage().removesuffix(".")
        if self._connection is not None:
            self._connection.connection.connectionLost(text)
            self._connection.gone.callback(None)
        elif not self.opened.called:
            self.opened.errback(CallError(f"the connection ended: {_why(reason) or text}"))

    # pptpgw.tunnels.sstp.connection.ConnectionOwner

    def discard(self, reason: str) -> None:
        """
        Count nothing: the counters of the call have what matters.
        """

    # What is private

    def _fail(self, error: Exception) -> None:
        transport: Any = self.transport
        if not self.opened.called:
            self.opened.errback(error)
        transport.abortConnection()

    def _cancelled(self, opened: Deferred[ClientConnection]) -> None:
        self._fail(CancelledError())


def _why(reason: Failure) -> str:
    """
    Return why TLS failed: the names in the certificate, or OpenSSL's own description; empty if it
    didn't fail.
    """
    error: Any = reason.value
    if isinstance(error, VerificationError):
        return "the server's certificate is for another name"
    if not isinstance(error, SSL.Error):
        return ""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(text for _, _, text in reasons)


@implementer(ITunnelClient)
class SSTPClient:
    """
    A client that opens connections to one server. See L{ITunnelClient}.

    @ivar clock: the clock of the client.
    @ivar address: where the server listens.
    @ivar host: the name or address of the server.
    @ivar trust: which servers are believed.
    @ivar dataPath: carries the packets of all calls.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int = PORT,
        trust: Trust | None = None,
        timeout: float = 30,
        bindAddress: str = "",
        dataPath: IDataPath | None = None,
    ) -> None:
        """
        @param timeout: seconds for TCP, TLS and HTTP.
        @param bindAddress: the local address to call from; empty for any.
        @param dataPath: carries the packets of all calls; None for one without a TUN device.
        @raise pptpgw.error.ConfigurationError: the file with authorities can't be used.
        """
        self.clock = self._reactor = reactor = steady(reactor)
        self.address = HostnameAddress(host.encode(), port)
        self.host = host
        self.trust = trust or Trust()
        self.dataPath = PythonDataPath(reactor) if dataPath is None else dataPath
        self._port = port
        self._timeout = timeout
        self._bindAddress = (bindAddress, 0) if bindAddress else None
        self._creator = self.trust.creator(host)

    def connect(self, reached: Callable[[str], object] = ignore) -> Deferred[ClientConnection]:
        """
        See L{ITunnelClient.connect}.

        @return: fires with the connection when the server has accepted the HTTP request. It fails
            with L{CallError}, with an error of Twisted's endpoints, and after the timeout with
            L{twisted.internet.defer.TimeoutError}.
        """
        protocol = SSTPClientProtocol(self, reached)
        secured = TLSMemoryBIOFactory(
            self._creator, True, Factory.forProtocol(lambda: protocol), self._reactor
        )
        seconds: Any = self._timeout + 1
        endpoint = HostnameEndpoint(
            self._reactor, self.host, self._port, seconds, self._bindAddress
        )
        connecting: Deferred[Any] = endpoint.connect(secured)
        connecting.addCallback(lambda _: protocol.opened)

        def cancelled(result: Deferred[ClientConnection]) -> None:
            # This comes first: an endpoint that is cancelled while it looks a name up fails as if
            # there were no such name.
            result.errback(CancelledError())
            connecting.cancel()

        def opened(connection: ClientConnection) -> None:
            if result.called:
                connection.abort("cancelled")
            else:
                result.callback(connection)

        def failed(failure: Failure) -> None:
            if not result.called:
                result.errback(failure)

        result: Deferred[ClientConnection] = Deferred(cancelled)
        connecting.addCallbacks(opened, failed)
        return result.addTimeout(self._timeout, self._reactor)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """
    What an endpoint string may say of a server. See L{Trust}.

    @ivar bindAddress: the local address to call from; empty for any.
    """

    ca: str = key(ANY_FILE, "")
    fingerprint: str = key(FINGERPRINT, "")
    bindAddress: str = key(OUR_ADDRESS, "")


@implementer(IPlugin, ITunnelClientFactory)
class SSTPClientPlugin:
    """
    See L{ITunnelClientFactory}.
    """

    name = SSTP.name
    description = "sstp:HOST:PORT, a server of SSTP; the port may be left out."
    options = ClientOptions
    stages = (
        ClientStage(
            TCP,
            "is the address right, does the gateway run, and does every firewall on the way let "
            f"TCP port {PORT} pass?",
        ),
        ClientStage(
            TLS,
            "is the certificate by an authority that is trusted here, and for this name? That of "
            "a gateway that has made its own is known by its fingerprint, which its log has",
        ),
        ClientStage(
            HTTP,
            "something listens there that doesn't speak SSTP, or refuses calls at present: the "
            "gateway's log says why, if it is the gateway, and not a web site or a proxy",
        ),
        ClientStage(SSTPCall.carrier, "what accepted the call sends no PPP: is it a gateway?"),
    )
    laterStages = (
        ClientStage(
            BINDING,
            "somebody between ends TLS and begins it anew, such as a proxy: compare the "
            "fingerprint of the certificate with the gateway's; 'pptpgw why NAME' there says more",
        ),
    )

    def makeClient(
        self, reactor: Any, place: Sequence[str], options: ClientOptions, timeout: float
    ) -> SSTPClient:
        """
        See L{ITunnelClientFactory.makeClient}.
        """
        trust = Trust(options.ca, options.fingerprint)
        where = hostAndPort(place, PORT)
        return SSTPClient(reactor, *where, trust, timeout, options.bindAddress)


factory = SSTPClientPlugin()
