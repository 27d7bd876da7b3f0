"""
Tests for L{pptpgw.ports.queue}, with real files.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from pptpgw.error import ConfigurationError
from pptpgw.ports.queue import MOST_AT_ONCE, NAME, RETRY_SECONDS, Changes, Queue

LIMIT = 1 << 24


class Threaded(Clock):
    """
    A reactor whose clock the test moves, and which threads call.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        self._calls.put(lambda: function(*arguments))

    def until(self, done: Callable[[], object]) -> None:
        """
        Let threads work until C{done} is true.
        """
        waited = threading.Event()
        for _ in range(1000):
            while not self._calls.empty():
                self._calls.get()()
            if done():
                return
            waited.wait(0.005)
        raise AssertionError("it never came true")


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


def opened(folder: Path, limit: int = LIMIT) -> Queue:
    one = Queue(CLOCK, "spool", str(folder), limit)
    one.start()
    return one


CLOCK = Threaded()


def stop(queue: Queue) -> None:
    stopped = queue.stop()
    CLOCK.until(lambda: stopped.called)
    assert CLOCK.getDelayedCalls() == []


def found(folder: Path) -> dict[int, bytes]:
    """
    The values that a start finds.
    """
    queue = Queue(CLOCK, "spool", str(folder), LIMIT)
    entries = queue.start()
    stop(queue)
    return {number: value for number, (_, value) in entries.items()}


def written(queue: Queue) -> None:
    CLOCK.until(lambda: not queue.waiting)


def put(queue: Queue, value: bytes, key: bytes = b"key") -> int:
    number = queue.put(key, value)
    assert number is not None
    return number


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


@pytest.mark.parametrize("where", ["missing/spool", "file", "link"])
def test_noFolder(tmp_path: Path, where: str) -> None:
    """
    The error about a folder that can't be made, or a file that is a link, names it and the reason.
    """
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / NAME).symlink_to(tmp_path / "target")
    with pytest.raises(ConfigurationError, match=f"spool .*{where} can't be used: "):
        opened(tmp_path / where)
    assert not (tmp_path / "target").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes others")
def test_aFolderThatIsNotWritable(tmp_path: Path) -> None:
    """
    A folder of another user is refused, with or without a file in it.
    """
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    stop(opened(tmp_path / "full"))
    (tmp_path / "empty").mkdir()
    for name in ("full", "empty"):
        folder = tmp_path / name
        folder.chmod(0o755)
        os.seteuid(65534)
        try:
            with pytest.raises(ConfigurationError, match=f"spool {folder} can't be used: "):
                opened(folder)
        finally:
            os.seteuid(0)


def test_filesOfAnEarlierVersion(tmp_path: Path, log: list[str]) -> None:
    """
    Files of an earlier version are left alone, and one line of the log says that they aren't read.
    """
    for number in range(3):
        (tmp_path / f"{number:012}.spool").write_bytes(b"pptpgw spool 1\n\n")
    stop(opened(tmp_path))
    assert log == [
        f"3 files in {tmp_path} are those of an earlier version (*.spool), which this one doesn't "
        "read"
    ]
    assert len(list(tmp_path.glob("*.spool"))) == 3


# What a crash, a broken disk or another program leaves.

KILLED = """
import sys
from twisted.internet import reactor
from pptpgw.ports.queue import Queue

def told():
    if not queue.waiting:
        print(last, flush=True)
        reactor.callLater(0, more)

def more():
    global last
    for number in range(50):
        last = queue.put(b"s", b"%d" % number)

queue = Queue(reactor, "spool", sys.argv[1], 1 << 30)
queue.start(told)
reactor.callWhenRunning(more)
reactor.run()
"""


def test_killed(tmp_path: Path) -> None:
    """
    The entries that were on the disk when the process was killed are found, in order and without a
    gap.
    """
    for run in range(3):
        folder = tmp_path / f"{run}"
        command = [sys.executable, "-c", KILLED, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            late = threading.Timer(20, process.kill)
            late.start()
            lines = [process.stdout.readline() for _ in range(random.randint(2, 20))]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
            late.cancel()
        acknowledged = max(int(line) for line in lines if line.endswith("\n"))
        numbers = list(found(folder))
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= acknowledged > 0
        assert lines[-1], "the queue came to a stop"


def test_flippedBit(tmp_path: Path, log: list[str]) -> None:
    """
    An entry with a flipped bit isn't returned. The others are, and the file is kept.
    """
    queue = opened(tmp_path)
    put(queue, b"first")
    put(queue, b"second")
    put(queue, b"third")
    stop(queue)
    path = tmp_path / NAME
    octets = path.read_bytes()
    path.write_bytes(octets.replace(b"second", b"sekond"))
    for _ in range(2):
        assert found(tmp_path) == {1: b"first", 3: b"third"}
    assert len(log) == 1 and "1 entries aren't as they were written; the 2 entries" in log[0]
    assert (tmp_path / f"{NAME}.damaged").read_bytes() == octets.replace(b"second", b"sekond")


@pytest.mark.parametrize("end", ["tail", "page", "none"])
def test_damagedFile(tmp_path: Path, log: list[str], end: str) -> None:
    """
    The entries before the damage in a file are kept. A file that lost its end, or that isn't
    SQLite's, has none. The damaged file is kept in any case.
    """
    queue = opened(tmp_path)
    for number in range(200):
        put(queue, b"%d" % number + bytes(300))
    stop(queue)
    path = tmp_path / NAME
    octets = path.read_bytes()
    if end == "tail":
        path.write_bytes(octets[:40960])
    elif end == "page":
        path.write_bytes(octets[:40960] + os.urandom(4096) + octets[45056:])
    else:
        path.write_bytes(os.urandom(len(octets)))
    first = found(tmp_path)
    assert list(first) == list(range(1, len(first) + 1))
    assert (50 < len(first) < 200) if end == "page" else not first
    assert (tmp_path / f"{NAME}.damaged").exists()
    assert len(log) == 1 and "is damaged" in log[0] and f"the {len(first)} entries" in log[0]
    assert found(tmp_path) == first and len(log) == 1


def test_damageOutsideOfTheEntries(tmp_path: Path, log: list[str]) -> None:
    """
    A file that is damaged outside of its entries is replaced too, since writing to it would fail.
    """
    queue = opened(tmp_path)
    numbers = [put(queue, bytes(300)) for _ in range(200)]
    written(queue)
    for number in numbers[:100]:
        queue.settle(number)
    stop(queue)
    path = tmp_path / NAME
    octets = path.read_bytes()
    # The number of free pages (https://www.sqlite.org/fileformat.html, section 1.3).
    assert octets[39] > 1
    path.write_bytes(octets[:39] + b"\1" + octets[40:])
    assert list(found(tmp_path)) == numbers[100:] and "reelist" in log[0]
    assert list(found(tmp_path)) == numbers[100:] and len(log) == 1


def test_damagedFileWithItsLog(tmp_path: Path) -> None:
    """
    The write-ahead log of a damaged file isn't taken for that of its replacement.
    """
    folder = killed(tmp_path)
    path = folder / NAME
    path.write_bytes(b"damaged" + path.read_bytes()[7:])
    queue = opened(folder)
    put(queue, b"new")
    stop(queue)
    assert found(folder) == {1: b"new"} and (folder / f"{NAME}.damaged").exists()


def killed(folder: Path) -> Path:
    """
    A folder as a process leaves it that was killed after five transactions. The first page of the
    database isn't in the write-ahead log.
    """
    queue = opened(folder / "spool")
    queue.settle(put(queue, b"before"))
    written(queue)
    stop(queue)
    queue = opened(folder / "spool")
    for number in range(5):
        put(queue, b"%d" % number)
        written(queue)
    copy = folder / "copy"
    copy.mkdir(0o700)
    for path in (folder / "spool").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    stop(queue)
    return copy


def test_tornWriteAheadLog(tmp_path: Path) -> None:
    """
    A transaction that a crash tore is missing, and those before it are found.
    """
    folder = killed(tmp_path)
    log = folder / f"{NAME}-wal"
    octets = log.read_bytes()
    log.write_bytes(octets[: len(octets) - 100])
    assert list(found(folder).values()) == [b"0", b"1", b"2", b"3"]


def test_anotherDatabase(tmp_path: Path, log: list[str]) -> None:
    """
    A database with other tables, or with values of other types, is moved aside.
    """
    path = tmp_path / NAME
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE entries (x)")
    assert found(tmp_path) == {} and "no such column" in log[0]
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO entries VALUES (1, 2, NULL, 'x')")
        database.execute("INSERT INTO entries VALUES (2, CAST(x'ff' AS TEXT), 'v', 0)")
        database.commit()
    assert found(tmp_path) == {} and "2 entries aren't" in log[1]


@given(octets=st.binary(max_size=300), isDatabase=st.booleans())
def test_anyOctets(
    tmp_path_factory: pytest.TempPathFactory, octets: bytes, isDatabase: bool
) -> None:
    """
    A queue starts and works, whatever octets the file has.
    """
    folder = tmp_path_factory.mktemp("spool")
    (folder / NAME).write_bytes((b"SQLite format 3\0" if isDatabase else b"") + octets)
    queue = opened(folder)
    put(queue, b"stop")
    written(queue)
    stop(queue)
    assert list(found(folder).values()) == [b"stop"]


def test_theDatabaseIsAsItShouldBe(tmp_path: Path) -> None:
    """
    Each transaction is forced to the disk.
    """
    queue = opened(tmp_path)
    assert queue._file is not None
    database = queue._file._database
    assert database is not None
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert database.execute("PRAGMA journal_mode").fetchone() == (b"wal",)
    stop(queue)
