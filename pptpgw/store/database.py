"""
A SQL database: SQLite in a file, or PostgreSQL.

 - Both get the same statements, with question marks as placeholders, which are replaced where the
   driver uses others. All other differences are in L{pptpgw.store.sqlite} and
   L{pptpgw.store.postgresql}.
 - Every query runs in a thread of a pool (L{twisted.enterprise.adbapi}) as one transaction, and has
   a deadline. A query that is still waiting for a thread when its deadline passes, or when it is
   cancelled, is never begun.
 - A transaction that writes takes SQLite's one write lock first, so that nothing it has read
   changes before it commits.
 - When the server has closed a connection, a new one is made and the query is begun again, unless
   its commit had already been sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from twisted.enterprise import adbapi
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure

from pptpgw.clock import steady
from pptpgw.error import ConfigurationError
from pptpgw.log import Logger
from pptpgw.store.error import StoreError

T = TypeVar("T")

_log = Logger()

DEADLINE_SECONDS = 8.0
"""
The time that a query may take, including its wait for a thread and for locks.
"""

LOCK_SECONDS = 4.0
"""
The time that a query waits for locks, and for a connection.
"""

CLOSE_SECONDS = 6.0
"""
The time that closing waits for running queries: longer than a query may wait for a server or for
locks.
"""

MOST_QUERIES = 4096
"""
The number of queries that may wait; more fail at once.
"""

THREADS = 4


class Transaction:
    """
    The database as a query sees it, in the thread of the query.
    """

    def __init__(self, cursor: Any, placeholder: str) -> None:
        self._cursor = cursor
        self._placeholder = placeholder

    def execute(self, statement: str, *parameters: object) -> int:
        """
        Run a statement, and return how many rows it changed.
        """
        self._cursor.execute(statement.replace("?", self._placeholder), parameters)
        changed: int = self._cursor.rowcount
        return changed

    def executeMany(self, statement: str, every: Sequence[Sequence[object]]) -> None:
        """
        Run a statement with each of C{every} list of parameters.
        """
        if every:
            self._cursor.executemany(statement.replace("?", self._placeholder), every)

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """
        Run a statement, and return the rows of its result.
        """
        self.execute(statement, *parameters)
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def row(self, statement: str, *parameters: object) -> tuple[Any, ...] | None:
        """
        Run a statement, and return the first row of its result; None if there is none.
        """
        rows = self.rows(statement, *parameters)
        return rows[0] if rows else None


Work = Callable[[Transaction], T]


class _Connection(adbapi.Connection):
    """
    A connection that leaves the pool once it can't be used any more.
    """

    def rollback(self) -> None:
        """
        Undo what wasn't committed, and remove the connection from the pool if it is lost.
        """
        connection: Any = self._connection
        try:
            connection.rollback()
            lost = getattr(connection, "closed", False)
        except self._pool.dbapi.Error:
            lost = True
        if lost:
            self._pool.disconnect(connection)


class _Threads(adbapi.ConnectionPool):
    """
    The pool of threads, each with a connection of its own.
    """

    connectionFactory = _Connection
    _isClosing = False

    def __init__(self, *arguments: object, **named: object) -> None:
        base: Any = super()
        base.__init__(*arguments, **named)
        # Daemon threads, so that one that hangs (with a file on a network server) doesn't keep the
        # process from ending.
        threads: Any = self.threadpool
        threads.threadFactory = partial(Thread, daemon=True)

    def connect(self) -> Any:
        """
        Return the connection of this thread, and make it if there is none.

        @raise StoreError: the connection can't be made, or the pool is closed.
        """
        base: Any = super()
        if self._isClosing and base.threadID() not in self.connections:
            raise StoreError("the store is closed")
        connection = base.connect()
        if not self.dbapi.isCurrent(connection):
            base.disconnect(connection)
            connection = base.connect()
        return connection

    def finalClose(self) -> None:
        """
        Wait for the running queries and the end of the threads, for at most L{CLOSE_SECONDS}.
        """
        self._isClosing = True
        base: Any = super()
        closing = Thread(target=base.finalClose, name="store", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():
            _log.error(
                "a query still runs after {seconds:g} s; it is abandoned", seconds=CLOSE_SECONDS
            )


# adbapi has no type annotations.
_makePool: Any = _Threads


class _BeforeCommit(Exception):
    """
    The database failed before the commit, so the transaction has changed nothing.
    """


class Database:
    """
    A database, with the threads in which its queries run.

    @ivar url: the database's URL, which has no password in it and may be logged.
    """

    def __init__(
        self, reactor: Any, url: str, create: bool = False, deadline: float = DEADLINE_SECONDS
    ) -> None:
        """
        @param url: C{sqlite:PATH}, or C{postgresql://...} as libpq defines it.
        @param create: whether to make an SQLite file if there is none.
        @param deadline: the seconds that a query may take.
        @raise pptpgw.error.PPTPGWError: see L{locate}.
        """
        self.url = url
        self._reactor = steady(reactor)
        self._deadline = deadline
        self._waiting = 0
        self._closed = False
        module, where = locate(url, create)
        threads = {"cp_min": 1, "cp_max": THREADS, "cp_reactor": reactor}
        self._pool: Any = _makePool(module, *where, LOCK_SECONDS, **threads)
        self._driver: Any = self._pool.dbapi

    def read(self, work: Work[T]) -> Deferred[T]:
        """
        Run C{work}, which changes nothing, in a transaction.

        @return: fires with the result of C{work}; fails with L{StoreError}, or with the exception
            that C{work} raised.
        """
        return self._run(work, ())

    def write(self, work: Work[T]) -> Deferred[T]:
        """
        Run C{work} in a transaction. If it raises an exception, all its changes are undone.

        @return: as in L{read}.
        """
        return self._run(work, (self._driver.BEGIN,))

    def alone(self, work: Work[T]) -> Deferred[T]:
        """
        Run C{work} as L{write} does, while no other program can run C{alone} on this database.
        """
        return self._run(work, (self._driver.BEGIN, self._driver.ALONE))

    def hasTable(self, transaction: Transaction, name: str) -> bool:
        """
        Return whether the database has a table of this name.
        """
        found = transaction.row(self._driver.EXISTS, name)
        return found is not None and found[0] > 0

    def close(self) -> None:
        """
        Let the running queries finish, and close the connections. It does nothing when called
        again, or after the reactor has closed the pool on its own end.
        """
        if not self._closed:
            self._closed = True
            if not self._pool.threadpool.joined:
                self._pool.close()

    def _run(self, work: Work[T], first: tuple[str | None, ...]) -> Deferred[T]:
        if self._closed:
            return fail(StoreError(f"{self.url}: it is closed"))
        if self._waiting >= MOST_QUERIES:
            return fail(StoreError(f"{self.url}: {MOST_QUERIES} queries wait for it"))
        late = self._reactor.seconds() + self._deadline
        driver = self._driver
        wanted = True

        def query(cursor: Any) -> T:
            if not wanted or self._reactor.seconds() > late:
                raise StoreError(f"{self.url}: it had no time for a query")
            transaction = Transaction(cursor, driver.PLACEHOLDER)
            try:
                for statement in first:
                    if statement:
                        transaction.execute(statement)
                return work(transaction)
            except driver.Error as error:
                raise _BeforeCommit from error

        def attempt(left: int) -> Deferred[T]:
            attempted: Deferred[T] = self._pool.runInteraction(query)
            attempted.addErrback(failed, left)
            return attempted

        def failed(failure: Failure, left: int) -> Failure | Deferred[T]:
            nonlocal wanted
            error: BaseException | None = failure.value
            if isinstance(error, _BeforeCommit):
                error = error.__cause__
                if left and driver.isLost(error):
                    return attempt(left - 1)
            if isinstance(error, CancelledError):
                wanted = False
                raise StoreError(f"{self.url}: no answer within {self._deadline:g} s")
            if isinstance(error, driver.Error):
                raise StoreError(f"{self.url}: {_firstLine(error)}") from error
            return failure

        def over(result: T) -> T:
            self._waiting -= 1
            return result

        self._waiting += 1
        # A lost server takes the connection of every thread with it: try once more than there are.
        answer = attempt(THREADS)
        answer.addTimeout(self._deadline, self._reactor, lambda failure, _: failure)
        return answer.addBoth(over)


def locate(url: str, create: bool = False) -> tuple[str, tuple[object, ...]]:
    """
    Return the name of the driver module for the database at C{url}, and the arguments of the
    driver's connections.

    @param create: whether an SQLite file may be missing.
    @raise ConfigurationError: the URL has another form or contains a password, or the driver isn't
        installed.
    @raise StoreError: the SQLite file can't be used.
    """
    # The drivers are imported here: only the one that is used needs to be loaded.
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        from pptpgw.store import sqlite

        # Make the path absolute, as a daemon changes its working directory.
        path = Path(rest).absolute()
        if not create or path.exists():
            sqlite.check(path)
            sqlite.examine(path)
        return sqlite.__name__, (sqlite.File(path, create),)
    if scheme in ("postgresql", "postgres") and rest.startswith("//"):
        try:
            from pptpgw.store import postgresql
        except ImportError as error:
            raise ConfigurationError(
                f"{scheme}: needs psycopg: pip install 'pptpgw[postgresql]' ({error})"
            ) from error
        postgresql.check(url)
        return postgresql.__name__, (url,)
    raise ConfigurationError(
        f"{scheme}: as a store: must be sqlite:PATH or postgresql://HOST/DATABASE"
    )


def _firstLine(error: object) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
