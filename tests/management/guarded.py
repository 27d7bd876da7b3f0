"""
A management site on which operators of each role can log in.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pptpgw.management.operation import (
    Operation,
    OperationRequest,
    Operations,
    OperatorRole,
)
from pptpgw.store.password import hashPassword
from pptpgw.testing import resultOf
from tests.management.asking import CHEAP, REMOTE, Answer, Asking

ROLES = ("viewer", "operator", "admin")
ELSEWHERE = IPv4Address("TCP", "127.0.0.2", 8723)
WAYS = ("basic", "token", "cookie")


def failureOf(deferred: Deferred[Any]) -> BaseException:
    """
    The exception that C{deferred} has failed with.
    """
    failures: list[Failure] = []
    deferred.addErrback(failures.append)
    error = failures[0].value
    assert error is not None
    return error


class Thing(Struct):
    """
    A thing.

    @ivar by: whose it is.
    """

    by: str


class Guarded:
    """
    A site with two operations, and an operator of each role.
    """

    def __init__(self) -> None:
        def things(path: str, role: OperatorRole) -> Iterator[Operation]:
            for method in ("GET", "PUT"):
                yield Operation(method, path, "A thing.", self._handle, Thing, role=role)

        self.handled = 0
        self.asking = Asking(Operations(things("/thing", OperatorRole.VIEWER)))
        self.store = self.asking.store
        for role in ROLES:
            self.done(self.store.addOperator(role, role, hashPassword(role.encode(), CHEAP)))

    def _handle(self, request: OperationRequest) -> Thing:
        self.handled += 1
        return Thing(request.operator.name)

    def done(self, deferred: Deferred[Any]) -> Any:
        return resultOf(deferred)

    def headers(self, way: str, name: str) -> dict[str, str]:
        return headersOf(self.asking, way, name)

    def ask(self, method: str = "GET", path: str = "/thing", **more: Any) -> Answer:
        return self.asking.ask(method, path, more.pop("body", None), REMOTE, **more)


def headersOf(asking: Asking, way: str, name: str) -> dict[str, str]:
    """
    The headers by which an operator, whose password is the name, makes a request.
    """
    if way == "basic":
        return {"Authorization": "Basic " + b64encode(f"{name}:{name}".encode()).decode()}
    if way == "token":
        number = len(resultOf(asking.store.tokens(name)))
        token = resultOf(asking.store.addToken(name, f"t{number}"))
        return {"Authorization": f"Bearer {token}"}
    answer = asking.ask("POST", "/login", {"name": name, "password": name}, REMOTE)
    assert answer.status == 200
    cookie = answer.headers["set-cookie"].partition(";")[0]
    return {"Cookie": cookie, "X-CSRF-Token": answer.json["csrf_token"]}
