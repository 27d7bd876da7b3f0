"""
The table of failed attempts to log in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from pptpgw.store.database import Transaction
from pptpgw.store.record import FailedAttempts

MOST_SUBJECTS = 65536
"""
The number of subjects that are kept. It is limited because anybody can send any number of user
names.
"""

_COLUMNS = "kind, subject, failures, last, until"
_KEEP = f"""
    INSERT INTO attempts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (kind, subject) DO UPDATE SET
        failures = excluded.failures, last = excluded.last, until = excluded.until
"""


def find(transaction: Transaction, kind: str, subject: str) -> FailedAttempts | None:
    """
    Return the failed attempts of a subject; None if there were none.
    """
    row = transaction.row(
        f"SELECT {_COLUMNS} FROM attempts WHERE kind = ? AND subject = ?", kind, _clean(subject)
    )
    return None if row is None else FailedAttempts(*row)


def lockedOut(transaction: Transaction, now: float) -> list[FailedAttempts]:
    """
    Return the attempts of those who are locked out at C{now}, ordered by kind and subject.
    """
    rows = transaction.rows(
        f"SELECT {_COLUMNS} FROM attempts WHERE until > ? ORDER BY kind, subject", now
    )
    return [FailedAttempts(*row) for row in rows]


def keep(transaction: Transaction, attempts: FailedAttempts) -> None:
    """
    Replace what was stored of the subject. The oldest subjects are removed where there are more
    than L{MOST_SUBJECTS}.
    """
    kind, subject, *others = astuple(attempts)
    transaction.execute(_KEEP, kind, _clean(subject), *others)
    row = transaction.row("SELECT COUNT(*) FROM attempts")
    assert row is not None
    if row[0] > MOST_SUBJECTS:
        transaction.execute(
            "DELETE FROM attempts WHERE last <= "
            "(SELECT last FROM attempts ORDER BY last LIMIT 1 OFFSET ?)",
            row[0] - MOST_SUBJECTS - 1,
        )


def forget(transaction: Transaction, subjects: Sequence[tuple[str, str]]) -> None:
    """
    Remove the failed attempts of subjects, each given by its kind and its name.
    """
    transaction.executeMany(
        "DELETE FROM attempts WHERE kind = ? AND subject = ?",
        [(kind, _clean(subject)) for kind, subject in subjects],
    )


def _clean(subject: str) -> str:
    """
    Return a name from the network in a form that the database can store: without NUL, and of at
    most 255 characters.
    """
    return subject.replace("\0", "\ufffd")[:255]
