"""
Records on their way to a server, kept until it has them: in files too, so that they survive a
restart.

The rules:

 - A record is sent when it comes, and written meanwhile; when it is answered that is written as
   well. What stands in the files unanswered when the gateway starts is sent before anything new.
   Only what was answered within the last moments before a crash can be sent twice.
 - Records go out in order, up to L{WINDOW} at a time, but of one session only one at a time. A
   record of no session goes when all before it are answered, and those behind it wait: for its
   first L{ALONE_TRIES} tries.
 - Where nobody answers all wait, longer each time, up to L{LONGEST_PAUSE}; then L{PROBES} are sent,
   and the first answer lets the others go.
 - A record that stays unanswered while others are answered is tried again by itself, later each
   time, and given up after L{TRIES}: it is the record that the servers won't take.
 - The files together never exceed their size, nor what is kept here: what comes when they are full
   is counted, logged and lost. A file goes when all in it is answered, the oldest first.
 - A file is read up to the first octets that aren't an entry: a torn end is what a crash leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import uniform
from struct import Struct
from typing import NamedTuple, Protocol
from zlib import crc32

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pptpgw.counters import Counters
from pptpgw.error import PPTPGWError
from pptpgw.ppp.network import cancelled

WINDOW = 32
"""
Records that are under way at a time.
"""
PROBES = 4
"""
The same, as long as it isn't known whether anybody answers.
"""
LOOK_AHEAD = 512
"""
Records that are looked at for one that may go.
"""
ALONE_TRIES = 3
TRIES = 10
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
SEGMENT_OCTETS = 1 << 20
"""
A file that has so many is followed by another.
"""

FULL = "the accounting spool was full"
GIVEN_UP = "an accounting record was given up"
TORN = "a torn end of an accounting spool's file"

_MAGIC = b"pptpgw spool 1\n\n"
_HEADER = Struct(">cIIQ")
_RECORD = b"R"
_DONE = b"D"
_DONE_OCTETS = _HEADER.size


class Files(Protocol):
    """
    Where the records lie: L{pptpgw.ports.segments.Segments}.
    """

    def start(self) -> list[tuple[int, bytes]]:
        """
        The numbers and the contents of the files that are there.
        """

    def append(self, number: int, octets: bytes) -> None:
        """
        Append to the file of this number.
        """

    def remove(self, number: int) -> None:
        """
        Remove it.
        """

    def stop(self) -> None:
        """
        Write what is left.
        """


class NoFiles:
    """
    For a spool that is kept in memory alone.
    """

    def start(self) -> list[tuple[int, bytes]]:
        """
        See L{Files.start}.
        """
        return []

    def append(self, number: int, octets: bytes) -> None:
        """
        See L{Files.append}.
        """

    def remove(self, number: int) -> None:
        """
        See L{Files.remove}.
        """

    def stop(self) -> None:
        """
        See L{Files.stop}.
        """


class Entry(NamedTuple):
    """
    What stands in a file: a record, or that one was answered.

    @ivar body: of a record: its session's length in an octet, its session, its octets.
    """

    kind: bytes
    number: int
    body: bytes

    def encode(self) -> bytes:
        """
        As the file has it.
        """
        check = crc32(self.kind + self.number.to_bytes(8, "big") + self.body)
        return _HEADER.pack(self.kind, len(self.body), check, self.number) + self.body


def entries(octets: bytes) -> Iterator[Entry | None]:
    """
    The entries of a file, at the end C{None} if there is more that isn't one.
    """
    here = len(_MAGIC)
    if octets[:here] != _MAGIC:
        if octets:
            yield None
        return
    while len(octets) - here >= _HEADER.size:
        kind, length, _, number = _HEADER.unpack_from(octets, here)
        body = octets[here + _HEADER.size : here + _HEADER.size + length]
        found = Entry(kind, number, body)
        if (
            kind not in (_RECORD, _DONE)
            or (kind == _RECORD and (not body or len(body) <= body[0]))
            or len(body) != length
            or found.encode() != octets[here : here + _HEADER.size + length]
        ):
            break
        yield found
        here += _HEADER.size + length
    if here != len(octets):
        yield None


class Record:
    """
    A record that isn't answered yet.

    @ivar session: whose it is; empty: nobody's.
    @ivar segment: the number of the file that it stands in.
    @ivar due: when it may be sent; None while it is under way.
    @ivar failures: how often it alone wasn't answered; C{tries} how often it was sent.
    """

    __slots__ = ("due", "failures", "number", "octets", "segment", "sent", "session", "tries")

    def __init__(self, number: int, session: bytes, octets: bytes, segment: int) -> None:
        self.number = number
        self.session = session
        self.octets = octets
        self.segment = segment
        self.due: float | None = 0.0
        self.failures = 0
        self.tries = 0
        self.sent = 0

    @property
    def size(self) -> int:
        """
        The octets that it takes in a file, with those that will say it was answered.
        """
        return _HEADER.size + 1 + len(self.session) + len(self.octets) + _DONE_OCTETS

    @property
    def alone(self) -> bool:
        """
        Whether it goes alone: after all before it, and before all behind it.
        """
        tries = self.tries if self.due is not None else self.tries - 1
        return not self.session and tries < ALONE_TRIES


class Spool:
    """
    The records on their way.

    @ivar size: the octets that the files have now, with those that will say what was answered.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        files: Files,
        send: Callable[[bytes], Deferred[None]],
        limit: int,
        counters: Counters,
    ) -> None:
        """
        @param send: sends the octets of a record; fails where nobody answered.
        @param limit: the octets that the files may have.
        """
        self.size = 0
        self._clock = clock
        self._files = files
        self._send = send
        self._limit = limit
        self._counters = counters
        self._waiting: dict[int, Record] = {}
        self._sessions: dict[bytes, int] = {}
        # Of each file its size, and how many records in it aren't answered; oldest first.
        self._segments: dict[int, list[int]] = {}
        self._number = 0
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
        How many records aren't answered.
        """
        return len(self._waiting)

    def start(self) -> None:
        """
        Take up what an earlier run left, and send.

        @raise pptpgw.error.ConfigurationError: the files can't be used.
        """
        self._waiting.clear()
        self._sessions.clear()
        self._segments.clear()
        self.size = 0
        for segment, octets in self._files.start():
            self._segments[segment] = [len(octets), 0]
            self.size += len(octets)
            self._restore(segment, octets)
        if self._waiting:
            self._log.info(
                "{count} accounting records of an earlier run are to be sent",
                count=len(self._waiting),
            )
        self._begin(max(self._segments, default=0) + 1)
        self._pause = 0.0
        self._window = PROBES
        self._running = True
        self._drop()
        self._pump()

    def put(self, session: bytes, octets: bytes) -> bool:
        """
        Send a record, sooner or later; false: there is no room for it.

        @param session: at most 253 octets that records of one session have in common; empty: a
            record that concerns all.
        """
        record = Record(self._number + 1, session, octets, 0)
        if self.size + len(_MAGIC) + record.size > self._limit:
            self._counters.discard(FULL)
            self._log.error(
                "the accounting spool is full, its {size} octets are not enough: a record of "
                "session {session} is lost",
                size=self._limit,
                session=session.decode("ascii", "replace"),
            )
            return False
        body = bytes((len(session),)) + session + octets
        record.segment = self._append(Entry(_RECORD, record.number, body))
        # What says that it is answered has its place from the beginning.
        self.size += _DONE_OCTETS
        self._number += 1
        self._segments[record.segment][1] += 1
        self._keep(record)
        self._pump()
        return True

    def awaits(self, session: bytes) -> bool:
        """
        Whether a record of this session isn't answered yet.
        """
        return session in self._sessions

    def stop(self, timeout: float) -> Deferred[None]:
        """
        Go on for as long as records are answered, C{timeout} seconds at most; what is left is sent
        after the next start.
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

    def close(self) -> None:
        """
        Send nothing more, and keep what is left; harmless the second time.
        """
        self._running = False
        self._drained = None
        self._resumed = cancelled(self._resumed)
        self._woken = cancelled(self._woken)
        for sent in tuple(self._inFlight.values()):
            sent.cancel()
        self._inFlight.clear()
        self._files.stop()

    def _drain(self) -> None:
        if self._drained is not None and not self._drained.called:
            self._drained.callback(None)

    def _restore(self, segment: int, octets: bytes) -> None:
        for entry in entries(octets):
            if entry is None:
                self._counters.discard(TORN)
                self._log.warn(
                    "file {number} of the accounting spool has a torn end", number=segment
                )
                return
            self._number = max(self._number, entry.number)
            if entry.kind == _DONE:
                done = self._waiting.pop(entry.number, None)
                if done is not None:
                    self._forget(done)
                    self.size -= _DONE_OCTETS
            elif entry.number not in self._waiting:
                end = 1 + entry.body[0]
                session, body = entry.body[1:end], entry.body[end:]
                self._segments[segment][1] += 1
                self.size += _DONE_OCTETS
                self._keep(Record(entry.number, session, body, segment))

    def _keep(self, record: Record) -> None:
        self._waiting[record.number] = record
        self._sessions[record.session] = self._sessions.get(record.session, 0) + 1

    def _forget(self, record: Record) -> None:
        self._sessions[record.session] -= 1
        if not self._sessions[record.session]:
            del self._sessions[record.session]
        self._segments[record.segment][1] -= 1

    def _begin(self, segment: int) -> None:
        self._segments[segment] = [0, 0]

    def _append(self, entry: Entry) -> int:
        """
        Put an entry into the current file; give its number.
        """
        segment = next(reversed(self._segments))
        octets = entry.encode()
        if self._segments[segment][0] + len(octets) > SEGMENT_OCTETS:
            segment += 1
            self._begin(segment)
        if not self._segments[segment][0]:
            octets = _MAGIC + octets
        self._files.append(segment, octets)
        self._segments[segment][0] += len(octets)
        self.size += len(octets)
        return segment

    def _drop(self) -> None:
        """
        Remove what nobody needs: oldest first, since a file says what is answered in those before.
        """
        current = next(reversed(self._segments))
        for segment, (size, waiting) in tuple(self._segments.items()):
            if waiting or segment == current:
                return
            del self._segments[segment]
            self.size -= size
            self._files.remove(segment)

    # Sending

    def _pump(self) -> None:
        """
        Send what may go now. What is answered while that is done only has it done again.
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
        The records that may go now; those that may later have the clock set for them.
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
        Nothing more is to be done for the record.
        """
        self._inFlight.pop(record.number, None)
        del self._waiting[record.number]
        # Its place was counted when it came.
        self.size -= _DONE_OCTETS
        self._append(Entry(_DONE, record.number, b""))
        self._forget(record)
        self._drop()
        self._pump()
        if not self._waiting:
            self._drain()

    def _resume(self) -> None:
        self._resumed = None
        self._pump()
