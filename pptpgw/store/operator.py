"""
The tables of operators and of their tokens.
"""

from __future__ import annotations

import re
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from typing import Any

from pptpgw.store.database import Transaction
from pptpgw.store.error import NotAllowed, Taken, Unknown
from pptpgw.store.record import OperatorAccount, OperatorToken

_ACCOUNT = "operators.name, role, password, operators.created, changed, revision, disabled"
_TOKEN = "operator, operator_tokens.name, operator_tokens.created, used, expires"
_TOKEN_OCTETS = 32
_PREFIX = "pptpgw_"

NAME = "1 to 64 letters, digits and characters such as .-_@, no spaces or colons"
"""
What the name of an operator or of a token is, in words.
"""


def newToken() -> str:
    """
    Return a new token: 256 random bits in URL-safe characters, behind a prefix by which programs
    that search for secrets know it.
    """
    return _PREFIX + token_urlsafe(_TOKEN_OCTETS)


def digestOf(token: str) -> str:
    """
    Return the SHA-256 hash of a token, which is kept in its place.
    """
    return sha256(token.encode()).hexdigest()


def checkedName(name: str) -> str:
    """
    Return C{name} if an operator or a token can have it.

    @raise NotAllowed: none can.
    """
    if re.fullmatch(r"[^\s:\x00-\x1f]{1,64}", name) is None or not name.isprintable():
        raise NotAllowed(f"{name[:64]!a}: a name has {NAME}")
    return name


def find(transaction: Transaction, name: str) -> OperatorAccount | None:
    """
    Return the operator C{name}; None if there is none.
    """
    row = transaction.row(f"SELECT {_ACCOUNT} FROM operators WHERE name = ?", name)
    return None if row is None else _account(row)


def every(transaction: Transaction) -> list[OperatorAccount]:
    """
    Return all operators, ordered by name.
    """
    rows = transaction.rows(f"SELECT {_ACCOUNT} FROM operators ORDER BY name")
    return [_account(row) for row in rows]


def add(transaction: Transaction, name: str, role: str, password: str, now: float) -> None:
    """
    Insert an operator.

    @raise Taken: there is an operator of this name.
    """
    row = (checkedName(name), role, password, now, now, _revision())
    if not transaction.execute(
        "INSERT INTO operators VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING", *row
    ):
        raise Taken(f"there is an operator {name} already")


def change(
    transaction: Transaction,
    name: str,
    role: str | None,
    password: str | None,
    disabled: bool | None,
    now: float,
) -> None:
    """
    Change an operator; what is None isn't changed.

    @raise Unknown: there is no such operator.
    """
    changed = transaction.execute(
        "UPDATE operators SET role = COALESCE(?, role), password = COALESCE(?, password), "
        "disabled = COALESCE(?, disabled), changed = ?, revision = ? WHERE name = ?",
        role,
        password,
        None if disabled is None else int(disabled),
        now,
        _revision(),
        name,
    )
    _must(changed, f"operator {name}")


def remove(transaction: Transaction, name: str) -> None:
    """
    Remove an operator and all tokens of the operator.

    @raise Unknown: there is no such operator.
    """
    transaction.execute("DELETE FROM operator_tokens WHERE operator = ?", name)
    _must(transaction.execute("DELETE FROM operators WHERE name = ?", name), f"operator {name}")


def tokens(transaction: Transaction, operator: str) -> list[OperatorToken]:
    """
    Return the tokens of an operator, ordered by name.

    @raise Unknown: there is no such operator.
    """
    if find(transaction, operator) is None:
        raise Unknown(f"there is no operator {operator}")
    rows = transaction.rows(
        f"SELECT {_TOKEN} FROM operator_tokens WHERE operator = ? ORDER BY name", operator
    )
    return [OperatorToken(*row) for row in rows]


def addToken(
    transaction: Transaction,
    operator: str,
    name: str,
    digest: str,
    expires: float | None,
    now: float,
) -> None:
    """
    Insert a token.

    @raise Unknown: there is no such operator.
    @raise Taken: the operator has a token of this name.
    """
    if find(transaction, operator) is None:
        raise Unknown(f"there is no operator {operator}")
    row = (digest, operator, checkedName(name), now, None, expires)
    if not transaction.execute(
        "INSERT INTO operator_tokens VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", *row
    ):
        raise Taken(f"the operator {operator} has a token {name} already")


def removeToken(transaction: Transaction, operator: str, name: str) -> None:
    """
    Remove a token.

    @raise Unknown: there is no such token.
    """
    removed = transaction.execute(
        "DELETE FROM operator_tokens WHERE operator = ? AND name = ?", operator, name
    )
    _must(removed, f"token {name} of an operator {operator}")


def withToken(
    transaction: Transaction, digest: str, now: float
) -> tuple[OperatorAccount, OperatorToken] | None:
    """
    Return the token with the hash C{digest}, and its operator; None if there is none, or it has
    expired.
    """
    row = transaction.row(
        f"SELECT {_ACCOUNT}, {_TOKEN} FROM operator_tokens JOIN operators "
        "ON operators.name = operator_tokens.operator WHERE hash = ?",
        digest,
    )
    if row is None:
        return None
    account, token = _account(row[:7]), OperatorToken(*row[7:])
    return None if token.expired(now) else (account, token)


def used(transaction: Transaction, digest: str, now: float) -> None:
    """
    Note that a token was used.
    """
    transaction.execute("UPDATE operator_tokens SET used = ? WHERE hash = ?", now, digest)


def _account(row: tuple[Any, ...]) -> OperatorAccount:
    name, role, password, created, changed, revision, disabled = row
    return OperatorAccount(name, role, password, created, changed, revision, bool(disabled))


def _revision() -> str:
    return token_hex(16)


def _must(changed: int, what: str) -> None:
    if not changed:
        raise Unknown(f"there is no {what}")
