"""
The API of the management interface: requests for operations, answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any, cast

import msgspec
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from pptpgw.error import PPTPGWError
from pptpgw.interfaces import Operated
from pptpgw.log import Logger
from pptpgw.management.access import Access, headerOf, senderOf
from pptpgw.management.answer import JSON, answerJSON, answerProblem, answerWith, problemFrom
from pptpgw.management.document import document
from pptpgw.management.operation import (
    BASE,
    NOBODY,
    Operation,
    OperationRequest,
    Operations,
    Operator,
    OperatorRole,
    Paging,
    Sender,
)
from pptpgw.management.problem import Problem
from pptpgw.management.stream import Streams, StreamSource

ANSWER_SECONDS = 30.0
"""
Seconds that a request may take.
"""


@dataclass
class _Exchange:
    """
    A request, and what is known of it so far.

    @ivar sender: where it comes from.
    @ivar operator: who makes it.
    @ivar operation: what it asks for.
    @ivar outcome: what was done, in words for the audit.
    @ivar isGone: whether the client has hung up, so that nothing can be sent.
    """

    request: Request
    sender: Sender
    operator: Operator = NOBODY
    operation: Operation | None = None
    outcome: str = "done"
    isGone: bool = False


class APIResource(Resource):
    """
    The resource that answers requests for operations.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        operations: Operations,
        streams: Streams,
        access: Access,
        told: Callable[[Operated], None],
    ) -> None:
        """
        @param clock: measures how long an answer takes.
        @param streams: sends the answers that are streams.
        @param access: says who makes a request.
        @param told: called with everything that an operator has changed, or tried to.
        """
        Resource.__init__(self)
        self._clock = clock
        self._operations = operations
        self._streams = streams
        self._access = access
        self._told = told

    @cached_property
    def _document(self) -> bytes:
        """
        The OpenAPI document, which is made when somebody first asks for it: it takes some time, and
        the ports are open already when the site is made.
        """
        return msgspec.json.encode(document(self._operations))

    def render(self, request: Request) -> int:
        """
        Answer C{request}.
        """
        exchange = _Exchange(request, senderOf(request))
        answered = Deferred.fromCoroutine(self._answer(exchange))
        answered.addTimeout(ANSWER_SECONDS, self._clock)

        def hungUp(_: Failure) -> None:
            exchange.isGone = True
            answered.cancel()

        gone: Deferred[Any] = request.notifyFinish()
        gone.addErrback(hungUp)
        answered.addCallbacks(
            lambda answer: self._give(exchange, answer),
            lambda failure: self._refuse(exchange, failure),
        )
        answered.addErrback(lambda failure: self._log.failure("An answer failed", failure))
        return NOT_DONE_YET

    async def _answer(self, exchange: _Exchange) -> bytes | StreamSource:
        """
        Return the body of the answer, after setting its status and its headers; or the source of a
        stream.
        """
        request = exchange.request
        path = request.path.decode("ascii", "replace")
        method = request.method.decode("ascii", "replace").replace("HEAD", "GET")
        if path == f"{BASE}/openapi.json":
            assertRole(await self._access.operatorOf(request), OperatorRole.VIEWER)
            return answerWith(request, HTTPStatus.OK, JSON, self._document)
        operation, names = self._operations.find(method, path)
        exchange.operation = operation
        if operation.role is not OperatorRole.NOBODY:
            exchange.operator = await self._access.operatorOf(request)
            assertRole(exchange.operator, operation.role)
        if operation.stream and (lacking := self._streams.lacking(exchange.operator.name)):
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, lacking)
        asked = _read(exchange, operation, self._clock, names)
        answer = operation.handler(asked)
        if hasattr(answer, "__await__"):
            answer = await answer
        for name, text in asked.headers.items():
            request.setHeader(name, text)
        exchange.outcome = ", ".join(asked.said) or exchange.outcome
        if operation.stream:
            return cast(StreamSource, answer)
        if operation.answer is None:
            return answerWith(request, HTTPStatus.NO_CONTENT, "", b"")
        return answerJSON(request, answer)

    def _give(self, exchange: _Exchange, answer: bytes | StreamSource) -> None:
        if isinstance(answer, bytes):
            self._finish(exchange, answer, exchange.outcome)
        else:
            self._begin(exchange, answer)

    def _begin(self, exchange: _Exchange, source: StreamSource) -> None:
        """
        Begin a stream.
        """
        request, operation = exchange.request, exchange.operation
        assert operation is not None
        request.setResponseCode(HTTPStatus.OK, HTTPStatus.OK.phrase.encode())
        request.setHeader(b"content-type", operation.stream.encode())
        if request.method == b"HEAD":
            source.close()
            request.write(b"")
            request.finish()
            return

        async def still() -> None:
            assertRole(await self._access.operatorOf(request), operation.role)

        self._audit(exchange, "begins")
        self._streams.open(
            exchange.operator.name,
            request,
            source,
            lambda octets: self._audit(exchange, f"over, {octets} octets sent"),
            still,
        )

    def _refuse(self, exchange: _Exchange, failure: Failure) -> None:
        if failure.check(CancelledError):
            # Nobody waits for an answer.
            self._audit(exchange, "cancelled: nobody waits for the answer")
            return
        problem = _problemOf(failure)
        if problem is None:
            self._log.failure(
                "{method} {path} failed",
                failure,
                method=exchange.request.method.decode("ascii", "replace"),
                path=exchange.request.path.decode("ascii", "replace"),
            )
            problem = Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR, "the gateway failed; its log says more"
            )
        self._finish(exchange, answerProblem(exchange.request, problem), str(problem))

    def _finish(self, exchange: _Exchange, octets: bytes, outcome: str) -> None:
        self._audit(exchange, outcome)
        if exchange.isGone:
            # What was cancelled may end in its own way.
            return
        exchange.request.write(octets)
        exchange.request.finish()

    def _audit(self, exchange: _Exchange, outcome: str) -> None:
        """
        Log what an operator has changed, or tried to, and whom the operator has watched. Logins are
        logged where they are judged.
        """
        operation, operator = exchange.operation, exchange.operator
        if operation is None or operator is NOBODY:
            return
        if operation.method == "GET" and operation.role is OperatorRole.VIEWER:
            return
        target = exchange.request.uri.decode("ascii", "replace")
        self._log.info(
            "{operator}: {method} {path}: {outcome}",
            operator=operator.name,
            method=operation.method,
            path=target,
            outcome=outcome,
        )
        action = f"{operation.method} {operation.path}"
        self._told(Operated(operator.name, exchange.sender.address, action, target, outcome))


def assertRole(operator: Operator, role: OperatorRole) -> None:
    """
    Check that C{operator} has at least C{role}.

    @raise Problem: that isn't so.
    """
    if operator.role is OperatorRole.NOBODY:
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "log in: by Authorization: Bearer TOKEN, by name and password, or in the console",
        )
    if operator.role < role:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"{operator.name} is a {operator.role.name.lower()}, and this needs the role "
            f"{role.name.lower()}",
        )


def _read(
    exchange: _Exchange, operation: Operation, clock: IReactorTime, names: dict[str, str]
) -> OperationRequest:
    """
    Read the request.

    @raise Problem: it can't be read.
    """
    request, sender, operator = exchange.request, exchange.sender, exchange.operator
    given: dict[str, str] = {}
    for name, values in request.args.items():
        if len(values) > 1:
            raise Problem(HTTPStatus.BAD_REQUEST, f"{name.decode(errors='replace')} is there twice")
        given[name.decode(errors="replace")] = values[0].decode(errors="replace")
    pages = {
        name: given.pop(name)
        for name in Paging.__struct_fields__
        if name in given and operation.paged
    }
    try:
        query = msgspec.convert(given, operation.query, strict=False)
        paging = msgspec.convert(pages, Paging, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the query: {error}") from error
    if operation.body is None:
        seen = headerOf(request, "last-event-id")
        return OperationRequest(operator, clock, names, query, None, paging, seen, sender)
    kind = headerOf(request, "content-type").partition(";")[0].strip().lower()
    if kind != JSON:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body must be {JSON}")
    assert request.content is not None
    try:
        body = msgspec.json.decode(request.content.read(), type=operation.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body: {error}") from error
    return OperationRequest(operator, clock, names, query, body, paging, sender=sender)


def _problemOf(failure: Failure) -> Problem | None:
    error = failure.value
    if isinstance(error, TimeoutError):
        return Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, f"there was no answer within {ANSWER_SECONDS:g} s"
        )
    return problemFrom(error) if isinstance(error, PPTPGWError) else None
