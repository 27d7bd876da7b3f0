"""
The operation of RADIUS: the state of the servers, what became of the requests to them, and the
accounting records that no server has answered yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

from pptpgw.interfaces import IGatewayService
from pptpgw.management.operation import Operation, OperationRequest
from pptpgw.radius.home import Home, RequestResult
from pptpgw.radius.transport import RADIUSService


class RequestCounts(Struct, frozen=True):
    """
    What became of the requests to a server since the gateway began to use it.

    @ivar accept: callers whom the server let in.
    @ivar reject: callers whom it refused.
    @ivar challenge: questions of the server, in conversations of several requests.
    @ivar response: accounting records that it has taken.
    @ivar unanswered: requests that it left unanswered.
    @ivar cancelled: requests that were given up before it answered, because the caller hung up for
        example.
    """

    accept: int
    reject: int
    challenge: int
    response: int
    unanswered: int
    cancelled: int


class RADIUSServerView(Struct, frozen=True):
    """
    A RADIUS server in the role of one service.

    @ivar host: the address of the server.
    @ivar port: its port.
    @ivar transport: how it is reached: by UDP, or by TLS (RadSec, RFC 6614).
    @ivar service: what it is asked for.
    @ivar weight: its share of the requests; 0: it is asked only if all others are dead or busy.
    @ivar state: whether it answers, as far as is known.
    @ivar dead_since: when it became dead, in seconds since 1970; null if it is alive.
    @ivar probing: whether it is dead, and sent Status-Server packets until it answers (RFC 5997).
        Otherwise a dead server is tried again after C{[radius] dead-time}.
    @ivar under_way: how many requests it hasn't answered yet.
    @ivar max_under_way: how many there may be at a time.
    @ivar requests: what became of the requests to it.
    @ivar mean_seconds: the mean time of an answer, with retransmissions; null before the first one.
    @ivar last_seconds: the time of the last answer.
    """

    host: str
    port: int
    transport: Literal["udp", "tls"]
    service: Literal["authentication", "accounting"]
    weight: int
    state: Literal["alive", "dead"]
    dead_since: float | None
    probing: bool
    under_way: int
    max_under_way: int
    requests: RequestCounts
    mean_seconds: float | None
    last_seconds: float | None


class SpoolView(Struct, frozen=True):
    """
    The accounting records that no server has answered yet.

    @ivar records: how many there are.
    @ivar octets: how many octets they have, as the limit counts them.
    @ivar max_octets: how many they may have, C{[radius] spool-size}.
    @ivar durable: whether they survive a restart, since C{[radius] spool} names a folder.
    @ivar waiting: whether no server answers, so that they are kept for now.
    """

    records: int
    octets: int
    max_octets: int
    durable: bool
    waiting: bool


class RADIUSView(Struct, frozen=True):
    """
    What the gateway has to do with RADIUS servers.

    @ivar servers: the servers, a line for each service of each.
    @ivar waiting: how many requests wait because every server has as many as it may.
    @ivar spool: the accounting records that wait; null if none are sent.
    """

    servers: list[RADIUSServerView]
    waiting: int
    spool: SpoolView | None


class RADIUS:
    """
    Answers the requests for RADIUS.
    """

    def __init__(self, gateway: IGatewayService, now: Callable[[], float]) -> None:
        """
        @param now: gives the time of day, in seconds since 1970.
        """
        self._gateway = gateway
        self._now = now

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET",
            "/radius",
            "Show the RADIUS servers and the accounting records that wait.",
            self._show,
            RADIUSView,
        )

    def _show(self, request: OperationRequest) -> RADIUSView:
        client, spool = self._gateway.radius, self._gateway.spool
        servers = []
        if client is not None:
            seconds = client.clock.seconds()
            servers = [self._server(one, seconds) for one in client.homes]
        return RADIUSView(
            servers,
            0 if client is None else client.waiting,
            None
            if spool is None
            else SpoolView(len(spool), spool.size, spool.limit, spool.isDurable, spool.isWaiting),
        )

    def _server(self, home: Home, seconds: float) -> RADIUSServerView:
        """
        @param seconds: the time by the client's clock.
        """
        server, dead = home.server, home.deadSince
        return RADIUSServerView(
            host=server.host,
            port=portOf(home),
            transport=server.transport,
            service=home.service.value,
            weight=server.weight,
            state="alive" if dead is None else "dead",
            dead_since=None if dead is None else self._now() - (seconds - dead),
            probing=home.probed,
            under_way=home.underWay,
            max_under_way=server.maxInFlight,
            requests=RequestCounts(**{one.value: home.results[one] for one in RequestResult}),
            mean_seconds=home.meanSeconds,
            last_seconds=home.latest,
        )


def portOf(home: Home) -> int:
    """
    Return the port of the server at which C{home} has its service.
    """
    server = home.server
    if server.transport == "tls":
        return server.tlsPort
    return server.acctPort if home.service is RADIUSService.ACCOUNTING else server.authPort
