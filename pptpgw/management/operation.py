"""
Operations: what a request may ask for, who may ask, and who answers.

An operation is declared once. The server finds it by the method and the path of a request, and the
OpenAPI document (L{pptpgw.management.document}) describes it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import unquote

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorTime
from zope.interface import Attribute, Interface, implementer

from pptpgw.management.problem import Problem


class OperatorRole(IntEnum):
    """
    What an operator may do. Each role may do everything that the ones before it may.
    """

    NOBODY = 0
    """
    Who hasn't logged in.
    """

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


class IOperator(Interface):
    """
    Who makes a request, as twisted.cred knows it.
    """

    name: str = Attribute("The name, for the audit.")
    role: OperatorRole = Attribute("What the operator may do.")


@implementer(IOperator)
@dataclass(frozen=True, slots=True)
class Operator:
    """
    The person or program that makes a request, see L{IOperator}.

    @ivar revision: L{pptpgw.store.record.OperatorAccount.revision}; empty for whoever may open the
        Unix socket, whom the store doesn't know.
    @ivar session: the key of the console's session that the request belongs to; empty if it
        belongs to none.
    """

    name: str
    role: OperatorRole
    revision: str = ""
    session: str = field(default="", repr=False)


NOBODY = Operator("", OperatorRole.NOBODY)
"""
Who hasn't logged in.
"""


@dataclass(frozen=True, slots=True)
class Sender:
    """
    Where a request comes from.

    @ivar address: the address, or the user ID at the other end of a Unix socket.
    @ivar port: the TCP port that was connected to; 0 for a Unix socket.
    @ivar isSecure: whether the connection has TLS.
    """

    address: str
    port: int = 0
    isSecure: bool = False


LARGEST = 1000
"""
The most items on one page.
"""


class Paging(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The parameters that the queries of all lists have, besides the columns by which a list can be
    filtered.

    @ivar sort: the column to order by, with a minus sign before it for the reverse order.
    @ivar limit: the most items that the answer has.
    @ivar offset: how many items are left out before them.
    """

    sort: str = ""
    limit: Annotated[int, Meta(ge=1, le=LARGEST)] = 100
    offset: Annotated[int, Meta(ge=0)] = 0


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """
    The query of an operation that takes none.
    """


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """
    One request for an operation.

    @ivar operator: who asks.
    @ivar clock: for what takes long, which is done in slices.
    @ivar names: the parts of the path that the operation's template leaves open, by their names.
    @ivar query: the query, a value of the operation's type.
    @ivar body: the body, a value of the operation's type; None if the operation takes none.
    @ivar paging: which part of a list is asked for, and in which order.
    @ivar lastEvent: the identifier of the last event that the client has seen, its header
        Last-Event-ID; empty if it has seen none.
    @ivar sender: where the request comes from.
    @ivar headers: the headers that the answer has besides those of all answers. The handler may
        add some.
    @ivar said: what was done, in words for the audit. The handler may add some, without which it is
        'done'.
    """

    operator: Operator
    clock: IReactorTime
    names: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    paging: Paging = field(default_factory=Paging)
    lastEvent: str = ""
    sender: Sender = field(default_factory=lambda: Sender(""))
    headers: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


Handler = Callable[[OperationRequest], Any | Awaitable[Any]]
"""
A function that answers a L{OperationRequest} with a value of the operation's type, or a coroutine
function that does. It raises L{Problem}, or another L{pptpgw.error.PPTPGWError} if the request
conflicts with the state of the gateway.
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One operation.

    @ivar method: the HTTP method.
    @ivar path: the path below L{BASE}, with names in braces for the parts that may be anything:
        C{/sessions/{session_id}}.
    @ivar summary: what the operation does, in a few words for the OpenAPI document.
    @ivar handler: answers a request.
    @ivar answer: the type of the answer; None for an answer without a body. Of a stream of events,
        the type of their data.
    @ivar query: the type of the query, a Struct of C{msgspec}.
    @ivar body: the type of the request's body; None if there is none.
    @ivar role: the least role that an operator needs; C{NOBODY} if whoever asks is answered.
    @ivar paged: whether the answer is a L{pptpgw.management.page.Page} of a list.
    @ivar stream: the media type of an answer that is a stream. The handler then returns a
        L{pptpgw.management.stream.StreamSource}. Empty for an answer in JSON.
    @ivar problems: what the problems mean that the handler raises, by their HTTP status.
    """

    method: str
    path: str
    summary: str
    handler: Handler
    answer: Any = None
    query: type[Struct] = NoQuery
    body: type[Any] | None = None
    role: OperatorRole = OperatorRole.VIEWER
    paged: bool = False
    stream: str = ""
    problems: Mapping[HTTPStatus, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """
        The names in the template of the path, in their order.
        """
        return tuple(re.findall(r"{(\w+)}", self.path))


BASE = "/api/v1"
"""
The path below which all operations are.
"""


class Operations:
    """
    The operations of a server.

    @ivar all: the operations, in the order of their declaration.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.all = tuple(operations)
        self._patterns = [
            (re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", BASE + one.path)), one)
            for one in self.all
        ]

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """
        Find the operation for a request.

        @param path: the path as the request has it, percent-encoded.
        @return: the operation, and the decoded parts of the path by their names.
        @raise Problem: there is none for this path, or for this method.
        """
        allowed = []
        for pattern, operation in self._patterns:
            if match := pattern.fullmatch(path):
                if operation.method == method:
                    return operation, {
                        name: unquote(text) for name, text in match.groupdict().items()
                    }
                allowed.append(operation.method)
        if allowed:
            raise Problem(
                HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {', '.join(allowed)}, not {method}"
            )
        raise Problem(HTTPStatus.NOT_FOUND, f"there is nothing at {path}: see {BASE}/openapi.json")
