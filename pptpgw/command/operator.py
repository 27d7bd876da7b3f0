"""
The command C{pptpgw operator}, which manages operators: who may see and steer gateways over the
network.
"""

from __future__ import annotations

from time import time

import click

from pptpgw.command.completion import operatorNames
from pptpgw.command.options import Accounts, listed, said, stored
from pptpgw.command.output import Column, Listing, Output, moment, shown
from pptpgw.command.parsing import Group, command, exclusive, one, refuse
from pptpgw.command.password import PasswordSource, passworded
from pptpgw.command.quantity import seconds
from pptpgw.management.operation import OperatorRole
from pptpgw.store.error import Taken, Unknown
from pptpgw.store.interface import IStore
from pptpgw.store.operator import checkedName
from pptpgw.store.password import hashPassword
from pptpgw.store.record import OperatorAccount, OperatorToken
from pptpgw.timing.stamp import stamp

_HERE = "pptpgw.command.operator"

group = Group(
    "operator",
    "Operators who log in: add, set, list, disable, enable, remove, token.",
    {
        "add": (f"{_HERE}:add", "Make an operator."),
        "set": (f"{_HERE}:change", "Change an operator's role or password."),
        "list": (f"{_HERE}:every", "List the operators."),
        "disable": (f"{_HERE}:disable", "Refuse an operator from now on."),
        "enable": (f"{_HERE}:enable", "Let a disabled operator log in again."),
        "remove": (f"{_HERE}:remove", "Remove an operator, with all tokens."),
        "token": (f"{_HERE}:tokens", "Tokens by which programs log in: add, list, remove."),
    },
)
"""
C{pptpgw operator}: the group of commands on operators.
"""

tokens = Group(
    "token",
    "Tokens by which programs log in: add, list, remove.",
    {
        "add": (f"{_HERE}:addToken", "Make a token, and print it once."),
        "list": (f"{_HERE}:everyToken", "List an operator's tokens."),
        "remove": (f"{_HERE}:removeToken", "Remove a token."),
    },
)
"""
C{pptpgw operator token}: the group of commands on tokens.
"""

_ROLES = [role.name.lower() for role in OperatorRole if role is not OperatorRole.NOBODY]
_WORDS = (
    "A viewer sees everything but control frames as they pass; an operator also ends and changes "
    "sessions, and clears lockouts; an admin may do everything. A gateway that runs knows at once."
)
_existing = one("NAME", complete=operatorNames)
_NO_PASSWORD = click.option(
    "--no-password", is_flag=True, help="No password: log in by tokens only."
)
_TOKEN = click.option(
    "--name",
    "token",
    metavar="WORD",
    required=True,
    help="What the token is for, in a word: its name.",
)


@command("add", "Make an operator.", _WORDS)
@one("NAME")
@click.option(
    "--role", type=click.Choice(_ROLES), default=_ROLES[0], show_default=True, help="The role."
)
@_NO_PASSWORD
@passworded
@said
@stored
async def add(
    accounts: Accounts,
    output: Output,
    source: PasswordSource,
    name: str,
    role: str,
    no_password: bool,
) -> None:
    """
    C{pptpgw operator add NAME}: make an operator. The store is made if it is missing.

    @raise Taken: there is one of this name.
    """
    exclusive(no_password=no_password, generate=source.generate, stdin=source.stdin)
    checkedName(name)
    told = None
    with accounts.store(create=True) as store:
        if await store.operator(name) is not None:
            raise Taken(f"there is an operator {shown(name)} already")
        hashed = ""
        if not no_password:
            password = source.password(name)
            hashed, told = hashPassword(password), source.told(password)
        await store.addOperator(name, role, hashed)
    _done(output, name, "added", told)


@command("set", "Change an operator's role or password.", _WORDS)
@_existing
@click.option("--role", type=click.Choice(_ROLES), help="Another role.")
@click.option("--password", is_flag=True, help="Ask for another password.")
@_NO_PASSWORD
@passworded
@said
@stored
async def change(
    accounts: Accounts,
    output: Output,
    source: PasswordSource,
    name: str,
    role: str | None,
    password: bool,
    no_password: bool,
) -> None:
    """
    C{pptpgw operator set NAME}: change an operator, which ends the operator's sessions of the
    console.
    """
    exclusive(
        password=password,
        no_password=no_password,
        generate=source.generate,
        stdin=source.stdin,
    )
    another = password or source.generate or source.stdin
    if role is None and not another and not no_password:
        refuse("nothing is to be changed: --role, --password, --generate, --stdin or --no-password")
    hashed, told = "" if no_password else None, None
    with accounts.store() as store:
        await _find(store, name)
        if another:
            new = source.password(name)
            hashed, told = hashPassword(new), source.told(new)
        await store.changeOperator(name, role=role, password=hashed)
    _done(output, name, "changed", told)


COLUMNS: tuple[Column[OperatorAccount], ...] = (
    Column("name", lambda one: one.name),
    Column("role", lambda one: one.role),
    Column("disabled", lambda one: one.disabled, lambda one: "yes" if one.disabled else "no"),
    Column("password", lambda one: bool(one.password), lambda one: "yes" if one.password else "no"),
    Column("created", lambda one: stamp(one.created), lambda one: moment(one.created)),
    Column("changed", lambda one: stamp(one.changed), lambda one: moment(one.changed), usual=False),
)
"""
The columns of C{pptpgw operator list}.
"""


@command("list", "List the operators.")
@listed(COLUMNS)
@stored
async def every(accounts: Accounts, listing: Listing[OperatorAccount]) -> None:
    """
    C{pptpgw operator list}: list all operators.
    """
    with accounts.store() as store:
        found = await store.operators()
    listing.list(found, "There are no operators; pptpgw operator add NAME makes one.")


@command(
    "disable",
    "Refuse an operator from now on.",
    "That holds for the password and for all tokens. The sessions of the console end.",
)
@_existing
@said
@stored
async def disable(accounts: Accounts, output: Output, name: str) -> None:
    """
    C{pptpgw operator disable NAME}: refuse the operator from now on.
    """
    with accounts.store() as store:
        await store.changeOperator(name, disabled=True)
    _done(output, name, "disabled")


@command("enable", "Let a disabled operator log in again.")
@_existing
@said
@stored
async def enable(accounts: Accounts, output: Output, name: str) -> None:
    """
    C{pptpgw operator enable NAME}: let a disabled operator log in again.
    """
    with accounts.store() as store:
        await store.changeOperator(name, disabled=False)
    _done(output, name, "enabled")


@command("remove", "Remove an operator, with all tokens.", "The sessions of the console end.")
@_existing
@said
@stored
async def remove(accounts: Accounts, output: Output, name: str) -> None:
    """
    C{pptpgw operator remove NAME}: remove an operator, with all tokens.

    @raise Unknown: there is none of this name.
    """
    with accounts.store() as store:
        await store.removeOperator(name)
    _done(output, name, "removed")


@command("add", "Make a token, and print it once.", "The token has the role of its operator.")
@_existing
@_TOKEN
@click.option("--lasts", metavar="TIME", help="How long it can be used: 12h, 90d. By default ever.")
@said
@stored
async def addToken(
    accounts: Accounts, output: Output, name: str, token: str, lasts: str | None
) -> None:
    """
    C{pptpgw operator token add NAME}: make a token, and print it: the store has only its hash.

    @param token: the name of the token.
    @param lasts: how long it can be used, as L{pptpgw.command.quantity.seconds} reads it; None: for
        ever.
    @raise Taken: the operator has a token of this name.
    @raise Unknown: there is no such operator.
    """
    expires = None if lasts is None else time() + seconds(lasts)
    with accounts.store() as store:
        made = await store.addToken(name, token, expires)
    output.say(
        f"Operator {shown(name)} has the token {token}, which isn't shown again:\n{made}",
        operator=name,
        name=token,
        token=made,
        expires=stamp(expires),
    )


TOKEN_COLUMNS: tuple[Column[OperatorToken], ...] = (
    Column("name", lambda one: one.name),
    Column("created", lambda one: stamp(one.created), lambda one: moment(one.created)),
    Column("used", lambda one: stamp(one.used), lambda one: _when(one.used)),
    Column("expires", lambda one: stamp(one.expires), lambda one: _when(one.expires)),
)
"""
The columns of C{pptpgw operator token list}.
"""


@command("list", "List an operator's tokens.")
@_existing
@listed(TOKEN_COLUMNS)
@stored
async def everyToken(accounts: Accounts, listing: Listing[OperatorToken], name: str) -> None:
    """
    C{pptpgw operator token list NAME}: list the tokens of an operator.
    """
    with accounts.store() as store:
        found = await store.tokens(name)
    listing.list(found, f"{shown(name)} has no tokens.")


@command("remove", "Remove a token.")
@_existing
@_TOKEN
@said
@stored
async def removeToken(accounts: Accounts, output: Output, name: str, token: str) -> None:
    """
    C{pptpgw operator token remove NAME}: remove a token.

    @raise Unknown: the operator, or the token, isn't there.
    """
    with accounts.store() as store:
        await store.removeToken(name, token)
    output.say(
        f"The token {shown(token)} of operator {shown(name)} is removed.",
        operator=name,
        name=token,
        done="removed",
    )


def _when(time: float | None) -> str:
    return "never" if time is None else moment(time)


async def _find(store: IStore, name: str) -> OperatorAccount:
    account: OperatorAccount | None = await store.operator(name)
    if account is None:
        raise Unknown(f"there is no operator {shown(name)}")
    return account


def _done(output: Output, name: str, what: str, password: str | None = None) -> None:
    """
    Print what was done to an operator.

    @param what: the participle, such as C{added}.
    @param password: the password that was generated; None if there is none to be told.
    """
    told = {} if password is None else {"password": password}
    text = f"Operator {shown(name)} is {what}."
    if password is not None:
        text += f"\nThe password: {password}"
    output.say(text, operator=name, done=what, **told)
