"""
The files of a capture.

The rules:

 - A thread of its own writes: a slow disk doesn't hold up the reactor. Between the two there is a
   queue of L{QUEUE_LIMIT} chunks; while it is full the capture leaves frames out.
 - A file that is full becomes C{FILE.1}, the one before that C{FILE.2}, and so on up to the number
   of files that are kept. One that is there when the gateway starts is kept in the same way, if it
   is a capture: anything else is left alone, and an error.
 - Only its owner can read a file.
 - An error of writing ends the capture, is logged and counted, and disturbs nothing else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.datapath.wire.pcapng import SECTION_HEADER
from pptpgw.error import ConfigurationError
from pptpgw.log import Logger
from pptpgw.ports.worker import Job, Worker
from pptpgw.timing.timer import cancelled

CHUNK = 65536
"""
Octets that are handed to the thread at once, at most but for the last frame of them.
"""

QUEUE_LIMIT = 64
"""
Chunks that wait for the disk, at most.
"""

DELAY = 0.2
"""
Seconds that a frame waits for others, at most.
"""

FAILED = "the capture ended by an error"

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_OWNER_ONLY = 0o600

Write = Callable[[int, bytes], int]


class CaptureWriter:
    """
    What the thread does, on the files alone.

    @ivar error: what went wrong; then nothing more is done.
    """

    def __init__(self, path: Path, files: int, write: Write) -> None:
        """
        Open the file.

        @raise OSError: it can't be.
        """
        self.error: OSError | None = None
        self._path = path
        self._files = files
        self._write = write
        self._descriptor = -1
        self.rotate()

    def do(self, job: Job) -> None:
        """
        Do a job on the files, unless an error has ended the capture.
        """
        if self.error is None:
            try:
                job()
            except OSError as error:
                self.error = error

    def close(self) -> None:
        """
        Close the file.
        """
        os.close(self._descriptor)

    def write(self, octets: bytes) -> None:
        """
        Write all of it.
        """
        while octets:
            octets = octets[self._write(self._descriptor, octets) :]

    def rotate(self) -> None:
        """
        Move the files on by one, and open the next.
        """
        for number in range(self._files - 1, 0, -1):
            newer = self._numbered(number - 1)
            if os.path.lexists(newer):
                os.replace(newer, self._numbered(number))
        if self._files == 1 and os.path.lexists(self._path):
            os.unlink(self._path)
        descriptor = os.open(self._path, _FLAGS, _OWNER_ONLY)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


class CaptureFile:
    """
    A L{pptpgw.datapath.capture.Sink}: one file after another.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        path: Path,
        files: int,
        counters: Counters,
        write: Write = os.write,
    ) -> None:
        """
        @param path: that of the current file.
        @param files: how many there are at most, the current one included.
        @param write: L{os.write}.
        """
        self._clock = clock
        self._path = path
        self._files = files
        self._counters = counters
        self._write = write
        self._chunk: list[bytes] = []
        self._size = 0
        self._delayed: IDelayedCall | None = None
        self._writer: CaptureWriter | None = None
        self._worker: Worker | None = None
        self._failed = False

    def start(self) -> None:
        """
        Open the file.

        @raise ConfigurationError: it can't be.
        """
        try:
            if not self._free():
                raise FileExistsError(errno.EEXIST, "there is something else of this name")
            writer = CaptureWriter(self._path, self._files, self._write)
        except OSError as error:
            raise ConfigurationError(
                f"the capture {self._path} can't be written: {error.strerror}; --pcap, or "
                "[capture] file, names another"
            ) from error
        self._writer = writer
        self._failed = False
        # The queue also holds rotations, which must find room.
        self._worker = Worker("capture", 2 * QUEUE_LIMIT)
        self._log.warn(
            "EVERYTHING THAT CALLERS SEND AND RECEIVE IS WRITTEN TO {path}, DECRYPTED: their "
            "traffic, and with PAP their passwords. --pcap and [capture] file turn that on.",
            path=self._path,
        )

    def stop(self) -> Deferred[None]:
        """
        Write what is left and close the file. Calling this again does nothing.

        @return: fires when that is done.
        """
        writer, worker = self._writer, self._worker
        if writer is None or worker is None:
            return succeed(None)
        self._flush()
        self._writer = self._worker = None
        worker.stop(writer.close)
        return worker.finished(self._clock).addCallback(lambda _: self._tell(writer))

    def _free(self) -> bool:
        """
        Whether the name is nobody's, or an earlier capture's.
        """
        if not os.path.lexists(self._path):
            return True
        if self._path.is_symlink() or not self._path.is_file():
            return False
        with self._path.open("rb") as file:
            return file.read(4) in (b"", SECTION_HEADER)

    # datapath.capture.Sink

    @property
    def full(self) -> bool:
        """
        Whether it takes nothing now.
        """
        return self._worker is None or self._failed or self._worker.waiting >= QUEUE_LIMIT

    def write(self, octets: bytes) -> None:
        """
        Take octets for the current file.
        """
        self._chunk.append(octets)
        self._size += len(octets)
        if self._size >= CHUNK:
            self._flush()
        elif self._delayed is None:
            self._delayed = self._clock.callLater(DELAY, self._flush)

    def rotate(self) -> None:
        """
        Begin another file.
        """
        self._flush()
        if self._writer is not None:
            self._do(self._writer.rotate)

    def _flush(self) -> None:
        """
        Hand over what was taken.
        """
        self._delayed = cancelled(self._delayed)
        octets = b"".join(self._chunk)
        self._chunk.clear()
        self._size = 0
        if self._writer is not None:
            if octets:
                self._do(partial(self._writer.write, octets))
            self._tell(self._writer)

    def _do(self, job: Job) -> None:
        if self._writer is not None and self._worker is not None:
            self._worker.put(partial(self._writer.do, job))

    def _tell(self, writer: CaptureWriter) -> None:
        """
        Tell of an error, once.
        """
        if writer.error is not None and not self._failed:
            self._failed = True
            self._counters.discard(FAILED)
            self._log.error(
                "the capture ends, {path} can't be written: {why}",
                path=self._path,
                why=writer.error.strerror,
            )
