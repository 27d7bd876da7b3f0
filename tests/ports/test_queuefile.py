"""
Tests for L{pptpgw.ports.queuefile}: what queues find in their files.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import ConfigurationError
from pptpgw.ports.queuefile import NAME
from tests.ports.diskqueue import found, opened, put, stop, written


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
