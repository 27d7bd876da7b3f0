"""
A queue of entries that wait until another system, such as a RADIUS server, has taken them.

The queue is an SQLite file in a folder, so that entries survive the end of the process. Without a
folder it is in memory alone, and otherwise behaves the same.

The rules:

 - The reactor never waits for the disk. A thread writes. Each transaction has all changes that came
   during the transaction before, up to L{MOST_AT_ONCE}. An entry that is settled before the thread
   writes it is never written.
 - Changes are written in the order in which they came. L{Queue.isKept} is true of an entry once its
   transaction is on the disk (fsync).
 - Changes that a full or broken disk doesn't take wait in memory, and are tried again every
   L{RETRY_SECONDS}. The log says when this begins and ends. The queue's limit counts them too.
 - A damaged file is moved aside, and the entries that can be read are written to a new one. An
   entry whose checksum is wrong is dropped.
 - Only its owner can read the file, and one process at a time uses it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IPreparable
from pptpgw.log import Logger
from pptpgw.ports.machine import lackingFolder
from pptpgw.ports.worker import Worker
from pptpgw.timing.timer import cancelled

NAME = "queue.sqlite"
"""
The name of the file in its folder.
"""

MOST_AT_ONCE = 1000
"""
The most changes in one transaction.
"""

RETRY_SECONDS = 5.0
"""
Seconds until changes that the disk didn't take are tried again, and until a disk that doesn't
answer is reported.
"""

ENTRY_OCTETS = 64
"""
Octets that an entry counts for, besides its key and its value.
"""

_PAGE_OCTETS = 4096

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


@implementer(IPreparable)
class Queue:
    """
    Entries by number, the oldest first.

    @ivar size: the octets of all entries.
    """

    _log = Logger()

    def __init__(self, reactor: Any, key: str, folder: str, limit: int) -> None:
        """
        @param reactor: has timers, and is called from the thread.
        @param key: the key of the configuration that names the folder.
        @param folder: the path of the folder for the file, which is made if it is missing; empty:
            the entries are in memory alone.
        @param limit: the octets that all entries may have, and the file.
        """
        self.size = 0
        self._reactor = reactor
        self._file = _File(Path(folder), limit) if folder else None
        self._key = key
        self._folder = folder
        self._limit = limit
        self._number = 0
        self._sizes: dict[int, int] = {}
        # The changes that aren't on the disk, oldest first, and those that the thread is writing.
        self._owed: dict[int, Entry | None] = {}
        self._writing: Changes = {}
        # The thread; None: nothing is written.
        self._worker: Worker | None = None
        # When to try again, or to say that the disk doesn't answer.
        self._timer: IDelayedCall | None = None
        self._failing = False
        self._written: Callable[[], object] = lambda: None
        self._stopped: Deferred[None] | None = None

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        if self._folder and (fault := lackingFolder(self._folder)):
            yield f"{self._key} = {fault}"

    @property
    def isDurable(self) -> bool:
        """
        Whether entries survive the end of the process, as far as the disk takes them.
        """
        return self._file is not None

    def start(self, written: Callable[[], object] = lambda: None) -> dict[int, Entry]:
        """
        Read the entries that an earlier run left. This blocks while the file is read.

        @param written: called each time when a transaction is on the disk.
        @return: the entries that were not settled, by number, oldest first.
        @raise ConfigurationError: the folder can't be used; the text says why.
        """
        if self._worker is not None:
            raise ConfigurationError(f"the spool {self._folder} isn't closed yet")
        found, kept = self._file.open() if self._file is not None else ({}, True)
        self._sizes = {number: _size(*entry) for number, entry in found.items()}
        self.size = sum(self._sizes.values())
        self._number = max(found, default=0)
        self._owed = {} if kept else {**found}
        self._written = written
        self._failing = False
        if self._file is not None:
            # The last job may not have returned when the next is put.
            self._worker = Worker("queue", 2)
            self._begin()
        return found

    def put(self, key: bytes, value: bytes) -> int | None:
        """
        Add an entry.

        @return: its number, which is higher than that of every entry before; None: there is no
            room.
        """
        size = _size(key, value)
        if self.size + size > self._limit:
            return None
        self._number += 1
        self._sizes[self._number] = size
        self.size += size
        if self._worker is not None:
            self._owed[self._number] = key, value
            self._begin()
        return self._number

    def settle(self, number: int) -> None:
        """
        Remove the entry C{number}, which another system has taken.
        """
        self.size -= self._sizes.pop(number)
        if self._worker is None:
            return
        if self._owed.pop(number, None) is None or number in self._writing:
            self._owed[number] = None
            self._begin()

    def isKept(self, number: int) -> bool:
        """
        Return whether the entry C{number}, which isn't settled, is on the disk.
        """
        return self._worker is not None and number not in self._owed

    @property
    def waiting(self) -> int:
        """
        The number of changes that aren't on the disk.
        """
        return len(self._owed)

    def stop(self) -> Deferred[None]:
        """
        Write what is left, if the disk takes it, and close the file. Calling this again does
        nothing.

        @return: fires when that is done; cancelling it ends the waiting.
        """
        if self._worker is None or self._stopped is not None:
            return succeed(None)
        stopped: Deferred[None] = Deferred(lambda _: self._cancel())
        self._stopped = stopped
        if not self._writing:
            self._cancel()
            self._begin()
            if not self._writing:
                self._close(self._worker)
        return stopped

    def _begin(self) -> None:
        """
        Have the thread write the changes that aren't on the disk, unless the thread is writing or
        the disk has just failed.
        """
        if self._writing or self._timer is not None or not self._owed or self._worker is None:
            return
        changes = dict(islice(self._owed.items(), MOST_AT_ONCE))
        if self._worker.put(partial(self._write, changes)):
            why = "the disk doesn't answer"
            self._writing = changes
            self._timer = self._reactor.callLater(RETRY_SECONDS, self._tell, why)

    def _write(self, changes: Changes) -> None:
        """
        Write C{changes}, and report the result to the reactor. The thread calls this.
        """
        why = ""
        assert self._file is not None
        try:
            self._file.write(changes)
        except sqlite3.Error as error:
            why = str(error) or type(error).__name__
        self._reactor.callFromThread(self._landed, why)

    def _landed(self, why: str) -> None:
        """
        Note that the thread has written its changes, or failed to.

        @param why: why it failed; empty if it didn't.
        """
        written, self._writing = self._writing, {}
        self._cancel()
        self._tell(why)
        if why:
            self._timer = self._reactor.callLater(RETRY_SECONDS, self._again)
        else:
            for number, entry in written.items():
                if self._owed[number] is entry:
                    del self._owed[number]
            self._written()
            self._begin()
        if self._stopped is not None and self._worker is not None and not self._writing:
            self._close(self._worker)

    def _again(self) -> None:
        self._timer = None
        self._begin()

    def _close(self, worker: Worker) -> None:
        self._cancel()
        if self._owed:
            self._log.error(
                "the spool {folder} is closed without {count} changes that the disk didn't take",
                folder=self._folder,
                count=len(self._owed),
            )
        assert self._file is not None
        file = self._file

        def last() -> None:
            file.close()
            self._reactor.callFromThread(self._closed)

        worker.stop(last)

    def _closed(self) -> None:
        self._worker = None
        stopped, self._stopped = self._stopped, None
        if stopped is not None and not stopped.called:
            stopped.callback(None)

    def _cancel(self) -> None:
        self._timer = cancelled(self._timer)

    def _tell(self, why: str) -> None:
        """
        Log that the disk fails, and that it works again, each once.
        """
        if why and not self._failing:
            self._log.error(
                "the spool {folder} can't be written, what comes is in memory alone: {why}",
                folder=self._folder,
                why=why,
            )
        elif not why and self._failing:
            self._log.info("the spool {folder} is written again", folder=self._folder)
        self._failing = bool(why)


class _File:
    """
    The file of a queue. Its methods block; after L{open} only one thread calls them.
    """

    _log = Logger()

    def __init__(self, folder: Path, limit: int) -> None:
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


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_OCTETS


def _check(number: int, key: bytes, value: bytes) -> int:
    """
    Return a checksum of an entry. SQLite keeps none.
    """
    return crc32(b"%d %d %b%b" % (number, len(key), key, value))
