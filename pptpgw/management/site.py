"""
The HTTP server of the management interface.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

import msgspec
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from pptpgw.error import ConfigurationError, PPTPGWError, Unavailable
from pptpgw.log import Logger
from pptpgw.management.access import operatorOf
from pptpgw.management.document import document
from pptpgw.management.encoding import toJSON
from pptpgw.management.operation import (
    BASE,
    Operation,
    OperationRequest,
    Operations,
    Operator,
    OperatorRole,
    Paging,
)
from pptpgw.management.problem import MEDIA_TYPE, Problem
from pptpgw.management.stream import Source, Streams
from pptpgw.store.error import InUse, StoreError, Taken, Unknown

LARGEST_BODY = 1 << 20
"""
The most octets that the body of a request may have.
"""

ANSWER_SECONDS = 30.0
"""
Seconds that a request may take.
"""

IDLE_SECONDS = 60.0
"""
Seconds after which a connection without a request is closed.
"""

_JSON = "application/json"

_STATUSES: tuple[tuple[type[PPTPGWError], HTTPStatus], ...] = (
    (Unknown, HTTPStatus.NOT_FOUND),
    (Taken, HTTPStatus.CONFLICT),
    (InUse, HTTPStatus.CONFLICT),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ConfigurationError, HTTPStatus.BAD_REQUEST),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (PPTPGWError, HTTPStatus.CONFLICT),
)
"""
The status of the answer for each kind of exception that a handler may raise; the first that fits
counts.
"""


class ManagementRequest(Request):
    """
    A request whose body is limited, and whose answer says nothing of the server's software.
    """

    _received = 0

    def gotLength(self, length: int | None) -> None:
        """
        Refuse a body that is announced to be too long.
        """
        if length is not None and length > LARGEST_BODY:
            self._refuse()
        Request.gotLength(self, length)

    def handleContentChunk(self, data: bytes) -> None:
        """
        Collect a part of the body, up to the limit.
        """
        self._received += len(data)
        if self._received > LARGEST_BODY:
            self._refuse()
        else:
            Request.handleContentChunk(self, data)

    def render(self, resource: Any) -> None:
        """
        Render C{resource}, with headers that all answers have.
        """
        self.responseHeaders.removeHeader(b"server")
        self.responseHeaders.setRawHeaders(b"cache-control", [b"no-store"])
        self.responseHeaders.setRawHeaders(b"x-content-type-options", [b"nosniff"])
        Request.render(self, resource)

    def _refuse(self) -> None:
        channel: Any = self.channel
        if channel is not None and not channel.transport.disconnecting:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            channel.transport.write(
                b"HTTP/1.1 %d %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                % (status, status.phrase.encode())
            )
            channel.transport.loseConnection()


class ManagementSite(Site):
    """
    The site of the management interface. It writes no log of requests.
    """

    requestFactory = ManagementRequest
    displayTracebacks = False
    noisy = False

    def __init__(self, root: Resource, reactor: Any) -> None:
        Site.__init__(self, root, timeout=IDLE_SECONDS, reactor=reactor)

    def log(self, request: object) -> None:
        """
        Log nothing: what changes the gateway is logged by L{APIResource}.
        """


class APIResource(Resource):
    """
    The resource that answers requests for operations.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, clock: IReactorTime, operations: Operations, streams: Streams) -> None:
        """
        @param clock: measures how long an answer takes.
        @param streams: sends the answers that are streams.
        """
        Resource.__init__(self)
        self._clock = clock
        self._operations = operations
        self._streams = streams
        self._document = msgspec.json.encode(document(operations))

    def render(self, request: Request) -> bytes | int:
        """
        Answer C{request}.
        """
        path = request.path.decode("ascii", "replace")
        method = request.method.decode("ascii", "replace").replace("HEAD", "GET")
        try:
            operator = operatorOf(request)
            if path == f"{BASE}/openapi.json":
                return _body(request, HTTPStatus.OK, _JSON, self._document)
            operation, names = self._operations.find(method, path)
            if operation.stream and self._streams.isFull:
                raise Problem(
                    HTTPStatus.SERVICE_UNAVAILABLE, f"{len(self._streams)} streams are open already"
                )
            asked = _read(request, self._clock, operation, operator, names)
        except Problem as problem:
            return answerProblem(request, problem)
        answered: Deferred[Any] = maybeDeferred(_handled, operation, asked)
        answered.addTimeout(ANSWER_SECONDS, self._clock)
        gone: Deferred[Any] = request.notifyFinish()
        gone.addErrback(lambda _: answered.cancel())
        answered.addCallbacks(
            lambda answer: self._answer(request, asked, operation, answer),
            lambda failure: self._refuse(request, asked, operation, failure),
        )
        answered.addErrback(lambda failure: self._log.failure("An answer failed", failure))
        return NOT_DONE_YET

    def _answer(
        self, request: Request, asked: OperationRequest, operation: Operation, answer: object
    ) -> None:
        if operation.stream:
            self._begin(request, asked, operation, cast(Source, answer))
            return
        self._audit(asked, operation, request, "done")
        if operation.answer is None:
            octets = _body(request, HTTPStatus.NO_CONTENT, "", b"")
        else:
            octets = answerJSON(request, answer)
        _finish(request, octets)

    def _begin(
        self, request: Request, asked: OperationRequest, operation: Operation, source: Source
    ) -> None:
        """
        Begin a stream.
        """
        request.setResponseCode(HTTPStatus.OK, HTTPStatus.OK.phrase.encode())
        request.setHeader(b"content-type", operation.stream.encode())
        if request.method == b"HEAD":
            source.close()
            _finish(request, b"")
            return
        self._audit(asked, operation, request, "begins")
        self._streams.open(
            request,
            source,
            lambda octets: self._audit(asked, operation, request, f"over, {octets} octets sent"),
        )

    def _refuse(
        self, request: Request, asked: OperationRequest, operation: Operation, failure: Failure
    ) -> None:
        if failure.check(CancelledError):
            # Nobody waits for an answer.
            return
        problem = _problemOf(failure)
        if problem is None:
            self._log.failure(
                "{method} {path} failed", failure, method=operation.method, path=operation.path
            )
            problem = Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR, "the gateway failed; its log says more"
            )
        self._audit(asked, operation, request, str(problem))
        _finish(request, answerProblem(request, problem))

    def _audit(
        self, asked: OperationRequest, operation: Operation, request: Request, outcome: str
    ) -> None:
        """
        Log what an operator has changed, or tried to, and whom the operator has watched.
        """
        if operation.method != "GET" or operation.role > OperatorRole.VIEWER:
            self._log.info(
                "{operator}: {method} {path}: {outcome}",
                operator=asked.operator.name,
                method=operation.method,
                path=request.uri.decode("ascii", "replace"),
                outcome=outcome,
            )


async def _handled(operation: Operation, asked: OperationRequest) -> Any:
    answer = operation.handler(asked)
    return await answer if hasattr(answer, "__await__") else answer


def _read(
    request: Request,
    clock: IReactorTime,
    operation: Operation,
    operator: Operator,
    names: dict[str, str],
) -> OperationRequest:
    """
    Read C{request}.

    @raise Problem: the operator may not make it, or it can't be read.
    """
    if operator.role < operation.role:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"{operator.name} is a {operator.role.name.lower()}, and this needs the role "
            f"{operation.role.name.lower()}",
        )
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
        seen = request.getHeader("last-event-id") or ""
        return OperationRequest(operator, clock, names, query, paging=paging, lastEvent=seen)
    kind = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
    if kind != _JSON:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body must be {_JSON}")
    assert request.content is not None
    try:
        body = msgspec.json.decode(request.content.read(), type=operation.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body: {error}") from error
    return OperationRequest(operator, clock, names, query, body, paging)


def _problemOf(failure: Failure) -> Problem | None:
    error = failure.value
    if isinstance(error, Problem):
        return error
    if isinstance(error, TimeoutError):
        return Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, f"there was no answer within {ANSWER_SECONDS:g} s"
        )
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return Problem(status, str(error))
    return None


def answerJSON(request: Request, answer: object) -> bytes:
    """
    Set the status and the headers of an answer that is C{answer}, and return its body.
    """
    return _body(request, HTTPStatus.OK, _JSON, toJSON(answer))


def answerProblem(request: Request, problem: Problem) -> bytes:
    """
    Set the status and the headers of an answer that is C{problem}, and return its body.
    """
    return _body(request, problem.status, MEDIA_TYPE, toJSON(problem.details))


def _body(request: Request, status: HTTPStatus, kind: str, octets: bytes) -> bytes:
    """
    Set the status and the headers of an answer, and return its body.
    """
    request.setResponseCode(status, status.phrase.encode())
    if kind:
        request.setHeader(b"content-type", kind.encode())
        request.setHeader(b"content-length", b"%d" % len(octets))
    return b"" if request.method == b"HEAD" else octets


def _finish(request: Request, octets: bytes) -> None:
    request.write(octets)
    request.finish()
