"""
Tests for L{pptpgw.sessions.ledger} and L{pptpgw.sessions.rows}: their rules, with a store that the
test controls, and the rows in a real store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from time import time
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from pptpgw.interfaces import ISessionObserver
from pptpgw.sessions import rows
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.ledger import DELAY, Ledger
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.rows import RETRY, STOP_SECONDS
from pptpgw.sessions.session import Session
from pptpgw.store.error import StoreError
from pptpgw.store.record import FailedAttempts, SessionRecord
from pptpgw.store.store import Store
from pptpgw.testing import makeSession, resultOf
from tests.chapsecrets import secretsIn
from tests.ports.queued import MemoryQueue
from tests.ports.running import running
from tests.test_gateway import SECRETS, World

INTERIM = 300.0


class MemoryStore:
    """
    A store for a ledger. It answers at once, fails, or waits for the test.

    @ivar rows: the latest row of each session.
    """

    def __init__(self) -> None:
        self.rows: dict[str, SessionRecord] = {}
        self.writes = 0
        self.failure: Exception | None = None
        self.slow = False
        self.pending: list[tuple[Deferred[None], SessionRecord]] = []
        self.closed: list[tuple[str, str, int]] = []
        self.attempts: list[FailedAttempts] = []
        self.open: list[SessionRecord] = []

    def keepAttempts(self, attempts: FailedAttempts) -> Deferred[None]:
        if self.failure is not None:
            return fail(self.failure)
        self.attempts.append(attempts)
        return succeed(None)

    def endSessions(self, gateway: str, cause: str, code: int) -> Deferred[list[SessionRecord]]:
        if self.failure is not None:
            return fail(self.failure)
        self.closed.append((gateway, cause, code))
        return succeed(self.open)

    def sessionChanged(self, record: SessionRecord) -> Deferred[None]:
        assert record.ended is None
        return self._put(record)

    def sessionEnded(self, record: SessionRecord) -> Deferred[None]:
        assert record.ended is not None
        return self._put(record)

    def _put(self, record: SessionRecord) -> Deferred[None]:
        if self.failure is not None:
            return fail(self.failure)
        self.writes += 1
        if self.slow:
            written: Deferred[None] = Deferred()
            self.pending.append((written, record))
            return written
        self.rows[record.identifier] = record
        return succeed(None)

    def answer(self) -> None:
        """
        Answer every pending write.
        """
        pending, self.pending = self.pending, []
        for written, record in pending:
            self.rows[record.identifier] = record
            written.callback(None)


class Desk:
    """
    A ledger and its store.
    """

    def __init__(self, start: bool = True, queue: MemoryQueue | None = None) -> None:
        self.queue = MemoryQueue() if queue is None else queue
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.store = MemoryStore()
        store: Any = self.store
        self.brokenOff: list[Sequence[SessionRecord]] = []
        self.ledger = Ledger(
            self.clock,
            store,
            self.queue,
            "gate",
            INTERIM,
            self.clock.seconds,
            self.brokenOff.append,
        )
        self.ledger.open()
        if start:
            self.ledger.start()

    def session(self, number: int = 1, user: str = "alice") -> Session:
        one = makeSession(Profile(user), number, seconds=self.clock.seconds)
        self.ledger.sessionStarted(one)
        return one

    def end(self, session: Session, cause: str = "enough") -> list[object]:
        """
        End a session.

        @return: a list that has the result of the end's Deferred once it has fired.
        """
        fired: list[object] = []
        ended = self.ledger.sessionEnded(session, cause)
        if ended is None:
            return [None]
        ended.addCallback(fired.append)
        return fired


@pytest.fixture
def desk() -> Desk:
    return Desk()


def told(events: Sequence[Any]) -> list[str]:
    return [formatEvent(event) for event in events]


def test_itIsAnObserver(desk: Desk) -> None:
    verifyObject(ISessionObserver, desk.ledger)


class TestRows:
    def test_aSession(self, desk: Desk) -> None:
        """
        A session has one row, which is written soon after its start and again at its end. The end
        is accounted for with that.
        """
        one = desk.session()
        one.authentication = "mschapv2"
        desk.clock.advance(DELAY)
        (row,) = desk.store.rows.values()
        assert (row.user, row.gateway, row.caller) == ("alice", "gate", "192.0.2.7")
        assert (row.started, row.changed, row.ended) == (1_000_000, 1_000_001, None)
        desk.clock.advance(59)
        one.counters.octetsReceived, one.counters.octetsSent = 1, 1 << 40
        one.counters.packetsReceived, one.counters.packetsSent = 3, 4
        assert desk.end(one, Cause("time is up", Termination.SESSION_TIMEOUT)) == [None]
        (row,) = desk.store.rows.values()
        assert (row.ended, row.cause, row.code) == (1_000_060, "time is up", 5)
        assert (row.octetsReceived, row.octetsSent) == (1, 1 << 40)
        assert (row.packetsReceived, row.packetsSent) == (3, 4)
        assert desk.store.writes == 2

    def test_whatChangesTogetherIsOneRow(self, desk: Desk) -> None:
        one = desk.session()
        for _ in range(100):
            desk.ledger.sessionChanged(one)
        desk.clock.advance(DELAY)
        assert desk.store.writes == 1
        desk.ledger.sessionChanged(one)
        desk.clock.advance(DELAY)
        assert desk.store.writes == 2

    def test_aShortSessionIsOneRow(self, desk: Desk) -> None:
        desk.end(desk.session())
        desk.clock.advance(DELAY)
        assert desk.store.writes == 1

    def test_figuresAreWrittenNowAndThen(self, desk: Desk) -> None:
        one = desk.session()
        desk.clock.advance(DELAY)
        one.counters.octetsSent = 77
        desk.clock.advance(INTERIM)
        assert desk.store.rows[one.identifier].octetsSent == 77
        assert desk.store.writes == 2
        desk.clock.advance(INTERIM)
        assert desk.store.writes == 3

    def test_namesThatADatabaseCannotKeep(self, desk: Desk) -> None:
        desk.end(desk.session(user="a\0\ud800b"))
        (row,) = desk.store.rows.values()
        assert row.user == "a\\x00\\ud800b"

    def test_aFewAtATime(self, desk: Desk) -> None:
        desk.store.slow = True
        ends = [desk.end(desk.session(number)) for number in range(5)]
        assert len(desk.store.pending) == rows.AT_ONCE
        assert not any(ends)
        while desk.store.pending:
            assert len(desk.store.pending) <= rows.AT_ONCE
            desk.store.answer()
        assert ends == [[None]] * 5 and len(desk.store.rows) == 5


class TestBrokenOff:
    def test_whatARunBeforeLeftOpenIsClosedFirst(self) -> None:
        desk = Desk(start=False)
        desk.store.open = [
            SessionRecord(f"beef{number:08x}", "bob", "gate", "192.0.2.8", 1.0, 2.0, ended=2.0)
            for number in range(3)
        ]
        desk.session()
        desk.clock.advance(DELAY)
        assert not desk.store.rows
        with capturedLogs() as events:
            desk.ledger.start()
        assert desk.store.closed == [("gate", "the gateway's run broke off", 11)]
        assert told(events) == [
            "3 sessions were open when the gateway ended last: the gateway's run broke off"
        ]
        assert len(desk.store.rows) == 1
        assert desk.brokenOff == [desk.store.open]


class TestAStoreThatFails:
    def test_rowsWait(self, desk: Desk) -> None:
        desk.store.failure = StoreError("no database")
        with capturedLogs() as events:
            fired = [desk.end(desk.session(number)) for number in range(3)]
            desk.clock.advance(RETRY)
            desk.clock.advance(RETRY)
        assert not desk.store.rows
        assert told(events) == ["sessions can't be written, and wait: no database"]
        assert fired == [[None]] * 3
        desk.store.failure = None
        with capturedLogs() as events:
            desk.clock.advance(RETRY)
        assert len(desk.store.rows) == 3
        assert told(events) == ["sessions are written again; 0 rows are lost"]

    def test_aNewerRowIsNotReplacedByOneThatFailed(self, desk: Desk) -> None:
        one = desk.session()
        desk.store.slow = True
        desk.clock.advance(DELAY)
        ((written, _),) = desk.store.pending
        desk.store.pending.clear()
        desk.store.failure = StoreError("gone")
        fired = desk.end(one)
        written.errback(Failure(StoreError("gone")))
        desk.store.failure, desk.store.slow = None, False
        desk.clock.advance(RETRY)
        assert desk.store.rows[one.identifier].ended is not None and fired
        assert not desk.queue.entries

    def test_itIsNotThereAtTheStart(self) -> None:
        desk = Desk(start=False)
        desk.store.failure = StoreError("no database")
        desk.ledger.start()
        one = desk.session()
        desk.clock.advance(DELAY)
        desk.store.failure = None
        desk.clock.advance(RETRY)
        assert len(desk.store.closed) == 1 and one.identifier in desk.store.rows

    def test_soManyRowsWaitAtMost(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows, "MOST_WAITING", 10)
        desk.store.failure = StoreError("no database")
        fired = [desk.end(desk.session(number)) for number in range(25)]
        desk.store.failure = None
        with capturedLogs() as events:
            desk.clock.advance(RETRY)
        assert len(desk.store.rows) == 10 and all(fired)
        assert "15 rows are lost" in told(events)[0]

    def test_aRowThatBreaksItIsLostAlone(self, desk: Desk, loggedFailures: list[Failure]) -> None:
        desk.store.failure = ValueError("no such thing")
        assert desk.end(desk.session()) == [None]
        assert loggedFailures.pop().check(ValueError)
        desk.store.failure = None
        assert desk.end(desk.session(2)) == [None]
        assert list(desk.store.rows) == ["cafe00000002"]


class TestSpool:
    def test_aRowIsInTheQueueUntilTheStoreHasIt(self, desk: Desk) -> None:
        """
        The queue has the latest row of each session until the store has that row.
        """
        desk.store.slow = True
        one = desk.session()
        desk.clock.advance(DELAY)
        assert list(desk.queue.entries) == [1]
        desk.end(one)
        assert list(desk.queue.entries) == [1, 2]
        desk.store.answer()
        desk.end(desk.session(2))
        assert list(desk.queue.entries) == [3]
        desk.store.answer()
        assert not desk.queue.entries and desk.queue.size == 0

    def test_aRowThatFailedIsReplacedByANewerOne(self, desk: Desk) -> None:
        desk.store.failure = StoreError("gone")
        one = desk.session()
        desk.clock.advance(DELAY)
        desk.end(one)
        (row,) = desk.queue.entries.values()
        assert SessionRecord.decode(row[1]).ended is not None
        desk.store.failure = None
        desk.clock.advance(RETRY)
        assert not desk.queue.entries and len(desk.store.rows) == 1

    def test_whatAnEarlierRunCouldNotWriteComesFirst(self) -> None:
        """
        Rows that the store didn't take are written at the next start, before the sessions that the
        earlier run left open are closed and before anything new is written.
        """
        first = Desk()
        first.store.failure = StoreError("no database")
        first.end(first.session(user="b\udcffob"))
        first.session(2)
        first.clock.advance(DELAY)
        stopped = first.ledger.stop()
        with capturedLogs() as events:
            first.clock.advance(STOP_SECONDS)
        assert stopped.called and len(first.queue.entries) == 2
        assert told(events)[-1].endswith("the gateway stops; the next start writes them")

        second = Desk(start=False, queue=first.queue)
        second.store.slow = True
        second.ledger.start()
        second.end(second.session(3))
        assert sorted(record.identifier for _, record in second.store.pending) == [
            "cafe00000001",
            "cafe00000002",
        ]
        written, record = second.store.pending.pop()
        second.store.rows[record.identifier] = record
        written.callback(None)
        assert not second.store.closed
        second.store.answer()
        assert second.store.closed and second.store.rows["cafe00000001"].user == "b\\udcffob"
        assert [record.identifier for _, record in second.store.pending] == ["cafe00000003"]
        second.store.answer()
        assert not first.queue.entries

    def test_theStoreIsAwayAtTheNextStartToo(self) -> None:
        first = Desk()
        first.store.failure = StoreError("no database")
        first.end(first.session())
        second = Desk(start=False, queue=first.queue)
        second.store.failure = StoreError("no database")
        second.ledger.start()
        second.end(second.session(2))
        second.clock.advance(RETRY)
        assert len(first.queue.entries) == 2 and not second.store.closed
        second.store.failure = None
        second.clock.advance(RETRY)
        assert list(second.store.rows) == ["cafe00000001", "cafe00000002"]
        assert len(second.store.closed) == 1 and not first.queue.entries

    def test_soManyRowsWaitAtMostOfBothRuns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows, "MOST_WAITING", 10)
        first = Desk()
        first.store.failure = StoreError("no database")
        for number in range(8):
            first.end(first.session(number))
        second = Desk(start=False, queue=first.queue)
        second.store.failure = StoreError("no database")
        second.ledger.start()
        for number in range(8, 16):
            second.end(second.session(number))
        assert len(first.queue.entries) == 10

    def test_aQueueWithoutRoom(self) -> None:
        """
        The oldest row is dropped from a full queue, and the end of its session isn't waited for.
        """
        desk = Desk(queue=MemoryQueue(1200))
        desk.store.slow = True
        ends = [desk.end(desk.session(number)) for number in range(8)]
        assert any(ends) and desk.queue.size <= 1200
        while desk.store.pending:
            desk.store.answer()
        assert all(ends) and desk.queue.size == 0

    def test_aRowIsReadAsItWasWritten(self) -> None:
        row = SessionRecord(
            *("cafe", "b\udcffob\n", "gate", "192.0.2.7", 1.5, 2.0, "mschapv2", "MPPE"),
            *(("10.0.0.1/32", "2001:db8::/64"), 1 << 60, 2, 3, 4, 2.0, 'said "no"', 5),
        )
        assert SessionRecord.decode(row.encode()) == row

    def test_aRowOfAnotherVersion(self) -> None:
        queue = MemoryQueue()
        for value in (b"", b"[]", b"{}", b'{"identifier": "x", "colour": "red"}', b"\xff"):
            queue.put(b"x", value)
        with capturedLogs() as events:
            desk = Desk(queue=queue)
        assert len(told(events)) == 5 and not queue.entries and not desk.store.rows


class TestLockouts:
    def test_theyAreKept(self, desk: Desk) -> None:
        desk.ledger.lockedOut("user", "alice", 10, 1_000_300.0)
        assert desk.store.attempts == [
            FailedAttempts("user", "alice", 10, 1_000_000.0, 1_000_300.0)
        ]

    def test_aStoreThatFails(self, desk: Desk, loggedFailures: list[Failure]) -> None:
        """
        An unavailable store is logged in one line, and an unexpected exception with its traceback.
        A lockout is reported in both cases.
        """
        desk.store.failure = StoreError("no answer")
        desk.ledger.lockedOut("user", "alice", 10, 1_000_300.0)
        assert loggedFailures == []
        desk.store.failure = ValueError("broken")
        desk.ledger.lockedOut("user", "alice", 10, 1_000_300.0)
        assert [type(failure.value) for failure in loggedFailures] == [ValueError]
        loggedFailures.clear()


class TestStop:
    def test_withNothingToDo(self, desk: Desk) -> None:
        desk.end(desk.session())
        fired: list[None] = []
        desk.ledger.stop().addCallback(fired.append)
        assert fired and not desk.clock.getDelayedCalls()

    def test_itWaitsForWhatIsNotWritten(self, desk: Desk) -> None:
        desk.store.slow = True
        for number in range(4):
            desk.end(desk.session(number))
        fired: list[None] = []
        desk.ledger.stop().addCallback(fired.append)
        desk.store.answer()
        assert not fired
        desk.store.answer()
        assert fired and len(desk.store.rows) == 4
        assert not desk.clock.getDelayedCalls()

    def test_aStoreThatIsDead(self, desk: Desk) -> None:
        desk.store.failure = StoreError("no database")
        ended = desk.end(desk.session())
        fired: list[None] = []
        desk.ledger.stop().addCallback(fired.append)
        with capturedLogs() as events:
            desk.clock.pump([1.0] * int(STOP_SECONDS))
        assert fired and ended and not desk.clock.getDelayedCalls()
        assert "the ends of 1 sessions aren't written" in told(events)[-1]

    def test_itStartsAgain(self, desk: Desk) -> None:
        desk.ledger.stop()
        desk.ledger.start()
        desk.end(desk.session())
        assert len(desk.store.closed) == 2 and len(desk.store.rows) == 1
        desk.ledger.stop()
        assert not desk.clock.getDelayedCalls()


class TestWithSQLite:
    def test_aCrashAndAnotherRun(self, tmp_path: Path) -> None:
        """
        The next run closes the sessions of a run that was killed, as of their last rows, and adds
        their figures to the user's usage.
        """
        url = f"sqlite:{tmp_path}/accounts.sqlite"

        def begin(reactor: Any) -> Deferred[Any]:
            store = Store(reactor, url, "", create=True)
            before = Ledger(reactor, store, MemoryQueue(), "gate", 1.0)
            before.start()
            one = self.session(1, count(0.0, 1.0))
            before.sessionStarted(one)
            one.counters.octetsSent = 1000
            reactor.callLater(1.6, restart, reactor, store, one)
            return done

        def restart(reactor: Any, store: Store, one: Session) -> None:
            # The first run's session never ends in order.
            again = Ledger(reactor, store, MemoryQueue(), "gate", 300.0)
            again.start()
            two = self.session(2, count(0.0, 60.0))
            again.sessionStarted(two)
            two.counters.octetsSent = 500
            again.sessionEnded(two, Cause("enough", Termination.USER_REQUEST))
            again.stop().addCallback(look, store)

        def look(_: None, store: Store) -> None:
            found: list[Deferred[Any]] = [store.sessions(), store.usage("alice")]
            gatherResults(found).chainDeferred(done)

        done: Deferred[Any] = Deferred()
        sessions, (usage,) = running(begin)
        causes = {one.identifier: (one.cause, one.code, one.octetsSent) for one in sessions}
        assert causes == {
            "cafe00000001": ("the gateway's run broke off", 11, 1000),
            "cafe00000002": ("enough", 1, 500),
        }
        assert (usage.sessions, usage.octetsSent) == (2, 1500)
        assert 60 <= usage.seconds < 63

    @staticmethod
    def session(number: int, clock: Iterator[float]) -> Session:
        return makeSession(number=number, seconds=clock.__next__, since=time())


def test_aCallThroughTheGateway(tmp_path: Path) -> None:
    """
    The row of a call through the gateway has its addresses, its figures and the cause of its end.
    """
    path = secretsIn(tmp_path, SECRETS)
    world = World(path)
    memory = MemoryStore()
    store: Any = memory
    kept = Ledger(world.clock, store, MemoryQueue(), "gate", INTERIM)
    kept.start()
    world.gateway.sessions.addObserver(kept)
    call = resultOf(world.call(world.connect()))
    world.run(1)
    (row,) = memory.rows.values()
    assert row.addresses == ("10.77.0.10/32",)
    assert (row.authentication, row.encryption) == ("mschapv2", "MPPE 128 bit stateless")
    world.dataPath.channels[0].sendPacket(0x21, bytes(99))
    call.hangUp("enough")
    world.run(5, 0.01)
    (row,) = memory.rows.values()
    assert row.code == Termination.USER_REQUEST and row.addresses == ("10.77.0.10/32",)
    assert (row.octetsSent, row.packetsSent) == (99, 1)
