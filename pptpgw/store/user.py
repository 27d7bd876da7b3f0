"""
The tables of users and of the profiles that they share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pptpgw.store.attribute import decode, encode
from pptpgw.store.database import Transaction
from pptpgw.store.error import InUse, Taken, Unknown
from pptpgw.store.record import Account, Draft, SharedProfile

_ACCOUNT = """
    SELECT users.name, nt_hash, sealed, disabled, COALESCE(profile, ''), users.attributes,
        COALESCE(profiles.attributes, '{}'), created, password_changed, expires
    FROM users LEFT JOIN profiles ON profiles.name = users.profile
"""

_INSERT = "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

_NOBODY = ("", "00" * 16, "", 0, "", "{}", "{}", 0.0, 0.0, None)

LONGEST_NAME = 255
"""
The number of characters in the name of a user or profile.
"""


def possible(name: str) -> bool:
    """
    Return whether a user or a profile can have this name.
    """
    return 0 < len(name) <= LONGEST_NAME and "\0" not in name


def find(transaction: Transaction, name: str) -> Account | None:
    """
    Return the user C{name}; None if there is none.
    """
    row = transaction.row(f"{_ACCOUNT} WHERE users.name = ?", name)
    # Do the same work for an unknown user, so that it takes as long as for a known one.
    account = _account(row or _NOBODY)
    return None if row is None else account


def every(transaction: Transaction) -> list[Account]:
    """
    Return all users, ordered by name.
    """
    return [_account(row) for row in transaction.rows(f"{_ACCOUNT} ORDER BY users.name")]


def names(transaction: Transaction, table: str, beginning: str, most: int) -> list[str]:
    """
    Return the first C{most} names that begin with C{beginning}, in C{users}, C{profiles} or
    C{operators}.
    """
    rows = transaction.rows(
        f"SELECT name FROM {table} WHERE name >= ? AND SUBSTR(name, 1, ?) = ? "
        "ORDER BY name LIMIT ?",
        beginning,
        len(beginning),
        beginning,
        most,
    )
    return [name for (name,) in rows]


def _account(row: tuple[Any, ...]) -> Account:
    name, ntHash, sealed, disabled, *others = row
    return Account(name, bytes.fromhex(ntHash), sealed, bool(disabled), *others)


def add(transaction: Transaction, account: Account) -> None:
    """
    Insert a user.

    @raise Taken: there is a user of this name.
    @raise Unknown: there is no such profile to share.
    """
    _mustExist(transaction, account.shared)
    if not transaction.execute(f"{_INSERT} ON CONFLICT DO NOTHING", *_row(account)):
        raise Taken(f"there is a user {account.name} already")


def _row(account: Account) -> tuple[object, ...]:
    return (
        account.name,
        account.ntHash.hex(),
        account.sealed,
        int(account.disabled),
        account.shared or None,
        account.own,
        account.created,
        account.passwordChanged,
        account.expires,
    )


def take(
    transaction: Transaction, drafts: Sequence[Draft], update: bool, now: float
) -> tuple[int, int]:
    """
    Insert users, and change those that exist.

    @return: the numbers of users that were inserted and changed.
    @raise Taken: a user exists, and C{update} is false.
    @raise Unknown: there is no such profile to share.
    """
    for profile in {one.shared for one in drafts if one.shared}:
        _mustExist(transaction, profile)
    existing = {account.name: account for account in every(transaction)}
    made: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    for one in drafts:
        before = existing.get(one.name)
        if before is not None and not update:
            raise Taken(f"there is a user {one.name} already")
        start = before or Account(one.name, b"", created=now)
        account = replace(
            start,
            ntHash=one.ntHash,
            sealed=one.sealed,
            disabled=start.disabled if one.disabled is None else one.disabled,
            shared=start.shared if one.shared is None else one.shared,
            own=encode({**start.attributes, **one.attributes}),
            passwordChanged=now,
            expires=one.expires,
        )
        (made if before is None else changed).append(_row(account))
    transaction.executeMany(_INSERT, made)
    transaction.executeMany(
        "UPDATE users SET nt_hash = ?, sealed = ?, disabled = ?, profile = ?, attributes = ?, "
        "created = ?, password_changed = ?, expires = ? WHERE name = ?",
        [(*row[1:], row[0]) for row in changed],
    )
    return len(made), len(changed)


def change(
    transaction: Transaction,
    name: str,
    disabled: bool | None,
    shared: str | None,
    attributes: Mapping[str, str | None],
) -> None:
    """
    Change a user; arguments that are None change nothing.

    @raise Unknown: there is no such user, or no such profile to share.
    """
    # An update that changes nothing takes the row's lock: other writers wait from here on.
    _must(transaction.execute("UPDATE users SET name = name WHERE name = ?", name), name)
    if disabled is not None:
        transaction.execute("UPDATE users SET disabled = ? WHERE name = ?", int(disabled), name)
    if shared is not None:
        _mustExist(transaction, shared)
        transaction.execute("UPDATE users SET profile = ? WHERE name = ?", shared or None, name)
    if attributes:
        _merge(transaction, "users", name, attributes)


def changePassword(
    transaction: Transaction,
    name: str,
    ntHash: bytes,
    sealed: str,
    now: float,
    expires: float | None,
) -> None:
    """
    Replace the password of a user.

    @raise Unknown: there is no such user.
    """
    changed = transaction.execute(
        "UPDATE users SET nt_hash = ?, sealed = ?, password_changed = ?, expires = ? "
        "WHERE name = ?",
        ntHash.hex(),
        sealed,
        now,
        expires,
        name,
    )
    _must(changed, name)


def setExpiry(transaction: Transaction, name: str, expires: float | None) -> None:
    """
    Set when the password of a user expires.

    @raise Unknown: there is no such user.
    """
    _must(transaction.execute("UPDATE users SET expires = ? WHERE name = ?", expires, name), name)


def remove(transaction: Transaction, name: str) -> None:
    """
    Remove a user.

    @raise Unknown: there is no such user.
    """
    _must(transaction.execute("DELETE FROM users WHERE name = ?", name), name)


def everyProfile(transaction: Transaction) -> list[SharedProfile]:
    """
    Return all profiles, ordered by name.
    """
    rows = transaction.rows(
        "SELECT profiles.name, profiles.attributes, COUNT(users.name) FROM profiles "
        "LEFT JOIN users ON users.profile = profiles.name "
        "GROUP BY profiles.name, profiles.attributes ORDER BY profiles.name"
    )
    return [SharedProfile(name, decode(text), users) for name, text, users in rows]


def addProfile(transaction: Transaction, name: str, attributes: Mapping[str, str]) -> None:
    """
    Insert a profile.

    @raise Taken: there is a profile of this name.
    """
    if not transaction.execute(
        "INSERT INTO profiles VALUES (?, ?) ON CONFLICT DO NOTHING", name, encode(attributes)
    ):
        raise Taken(f"there is a profile {name} already")


def changeProfile(
    transaction: Transaction, name: str, attributes: Mapping[str, str | None]
) -> None:
    """
    Change attributes of a profile; None removes one.

    @raise Unknown: there is no such profile.
    """
    if not transaction.execute("UPDATE profiles SET name = name WHERE name = ?", name):
        raise _noProfile(name)
    _merge(transaction, "profiles", name, attributes)


def removeProfile(transaction: Transaction, name: str) -> None:
    """
    Remove a profile.

    @raise Unknown: there is no such profile.
    @raise InUse: users share it.
    """
    users = transaction.row("SELECT COUNT(*) FROM users WHERE profile = ?", name)
    if users is not None and users[0]:
        raise InUse(f"{users[0]} users share the profile {name}")
    if not transaction.execute("DELETE FROM profiles WHERE name = ?", name):
        raise _noProfile(name)


def _merge(
    transaction: Transaction, table: str, name: str, attributes: Mapping[str, str | None]
) -> None:
    row = transaction.row(f"SELECT attributes FROM {table} WHERE name = ?", name)
    assert row is not None
    merged: dict[str, str | None] = {**decode(row[0]), **attributes}
    text = encode({option: text for option, text in merged.items() if text is not None})
    transaction.execute(f"UPDATE {table} SET attributes = ? WHERE name = ?", text, name)


def _must(changed: int, name: str) -> None:
    if not changed:
        raise Unknown(f"there is no user {name}")


def _mustExist(transaction: Transaction, profile: str) -> None:
    if profile and not transaction.rows("SELECT 1 FROM profiles WHERE name = ?", profile):
        raise _noProfile(profile)


def _noProfile(name: str) -> Unknown:
    return Unknown(f"there is no profile {name}")
