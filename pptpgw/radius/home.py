"""
A RADIUS server in the role of one service: its health, and what became of the requests to it.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from functools import partial
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.counting.distribution import Distribution
from pptpgw.log import Logger
from pptpgw.radius.packet import (
    ACCESS_ACCEPT,
    ACCESS_CHALLENGE,
    ACCESS_REJECT,
    STATUS_SERVER,
    RADIUSRequest,
    Reply,
)
from pptpgw.radius.servers import Server
from pptpgw.radius.transport import Fill, Gone, ITransport, RADIUSService, Unanswered
from pptpgw.timing.timer import cancelled

PROBES = 3
"""
The answers in a row that make a dead server alive again.
"""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""
The bounds of the times of answers that are told apart, in seconds.
"""


class RequestResult(Enum):
    """
    What became of a request to one server.
    """

    ACCEPT = "accept"
    REJECT = "reject"
    CHALLENGE = "challenge"
    RESPONSE = "response"
    """
    An accounting server has taken a record.
    """

    UNANSWERED = "unanswered"
    CANCELLED = "cancelled"
    """
    The request was given up before the server answered, because its caller hung up for example.
    """


_RESULTS = {
    ACCESS_ACCEPT: RequestResult.ACCEPT,
    ACCESS_REJECT: RequestResult.REJECT,
    ACCESS_CHALLENGE: RequestResult.CHALLENGE,
}


class HomeOwner(Protocol):
    """
    What a L{Home} needs of its client.

    @ivar clock: measures times.
    @ivar deadTime: seconds that a server that isn't probed is left alone.
    @ivar probeInterval: seconds between Status-Server packets to a dead server.
    """

    clock: IReactorTime
    deadTime: float
    probeInterval: float

    def fillProbe(self, request: RADIUSRequest) -> None:
        """
        Add the attributes of a Status-Server packet.
        """

    def jitter(self, seconds: float) -> float:
        """
        Return C{seconds}, changed at random.
        """

    def placeFree(self) -> None:
        """
        Give a place to a request that waits for one.
        """


class Home:
    """
    A server in the role of one service, with its health and its figures.

    @ivar server: the server, as configured.
    @ivar service: the service.
    @ivar deadSince: when, by the client's clock, it became dead; None while it is alive.
    @ivar results: how many requests had each result. Status-Server packets aren't counted.
    @ivar times: the seconds from request to answer, with retransmissions.
    @ivar latest: the seconds that the last answer took; None before the first one.
    """

    _log = Logger()

    def __init__(self, client: HomeOwner, service: RADIUSService, transport: ITransport) -> None:
        self._client = client
        self._timer: IDelayedCall | None = None
        self._probe: Deferred[Reply] | None = None
        self._answers = 0
        self.service = service
        self.transport = transport
        self.server: Server = transport.server
        self.deadSince: float | None = None
        self.results: Counter[RequestResult] = Counter()
        self.times = Distribution(BOUNDS)
        self.latest: float | None = None
        self._retired = False

    @property
    def dead(self) -> bool:
        """
        Whether the server doesn't answer.
        """
        return self.deadSince is not None

    @property
    def probed(self) -> bool:
        """
        Whether the server is dead and is sent Status-Server packets until it answers.
        """
        return self.dead and self.server.statusServer

    @property
    def underWay(self) -> int:
        """
        The number of requests that the server hasn't answered yet. A server that is reached by TLS
        has those of both services on one connection.
        """
        free: int = self.transport.free
        return self.server.maxInFlight - max(0, free)

    @property
    def meanSeconds(self) -> float | None:
        """
        The mean of L{times}; None before the first answer.
        """
        answers = sum(self.times.counts)
        return self.times.sum / answers if answers else None

    def ask(self, code: int, fill: Fill) -> Deferred[Reply]:
        """
        Send a request, and judge the server's health by the outcome.
        """
        asked = self._client.clock.seconds()
        result: Deferred[Reply] = self.transport.ask(code, fill)
        return result.addCallbacks(
            self._answered, self._unanswered, callbackArgs=(asked,), errbackArgs=(asked,)
        )

    def retire(self) -> None:
        """
        Don't find out any more whether the server is alive, as no new request goes to it.
        """
        self._revive()
        self._retired = True

    def stop(self) -> None:
        """
        Close the transport, and treat the server as alive when it starts again.
        """
        self._revive()
        self.transport.stop()

    def _answered(self, reply: Reply, asked: float) -> Reply:
        self.latest = self._client.clock.seconds() - asked
        self.times.add(self.latest)
        self.results[_RESULTS.get(reply.code, RequestResult.RESPONSE)] += 1
        self._lives()
        return reply

    def _lives(self) -> None:
        if self.dead:
            self._log.info("{server} answers again", server=self)
            self._revive()

    def _unanswered(self, failure: Failure, asked: float) -> Failure:
        now, heard = self._client.clock.seconds(), self.transport.heard
        silent = heard is None or now - heard >= (now - asked) / 2
        kind = failure.check(Gone, Unanswered)
        if kind is not None:
            self.results[RequestResult.UNANSWERED] += 1
        elif failure.check(CancelledError) is not None:
            self.results[RequestResult.CANCELLED] += 1
        if (kind is Gone or (kind is Unanswered and silent)) and not (self.dead or self._retired):
            self._log.warn(
                "{server} is dead: {why}. A server also drops in silence what it can't authenticate"
                " (another shared secret, or a client that it doesn't know)",
                server=self,
                why=failure.getErrorMessage(),
            )
            self.deadSince = now
            self._schedule()
        return failure

    def _schedule(self) -> None:
        client = self._client
        if self.server.statusServer:
            seconds, what = client.probeInterval, self._ask
        else:
            seconds, what = client.deadTime, self._revive
        self._timer = client.clock.callLater(client.jitter(seconds), what)

    def _ask(self) -> None:
        self._timer = None
        if self.transport.free <= 0:
            self._schedule()
            return
        self._probe = probe = self.transport.ask(STATUS_SERVER, self._client.fillProbe)
        probe.addCallbacks(self._probeAnswered, self._probeUnanswered)
        probe.addErrback(partial(self._log.failure, "a Status-Server packet failed"))

    def _probeAnswered(self, reply: Reply) -> None:
        self._probe = None
        self._answers += 1
        if self._answers >= PROBES:
            self._lives()
        else:
            self._schedule()

    def _probeUnanswered(self, failure: Failure) -> None:
        self._probe = None
        failure.trap(Unanswered, CancelledError)
        self._answers = 0
        if self.dead:
            self._schedule()

    def _revive(self) -> None:
        """
        Treat the server as alive, and give its places to requests that wait.
        """
        self.deadSince = None
        self._answers = 0
        self._timer = cancelled(self._timer)
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.cancel()
        self._client.placeFree()

    def __str__(self) -> str:
        return f"RADIUS server {self.server.host} ({self.service.value})"
