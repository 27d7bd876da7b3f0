"""
Tests for L{pptpgw.ports.queue}, with real files.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError

from pptpgw.error import ConfigurationError
from pptpgw.ports.queue import MOST_AT_ONCE, RETRY_SECONDS, Queue
from pptpgw.ports.queuefile import NAME, Changes
from tests.ports.diskqueue import CLOCK, LIMIT, found, opened, put, stop, written


class Disk:
    """
    A stand-in for a queue's file that the test can stop and make fail.

    @ivar why: the reason of failures, or nothing for none.
    @ivar writes: the numbers of the entries that each transaction wrote.
    """

    def __init__(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        self.why = ""
        self.writes: list[list[int]] = []
        self.free = threading.Event()
        self.free.set()
        assert queue._file is not None
        self._write = queue._file.write
        monkeypatch.setattr(queue._file, "write", self.write)

    def write(self, changes: Changes) -> None:
        self.free.wait(10)
        if self.why:
            raise sqlite3.OperationalError(self.why)
        self._write(changes)
        self.writes.append(list(changes))


def test_foundAgain(tmp_path: Path) -> None:
    """
    The next start finds the unsettled entries, in order, and continues their numbers.
    """
    folder = tmp_path / "spool"
    queue = Queue(CLOCK, "spool", str(folder), LIMIT)
    assert queue.start() == {}
    numbers = [put(queue, b"%d" % number) for number in range(2500)]
    written(queue)
    for number in numbers[::2]:
        queue.settle(number)
    stop(queue)
    again = Queue(CLOCK, "spool", str(folder), LIMIT)
    kept = again.start()
    assert list(kept.items()) == [(n, (b"key", b"%d" % (n - 1))) for n in numbers[1::2]]
    assert again.size == queue.size
    assert put(again, b"new") == numbers[-1] + 1
    stop(again)


def test_onlyItsOwnerReadsIt(tmp_path: Path) -> None:
    """
    Only the owner can read the files, also while they are written, whatever the umask is.
    """
    folder = tmp_path / "spool"
    before = os.umask(0)
    try:
        queue = opened(folder)
        put(queue, b"one")
        written(queue)
    finally:
        os.umask(before)
    assert sorted(one.name for one in folder.iterdir()) == [NAME, f"{NAME}-wal"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    stop(queue)


def test_inMemory() -> None:
    """
    A queue without a folder works the same, but nothing survives the process.
    """
    queue = Queue(None, "spool", "", 1000)
    assert queue.start() == {} and not queue.isDurable
    number = put(queue, b"value")
    assert queue.size == 64 + 8 and not queue.isKept(number)
    assert queue.put(b"", bytes(1000)) is None
    queue.settle(number)
    assert queue.size == 0
    put(queue, b"value")
    assert queue.stop().called
    assert queue.start() == {} and queue.size == 0


def test_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Entries that come while the disk is busy are written together, up to a limit, in order. Those
    that are settled meanwhile aren't written.
    """
    queue = opened(tmp_path)
    disk = Disk(queue, monkeypatch)
    disk.free.clear()
    numbers = [put(queue, b"x") for _ in range(1 + MOST_AT_ONCE + 5)]
    queue.settle(numbers[0])
    queue.settle(numbers[1])
    disk.free.set()
    written(queue)
    first, *others = numbers
    assert disk.writes == [
        [first],
        others[1 : 1 + MOST_AT_ONCE],
        [*others[1 + MOST_AT_ONCE :], first],
    ]
    stop(queue)
    assert list(found(tmp_path)) == others[1:]


def test_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An entry counts as kept only when it is on the disk, and whoever asked is told then.
    """
    queue = Queue(CLOCK, "spool", str(tmp_path), LIMIT)
    told: list[bool] = []
    queue.start(lambda: told.append(queue.isKept(1)))
    disk = Disk(queue, monkeypatch)
    disk.free.clear()
    number = put(queue, b"x")
    assert not queue.isKept(number) and not told
    disk.free.set()
    written(queue)
    assert queue.isKept(number) and told == [True]
    stop(queue)


def test_limit(tmp_path: Path) -> None:
    """
    An entry without room isn't taken, and there is room again when another is settled. The file has
    room for all entries that are taken and never exceeds the limit.
    """
    limit = 1 << 20
    queue = opened(tmp_path, limit)
    numbers = []
    while (number := queue.put(b"session", bytes(300))) is not None:
        numbers.append(number)
    written(queue)
    assert limit - 400 < queue.size <= limit
    for number in numbers[:300]:
        queue.settle(number)
        put(queue, bytes(300), b"session")
    assert queue.put(b"session", bytes(300)) is None
    written(queue)
    stop(queue)
    assert (tmp_path / NAME).stat().st_size <= limit
    assert len(found(tmp_path)) == len(numbers)


def test_moreThanTheFileTakes(tmp_path: Path, log: list[str]) -> None:
    """
    When half-empty pages fill the file early, further entries stay in memory, and the file still
    doesn't exceed the limit.
    """
    limit = 1 << 20
    queue = opened(tmp_path, limit)
    # A page has room for one of these.
    numbers = [put(queue, bytes(2100)) for _ in range(400)]
    CLOCK.until(lambda: log)
    assert "database or disk is full" in log[0] and queue.waiting
    for number in numbers[:300]:
        queue.settle(number)
    CLOCK.advance(RETRY_SECONDS)
    written(queue)
    stop(queue)
    assert (tmp_path / NAME).stat().st_size <= limit
    assert list(found(tmp_path)) == numbers[300:]


def test_fullDisk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]) -> None:
    """
    Entries that a full disk doesn't take are written in order once there is room. The beginning and
    the end of that are logged.
    """
    queue = opened(tmp_path)
    disk = Disk(queue, monkeypatch)
    disk.why = "database or disk is full"
    one, two = put(queue, b"one"), put(queue, b"two")
    CLOCK.until(lambda: log)
    three = put(queue, b"three")
    queue.settle(one)
    CLOCK.advance(RETRY_SECONDS)
    CLOCK.until(CLOCK.getDelayedCalls)
    assert queue.waiting == 2 and not queue.isKept(two)
    disk.why = ""
    CLOCK.advance(RETRY_SECONDS)
    written(queue)
    stop(queue)
    assert found(tmp_path) == {two: b"two", three: b"three"}
    assert log == [
        f"the spool {tmp_path} can't be written, what comes is in memory alone: database or disk "
        "is full",
        f"the spool {tmp_path} is written again",
    ]


def test_aTransactionThatFails(tmp_path: Path, log: list[str]) -> None:
    """
    A transaction that fails leaves nothing on the disk, and is written completely when it is tried
    again.
    """
    queue = opened(tmp_path)
    put(queue, b"good")
    written(queue)
    assert queue._file is not None
    database = queue._file._database
    assert database is not None
    database.execute(
        "CREATE TEMP TRIGGER failing BEFORE INSERT ON entries WHEN NEW.key = CAST('bad' AS BLOB) "
        "BEGIN SELECT RAISE(FAIL, 'a fault'); END"
    )
    put(queue, b"bad", b"bad")
    CLOCK.until(lambda: log)
    assert log[0].endswith("a fault") and not database.in_transaction
    database.execute("DROP TRIGGER failing")
    CLOCK.advance(RETRY_SECONDS)
    written(queue)
    stop(queue)
    assert list(found(tmp_path).values()) == [b"good", b"bad"]


def test_fullToTheEnd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]) -> None:
    """
    A disk that stays full doesn't keep the gateway from stopping, and the loss is logged.
    """
    queue = opened(tmp_path)
    disk = Disk(queue, monkeypatch)
    disk.why = "database or disk is full"
    put(queue, b"lost")
    put(queue, b"lost too")
    CLOCK.until(lambda: log)
    stop(queue)
    assert found(tmp_path) == {}
    assert "closed without 2 changes" in log[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_fullFileSystem(tmp_path: Path, log: list[str]) -> None:
    """
    The gateway starts with a full file system, nothing waits for the disk, and everything is
    written once there is room.
    """
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        with open(folder / "ballast", "wb", buffering=0) as ballast, pytest.raises(OSError):
            while True:
                ballast.write(bytes(4096))
        queue = opened(folder)
        numbers = [put(queue, bytes(300)) for _ in range(50)]
        CLOCK.until(lambda: log)
        assert "can't be written" in log[0] and "full" in log[0] and queue.waiting == 50
        (folder / "ballast").unlink()
        CLOCK.advance(RETRY_SECONDS)
        written(queue)
        stop(queue)
        assert list(found(folder)) == numbers
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_aDiskThatHangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]) -> None:
    """
    Nothing waits for a disk that hangs. The queue takes what it has room for, the log says so, and
    everything is written when the disk answers.
    """
    queue = opened(tmp_path, 1000)
    disk = Disk(queue, monkeypatch)
    disk.free.clear()
    taken = [queue.put(b"", bytes(36)) for _ in range(20)]
    assert taken == [*range(1, 11), *[None] * 10]
    assert not any(queue.isKept(number) for number in range(1, 11))
    CLOCK.advance(RETRY_SECONDS)
    assert [line.rpartition(": ")[2] for line in log] == ["the disk doesn't answer"]
    disk.free.set()
    written(queue)
    stop(queue)
    assert len(found(tmp_path)) == 10 and log[1].endswith("is written again")


def test_aDiskThatHangsToTheEnd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The end waits for a hanging disk no longer than its limit, and another process can have the
    folder when the disk has let go.
    """
    queue = opened(tmp_path)
    disk = Disk(queue, monkeypatch)
    disk.free.clear()
    put(queue, b"kept")
    put(queue, b"too")
    stopped = queue.stop()
    assert not stopped.called
    stopped.addErrback(lambda failure: failure.trap(CancelledError))
    stopped.cancel()
    assert CLOCK.getDelayedCalls() == []
    with pytest.raises(ConfigurationError, match="isn't closed yet"):
        queue.start()
    with pytest.raises(ConfigurationError, match="another gateway's"):
        opened(tmp_path)
    disk.free.set()
    CLOCK.until(lambda: queue._worker is None)
    assert list(found(tmp_path).values()) == [b"kept", b"too"]


def test_oneGatewayAtATime(tmp_path: Path) -> None:
    """
    A folder that another gateway uses is refused, and that gateway isn't disturbed.
    """
    queue = opened(tmp_path)
    put(queue, b"first")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="another gateway's"):
            opened(tmp_path)
    other = f"""
from pathlib import Path
from pptpgw.ports.queue import Queue
try:
    Queue(None, "spool", {str(tmp_path)!r}, 1 << 20).start()
except Exception as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=True)
    assert "another gateway's" in said.stdout
    put(queue, b"second")
    written(queue)
    stop(queue)
    assert queue.stop().called
    assert list(found(tmp_path).values()) == [b"first", b"second"]


def test_startedAgain(tmp_path: Path) -> None:
    """
    A queue that was stopped can be started again, even if an entry came while it was closed.
    """
    queue = opened(tmp_path)
    put(queue, b"first")
    written(queue)
    stopped = queue.stop()
    put(queue, b"too late")
    CLOCK.until(lambda: stopped.called)
    assert CLOCK.getDelayedCalls() == []
    assert queue.start() == {1: (b"key", b"first")}
    put(queue, b"second")
    written(queue)
    stop(queue)
    assert list(found(tmp_path).values()) == [b"first", b"second"]
