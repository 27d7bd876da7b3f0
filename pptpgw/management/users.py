"""
The operations of users: the accounts in the gateway's stores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pptpgw.interfaces import IGatewayService
from pptpgw.management.accounts import NO_STORE, Affected, ManagedAccounts, Name, Now
from pptpgw.management.attributes import NO_ATTRIBUTES, Attributes, judged, shownAttributes
from pptpgw.management.lockouts import Lockouts, LockoutView
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.management.page import Columns, Page, page
from pptpgw.management.problem import Problem
from pptpgw.management.sessions import Sessions, SessionView
from pptpgw.store.attribute import decode, present
from pptpgw.store.error import Taken, Unknown
from pptpgw.store.record import Account

State = Literal["enabled", "disabled", "password expired"]

Password = Annotated[str, Meta(min_length=1, max_length=256)]
"""
A password: MS-CHAP's have 256 characters at most (RFC 2433 section 3).
"""


class UserView(Struct, frozen=True, kw_only=True):
    """
    A user, without anything from which the password could be learned.

    @ivar name: the name.
    @ivar state: whether the user may call.
    @ivar profile: the name of the profile that the user shares; empty for none.
    @ivar attributes: the user's own attributes.
    @ivar created: when the user was made, in seconds since 1970.
    @ivar password_changed: when the password was set, in seconds since 1970.
    @ivar expires: when the password expires, in seconds since 1970; null for never.
    @ivar recoverable: whether the password itself is stored too, encrypted.
    @ivar sessions: how many sessions the user has now.
    """

    name: str
    state: State
    profile: str
    attributes: Attributes
    created: float
    password_changed: float
    expires: float | None
    recoverable: bool
    sessions: int


class UsageView(Struct, frozen=True):
    """
    The sum of a user's sessions, the current ones as of their last record.

    @ivar sessions: how many there were.
    @ivar seconds: how long they lasted, added.
    @ivar octets_received: octets from the user.
    @ivar octets_sent: octets to the user.
    """

    sessions: int
    seconds: float
    octets_received: int
    octets_sent: int


class UserDetails(UserView, frozen=True, kw_only=True):
    """
    A user, with what happens now.

    @ivar inherited: the attributes of the profile, which apply where the user has none.
    @ivar current: the current sessions.
    @ivar lockout: the lockout that keeps the user out; null if there is none.
    @ivar usage: the sum of all sessions; null if there was none.
    """

    inherited: Attributes
    current: list[SessionView]
    lockout: LockoutView | None
    usage: UsageView | None


class UserFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which users are chosen.

    @ivar name: the name.
    @ivar state: whether the user may call: C{enabled}, C{disabled} or C{password expired}.
    @ivar profile: the name of the profile that the user shares.
    @ivar recoverable: whether the password itself is stored too.
    """

    name: str | None = None
    state: str | None = None
    profile: str | None = None
    recoverable: bool | None = None


class NewUser(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A user to be made.

    @ivar name: the name.
    @ivar password: the password.
    @ivar recoverable: whether to store the password itself too, encrypted; CHAP (MD5) needs it.
    @ivar profile: the name of a profile to share; empty for none.
    @ivar attributes: the user's own attributes.
    @ivar expires: when the password expires, in seconds since 1970; null for never.
    """

    name: Name
    password: Password
    recoverable: bool = False
    profile: str = ""
    attributes: Attributes = NO_ATTRIBUTES
    expires: float | None = None


class UserChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A change of a user. What is left out remains.

    @ivar disabled: whether the user is refused.
    @ivar profile: the name of a profile to share; empty for none.
    @ivar attributes: the user's own attributes.
    @ivar expires: when the password expires, in seconds since 1970; null for never.
    """

    disabled: bool | None = None
    profile: str | None = None
    attributes: Attributes = NO_ATTRIBUTES
    expires: float | UnsetType | None = UNSET


class NewPassword(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    Another password of a user.

    @ivar password: the password.
    @ivar recoverable: whether to store the password itself too, encrypted; CHAP (MD5) needs it.
    @ivar expires: when it expires, in seconds since 1970; null for never.
    """

    password: Password
    recoverable: bool = False
    expires: float | None = None


class Users:
    """
    Answers the requests for users.
    """

    def __init__(
        self,
        gateway: IGatewayService,
        accounts: ManagedAccounts,
        sessions: Sessions,
        lockouts: Lockouts,
        now: Callable[[], float],
    ) -> None:
        """
        @param sessions: shows the sessions of a user.
        @param lockouts: shows the lockout of a user.
        @param now: gives the time of day, in seconds since 1970.
        """
        self._gateway = gateway
        self._accounts = accounts
        self._sessions = sessions
        self._lockouts = lockouts
        self._now = now

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        path = "/users/{name}"
        yield Operation(
            "GET",
            "/users",
            "List users.",
            self._list,
            Page[UserView],
            query=UserFilter,
            paged=True,
            problems=NO_STORE,
        )
        yield Operation(
            "POST",
            "/users",
            "Make a user.",
            self._make,
            UserView,
            body=NewUser,
            role=OperatorRole.ADMIN,
        )
        yield Operation("GET", path, "Show a user.", self._show, UserDetails, problems=NO_STORE)
        yield Operation(
            "PATCH",
            path,
            "Change, disable or enable a user.",
            self._change,
            Affected,
            query=Now,
            body=UserChange,
            role=OperatorRole.ADMIN,
        )
        yield Operation(
            "PUT",
            f"{path}/password",
            "Set the password of a user.",
            self._setPassword,
            Affected,
            query=Now,
            body=NewPassword,
            role=OperatorRole.ADMIN,
        )
        yield Operation(
            "DELETE",
            path,
            "Remove a user.",
            self._remove,
            Affected,
            query=Now,
            role=OperatorRole.ADMIN,
        )

    async def _list(self, request: OperationRequest) -> Page[UserView]:
        found = [await store.accounts() for store in self._accounts.stores]
        sessions = Counter(one.user for one in self._gateway.sessions)
        columns: Columns[Account] = {
            "name": lambda one: one.name,
            "state": self._state,
            "profile": lambda one: one.shared,
            "created": lambda one: one.created,
            "password_changed": lambda one: one.passwordChanged,
            "expires": lambda one: one.expires,
            "recoverable": lambda one: bool(one.sealed),
            "sessions": lambda one: sessions[one.name],
        }
        return await page(
            _merged(found),
            request,
            columns,
            lambda one: self._view(one, sessions[one.name]),
            lasts=True,
        )

    async def _show(self, request: OperationRequest) -> UserDetails:
        store, account = await self._accounts.find(request.names["name"])
        usage = await (self._gateway.store or store).usage(account.name)
        lockout = await self._lockouts.of(account.name)
        sessions = self._accounts.sessionsOf({account.name})
        view = self._view(account, len(sessions))
        return UserDetails(
            **{name: getattr(view, name) for name in view.__struct_fields__},
            inherited=shownAttributes(decode(account.inherited)),
            current=[self._sessions.view(one) for one in sessions],
            lockout=lockout,
            usage=next(
                (
                    UsageView(one.sessions, one.seconds, one.octetsReceived, one.octetsSent)
                    for one in usage
                ),
                None,
            ),
        )

    async def _make(self, request: OperationRequest) -> UserView:
        body: NewUser = request.body
        attributes = judged(body.attributes)
        self._accounts.judge(body.name, attributes)
        for store in self._accounts.stores:
            if await store.account(body.name) is not None:
                raise Taken(f"there is a user {body.name} already")
        store = self._accounts.stores[0]
        try:
            await store.addAccount(
                body.name,
                body.password.encode(),
                recoverable=body.recoverable,
                shared=body.profile,
                attributes=present(attributes),
                expires=body.expires,
            )
        except Unknown as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
        account = (await self._accounts.find(body.name)).account
        self._accounts.reserve(account.name, account.profile)
        return self._view(account, len(self._accounts.sessionsOf({account.name})))

    async def _change(self, request: OperationRequest) -> Affected:
        name, body = request.names["name"], request.body
        attributes = judged(body.attributes)
        self._accounts.judge(name, attributes)
        store = (await self._accounts.find(name)).store
        await store.changeAccount(
            name, disabled=body.disabled, shared=body.profile, attributes=attributes
        )
        if body.expires is not UNSET:
            await store.setExpiry(name, body.expires)
        profile = (await self._accounts.find(name)).account.profile
        self._accounts.reserve(name, profile)
        if not request.query.now:
            return self._accounts.left({name})
        if body.disabled:
            return self._accounts.end(name, "the user is disabled", request.operator.name)
        operator = request.operator.name
        return await self._accounts.change({name}, lambda _: profile, operator, request.clock)

    async def _setPassword(self, request: OperationRequest) -> Affected:
        name, body = request.names["name"], request.body
        store = (await self._accounts.find(name)).store
        await store.changePassword(
            name, body.password.encode(), recoverable=body.recoverable, expires=body.expires
        )
        if not request.query.now:
            return self._accounts.left({name})
        return self._accounts.end(name, "the user has another password", request.operator.name)

    async def _remove(self, request: OperationRequest) -> Affected:
        name = request.names["name"]
        store = (await self._accounts.find(name)).store
        await store.removeAccount(name)
        self._accounts.reserve(name, None)
        if not request.query.now:
            return self._accounts.left({name})
        return self._accounts.end(name, "the user is removed", request.operator.name)

    def _state(self, account: Account) -> State:
        if account.disabled:
            return "disabled"
        return "password expired" if account.expired(self._now()) else "enabled"

    def _view(self, account: Account, sessions: int) -> UserView:
        return UserView(
            name=account.name,
            state=self._state(account),
            profile=account.shared,
            attributes=shownAttributes(account.attributes),
            created=account.created,
            password_changed=account.passwordChanged,
            expires=account.expires,
            recoverable=bool(account.sealed),
            sessions=sessions,
        )


def _merged(stores: Iterable[Iterable[Account]]) -> Iterator[Account]:
    """
    Iterate over the accounts of all stores. One that an earlier store has hides those of its name.
    """
    known = set()
    for accounts in stores:
        for one in accounts:
            if one.name not in known:
                known.add(one.name)
                yield one
