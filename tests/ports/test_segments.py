"""
Tests of L{pptpgw.ports.segments}, on real files.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from pptpgw.error import ConfigurationError
from pptpgw.ports import segments as module
from pptpgw.ports.segments import Segments, segmentPath
from pptpgw.ports.worker import POLL


class Disk:
    """
    L{os.write}, that a test can fill, hold up and make write in part.

    @ivar room: octets that fit; None: all.
    @ivar largest: octets that one call takes.
    """

    def __init__(self) -> None:
        self.room: int | None = None
        self.largest = 1 << 30
        self.free = threading.Event()
        self.free.set()
        self.calls = 0
        self.failed = threading.Event()

    def write(self, descriptor: int, octets: bytes) -> int:
        self.free.wait(10)
        self.calls += 1
        octets = octets[: self.largest]
        if self.room is not None:
            octets = octets[: self.room]
            if not octets:
                self.failed.set()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= len(octets)
        return os.write(descriptor, octets)


CLOCK = Clock()
"""
One that the tests move on.
"""


def stop(files: Segments) -> None:
    """
    Stop, and give the thread time.
    """
    stopped = files.stop()

    def isStopped() -> bool:
        CLOCK.advance(POLL)
        return stopped.called

    _until(isStopped)


def contents(folder: Path) -> dict[int, bytes]:
    return {int(path.stem): path.read_bytes() for path in sorted(folder.iterdir())}


def test_written(tmp_path: Path) -> None:
    """
    What was appended is there after the end, in order, for its owner only; what was removed isn't.
    """
    folder = tmp_path / "spool"
    files = Segments(CLOCK, folder)
    assert files.start() == []
    for number in range(100):
        files.append(1 + number // 50, b"%d," % number)
    files.append(3, b"three")
    files.remove(1)
    stop(files)
    assert contents(folder) == {
        2: b"".join(b"%d," % number for number in range(50, 100)),
        3: b"three",
    }
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())


def test_foundAgain(tmp_path: Path) -> None:
    """
    The next start finds the files, oldest first, and nothing else that lies there.
    """
    files = Segments(CLOCK, tmp_path)
    files.start()
    for number in (2, 10, 9):
        files.append(number, b"%d" % number)
    stop(files)
    (tmp_path / "README").write_text("not ours")
    (tmp_path / "12.spool").write_text("nor this")
    again = Segments(CLOCK, tmp_path)
    assert again.start() == [(2, b"2"), (9, b"9"), (10, b"10")]
    again.remove(2)
    stop(again)
    assert Segments(CLOCK, tmp_path).start() == [(9, b"9"), (10, b"10")]


def test_syncsTogether(tmp_path: Path) -> None:
    """
    What comes while the disk is busy is forced to it at once, not one by one.
    """
    disk = Disk()
    disk.free.clear()
    files = Segments(CLOCK, tmp_path, disk.write)
    files.start()
    writer = files._writer
    assert writer is not None
    for number in range(500):
        files.append(1, b"%d," % number)
    disk.free.set()
    stop(files)
    assert contents(tmp_path) == {1: b"".join(b"%d," % number for number in range(500))}
    assert 1 <= writer.syncs <= 3


def test_writesInPart(tmp_path: Path) -> None:
    """
    A write that takes only a part is gone on with.
    """
    disk = Disk()
    disk.largest = 3
    files = Segments(CLOCK, tmp_path, disk.write)
    files.start()
    files.append(1, b"0123456789")
    stop(files)
    assert contents(tmp_path) == {1: b"0123456789"} and disk.calls == 4


def test_fullDisk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]) -> None:
    """
    What a full disk doesn't take is written once there is room, in order and once; the half that
    was written is cut off. It is logged when it begins and when it ends.
    """
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    disk = Disk()
    files = Segments(CLOCK, tmp_path, disk.write)
    files.start()
    disk.room = 12
    files.append(1, b"0123456789")
    files.append(1, b"abcdefghij")
    assert disk.failed.wait(5)
    files.append(1, b"XYZ")
    _until(lambda: files._writer is not None and files._writer.error is not None)
    assert len(contents(tmp_path)[1]) in (0, 10)
    files.append(2, b"more")
    files.append(2, b"again")
    disk.room = None
    _until(lambda: contents(tmp_path).get(2) == b"moreagain")
    files.append(2, b"!")
    stop(files)
    assert contents(tmp_path) == {1: b"0123456789abcdefghijXYZ", 2: b"moreagain!"}
    told = [line for line in log if "spool" in line]
    assert len(told) == 2 and "No space left" in told[0] and "written again" in told[1]


def test_fullToTheEnd(tmp_path: Path, log: list[str]) -> None:
    """
    A disk that stays full doesn't keep the gateway from stopping, and is told of.
    """
    disk = Disk()
    disk.room = 0
    files = Segments(CLOCK, tmp_path, disk.write)
    files.start()
    files.append(1, b"lost")
    stop(files)
    assert contents(tmp_path) == {1: b""}
    assert any("No space left" in line for line in log)


def test_oneGatewayAtATime(tmp_path: Path) -> None:
    """
    A folder that another gateway has isn't taken; nor is one of anything else's.
    """
    files = Segments(CLOCK, tmp_path)
    files.start()
    with pytest.raises(ConfigurationError, match="another gateway's"):
        Segments(CLOCK, tmp_path).start()
    stop(files)
    stop(files)
    second = Segments(CLOCK, tmp_path)
    second.start()
    stop(second)


def test_aDiskThatHangs(tmp_path: Path, log: list[str]) -> None:
    """
    So much waits for it and no more; nobody else does. What isn't in the files is counted, and what
    comes later is in them.
    """
    disk = Disk()
    disk.free.clear()
    files = Segments(CLOCK, tmp_path, disk.write, 10)
    files.start()
    safe = [files.isSafe]
    for number in range(20):
        files.append(1, b"%d " % number)
    safe.append(files.isSafe)
    assert safe == [True, False]
    assert [line.rpartition(": ")[2] for line in log] == ["the disk doesn't answer"]
    disk.free.set()
    assert files._writer is not None
    _until(lambda: files._writer is not None and not files._writer.waiting)
    files.append(1, b"later")
    stop(files)
    assert contents(tmp_path) == {1: b"0 1 2 3 4 5 6 7 8 9 later"}
    assert log[1].endswith("is written again; 10 pieces aren't in its files")


def test_aDiskThatHangsToTheEnd(tmp_path: Path) -> None:
    """
    The end doesn't wait for longer than whoever ends it wants, and the folder is another's when the
    disk has let go.
    """
    disk = Disk()
    disk.free.clear()
    files = Segments(CLOCK, tmp_path, disk.write)
    files.start()
    files.append(1, b"kept")
    stopped = files.stop()
    CLOCK.advance(POLL)
    assert not stopped.called
    stopped.addErrback(lambda failure: failure.trap(CancelledError))
    stopped.cancel()
    assert CLOCK.getDelayedCalls() == []
    with pytest.raises(ConfigurationError, match="another gateway's"):
        Segments(CLOCK, tmp_path).start()
    disk.free.set()
    again = Segments(CLOCK, tmp_path)
    _until(lambda: _starts(again))
    stop(again)
    assert contents(tmp_path) == {1: b"kept"}


def _starts(files: Segments) -> bool:
    try:
        files.start()
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize("where", ["missing/spool", "file"])
def test_noFolder(tmp_path: Path, where: str) -> None:
    """
    Where there can't be a folder the error says which, and why.
    """
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ConfigurationError, match=f"spool .*{where} can't be used: "):
        Segments(CLOCK, tmp_path / where).start()


def test_noLinkIsFollowed(tmp_path: Path) -> None:
    """
    A link in a file's place isn't written through.
    """
    folder = tmp_path / "spool"
    folder.mkdir()
    segmentPath(folder, 1).symlink_to(tmp_path / "target")
    files = Segments(CLOCK, folder)
    with pytest.raises(ConfigurationError):
        files.start()


def _until(done: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(500):
        if done():
            return
        waited.wait(0.01)
    raise AssertionError("it never came true")
