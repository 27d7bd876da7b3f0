"""
Tests for L{pptpgw.ports.capturefile}, with real files that the real thread writes.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from pptpgw.counting.counters import Counters
from pptpgw.datapath.capture import Capture
from pptpgw.datapath.wire.pcapng import RECEIVED, SECTION_HEADER, sectionHeader
from pptpgw.error import ConfigurationError
from pptpgw.ports.capturefile import CHUNK, DELAY, FAILED, QUEUE_LIMIT, CaptureFile
from pptpgw.ports.worker import POLL
from tests.datapath.test_capture import read


class World:
    """
    The files of a capture.
    """

    def __init__(
        self, folder: Path, files: int = 3, write: Callable[[int, bytes], int] = os.write
    ) -> None:
        self.clock = Clock()
        self.path = folder / "capture.pcapng"
        self.counters = Counters()
        self.file = CaptureFile(self.clock, self.path, files, self.counters, write)

    def stop(self) -> None:
        """
        Stop, and give the thread time to finish.
        """
        stopped = self.file.stop()

        def isStopped() -> bool:
            self.clock.advance(POLL)
            return stopped.called

        waitFor(isStopped)

    def contents(self) -> dict[str, bytes]:
        """
        The contents of the files by name.
        """
        return {one.name: one.read_bytes() for one in self.path.parent.iterdir()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_written(world: World) -> None:
    """
    Everything that was taken is in the file at the end, in order.
    """
    world.file.start()
    for number in range(100):
        world.file.write(b"%d " % number)
    world.stop()
    world.stop()
    assert world.contents() == {"capture.pcapng": b"".join(b"%d " % one for one in range(100))}


def test_onlyItsOwnerCanRead(world: World) -> None:
    """
    Only the owner can read a capture, and the files that follow it, whatever the umask is.
    """
    before = os.umask(0)
    try:
        world.file.start()
        world.file.rotate()
        world.stop()
    finally:
        os.umask(before)
    modes = {one.name: one.stat().st_mode & 0o777 for one in world.path.parent.iterdir()}
    assert modes == {"capture.pcapng": 0o600, "capture.pcapng.1": 0o600}


def test_soon(world: World) -> None:
    """
    Octets are written within a moment if no more come, and at once if there are many.
    """
    world.file.start()
    world.file.write(b"little")
    assert world.contents() == {"capture.pcapng": b""}
    world.clock.advance(DELAY)
    waitFor(lambda: world.contents() == {"capture.pcapng": b"little"})
    world.file.write(bytes(CHUNK))
    waitFor(lambda: len(world.contents()["capture.pcapng"]) == CHUNK + 6)
    world.stop()
    assert world.clock.getDelayedCalls() == []


def waitFor(condition: Callable[[], bool]) -> None:
    """
    Give the thread time until the condition holds.
    """
    pause = threading.Event()
    for _ in range(500):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to that")


def test_rotated(world: World) -> None:
    """
    As many files are kept as the setting says, the newest first.
    """
    world.file.start()
    for number in range(5):
        if number:
            world.file.rotate()
        world.file.write(b"%d" % number)
    world.stop()
    assert world.contents() == {
        "capture.pcapng": b"4",
        "capture.pcapng.1": b"3",
        "capture.pcapng.2": b"2",
    }


def test_startedAgain(world: World) -> None:
    """
    A capture that is stopped and started in one process keeps the earlier file.
    """
    for number in range(2):
        world.file.start()
        world.file.write(SECTION_HEADER + b"%d" % number)
        world.stop()
        assert world.file.full
    assert world.contents() == {
        "capture.pcapng": SECTION_HEADER + b"1",
        "capture.pcapng.1": SECTION_HEADER + b"0",
    }


def test_oneFile(tmp_path: Path) -> None:
    """
    Where one file is kept, the next one replaces it.
    """
    world = World(tmp_path, files=1)
    world.file.start()
    world.file.write(b"1")
    world.file.rotate()
    world.file.write(b"2")
    world.stop()
    assert world.contents() == {"capture.pcapng": b"2"}


def test_anEarlierCapture(world: World) -> None:
    """
    The capture of an earlier run is kept.
    """
    earlier = sectionHeader("earlier")
    world.path.write_bytes(earlier)
    world.file.start()
    world.stop()
    assert world.contents() == {"capture.pcapng": b"", "capture.pcapng.1": earlier}


@pytest.mark.parametrize("kind", ["file", "folder", "link", "device"])
def test_somethingElse(world: World, kind: str) -> None:
    """
    A file that isn't a capture, a folder or a link of that name is left alone.
    """
    if kind == "file":
        world.path.write_bytes(b"a letter")
    elif kind == "folder":
        world.path.mkdir()
    elif kind == "link":
        target = world.path.parent / "target"
        target.write_bytes(SECTION_HEADER)
        world.path.symlink_to(target)
    else:
        os.mkfifo(world.path)
    before = sorted(os.listdir(world.path.parent))
    with pytest.raises(ConfigurationError, match=r"something else of this name.*--pcap"):
        world.file.start()
    assert sorted(os.listdir(world.path.parent)) == before


def test_noFolder(tmp_path: Path) -> None:
    """
    A missing folder is an error at the start.
    """
    world = World(tmp_path / "absent")
    with pytest.raises(ConfigurationError, match="No such file"):
        world.file.start()
    world.stop()


def test_diskFull(tmp_path: Path) -> None:
    """
    An error of writing ends the capture. The error is counted and logged once, and isn't raised.
    """
    written: list[bytes] = []

    def write(descriptor: int, octets: bytes) -> int:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(octets)
        return len(octets)

    world = World(tmp_path, write=write)
    with capturedLogs() as events:
        world.file.start()
        for _ in range(5):
            world.file.write(bytes(CHUNK))
            world.file.rotate()
        world.stop()
    assert len(written) == 1
    assert world.file.full
    assert world.counters.discards == {FAILED: 1}
    (end,) = [event for event in events if event["log_level"] is LogLevel.error]
    assert "No space left" in formatEvent(end)


def test_theFolderGoes(tmp_path: Path) -> None:
    """
    A capture ends when its folder goes, since no next file can be made.
    """
    folder = tmp_path / "folder"
    folder.mkdir()
    world = World(folder)
    world.file.start()
    world.path.unlink()
    folder.rmdir()
    world.file.rotate()
    world.file.write(b"more")
    world.stop()
    assert world.counters.discards == {FAILED: 1}


def test_itIsSaidAloud(world: World) -> None:
    """
    The log warns of what the file contains.
    """
    with capturedLogs() as events:
        world.file.start()
        world.stop()
    (warning,) = events
    assert warning["log_level"] is LogLevel.warn
    assert "DECRYPTED" in formatEvent(warning) and str(world.path) in formatEvent(warning)


def test_aShortWrite(tmp_path: Path) -> None:
    """
    What a short write leaves over is written next.
    """
    world = World(tmp_path, write=lambda descriptor, octets: os.write(descriptor, octets[:7]))
    world.file.start()
    world.file.write(bytes(range(100)))
    world.stop()
    assert world.contents() == {"capture.pcapng": bytes(range(100))}


def test_aSlowDisk(tmp_path: Path) -> None:
    """
    A slow disk doesn't hold up the reactor: a limited number of octets waits, and what was taken is
    written.
    """
    released = threading.Event()

    def write(descriptor: int, octets: bytes) -> int:
        released.wait()
        return os.write(descriptor, octets)

    world = World(tmp_path, write=write)
    world.file.start()
    taken = 0
    while not world.file.full:
        world.file.write(bytes(CHUNK))
        taken += 1
    assert QUEUE_LIMIT <= taken <= QUEUE_LIMIT + 1
    released.set()
    world.stop()
    assert len(world.contents()["capture.pcapng"]) == taken * CHUNK


def test_withACapture(tmp_path: Path) -> None:
    """
    A capture and its files together make files that can be read one by one, without a loss.
    """
    world = World(tmp_path, files=100)
    capture = Capture(world.file, 500, world.counters, world.clock.seconds)
    world.file.start()
    capture.start()
    recorder = capture.open("alice@192.0.2.2", "pptp", Counters())
    recorder.release()
    for number in range(40):
        recorder.record(RECEIVED, b"\xff\x03\xc0\x21" + bytes([number]))
    world.stop()
    contents = world.contents()
    names = [f"capture.pcapng.{number}" for number in range(len(contents) - 1, 0, -1)]
    seen = [one for name in [*names, "capture.pcapng"] for one in read(contents[name])]
    assert [(name, frame[5]) for name, frame in seen] == [
        ("alice@192.0.2.2", number) for number in range(40)
    ]
