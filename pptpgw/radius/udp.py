"""
RADIUS over UDP (RFC 2865 section 2.4).

The rules:

 - A request is retransmitted unchanged, identifier and authenticator included, at the times of
   L{pptpgw.radius.retransmission}; a Status-Server packet isn't (RFC 5997).
 - Each identifier of a port has one request at most. When all are taken another port is opened,
   until there are as many requests as the server may have. The identifier that has been free for
   longest is taken first, so that a late reply finds no other request.
 - The ports are connected: the kernel passes on only what comes from the server, and reports when
   nobody listens there (ICMP), which ends the requests on that port.
 - A reply that no request waits for, that is malformed, or that the server didn't make, is counted
   and silently discarded; the true one may still come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random, SystemRandom
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.error import Malformed
from pptpgw.log import Logger
from pptpgw.ports.connectedudp import connectedUDP
from pptpgw.radius.packet import STATUS_SERVER, NotSure, RADIUSRequest, Reply
from pptpgw.radius.retransmission import waits
from pptpgw.radius.servers import Server
from pptpgw.radius.transport import Fill, Gone, ITransport, RADIUSService, Unanswered
from pptpgw.timing.timer import cancelled

IDENTIFIERS = 256
"""
The number of identifiers that a port has (RFC 2865 section 3).
"""
# The rate of log lines about replies that can't be verified: one a minute, three at once.
_WARNINGS = (1 / 60, 3)


@implementer(ITransport)
class UDPTransport:
    """
    The transport of requests to one service of one server over UDP.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        server: Server,
        service: RADIUSService,
        timeout: float,
        counters: Counters,
        random: Random | None = None,
    ) -> None:
        """
        @param timeout: seconds that a request may take.
        @param counters: where discards are counted.
        @param random: varies the times of retransmissions.
        @raise ConfigurationError: the server has no shared secret.
        """
        self.server = server
        self.heard: float | None = None
        self.reactor = reactor
        self.address = (
            server.host,
            server.acctPort if service is RADIUSService.ACCOUNTING else server.authPort,
        )
        self._secret = server.sharedSecret()
        self._timeout = timeout
        self._counters = counters
        self._random: Random = SystemRandom() if random is None else random
        self._ports: list[_Port] = []
        self._warnings = Bucket(reactor.seconds, _WARNINGS)

    @property
    def free(self) -> int:
        """
        The number of requests that may be added now.
        """
        return self.server.maxInFlight - sum(len(port.asked) for port in self._ports)

    def ask(self, code: int, fill: Fill) -> Deferred[Reply]:
        """
        See L{ITransport.ask}.
        """
        try:
            request = RADIUSRequest(code, self.server, self._secret)
            fill(request)
            port = self._portWithPlace()
            return _Asked(port, request, self._waits(code)).result
        except CannotListenError as error:
            return fail(Unanswered(f"no UDP port to ask from: {error.socketError}"))
        except Exception:
            return fail()

    def stop(self) -> None:
        """
        See L{ITransport.stop}.
        """
        ports, self._ports = self._ports, []
        for port in ports:
            port.close()

    # Methods for _Port and _Asked

    def lost(self, port: _Port) -> None:
        """
        Forget C{port}, which is closed.
        """
        if port in self._ports:
            self._ports.remove(port)

    def discard(self, reason: str) -> None:
        """
        Count a reply that is discarded.
        """
        self._counters.discard(f"RADIUS: {reason}")

    def warn(self, problem: NotSure) -> None:
        """
        Log that a reply can't be verified, within a limit.
        """
        if self._warnings.take():
            self._log.warn(
                "RADIUS server {host}, port {port}: a reply is discarded, {problem}: {cure}",
                host=self.address[0],
                port=self.address[1],
                problem=str(problem),
                cure=problem.cure,
            )

    def _waits(self, code: int) -> Iterator[float]:
        once = code == STATUS_SERVER
        return iter((self._timeout,)) if once else waits(self._random, self._timeout)

    def _portWithPlace(self) -> _Port:
        for port in self._ports:
            if port.identifiers:
                return port
        port = _Port(self)
        connectedUDP(self.reactor, port, *self.address)
        self._ports.append(port)
        return port


class _Port(DatagramProtocol):
    """
    One UDP port of ours.

    @ivar identifiers: the free identifiers, the one that has been free for longest first.
    @ivar asked: the requests that wait for their replies, by identifier.
    """

    noisy = False

    def __init__(self, owner: UDPTransport) -> None:
        self.owner = owner
        self.identifiers = deque(range(IDENTIFIERS))
        self.asked: dict[int, _Asked] = {}

    def logPrefix(self) -> str:
        """
        Return the prefix of this port's lines in Twisted's log.
        """
        return f"RADIUS {self.owner.address[0]}, port {self.owner.address[1]}"

    def send(self, octets: bytes) -> None:
        """
        Send a packet. One that the kernel doesn't take counts as lost, and is retransmitted in its
        time.
        """
        assert self.transport is not None
        try:
            self.transport.write(octets, None)
        except (OSError, MessageLengthError):
            self.owner.discard("request not sent")

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Pass a reply to its request, if it can be verified.
        """
        owner = self.owner
        asked = self.asked.get(datagram[1]) if len(datagram) > 1 else None
        if asked is None:
            owner.discard("reply that nobody waits for")
            return
        try:
            reply = asked.request.reply(datagram)
        except NotSure as problem:
            owner.discard(f"reply, {problem}")
            owner.warn(problem)
            asked.doubt = str(problem)
        except Malformed:
            owner.discard("malformed reply")
        else:
            owner.heard = owner.reactor.seconds()
            asked.answered(reply)

    def connectionRefused(self) -> None:
        """
        Fail all requests: the server's host reports that nobody listens there.
        """
        for asked in tuple(self.asked.values()):
            asked.unanswered("nobody listens there", Gone)

    def stopProtocol(self) -> None:
        """
        Fail all requests, as the port is closed.
        """
        self.owner.lost(self)
        self.connectionRefused()

    def close(self) -> None:
        """
        Fail all requests, and close the port.
        """
        assert self.transport is not None
        for asked in tuple(self.asked.values()):
            asked.unanswered("the gateway is stopping")
        self.transport.stopListening()


class _Asked:
    """
    A request that has been sent.

    @ivar result: fires with the reply.
    @ivar doubt: why the last reply was discarded whose sender may not know the secret; empty if
        there was none.
    """

    doubt = ""

    def __init__(self, port: _Port, request: RADIUSRequest, waits: Iterator[float]) -> None:
        identifier = port.identifiers[0]
        self._octets = request.encode(identifier)
        port.identifiers.popleft()
        port.asked[identifier] = self
        self._port = port
        self._identifier = identifier
        self._waits = waits
        self._timer: IDelayedCall | None = None
        self.request = request
        self.result: Deferred[Reply] = Deferred(lambda _: self._end())
        self._send()

    def answered(self, reply: Reply) -> None:
        """
        End the request with its reply.
        """
        self._end()
        self.result.callback(reply)

    def unanswered(self, why: str, kind: type[Unanswered] = Unanswered) -> None:
        """
        Fail the request with an exception of this C{kind}.
        """
        self._end()
        host, number = self._port.owner.address
        self.result.errback(kind(f"{host}, port {number}: {why}"))

    def _send(self) -> None:
        wait = next(self._waits, None)
        if wait is None:
            self.unanswered(
                f"its answers are discarded: {self.doubt} (pptpgw test radius says what to do)"
                if self.doubt
                else "no answer in time"
            )
            return
        self._timer = self._port.owner.reactor.callLater(wait, self._send)
        self._port.send(self._octets)

    def _end(self) -> None:
        cancelled(self._timer)
        if self._port.asked.pop(self._identifier, None) is not None:
            self._port.identifiers.append(self._identifier)
