"""
The rows of sessions on their way to the store.

The rules:

 - A row has all figures of its session, so only the latest row of each session waits to be written.
 - A row is in a queue, which may be on disk, from the moment at which it is to be written until the
   store has it. Rows that an earlier run left there are written first; then the sessions that it
   left open are closed; then new rows are written.
 - When the store doesn't answer, it is asked again and up to L{MOST_WAITING} rows wait; beyond that
   the oldest are lost, and counted. The beginning and the end of this are logged. Meanwhile nobody
   waits for the end of a session to be written.
 - Only a few rows are written at a time, so that other queries to the store get their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.log import Logger
from pptpgw.ports.queue import Queue
from pptpgw.sessions.leftopen import BROKEN_OFF
from pptpgw.store.error import StoreError
from pptpgw.store.interface import IStore
from pptpgw.store.record import SessionRecord
from pptpgw.timing.timer import cancelled

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


class Rows:
    """
    Writes rows to the store, as soon as it takes them.

    @ivar gateway: the gateway's name, no other's that shares the store.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: IStore,
        queue: Queue,
        gateway: str,
        brokenOff: Callable[[Sequence[SessionRecord]], object],
    ) -> None:
        """
        @param queue: keeps the rows that the store doesn't have yet.
        @param brokenOff: called with the sessions that an earlier run left open, once they are
            closed.
        """
        self.gateway = gateway
        self._clock = clock
        self._brokenOff = brokenOff
        self._store = store
        self._queue = queue
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
        self._retrying: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
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
        self.write()

    def stop(self) -> Deferred[None]:
        """
        Write what waits, and then no more.

        @return: fires when all is written, or after L{STOP_SECONDS}.
        """
        if self._retrying is not None:
            self._retry()
        if self._isIdle:
            self._finish()
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        self._deadline = self._clock.callLater(STOP_SECONDS, self._abandon)
        return stopped

    def put(self, record: SessionRecord) -> None:
        """
        Have a row written by the next L{write}, instead of an older one of its session.
        """
        number = self._queue.put(record.identifier.encode(), record.encode())
        self._replace(self._waiting, _Row(record, number))
        if number is None or len(self._earlier) + len(self._waiting) > MOST_WAITING:
            rows = self._earlier or self._waiting
            oldest = next(iter(rows))
            self._lose(rows.pop(oldest))

    def putLast(self, record: SessionRecord) -> Deferred[None] | None:
        """
        Have the last row of a session written.

        @return: fires when the store has it; None if the store doesn't answer, for which nobody
            waits.
        """
        ended: Deferred[None] = Deferred()
        if not self._failing:
            self._ended[record.identifier] = ended
        self.put(record)
        self.write()
        return None if self._failing else ended

    def write(self) -> None:
        """
        Write rows that wait, as many as the store takes now.
        """
        while self._running and self._flying < AT_ONCE and self._retrying is None:
            if not self._due:
                if not self._recovered and not self._flying:
                    self._recover()
                return
            row = self._due.pop(next(iter(self._due)))
            isOpen = row.record.ended is None
            put = self._store.sessionChanged if isOpen else self._store.sessionEnded
            self._flying += 1
            written: Deferred[Any] = put(row.record)
            written.addCallback(self._written, row).addErrback(self._notWritten, row)
            written.addCallback(self._landed)

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
    def _due(self) -> dict[str, _Row]:
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
            self.gateway, str(BROKEN_OFF), int(BROKEN_OFF.code)
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

    def _landed(self, _: object) -> None:
        self._flying -= 1
        self.write()
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
        if row is not None and self._due.setdefault(row.record.identifier, row) is not row:
            self._settle(row)
        if self._retrying is None:
            self._retrying = self._clock.callLater(RETRY, self._retry)

    def _retry(self) -> None:
        self._retrying = cancelled(self._retrying)
        self.write()

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
        self._retrying = cancelled(self._retrying)
        self._deadline = cancelled(self._deadline)
        self._earlier.clear()
        self._waiting.clear()
        for identifier in tuple(self._ended):
            self._accounted(identifier)
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.callback(None)
