"""
Files that are only ever appended to, one after another in a folder: the storage of a spool.

The rules:

 - A thread writes, with one fsync for all pieces that came meanwhile, so that a slow disk doesn't
   block the reactor.
 - Pieces that a full or broken disk doesn't take are kept, in order, and tried again every
   L{RETRY_SECONDS}. The first part of a write that failed is cut off again.
 - Up to L{LIMIT} pieces wait for a disk that takes nothing. Those beyond are left out of the files;
   the log says how many they are. The spool still has them in memory: only a crash loses records,
   or sends records again whose answers weren't written.
 - A file that is there at the start is read and never appended to: its end may be torn.
 - Files can be read by their owner only, and one process at a time uses the folder.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from pptpgw.error import ConfigurationError
from pptpgw.log import Logger
from pptpgw.ports.worker import until

RETRY_SECONDS = 5.0
"""
Seconds until what the disk didn't take is tried again.
"""

LIMIT = 131072
"""
The most pieces that wait for the disk.
"""

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OWNER_ONLY = 0o600
_OWNER_ENTERS = 0o700

Job = tuple[int, bytes | None]
"""
The number of a file and what to append to it; None: remove it.
"""

Write = Callable[[int, bytes], int]


class SegmentWriter:
    """
    What the thread does, on the files alone.

    @ivar jobs: what to do, in this order; None: nothing more.
    @ivar error: what went wrong last; None: nothing is owed to the disk but what is in C{jobs}.
    @ivar syncs: how often a file was forced to the disk.
    """

    def __init__(self, folder: Path, lock: int, write: Write) -> None:
        """
        @param lock: the descriptor of the folder; it is closed after the last job.
        """
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.error: OSError | None = None
        self.syncs = 0
        self._folder = folder
        self._lock = lock
        self._write = write
        self._owed: list[Job] = []
        self._number = -1
        self._descriptor = -1
        self._size = 0

    def work(self) -> None:
        """
        Do what is asked for until nothing more will be.
        """
        more = True
        while more:
            more = self._collect()
            try:
                self._settle()
                self.error = None
            except OSError as error:
                self.error = error
        self._leave()
        os.close(self._lock)

    @property
    def waiting(self) -> int:
        """
        The number of jobs that aren't done yet.
        """
        return self.jobs.qsize() + len(self._owed)

    def _collect(self) -> bool:
        """
        Wait for jobs, or for the time to try again, and take all there are.
        """
        try:
            job = self.jobs.get(timeout=RETRY_SECONDS if self._owed else None)
            while job is not None:
                self._owed.append(job)
                job = self.jobs.get_nowait()
        except Empty:
            return True
        return False

    def _settle(self) -> None:
        """
        Do what is owed; what fails stays owed, with all behind it.
        """
        while self._owed:
            number, octets = self._owed[0]
            if octets is None:
                if number == self._number:
                    self._leave()
                self._path(number).unlink(missing_ok=True)
                del self._owed[0]
                continue
            if number != self._number:
                self._enter(number)
            together = [octets]
            for other, more in self._owed[1:]:
                if other != number or more is None:
                    break
                together.append(more)
            self._append(b"".join(together))
            del self._owed[: len(together)]

    def _append(self, octets: bytes) -> None:
        try:
            written = 0
            while written < len(octets):
                written += self._write(self._descriptor, octets[written:])
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(octets)
        self.syncs += 1

    def _enter(self, number: int) -> None:
        self._leave()
        self._descriptor = os.open(self._path(number), _APPEND, _OWNER_ONLY)
        self._number = number
        self._size = os.fstat(self._descriptor).st_size
        os.fsync(self._lock)

    def _leave(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._number = self._descriptor = -1

    def _path(self, number: int) -> Path:
        return segmentPath(self._folder, number)


def segmentPath(folder: Path, number: int) -> Path:
    """
    Where the file of this number is.
    """
    return folder / f"{number:012}.spool"


class Segments:
    """
    The files of one folder, by number.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, folder: Path, write: Write = os.write, limit: int = LIMIT
    ) -> None:
        """
        @param write: L{os.write}.
        @param limit: L{LIMIT}.
        """
        self._clock = clock
        self._limit = limit
        self._missing = 0
        self._folder = folder
        self._write = write
        self._lock = -1
        self._writer: SegmentWriter | None = None
        self._thread: Thread | None = None
        self._failing = False

    @property
    def isSafe(self) -> bool:
        """
        Whether everything that was appended is, or soon will be, on the disk.
        """
        return self._writer is not None and self._writer.error is None and not self._missing

    def start(self) -> list[tuple[int, bytes]]:
        """
        Take the folder, which is made where there is none.

        @return: the numbers and the contents of the files that are there, the oldest first.
        @raise ConfigurationError: it can't be used; the text says why.
        """
        try:
            self._folder.mkdir(_OWNER_ENTERS, exist_ok=True)
            self._lock = os.open(self._folder, _FOLDER)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError(0, "it isn't writable")
            found = self._read()
        except BlockingIOError as error:
            self._release()
            raise ConfigurationError(f"the spool {self._folder} is another gateway's") from error
        except OSError as error:
            self._release()
            raise ConfigurationError(
                f"the spool {self._folder} can't be used: {error.strerror}"
            ) from error
        self._writer = SegmentWriter(self._folder, self._lock, self._write)
        self._lock = -1
        self._failing = False
        self._missing = 0
        self._thread = Thread(target=self._writer.work, name="spool", daemon=True)
        self._thread.start()
        return found

    def append(self, number: int, octets: bytes) -> None:
        """
        Append to the file of this number; it comes into being by that.
        """
        writer = self._writer
        if writer is None:
            return
        if writer.waiting < self._limit:
            writer.jobs.put((number, octets))
        else:
            self._missing += 1
        self._tell(writer)

    def remove(self, number: int) -> None:
        """
        Remove the file of this number.
        """
        if self._writer is not None:
            self._writer.jobs.put((number, None))
            self._tell(self._writer)

    def stop(self) -> Deferred[None]:
        """
        Write what is left and release the folder. Calling this again does nothing.

        @return: fires when that is done.
        """
        writer, thread = self._writer, self._thread
        self._writer = self._thread = None
        if writer is None or thread is None:
            return succeed(None)
        writer.jobs.put(None)
        ended = until(self._clock, lambda: not thread.is_alive())
        return ended.addCallback(lambda _: self._tell(writer))

    def _read(self) -> list[tuple[int, bytes]]:
        numbers = [
            int(match[1])
            for path in self._folder.iterdir()
            if (match := re.fullmatch(r"(\d{12})\.spool", path.name, re.ASCII))
        ]
        return [
            (number, segmentPath(self._folder, number).read_bytes()) for number in sorted(numbers)
        ]

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def _tell(self, writer: SegmentWriter) -> None:
        """
        Tell of an error, and of its end, once.
        """
        error = writer.error
        full = self._missing > 0 and writer.waiting > 0
        if (error is not None or full) and not self._failing:
            self._log.error(
                "the spool {folder} can't be written, its records are in memory alone: {why}",
                folder=str(self._folder),
                why=error.strerror if error is not None else "the disk doesn't answer",
            )
        elif error is None and not full and self._failing:
            self._log.info(
                "the spool {folder} is written again; {count} pieces aren't in its files",
                folder=str(self._folder),
                count=self._missing,
            )
            self._missing = 0
        self._failing = error is not None or full
