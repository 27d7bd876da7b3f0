"""
Tests for L{pptpgw.ports.logoutput} and L{pptpgw.ports.worker}.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Lock

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LogEvent,
    formatEvent,
    formatEventAsClassicLogText,
)
from twisted.logger import Logger as TwistedLogger
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.log import Logger
from pptpgw.ports import logoutput
from pptpgw.ports.logoutput import LogOutput, outputOf
from pptpgw.ports.worker import POLL, Worker


@implementer(ILogObserver)
class Reader:
    """
    The reader of what is logged. It reads until it is told to stall.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.reached = Event()
        self.fault: Exception | None = None
        self._may = Lock()

    def stall(self) -> None:
        self._may.acquire()

    def goOn(self) -> None:
        self._may.release()

    def __call__(self, event: LogEvent) -> None:
        self.reached.set()
        with self._may:
            if self.fault is not None:
                raise self.fault
            self.lines.append(formatEvent(event))


@pytest.fixture
def reader() -> Reader:
    return Reader()


def filled(reader: Reader) -> tuple[LogOutput, Logger]:
    """
    An output with room for three lines, all of it used, whose reader has stalled. Two more lines
    were lost.
    """
    found = LogOutput(reader, 3)
    log = Logger("pptpgw.test", observer=found)
    log.info("at once")
    assert reader.lines == ["at once"]
    found.start()
    reader.stall()
    for number in range(5):
        log.info("{number}", number=number)
    assert reader.reached.wait(10)
    return found, log


def test_whatIsMissingIsCounted(reader: Reader) -> None:
    """
    A program that logs isn't held up. Lines arrive in order, and the number of missing lines stands
    in their place.
    """
    found, log = filled(reader)
    reader.goOn()
    assert found._worker is not None and found._worker.wait(10)
    log.info("later")
    found.finish()
    assert reader.lines == [
        "at once",
        "0",
        "1",
        "2",
        "2 lines are missing here: the log could not be written in time",
        "later",
    ]


def test_theEndIsToldToo(reader: Reader) -> None:
    """
    The number of missing lines is written at the end even if no line follows, and lines after the
    end are written at once.
    """
    found, log = filled(reader)
    reader.goOn()
    found.finish()
    assert reader.lines[-1].startswith("2 lines are missing here")
    log.info("bye")
    assert reader.lines[-1] == "bye"


def test_theEndHasADeadline(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    All lines after the end share one deadline.
    """
    monkeypatch.setattr(logoutput, "FINISH_SECONDS", 0.2)
    found, log = filled(reader)
    found.finish()
    log.info("bye")
    assert reader.lines == ["at once"]
    reader.goOn()
    assert found._worker is not None and found._worker.wait(10)


def test_aFaultCostsALine(reader: Reader) -> None:
    """
    An exception of the observer costs the line and isn't logged, as that would call the observer
    again.
    """
    found = LogOutput(reader)
    log = Logger("pptpgw.test", observer=found)
    found.start()
    reader.fault = BrokenPipeError("nobody reads")
    log.info("lost")
    assert found._worker is not None and found._worker.wait(10)
    reader.fault = None
    log.info("here")
    found.finish()
    assert [line.partition(":")[0] for line in reader.lines] == ["1 lines are missing here", "here"]


@pytest.fixture
def usr1() -> Iterator[None]:
    """
    Restore the signal's handler at the end.
    """
    before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR1, before)


def test_aFileIsRotatedByASignal(tmp_path: Path, usr1: None) -> None:
    """
    The log file is rotated by the signal that C{twistd} uses, at the right place among the lines.
    """
    path = tmp_path / "log"
    found = outputOf({"logfile": str(path), "nodaemon": True})
    log = Logger("pptpgw.test", observer=found)
    found.start()
    log.info("before")
    os.kill(os.getpid(), signal.SIGUSR1)
    log.info("after")
    found.finish()
    assert (tmp_path / "log.1").read_text().endswith("before\n")
    assert path.read_text().endswith("after\n") and "before" not in path.read_text()


def test_asTwistedWritesIt() -> None:
    """
    A line in the file is what Twisted writes, whatever the event is.
    """
    events: list[LogEvent] = []

    @implementer(ILogObserver)
    def kept(event: LogEvent) -> None:
        events.append(event)

    for log in (Logger("pptpgw.test", observer=kept), TwistedLogger("other", observer=kept)):
        log.info("{user!r} after {seconds:.3f} s", user="eve\x1b\n", seconds=1.5, session="b7")
        log.warn("two\nlines of {user}", user="alice")
        log.error("")
        log.info("{missing}, {count:d}", count="none")
        log.failure("{user} failed", Failure(ValueError("broken")), user="bob")
    file = io.StringIO()
    write = FileLogObserver(file, logoutput._classic)
    for event in events:
        write(event)
    # The traceback of a format that fails names the calling function.
    lines, expected = (
        [line for line in text.splitlines() if not line.lstrip().startswith(("File", "return"))]
        for text in (
            file.getvalue(),
            "".join(filter(None, map(formatEventAsClassicLogText, events))),
        )
    )
    assert lines == expected and len(lines) > 10


def test_standardOutput() -> None:
    """
    A character that the encoding lacks is escaped, and a non-blocking descriptor is waited for.
    """
    program = (
        "import os; from pptpgw.ports.logoutput import standardOutput; os.set_blocking(1, False);"
        "standardOutput().write('ä\\ud800' * 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout.decode()) == (0, "ä\\ud800" * 100_000)


@pytest.mark.parametrize("isJournal", [True, False])
@pytest.mark.parametrize("made", ["lines(standardError())", "outputOf({'nodaemon': True})"])
def test_theJournal(made: str, isJournal: bool) -> None:
    """
    Each line has the priority of its event in the journal, and none elsewhere.
    """
    program = f"""
import os
from pptpgw.log import Logger
from pptpgw.ports.logoutput import lines, outputOf, standardError
found = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{{found.st_dev}}:{{found.st_ino + {int(not isJournal)}}}"
log = Logger("pptpgw.test", observer={made})
log.debug("fine")
log.info("hello")
log.warn("careful")
log.error("wrong")
try:
    1 / 0
except ZeroDivisionError:
    log.failure("bad")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    texts = ("hello", "careful", "wrong", "bad", "Traceback", "ZeroDivisionError: ")
    found = {text: one[:3] for one in done.stdout.splitlines() for text in texts if text in one}
    if isJournal:
        assert [found[text] for text in texts] == ["<6>", "<4>", "<3>", "<2>", "<2>", "<2>"]
    else:
        assert len(found) == len(texts) and "<" not in [one[0] for one in found.values()]


def test_aDaemonHasNoStandardOutput() -> None:
    with pytest.raises(SystemExit, match="Daemons cannot log to stdout"):
        outputOf({"logfile": "-"})


class TestWorker:
    def test_inOrderUpToALimit(self) -> None:
        worker, go, done = Worker("test", 2), Event(), list[int]()
        assert worker.put(go.wait)
        assert worker.put(lambda: done.append(1))
        assert not worker.put(lambda: done.append(2))
        assert worker.waiting == 2 and not worker.wait(0)
        worker.stop(lambda: done.append(3))
        worker.stop(lambda: done.append(4))
        assert not worker.put(lambda: done.append(5))
        go.set()
        assert worker.wait(10)
        assert done == [1, 3]

    def test_aJobThatRaises(self, loggedFailures: list[Failure]) -> None:
        """
        A job that raises is logged, and the next job is done.
        """
        worker, done = Worker("test", 2), list[int]()
        worker.put(lambda: 1 // 0)
        worker.put(lambda: done.append(1))
        assert worker.wait(10)
        assert done == [1]
        assert [failure.type for failure in loggedFailures] == [ZeroDivisionError]
        loggedFailures.clear()

    def test_finished(self) -> None:
        """
        The Deferred for the worker's end blocks nothing, and may be cancelled.
        """
        worker, clock, go, told = Worker("test", 2), Clock(), Event(), list[object]()
        worker.put(go.wait)
        for _ in range(2):
            worker.finished(clock).addBoth(told.append)
        waiting = worker.finished(clock)
        waiting.addErrback(lambda failure: failure.trap(CancelledError)).addBoth(told.append)
        clock.advance(POLL)
        assert told == []
        waiting.cancel()
        assert told == [CancelledError]
        go.set()
        assert worker.wait(10)
        clock.advance(POLL)
        assert told == [CancelledError, None, None]
        assert clock.getDelayedCalls() == []
