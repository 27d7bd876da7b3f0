"""
The spool: accounting records on their way to a server, which are kept in a queue until a server has
them.

The rules:

 - A record is sent when it comes, and meanwhile written to the queue; when it is answered it is
   removed from the queue. Records that are in the queue when the gateway starts are sent before any
   new one. Only a record that was answered in the last moments before a crash can be sent twice.
 - Records are sent in order, up to L{WINDOW} at a time, but only one at a time of the same session.
   A record of no session is sent when all records before it are answered, and those behind it wait
   for its first L{ALONE_TRIES} tries.
 - While no server answers, all records wait, longer each time, up to L{LONGEST_PAUSE}. Then
   L{PROBES} are sent, and after the first answer the others.
 - A record that stays unanswered while others are answered is sent again by itself, later each
   time, and given up after L{TRIES}: it is this record that the servers don't accept.
 - A record for which the queue has no room is counted, logged and lost.
"""

from __future__ import annotations

from collections.abc import Callable
from random import uniform

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.counting.counters import Counters
from pptpgw.error import PPTPGWError
from pptpgw.log import Logger
from pptpgw.ports.queue import Queue
from pptpgw.timing.timer import cancelled

WINDOW = 32
"""
The number of records that may be sent and not yet answered at a time.
"""
PROBES = 4
"""
The same number while it isn't known whether any server answers.
"""
LOOK_AHEAD = 512
"""
The number of records that are searched for one that may be sent.
"""
ALONE_TRIES = 3
TRIES = 10
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

FULL = "the accounting spool was full"
GIVEN_UP = "an accounting record was given up"


class Record:
    """
    A record that isn't answered yet.

    @ivar session: the session that it is about; empty for none.
    @ivar due: the time at which it may be sent; None while it waits for the answer.
    @ivar failures: how often it wasn't answered while others were; C{tries} how often it was sent.
    """

    __slots__ = ("due", "failures", "number", "octets", "sent", "session", "tries")

    def __init__(self, number: int, session: bytes, octets: bytes) -> None:
        self.number = number
        self.session = session
        self.octets = octets
        self.due: float | None = 0.0
        self.failures = 0
        self.tries = 0
        self.sent = 0

    @property
    def alone(self) -> bool:
        """
        Whether the record is about no session: it is sent after all before it, and before all
        behind it.
        """
        tries = self.tries if self.due is not None else self.tries - 1
        return not self.session and tries < ALONE_TRIES


class Spool:
    """
    The records that no server has answered yet.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        queue: Queue,
        send: Callable[[bytes], Deferred[None]],
        counters: Counters,
    ) -> None:
        """
        @param clock: measures the pauses.
        @param queue: keeps the records, by session.
        @param send: sends the octets of a record, and returns a Deferred that fails if no server
            answers.
        @param counters: where records that are lost or given up are counted.
        """
        self._clock = clock
        self._queue = queue
        self._send = send
        self._counters = counters
        self._waiting: dict[int, Record] = {}
        # The number of the last record of each session. The records of one session are settled in
        # order.
        self._last: dict[bytes, int] = {}
        # The Deferreds that wait until the records of a session are accounted for.
        self._waiters: dict[bytes, list[Deferred[None]]] = {}
        self._answers = 0
        self._inFlight: dict[int, Deferred[None]] = {}
        self._window = PROBES
        self._pause = 0.0
        self._resumed: IDelayedCall | None = None
        self._woken: IDelayedCall | None = None
        self._running = False
        self._pumping = self._again = False
        self._drained: Deferred[None] | None = None

    def __len__(self) -> int:
        """
        The number of records that aren't answered.
        """
        return len(self._waiting)

    @property
    def size(self) -> int:
        """
        The octets of these records, as its limit counts them.
        """
        return self._queue.size

    @property
    def limit(self) -> int:
        """
        The octets that they may have.
        """
        return self._queue.limit

    @property
    def isDurable(self) -> bool:
        """
        Whether the records survive the end of the process.
        """
        return self._queue.isDurable

    @property
    def isWaiting(self) -> bool:
        """
        Whether no server answers, so that nothing is sent at present.
        """
        return self._resumed is not None

    def start(self) -> None:
        """
        Open the queue, and begin to send the records that an earlier run left.

        @raise pptpgw.error.ConfigurationError: the files of the queue can't be used.
        """
        self._waiting.clear()
        self._last.clear()
        for number, (session, octets) in self._queue.start(self._tellKept).items():
            self._keep(Record(number, session, octets))
        if self._waiting:
            self._log.info(
                "{count} accounting records of an earlier run are to be sent",
                count=len(self._waiting),
            )
        self._pause = 0.0
        self._window = PROBES
        self._running = True
        self._pump()

    def put(self, session: bytes, octets: bytes) -> bool:
        """
        Send a record as soon as it may be sent. Return False if there is no room for it.

        @param session: octets that all records of a session have in common; empty for a record
            about no session.
        """
        number = self._queue.put(session, octets)
        if number is None:
            self._counters.discard(FULL)
            self._log.error(
                "the accounting spool is full: a record of session {session} is lost",
                session=session.decode("ascii", "replace"),
            )
            return False
        self._keep(Record(number, session, octets))
        self._pump()
        return True

    def accounted(self, session: bytes) -> Deferred[None]:
        """
        Wait until all records of this session are accounted for.

        @return: fires when a server has them, when they are given up, or when they are on the disk
            and no server answers.
        """
        if session not in self._last or self._isKept(session):
            return succeed(None)
        accounted: Deferred[None] = Deferred()
        self._waiters.setdefault(session, []).append(accounted)
        return accounted

    def awaits(self, session: bytes) -> bool:
        """
        Return whether a record of this session isn't answered yet.
        """
        return session in self._last

    def stop(self, timeout: float) -> Deferred[None]:
        """
        Continue as long as records are answered, for at most C{timeout} seconds. Records that are
        left are sent after the next start.
        """
        if self._drained is not None or not self._running:
            return succeed(None)
        drained: Deferred[None] = Deferred()
        self._drained = drained
        late = self._clock.callLater(timeout, self._drain)
        drained.addCallback(lambda _: cancelled(late)).addCallback(lambda _: self.close())
        if not self._waiting or self._resumed is not None:
            self._drain()
        return drained

    def close(self) -> Deferred[None]:
        """
        Send no more records, and write those that are left. Calling this again does nothing.

        @return: fires when everything is written.
        """
        self._running = False
        self._drained = None
        self._resumed = cancelled(self._resumed)
        self._woken = cancelled(self._woken)
        for sent in tuple(self._inFlight.values()):
            sent.cancel()
        self._inFlight.clear()
        stopped = self._queue.stop()
        self._tellAll()
        return stopped

    def _isKept(self, session: bytes) -> bool:
        """
        Return whether no server answers, and all records of this session are on the disk.
        """
        return self._resumed is not None and self._queue.isKept(self._last[session])

    def _tellKept(self) -> None:
        for session in tuple(self._waiters):
            if self._isKept(session):
                self._tell(session)

    def _tell(self, session: bytes) -> None:
        for one in self._waiters.pop(session, ()):
            one.callback(None)

    def _tellAll(self) -> None:
        for session in tuple(self._waiters):
            self._tell(session)

    def _drain(self) -> None:
        if self._drained is not None and not self._drained.called:
            self._drained.callback(None)

    def _keep(self, record: Record) -> None:
        self._waiting[record.number] = record
        self._last[record.session] = record.number

    # Sending

    def _pump(self) -> None:
        """
        Send the records that may be sent now. An answer that comes meanwhile only makes this loop
        go round again.
        """
        self._again = True
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._again and self._running and self._resumed is None:
                self._again = False
                for record in self._next():
                    self._go(record)
        finally:
            self._pumping = False

    def _next(self) -> list[Record]:
        """
        Return the records that may be sent now, and set the timer for those that may be sent later.
        """
        now = self._clock.seconds()
        held: set[bytes] = set()
        due: list[float] = []
        going: list[Record] = []
        for looked, record in enumerate(self._waiting.values()):
            if len(self._inFlight) + len(going) >= self._window or looked >= LOOK_AHEAD:
                break
            if record.alone and looked:
                break
            if record.due is not None and record.session not in held:
                if record.due <= now:
                    going.append(record)
                else:
                    due.append(record.due)
            if record.alone:
                break
            held.add(record.session)
        self._woken = cancelled(self._woken)
        if due:
            self._woken = self._clock.callLater(min(due) - now, self._wake)
        return going

    def _wake(self) -> None:
        self._woken = None
        self._pump()

    def _go(self, record: Record) -> None:
        record.due = None
        record.tries += 1
        record.sent = self._answers
        sent = self._send(record.octets)
        self._inFlight[record.number] = sent
        sent.addCallback(self._answered, record)
        sent.addErrback(self._failed, record)

    def _answered(self, _: None, record: Record) -> None:
        if not self._running:
            return
        self._answers += 1
        self._pause = 0.0
        self._window = WINDOW
        self._resumed = cancelled(self._resumed)
        self._settle(record)

    def _failed(self, failure: Failure, record: Record) -> None:
        if not self._running:
            return
        if failure.check(PPTPGWError) is None:
            self._log.failure("an accounting record could not be sent", failure=failure)
        self._inFlight.pop(record.number, None)
        record.due = 0.0
        if record.sent != self._answers:
            record.failures += 1
            if record.failures >= TRIES:
                self._giveUp(record, failure)
                return
            wait = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0**record.failures)
            record.due = self._clock.seconds() + wait
            self._pump()
        elif self._resumed is None:
            if not self._pause:
                self._log.warn(
                    "accounting waits, {count} records are kept: {why}",
                    count=len(self._waiting),
                    why=failure.getErrorMessage(),
                )
            self._window = PROBES
            self._pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, self._pause * 2))
            self._resumed = self._clock.callLater(self._pause * uniform(0.8, 1.2), self._resume)
            self._tellKept()
            self._drain()

    def _giveUp(self, record: Record, failure: Failure) -> None:
        self._counters.discard(GIVEN_UP)
        self._log.error(
            "an accounting record of session {session} is given up, which was sent {tries} times "
            "while others were answered: {why}",
            session=record.session.decode("ascii", "replace"),
            tries=record.tries,
            why=failure.getErrorMessage(),
        )
        self._settle(record)

    def _settle(self, record: Record) -> None:
        """
        Forget the record, which was answered or given up.
        """
        self._inFlight.pop(record.number, None)
        del self._waiting[record.number]
        if self._last[record.session] == record.number:
            del self._last[record.session]
            self._tell(record.session)
        self._queue.settle(record.number)
        self._pump()
        if not self._waiting:
            self._drain()

    def _resume(self) -> None:
        self._resumed = None
        self._pump()
