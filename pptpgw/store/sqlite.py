"""
SQLite, as a DB-API module whose files only their owner can read.

Files are in WAL mode, so that readers don't wait for a writer; a power failure may lose the last
commits, but breaks nothing.
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


def connect(path: Path, create: bool, seconds: float) -> sqlite3.Connection:
    """
    Open the database in a file.

    @param create: whether to make it, and its folder, where it isn't there.
    @param seconds: how long to wait for locks.
    @raise StoreError: it can't be used, see L{check}, or made.
    """
    try:
        if create and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
    except OSError as error:
        raise StoreError(f"{error.filename or path}: {error.strerror}") from error
    check(path)
    connection = sqlite3.connect(
        # One connection a thread, but the pool closes all of them in the reactor's.
        path,
        timeout=seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _useWAL(connection, seconds)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


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
