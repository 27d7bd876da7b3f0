"""
The client of the management interface, by which commands see and steer a running gateway.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.interfaces import IConsumer, IStreamClientEndpoint
from twisted.web.client import Agent, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from pptpgw.clock import steady
from pptpgw.command.options import CONFIG, Accounts
from pptpgw.command.output import stamp
from pptpgw.command.parsing import Function, optioned
from pptpgw.command.status import Unreachable
from pptpgw.command.streaming import Streamed
from pptpgw.error import ConfigurationError, PPTPGWError
from pptpgw.ports.listening import wordsOf

Session = Mapping[str, Any]
"""
A session, as the management interface describes it.
"""

BASE = "/api/v1"

CONNECT_SECONDS = 5.0
"""
Seconds until the connection must be there.
"""

ANSWER_SECONDS = 35.0
"""
Seconds until the whole answer must be there: more than the gateway gives itself.
"""

GONE = "the gateway has gone away meanwhile, or has ended this"
"""
Why a stream ended too early.
"""

PAGE = 1000
"""
The items of a list that are asked for at a time.
"""


class NotDone(PPTPGWError):
    """
    The gateway has refused a request; the text says why.

    @ivar status: the HTTP status of its answer.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@implementer(IAgentEndpointFactory)
class _Here:
    """
    Connects all requests to one endpoint.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        """
        See L{IAgentEndpointFactory.endpointForURI}.
        """
        return self._endpoint


class RunningGateway:
    """
    A running gateway.

    @ivar place: where its management interface listens, as a server endpoint string.
    @ivar reactor: the reactor that runs, with a clock that never jumps.
    """

    def __init__(self, reactor: Any, endpoints: Sequence[str], source: str) -> None:
        """
        @param endpoints: the server endpoint strings of [management] endpoints. The first one that
            a client can connect to is used.
        @param source: where they stand, for error messages.
        @raise ConfigurationError: there is none that a client can connect to.
        """
        reactor = steady(reactor)
        self.reactor = reactor
        self._source = source
        for place in endpoints:
            endpoint = clientOf(reactor, place)
            if endpoint is not None:
                break
        else:
            raise ConfigurationError(
                f"{source}: [management] endpoints has no unix: or tcp: endpoint to connect to"
            )
        self.place = place
        self._agent = Agent.usingEndpointFactory(reactor, _Here(endpoint))

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] = {},
        body: Mapping[str, object] | None = None,
    ) -> Any:
        """
        Make a request, and return what its answer has in JSON; None if it has nothing.

        @param path: the path below L{BASE}. Names in it are quoted, see L{quoted}.
        @raise Unreachable: the gateway can't be reached, or what answers is no gateway.
        @raise NotDone: the gateway refuses.
        """

        async def exchange() -> tuple[int, bytes]:
            response = await self._request(method, path, query, body)
            return response.code, await _whole(response)

        asking: Deferred[tuple[int, bytes]] = Deferred.fromCoroutine(exchange())
        asking.addTimeout(ANSWER_SECONDS, self.reactor, _late)
        with self._complaining():
            status, octets = await asking
        return self._answer(status, octets)

    async def stream(
        self,
        path: str,
        query: Mapping[str, object],
        took: Callable[[bytes], object],
        silence: float = 0.0,
    ) -> None:
        """
        Take the octets of a stream as they come, until the gateway ends it.

        @param path: as in L{ask}.
        @param took: called with octets; what it raises ends the stream, and is raised.
        @param silence: the most seconds without an octet; 0 for any time.
        @raise Unreachable: as in L{ask}, or the gateway has gone away meanwhile.
        @raise NotDone: as in L{ask}.
        """
        requesting = Deferred.fromCoroutine(self._request("GET", path, query, None))
        requesting.addTimeout(ANSWER_SECONDS, self.reactor, _late)
        with self._complaining():
            response = await requesting
            if response.code >= HTTPStatus.BAD_REQUEST:
                self._answer(response.code, await _whole(response))
        streamed = Streamed(self.reactor, took, silence)
        response.deliverBody(streamed)
        try:
            await streamed.over
        except (TimeoutError, ResponseFailed) as error:
            raise Unreachable(f"{GONE}: {self.place}") from error

    async def list(self, path: str, query: Mapping[str, object] = {}) -> list[Any]:
        """
        Return all items of a list, whatever its pages.

        @raise Unreachable: as in L{ask}.
        @raise NotDone: as in L{ask}.
        """
        items: list[Any] = []
        while True:
            paging = {"limit": PAGE, "offset": len(items)}
            page = await self.ask("GET", path, {**query, **paging})
            items += page["items"]
            if not page["items"] or len(items) >= page["total"]:
                return items

    async def sessionsOf(self, user: str) -> Sequence[Any]:
        """
        Return the sessions of a user.

        @raise Unreachable: as in L{ask}.
        @raise NotDone: as in L{ask}.
        """
        # In a filter these signs stand for others, and case doesn't matter.
        pattern = re.sub(r"([*?[])", r"[\1]", user)
        alike = await self.list("/sessions", {"user": pattern})
        return [one for one in alike if one["user"] == user]

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Mapping[str, object] | None,
    ) -> IResponse:
        # The socket is the gateway's, whatever the name; the gateway checks it.
        address = f"http://localhost{BASE}{quote(path, safe='/%')}"
        if query:
            address += f"?{urlencode({name: str(value) for name, value in query.items()})}"
        headers = Headers({b"accept": [b"*/*"]})
        producer = None
        if body is not None:
            headers.addRawHeader(b"content-type", b"application/json")
            producer = _Body(json.dumps(body).encode())
        octets = address.encode()
        response: IResponse = await self._agent.request(method.encode(), octets, headers, producer)
        return response

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        """
        While this context lasts, say in words for operators why a request fails.
        """
        try:
            yield
        except TimeoutError as error:
            raise Unreachable(
                f"the gateway doesn't answer: nothing came from {self.place} within "
                f"{ANSWER_SECONDS:g} s"
            ) from error
        except ConnectError as error:
            raise Unreachable(self._unreachable(error)) from error
        except ResponseFailed as error:
            raise Unreachable(
                f"what listens at {self.place} doesn't speak HTTP, or has hung up: is it pptpgw?"
            ) from error

    def _answer(self, status: int, octets: bytes) -> Any:
        try:
            answer = json.loads(octets) if octets else None
        except ValueError as error:
            raise self._stranger() from error
        if status < HTTPStatus.BAD_REQUEST:
            return answer
        if not isinstance(answer, dict) or "detail" not in answer:
            raise self._stranger()
        raise NotDone(status, str(answer["detail"]))

    def _stranger(self) -> Unreachable:
        return Unreachable(
            f"what listens at {self.place} doesn't have {BASE}: it is another program, or a "
            "gateway of another version"
        )

    def _unreachable(self, error: ConnectError) -> str:
        number = getattr(error.osError, "errno", None)
        if number is None and str(error.osError).isdigit():
            number = int(str(error.osError))
        if number == errno.EACCES:
            return (
                f"this user may not open {self.place}: run pptpgw as the user that the gateway "
                "runs as (runuser -u USER -- pptpgw ...), or as one of its group"
            )
        return (
            f"the gateway isn't running, or [management] endpoints isn't where {self._source} "
            f"says: {self.place} ({error})"
        )


def _late(failure: object, seconds: float) -> NoReturn:
    # Whatever a request fails with when it is cancelled.
    raise TimeoutError


async def _whole(response: IResponse) -> bytes:
    octets = bytearray()
    streamed = Streamed(None, octets.extend)
    response.deliverBody(streamed)
    await streamed.over
    return bytes(octets)


@implementer(IBodyProducer)
class _Body:
    """
    The body of a request.
    """

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.length = len(octets)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """
        Write the body, all at once, as it is short.
        """
        consumer.write(self._octets)
        return succeed(None)

    def stopProducing(self) -> None:
        """
        Do nothing: the body is written already.
        """

    pauseProducing = resumeProducing = stopProducing


def quoted(name: str) -> str:
    """
    Return a name as a part of a path, which may have any sign.
    """
    return quote(name, safe="")


def dated(answer: Any) -> Any:
    """
    Return an answer with its times as all commands write them in JSON, see
    L{pptpgw.command.output.stamp}.
    """
    if not isinstance(answer, dict):
        return answer
    return {
        name: stamp(value) if name in _TIMES and isinstance(value, int | float) else dated(value)
        for name, value in answer.items()
    }


_TIMES = frozenset(("started", "since", "deadline", "time", "until"))
"""
The fields that are times, in seconds since 1970.
"""


def clientOf(reactor: Any, place: str) -> IStreamClientEndpoint | None:
    """
    Return the client's endpoint for a server endpoint string; None if there is none, as for
    C{systemd:}.
    """
    kind, first, named = wordsOf(place)
    if kind == "unix":
        path = named.get("address", first)
        return UNIXClientEndpoint(reactor, path, timeout=CONNECT_SECONDS) if path else None
    port = named.get("port", first)
    if kind not in ("tcp", "tcp6") or not port.isdecimal():
        return None
    host = named.get("interface", "")
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1" if kind == "tcp" else "::1"
    made = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
    return made(reactor, host, int(port), timeout=CONNECT_SECONDS)


def connected(function: Function) -> Function:
    """
    Add C{--config}; the function is given a L{RunningGateway} in place of the reactor.
    """

    @wraps(function)
    async def wrapped(reactor: Any, *, config: str | None, **more: Any) -> Any:
        accounts = Accounts(reactor, config, None)
        return await function(RunningGateway(reactor, *accounts.management), **more)

    return optioned(wrapped, [CONFIG])
