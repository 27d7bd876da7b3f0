"""
The operations of the console's sessions: logging in and out, and who has logged in.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated

from msgspec import Meta, Struct

from pptpgw.interfaces import Operated
from pptpgw.log import Logger
from pptpgw.management.console import LINK_SECONDS, ConsoleSessions, cookie
from pptpgw.management.judging import LONGEST_PASSWORD, Judge, Told
from pptpgw.management.operation import (
    Operation,
    OperationRequest,
    Operator,
    OperatorRole,
)
from pptpgw.management.problem import Problem


class Login(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A login by name and password.

    @ivar name: the name of the operator.
    @ivar password: the password.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    password: Annotated[str, Meta(max_length=LONGEST_PASSWORD)]


class LinkLogin(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A login by a link.

    @ivar token: what stands behind C{#login=} in the link.
    """

    token: Annotated[str, Meta(min_length=1, max_length=64)]


class LoginLink(Struct, frozen=True):
    """
    A link that logs in once.

    @ivar path: the path of the console, with the token in its fragment, which browsers don't send.
    @ivar expires_seconds: for how long it can be used.
    """

    path: str
    expires_seconds: float


class Me(Struct, frozen=True):
    """
    Who has logged in.

    @ivar name: the operator's name.
    @ivar role: what the operator may do.
    @ivar csrf_token: what a request that changes something must have as C{X-CSRF-Token}; null if no
        cookie was used.
    @ivar expires_seconds: when the console's session ends, however often it is used; null if no
        cookie was used.
    """

    name: str
    role: str
    csrf_token: str | None
    expires_seconds: float | None


class Logins:
    """
    Answers the requests of the console's sessions.
    """

    _log = Logger()

    def __init__(self, judge: Judge, consoles: ConsoleSessions, told: Told) -> None:
        """
        @param told: called with logins.
        """
        self._judge = judge
        self._consoles = consoles
        self._told = told

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "POST",
            "/login",
            "Begin a session of the console, by name and password.",
            self._byPassword,
            Me,
            body=Login,
            role=OperatorRole.NOBODY,
        )
        yield Operation(
            "POST",
            "/login/link",
            "Begin a session of the console, by a link.",
            self._byLink,
            Me,
            body=LinkLogin,
            role=OperatorRole.NOBODY,
        )
        yield Operation(
            "POST",
            "/links",
            "Make a link that logs in to the console once; on the Unix socket only.",
            self._link,
            LoginLink,
            role=OperatorRole.ADMIN,
        )
        yield Operation("POST", "/logout", "End the session of the console.", self._logout)
        yield Operation("GET", "/me", "Show who has logged in.", self._me, Me)

    async def _byPassword(self, request: OperationRequest) -> Me:
        login: Login = request.body
        return self._begin(
            await self._judge.password(login.name, login.password.encode(), request.sender),
            request,
        )

    def _byLink(self, request: OperationRequest) -> Me:
        login: LinkLogin = request.body
        operator = self._consoles.redeem(login.token)
        if operator is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "this link was used already, or is too old: ask for another",
            )
        return self._begin(operator, request)

    def _begin(self, operator: Operator, request: OperationRequest) -> Me:
        token, session = self._consoles.begin(operator)
        request.headers["set-cookie"] = cookie(request.sender, token)
        self._log.info(
            "{operator} logs in from {source}",
            operator=operator.name,
            source=request.sender.address,
        )
        self._told(Operated(operator.name, request.sender.address, "login", operator.name, "done"))
        return self._shown(Operator(operator.name, operator.role, session=session.key))

    def _link(self, request: OperationRequest) -> LoginLink:
        if request.operator.revision or request.operator.session:
            raise Problem(
                HTTPStatus.FORBIDDEN, "only who may open the Unix socket can make such a link"
            )
        return LoginLink(f"/#login={self._consoles.link(request.operator)}", LINK_SECONDS)

    def _logout(self, request: OperationRequest) -> None:
        self._consoles.end(request.operator.session)
        request.headers["set-cookie"] = cookie(request.sender, "")

    def _me(self, request: OperationRequest) -> Me:
        return self._shown(request.operator)

    def _shown(self, operator: Operator) -> Me:
        session = self._consoles.withKey(operator.session)
        return Me(
            name=operator.name,
            role=operator.role.name.lower(),
            csrf_token=None if session is None else session.csrf,
            expires_seconds=None if session is None else self._consoles.left(session),
        )
