"""
The ledger: a row of the store for each session, while it goes on and when it is over.

The rules:

 - A row has all figures of its session, so only the latest row of each session waits to be written.
   Changes within L{DELAY} seconds make one row, and so does a session that is shorter than that.
 - A row is in a queue, which may be on disk, from the moment at which it is to be written until the
   store has it. Rows that an earlier run left there are written first; then the sessions that it
   left open are closed; then new rows are written.
 - Every session that goes on is written again at intervals, so that a crash costs little of its
   figures.
 - When the store doesn't answer, it is asked again and up to L{MOST_WAITING} rows wait; beyond that
   the oldest are lost, and counted. The beginning and the end of this are logged. Meanwhile nobody
   waits for the end of a session to be written.
 - The times of a row are the time of day at which its session began plus durations. So when the
   machine's clock is set, durations stay right, and no row looks older than the one before.
 - Only a few rows are written at a time, so that other queries to the store get their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import time
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.config.configuration import Configuration
from pptpgw.config.reload import ReloadStep
from pptpgw.interfaces import INetworkProtocol, ISession
from pptpgw.log import Logger
from pptpgw.ports.queue import Queue
from pptpgw.sessions.cause import codeOf
from pptpgw.sessions.leftopen import BROKEN_OFF
from pptpgw.sessions.observer import SessionObserver
from pptpgw.store.error import StoreError
from pptpgw.store.interface import IStore
from pptpgw.store.record import FailedAttempts, SessionRecord
from pptpgw.timing.timer import cancelled

DELAY = 1.0
RETRY = 10.0
MOST_WAITING = 10_000
AT_ONCE = 2
STOP_SECONDS = 10.0
"""
How long the gateway's end waits for what isn't written yet.
"""

QUEUE_OCTETS = 64 << 20
"""
Octets of the queue: far more than L{MOST_WAITING} rows have.
"""


class _Row(NamedTuple):
    """
    A row that isn't written yet.

    @ivar number: its number in the queue; None if it isn't there.
    """

    record: SessionRecord
    number: int | None


class _Entry:
    """
    A session that goes on.

    @ivar addresses: what it has, or had, by the names of the network protocols.
    """

    __slots__ = ("addresses", "session")

    def __init__(self, session: ISession) -> None:
        self.session = session
        self.addresses: dict[str, tuple[str, ...]] = {}


class Ledger(SessionObserver):
    """
    Writes a row of the store for each session of one gateway when it starts and ends, and from time
    to time between.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: IStore,
        queue: Queue,
        gateway: str,
        interim: float,
        now: Callable[[], float] = time,
        brokenOff: Callable[[Sequence[SessionRecord]], object] = lambda records: None,
    ) -> None:
        """
        @param queue: keeps the rows that the store doesn't have yet.
        @param gateway: the gateway's name, no other's that shares the store.
        @param interim: seconds between two rows of a session in which nothing changes.
        @param now: gives the time of day, in seconds since 1970.
        @param brokenOff: called with the sessions that an earlier run left open, once they are
            closed.
        """
        self._clock = clock
        self._now = now
        self._brokenOff = brokenOff
        self._store = store
        self._queue = queue
        self._gateway = gateway
        self._interim = interim
        # Those that go on, by identifier, and those whose row is out of date.
        self._entries: dict[str, _Entry] = {}
        self._changed: set[str] = set()
        # The rows to be written, by session: an earlier run's, which come first, and this one's.
        self._earlier: dict[str, _Row] = {}
        self._waiting: dict[str, _Row] = {}
        # Those who wait for the last row of a session.
        self._ended: dict[str, Deferred[None]] = {}
        self._flying = 0
        self._running = False
        # Whether what a run before left open is closed.
        self._recovered = False
        self._failing = False
        self._lost = 0
        self._timers: dict[str, IDelayedCall] = {}
        self._stopped: Deferred[None] | None = None

    def open(self) -> None:
        """
        Take up the rows that an earlier run couldn't write.

        @raise pptpgw.error.ConfigurationError: the queue's folder can't be used.
        """
        self._earlier.clear()
        for number, (_, octets) in self._queue.start().items():
            try:
                row = _Row(SessionRecord.decode(octets), number)
            except ValueError:
                self._log.warn("a row of an earlier version can't be read, and is lost")
                self._queue.settle(number)
                continue
            self._replace(self._earlier, row)
        if self._earlier:
            self._log.info(
                "{count} rows of sessions of an earlier run are to be written",
                count=len(self._earlier),
            )

    def close(self) -> Deferred[None]:
        """
        Close the queue. Calling this again does nothing.

        @return: fires when every row that waits is on the disk, if the queue is there.
        """
        return self._queue.stop()

    def start(self) -> None:
        """
        Begin to write, with what an earlier run left.
        """
        self._running = True
        self._recovered = False
        self._next()
        self._later("interim", self._interim, self._again)

    def stop(self) -> Deferred[None]:
        """
        Every session is over: fires when all is written, or after L{STOP_SECONDS}.
        """
        self._cancel("interim")
        self._flush()
        if "retry" in self._timers:
            self._retry()
        if self._isIdle:
            self._finish()
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        self._later("stop", STOP_SECONDS, self._abandon)
        return stopped

    def follow(self, configuration: Configuration) -> ReloadStep:
        """
        Prepare to write rows under another name of the gateway, and at other intervals.
        """
        return ReloadStep(
            "the records of sessions",
            partial(self._follow, configuration.link.name, configuration.audit.interim),
        )

    def _follow(self, gateway: str, interim: float) -> None:
        self._gateway = gateway
        if interim != self._interim:
            self._interim = interim
            if "interim" in self._timers:
                self._cancel("interim")
                self._later("interim", interim, self._again)

    # ISessionObserver

    def sessionStarted(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionStarted}.
        """
        self._entries[session.identifier] = _Entry(session)
        self._touch(session)

    def sessionChanged(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionChanged}.
        """
        self._touch(session)

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolOpened}.
        """
        name = protocol.name
        entry = self._entries[session.identifier]
        entry.addresses[name] = tuple(map(str, session.networks.get(name, ())))
        self._touch(session)

    def sessionEnded(self, session: ISession, cause: str) -> Deferred[None] | None:
        """
        See L{ISessionObserver.sessionEnded}.
        """
        identifier = session.identifier
        record = self._record(self._entries.pop(identifier), cause)
        self._changed.discard(identifier)
        ended: Deferred[None] = Deferred()
        if not self._failing:
            self._ended[identifier] = ended
        self._put(record)
        self._next()
        return None if self._failing else ended

    def lockedOut(self, kind: str, subject: str, failures: int, until: float) -> None:
        """
        See L{ISessionObserver.lockedOut}; C{pptpgw lockouts} reads it.
        """
        attempts = FailedAttempts(kind, subject, failures, self._now(), until)
        self._store.keepAttempts(attempts).addErrback(self._notKept)

    # Rows

    def _record(self, entry: _Entry, cause: str | None = None) -> SessionRecord:
        session, over = entry.session, cause is not None
        now = session.since + session.duration
        counters = session.counters
        return SessionRecord(
            identifier=session.identifier,
            user=_kept(session.user),
            gateway=self._gateway,
            caller=session.caller,
            started=session.since,
            changed=now,
            authentication=session.authentication,
            encryption=session.encryption,
            addresses=tuple(one for all_ in entry.addresses.values() for one in all_),
            octetsReceived=counters.octetsReceived,
            octetsSent=counters.octetsSent,
            packetsReceived=counters.packetsReceived,
            packetsSent=counters.packetsSent,
            ended=now if over else None,
            cause=str(cause) if cause is not None else "",
            code=int(codeOf(cause)) if cause is not None else 0,
            tunnel=session.tunnel.name,
        )

    def _touch(self, session: ISession) -> None:
        self._changed.add(session.identifier)
        if "flush" not in self._timers:
            self._later("flush", DELAY, self._flush)

    def _again(self) -> None:
        self._changed.update(self._entries)
        self._flush()
        self._later("interim", self._interim, self._again)

    def _flush(self) -> None:
        self._cancel("flush")
        changed, self._changed = self._changed, set()
        for identifier in changed:
            self._put(self._record(self._entries[identifier]))
        self._next()

    def _put(self, record: SessionRecord) -> None:
        number = self._queue.put(record.identifier.encode(), record.encode())
        self._replace(self._waiting, _Row(record, number))
        if number is None or len(self._earlier) + len(self._waiting) > MOST_WAITING:
            rows = self._earlier or self._waiting
            oldest = next(iter(rows))
            self._lose(rows.pop(oldest))

    def _replace(self, rows: dict[str, _Row], row: _Row) -> None:
        """
        Have C{row} written instead of an older one of its session.
        """
        older = rows.get(row.record.identifier)
        rows[row.record.identifier] = row
        if older is not None:
            self._settle(older)

    def _settle(self, row: _Row) -> None:
        """
        Have the queue forget a row, which the store has or won't get any more.
        """
        if row.number is not None:
            self._queue.settle(row.number)

    def _lose(self, row: _Row) -> None:
        self._lost += 1
        self._settle(row)
        self._accounted(row.record.identifier)

    @property
    def _rows(self) -> dict[str, _Row]:
        """
        The rows that are written next: those that an earlier run left come first.
        """
        return self._waiting if self._recovered else self._earlier

    @property
    def _isIdle(self) -> bool:
        return not (self._earlier or self._waiting or self._flying)

    # The store

    def _recover(self) -> None:
        self._flying += 1
        ended: Deferred[Sequence[SessionRecord]] = self._store.endSessions(
            self._gateway, str(BROKEN_OFF), int(BROKEN_OFF.code)
        )
        ended.addCallback(self._recoveredFrom).addErrback(self._notWritten, None)
        ended.addCallback(self._landed)

    def _recoveredFrom(self, records: Sequence[SessionRecord]) -> None:
        self._recovered = True
        self._well()
        self._brokenOff(records)
        if records:
            self._log.warn(
                "{count} sessions were open when the gateway ended last: {cause}",
                count=len(records),
                cause=str(BROKEN_OFF),
            )

    def _next(self) -> None:
        while self._running and self._flying < AT_ONCE and "retry" not in self._timers:
            if not self._rows:
                if not self._recovered and not self._flying:
                    self._recover()
                return
            row = self._rows.pop(next(iter(self._rows)))
            isOpen = row.record.ended is None
            put = self._store.sessionChanged if isOpen else self._store.sessionEnded
            self._flying += 1
            written: Deferred[Any] = put(row.record)
            written.addCallback(self._written, row).addErrback(self._notWritten, row)
            written.addCallback(self._landed)

    def _landed(self, _: object) -> None:
        self._flying -= 1
        self._next()
        if self._stopped is not None and self._isIdle:
            self._finish()

    def _written(self, _: object, row: _Row) -> None:
        self._well()
        self._settle(row)
        if row.record.ended is not None:
            self._accounted(row.record.identifier)

    def _notWritten(self, failure: Failure, row: _Row | None) -> None:
        if row is not None and failure.check(StoreError) is None:
            self._log.failure("A session could not be written", failure=failure)
            self._lose(row)
            return
        if not self._running:
            return
        if not self._failing:
            self._failing = True
            self._log.error(
                "sessions can't be written, and wait: {why}", why=failure.getErrorMessage()
            )
            for identifier in tuple(self._ended):
                self._accounted(identifier)
        if row is not None and self._rows.setdefault(row.record.identifier, row) is not row:
            self._settle(row)
        if "retry" not in self._timers:
            self._later("retry", RETRY, self._retry)

    def _notKept(self, failure: Failure) -> None:
        if failure.check(StoreError) is None:
            self._log.failure("A lockout could not be written", failure=failure)
        else:
            self._log.error("a lockout can't be written: {why}", why=failure.getErrorMessage())

    def _retry(self) -> None:
        self._cancel("retry")
        self._next()

    def _well(self) -> None:
        if self._failing or self._lost:
            self._log.info("sessions are written again; {count} rows are lost", count=self._lost)
            self._failing, self._lost = False, 0

    def _accounted(self, identifier: str) -> None:
        ended = self._ended.pop(identifier, None)
        if ended is not None:
            ended.callback(None)

    # The end

    def _abandon(self) -> None:
        why = "the ends of {count} sessions aren't written: the gateway stops"
        if self._queue.isDurable:
            why += "; the next start writes them"
        self._log.error(why, count=len(self._earlier) + len(self._waiting) + self._flying)
        self._finish()

    def _finish(self) -> None:
        self._running = False
        for name in tuple(self._timers):
            self._cancel(name)
        self._earlier.clear()
        self._waiting.clear()
        for identifier in tuple(self._ended):
            self._accounted(identifier)
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.callback(None)

    def _later(self, name: str, seconds: float, function: Any) -> None:
        self._timers[name] = self._clock.callLater(seconds, function)

    def _cancel(self, name: str) -> None:
        cancelled(self._timers.pop(name, None))


def _kept(name: str) -> str:
    """
    C{name} without what a database can't keep: NUL, and halves of surrogate pairs.
    """
    return name.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
