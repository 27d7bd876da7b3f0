"""
SQLite, as a DB-API module whose files only their owner can read.

Files are in WAL mode, so that readers don't wait for a writer. A power failure may lose the last
commits, but doesn't damage the file. A file that is removed or replaced while it is in use isn't
written to any more: the next query opens the file that is in its place, or fails.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

from pptpgw.config.secrecy import exposure, privately
from pptpgw.store.error import StoreError

apilevel = sqlite3.apilevel
threadsafety = sqlite3.threadsafety
Error = sqlite3.Error

PLACEHOLDER = "?"
BEGIN = "BEGIN IMMEDIATE"
ALONE: str | None = None
EXISTS = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?"

_BACKUP_PAGES = 1000
"""
The number of pages that a backup copies at a time, while writers wait.
"""


class File:
    """
    A database file, which each thread opens once.

    @ivar create: whether to make the file and its folder if they are missing at first.
    @ivar used: whether the file was opened before.
    """

    def __init__(self, path: Path, create: bool) -> None:
        self.path = path
        self.create = create
        self.used = False


class SQLiteConnection(sqlite3.Connection):
    """
    A connection that can tell whether its file was replaced.

    @ivar file: the L{File} that was opened.
    @ivar identity: the L{_identity} of the file when it was opened.
    """

    file: File
    identity: tuple[int, int] | None


def examine(path: Path) -> None:
    """
    Check the whole file for damage. A file that is locked isn't checked.

    @raise StoreError: it is damaged, or this user can't open it; the text says what to do.
    """
    try:
        with _mayOpen(path), closing(sqlite3.connect(path, timeout=0)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise StoreError(
            f"{path}: the store is damaged ({found.splitlines()[0]}): replace it by a backup, or "
            f"recover what is left with sqlite3 {path} .recover | sqlite3 NEWFILE"
        )


def check(path: Path) -> None:
    """
    Check that the database in a file can be used.

    @raise StoreError: the file is missing, or other users may read or write it.
    """
    try:
        fault = exposure(path, path.stat().st_mode)
    except FileNotFoundError as error:
        raise StoreError(f"{path}: there is no store; pptpgw user add makes one") from error
    except PermissionError as error:
        raise _denied(path) from error
    except OSError as error:
        raise StoreError(f"{error.filename or path}: {error.strerror}") from error
    if fault:
        raise StoreError(fault)


def connect(file: File, seconds: float) -> SQLiteConnection:
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
                f"{path.name}-shm too, then put a backup in its place"
            )
        if file.create and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
    except PermissionError as error:
        raise _denied(path) from error
    except OSError as error:
        raise StoreError(f"{error.filename or path}: {error.strerror}") from error
    check(path)
    identity = _identity(path)
    with _mayOpen(path):
        connection = sqlite3.connect(
            # Each thread has its connection, but the pool closes all of them in the reactor's
            # thread.
            path,
            timeout=seconds,
            isolation_level=None,
            check_same_thread=False,
            factory=SQLiteConnection,
        )
        try:
            _useWAL(connection, seconds)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error:
            connection.close()
            raise
    connection.file = file
    connection.identity = identity
    file.used = True
    return connection


def backup(path: Path, copy: Path, replace: bool = False) -> None:
    """
    Copy the database in a file, as it is at one moment, to another file, which only its owner can
    read and which is there only once it is complete.

    @param replace: whether a file at C{copy} is replaced.
    @raise StoreError: the database can't be used, see L{check}; or the copy can't be written.
    """
    check(path)
    try:
        with (
            privately(copy, replace) as growing,
            _mayOpen(path),
            closing(sqlite3.connect(path)) as source,
            closing(sqlite3.connect(growing)) as target,
        ):
            source.backup(target, pages=_BACKUP_PAGES)
    except OSError as error:
        raise StoreError(f"{error.filename or copy}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


@contextmanager
def glanced(path: Path, seconds: float) -> Iterator[sqlite3.Cursor]:
    """
    While this context lasts, give a cursor that only reads a database in a file, which isn't
    checked.

    @param seconds: how long to wait for locks.
    @raise sqlite3.Error: the database can't be read.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=seconds)) as connection:
        yield connection.cursor()


def isCurrent(connection: SQLiteConnection) -> bool:
    """
    Return whether the file of C{connection} is still in its place.
    """
    return _identity(connection.file.path) == connection.identity


def _identity(path: Path) -> tuple[int, int] | None:
    """
    Return the device and inode numbers of a file; None if there is no such file.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _useWAL(connection: sqlite3.Connection, seconds: float) -> None:
    """
    Put the file into WAL mode, in which it stays. SQLite doesn't wait for the lock that this needs,
    so this function does.
    """
    late = monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _isDenied(error) or monotonic() > late:
                raise
            sleep(0.01)
        else:
            return


def isLost(error: BaseException) -> bool:
    """
    Return False: SQLite has no server that could close the connection.
    """
    return False


@contextmanager
def _mayOpen(path: Path) -> Iterator[None]:
    """
    Turn those errors of SQLite into clear ones which mean that this user may not open the file,
    write to it or make files beside it.

    @raise StoreError: one of these errors happened; the text says what to do.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if _isDenied(error):
            raise _denied(path) from error
        raise


def _isDenied(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY"))


def _denied(path: Path) -> StoreError:
    return StoreError(
        f"{path}: this user can't open it, or can't make files beside it; it belongs to "
        f"{_owner(path)}, its folder to {_owner(path.parent)}. Give both to the user that the "
        f"gateway runs as (chown -R USER {path.parent}), and run pptpgw as that user too "
        "(runuser -u USER -- pptpgw ...)"
    )


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (OSError, KeyError):
        return "another user"
