"""
The operations of operators and their tokens, which administrators manage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pptpgw.management.credentials import InThread
from pptpgw.management.judging import LONGEST_PASSWORD
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.management.page import Columns, Page, page
from pptpgw.management.problem import notFound
from pptpgw.store.interface import IStore
from pptpgw.store.password import hashPassword
from pptpgw.store.record import OperatorAccount, OperatorToken

Role = Literal["viewer", "operator", "admin"]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Password = Annotated[str, Meta(min_length=1, max_length=LONGEST_PASSWORD)]


class OperatorView(Struct, frozen=True):
    """
    An operator.

    @ivar name: the operator's name.
    @ivar role: what the operator may do.
    @ivar disabled: whether the operator is refused.
    @ivar has_password: whether the operator can log in by a password, and not by tokens only.
    @ivar created: when the operator was made, in seconds since 1970.
    @ivar changed: when the operator was changed, in seconds since 1970.
    """

    name: str
    role: str
    disabled: bool
    has_password: bool
    created: float
    changed: float


class OperatorFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which operators are chosen.

    @ivar name: the operator's name.
    @ivar role: what the operator may do.
    @ivar disabled: whether the operator is refused.
    """

    name: str | None = None
    role: str | None = None
    disabled: bool | None = None


class NewOperator(Struct, frozen=True, forbid_unknown_fields=True):
    """
    An operator to be made.

    @ivar name: the operator's name.
    @ivar role: what the operator may do.
    @ivar password: the password; null for an operator who logs in by tokens only.
    """

    name: Name
    role: Role
    password: Password | None = None


class OperatorChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A change of an operator, which ends the operator's sessions of the console. What isn't there
    stays as it is.

    @ivar role: what the operator may do.
    @ivar password: the password; null for none.
    @ivar disabled: whether the operator is refused, by password and by token.
    """

    role: Role | UnsetType = UNSET
    password: Password | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET


class TokenView(Struct, frozen=True):
    """
    A token of an operator.

    @ivar name: what the token is for.
    @ivar created: when it was made, in seconds since 1970.
    @ivar used: when it was used last, to the minute, in seconds since 1970; null for never.
    @ivar expires: when it can't be used any more, in seconds since 1970; null for never.
    """

    name: str
    created: float
    used: float | None
    expires: float | None


class TokenFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which tokens are chosen.

    @ivar name: what the token is for.
    """

    name: str | None = None


class NewToken(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A token to be made.

    @ivar name: what the token is for.
    @ivar lasts_seconds: after how many seconds it can't be used any more; null for never.
    """

    name: Name
    lasts_seconds: Annotated[float, Meta(gt=0)] | None = None


class MadeToken(Struct, frozen=True):
    """
    A token that was made.

    @ivar token: the token, which nobody can be shown again.
    """

    token: str


_OPERATORS: Columns[OperatorAccount] = {
    "name": lambda one: one.name,
    "role": lambda one: one.role,
    "disabled": lambda one: one.disabled,
    "has_password": lambda one: bool(one.password),
    "created": lambda one: one.created,
    "changed": lambda one: one.changed,
}

_TOKENS: Columns[OperatorToken] = {
    "name": lambda one: one.name,
    "created": lambda one: one.created,
    "used": lambda one: one.used,
    "expires": lambda one: one.expires,
}


class Operators:
    """
    Answers the requests for operators.
    """

    def __init__(
        self, store: Callable[[], IStore], inThread: InThread, now: Callable[[], float]
    ) -> None:
        """
        @param store: returns the store. It raises L{pptpgw.error.PPTPGWError} if there is none.
        @param inThread: calls a function that hashes.
        @param now: gives the time of day, in seconds since 1970.
        """
        self._store = store
        self._inThread = inThread
        self._now = now

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        all, one = "/operators", "/operators/{name}"
        tokens, token = f"{one}/tokens", f"{one}/tokens/{{token}}"
        admin = OperatorRole.ADMIN
        yield Operation(
            "GET",
            all,
            "List operators.",
            self._list,
            Page[OperatorView],
            query=OperatorFilter,
            role=admin,
            paged=True,
        )
        yield Operation(
            "POST", all, "Make an operator.", self._add, OperatorView, body=NewOperator, role=admin
        )
        yield Operation("GET", one, "Show an operator.", self._show, OperatorView, role=admin)
        yield Operation(
            "PATCH",
            one,
            "Change, disable or enable an operator.",
            self._change,
            OperatorView,
            body=OperatorChange,
            role=admin,
        )
        yield Operation(
            "DELETE", one, "Remove an operator and all tokens.", self._remove, role=admin
        )
        yield Operation(
            "GET",
            tokens,
            "List the tokens of an operator.",
            self._listTokens,
            Page[TokenView],
            query=TokenFilter,
            role=admin,
            paged=True,
        )
        yield Operation(
            "POST", tokens, "Make a token.", self._addToken, MadeToken, body=NewToken, role=admin
        )
        yield Operation("DELETE", token, "Remove a token.", self._removeToken, role=admin)

    async def _list(self, request: OperationRequest) -> Page[OperatorView]:
        return await page(await self._store().operators(), request, _OPERATORS, _view)

    async def _add(self, request: OperationRequest) -> OperatorView:
        new: NewOperator = request.body
        hashed = await self._hashed(new.password)
        await self._store().addOperator(new.name, new.role, hashed)
        return _view(await self._find(new.name))

    async def _show(self, request: OperationRequest) -> OperatorView:
        return _view(await self._find(request.names["name"]))

    async def _change(self, request: OperationRequest) -> OperatorView:
        name, change = request.names["name"], request.body
        role = None if change.role is UNSET else change.role
        password = None if change.password is UNSET else await self._hashed(change.password)
        disabled = None if change.disabled is UNSET else change.disabled
        if any(one is not None for one in (role, password, disabled)):
            await self._store().changeOperator(
                name, role=role, password=password, disabled=disabled
            )
        return _view(await self._find(name))

    async def _remove(self, request: OperationRequest) -> None:
        await self._store().removeOperator(request.names["name"])

    async def _listTokens(self, request: OperationRequest) -> Page[TokenView]:
        found = await self._store().tokens(request.names["name"])
        return await page(found, request, _TOKENS, _tokenView)

    async def _addToken(self, request: OperationRequest) -> MadeToken:
        new: NewToken = request.body
        expires = None if new.lasts_seconds is None else self._now() + new.lasts_seconds
        return MadeToken(await self._store().addToken(request.names["name"], new.name, expires))

    async def _removeToken(self, request: OperationRequest) -> None:
        await self._store().removeToken(request.names["name"], request.names["token"])

    async def _hashed(self, password: str | None) -> str:
        if password is None:
            return ""
        hashed: str = await self._inThread(hashPassword, password.encode())
        return hashed

    async def _find(self, name: str) -> OperatorAccount:
        account = await self._store().operator(name)
        if account is None:
            raise notFound(f"operator {name}")
        return account


def _view(account: OperatorAccount) -> OperatorView:
    return OperatorView(
        name=account.name,
        role=account.role,
        disabled=account.disabled,
        has_password=bool(account.password),
        created=account.created,
        changed=account.changed,
    )


def _tokenView(token: OperatorToken) -> TokenView:
    return TokenView(token.name, token.created, token.used, token.expires)
