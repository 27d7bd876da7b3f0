"""
Tests for L{pptpgw.radius.spool}: what is sent when, and by which run.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.counting.counters import Counters
from pptpgw.ports.queue import Queue
from pptpgw.radius import spool as module
from pptpgw.radius.spool import FULL, GIVEN_UP, Spool
from pptpgw.radius.transport import Unanswered
from tests.ports.queued import LIMIT, MemoryQueue
from tests.radius.spooled import Run, many


def accounted(run: Run, session: bytes) -> list[bytes]:
    """
    A list that has C{session} in it once its records are accounted for.
    """
    done: list[bytes] = []
    run.spool.accounted(session).addCallback(lambda _: done.append(session))
    return done


def test_accountedFor() -> None:
    """
    A session is accounted for when all its records are answered, or when they are on the disk while
    nobody answers.
    """
    run = Run()
    run.put((b"a", b"start"), (b"a", b"stop"), (b"b", b"other"))
    first, other = accounted(run, b"a"), accounted(run, b"b")
    assert accounted(run, b"nobody")
    run.answer(b"other", b"start")
    assert other and not first
    run.leave(b"stop")
    assert first == accounted(run, b"a") == [b"a"]


def test_onlyTheDiskIsSafe() -> None:
    """
    A record that is only in memory isn't accounted for before a server has it or the spool is
    closed.
    """
    run = Run()
    run.queue.held = {1, 2}
    run.put((b"a", b"stop"), (b"b", b"stop b"))
    first, other = accounted(run, b"a"), accounted(run, b"b")
    run.leave(b"stop")
    run.queue.written()
    assert first == other == accounted(run, b"a") == []
    run.clock.advance(2)
    run.answer(b"stop")
    assert first and not other
    run.spool.close()
    assert other


def test_accountedForWhenTheDiskHasIt() -> None:
    """
    A session is accounted for, while nobody answers, when its last record is on the disk, whatever
    other sessions wait for.
    """
    run = Run()
    run.queue.held = {1, 2, 3}
    run.put((b"a", b"start"), (b"a", b"stop"), (b"b", b"other"))
    first, other = accounted(run, b"a"), accounted(run, b"b")
    run.queue.held = {2, 3}
    run.queue.written()
    run.leave(b"start")
    assert not first
    run.queue.held = {3}
    run.queue.written()
    assert first and not other


def test_full() -> None:
    """
    A record for which the queue has no room is counted and lost. There is room again when others
    are answered.
    """
    run = Run(MemoryQueue(1000))
    taken = [octets for session, octets in many(200) if run.spool.put(session, octets)]
    assert 10 < len(taken) < 20
    assert run.counters.discards == {FULL: 200 - len(taken)}
    run.answerAll()
    assert run.sent == taken and run.queue.size == 0
    run.put((b"a", b"more"))


def test_answeredRecordsAreNotSentAgain() -> None:
    """
    No run sends a record that an earlier run had an answer for, however many runs lie between.
    """
    queue = MemoryQueue()
    first = Run(queue)
    first.put((b"stays", b"stays"), *many(20))
    first.answer(*(octets for _, octets in many(20)))
    for _ in range(3):
        assert Run(queue).sent == [b"stays"]


def test_sentAtOnce() -> None:
    """
    A record is sent when it comes, and nothing is left to do once it is answered.
    """
    run = Run()
    run.put((b"a", b"start"))
    assert run.sent == [b"start"] and run.spool.awaits(b"a")
    run.answer(b"start")
    assert len(run.spool) == 0 and not run.spool.awaits(b"a")
    assert not run.clock.getDelayedCalls()


def test_inOrderOfASession() -> None:
    """
    A session's Stop waits for the answer to its Start. Other sessions' records don't wait.
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
    Accounting-On is sent after the Stops of the run before and before the Starts of this run.
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
    The other records are sent after L{ALONE_TRIES} attempts if no server takes Accounting-On.
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
    Few records are under way until one is answered, then as many as the window allows.
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
    All records wait while nobody answers, longer each time up to a limit. Then a few are sent
    again, in order, and nothing is lost.
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
    An answer to a record that was already under way ends the pause.
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
    A record that stays unanswered while others are answered delays only its own session, and is
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
    No record is given up while nobody answers, however long that lasts.
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
    queue = MemoryQueue()
    waiting = Run(queue)
    waiting.put(*many(3000))
    sent: list[bytes] = []

    def send(octets: bytes) -> Deferred[None]:
        sent.append(octets)
        return succeed(None)

    counters = Counters()
    spool = Spool(Clock(), queue, send, counters)
    spool.start()
    assert sent == [octets for _, octets in many(3000)] and len(spool) == 0


def test_refusedAtOnce() -> None:
    """
    A server that fails before C{send} returns doesn't make the stack grow.
    """
    clock = Clock()
    counters = Counters()
    spool = Spool(
        clock, Queue(None, "spool", "", LIMIT), lambda octets: fail(Unanswered("no")), counters
    )
    spool.start()
    for session, octets in many(50):
        spool.put(session, octets)
    assert len(spool) == 50 and len(clock.getDelayedCalls()) == 1


def test_anotherErrorIsLogged(loggedFailures: list[Failure]) -> None:
    """
    An exception other than L{Unanswered} is logged, and the record is sent again.
    """
    run = Run()
    run.put((b"a", b"stop"))
    run.open.pop(b"stop").errback(Failure(ValueError("a fault")))
    assert loggedFailures.pop().check(ValueError)
    run.clock.advance(2)
    run.answer(b"stop")


# Restarts.


def test_survivesARestart() -> None:
    """
    Unanswered records are sent by the next run, in order, before new ones.
    """
    queue = MemoryQueue()
    first = Run(queue)
    first.put((b"a", b"start"), (b"b", b"start b"), (b"a", b"stop"))
    first.answer(b"start b")
    second = Run(queue)
    second.put((b"", b"on"))
    assert second.sent == [b"start"]
    second.answer(b"start")
    second.answer(b"stop")
    assert second.sent == [b"start", b"stop", b"on"]


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
    Each record is answered once, and those of one session in order, whatever answers, silences and
    crashes come.
    """
    queue = MemoryQueue()
    run = Run(queue)
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
            run = Run(queue)
        elif step == "wait":
            run.clock.advance(number)
        elif run.open:
            octets = list(run.open)[number % len(run.open)]
            answer(octets) if step == "answer" else run.leave(octets)
    for _ in range(200):
        while run.open:
            answer(next(iter(run.open)))
        run.clock.advance(10)
    # A record that fails too often while others are answered would be given up, but there are too
    # few steps for that.
    given = run.counters.discards.get(GIVEN_UP, 0)
    assert len(answered) + given == len(put) and len(set(answered)) == len(answered)
    for session in range(1, 4):
        mine = [octets for octets in answered if octets.startswith(b"%d/" % session)]
        assert mine == [octets for octets in put if octets in mine]


# The end.


def test_stopWaitsForAnswers() -> None:
    """
    C{stop} waits until the last Stops are answered.
    """
    queue = MemoryQueue()
    run = Run(queue)
    run.put(*many(3))
    stopped = run.spool.stop(5)
    ended: list[None] = []
    stopped.addCallback(ended.append)
    assert ended == []
    run.answerAll()
    assert ended == [None] and queue.stopped == 1
    assert not run.clock.getDelayedCalls()


@pytest.mark.parametrize("how", ["silence", "time"])
def test_stopDoesNotWaitForTheDead(how: str) -> None:
    """
    C{stop} doesn't wait when nobody answers, or longer than its limit. The records are kept.
    """
    queue = MemoryQueue()
    run = Run(queue)
    run.put(*many(3))
    stopped = run.spool.stop(5)
    if how == "silence":
        run.leave(b"r0")
    else:
        run.clock.advance(5)
    assert stopped.called and not run.clock.getDelayedCalls()
    assert len(Run(queue).spool) == 3


def test_stopTwice() -> None:
    """
    C{stop} does nothing the second time, or before a start.
    """
    run = Run()
    assert run.spool.stop(1).called and run.spool.stop(1).called
    assert Spool(run.clock, MemoryQueue(), run.send, run.counters).stop(1).called
