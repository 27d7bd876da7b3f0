"""
The account store in a SQL database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.store import attempt, session, user
from pptpgw.store import operator as operatorTable
from pptpgw.store.attribute import encode
from pptpgw.store.database import Database, Transaction
from pptpgw.store.error import NotAllowed, StoreError
from pptpgw.store.interface import IStore
from pptpgw.store.record import (
    Account,
    Draft,
    FailedAttempts,
    OperatorAccount,
    OperatorToken,
    SessionRecord,
    SharedProfile,
    TunnelUsage,
    Usage,
)
from pptpgw.store.schema import upgrade
from pptpgw.store.vault import Vault

P = ParamSpec("P")
T = TypeVar("T")

USED_SECONDS = 60.0
"""
The seconds for which the time of a token's last use may be behind.
"""


@implementer(IStore)
class Store:
    """
    Users, profiles, operators, attempts, sessions and usage in one database, see L{IStore}.

    @ivar url: the database's URL, which may be logged.
    @ivar vault: the L{Vault} that encrypts recoverable passwords.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        key: str,
        create: bool = False,
        now: Callable[[], float] = time,
    ) -> None:
        """
        @param url: see L{Database}.
        @param key: the path of the file with the key, which only recoverable passwords need.
        @param create: whether to make an SQLite file and the key if they are missing.
        @param now: returns the time, in seconds since the epoch.
        @raise pptpgw.error.PPTPGWError: C{url} can't be used.
        """
        self.url = url
        self.vault = Vault(Path(key), create)
        self._now = now
        self._database = Database(reactor, url, create)
        self._isOpen = False
        self._waiting: list[Deferred[None]] = []

    def open(self) -> Deferred[None]:
        """
        See L{IStore.open}.
        """
        return self._whenOpen(lambda: succeed(None))

    def close(self) -> None:
        """
        See L{IStore.close}.
        """
        self._database.close()

    def account(self, name: str) -> Deferred[Account | None]:
        """
        See L{IStore.account}.
        """
        # A name that no user can have is looked up all the same, so that it takes as long as any
        # other.
        return self._read(user.find, name if user.possible(name) else "")

    def accounts(self) -> Deferred[list[Account]]:
        """
        See L{IStore.accounts}.
        """
        return self._read(user.every)

    def addAccount(
        self,
        name: str,
        password: bytes,
        *,
        recoverable: bool = False,
        shared: str = "",
        attributes: Mapping[str, str] = {},
        expires: float | None = None,
    ) -> Deferred[None]:
        """
        See L{IStore.addAccount}.
        """
        now = self._now()

        def add(transaction: Transaction) -> None:
            account = Account(
                _checked(name),
                _hash(password),
                self._sealed(name, password, recoverable),
                shared=shared,
                own=encode(attributes),
                created=now,
                passwordChanged=now,
                expires=expires,
            )
            user.add(transaction, account)

        return self._write(add)

    def changeAccount(
        self,
        name: str,
        *,
        disabled: bool | None = None,
        shared: str | None = None,
        attributes: Mapping[str, str | None] = {},
    ) -> Deferred[None]:
        """
        See L{IStore.changeAccount}.
        """
        return self._write(user.change, name, disabled, shared, attributes)

    def changePassword(
        self,
        name: str,
        password: bytes,
        *,
        recoverable: bool = False,
        expires: float | None = None,
    ) -> Deferred[None]:
        """
        See L{IStore.changePassword}.
        """
        now = self._now()

        def change(transaction: Transaction) -> None:
            sealed = self._sealed(name, password, recoverable)
            ntHash = _hash(password)
            user.changePassword(transaction, name, ntHash, sealed, now, expires)

        return self._write(change)

    def setPassword(self, name: str, ntHash: bytes, expires: float | None = None) -> Deferred[None]:
        """
        See L{IStore.setPassword}.
        """
        return self._write(user.changePassword, name, ntHash, "", self._now(), expires)

    def setExpiry(self, name: str, expires: float | None) -> Deferred[None]:
        """
        See L{IStore.setExpiry}.
        """
        return self._write(user.setExpiry, name, expires)

    def takeAccounts(
        self, drafts: Sequence[Draft], update: bool = False
    ) -> Deferred[tuple[int, int]]:
        """
        See L{IStore.takeAccounts}.
        """
        now = self._now()

        def take(transaction: Transaction) -> tuple[int, int]:
            for one in drafts:
                _checked(one.name)
            return user.take(transaction, drafts, update, now)

        return self._write(take)

    def removeAccount(self, name: str) -> Deferred[None]:
        """
        See L{IStore.removeAccount}.
        """
        return self._write(user.remove, name)

    def profiles(self) -> Deferred[list[SharedProfile]]:
        """
        See L{IStore.profiles}.
        """
        return self._read(user.everyProfile)

    def addProfile(self, name: str, attributes: Mapping[str, str]) -> Deferred[None]:
        """
        See L{IStore.addProfile}.
        """
        return self._write(
            lambda transaction: user.addProfile(transaction, _checked(name), attributes)
        )

    def changeProfile(self, name: str, attributes: Mapping[str, str | None]) -> Deferred[None]:
        """
        See L{IStore.changeProfile}.
        """
        return self._write(user.changeProfile, name, attributes)

    def removeProfile(self, name: str) -> Deferred[None]:
        """
        See L{IStore.removeProfile}.
        """
        return self._write(user.removeProfile, name)

    def operator(self, name: str) -> Deferred[OperatorAccount | None]:
        """
        See L{IStore.operator}.
        """
        return self._read(operatorTable.find, name if user.possible(name) else "")

    def operators(self) -> Deferred[list[OperatorAccount]]:
        """
        See L{IStore.operators}.
        """
        return self._read(operatorTable.every)

    def addOperator(self, name: str, role: str, password: str) -> Deferred[None]:
        """
        See L{IStore.addOperator}.
        """
        return self._write(operatorTable.add, name, role, password, self._now())

    def changeOperator(
        self,
        name: str,
        *,
        role: str | None = None,
        password: str | None = None,
        disabled: bool | None = None,
    ) -> Deferred[None]:
        """
        See L{IStore.changeOperator}.
        """
        return self._write(operatorTable.change, name, role, password, disabled, self._now())

    def removeOperator(self, name: str) -> Deferred[None]:
        """
        See L{IStore.removeOperator}.
        """
        return self._write(operatorTable.remove, name)

    def tokens(self, operator: str) -> Deferred[list[OperatorToken]]:
        """
        See L{IStore.tokens}.
        """
        return self._read(operatorTable.tokens, operator)

    def addToken(self, operator: str, name: str, expires: float | None = None) -> Deferred[str]:
        """
        See L{IStore.addToken}.
        """
        token = operatorTable.newToken()
        digest = operatorTable.digestOf(token)
        added: Deferred[Any] = self._write(
            operatorTable.addToken, operator, name, digest, expires, self._now()
        )
        return added.addCallback(lambda _: token)

    def removeToken(self, operator: str, name: str) -> Deferred[None]:
        """
        See L{IStore.removeToken}.
        """
        return self._write(operatorTable.removeToken, operator, name)

    def operatorWithToken(self, token: str) -> Deferred[OperatorAccount | None]:
        """
        See L{IStore.operatorWithToken}.
        """
        digest, now = operatorTable.digestOf(token), self._now()

        def known(
            found: tuple[OperatorAccount, OperatorToken] | None,
        ) -> OperatorAccount | Deferred[OperatorAccount | None] | None:
            if found is None:
                return None
            account, one = found
            if one.used is not None and now - one.used < USED_SECONDS:
                return account
            noted: Deferred[Any] = self._write(operatorTable.used, digest, now)
            # A full disk, for example, is no reason to refuse who wants to see that.
            noted.addErrback(lambda failure: failure.trap(StoreError))
            return noted.addCallback(lambda _: account)

        finding: Deferred[Any] = self._read(operatorTable.withToken, digest, now)
        return finding.addCallback(known)

    def attempts(self, kind: str, subject: str) -> Deferred[FailedAttempts | None]:
        """
        See L{IStore.attempts}.
        """
        return self._read(attempt.find, kind, subject)

    def lockedOut(self, now: float) -> Deferred[list[FailedAttempts]]:
        """
        See L{IStore.lockedOut}.
        """
        return self._read(attempt.lockedOut, now)

    def keepAttempts(self, attempts: FailedAttempts) -> Deferred[None]:
        """
        See L{IStore.keepAttempts}.
        """
        return self._write(attempt.keep, attempts)

    def forgetAttempts(self, subjects: Sequence[tuple[str, str]]) -> Deferred[None]:
        """
        See L{IStore.forgetAttempts}.
        """
        return self._write(attempt.forget, subjects)

    def sessionStarted(self, record: SessionRecord) -> Deferred[None]:
        """
        See L{IStore.sessionStarted}.
        """
        return self._write(session.put, record)

    def sessionChanged(self, record: SessionRecord) -> Deferred[None]:
        """
        See L{IStore.sessionChanged}.
        """
        return self._write(session.put, record)

    def sessionEnded(self, record: SessionRecord) -> Deferred[None]:
        """
        See L{IStore.sessionEnded}.
        """
        return self._write(session.put, record)

    def endSessions(self, gateway: str, cause: str, code: int) -> Deferred[Sequence[SessionRecord]]:
        """
        See L{IStore.endSessions}.
        """
        return self._write(session.end, gateway, cause, code)

    def sessions(
        self, user: str | None = None, limit: int = 100
    ) -> Deferred[Sequence[SessionRecord]]:
        """
        See L{IStore.sessions}.
        """
        return self._read(session.latest, user, limit)

    def forgetSessions(self, before: float) -> Deferred[int]:
        """
        See L{IStore.forgetSessions}.
        """
        return self._write(session.forget, before)

    def usage(self, user: str | None = None, since: float = 0.0) -> Deferred[list[Usage]]:
        """
        See L{IStore.usage}.
        """
        return self._read(session.usage, user, since)

    def usageByTunnel(
        self, user: str | None = None, since: float = 0.0
    ) -> Deferred[list[TunnelUsage]]:
        """
        See L{IStore.usageByTunnel}.
        """
        return self._read(session.usageByTunnel, user, since)

    def _sealed(self, name: str, password: bytes, recoverable: bool) -> str:
        return self.vault.seal(name, password) if recoverable else ""

    def _read(
        self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **named: P.kwargs
    ) -> Deferred[T]:
        return self._whenOpen(
            lambda: self._database.read(lambda transaction: work(transaction, *args, **named))
        )

    def _write(
        self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **named: P.kwargs
    ) -> Deferred[T]:
        return self._whenOpen(
            lambda: self._database.write(lambda transaction: work(transaction, *args, **named))
        )

    def _whenOpen(self, query: Callable[[], Deferred[T]]) -> Deferred[T]:
        """
        Run C{query} as soon as the database is open, and open it if this is the first query.
        """
        if self._isOpen:
            return query()
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            upgrade(self._database).addCallbacks(self._opened, self._notOpened)
        return waiting.addCallback(lambda _: query())

    def _opened(self, _: None) -> None:
        self._isOpen = True
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def _notOpened(self, failure: Failure) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.errback(failure)


def _hash(password: bytes) -> bytes:
    # Reading a store needs no hash, and commands that only read start sooner without this module.
    from pptpgw.ppp.mschap import ntPasswordHash

    return ntPasswordHash(password)


def _checked(name: str) -> str:
    if not user.possible(name):
        raise NotAllowed(
            f"{name[:64]!a}: a name has 1 to {user.LONGEST_NAME} characters, none of them NUL"
        )
    return name
