"""
PostgreSQL through psycopg, as a DB-API module whose connections don't wait forever.

The server is told how long a statement may take. A server that hangs doesn't obey that, so a
connection is closed if its server is silent for L{SPARE_SECONDS} longer; its thread is then free.
"""

from __future__ import annotations

from selectors import PollSelector
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

from pptpgw.error import ConfigurationError

apilevel = psycopg.apilevel
threadsafety = psycopg.threadsafety
Error = psycopg.Error

PLACEHOLDER = "%s"
BEGIN: str | None = None
# An arbitrary number that nothing else in the database locks.
ALONE: str | None = "SELECT pg_advisory_xact_lock(1886417008)"
# to_regclass isn't used: it could remember that the table was missing before this transaction had
# the lock.
EXISTS = "SELECT COUNT(*) FROM pg_class WHERE relname = ? AND pg_table_is_visible(oid)"

_SERVER_ENDS = "57P"
"""
The beginning of the SQLSTATEs with which a server ends a connection.
"""


SPARE_SECONDS = 1.0
"""
Seconds to wait for the server beyond the time that a statement may take.
"""


class NoAnswer(psycopg.OperationalError):
    """
    The server hangs, and the connection to it was closed.
    """


class PostgreSQLConnection(psycopg.Connection[tuple[object, ...]]):
    """
    A connection that doesn't wait forever.

    @ivar patience: seconds that the server may be silent; None for any time.
    """

    patience: float | None = None

    def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
        """
        See psycopg: run the generator C{gen} to its end, waiting on the socket for what it yields.

        @raise NoAnswer: the server was silent for too long; the connection is closed.
        """
        try:
            wanted = next(gen)
            with PollSelector() as selector:
                key = selector.register(self.pgconn.socket, wanted)
                while True:
                    ready = selector.select(self.patience)
                    if not ready:
                        self.close()
                        raise NoAnswer(f"the server is silent for {self.patience:g} s")
                    wanted = gen.send(ready[0][1])
                    selector.modify(key.fd, wanted)
        except StopIteration as end:
            return end.value


def check(url: str) -> None:
    """
    Check that C{url} may be logged.

    @raise ConfigurationError: it contains a password.
    """
    parts = urlsplit(url)
    if parts.password is not None or "password" in parse_qs(parts.query):
        raise ConfigurationError(
            "a password in the URL of a store would be seen by others: keep it in a file of mode "
            "600, and say ?passfile=PATH (libpq's password file)"
        )


def connect(url: str, seconds: float) -> PostgreSQLConnection:
    """
    Connect to the database at C{url}.

    @param seconds: how long to wait for the connection, and for locks.
    """
    connection = PostgreSQLConnection.connect(
        url,
        connect_timeout=round(seconds),
        tcp_user_timeout=round(seconds * 1000),
        fallback_application_name="pptpgw",
    )
    connection.patience = seconds + SPARE_SECONDS
    try:
        for limit in ("lock_timeout", "statement_timeout"):
            connection.execute(f"SET {limit} = {round(seconds * 1000)}")
        connection.commit()
    except psycopg.Error:
        connection.close()
        raise
    return connection


def isCurrent(connection: PostgreSQLConnection) -> bool:
    """
    Return whether C{connection} still leads to its database. Always True: a connection that doesn't
    fails in its next query.
    """
    return True


def isLost(error: BaseException) -> bool:
    """
    Return whether C{error} says that the server closed the connection, so that a new connection may
    succeed.
    """
    if isinstance(error, NoAnswer) or not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_SERVER_ENDS)
