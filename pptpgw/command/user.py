"""
The command C{pptpgw user}, which manages users.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from time import time

from twisted.python import usage

from pptpgw.command.base import (
    Attributed,
    BaseOptions,
    Command,
    Named,
    moment,
    present,
    shown,
    summary,
    table,
)
from pptpgw.command.password import Password
from pptpgw.error import ConfigurationError
from pptpgw.store.attribute import decode
from pptpgw.store.error import Taken, Unknown
from pptpgw.store.interface import IStore
from pptpgw.store.record import Account


class _Change(Attributed, Password):
    """
    The options that C{user add} and C{user set} have in common: attributes, and a password.
    """

    optParameters: Sequence[Sequence[object]] = [
        ["profile", None, None, 'The profile to share; "" for none.'],
        ["expires", None, None, "When the password expires: YYYY-MM-DD, now or never."],
    ]

    def postOptions(self) -> None:
        """
        See L{Command.postOptions} and L{Password.postOptions}.
        """
        Attributed.postOptions(self)
        Password.postOptions(self)

    @property
    def expires(self) -> float | None:
        """
        When the password expires, in seconds since the epoch; None for never.

        @raise ConfigurationError: C{--expires} isn't a time.
        """
        text = self["expires"] or "never"
        if text == "never":
            return None
        if text == "now":
            return time()
        try:
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
        except ValueError as error:
            raise ConfigurationError(
                f"--expires {text}: must be a day YYYY-MM-DD, now or never"
            ) from error


class AddUser(_Change):
    """
    C{pptpgw user add NAME}: make a user.
    """

    creates = True

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        attributes, expires = present(self.attributes), self.expires
        if await store.account(self.name) is not None:
            raise Taken(f"there is a user {shown(self.name)} already")
        password = self.password(self.name)
        await store.addAccount(
            self.name,
            password,
            recoverable=bool(self["recoverable"]),
            shared=self["profile"] or "",
            attributes=attributes,
            expires=expires,
        )
        print(f"User {shown(self.name)} is added.")
        self.announce(password)


class SetUser(_Change):
    """
    C{pptpgw user set NAME}: change a user, or the user's password.
    """

    optFlags: Sequence[Sequence[object]] = [["password", None, "Ask for another password."]]

    def postOptions(self) -> None:
        """
        See L{Command.postOptions}.
        """
        _Change.postOptions(self)
        if self["recoverable"] and not self._another:
            raise usage.UsageError(
                "--recoverable: needs a password, --password, --generate or --stdin: an NT hash "
                "gives none back"
            )

    @property
    def _another(self) -> bool:
        return bool(self["password"] or self["generate"] or self["stdin"])

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        attributes, expires = self.attributes, self.expires
        await _find(store, self.name)
        await store.changeAccount(self.name, shared=self["profile"], attributes=attributes)
        if self._another:
            password = self.password(self.name)
            recoverable = bool(self["recoverable"])
            await store.changePassword(
                self.name, password, recoverable=recoverable, expires=expires
            )
            self.announce(password)
        elif self["expires"] is not None:
            await store.setExpiry(self.name, expires)
        print(f"User {shown(self.name)} is changed.")


class Disable(Named):
    """
    C{pptpgw user disable NAME}: refuse the user from now on.
    """

    disabled = True

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        await store.changeAccount(self.name, disabled=self.disabled)
        print(f"User {shown(self.name)} is {'disabled' if self.disabled else 'enabled'}.")


class Enable(Disable):
    """
    C{pptpgw user enable NAME}: let a disabled user call again.
    """

    disabled = False


class RemoveUser(Named):
    """
    C{pptpgw user remove NAME}: remove a user.
    """

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        await store.removeAccount(self.name)
        print(f"User {shown(self.name)} is removed.")


class ListUsers(Command):
    """
    C{pptpgw user list}: list all users.
    """

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        accounts = await store.accounts()
        if not accounts:
            print("There are no users; pptpgw user add NAME makes one.")
            return
        now = time()
        print(
            table(
                (
                    shown(one.name),
                    _state(one, now),
                    shown(one.shared) if one.shared else "-",
                    summary(one.attributes),
                )
                for one in accounts
            )
        )


class Show(Named):
    """
    C{pptpgw user show NAME}: show all that is stored of one user.
    """

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        print(table(_rows(await _find(store, self.name))))


class UserCommands(BaseOptions):
    """
    C{pptpgw user}: the group of commands on users.
    """

    synopsis = "COMMAND"
    subCommands = [
        ["add", None, AddUser, "Make a user."],
        ["set", None, SetUser, "Change a user's password, profile or attributes."],
        ["list", None, ListUsers, "List the users."],
        ["show", None, Show, "Show one user."],
        ["disable", None, Disable, "Refuse a user from now on."],
        ["enable", None, Enable, "Let a user call again."],
        ["remove", None, RemoveUser, "Remove a user."],
    ]


async def _find(store: IStore, name: str) -> Account:
    account: Account | None = await store.account(name)
    if account is None:
        raise Unknown(f"there is no user {shown(name)}")
    return account


def _state(account: Account, now: float) -> str:
    if account.disabled:
        return "disabled"
    return "password expired" if account.expired(now) else "enabled"


def _rows(account: Account) -> Iterator[tuple[str, str]]:
    yield "user", shown(account.name)
    yield "state", _state(account, time())
    yield "password", "can be had back" if account.sealed else "NT hash alone"
    yield "set", moment(account.passwordChanged)
    yield "expires", "never" if account.expires is None else moment(account.expires)
    yield "made", moment(account.created)
    yield "profile", shown(account.shared) if account.shared else "-"
    inherited, own = decode(account.inherited), account.attributes
    for name, text in sorted({**inherited, **own}.items()):
        yield f"--{name}", shown(text) + ("" if name in own else f"  (of {account.shared})")
