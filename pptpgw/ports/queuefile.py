"""
The file of a L{pptpgw.ports.queue.Queue}, an SQLite database.

The rules:

 - A damaged file is moved aside, and the entries that can be read are written to a new one. An
   entry whose checksum is wrong is dropped.
 - Only its owner can read the file, and one process at a time uses it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from zlib import crc32

from pptpgw.error import ConfigurationError
from pptpgw.log import Logger

NAME = "queue.sqlite"
"""
The name of the file in its folder.
"""

_PAGE_OCTETS = 4096
"""
The size of a page of the database, by which SQLite limits the size of the file.
"""

_NOT_DAMAGE = (
    *("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_IOERR", "SQLITE_NOMEM"),
    "SQLITE_PROTOCOL",
)
"""
Names of SQLite's errors, or their beginnings, that don't mean that the file is damaged.
"""

Entry = tuple[bytes, bytes]
"""
The key and the value of an entry.
"""

Changes = Mapping[int, Entry | None]
"""
Changes by the number of the entry: the entry to write, or None to remove it.
"""


class QueueFile:
    """
    The file of a queue. Its methods block; after L{open} only one thread calls them.
    """

    _log = Logger()

    def __init__(self, folder: Path, limit: int) -> None:
        """
        @param limit: the octets that the file may have.
        """
        self._folder = folder
        self._path = folder / NAME
        self._pages = limit // _PAGE_OCTETS
        self._database: sqlite3.Connection | None = None

    def open(self) -> tuple[dict[int, Entry], bool]:
        """
        Open the file, or make it.

        @return: the entries in it, by number, and whether they are in the file that is open now,
            or only in one that was moved aside.
        @raise ConfigurationError: the folder can't be used; the text says why.
        """
        found: dict[int, Entry] = {}
        try:
            self._make()
            try:
                self._read(self._connect(), found)
            except sqlite3.Error as error:
                self.close()
                name = getattr(error, "sqlite_errorname", "")
                if name.startswith("SQLITE_BUSY"):
                    raise ConfigurationError(
                        f"the spool {self._folder} is another gateway's"
                    ) from error
                if name.startswith(_NOT_DAMAGE):
                    raise OSError(0, str(error)) from error
                if name != "SQLITE_FULL":
                    self._moveAside(error, len(found))
                    # If the disk is full the first write connects again.
                    with suppress(sqlite3.Error):
                        self._connect()
                    return found, False
        except OSError as error:
            raise ConfigurationError(
                f"the spool {self._folder} can't be used: {error.strerror}"
            ) from error
        return found, True

    def write(self, changes: Changes) -> None:
        """
        Write all of C{changes}, or nothing.

        @raise sqlite3.Error: the disk doesn't take them.
        """
        database = self._database or self._connect()
        database.execute("BEGIN IMMEDIATE")
        try:
            database.executemany(
                "DELETE FROM entries WHERE number = ?",
                [(number,) for number, entry in changes.items() if entry is None],
            )
            database.executemany(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)",
                [
                    (number, *entry, _check(number, *entry))
                    for number, entry in changes.items()
                    if entry is not None
                ],
            )
            database.execute("COMMIT")
        except BaseException:
            database.rollback()
            raise

    def close(self) -> None:
        """
        Close the file, if it is open.
        """
        if self._database is not None:
            self._database.close()
            self._database = None

    def _make(self) -> None:
        self._folder.mkdir(0o700, exist_ok=True)
        if old := sum(1 for _ in self._folder.glob("*.spool")):
            self._log.warn(
                "{count} files in {folder} are those of an earlier version (*.spool), which this "
                "one doesn't read",
                count=old,
                folder=str(self._folder),
            )
        try:
            self._path.touch(0o600, exist_ok=False)
        except FileExistsError:
            # SQLite follows links.
            if not S_ISREG(self._path.lstat().st_mode):
                raise OSError(0, f"{NAME} isn't a file") from None

    def _connect(self) -> sqlite3.Connection:
        # Opened in the reactor's thread, and used by the queue's.
        self._database = database = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        database.text_factory = bytes
        for statement in (
            # The lock is kept until the file is closed, and no file for shared memory is needed.
            "PRAGMA locking_mode = EXCLUSIVE",
            f"PRAGMA page_size = {_PAGE_OCTETS}",
            "PRAGMA journal_mode = WAL",
            # Each transaction ends with an fsync.
            "PRAGMA synchronous = FULL",
            f"PRAGMA max_page_count = {self._pages}",
            "CREATE TABLE IF NOT EXISTS entries "
            "(number INTEGER PRIMARY KEY, key BLOB, value BLOB, crc INTEGER)",
        ):
            try:
                database.execute(statement)
            except sqlite3.Error:
                self.close()
                raise
        return database

    def _read(self, database: sqlite3.Connection, found: dict[int, Entry]) -> None:
        """
        Read all entries that are as they were written.

        @raise sqlite3.Error: the file is damaged.
        """
        changed = 0
        rows = database.execute("SELECT number, key, value, crc FROM entries ORDER BY number")
        for number, key, value, crc in rows:
            isWhole = isinstance(key, bytes) and isinstance(value, bytes)
            if isWhole and _check(number, key, value) == crc:
                found[number] = key, value
            else:
                changed += 1
        if changed:
            raise sqlite3.DatabaseError(f"{changed} entries aren't as they were written")
        (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if state != b"ok":
            raise sqlite3.DatabaseError(state.decode("utf-8", "replace"))

    def _moveAside(self, error: sqlite3.Error, count: int) -> None:
        """
        Move a damaged file aside, in the place of one that was moved before.
        """
        aside = f"{self._path}.damaged"
        self._path.replace(aside)
        # SQLite removes a write-ahead log that stands beside an empty file.
        self._path.touch(0o600)
        self._log.error(
            "the spool {folder} is damaged: {why}; the {count} entries that can be read are kept, "
            "and the file as {name}",
            folder=str(self._folder),
            why=error,
            count=count,
            name=aside,
        )


def _check(number: int, key: bytes, value: bytes) -> int:
    """
    Return a checksum of an entry. SQLite keeps none.
    """
    return crc32(b"%d %d %b%b" % (number, len(key), key, value))
