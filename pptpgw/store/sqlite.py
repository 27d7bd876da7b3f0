"""
SQLite, as a DB-API module whose files only their owner can read.

Files are in WAL mode, so that readers don't wait for a writer; a power failure may lose the last
commits, but breaks nothing. A file that is removed or replaced while it is in use isn't written to
any more: the next query opens what is there instead, or fails.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from stat import S_IMODE
from time import monotonic, sleep

from pptpgw.store.error import StoreError

apilevel = sqlite3.apilevel
threadsafety = sqlite3.threadsafety
Error = sqlite3.Error

PLACEHOLDER = "?"
BEGIN = "BEGIN IMMEDIATE"
ALONE: str | None = None
EXISTS = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?"


class File:
    """
    A file that is opened once for each thread.

    @ivar create: whether to make it, and its folder, where it isn't there at first.
    @ivar used: whether it was opened before.
    """

    def __init__(self, path: Path, create: bool) -> None:
        self.path = path
        self.create = create
        self.used = False


class Connection(sqlite3.Connection):
    """
    One that knows its file again.

    @ivar file: the L{File} that it is for.
    @ivar identity: which file that was, as L{_identity} has it.
    """

    file: File
    identity: tuple[int, int] | None


def examine(path: Path) -> None:
    """
    Look through the whole file for damage. One that is locked, or can't be opened, is left to
    L{connect}.

    @raise StoreError: it is damaged; the text says what to do.
    """
    connection = sqlite3.connect(path, timeout=0)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return
    except sqlite3.DatabaseError as error:
        found = str(error)
    finally:
        connection.close()
    if found != "ok":
        raise StoreError(
            f"{path}: the store is damaged ({found.splitlines()[0]}): put a copy of it in its "
            f"place, or what can be saved of it by sqlite3 {path} .recover | sqlite3 NEWFILE"
        )


def check(path: Path) -> None:
    """
    Whether the database in a file can be used.

    @raise StoreError: it isn't there, or others may read or write it.
    """
    try:
        mode = S_IMODE(path.stat().st_mode)
    except FileNotFoundError as error:
        raise StoreError(f"{path}: there is no store; pptpgw user add makes one") from error
    except OSError as error:
        raise StoreError(f"{error.filename or path}: {error.strerror}") from error
    if mode & 0o077:
        raise StoreError(f"{path}: others than its owner may read or write it; chmod 600 {path}")


def connect(file: File, seconds: float) -> Connection:
    """
    Open the database in a file.

    @param seconds: how long to wait for locks.
    @raise StoreError: it can't be used, see L{check}, or made.
    """
    path = file.path
    try:
        if file.used and not path.exists():
            raise StoreError(
                f"{path}: the store was removed while it is in use; remove {path.name}-wal and "
                f"{path.name}-shm too, then put a copy of it in its place"
            )
        if file.create and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
    except OSError as error:
        raise StoreError(f"{error.filename or path}: {error.strerror}") from error
    check(path)
    identity = _identity(path)
    connection = sqlite3.connect(
        # One connection a thread, but the pool closes all of them in the reactor's.
        path,
        timeout=seconds,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )
    connection.file = file
    connection.identity = identity
    try:
        _useWAL(connection, seconds)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    file.used = True
    return connection


def isCurrent(connection: Connection) -> bool:
    """
    Whether the file of C{connection} is still in its place.
    """
    return _identity(connection.file.path) == connection.identity


def _identity(path: Path) -> tuple[int, int] | None:
    """
    The device of a file and its number there; None: there is none.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _useWAL(connection: sqlite3.Connection, seconds: float) -> None:
    """
    Put the file into WAL mode, which it keeps. For this lock SQLite doesn't wait by itself.
    """
    late = monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if monotonic() > late:
                raise
            sleep(0.01)
        else:
            return


def isLost(error: BaseException) -> bool:
    """
    Whether the server closed the connection: there is none.
    """
    return False
