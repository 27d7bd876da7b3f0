"""
RADIUS over TLS (RFC 6614), with the rules of RADIUS over TCP (RFC 6613).

The rules:

 - One connection carries every request, for authentication and accounting, at most L{IDENTIFIERS}
   at a time. It is made for the first request and stays open; if the server closes it, the next
   request makes another.
 - Nothing is sent twice on one connection (RFC 6613 section 2.6.1). Requests without a reply are
   sent on the next connection when one ends.
 - When a connection can't be made, or ends before any verified reply, the requests that wait for it
   fail. The next connection is tried no sooner than L{SHORTEST_PAUSE} later, which doubles up to
   L{LONGEST_PAUSE}; until then every request fails.
 - A request that isn't answered in time, while no other reply comes, ends the connection.
"""

from __future__ import annotations

from random import Random, SystemRandom
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.log import Logger
from pptpgw.radius.connection import IDENTIFIERS, Asked, RADIUSConnection
from pptpgw.radius.packet import RADIUSRequest, Reply
from pptpgw.radius.servers import Server
from pptpgw.radius.tls import endpointFor, reasonOf
from pptpgw.radius.transport import Fill, ITransport, Unanswered

SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


@implementer(ITransport)
class TLSTransport:
    """
    The transport of requests to one server over TLS.
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
        @param endpoint: the endpoint to connect; None for TLS with the settings of C{server}.
        @param random: varies the pauses.
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
        self._waiting: dict[Asked, None] = {}
        self._connecting: Deferred[Any] | None = None
        self._connection: RADIUSConnection | None = None
        self._pause = 0.0
        self._notBefore = 0.0

    @property
    def free(self) -> int:
        """
        The number of requests that may be added now.
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
            request = RADIUSRequest(code, self.server, self._secret)
            fill(request)
            asked = Asked(self, request, self._timeout)
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

    # Methods for the connection and the requests: see L{pptpgw.radius.connection.Owner}

    def opened(self, connection: RADIUSConnection) -> None:
        """
        See L{pptpgw.radius.connection.Owner.opened}: send the requests that wait.
        """
        self._connecting = None
        self._connection = connection
        self._log.info("{server}: connected", server=self)
        for asked in tuple(self._waiting):
            connection.send(asked)

    def closed(self, connection: RADIUSConnection, why: str) -> None:
        """
        See L{pptpgw.radius.connection.Owner.closed}: make another connection for the requests that
        wait, or fail them.
        """
        if self._connection is not connection:
            self._unconnected(why)
            return
        self._connection = None
        self._log.info("{server}: the connection is closed: {why}", server=self, why=why)
        if not connection.heard:
            # The server may have refused our certificate: in TLS 1.3 it does so after the
            # connection is made.
            self._wait(why)
        elif self._waiting:
            self._connect()

    def discard(self, reason: str) -> None:
        """
        See L{pptpgw.radius.connection.Owner.discard}.
        """
        self._counters.discard(f"RADIUS: {reason}")

    def answered(self) -> None:
        """
        See L{pptpgw.radius.connection.Owner.answered}.
        """
        self.heard = self.clock.seconds()
        self._pause = 0.0

    def leave(self, asked: Asked) -> None:
        """
        See L{pptpgw.radius.connection.Owner.leave}.
        """
        self._waiting.pop(asked, None)

    def silent(self, asked: Asked) -> None:
        """
        See L{pptpgw.radius.connection.Owner.silent}: close the connection if nothing was heard
        since the request was made.
        """
        heard, connection = self.heard, self._connection
        if connection is not None and (heard is None or heard < asked.since):
            connection.close()

    def _connect(self) -> None:
        self._connecting = connecting = self._endpoint.connect(
            Factory.forProtocol(lambda: RADIUSConnection(self))
        )
        connecting.addErrback(self._refused)

    def _refused(self, failure: Failure) -> None:
        if self._connecting is not None:
            self._unconnected(reasonOf(failure))

    def _unconnected(self, why: str) -> None:
        """
        Report that no connection could be made, fail the requests that wait, and begin a pause.
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
