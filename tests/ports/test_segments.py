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

from pptpgw.error import ConfigurationError
from pptpgw.ports import segments as module
from pptpgw.ports.segments import Segments, segmentPath


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


def contents(folder: Path) -> dict[int, bytes]:
    return {int(path.stem): path.read_bytes() for path in sorted(folder.iterdir())}


def test_written(tmp_path: Path) -> None:
    """
    What was appended is there after the end, in order, for its owner only; what was removed isn't.
    """
    folder = tmp_path / "spool"
    files = Segments(folder)
    assert files.start() == []
    for number in range(100):
        files.append(1 + number // 50, b"%d," % number)
    files.append(3, b"three")
    files.remove(1)
    files.stop()
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
    files = Segments(tmp_path)
    files.start()
    for number in (2, 10, 9):
        files.append(number, b"%d" % number)
    files.stop()
    (tmp_path / "README").write_text("not ours")
    (tmp_path / "12.spool").write_text("nor this")
    again = Segments(tmp_path)
    assert again.start() == [(2, b"2"), (9, b"9"), (10, b"10")]
    again.remove(2)
    again.stop()
    assert Segments(tmp_path).start() == [(9, b"9"), (10, b"10")]


def test_syncsTogether(tmp_path: Path) -> None:
    """
    What comes while the disk is busy is forced to it at once, not one by one.
    """
    disk = Disk()
    disk.free.clear()
    files = Segments(tmp_path, disk.write)
    files.start()
    writer = files._writer
    assert writer is not None
    for number in range(500):
        files.append(1, b"%d," % number)
    disk.free.set()
    files.stop()
    assert contents(tmp_path) == {1: b"".join(b"%d," % number for number in range(500))}
    assert 1 <= writer.syncs <= 3


def test_writesInPart(tmp_path: Path) -> None:
    """
    A write that takes only a part is gone on with.
    """
    disk = Disk()
    disk.largest = 3
    files = Segments(tmp_path, disk.write)
    files.start()
    files.append(1, b"0123456789")
    files.stop()
    assert contents(tmp_path) == {1: b"0123456789"} and disk.calls == 4


def test_fullDisk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]) -> None:
    """
    What a full disk doesn't take is written once there is room, in order and once; the half that
    was written is cut off. It is logged when it begins and when it ends.
    """
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    disk = Disk()
    files = Segments(tmp_path, disk.write)
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
    files.stop()
    assert contents(tmp_path) == {1: b"0123456789abcdefghijXYZ", 2: b"moreagain!"}
    told = [line for line in log if "spool" in line]
    assert len(told) == 2 and "No space left" in told[0] and "written again" in told[1]


def test_fullToTheEnd(tmp_path: Path, log: list[str]) -> None:
    """
    A disk that stays full doesn't keep the gateway from stopping, and is told of.
    """
    disk = Disk()
    disk.room = 0
    files = Segments(tmp_path, disk.write)
    files.start()
    files.append(1, b"lost")
    files.stop()
    assert contents(tmp_path) == {1: b""}
    assert any("No space left" in line for line in log)


def test_oneGatewayAtATime(tmp_path: Path) -> None:
    """
    A folder that another gateway has isn't taken; nor is one of anything else's.
    """
    files = Segments(tmp_path)
    files.start()
    with pytest.raises(ConfigurationError, match="another gateway's"):
        Segments(tmp_path).start()
    files.stop()
    files.stop()
    second = Segments(tmp_path)
    second.start()
    second.stop()


@pytest.mark.parametrize("where", ["missing/spool", "file"])
def test_noFolder(tmp_path: Path, where: str) -> None:
    """
    Where there can't be a folder the error says which, and why.
    """
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ConfigurationError, match=f"spool .*{where} can't be used: "):
        Segments(tmp_path / where).start()


def test_noLinkIsFollowed(tmp_path: Path) -> None:
    """
    A link in a file's place isn't written through.
    """
    folder = tmp_path / "spool"
    folder.mkdir()
    segmentPath(folder, 1).symlink_to(tmp_path / "target")
    files = Segments(folder)
    with pytest.raises(ConfigurationError):
        files.start()


def _until(done: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(500):
        if done():
            return
        waited.wait(0.01)
    raise AssertionError("it never came true")
