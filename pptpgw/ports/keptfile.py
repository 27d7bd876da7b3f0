"""
A small file that keeps a part's state over restarts. A thread replaces it as a whole, so that a
slow disk doesn't block the reactor, and so that after a crash there is the old content or the new.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from pptpgw.log import Logger
from pptpgw.ports.worker import OWNER_ONLY, Worker

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


class KeptFile:
    """
    A file with a part's state, which is read at the start, and replaced as a whole.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, path: Path, limit: int, mode: int = OWNER_ONLY) -> None:
        """
        @param limit: the most octets that it may have.
        @param mode: who may read and write it.
        """
        self._mode = mode
        self._clock = clock
        self._path = path
        self._limit = limit
        self._worker: Worker | None = None
        # What is to be written next.
        self._content = b""
        # Why it couldn't be written the last time.
        self._fault = ""

    def read(self) -> bytes:
        """
        Return the content; empty if there is none, or it can't be read, which is logged.
        """
        try:
            with self._path.open("rb") as file:
                octets = file.read(self._limit + 1)
        except FileNotFoundError:
            return b""
        except OSError as error:
            self._log.warn("{path} can't be read: {why}", path=self._path, why=error.strerror)
            return b""
        return octets if len(octets) <= self._limit else b""

    def write(self, octets: bytes) -> None:
        """
        Replace the content soon. A failure is logged when it begins.
        """
        if self._worker is None:
            self._worker = Worker("kept file", 2)
        # Where the disk is stalled and the queue is full, a write that waits takes this content.
        self._content = octets
        self._worker.put(self._replace)

    def stop(self) -> Deferred[None]:
        """
        End the thread.

        @return: fires when everything is written.
        """
        worker, self._worker = self._worker, None
        if worker is None:
            return succeed(None)
        worker.stop()
        return worker.finished(self._clock)

    def _replace(self) -> None:
        octets = self._content
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            descriptor = os.open(new, _FLAGS, OWNER_ONLY)
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, self._mode)
                file.write(octets)
                file.flush()
                os.fsync(descriptor)
            os.replace(new, self._path)
        except OSError as error:
            if not self._fault:
                self._log.warn("{path} can't be written: {why}", path=new, why=error.strerror)
            self._fault = str(error)
        else:
            self._fault = ""
