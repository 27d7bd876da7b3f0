"""
Tests of L{pptpgw.radius.journal}: what the files keep, of a spool that writes and reads them.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.radius.entry import MAGIC, entries
from pptpgw.radius.journal import FULL, SEGMENT_OCTETS, TORN
from tests.radius.spooled import MemoryFiles, Run, many


def test_answeredRecordsAreNotSentAgain() -> None:
    """
    No run sends what an earlier one had an answer for, however many runs there are between.
    """
    files = MemoryFiles()
    first = Run(files)
    first.put((b"stays", b"stays"), *many(20))
    first.answer(*(octets for _, octets in many(20)))
    for _ in range(3):
        assert Run(files).sent == [b"stays"]


def test_filesAreRemoved() -> None:
    """
    Files come one after another and go when all in them, and before them, is answered.
    """
    files = MemoryFiles()
    run = Run(files, 64 << 20)
    run.put((b"first", b"first"))
    for number in range(40):
        run.put((b"s%d" % number, b"%d" % number + bytes(100_000)))
    last = max(files.files)
    assert len(files.files) >= 3 and max(map(len, files.files.values())) <= SEGMENT_OCTETS
    for record in list(run.sent)[1:]:
        run.answer(record)
    while len(run.open) > 1:
        run.answer(list(run.open)[1])
    assert min(files.files) == 1
    run.answer(b"first")
    assert list(files.files) == [last] or len(files.files) == 1
    assert Run(files).sent == []
    assert files.size == 0 or list(files.files) == [max(files.files)]


def test_sizeIsKept() -> None:
    """
    The files never have more octets than they may, what says that records are answered included;
    what finds no room is counted, and there is room again later.
    """
    files = MemoryFiles()
    run = Run(files, 5000)
    taken = [octets for session, octets in many(200) if run.spool.put(session, octets)]
    assert 20 < len(taken) < 200
    assert run.counters.discards == {FULL: 200 - len(taken)}
    run.answerAll()
    assert run.sent == taken and files.size <= 5000
    # All stands in the one current file: a restart is what lets go of it.
    again = Run(files, 5000)
    assert again.sent == [] and again.journal.size == 0
    again.put((b"a", b"more"))


@pytest.mark.parametrize("lost", [0, 1, 6, 21, 22, 23, 43])
def test_tornEnd(lost: int) -> None:
    """
    A file that a crash tore is read up to there; the run goes on in another.
    """
    files = MemoryFiles()
    Run(files).put(*many(3))
    [(number, whole)] = files.files.items()
    files.files[number] = torn = whole[: len(whole) - lost]
    kept = [entry for entry in entries(torn) if entry is not None]
    run = Run(files)
    assert len(run.spool) == len(kept) == 3 - -(-lost // 22)
    assert run.counters.discards == ({TORN: 1} if lost % 22 else {})
    run.put((b"new", b"new"))
    assert files.files[number] == torn
    run.answerAll()
    assert number not in files.files


def test_flippedBit() -> None:
    """
    A record that isn't as it was written isn't sent.
    """
    files = MemoryFiles()
    Run(files).put((b"a", b"first"), (b"b", b"second"))
    [(number, whole)] = files.files.items()
    place = whole.index(b"second")
    files.files[number] = whole[:place] + b"S" + whole[place + 1 :]
    run = Run(files)
    assert run.sent == [b"first"] and run.counters.discards == {TORN: 1}


@given(octets=st.binary(max_size=300), magic=st.booleans())
def test_anyOctets(octets: bytes, magic: bool) -> None:
    """
    Whatever a file holds, the spool starts and works.
    """
    files = MemoryFiles()
    files.files[7] = (MAGIC if magic else b"") + octets
    run = Run(files)
    run.put((b"a", b"stop"))
    run.answer(b"stop")
