"""
A file to which lines are appended, and which other programs such as logrotate may move away.

The rules:

 - A line is written whole, by one system call at the end of the file. After a line that was cut
   short, because the disk was full, the next begins on a line of its own.
 - Before each line the path is checked: if it no longer leads to the open file, a new file is
   opened. If that fails the old file is written to, and an error is logged.
 - Only the owner can read a file that is made here. A path that exists must be a regular file that
   not everybody can read.
 - An error of writing is logged once until writing works again, then with the number of lines lost.
 - L{QueuedLines} writes by a thread, so that a disk that hangs doesn't block the reactor. At most
   L{LIMIT} lines wait for it. When there is no room for a line, it and all lines after it are lost
   until those that wait are written; then their number is logged.
"""

from __future__ import annotations

import os
import stat
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from pptpgw.error import ConfigurationError
from pptpgw.log import Logger
from pptpgw.ports.worker import OWNER_ONLY, Worker, Write

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

LIMIT = 32768
"""
The most lines that wait for the disk.
"""


def lastLines(path: str, octets: int) -> list[str]:
    """
    Return the complete lines in the last C{octets} of the file at C{path}; none if it can't be
    read.
    """
    try:
        with open(path, "rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - octets)
            file.seek(start)
            lines = file.read(octets).decode("utf-8", "backslashreplace").split("\n")
    except OSError:
        return []
    return lines[1 if start else 0 :]


class LineFile:
    """
    The file at C{path}, to which lines are appended; L{open} opens it.
    """

    _log = Logger()

    def __init__(self, path: str, write: Write = os.write) -> None:
        self._path = path
        self._write = write
        self._descriptor = -1
        # The device and the inode number of the open file.
        self._identity = (-1, -1)
        self._cut = False
        self._lost = 0
        self._movedInVain = False

    def open(self) -> None:
        """
        Open the file, if it isn't open.

        @raise ConfigurationError: it can't be; the text says why.
        """
        if self._descriptor < 0:
            try:
                self._open()
            except OSError as error:
                raise ConfigurationError(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        """
        Close the file, if it is open.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def write(self, line: str, missing: int = 0) -> None:
        """
        Append C{line}; nothing happens while the file isn't open.

        @param line: a text that ends with its only newline.
        @param missing: the number of lines before this one that were lost on the way here.
        """
        if self._descriptor < 0:
            return
        self._lost += missing
        self._follow()
        octets = line.encode("utf-8", "backslashreplace")
        if self._cut:
            octets = b"\n" + octets
        try:
            written = self._write(self._descriptor, octets)
        except OSError as error:
            self._failed(error.strerror or "error")
            return
        if written < len(octets):
            self._cut = self._cut or written > 0
            self._failed("the disk is full")
            return
        self._cut = False
        if self._lost:
            self._log.warn(
                "{path}: written to again; {count} lines are lost",
                path=self._path,
                count=self._lost,
            )
            self._lost = 0

    def _open(self) -> None:
        descriptor = os.open(self._path, _FLAGS, OWNER_ONLY)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ConfigurationError(f"{self._path}: isn't a file")
            if found.st_mode & stat.S_IRWXO:
                raise ConfigurationError(
                    f"{self._path}: everybody can read or write it (chmod o= {self._path})"
                )
        except BaseException:
            os.close(descriptor)
            raise
        self.close()
        self._descriptor = descriptor
        self._identity = found.st_dev, found.st_ino
        self._cut = False

    def _follow(self) -> None:
        """
        Open the file again if the path leads to another file, or to none.
        """
        try:
            found = os.lstat(self._path)
            if (found.st_dev, found.st_ino) == self._identity:
                return
        except FileNotFoundError:
            pass
        except OSError:
            # The path can't be examined, so the open file is kept.
            return
        try:
            self._open()
        except (OSError, ConfigurationError) as error:
            if not self._movedInVain:
                self._movedInVain = True
                self._log.error(
                    "{path} was moved and can't be opened anew: {why}", path=self._path, why=error
                )
        else:
            self._movedInVain = False

    def _failed(self, why: str) -> None:
        if not self._lost:
            self._log.error("{path} can't be written: {why}", path=self._path, why=why)
        self._lost += 1


class QueuedLines:
    """
    A file at C{path} to which a thread appends lines.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, path: str, write: Write = os.write, limit: int = LIMIT
    ) -> None:
        self._clock = clock
        self._path = path
        self._write = write
        self._limit = limit
        self._file: LineFile | None = None
        self._worker: Worker | None = None
        self._lost = 0

    def open(self) -> None:
        """
        Open the file, if it isn't open.

        @raise ConfigurationError: it can't be opened; the text says why.
        """
        if self._file is None:
            file = LineFile(self._path, self._write)
            file.open()
            self._file = file
            self._worker = Worker("lines", self._limit)

    def write(self, line: str) -> None:
        """
        Append C{line}, as L{LineFile.write} does.
        """
        file, worker = self._file, self._worker
        if file is None or worker is None:
            return
        if self._lost and worker.waiting:
            self._lost += 1
        elif worker.put(partial(file.write, line, self._lost)):
            self._lost = 0
        else:
            self._lost = 1
            self._log.error(
                "{path} can't be written fast enough: {count} lines wait, more are lost",
                path=self._path,
                count=self._limit,
            )

    def close(self) -> Deferred[None]:
        """
        Close the file, if it is open.

        @return: fires when all lines that wait are written.
        """
        file, worker = self._file, self._worker
        self._file = self._worker = None
        if file is None or worker is None:
            return succeed(None)
        if self._lost:
            self._log.error(
                "{count} lines are missing at the end of {path}", count=self._lost, path=self._path
            )
        worker.stop(file.close)
        return worker.finished(self._clock)
