"""
One connection to a RADIUS server over TLS: the stream of packets, and the requests on it.

The rules:

 - A packet ends where its length says (RFC 6613 section 2.6): replies arrive in pieces of any size.
 - At most L{IDENTIFIERS} requests wait for replies on it at a time.
 - A reply that is malformed, or that the server didn't sign, ends the connection (RFC 6613 section
   2.6.4). One that no request waits for is discarded.
 - The identifier of a request that was given up isn't used again before its late reply has come.
 - A request waits for its reply for a limited time, which continues when its connection is lost.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import Malformed
from pptpgw.radius.packet import HEADER_OCTETS, RADIUSRequest, Reply, lengthOf
from pptpgw.radius.tls import reasonOf
from pptpgw.radius.transport import Unanswered
from pptpgw.timing.timer import cancelled

IDENTIFIERS = 256


class Owner(Protocol):
    """
    The transport that connections and requests report to: L{pptpgw.radius.radsec.TLSTransport}.

    @ivar clock: measures the time of requests.
    """

    clock: IReactorTime

    def opened(self, connection: RADIUSConnection) -> None:
        """
        Called when the server has proven who it is: requests can be sent.
        """

    def closed(self, connection: RADIUSConnection, why: str) -> None:
        """
        Called when the connection has ended, or couldn't be made.
        """

    def discard(self, reason: str) -> None:
        """
        Count a packet that is discarded.
        """

    def answered(self) -> None:
        """
        Called when a verified reply has come.
        """

    def leave(self, asked: Asked) -> None:
        """
        Called when a request has ended.
        """

    def silent(self, asked: Asked) -> None:
        """
        Called when a request wasn't answered in time.
        """


@implementer(IHandshakeListener)
class RADIUSConnection(protocol.Protocol):
    """
    One connection to a server.

    @ivar late: the identifiers of requests that were given up.
    @ivar heard: whether a verified reply has come.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._buffer = b""
        self._identifiers = deque(range(IDENTIFIERS))
        self._asked: dict[int, Asked] = {}
        self._why = ""
        self.late: set[int] = set()
        self.heard = False

    def handshakeCompleted(self) -> None:
        """
        See L{twisted.internet.interfaces.IHandshakeListener.handshakeCompleted}: report that
        requests can be sent.
        """
        self._owner.opened(self)

    def send(self, asked: Asked) -> None:
        """
        Send a request under a free identifier.
        """
        assert self.transport is not None
        identifier = self._identifiers.popleft()
        self._asked[identifier] = asked
        asked.sent(self, identifier)
        self.transport.write(asked.request.encode(identifier))

    def dataReceived(self, data: bytes) -> None:
        """
        Take whole replies off the stream.
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

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """
        Take the requests without an answer back, so that they can be sent on the next connection.
        """
        for asked in self._asked.values():
            asked.unsent()
        self._asked.clear()
        self._owner.closed(self, self._why or reasonOf(reason))

    def close(self, why: str = "the server is silent") -> None:
        """
        Close the connection at once. C{why} is reported as the reason, unless there was one before.
        """
        self._why = self._why or why
        transport: Any = self.transport
        transport.abortConnection()

    def givenUp(self, identifier: int) -> None:
        """
        Discard the reply to this request when it comes, and keep its identifier until then.
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


class Asked:
    """
    A request that waits for its reply.

    @ivar since: when the request was made.
    @ivar result: fires with the reply.
    """

    def __init__(self, owner: Owner, request: RADIUSRequest, timeout: float) -> None:
        self._owner = owner
        self._connection: RADIUSConnection | None = None
        self._identifier = 0
        self._timer: IDelayedCall | None = owner.clock.callLater(timeout, self._late)
        self.request = request
        self.since: float = owner.clock.seconds()
        self.result: Deferred[Reply] = Deferred(lambda _: self._end())

    def sent(self, connection: RADIUSConnection, identifier: int) -> None:
        """
        Note on which connection, and under which identifier, the request was sent.
        """
        self._connection = connection
        self._identifier = identifier

    def unsent(self) -> None:
        """
        Note that the connection is lost: the request must be sent again.
        """
        self._connection = None

    def answered(self, reply: Reply) -> None:
        """
        End the request with its reply.
        """
        self._connection = None
        self._end()
        self.result.callback(reply)

    def unanswered(self, why: str) -> None:
        """
        Fail the request with L{Unanswered}, which says C{why}.
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
