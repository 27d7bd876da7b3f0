"""
RADIUS over TLS (RFC 6614), with the rules of RADIUS over TCP (RFC 6613).

The rules:

 - One connection carries every request, for authentication and accounting, L{IDENTIFIERS} at a time
   at most. It is made for the first request and stays; where the server closes it, the next request
   makes another.
 - The server proves by a certificate that it is who it is meant to be, we do by ours.
 - Nothing is sent twice on one connection (RFC 6613 section 2.6.1). What was under way when it
   ended goes by the next one.
 - A connection that can't be made, or ends before anything sure came, fails what waits for it. The
   next is tried no sooner than L{SHORTEST_PAUSE} later, which doubles up to L{LONGEST_PAUSE}; until
   then every request fails.
 - A reply that is malformed, or isn't the server's, ends the connection (RFC 6613 section 2.6.4),
   as does a request that isn't answered in time while nothing else is heard.
 - The identifier of a request that was given up isn't used again on this connection before the late
   reply has come.
"""

from __future__ import annotations

import re
from collections import deque
from random import Random, SystemRandom
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from zope.interface import implementer

from pptpgw.counters import Counters
from pptpgw.error import ConfigurationError, Malformed
from pptpgw.ppp.network import cancelled
from pptpgw.radius.packet import HEADER_OCTETS, Reply, Request, lengthOf
from pptpgw.radius.transport import Fill, ITransport, Unanswered
from pptpgw.servers import Server

IDENTIFIERS = 256
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

_TLS_ERRORS = (SSL.Error, crypto.Error)


@implementer(ITransport)
class TLSTransport:
    """
    The way to one server.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        server: Server,
        timeout: float,
        counters: Counters,
        endpoint: IStreamClientEndpoint | None = None,
        random: Random | None = None,
    ) -> None:
        """
        @param timeout: seconds that a request may take.
        @param counters: where discards are counted.
        @param endpoint: how to connect; None: over TLS, by what C{server} says.
        @raise ConfigurationError: the files that C{server} names can't be used.
        """
        self.server = server
        self.heard: float | None = None
        self.clock = reactor
        self._secret = server.sharedSecret()
        self._timeout = timeout
        self._counters = counters
        self._random: Random = SystemRandom() if random is None else random
        self._endpoint = endpointFor(reactor, server, timeout) if endpoint is None else endpoint
        self._limit = min(IDENTIFIERS, server.maxInFlight)
        self._waiting: dict[_Asked, None] = {}
        self._connecting: Deferred[Any] | None = None
        self._connection: _Connection | None = None
        self._pause = 0.0
        self._notBefore = 0.0

    @property
    def free(self) -> int:
        """
        How many more requests there may be.
        """
        late = len(self._connection.late) if self._connection is not None else 0
        return self._limit - len(self._waiting) - late

    def ask(self, code: int, fill: Fill) -> Deferred[Reply]:
        """
        See L{ITransport.ask}.
        """
        now = self.clock.seconds()
        if self._connection is None and self._connecting is None and now < self._notBefore:
            return fail(Unanswered(f"{self}: no connection, and it is too early for another try"))
        try:
            request = Request(code, self.server, self._secret)
            fill(request)
            asked = _Asked(self, request, self._timeout)
        except Exception:
            return fail()
        self._waiting[asked] = None
        if self._connection is not None:
            self._connection.send(asked)
        elif self._connecting is None:
            self._connect()
        return asked.result

    def stop(self) -> None:
        """
        See L{ITransport.stop}.
        """
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._notBefore = self._pause = 0.0
        self._fail("the gateway is stopping")

    def __str__(self) -> str:
        return f"RADIUS server {self.server.host}, TLS port {self.server.tlsPort}"

    # For the classes below

    def opened(self, connection: _Connection) -> None:
        """
        The server is who it is meant to be: send what waits.
        """
        self._connecting = None
        self._connection = connection
        self._log.info("{server}: connected", server=self)
        for asked in tuple(self._waiting):
            connection.send(asked)

    def closed(self, connection: _Connection, why: str) -> None:
        """
        The connection is over, or never came to be.
        """
        if self._connection is not connection:
            self._unconnected(why)
            return
        self._connection = None
        self._log.info("{server}: the connection is closed: {why}", server=self, why=why)
        if not connection.heard:
            # It may look like a connection and still be a refusal: TLS 1.3 judges ours last.
            self._wait(why)
        elif self._waiting:
            self._connect()

    def discard(self, reason: str) -> None:
        """
        Count a discard.
        """
        self._counters.discard(f"RADIUS: {reason}")

    def answered(self) -> None:
        """
        A sure reply came.
        """
        self.heard = self.clock.seconds()
        self._pause = 0.0

    def leave(self, asked: _Asked) -> None:
        """
        A request is over.
        """
        self._waiting.pop(asked, None)

    def silent(self, asked: _Asked) -> None:
        """
        A request wasn't answered in time.
        """
        heard, connection = self.heard, self._connection
        if connection is not None and (heard is None or heard < asked.since):
            connection.close()

    def _connect(self) -> None:
        self._connecting = connecting = self._endpoint.connect(
            Factory.forProtocol(lambda: _Connection(self))
        )
        connecting.addErrback(self._refused)

    def _refused(self, failure: Failure) -> None:
        if self._connecting is not None:
            self._unconnected(reasonOf(failure))

    def _unconnected(self, why: str) -> None:
        """
        There is no connection; don't try again at once.
        """
        if self._connecting is not None:
            self._connecting = None
            self._log.warn("{server}: no connection: {why}", server=self, why=why)
            self._wait(why)

    def _wait(self, why: str) -> None:
        self._pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, 2 * self._pause))
        self._notBefore = self.clock.seconds() + self._pause * self._random.uniform(0.8, 1.0)
        self._fail(why)

    def _fail(self, why: str) -> None:
        for asked in tuple(self._waiting):
            asked.unanswered(why)


@implementer(IHandshakeListener)
class _Connection(Protocol):
    """
    One connection.

    @ivar late: the identifiers of requests that were given up.
    @ivar heard: whether a sure reply came.
    """

    def __init__(self, owner: TLSTransport) -> None:
        self._owner = owner
        self._buffer = b""
        self._identifiers = deque(range(IDENTIFIERS))
        self._asked: dict[int, _Asked] = {}
        self._why = ""
        self.late: set[int] = set()
        self.heard = False

    def handshakeCompleted(self) -> None:
        """
        Both ends know each other.
        """
        self._owner.opened(self)

    def send(self, asked: _Asked) -> None:
        """
        Send a request.
        """
        assert self.transport is not None
        identifier = self._identifiers.popleft()
        self._asked[identifier] = asked
        asked.sent(self, identifier)
        self.transport.write(asked.request.encode(identifier))

    def dataReceived(self, data: bytes) -> None:
        """
        Take replies off the stream.
        """
        self._buffer += data
        try:
            while len(self._buffer) >= HEADER_OCTETS and not self._why:
                length = lengthOf(self._buffer)
                if len(self._buffer) < length:
                    return
                octets, self._buffer = self._buffer[:length], self._buffer[length:]
                self._received(octets)
        except Malformed as problem:
            self._owner.discard("malformed reply over TLS")
            self.close(f"a reply is wrong: {problem}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is over.
        """
        for asked in self._asked.values():
            asked.unsent()
        self._asked.clear()
        self._owner.closed(self, self._why or reasonOf(reason))

    def close(self, why: str = "the server is silent") -> None:
        """
        Have nothing to do with it any more.
        """
        self._why = self._why or why
        transport: Any = self.transport
        transport.abortConnection()

    def givenUp(self, identifier: int) -> None:
        """
        Nobody waits for this reply any more.
        """
        if self._asked.pop(identifier, None) is not None:
            self.late.add(identifier)

    def _received(self, octets: bytes) -> None:
        identifier = octets[1]
        asked = self._asked.get(identifier)
        if asked is None:
            if identifier in self.late:
                self.late.discard(identifier)
                self._identifiers.append(identifier)
            self._owner.discard("reply that nobody waits for")
            return
        reply = asked.request.reply(octets)
        del self._asked[identifier]
        self._identifiers.append(identifier)
        self.heard = True
        self._owner.answered()
        asked.answered(reply)


class _Asked:
    """
    A request that waits for its reply.

    @ivar since: when it was asked.
    @ivar result: fires with its reply.
    """

    def __init__(self, owner: TLSTransport, request: Request, timeout: float) -> None:
        self._owner = owner
        self._connection: _Connection | None = None
        self._identifier = 0
        self._timer: IDelayedCall | None = owner.clock.callLater(timeout, self._late)
        self.request = request
        self.since: float = owner.clock.seconds()
        self.result: Deferred[Reply] = Deferred(lambda _: self._end())

    def sent(self, connection: _Connection, identifier: int) -> None:
        """
        It is under way.
        """
        self._connection = connection
        self._identifier = identifier

    def unsent(self) -> None:
        """
        It isn't any more.
        """
        self._connection = None

    def answered(self, reply: Reply) -> None:
        """
        Its reply came.
        """
        self._connection = None
        self._end()
        self.result.callback(reply)

    def unanswered(self, why: str) -> None:
        """
        There will be none.
        """
        self._end()
        self.result.errback(Unanswered(f"{self._owner}: {why}"))

    def _late(self) -> None:
        self._timer = None
        self.unanswered("no answer in time")
        self._owner.silent(self)

    def _end(self) -> None:
        self._timer = cancelled(self._timer)
        self._owner.leave(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.givenUp(self._identifier)


def endpointFor(reactor: Any, server: Server, timeout: float) -> IStreamClientEndpoint:
    """
    How to connect to C{server}.

    @raise ConfigurationError: the files that it names can't be used.
    """
    name = server.tlsName or server.host
    try:
        authorities = [Certificate.loadPEM(one) for one in certificates(server.tlsAuthority)]
        own = certificates(server.tlsCertificate)
        certificate = PrivateCertificate.loadPEM(own[0] + b"\n" + _key(server.tlsKey))
        options = optionsForClientTLS(
            name,
            trustRoot=trustRootFromCertificates(authorities),
            clientCertificate=certificate,
            extraCertificateOptions={
                "extraCertChain": [Certificate.loadPEM(one).original for one in own[1:]]
            },
        )
    except (*_TLS_ERRORS, ValueError) as error:
        raise ConfigurationError(
            f"[[radius.server]] {server.host}: tls-authority, tls-certificate and tls-key can't be "
            f"used: {_shown(error)}"
        ) from error
    plain = HostnameEndpoint(reactor, server.host, server.tlsPort, timeout=timeout)
    return _TLSEndpoint(plain, options)


class _RecordFactory(TLSMemoryBIOFactory):
    """
    Makes a TLS record of each packet: FreeRADIUS 3.2 takes a record for one packet, and closes the
    connection at one that holds several.
    """

    protocol = TLSMemoryBIOProtocol


@implementer(IStreamClientEndpoint)
class _TLSEndpoint:
    """
    TLS on top of another endpoint.
    """

    def __init__(self, plain: IStreamClientEndpoint, options: Any) -> None:
        self._plain = plain
        self._options = options

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        See L{IStreamClientEndpoint.connect}.
        """
        connecting: Deferred[Any] = self._plain.connect(
            _RecordFactory(self._options, True, protocolFactory)
        )
        return connecting


def certificates(path: str) -> list[bytes]:
    """
    The certificates in the file at C{path}, in PEM.

    @raise ConfigurationError: it can't be read, or has none.
    """
    found = re.findall(
        rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", _read(path), re.DOTALL
    )
    if not found:
        raise ConfigurationError(f"{path}: no certificate in PEM is in it")
    return found


def _key(path: str) -> bytes:
    permissions = FilePath(path).getPermissions() if FilePath(path).exists() else None
    if permissions is not None and (permissions.group.read or permissions.other.read):
        raise ConfigurationError(f"{path}: others than its owner may read it; chmod 600 {path}")
    return _read(path)


def _read(path: str) -> bytes:
    if not path:
        raise ConfigurationError(
            '[[radius.server]] with transport = "tls" needs tls-authority, tls-certificate and '
            "tls-key"
        )
    try:
        with FilePath(path).open() as file:
            octets: bytes = file.read()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    return octets


def reasonOf(failure: Failure) -> str:
    """
    Why a connection ended, in words.
    """
    value = failure.value
    assert value is not None
    return _shown(value) or type(value).__name__


def _shown(error: BaseException) -> str:
    if isinstance(error, _TLS_ERRORS) and error.args and isinstance(error.args[0], list):
        return "; ".join(reason for *_, reason in error.args[0]) or "a TLS error"
    return str(error)
