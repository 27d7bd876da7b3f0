"""
The server's end of a TCP connection: the HTTP request, and then an SSTP connection or whatever else
is served there.
"""

from __future__ import annotations

from enum import Enum
from typing import Any
from typing import Protocol as TypingProtocol

from OpenSSL import SSL
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure

from pptpgw.error import Malformed
from pptpgw.interfaces import Stations
from pptpgw.sessions.cause import DISPLACED, SHUT_DOWN
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.entrance import addressText
from pptpgw.tunnels.sstp.call import SSTPCall, protectionOf
from pptpgw.tunnels.sstp.certificate import Certificate
from pptpgw.tunnels.sstp.connection import CLOSE_SECONDS, SSTPConnection
from pptpgw.tunnels.sstp.opening import Head, Request, decodeRequest, encodeRefusal, hostName
from pptpgw.tunnels.sstp.otherwise import Otherwise
from pptpgw.tunnels.sstp.serverside import ServerMachine


class Opening(Enum):
    """
    Why a connection never became an SSTP connection. The value is the text.
    """

    SLOW = "no HTTP request in time"
    STRANGE = "what came is no HTTP request"
    OTHER = "another HTTP request than SSTP's"
    GONE = "the connection ended before an HTTP request"


class ServerOwner(TypingProtocol):
    """
    The tunnel, as far as the connections that clients open need it: it takes their calls, and
    counts what fails.
    """

    @property
    def openingTimeout(self) -> float:
        """
        Seconds from a connection to its HTTP request.
        """

    @property
    def otherwise(self) -> Otherwise:
        """
        What is served to those who don't speak SSTP.
        """

    def opened(self, protocol: SSTPProtocol) -> None:
        """
        Note that C{protocol} is connected.
        """

    def renamed(self, protocol: SSTPProtocol, caller: str) -> bool:
        """
        Note the address of a caller behind a proxy.

        @return: whether the caller may go on.
        """

    def requested(self, protocol: SSTPProtocol, request: Request) -> None:
        """
        Offer the call of C{protocol} to the gateway.
        """

    def notOpened(self, protocol: SSTPProtocol, why: Opening) -> None:
        """
        Note that C{protocol} doesn't become an SSTP connection.
        """

    def closed(self, protocol: SSTPProtocol) -> None:
        """
        Note that C{protocol} is disconnected.
        """

    def discard(self, reason: str) -> None:
        """
        Count what belongs to no call.
        """


class SSTPProtocol(Protocol):
    """
    The protocol of a TCP connection that a client opened.

    @ivar caller: the address of the client, in text.
    @ivar certificate: what the client is shown.
    @ivar connection: the SSTP connection; None before there is one.
    """

    def __init__(
        self, clock: IReactorTime, caller: str, certificate: Certificate, owner: ServerOwner
    ) -> None:
        self.caller = caller
        self.certificate = certificate
        self.connection: SSTPConnection | None = None
        self._clock = clock
        self._owner = owner
        self._accepted = clock.seconds()
        self._head: Head | None = Head()
        self._site: IProtocol | None = None
        self._timer: IDelayedCall | None = None

    # IProtocol

    def connectionMade(self) -> None:
        """
        Wait for the HTTP request, which comes after the handshake of TLS.
        """
        self._timer = self._clock.callLater(self._owner.openingTimeout, self._slow)
        self._owner.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Pass octets to whoever reads the connection.
        """
        if self.connection is not None:
            self.connection.dataReceived(data)
        elif self._site is not None:
            self._site.dataReceived(data)
        elif self._head is not None:
            self._opening(self._head, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End the call, or whatever else the connection was for, and tell the owner.
        """
        self.connected = 0
        self._timer = cancelled(self._timer)
        if self.connection is not None:
            self.connection.connectionLost(reason.getErrorMessage().removesuffix("."))
        elif self._site is not None:
            self._site.connectionLost(reason)
        elif self._head is not None:
            self._end(Opening.GONE)
        self._owner.closed(self)

    # pptpgw.tunnels.entrance.IncomingConnection

    @property
    def isProven(self) -> bool:
        """
        Whether the caller was authenticated.
        """
        return self.connection is not None and self.connection.call.proven

    def displace(self) -> None:
        """
        Close the connection at once, to make room for a newer one.
        """
        if self.connection is not None:
            self.connection.abort(DISPLACED)
        else:
            self._abort()

    def stop(self) -> None:
        """
        End the call and close the connection, since the gateway stops.
        """
        if self.connection is not None:
            self.connection.stop(SHUT_DOWN)
        else:
            self._abort()

    # pptpgw.tunnels.sstp.connection.ConnectionOwner

    def discard(self, reason: str) -> None:
        """
        Count what belongs to no call.
        """
        self._owner.discard(reason)

    # What is private

    def _opening(self, head: Head, data: bytes) -> None:
        """
        Handle octets of the HTTP request.
        """
        transport: Any = self.transport
        caller = addressText(transport.getPeer())
        # Before its first octets a transport behind a proxy doesn't know the caller's address.
        if caller != self.caller and not self._owner.renamed(self, caller):
            self._end()
            self._abort()
            return
        try:
            size = head.feed(data)
            request = decodeRequest(head.octets[:size]) if size else None
        except Malformed:
            self._answer(encodeRefusal(400, "Bad Request"))
            self._end(Opening.STRANGE)
            return
        if request is None:
            return
        self._timer = cancelled(self._timer)
        if request.isSSTP:
            self._connect(request, head.octets[size:])
        elif self._owner.otherwise.site is not None:
            self._serve(head.octets)
        else:
            self._answer(self._owner.otherwise.answer)
            self._end(Opening.OTHER)

    def _connect(self, request: Request, rest: bytes) -> None:
        """
        Begin with the SSTP connection.
        """
        self._head = None
        transport: Any = self.transport
        connection = SSTPConnection(self._clock, transport, self)
        connection.machine = ServerMachine(self._clock, connection, self.certificate.der)
        steps = ("TCP", self._accepted), ("HTTP", self._clock.seconds())
        called = addressText(transport.getHost())
        tls = _tlsOf(transport)
        station = "" if tls is None else hostName(tls.get_servername() or b"")
        connection.call = SSTPCall(
            connection,
            self.caller,
            called,
            steps,
            stations=Stations(called=station or request.host),
            protection="" if tls is None else protectionOf(tls),
        )
        self.connection = connection
        self._owner.requested(self, request)
        if rest:
            connection.dataReceived(rest)

    def _serve(self, octets: bytes) -> None:
        """
        Leave the connection to the web site.
        """
        self._head = None
        transport: Any = self.transport
        site: Any = self._owner.otherwise.site
        protocol: Any = site.buildProtocol(transport.getPeer())
        self._site = protocol
        protocol.makeConnection(transport)
        protocol.dataReceived(octets)

    def _answer(self, octets: bytes) -> None:
        """
        Send a last answer, and close the connection.
        """
        transport: Any = self.transport
        transport.write(octets)
        self._timer = cancelled(self._timer)
        self._timer = self._clock.callLater(CLOSE_SECONDS, self._abort)
        transport.loseConnection()

    def _slow(self) -> None:
        self._end(Opening.SLOW)
        self._abort()

    def _end(self, why: Opening | None = None) -> None:
        self._head = None
        if why is not None:
            self._owner.notOpened(self, why)

    def _abort(self) -> None:
        transport: Any = self.transport
        self._timer = cancelled(self._timer)
        transport.abortConnection()


def _tlsOf(transport: Any) -> SSL.Connection | None:
    """
    Return the TLS of a transport; None if it has none, because a proxy terminates it.
    """
    while isinstance(transport, ProtocolWrapper):
        handle = transport.getHandle()
        if isinstance(handle, SSL.Connection):
            return handle
        transport = transport.transport
    return None
