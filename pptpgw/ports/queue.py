"""
A queue of entries that wait until another system, such as a RADIUS server, has taken them.

The queue has a file in a folder (L{pptpgw.ports.queuefile}), so that entries survive the end of the
process. Without a folder it is in memory alone, and otherwise behaves the same.

The rules:

 - The reactor never waits for the disk. A thread writes. Each transaction has all changes that came
   during the transaction before, up to L{MOST_AT_ONCE}. An entry that is settled before the thread
   writes it is never written.
 - Changes are written in the order in which they came. L{Queue.isKept} is true of an entry once its
   transaction is on the disk (fsync).
 - Changes that a full or broken disk doesn't take wait in memory, and are tried again every
   L{RETRY_SECONDS}. The log says when this begins and ends. The queue's limit counts them too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IPreparable
from pptpgw.log import Logger
from pptpgw.ports.machine import lackingFolder
from pptpgw.ports.queuefile import Changes, Entry, QueueFile
from pptpgw.ports.worker import Worker
from pptpgw.timing.timer import cancelled

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


@implementer(IPreparable)
class Queue:
    """
    Entries by number, the oldest first.

    @ivar size: the octets of all entries.
    @ivar limit: the octets that all entries may have, and the file.
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
        self._file = QueueFile(Path(folder), limit) if folder else None
        self._key = key
        self._folder = folder
        self.limit = limit
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
        if self.size + size > self.limit:
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


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_OCTETS
