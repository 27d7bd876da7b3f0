"""
A writer of the log that runs in a thread, so that a pipe whose reader stalls, a stopped terminal,
or a full or hanging disk doesn't block the reactor.

The rules:

 - After L{LogOutput.start} a thread writes the lines, in order. At most L{LIMIT} lines wait for it;
   lines beyond that are counted and left out. When there is room again, a line says how many are
   missing.
 - After L{LogOutput.finish}, at the end of the process, logging blocks until all lines are written,
   for L{FINISH_SECONDS} in all at most.
 - Lines on standard output or standard error begin with their priority, as in C{<4>}, if systemd
   says that the journal reads them (sd-daemon(3)).
 - An exception of the observer, such as a broken pipe, loses the line and has no other effect.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from time import monotonic, time
from typing import IO, Any, cast

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    formatEventAsClassicLogText,
    formatTime,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

from pptpgw.log import Logger
from pptpgw.ports.worker import Worker

LIMIT = 4096
"""
The most lines that wait to be written.
"""

GRAIN = 0.02
"""
The seconds for which the thread gathers lines before it writes them.
"""

FINISH_SECONDS = 2.0
"""
The most seconds that the end of the process waits for the log to be written.
"""

_STDOUT, _STDERR = 1, 2

_PRIORITIES = {
    LogLevel.debug: "<7>",
    LogLevel.info: "<6>",
    LogLevel.warn: "<4>",
    LogLevel.error: "<3>",
    LogLevel.critical: "<2>",
}


def _classic(event: LogEvent) -> str | None:
    """
    Return what L{formatEventAsClassicLogText} does, in a fraction of the time for most lines of
    pptpgw's own loggers. Their formats call no values, as C{{user()}} would in Twisted's, and their
    values are printable.
    """
    text = _own(event)
    if text is None or "log_failure" in event:
        return formatEventAsClassicLogText(event)
    where = f"{event['log_namespace']}#{event['log_level'].name}"
    return f"{_second(int(event['log_time']))} [{where}] {text}\n"


def _text(event: LogEvent) -> str:
    """
    Return what L{formatEvent} does, in less time for the same lines as L{_classic}.
    """
    text = _own(event)
    return formatEvent(event) if text is None else text


def _own(event: LogEvent) -> str | None:
    """
    Return the text of an event of one of pptpgw's loggers; None if Twisted's functions have to find
    out what is wrong with it, or if it has several lines or none.
    """
    if not isinstance(event.get("log_logger"), Logger):
        return None
    try:
        text: str = event["log_format"].format_map(event)
    except Exception:
        return None
    return text if text.isprintable() and text else None


@lru_cache(1)
def _second(when: int) -> str:
    """
    Return a time in seconds since the epoch as each line of that second has it.
    """
    return formatTime(when)


class _Standard(io.TextIOBase):
    """
    Standard output or standard error as a file without a buffer. While a thread is stuck in
    C{write} it holds no lock, as it would with C{sys.stdout}, so the process can end.
    """

    encoding = "utf-8"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def isJournal(self) -> bool:
        """
        Whether systemd's journal reads what is written (systemd.exec(5), C{JOURNAL_STREAM}).
        """
        try:
            found = os.fstat(self._descriptor)
        except OSError:
            return False
        return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"

    def write(self, text: str) -> int:
        """
        Write all of C{text}, and return its length.
        """
        octets = text.encode("utf-8", "backslashreplace")
        while octets:
            # Another process that shares the descriptor may have made it non-blocking.
            select.select([], [self._descriptor], [])
            octets = octets[os.write(self._descriptor, octets) :]
        return len(text)


def standardOutput() -> IO[str]:
    """
    Return standard output as a file for writing by a thread.
    """
    return cast(IO[str], _Standard(_STDOUT))


def standardError() -> IO[str]:
    """
    Return standard error as a file for writing by a thread.
    """
    return cast(IO[str], _Standard(_STDERR))


@implementer(ILogObserver)
class LogOutput:
    """
    A log observer that calls another one in a thread.
    """

    def __init__(self, observer: ILogObserver, limit: int = LIMIT) -> None:
        """
        @param observer: the observer that writes. It is called directly until L{start}, and then by
            the thread.
        @param limit: the most lines that wait to be written.
        """
        self._observer = observer
        self._limit = limit
        self._worker: Worker | None = None
        self._lost = 0
        self._deadline: float | None = None

    def __call__(self, event: LogEvent) -> None:
        """
        Pass an event to the observer, by the thread if there is one.
        """
        self.do(partial(self._observer, event))

    def start(self) -> None:
        """
        Start the thread. A process that forks must fork before this.
        """
        if self._worker is None:
            self._worker = Worker("log", self._limit, GRAIN)

    def finish(self) -> None:
        """
        Wait until everything is written, at the end of the process; see L{FINISH_SECONDS}.
        """
        self._deadline = monotonic() + FINISH_SECONDS
        self._wait()
        self._tellGap()
        self._wait()

    def do(self, job: Callable[[], object]) -> None:
        """
        Call C{job} in its turn among the lines.
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
            "log_format": "{count} lines are missing here: the log could not be written in time",
            "log_level": LogLevel.warn,
            "log_namespace": __name__,
            "log_time": time(),
            "count": self._lost,
        }
        if self._worker.put(partial(self._try, partial(self._observer, event))):
            self._lost = 0


def _observer(file: IO[str], text: Callable[[LogEvent], str | None]) -> ILogObserver:
    """
    Return the observer that writes C{text} of each event to C{file}, with priorities if that is the
    journal.
    """
    if not (isinstance(file, _Standard) and file.isJournal):
        return FileLogObserver(file, text)

    def prioritized(event: LogEvent) -> str:
        priority = _PRIORITIES.get(event.get("log_level"), _PRIORITIES[LogLevel.info])
        return "".join(f"{priority}{one}\n" for one in (text(event) or "").splitlines())

    return FileLogObserver(file, prioritized)


def lines(file: IO[str]) -> LogOutput:
    """
    Return the L{LogOutput} that writes the log to C{file} for people: one line for each event, with
    the time of day, and without Twisted's own messages below warnings.
    """

    def line(event: LogEvent) -> str | None:
        text = _text(event)
        if not text:
            return None
        failure = event.get("log_failure")
        if failure is not None:
            text += "\n" + failure.getTraceback()
        time = formatTime(event["log_time"], "%H:%M:%S")
        level = "" if event["log_level"] is LogLevel.info else event["log_level"].name + ": "
        return f"{time} {level}{text}\n"

    wanted = LogLevelFilterPredicate(LogLevel.info)
    # Twisted's own events of ports and factories repeat what ours say.
    wanted.setLogLevelForNamespace("twisted", LogLevel.warn)
    wanted.setLogLevelForNamespace("log_legacy", LogLevel.warn)
    return LogOutput(FilteringLogObserver(_observer(file, line), [wanted]))


def outputOf(options: Mapping[str, Any]) -> LogOutput:
    """
    Return the L{LogOutput} that writes the log as C{options}, the options of C{twistd}, require.
    """
    path = options.get("logfile") or ("-" if options.get("nodaemon") else "twistd.log")
    if options.get("syslog"):
        # This is imported here, since some systems lack a library that it needs.
        from twisted.python.syslog import SyslogObserver

        observer: Any = SyslogObserver(options.get("prefix", "")).emit
        return LogOutput(LegacyLogObserverWrapper(observer))
    if path == "-":
        if not options.get("nodaemon"):
            sys.exit("Daemons cannot log to stdout, exiting!")
        return LogOutput(_observer(standardOutput(), _classic))
    file = LogFile.fromFullPath(path)
    output = LogOutput(FileLogObserver(file, _classic))
    if not signal.getsignal(signal.SIGUSR1):
        # As with twistd, SIGUSR1 moves the current file away and begins another one.
        signal.signal(signal.SIGUSR1, lambda number, frame: output.do(file.rotate))
    return output
