"""
The files of a capture.

The rules:

 - A thread writes the files, so that a slow disk doesn't block the reactor. The queue to it has
   room for L{QUEUE_LIMIT} chunks; while it is full the capture leaves frames out.
 - A full file is renamed to C{FILE.1}, the one before that to C{FILE.2}, and so on up to the number
   of files that are kept. A file that exists when the gateway starts is renamed in the same way if
   it is a capture. Anything else of this name is left alone, and is an error.
 - Only the owner of a file can read it.
 - An error of writing ends the capture, is logged and counted, and has no other effect.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.datapath.wire.pcapng import SECTION_HEADER
from pptpgw.error import ConfigurationError
from pptpgw.log import Logger
from pptpgw.ports.worker import OWNER_ONLY, Job, Worker, Write
from pptpgw.timing.timer import cancelled

CHUNK = 65536
"""
The octets that are handed to the thread at once; the last frame may exceed them.
"""

QUEUE_LIMIT = 64
"""
The most chunks that wait for the disk.
"""

DELAY = 0.2
"""
The longest time in seconds that a frame waits for others before it is handed to the thread.
"""

FAILED = "the capture ended by an error"

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class CaptureWriter:
    """
    The part of a L{CaptureFile} that runs in the thread and does the work on the files.

    @ivar error: the error that has ended the capture; None if there was none.
    @ivar files: the most files that are kept, the current one included.
    """

    def __init__(self, path: Path, files: int, write: Write) -> None:
        """
        Begin a new file, and rename those that exist.

        @raise OSError: the file can't be opened.
        """
        self.error: OSError | None = None
        self._path = path
        self.files = files
        self._write = write
        self._descriptor = -1
        self.rotate()

    def do(self, job: Job) -> None:
        """
        Call C{job}, unless an error has ended the capture. An OSError that it raises ends the
        capture.
        """
        if self.error is None:
            try:
                job()
            except OSError as error:
                self.error = error

    def close(self) -> None:
        """
        Close the current file.
        """
        os.close(self._descriptor)

    def write(self, octets: bytes) -> None:
        """
        Write all of C{octets} to the current file.
        """
        while octets:
            octets = octets[self._write(self._descriptor, octets) :]

    def rotate(self) -> None:
        """
        Rename the files, and begin a new one.
        """
        for number in range(self.files - 1, 0, -1):
            newer = self._numbered(number - 1)
            if os.path.lexists(newer):
                os.replace(newer, self._numbered(number))
        if self.files == 1 and os.path.lexists(self._path):
            os.unlink(self._path)
        descriptor = os.open(self._path, _FLAGS, OWNER_ONLY)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


class CaptureFile:
    """
    A L{pptpgw.datapath.capture.Sink} that writes to one file after another.

    @ivar path: the path of the current file.
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
        @param path: the path of the current file.
        @param files: the most files that are kept, the current one included.
        @param write: writes to a file descriptor, as L{os.write} does.
        """
        self.path = path
        self._clock = clock
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
        Open the file and start the thread.

        @raise ConfigurationError: the file can't be opened; the text says why.
        """
        try:
            if not self._free():
                raise FileExistsError(errno.EEXIST, "there is something else of this name")
            writer = CaptureWriter(self.path, self._files, self._write)
        except OSError as error:
            raise ConfigurationError(
                f"the capture {self.path} can't be written: {error.strerror}; --pcap, or "
                "[capture] file, names another"
            ) from error
        self._writer = writer
        self._failed = False
        # The queue must also have room for rotations.
        self._worker = Worker("capture", 2 * QUEUE_LIMIT)
        self._log.warn(
            "EVERYTHING THAT CALLERS SEND AND RECEIVE IS WRITTEN TO {path}, DECRYPTED: their "
            "traffic, and with PAP their passwords. --pcap and [capture] file turn that on.",
            path=self.path,
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

    def keep(self, files: int) -> None:
        """
        Keep at most C{files} files from the next rotation on. Older ones that exist are left alone.
        """
        self._files = files
        if self._writer is not None:
            self._writer.files = files

    def _free(self) -> bool:
        """
        Return whether nothing has the path of the capture, or an earlier capture has it.
        """
        if not os.path.lexists(self.path):
            return True
        if self.path.is_symlink() or not self.path.is_file():
            return False
        with self.path.open("rb") as file:
            return file.read(4) in (b"", SECTION_HEADER)

    # pptpgw.datapath.capture.Sink

    @property
    def full(self) -> bool:
        """
        Whether nothing may be written at present. See L{pptpgw.datapath.capture.Sink.full}.
        """
        return self._worker is None or self._failed or self._worker.waiting >= QUEUE_LIMIT

    def write(self, octets: bytes) -> None:
        """
        Write octets to the current file, within L{DELAY} seconds.
        """
        self._chunk.append(octets)
        self._size += len(octets)
        if self._size >= CHUNK:
            self._flush()
        elif self._delayed is None:
            self._delayed = self._clock.callLater(DELAY, self._flush)

    def rotate(self) -> None:
        """
        Begin another file, once the thread has written what came before.
        """
        self._flush()
        if self._writer is not None:
            self._do(self._writer.rotate)

    def _flush(self) -> None:
        """
        Hand the collected octets to the thread.
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
        Log and count the error that has ended the capture, the first time.
        """
        if writer.error is not None and not self._failed:
            self._failed = True
            self._counters.discard(FAILED)
            self._log.error(
                "the capture ends, {path} can't be written: {why}",
                path=self.path,
                why=writer.error.strerror,
            )
