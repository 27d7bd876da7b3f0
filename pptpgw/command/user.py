"""
The command C{pptpgw user}, which manages users.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from time import time
from typing import Any

import click

from pptpgw.command.aftermath import NOW, NOW_CHANGES, Aftermath, changed, ended
from pptpgw.command.attributes import WORDS, attributed, checked, summary
from pptpgw.command.completion import profileNames, userNames
from pptpgw.command.options import Accounts, listed, said, stored
from pptpgw.command.output import Column, Listing, Output, counted, moment, shown
from pptpgw.command.parsing import Group, command, one, refuse
from pptpgw.command.password import PasswordSource, sourced
from pptpgw.error import ConfigurationError
from pptpgw.store.attribute import ATTRIBUTES, decode, fields, present
from pptpgw.store.error import Taken, Unknown
from pptpgw.store.interface import IStore
from pptpgw.store.record import Account
from pptpgw.timing.stamp import stamp

_HERE = "pptpgw.command.user"

group = Group(
    "user",
    "Users: add, set, list, show, disable, enable, remove.",
    {
        "add": (f"{_HERE}:add", "Make a user."),
        "set": (f"{_HERE}:change", "Change a user's password, profile or attributes."),
        "list": (f"{_HERE}:every", "List the users."),
        "show": (f"{_HERE}:show", "Show one user."),
        "disable": (f"{_HERE}:disable", "Refuse a user from now on."),
        "enable": (f"{_HERE}:enable", "Let a user call again."),
        "remove": (f"{_HERE}:remove", "Remove a user."),
    },
)
"""
C{pptpgw user}: the group of commands on users.
"""

_PROFILE = click.option(
    "--profile",
    metavar="NAME",
    help='The profile to share; "" for none.',
    shell_complete=profileNames,
)
_EXPIRES = click.option(
    "--expires", metavar="WHEN", help="When the password expires: YYYY-MM-DD, now or never."
)
_existing = one("NAME", complete=userNames)


def _time(text: str | None) -> float | None:
    """
    Return when the password expires, in seconds since the epoch; None for never.

    @raise ConfigurationError: C{--expires} isn't a time.
    """
    if text in (None, "", "never"):
        return None
    if text == "now":
        return time()
    try:
        return datetime.strptime(text or "", "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise ConfigurationError(
            f"--expires {text}: must be a day YYYY-MM-DD, now or never"
        ) from error


@command("add", "Make a user.", WORDS)
@one("NAME")
@_PROFILE
@_EXPIRES
@attributed
@sourced
@said
@stored
async def add(
    accounts: Accounts,
    output: Output,
    source: PasswordSource,
    given: Mapping[str, str],
    name: str,
    profile: str | None,
    expires: str | None,
) -> None:
    """
    C{pptpgw user add NAME}: make a user. The store is made if it is missing.

    @raise Taken: there is one of this name.
    """
    attributes, until = present(checked(given, accounts.configuration)), _time(expires)
    with accounts.store(create=True) as store:
        if await store.account(name) is not None:
            raise Taken(f"there is a user {shown(name)} already")
        password = source.password(name)
        await store.addAccount(
            name,
            password,
            recoverable=source.recoverable,
            shared=profile or "",
            attributes=attributes,
            expires=until,
        )
    _done(output, name, "added", source.told(password))


@command("set", "Change a user's password, profile or attributes.", WORDS)
@_existing
@click.option("--password", is_flag=True, help="Ask for another password.")
@_PROFILE
@_EXPIRES
@attributed
@sourced
@NOW_CHANGES
@said
@stored
async def change(
    accounts: Accounts,
    output: Output,
    source: PasswordSource,
    given: Mapping[str, str],
    name: str,
    password: bool,
    profile: str | None,
    expires: str | None,
    now: bool,
) -> None:
    """
    C{pptpgw user set NAME}: change a user, or the user's password.

    @param now: whether current sessions change with the account, or end if the password changes.
    @raise Unknown: there is no such user.
    """
    another = password or source.generate or source.stdin
    if source.recoverable and not another:
        refuse(
            "--recoverable: needs a password, --password, --generate or --stdin: an NT hash "
            "gives none back"
        )
    attributes, until = checked(given, accounts.configuration), _time(expires)
    told = None
    with accounts.store() as store:
        await _find(store, name)
        await store.changeAccount(name, shared=profile, attributes=attributes)
        if another:
            new = source.password(name)
            told = source.told(new)
            await store.changePassword(name, new, recoverable=source.recoverable, expires=until)
        elif expires is not None:
            await store.setExpiry(name, until)
        allowed = (await _find(store, name)).profile
    # Of another profile every attribute may differ.
    options = set(ATTRIBUTES) if profile is not None else set(given)
    if another:
        after = await ended(accounts, name, now)
    else:
        after = await changed(accounts, name, now, options, allowed)
    _done(output, name, "changed", told, after)


@command("disable", "Refuse a user from now on.")
@_existing
@NOW
@said
@stored
async def disable(accounts: Accounts, output: Output, name: str, now: bool) -> None:
    """
    C{pptpgw user disable NAME}: refuse the user from now on.

    @param now: whether current sessions end too.
    @raise Unknown: there is no such user.
    """
    with accounts.store() as store:
        await store.changeAccount(name, disabled=True)
    _done(output, name, "disabled", after=await ended(accounts, name, now))


@command("enable", "Let a user call again.")
@_existing
@said
@stored
async def enable(accounts: Accounts, output: Output, name: str) -> None:
    """
    C{pptpgw user enable NAME}: let a disabled user call again.
    """
    with accounts.store() as store:
        await store.changeAccount(name, disabled=False)
    _done(output, name, "enabled")


@command("remove", "Remove a user.", "The records and sums of the user's sessions remain.")
@_existing
@NOW
@said
@stored
async def remove(accounts: Accounts, output: Output, name: str, now: bool) -> None:
    """
    C{pptpgw user remove NAME}: remove a user; the records of sessions remain.

    @param now: whether current sessions end too.
    @raise Unknown: there is no such user.
    """
    with accounts.store() as store:
        await store.removeAccount(name)
    _done(output, name, "removed", after=await ended(accounts, name, now))


def _state(account: Account) -> str:
    if account.disabled:
        return "disabled"
    return "password expired" if account.expired(time()) else "enabled"


def _colour(state: str) -> str:
    return "" if state == "enabled" else "red"


COLUMNS: tuple[Column[Account], ...] = (
    Column("name", lambda one: one.name),
    Column("state", _state, style=_colour),
    Column("profile", lambda one: one.shared or None),
    Column("attributes", lambda one: fields(one.attributes), lambda one: summary(one.attributes)),
    Column("created", lambda one: stamp(one.created), lambda one: moment(one.created), usual=False),
    Column(
        "password_changed",
        lambda one: stamp(one.passwordChanged),
        lambda one: moment(one.passwordChanged),
        usual=False,
    ),
    Column(
        "expires",
        lambda one: stamp(one.expires),
        lambda one: "never" if one.expires is None else moment(one.expires),
        usual=False,
    ),
    Column("recoverable", lambda one: bool(one.sealed), usual=False),
)
"""
The columns of C{pptpgw user list}.
"""


@command("list", "List the users.")
@listed(COLUMNS)
@stored
async def every(accounts: Accounts, listing: Listing[Account]) -> None:
    """
    C{pptpgw user list}: list all users.
    """
    with accounts.store() as store:
        found = await store.accounts()
    listing.list(found, "There are no users; pptpgw user add NAME makes one.")


@command("show", "Show one user.")
@_existing
@said
@stored
async def show(accounts: Accounts, output: Output, name: str) -> None:
    """
    C{pptpgw user show NAME}: show all that is stored of one user, and whether it is locked out.
    """
    with accounts.store() as store:
        account = await _find(store, name)
    # Commands that only read accounts start sooner without this module.
    from pptpgw.command.lockouts import lockoutOf

    lockout = await lockoutOf(accounts, account.name)
    inherited = fields(decode(account.inherited))
    known = {one.name: one.value(account) for one in COLUMNS}
    until = None if lockout is None else stamp(lockout["until"])
    output.show(_rows(account, lockout), **known, inherited=inherited, locked_out_until=until)


def _rows(account: Account, lockout: Mapping[str, Any] | None) -> dict[str, str]:
    inherited, own = decode(account.inherited), account.attributes
    return {
        "user": shown(account.name),
        "state": _state(account),
        "locked out": "no" if lockout is None else _lockedOut(lockout),
        "password": "can be had back" if account.sealed else "NT hash alone",
        "set": moment(account.passwordChanged),
        "expires": "never" if account.expires is None else moment(account.expires),
        "made": moment(account.created),
        "profile": shown(account.shared) if account.shared else "-",
    } | {
        f"--{name}": shown(text) + ("" if name in own else f"  (of {account.shared})")
        for name, text in sorted({**inherited, **own}.items())
    }


def _lockedOut(lockout: Mapping[str, Any]) -> str:
    failures = counted(lockout["failures"], "failure", "failures")
    return f"until {moment(lockout['until'])}, after {failures}"


async def _find(store: IStore, name: str) -> Account:
    account: Account | None = await store.account(name)
    if account is None:
        raise Unknown(f"there is no user {shown(name)}")
    return account


def _done(
    output: Output,
    name: str,
    what: str,
    password: str | None = None,
    after: Aftermath | None = None,
) -> None:
    """
    Print what was done to a user, a password that was generated, and what becomes of sessions.

    @raise Unreachable: nothing could be done about the sessions, though it was asked for.
    """
    lines, fields = [f"User {shown(name)} is {what}."], dict[str, object](user=name, done=what)
    if password is not None:
        lines.append(f"The password: {password}")
        fields["password"] = password
    if after is not None:
        lines += [after.words] if after.words else []
        fields["sessions"] = after.sessions
    output.say("\n".join(lines), **fields)
    if after is not None and after.fault is not None:
        raise after.fault
