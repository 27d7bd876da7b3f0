"""
The tables of the database, and the steps that convert those of earlier versions.

A database has a version number. A change of the tables is another step at the end of L{STEPS}; a
step that was released is never altered. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from pptpgw.store.database import Database, Transaction
from pptpgw.store.error import StoreError

_VERSION = "pptpgw_schema"

STEPS: Sequence[Sequence[str]] = (
    (
        """
        CREATE TABLE profiles (
            name TEXT PRIMARY KEY,
            attributes TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE users (
            name TEXT PRIMARY KEY,
            nt_hash TEXT NOT NULL,
            sealed TEXT NOT NULL,
            disabled INTEGER NOT NULL,
            profile TEXT REFERENCES profiles (name),
            attributes TEXT NOT NULL,
            created DOUBLE PRECISION NOT NULL,
            password_changed DOUBLE PRECISION NOT NULL,
            expires DOUBLE PRECISION
        )
        """,
        """
        CREATE TABLE attempts (
            kind TEXT NOT NULL,
            subject TEXT NOT NULL,
            failures INTEGER NOT NULL,
            last DOUBLE PRECISION NOT NULL,
            until DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (kind, subject)
        )
        """,
        "CREATE INDEX attempts_by_time ON attempts (last)",
        """
        CREATE TABLE sessions (
            identifier TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            gateway TEXT NOT NULL,
            caller TEXT NOT NULL,
            started DOUBLE PRECISION NOT NULL,
            changed DOUBLE PRECISION NOT NULL,
            authentication TEXT NOT NULL,
            encryption TEXT NOT NULL,
            addresses TEXT NOT NULL,
            octets_received BIGINT NOT NULL,
            octets_sent BIGINT NOT NULL,
            packets_received BIGINT NOT NULL,
            packets_sent BIGINT NOT NULL,
            ended DOUBLE PRECISION,
            cause TEXT NOT NULL,
            code INTEGER NOT NULL
        )
        """,
        "CREATE INDEX sessions_by_name ON sessions (name, started)",
        "CREATE INDEX sessions_by_end ON sessions (ended)",
        """
        CREATE TABLE usage (
            name TEXT NOT NULL,
            day TEXT NOT NULL,
            sessions BIGINT NOT NULL,
            seconds DOUBLE PRECISION NOT NULL,
            octets_received BIGINT NOT NULL,
            octets_sent BIGINT NOT NULL,
            PRIMARY KEY (name, day)
        )
        """,
    ),
    (
        """
        CREATE TABLE operators (
            name TEXT PRIMARY KEY,
            role TEXT NOT NULL,
            password TEXT NOT NULL,
            created DOUBLE PRECISION NOT NULL,
            changed DOUBLE PRECISION NOT NULL,
            revision TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE operator_tokens (
            hash TEXT PRIMARY KEY,
            operator TEXT NOT NULL REFERENCES operators (name) ON DELETE CASCADE,
            name TEXT NOT NULL,
            created DOUBLE PRECISION NOT NULL,
            used DOUBLE PRECISION,
            expires DOUBLE PRECISION,
            UNIQUE (operator, name)
        )
        """,
    ),
    ("ALTER TABLE operators ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0",),
    (
        # The tunnel of sessions before this step isn't known.
        "ALTER TABLE sessions ADD COLUMN tunnel TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE usage RENAME TO earlier_usage",
        """
        CREATE TABLE usage (
            name TEXT NOT NULL,
            day TEXT NOT NULL,
            tunnel TEXT NOT NULL,
            sessions BIGINT NOT NULL,
            seconds DOUBLE PRECISION NOT NULL,
            octets_received BIGINT NOT NULL,
            octets_sent BIGINT NOT NULL,
            PRIMARY KEY (name, day, tunnel)
        )
        """,
        """
        INSERT INTO usage (name, day, tunnel, sessions, seconds, octets_received, octets_sent)
        SELECT name, day, '', sessions, seconds, octets_received, octets_sent FROM earlier_usage
        """,
        "DROP TABLE earlier_usage",
    ),
)
"""
The statements of each step. Those of the first step make the tables of version 1 in an empty
database.
"""


def version(database: Database, known: int = len(STEPS)) -> Deferred[int]:
    """
    Find the version of the tables, without changing them.

    @param known: the latest version that is known.
    @return: fires with the version, 0 if there are no tables; fails with L{StoreError} if it is a
        later one than is known.
    """

    def look(transaction: Transaction) -> int:
        return _version(database, transaction, known)

    return database.read(look)


def _version(database: Database, transaction: Transaction, known: int) -> int:
    if not database.hasTable(transaction, _VERSION):
        return 0
    row = transaction.row(f"SELECT version FROM {_VERSION}")
    found: int = row[0] if row is not None else 0
    if found > known:
        raise StoreError(
            f"{database.url}: its tables are of version {found}, made by a later pptpgw; "
            f"this one knows {known}"
        )
    return found


def upgrade(database: Database, steps: Sequence[Sequence[str]] = STEPS) -> Deferred[None]:
    """
    Convert the tables to the form of this version.

    @return: fails with L{StoreError} if the tables are those of a later version.
    """

    def climb(transaction: Transaction) -> None:
        found = _version(database, transaction, len(steps))
        if found == 0:
            transaction.execute(f"CREATE TABLE {_VERSION} (version INTEGER NOT NULL)")
            transaction.execute(f"INSERT INTO {_VERSION} VALUES (0)")
        for step in steps[found:]:
            for statement in step:
                transaction.execute(statement)
        transaction.execute(f"UPDATE {_VERSION} SET version = ?", len(steps))

    def compare(found: int) -> Deferred[None] | None:
        return database.alone(climb) if found < len(steps) else None

    # Usually the tables are up to date. Finding that out needs no lock and no right to make tables.
    return version(database, len(steps)).addCallback(compare)
