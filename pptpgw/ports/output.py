"""
Where the log goes, without holding up the reactor: a pipe whose reader stalls, a terminal that is
stopped, a full or hanging disk take lines when they can.

The rules:

 - From L{Output.start} on a thread writes, in order. Up to L{LIMIT} lines wait for it; while there
   is no room further ones are counted, and left out. The next line that there is room for comes
   after one that says how many are missing.
 - From L{Output.finish} on, at the end of the process, whoever logs waits until all is written,
   L{FINISH_SECONDS} in all and no longer.
 - What an observer raises, a broken pipe for one, costs the line and nothing else.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic, time
from typing import IO, Any, cast

from twisted.logger import (
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    LogLevel,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

from pptpgw.ports.worker import Worker

LIMIT = 4096
"""
Lines that wait to be written, at most.
"""

FINISH_SECONDS = 2.0
"""
Seconds that whoever reads the log is given at the end.
"""

_STDOUT = 1


class _StandardOutput(io.TextIOBase):
    """
    Standard output as a file without a buffer: a thread that is stuck in it holds no lock of
    Python's, which the end of the process would wait for.
    """

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """
        Write all of it.
        """
        octets = text.encode("utf-8", "backslashreplace")
        while octets:
            # It may have been made non-blocking by whoever shares it.
            select.select([], [_STDOUT], [])
            octets = octets[os.write(_STDOUT, octets) :]
        return len(text)


def standardOutput() -> IO[str]:
    """
    Standard output, for what a thread writes.
    """
    return cast(IO[str], _StandardOutput())


@implementer(ILogObserver)
class Output:
    """
    A log observer that has another one called by a thread.
    """

    def __init__(self, observer: ILogObserver, limit: int = LIMIT) -> None:
        """
        @param observer: it is called by whoever logs until L{start}, and then by the thread.
        """
        self._observer = observer
        self._limit = limit
        self._worker: Worker | None = None
        self._lost = 0
        self._deadline: float | None = None

    def __call__(self, event: LogEvent) -> None:
        """
        Have an event written.
        """
        self.do(partial(self._observer, event))

    def start(self) -> None:
        """
        Let the thread write, from now on; a process that forks does so before.
        """
        if self._worker is None:
            self._worker = Worker("log", self._limit)

    def finish(self) -> None:
        """
        The process is about to end.
        """
        self._deadline = monotonic() + FINISH_SECONDS
        self._wait()
        self._tellGap()
        self._wait()

    def do(self, job: Callable[[], object]) -> None:
        """
        Have something else done, in its turn among the lines.
        """
        worker = self._worker
        if worker is None:
            self._try(job)
            return
        self._tellGap()
        if self._lost or not worker.put(partial(self._try, job)):
            self._lost += 1
        self._wait()

    def _wait(self) -> None:
        if self._worker is not None and self._deadline is not None:
            self._worker.wait(max(0.0, self._deadline - monotonic()))

    def _try(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception:
            self._lost += 1

    def _tellGap(self) -> None:
        if not self._lost or self._worker is None:
            return
        event: LogEvent = {
            "log_format": "{count} lines are missing here: what takes the log didn't take them",
            "log_level": LogLevel.warn,
            "log_namespace": __name__,
            "log_time": time(),
            "count": self._lost,
        }
        if self._worker.put(partial(self._try, partial(self._observer, event))):
            self._lost = 0


def outputOf(options: Mapping[str, Any]) -> Output:
    """
    What writes the log where C{options}, those of C{twistd}, want it.
    """
    path = options.get("logfile") or ("-" if options.get("nodaemon") else "twistd.log")
    if options.get("syslog"):
        # It takes a library that some systems lack.
        from twisted.python.syslog import SyslogObserver

        observer: Any = SyslogObserver(options.get("prefix", "")).emit
        return Output(LegacyLogObserverWrapper(observer))
    if path == "-":
        if not options.get("nodaemon"):
            sys.exit("Daemons cannot log to stdout, exiting!")
        return Output(textFileLogObserver(standardOutput()))
    file = LogFile.fromFullPath(path)
    output = Output(textFileLogObserver(file))
    if not signal.getsignal(signal.SIGUSR1):
        # As twistd does: the file of now is moved away, and another one begun.
        signal.signal(signal.SIGUSR1, lambda number, frame: output.do(file.rotate))
    return output
