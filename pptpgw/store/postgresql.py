"""
PostgreSQL by psycopg, as a DB-API module whose connections don't wait for ever.

The server is told how long a statement may take. A server that hangs doesn't obey that: a
connection whose server is silent for L{SPARE_SECONDS} longer is closed, so that its thread is free.
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
# Any number that nothing else in the database locks.
ALONE: str | None = "SELECT pg_advisory_xact_lock(1886417008)"
# to_regclass could remember from before it had the lock that there was none.
EXISTS = "SELECT COUNT(*) FROM pg_class WHERE relname = ? AND pg_table_is_visible(oid)"

_SERVER_ENDS = "57P"
"""
The SQLSTATEs of a server that ends the connection.
"""


SPARE_SECONDS = 1.0
"""
Seconds to wait for the server beyond the time that a statement may take.
"""


class NoAnswer(psycopg.OperationalError):
    """
    The server hangs.
    """


class PostgreSQLConnection(psycopg.Connection[tuple[object, ...]]):
    """
    A connection that doesn't wait for ever.

    @ivar patience: seconds that the server may be silent; None for any time.
    """

    patience: float | None = None

    def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
        """
        See psycopg: run the generator C{gen}, which yields what it waits for on the socket, to its
        end.

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
    Whether C{url} can be shown to anybody.

    @raise ConfigurationError: there is a password in it.
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
    Whether C{connection} still leads to its database. It always does, as it fails otherwise.
    """
    return True


def isLost(error: BaseException) -> bool:
    """
    Whether the server closed the connection, so that another one may be of use.
    """
    if isinstance(error, NoAnswer) or not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_SERVER_ENDS)
