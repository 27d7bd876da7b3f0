"""
PostgreSQL by psycopg, as a DB-API module whose connections don't wait for ever.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import psycopg

from pptpgw.error import ConfigurationError

apilevel = psycopg.apilevel
threadsafety = psycopg.threadsafety
Error = psycopg.Error

PLACEHOLDER = "%s"
BEGIN: str | None = None
# Any number that nothing else in the database locks.
ALONE: str | None = "SELECT pg_advisory_xact_lock(1886417008)"
# to_regclass could remember from before it had the lock that there was none.
EXISTS = "SELECT COUNT(*) FROM pg_class WHERE relname = ? AND pg_table_is_visible(oid)"

_SERVER_ENDS = "57P"
"""
The SQLSTATEs of a server that ends the connection.
"""


def check(url: str) -> None:
    """
    Whether C{url} can be shown to anybody.

    @raise ConfigurationError: there is a password in it.
    """
    parts = urlsplit(url)
    if parts.password is not None or "password" in parse_qs(parts.query):
        raise ConfigurationError(
            "a password in the URL of a store would be seen by others: keep it in a file of mode "
            "600, and say ?passfile=PATH (libpq's password file)"
        )


def connect(url: str, seconds: float) -> psycopg.Connection[tuple[object, ...]]:
    """
    Connect to the database at C{url}.

    @param seconds: how long to wait for the connection, and for locks.
    """
    connection = psycopg.connect(
        url,
        connect_timeout=round(seconds),
        tcp_user_timeout=round(seconds * 1000),
        fallback_application_name="pptpgw",
    )
    try:
        for limit in ("lock_timeout", "statement_timeout"):
            connection.execute(f"SET {limit} = {round(seconds * 1000)}")
        connection.commit()
    except psycopg.Error:
        connection.close()
        raise
    return connection


def isLost(error: BaseException) -> bool:
    """
    Whether the server closed the connection, or doesn't answer on it any more.
    """
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_SERVER_ENDS)
