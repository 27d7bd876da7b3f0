"""
The table of failed attempts to log in.
"""

from __future__ import annotations

from dataclasses import astuple

from pptpgw.store.database import Transaction
from pptpgw.store.record import Attempts

MOST_SUBJECTS = 65536
"""
How many subjects are kept at most, since strangers can name any number of users.
"""

_COLUMNS = "kind, subject, failures, last, until"
_KEEP = f"""
    INSERT INTO attempts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (kind, subject) DO UPDATE SET
        failures = excluded.failures, last = excluded.last, until = excluded.until
"""


def find(transaction: Transaction, kind: str, subject: str) -> Attempts | None:
    """
    What is known of a subject.
    """
    row = transaction.row(
        f"SELECT {_COLUMNS} FROM attempts WHERE kind = ? AND subject = ?", kind, _clean(subject)
    )
    return None if row is None else Attempts(*row)


def lockedOut(transaction: Transaction, now: float) -> list[Attempts]:
    """
    Those who are locked out, by name.
    """
    rows = transaction.rows(
        f"SELECT {_COLUMNS} FROM attempts WHERE until > ? ORDER BY kind, subject", now
    )
    return [Attempts(*row) for row in rows]


def keep(transaction: Transaction, attempts: Attempts) -> None:
    """
    Put C{attempts} in the place of what was known; the oldest go where there are more
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


def forget(transaction: Transaction, kind: str, subject: str) -> None:
    """
    Let the subject begin anew.
    """
    transaction.execute(
        "DELETE FROM attempts WHERE kind = ? AND subject = ?", kind, _clean(subject)
    )


def _clean(subject: str) -> str:
    """
    A name from the network, as a database takes it.
    """
    return subject.replace("\0", "\ufffd")[:255]
