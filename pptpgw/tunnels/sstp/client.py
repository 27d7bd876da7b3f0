"""
The client's side of SSTP: connections that this end opens, each with one call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.clock import steady
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError, ConfigurationError, Malformed
from pptpgw.interfaces import IDataPath, INetworkProtocol
from pptpgw.ppp.client import ClientCall, NetworkListener
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.cause import Cause
from pptpgw.tunnels.entrance import addressText
from pptpgw.tunnels.sstp.call import SSTPCall
from pptpgw.tunnels.sstp.clientside import ClientMachine
from pptpgw.tunnels.sstp.connection import SSTPConnection
from pptpgw.tunnels.sstp.opening import Head, decodeStatus, encodeRequest

PORT = 443
OK = 200

TCP, TLS, HTTP = "TCP", "TLS", "HTTP"
"""
The stages of a connection, in their order.
"""


@dataclass(frozen=True, slots=True)
class Trust:
    """
    Which servers are believed.

    @ivar ca: the path of a PEM file with authorities; empty for those of the system.
    @ivar fingerprint: the SHA-256 of the server's certificate in hexadecimal digits, with which no
        authority matters; empty for none.
    """

    ca: str = ""
    fingerprint: str = ""

    def creator(self, host: str) -> Any:
        """
        Return what makes the TLS of a connection to C{host}.

        @raise ConfigurationError: the file can't be used.
        """
        if self.fingerprint:
            return _Unverified(host)
        given: dict[str, Any] = {}
        if self.ca:
            try:
                octets = Path(self.ca).read_bytes()
                found = [Certificate.loadPEM(part + _END) for part in octets.split(_END)[:-1]]
            except (OSError, ValueError, SSL.Error) as error:
                raise ConfigurationError(f"{self.ca}: {error}") from error
            given["trustRoot"] = trustRootFromCertificates(found)
        options = {"raiseMinimumTo": TLSVersion.TLSv1_2}
        return optionsForClientTLS(host, extraCertificateOptions=options, **given)

    def believes(self, der: bytes) -> bool:
        """
        Return whether a certificate is the one that is expected, if only one is.
        """
        digits = self.fingerprint.replace(":", "").lower()
        return not digits or compare_digest(sha256(der).hexdigest(), digits)


_END = b"-----END CERTIFICATE-----"


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """
    Makes TLS whose certificate is verified by its fingerprint, after the handshake.
    """

    def __init__(self, host: str) -> None:
        self._host = host

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """
        See L{IOpenSSLClientConnectionCreator.clientConnectionForTLS}.
        """
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        connection = SSL.Connection(context, None)
        try:
            ip_address(self._host)
        except ValueError:
            connection.set_tlsext_host_name(self._host.encode())
        return connection


class ClientConnection:
    """
    A connection that we opened, whose HTTP request was answered.

    @ivar tcp: the protocol of the TCP connection.
    @ivar gone: fires when the TCP connection is closed.
    """

    def __init__(
        self, client: SSTPClient, protocol: SSTPClientProtocol, certificate: bytes
    ) -> None:
        transport: Any = protocol.transport
        clock = client.clock
        self.tcp = protocol
        self.gone: Deferred[None] = Deferred()
        self.connection = connection = SSTPConnection(clock, transport, protocol)
        connection.machine = ClientMachine(clock, connection, certificate)
        here, there = addressText(transport.getHost()), addressText(transport.getPeer())
        self._clock = clock
        self._dataPath = client.dataPath
        self._ends = here, there
        connection.call = SSTPCall(connection, here, there)

    def call(
        self,
        settings: LinkSettings,
        protocols: Sequence[INetworkProtocol],
        listener: NetworkListener | None = None,
    ) -> ClientCall:
        """
        Place the call of this connection, and return it before anything is known of it.

        @param protocols: the network protocols to negotiate, which belong to this call alone.
        """
        settings = replace(settings, encrypted=True)
        call = ClientCall(self._clock, self._dataPath, settings, protocols, listener)
        self.connection.call = SSTPCall(self.connection, *self._ends, owner=call)
        call.placed(self.connection.call)
        self.connection.machine.start()
        return call

    def close(self) -> Deferred[None]:
        """
        End the call and the connection, in order.

        @return: fires when the TCP connection is closed.
        """
        self.connection.stop(Cause("hung up"))
        return self.gone if not self.gone.called else succeed(None)

    def end(self, reason: str) -> None:
        """
        End the call and close the connection, without waiting for the peer.
        """
        self.connection.abort(Cause(reason))


@implementer(IHandshakeListener)
class SSTPClientProtocol(Protocol):
    """
    The protocol of a TCP connection that we open.

    @ivar opened: fires with the L{ClientConnection} once the server has accepted the HTTP request.
    """

    def __init__(self, client: SSTPClient) -> None:
        self.opened: Deferred[ClientConnection] = Deferred(self._cancelled)
        self._client = client
        self._head = Head()
        self._certificate = b""
        self._connection: ClientConnection | None = None

    def connectionMade(self) -> None:
        """
        Wait for the handshake of TLS.
        """
        self._client.reached(TCP)

    def handshakeCompleted(self) -> None:
        """
        See L{IHandshakeListener.handshakeCompleted}: send the HTTP request, if the certificate is
        believed.
        """
        transport: Any = self.transport
        found = transport.getHandle().get_peer_certificate(as_cryptography=True)
        self._certificate = found.public_bytes(Encoding.DER)
        if not self._client.trust.believes(self._certificate):
            self._fail(CallError("the server's certificate has another fingerprint"))
            return
        self._client.reached(TLS)
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
            self._client.reached(HTTP)
            rest = self._head.octets[size:]
            made = ClientConnection(self._client, self, self._certificate)
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

    def bindingFailed(self, reason: str) -> None:
        """
        Do nothing: only servers verify bindings.
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
    Return OpenSSL's own description of why TLS failed; empty if it didn't.
    """
    error: Any = reason.value
    if not isinstance(error, SSL.Error):
        return ""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(text for _, _, text in reasons)


class SSTPClient:
    """
    A client that opens connections to one server.

    @ivar clock: the clock of the client.
    @ivar host: the name or address of the server.
    @ivar trust: which servers are believed.
    @ivar reached: called with the name of each stage that is passed.
    @ivar dataPath: carries the packets of all calls.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int = PORT,
        trust: Trust | None = None,
        timeout: float = 30,
        reached: Callable[[str], object] = lambda stage: None,
        dataPath: IDataPath | None = None,
    ) -> None:
        """
        @param timeout: seconds for TCP, TLS and HTTP.
        @param dataPath: carries the packets of all calls; None for one without a TUN device.
        @raise ConfigurationError: the file with authorities can't be used.
        """
        self.clock = self._reactor = reactor = steady(reactor)
        self.host = host
        self.trust = trust or Trust()
        self.reached = reached
        self.dataPath = PythonDataPath(reactor) if dataPath is None else dataPath
        self._port = port
        self._timeout = timeout
        self._creator = self.trust.creator(host)

    def connect(self) -> Deferred[ClientConnection]:
        """
        Open a connection.

        @return: fires with the connection when the server has accepted the HTTP request. It fails
            with L{CallError}, with an error of Twisted's endpoints, and after the timeout with
            L{twisted.internet.defer.TimeoutError}. The timeout, and cancelling, close everything
            that was opened.
        """
        protocol = SSTPClientProtocol(self)
        secured = TLSMemoryBIOFactory(
            self._creator, True, Factory.forProtocol(lambda: protocol), self._reactor
        )
        endpoint = HostnameEndpoint(self._reactor, self.host, self._port, timeout=self._timeout + 1)
        connecting: Deferred[Any] = endpoint.connect(secured)
        connecting.addCallback(lambda _: protocol.opened)
        return connecting.addTimeout(self._timeout, self._reactor)
