"""
Tests of L{pptpgw.radius.spool}: what is sent when, and what a file keeps.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.counters import Counters
from pptpgw.radius import spool as module
from pptpgw.radius.spool import FULL, GIVEN_UP, TORN, Entry, NoFiles, Spool, entries
from pptpgw.radius.transport import Unanswered

LIMIT = 1 << 20


class MemoryFiles:
    """
    Files in memory, that a crash can stop at any octet.
    """

    def __init__(self) -> None:
        self.files: dict[int, bytes] = {}
        self.stopped = 0

    def start(self) -> list[tuple[int, bytes]]:
        return sorted(self.files.items())

    def append(self, number: int, octets: bytes) -> None:
        self.files[number] = self.files.get(number, b"") + octets

    def remove(self, number: int) -> None:
        self.files.pop(number, None)

    def stop(self) -> None:
        self.stopped += 1

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))


class Run:
    """
    One run of the gateway's spool, and the servers that it sends to.

    @ivar sent: every record that was sent; C{open} those that wait for an answer.
    """

    def __init__(self, files: MemoryFiles | None = None, limit: int = LIMIT) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.files = MemoryFiles() if files is None else files
        self.sent: list[bytes] = []
        self.open: dict[bytes, Deferred[None]] = {}
        self.spool = Spool(self.clock, self.files, self.send, limit, self.counters)
        self.spool.start()

    def send(self, octets: bytes) -> Deferred[None]:
        self.sent.append(octets)
        self.open[octets] = Deferred()
        return self.open[octets]

    def answer(self, *records: bytes) -> None:
        for record in records:
            self.open.pop(record).callback(None)

    def leave(self, *records: bytes) -> None:
        for record in records:
            self.open.pop(record).errback(Failure(Unanswered("nobody answers")))

    def put(self, *records: tuple[bytes, bytes]) -> None:
        for session, octets in records:
            assert self.spool.put(session, octets)

    def answerAll(self) -> None:
        while self.open:
            self.answer(next(iter(self.open)))


def many(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"s%d" % number, b"r%d" % number) for number in range(count)]


def test_sentAtOnce() -> None:
    """
    A record goes when it comes; once it is answered nothing is left to do.
    """
    run = Run()
    run.put((b"a", b"start"))
    assert run.sent == [b"start"] and run.spool.awaits(b"a")
    run.answer(b"start")
    assert len(run.spool) == 0 and not run.spool.awaits(b"a")
    assert not run.clock.getDelayedCalls()


def test_inOrderOfASession() -> None:
    """
    A session's Stop waits for the answer to its Start, other sessions don't.
    """
    run = Run()
    run.put((b"a", b"start"), (b"a", b"stop"), (b"b", b"other"))
    assert run.sent == [b"start", b"other"]
    run.answer(b"other")
    assert run.sent == [b"start", b"other"]
    run.answer(b"start")
    assert run.sent == [b"start", b"other", b"stop"]


def test_aRecordOfNoSessionGoesAlone() -> None:
    """
    Accounting-On comes after the Stops of the run before and before the Starts of this one.
    """
    run = Run()
    run.put((b"a", b"stop"), (b"", b"on"), (b"b", b"start"))
    assert run.sent == [b"stop"]
    run.answer(b"stop")
    assert run.sent == [b"stop", b"on"]
    run.answer(b"on")
    assert run.sent == [b"stop", b"on", b"start"]


def test_aRecordOfNoSessionDoesNotHoldUpForEver() -> None:
    """
    Where a server won't take Accounting-On, the others go all the same.
    """
    run = Run()
    run.put((b"", b"on"), (b"a", b"start"))
    for _ in range(module.ALONE_TRIES):
        assert run.sent.count(b"start") == 0
        run.leave(b"on")
        run.clock.advance(module.LONGEST_PAUSE * 1.3)
    assert b"start" in run.open


def test_window() -> None:
    """
    As long as nobody has answered few are sent, then many, never more.
    """
    run = Run()
    run.put(*many(100))
    assert len(run.open) == module.PROBES
    run.answer(b"r0")
    assert len(run.open) == module.WINDOW
    run.answerAll()
    assert run.sent == [octets for _, octets in many(100)]


def test_nobodyAnswers() -> None:
    """
    All wait, longer each time up to a limit, then a few are sent again, in order; nothing is lost.
    """
    run = Run()
    run.put(*many(10))
    pauses = []
    for _ in range(12):
        first = list(run.open)
        assert first == [b"r%d" % number for number in range(module.PROBES)]
        run.leave(*first)
        assert not run.open
        [timer] = run.clock.getDelayedCalls()
        pauses.append(timer.getTime() - run.clock.seconds())
        run.clock.advance(pauses[-1])
    assert 0.8 <= pauses[0] <= 1.2 < pauses[1]
    assert all(
        0.8 * module.LONGEST_PAUSE <= pause <= 1.2 * module.LONGEST_PAUSE for pause in pauses[-5:]
    )
    run.answerAll()
    assert len(run.spool) == 0 and set(run.sent) == {octets for _, octets in many(10)}


def test_oneAnswerEndsThePause() -> None:
    """
    What is still under way when all begin to wait may be answered, and then they go on.
    """
    run = Run()
    run.put(*many(6))
    run.leave(b"r0")
    assert len(run.open) == 3
    run.answer(b"r1")
    assert list(run.open) == [b"r2", b"r3", b"r0", b"r4", b"r5"]
    run.answerAll()
    assert not run.clock.getDelayedCalls()


def test_givenUp() -> None:
    """
    A record that stays unanswered while others are answered holds up its session alone, and is
    given up.
    """
    run = Run()
    run.put((b"bad", b"poison"), (b"bad", b"after"))
    for number in range(module.TRIES):
        run.put((b"s%d" % number, b"good%d" % number))
        assert b"poison" in run.open and b"after" not in run.open
        run.answer(b"good%d" % number)
        run.leave(b"poison")
        if number < module.TRIES - 1:
            assert b"poison" not in run.open
            run.clock.advance(module.LONGEST_PAUSE)
    assert run.counters.discards == {GIVEN_UP: 1}
    run.answer(b"after")
    assert len(run.spool) == 0 and run.sent.count(b"poison") == module.TRIES


def test_nothingIsGivenUpWhileNobodyAnswers() -> None:
    """
    However long the servers are dead, a record is kept.
    """
    run = Run()
    run.put((b"a", b"stop"))
    for _ in range(module.TRIES * 5):
        run.leave(b"stop")
        run.clock.advance(module.LONGEST_PAUSE * 1.3)
    run.answer(b"stop")
    assert not run.counters.discards and len(run.spool) == 0


def test_answeredAtOnce() -> None:
    """
    A server that answers before C{send} returns doesn't make the stack grow.
    """
    files = MemoryFiles()
    waiting = Run(files)
    waiting.put(*many(3000))
    sent: list[bytes] = []

    def send(octets: bytes) -> Deferred[None]:
        sent.append(octets)
        return succeed(None)

    spool = Spool(Clock(), files, send, LIMIT, Counters())
    spool.start()
    assert sent == [octets for _, octets in many(3000)] and len(spool) == 0


def test_refusedAtOnce() -> None:
    """
    Nor one that fails so.
    """
    clock = Clock()
    spool = Spool(clock, NoFiles(), lambda octets: fail(Unanswered("no")), LIMIT, Counters())
    spool.start()
    for session, octets in many(50):
        spool.put(session, octets)
    assert len(spool) == 50 and len(clock.getDelayedCalls()) == 1


def test_anotherErrorIsLogged(loggedFailures: list[Failure]) -> None:
    """
    What isn't a server's silence is logged, and the record tried again.
    """
    run = Run()
    run.put((b"a", b"stop"))
    run.open.pop(b"stop").errback(Failure(ValueError("a fault")))
    assert loggedFailures.pop().check(ValueError)
    run.clock.advance(2)
    run.answer(b"stop")


# Restarts


def test_survivesARestart() -> None:
    """
    What was not answered is sent by the next run, in order, before what is new.
    """
    files = MemoryFiles()
    first = Run(files)
    first.put((b"a", b"start"), (b"b", b"start b"), (b"a", b"stop"))
    first.answer(b"start b")
    second = Run(files)
    second.put((b"", b"on"))
    assert second.sent == [b"start"]
    second.answer(b"start")
    second.answer(b"stop")
    assert second.sent == [b"start", b"stop", b"on"]


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
    assert len(files.files) >= 3 and max(map(len, files.files.values())) <= module.SEGMENT_OCTETS
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
    assert again.sent == [] and again.spool.size == 0
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
    files.files[7] = (module._MAGIC if magic else b"") + octets
    run = Run(files)
    run.put((b"a", b"stop"))
    run.answer(b"stop")


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 3)),
        st.tuples(st.just("answer"), st.integers(0, 40)),
        st.tuples(st.just("leave"), st.integers(0, 40)),
        st.tuples(st.just("wait"), st.integers(1, 90)),
        st.tuples(st.just("crash"), st.integers(0, 0)),
    ),
    max_size=60,
)


@given(steps=_STEPS)
@settings(max_examples=200, deadline=None)
def test_nothingIsLostNothingTwice(steps: Iterable[tuple[str, int]]) -> None:
    """
    Through answers, silence and crashes in any order each record is answered once, and those of one
    session in order.
    """
    files = MemoryFiles()
    run = Run(files)
    put: list[bytes] = []
    answered: list[bytes] = []

    def answer(octets: bytes) -> None:
        answered.append(octets)
        run.answer(octets)

    for step, number in steps:
        if step == "put":
            octets = b"%d/%d" % (number, len(put))
            put.append(octets)
            run.put((b"%d" % number if number else b"", octets))
        elif step == "crash":
            run = Run(files)
        elif step == "wait":
            run.clock.advance(number)
        elif run.open:
            octets = list(run.open)[number % len(run.open)]
            answer(octets) if step == "answer" else run.leave(octets)
    for _ in range(200):
        while run.open:
            answer(next(iter(run.open)))
        run.clock.advance(10)
    # One that failed while others were answered too often would be given up: not in so few steps.
    given = run.counters.discards.get(GIVEN_UP, 0)
    assert len(answered) + given == len(put) and len(set(answered)) == len(answered)
    for session in range(1, 4):
        mine = [octets for octets in answered if octets.startswith(b"%d/" % session)]
        assert mine == [octets for octets in put if octets in mine]


# The end


def test_stopWaitsForAnswers() -> None:
    """
    The last Stops are sent before the gateway is gone.
    """
    files = MemoryFiles()
    run = Run(files)
    run.put(*many(3))
    stopped = run.spool.stop(5)
    ended: list[None] = []
    stopped.addCallback(ended.append)
    assert ended == []
    run.answerAll()
    assert ended == [None] and files.stopped == 1
    assert not run.clock.getDelayedCalls()


@pytest.mark.parametrize("how", ["silence", "time"])
def test_stopDoesNotWaitForTheDead(how: str) -> None:
    """
    But not where nobody answers, nor for longer than that; they are kept.
    """
    files = MemoryFiles()
    run = Run(files)
    run.put(*many(3))
    stopped = run.spool.stop(5)
    if how == "silence":
        run.leave(b"r0")
    else:
        run.clock.advance(5)
    assert stopped.called and not run.clock.getDelayedCalls()
    assert len(Run(files).spool) == 3


def test_stopTwice() -> None:
    """
    It is harmless, and so is one before the start.
    """
    run = Run()
    assert run.spool.stop(1).called and run.spool.stop(1).called
    assert Spool(run.clock, NoFiles(), run.send, LIMIT, run.counters).stop(1).called


def test_entryRoundTrip() -> None:
    """
    An entry is read as it was written.
    """
    entry = Entry(b"R", 2**63, b"\x03abcoctets")
    assert list(entries(module._MAGIC + entry.encode())) == [entry]
