"""
Files that are only ever appended to, one after another in a folder: what a spool lies in.

The rules:

 - A thread of its own writes, with one fsync for all that came meanwhile: a slow disk doesn't hold
   up the reactor.
 - What a full or broken disk doesn't take is kept, in order, and tried again every
   L{RETRY_SECONDS}. Half of a write that failed is cut off again.
 - A file that is there at the start is read and never appended to: its end may be torn.
 - Only its owner can read a file, and only one process at a time has the folder.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from pptpgw.error import ConfigurationError
from pptpgw.log import Logger

RETRY_SECONDS = 5.0
"""
Seconds until what the disk didn't take is tried again.
"""

STOP_SECONDS = 10.0
"""
Seconds that the disk is given at the end.
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


class Writer:
    """
    What the thread does, on the files alone.

    @ivar jobs: what to do, in this order; None: nothing more.
    @ivar error: what went wrong last; None: nothing is owed to the disk but what is in C{jobs}.
    @ivar syncs: how often a file was forced to the disk.
    """

    def __init__(self, folder: Path, lock: int, write: Write) -> None:
        """
        @param lock: the descriptor of the folder.
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

    def __init__(self, folder: Path, write: Write = os.write) -> None:
        """
        @param write: L{os.write}.
        """
        self._folder = folder
        self._write = write
        self._lock = -1
        self._writer: Writer | None = None
        self._thread: Thread | None = None
        self._failing = False

    @property
    def isSafe(self) -> bool:
        """
        Whether the disk takes what is appended.
        """
        return self._writer is not None and self._writer.error is None

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
        self._writer = Writer(self._folder, self._lock, self._write)
        self._failing = False
        self._thread = Thread(target=self._writer.work, name="spool", daemon=True)
        self._thread.start()
        return found

    def append(self, number: int, octets: bytes) -> None:
        """
        Append to the file of this number; it comes into being by that.
        """
        self._ask((number, octets))

    def remove(self, number: int) -> None:
        """
        Remove the file of this number.
        """
        self._ask((number, None))

    def stop(self) -> None:
        """
        Write what is left and let the folder go; harmless the second time.
        """
        writer, thread = self._writer, self._thread
        if writer is not None and thread is not None:
            writer.jobs.put(None)
            thread.join(STOP_SECONDS)
            self._tell(writer)
        self._writer = self._thread = None
        self._release()

    def _ask(self, job: Job) -> None:
        if self._writer is not None:
            self._writer.jobs.put(job)
            self._tell(self._writer)

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

    def _tell(self, writer: Writer) -> None:
        """
        Tell of an error, and of its end, once.
        """
        error = writer.error
        if error is not None and not self._failing:
            self._log.error(
                "the spool {folder} can't be written, its records are in memory alone: {why}",
                folder=str(self._folder),
                why=error.strerror,
            )
        elif error is None and self._failing:
            self._log.info("the spool {folder} is written again", folder=str(self._folder))
        self._failing = error is not None
