"""
The operations of lockouts: which users and addresses are refused after wrong passwords, and letting
them in again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from msgspec import Struct

from pptpgw.interfaces import IGatewayService
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.management.page import Columns, Page, assertChooses, chosen, page
from pptpgw.management.problem import notFound
from pptpgw.sessions.username import folded
from pptpgw.store.record import FailedAttempts


class LockoutView(Struct, frozen=True):
    """
    A lockout: until it ends, every claim of a user, or from an address, is refused.

    @ivar kind: what the subject is: a user, or the address that calls come from.
    @ivar subject: the name of the user, without a Windows domain and in lower case, or the address.
    @ivar failures: the number of failures that led to it.
    @ivar until: when it ends, in seconds since 1970.
    @ivar remaining_seconds: how long it still lasts.
    @ivar enforced: whether this gateway refuses the subject. The store also has the lockouts of
        other gateways that share it, and those from before a restart, which this gateway doesn't
        know.
    """

    kind: Literal["user", "source"]
    subject: str
    failures: int
    until: float
    remaining_seconds: float
    enforced: bool


class LockoutFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which lockouts are chosen.

    @ivar kind: what the subject is: C{user} or C{source}.
    @ivar subject: the name of the user, or the address.
    @ivar enforced: whether this gateway refuses the subject. The store isn't asked for those that
        it refuses.
    """

    kind: str | None = None
    subject: str | None = None
    enforced: bool | None = None


class Subject(Struct, frozen=True):
    """
    A user or a source.

    @ivar kind: which of both: C{user} or C{source}.
    @ivar subject: the name of the user, or the address.
    """

    kind: Literal["user", "source"]
    subject: str


class Cleared(Struct, frozen=True):
    """
    The lockouts that an operator has cleared.

    @ivar subjects: those who were locked out.
    """

    subjects: list[Subject]


class Lockouts:
    """
    Answers the requests for lockouts.
    """

    def __init__(self, gateway: IGatewayService, now: Callable[[], float]) -> None:
        """
        @param now: gives the time of day, in seconds since 1970.
        """
        self._gateway = gateway
        self._now = now
        self._columns: Columns[LockoutView] = {
            "kind": lambda one: one.kind,
            "subject": lambda one: one.subject,
            "failures": lambda one: one.failures,
            "until": lambda one: one.until,
            "remaining_seconds": lambda one: one.remaining_seconds,
            "enforced": lambda one: one.enforced,
        }

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET",
            "/lockouts",
            "List who is locked out.",
            self._list,
            Page[LockoutView],
            query=LockoutFilter,
            paged=True,
        )
        yield Operation(
            "DELETE",
            "/lockouts",
            "Clear all lockouts that the query chooses; it must choose by something.",
            self._clearMany,
            Cleared,
            query=LockoutFilter,
            role=OperatorRole.OPERATOR,
        )
        yield Operation(
            "DELETE",
            "/lockouts/{kind}/{subject}",
            "Clear one lockout.",
            self._clear,
            Cleared,
            role=OperatorRole.OPERATOR,
        )

    async def _list(self, request: OperationRequest) -> Page[LockoutView]:
        return await page(
            await self._all(request), request, self._columns, lambda one: one, lasts=True
        )

    async def _clearMany(self, request: OperationRequest) -> Cleared:
        assertChooses(request, "subject=* chooses all lockouts")
        found = await chosen(await self._all(request), request, self._columns, lasts=True)
        return await self._cleared(found)

    async def _clear(self, request: OperationRequest) -> Cleared:
        kind, subject = request.names["kind"], request.names["subject"]
        found = await self._find(kind, subject)
        if found is None:
            raise notFound(f"lockout of the {kind} {subject}")
        return await self._cleared([found])

    async def _find(self, kind: str, subject: str) -> LockoutView | None:
        for one in self.current():
            if (one.kind, one.subject) == (kind, subject):
                return one
        store = self._gateway.store
        stored = None if store is None else await store.attempts(kind, subject)
        return self._storedView(stored) if stored and stored.until > self._now() else None

    def current(self) -> Iterator[LockoutView]:
        """
        Iterate over the lockouts of this gateway.
        """
        now = self._now()
        for kind, subject, failures, seconds in self._gateway.lockouts:
            yield LockoutView(kind, subject, failures, now + seconds, seconds, enforced=True)

    async def of(self, user: str) -> LockoutView | None:
        """
        Find the lockout of a user; None if there is none.

        @param user: the name of the account.
        """
        return await self._find("user", folded(user.encode(), domain=True))

    def _storedView(self, one: FailedAttempts) -> LockoutView:
        kind: Any = one.kind
        left = one.until - self._now()
        return LockoutView(kind, one.subject, one.failures, one.until, left, enforced=False)

    async def _all(self, request: OperationRequest) -> Iterator[LockoutView]:
        store, query = self._gateway.store, request.query
        asked = store is not None and not query.enforced
        return self._merged(await store.lockedOut(self._now()) if asked else ())

    def _merged(self, stored: Iterable[FailedAttempts]) -> Iterator[LockoutView]:
        """
        Iterate over the lockouts of this gateway, and then over those that only the store has.
        """
        known = set()
        for one in self.current():
            known.add((one.kind, one.subject))
            yield one
        for other in stored:
            if (other.kind, other.subject) not in known:
                yield self._storedView(other)

    async def _cleared(self, lockouts: list[LockoutView]) -> Cleared:
        for one in lockouts:
            self._gateway.lockouts.clear(one.kind, one.subject)
        if lockouts and self._gateway.store is not None:
            await self._gateway.store.forgetAttempts([(one.kind, one.subject) for one in lockouts])
        return Cleared([Subject(one.kind, one.subject) for one in lockouts])
