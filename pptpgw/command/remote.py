"""
The client of the management interface, by which commands see and steer a running gateway.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import IConsumer, IStreamClientEndpoint
from twisted.web.client import Agent, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from pptpgw.command.login import HOW
from pptpgw.command.place import Place
from pptpgw.command.status import Unreachable
from pptpgw.command.streaming import Streamed
from pptpgw.error import PPTPGWError
from pptpgw.timing.stamp import stamp

Session = Mapping[str, Any]
"""
A session, as the management interface describes it.
"""

BASE = "/api/v1"

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

    @ivar place: where its management interface is.
    @ivar reactor: the reactor that runs, with a clock that never jumps.
    """

    def __init__(self, reactor: Any, place: Place, authorization: bytes | None = None) -> None:
        """
        @param authorization: the C{Authorization} of requests; None if nobody logs in.
        """
        self.reactor = reactor
        self.place = place
        self._authorization = authorization
        self._agent = Agent.usingEndpointFactory(reactor, _Here(place.endpoint))

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
            raise Unreachable(f"{GONE}: {self.place.text}") from error

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

    async def endSetups(self, user: str) -> Sequence[str]:
        """
        End the calls of a user that are being set up, and return the identifiers of their attempts.

        @raise Unreachable: as in L{ask}.
        @raise NotDone: as in L{ask}.
        """
        ended = await self.ask("DELETE", "/attempts", {"user": user})
        identifiers: Sequence[str] = ended["session_ids"]
        return identifiers

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Mapping[str, object] | None,
    ) -> IResponse:
        address = f"{self.place.url}{BASE}{quote(path, safe='/%')}"
        if query:
            address += f"?{urlencode({name: str(value) for name, value in query.items()})}"
        headers = Headers({b"accept": [b"*/*"]})
        if self._authorization is not None:
            headers.addRawHeader(b"authorization", self._authorization)
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
                f"the gateway doesn't answer: nothing came from {self.place.text} within "
                f"{ANSWER_SECONDS:g} s"
            ) from error
        except ConnectError as error:
            raise Unreachable(self._unreachable(error)) from error
        except DNSLookupError as error:
            raise Unreachable(f"{self.place.text}: no host of this name is known") from error
        except ResponseFailed as error:
            raise Unreachable(self._broken(error)) from error

    def _answer(self, status: int, octets: bytes) -> Any:
        try:
            answer = json.loads(octets) if octets else None
        except ValueError as error:
            raise self._stranger() from error
        if status < HTTPStatus.BAD_REQUEST:
            return answer
        if not isinstance(answer, dict) or "detail" not in answer:
            raise self._stranger()
        raise NotDone(status, str(answer["detail"]) + _ADVICE.get(status, ""))

    def _stranger(self) -> Unreachable:
        return Unreachable(
            f"what listens at {self.place.text} doesn't have {BASE}: it is another program, or a "
            "gateway of another version"
        )

    def _broken(self, error: ResponseFailed) -> str:
        """
        Return why a connection ended before there was a whole answer.
        """
        place = self.place
        if not place.url.startswith("https:"):
            return f"what listens at {place.text} doesn't speak HTTP, or has hung up: is it pptpgw?"
        # Without TLS these modules aren't needed.
        from OpenSSL import SSL
        from service_identity import VerificationError

        from pptpgw.radius.tls import reasonOf

        for reason in error.reasons:
            if reason.check(VerificationError):
                return (
                    f"the certificate at {place.text} isn't one of {urlsplit(place.url).hostname}: "
                    "connect by a name that it has; with --config that is the first of "
                    "[management] hosts"
                )
            if reason.check(SSL.Error) and "certificate verify failed" in reasonOf(reason):
                return (
                    f"the certificate at {place.text} can't be verified: --ca FILE names the "
                    "certificate of the authority that has issued it; or it has expired"
                )
            if reason.check(SSL.Error):
                return f"there is no TLS to {place.text}: {reasonOf(reason)}"
        return f"what listens at {place.text} has hung up: is it pptpgw?"

    def _unreachable(self, error: ConnectError) -> str:
        number = getattr(error.osError, "errno", None)
        if number is None and str(error.osError).isdigit():
            number = int(str(error.osError))
        if number == errno.EACCES:
            return (
                f"this user may not open {self.place.text}: run pptpgw as the user that the "
                "gateway runs as (runuser -u USER -- pptpgw ...), or as one of its group"
            )
        return f"the gateway isn't running, or {self.place.wrong} ({error})"


_ADVICE: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: f". {HOW}",
    HTTPStatus.FORBIDDEN: (
        ". On the gateway, pptpgw operator set NAME --role ROLE gives another role"
    ),
}
"""
What to do about answers of these statuses.
"""


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
    L{pptpgw.timing.stamp.stamp}.
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
