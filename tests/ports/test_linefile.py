"""
Tests for L{pptpgw.ports.linefile}.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent

from pptpgw.error import ConfigurationError
from pptpgw.ports.linefile import LineFile, QueuedLines
from pptpgw.ports.worker import POLL


def opened(path: Path) -> LineFile:
    file = LineFile(str(path))
    file.open()
    return file


def told(events: Sequence[LogEvent]) -> list[str]:
    return [formatEvent(event) for event in events]


class TestOpen:
    def test_onlyItsOwnerCanReadIt(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            file = opened(tmp_path / "audit")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o600
        file.close()

    def test_whatIsThereStays(self, tmp_path: Path) -> None:
        path = tmp_path / "audit"
        path.touch(0o640)
        path.write_text("before\n")
        file = opened(path)
        file.write("after\n")
        file.close()
        assert path.read_text() == "before\nafter\n"

    def test_whatEverybodyCanReadIsRefused(self, tmp_path: Path) -> None:
        path = tmp_path / "audit"
        path.touch()
        path.chmod(0o644)
        with pytest.raises(ConfigurationError, match=f"{path}: everybody can read"):
            opened(path)

    def test_whatIsNoFileIsRefused(self, tmp_path: Path) -> None:
        """
        A named pipe, or anything else that isn't a file, is refused without waiting for a reader.
        """
        os.mkfifo(tmp_path / "pipe", 0o600)
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        for name in ("pipe", "link", ".", "missing/audit"):
            with pytest.raises(ConfigurationError, match=str(tmp_path)):
                opened(tmp_path / name)
        os.close(reading)
        with pytest.raises(ConfigurationError):
            opened(tmp_path / "pipe")
        assert not (tmp_path / "elsewhere").exists()

    def test_nothingIsWrittenBeforeAndAfter(self, tmp_path: Path) -> None:
        file = LineFile(str(tmp_path / "audit"))
        file.write("early\n")
        file.open()
        file.open()
        file.close()
        file.close()
        file.write("late\n")
        assert (tmp_path / "audit").read_text() == ""


class TestMoved:
    def test_aLineAfterItWasMovedBeginsANewFile(self, tmp_path: Path) -> None:
        path = tmp_path / "audit"
        file = opened(path)
        file.write("one\n")
        path.rename(tmp_path / "audit.1")
        file.write("two\n")
        file.close()
        assert (tmp_path / "audit.1").read_text() == "one\n"
        assert path.read_text() == "two\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_logrotateMayMakeTheNewFile(self, tmp_path: Path) -> None:
        path = tmp_path / "audit"
        file = opened(path)
        path.rename(tmp_path / "audit.1")
        path.touch(0o640)
        file.write("two\n")
        file.close()
        assert path.read_text() == "two\n"

    def test_whereNoneCanBeOpenedTheOldOneGoesOn(self, tmp_path: Path) -> None:
        """
        The old file is used as long as the new one can't be opened, which is logged once. Lines go
        to the new file as soon as it can be opened.
        """
        path = tmp_path / "audit"
        file = opened(path)
        path.rename(tmp_path / "audit.1")
        path.mkdir()
        with capturedLogs() as events:
            file.write("two\n")
            file.write("three\n")
        assert len(told(events)) == 1 and "can't be opened anew" in told(events)[0]
        path.rmdir()
        file.write("four\n")
        file.close()
        assert (tmp_path / "audit.1").read_text() == "two\nthree\n"
        assert path.read_text() == "four\n"


class TestErrors:
    def test_aFullDisk(self, tmp_path: Path) -> None:
        """
        A full disk is logged once, and at its end the number of lines that it cost. A line that was
        cut doesn't spoil the next.
        """
        room = 0

        def write(descriptor: int, octets: bytes) -> int:
            nonlocal room
            if not room:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = os.write(descriptor, octets[:room])
            room -= written
            return written

        file = LineFile(str(tmp_path / "audit"), write)
        file.open()
        with capturedLogs() as events:
            room = 4
            file.write("one\n")
            room = 2
            file.write("two\n")
            file.write("three\n")
            room = 100
            file.write("four\n")
            file.write("five\n")
        file.close()
        assert (tmp_path / "audit").read_text() == "one\ntw\nfour\nfive\n"
        failed, recovered = told(events)
        assert "disk is full" in failed
        assert "2 lines are lost" in recovered


class TestQueuedLines:
    """
    Tests with a disk that hangs: lines for which there is room are kept, the others are counted,
    and nobody waits.
    """

    def lines(self, path: Path, limit: int = 3) -> tuple[Clock, QueuedLines, Event]:
        go = Event()

        def write(descriptor: int, octets: bytes) -> int:
            assert go.wait(10)
            return os.write(descriptor, octets)

        clock = Clock()
        found = QueuedLines(clock, str(path), write, limit)
        found.open()
        found.open()
        return clock, found, go

    def finish(self, clock: Clock, closed: Deferred[None]) -> None:
        """
        Give the thread time to finish.
        """
        done: list[None] = []
        closed.addCallback(done.append)
        for _ in range(1000):
            if done:
                break
            clock.advance(POLL)
            Event().wait(0.01)
        assert done and not clock.getDelayedCalls()

    def test_itHangsForAWhile(self, tmp_path: Path, log: list[str]) -> None:
        path = tmp_path / "audit"
        clock, lines, go = self.lines(path)
        for number in range(10):
            lines.write(f"{number}\n")
        assert log == [f"{path} can't be written fast enough: 3 lines wait, more are lost"]
        go.set()
        assert lines._worker is not None and lines._worker.wait(10)
        lines.write("later\n")
        self.finish(clock, lines.close())
        assert path.read_text() == "0\n1\n2\nlater\n"
        assert log[1:] == [f"{path}: written to again; 7 lines are lost"]

    def test_itHangsToTheEnd(self, tmp_path: Path, log: list[str]) -> None:
        path = tmp_path / "audit"
        clock, lines, go = self.lines(path, 2)
        for number in range(3):
            lines.write(f"{number}\n")
        closed = lines.close()
        assert not closed.called
        assert log[1:] == [f"1 lines are missing at the end of {path}"]
        lines.write("too late\n")
        assert lines.close().called
        go.set()
        self.finish(clock, closed)
        assert path.read_text() == "0\n1\n"
