"""
A server over TLS whose connections are in memory, and the requests and replies on them.
"""

from __future__ import annotations

from typing import Any

from pyrad.packet import Packet
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.radius.packet import (
    ACCESS_ACCEPT,
    ACCOUNTING_REQUEST,
    ACCOUNTING_RESPONSE,
    RADIUSRequest,
    Reply,
    dictionary,
)
from pptpgw.radius.radsec import TLSTransport
from pptpgw.radius.servers import Server
from pptpgw.radius.transport import Unanswered

SECRET = b"radsec"


class Aborted(StringTransport):
    """
    A transport that tells its protocol when it is aborted.
    """

    protocol: Any = None

    def __init__(self) -> None:
        base: Any = super()
        base.__init__()

    def abortConnection(self) -> None:
        StringTransport.abortConnection(self)
        self.protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Endpoint:
    """
    A client endpoint whose connections the test makes or refuses.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Deferred[Any]]] = []
        self.protocols: list[Any] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        self.asked.append((factory, Deferred()))
        return self.asked[-1][1]

    def accept(self, trusted: bool = True) -> Aborted:
        factory, connecting = self.asked.pop(0)
        protocol, transport = factory.buildProtocol(None), Aborted()
        transport.protocol = protocol
        self.protocols.append(protocol)
        protocol.makeConnection(transport)
        connecting.callback(protocol)
        if trusted:
            protocol.handshakeCompleted()
        return transport

    def refuse(self) -> None:
        self.asked.pop(0)[1].errback(Failure(ConnectionRefusedError("nobody listens")))


class World:
    """
    The transport to a server, and the results of requests.
    """

    def __init__(self, limit: int = 256) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.endpoint = Endpoint()
        server = Server("192.0.2.9", transport="tls", maxInFlight=limit)
        self.transport = TLSTransport(self.clock, server, 5, self.counters, self.endpoint)
        self.replies: list[Reply] = []
        self.failures: list[str] = []

    def ask(self, code: int = ACCOUNTING_REQUEST, name: str = "alice") -> Deferred[Any]:
        asked = self.transport.ask(code, lambda request: _fill(request, name))
        return asked.addCallbacks(self.replies.append, self._failed)

    def _failed(self, failure: Failure) -> None:
        failure.trap(Unanswered, CancelledError)
        self.failures.append(failure.getErrorMessage())


def _fill(request: RADIUSRequest, name: str) -> None:
    request.add("User-Name", name)


def requests(transport: Any) -> list[Packet]:
    """
    The requests that were written. Each must be complete.
    """
    octets = transport.io.getvalue()
    transport.clear()
    found = []
    while octets:
        length = int.from_bytes(octets[2:4], "big")
        found.append(Packet(secret=SECRET, dict=dictionary(), packet=octets[:length]))
        octets = octets[length:]
    return found


def replyTo(request: Packet, secret: bytes = SECRET, code: int = ACCOUNTING_RESPONSE) -> bytes:
    reply = request.CreateReply()
    reply.code, reply.secret = code, secret
    if code == ACCESS_ACCEPT:
        reply.add_message_authenticator()
    octets: bytes = reply.ReplyPacket()
    return octets
