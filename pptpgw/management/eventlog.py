"""
The last events of a gateway, in memory, and the streams that follow them.

The rules:

 - Events are numbered. The identifier of an event is the run of the gateway and the number, so that
   a client that comes back is sent what it has missed, as far as that is still there.
 - A stream has no queue of its own, but a place among the events. A stream that falls behind by
   more than all events is told of a gap, and goes on with the oldest one.
 - An event is kept as the values that it is made of. It is encoded once, when a stream first sends
   it.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex

from msgspec import Struct

from pptpgw.management.encoding import toJSON
from pptpgw.management.page import matching
from pptpgw.management.serversent import HEARTBEAT, encodeEvent

EVENTS = 1000
"""
The number of events that are kept.
"""

# The most events that are encoded at once.
_BATCH = 64


class Gap(Struct, frozen=True, tag_field="kind", tag="gap"):
    """
    Events are missing here: the client has to ask for the state of the gateway again.

    @ivar lost: how many are missing; null if that is unknown, since the identifier that the client
        gave is none of this run of the gateway.
    """

    lost: int | None


class _Entry:
    """
    An event that is kept: its kind, the user and the tunnel that it is about, and its data, which
    is encoded when the first client reads it.
    """

    __slots__ = ("encoded", "kind", "make", "tunnel", "user")

    def __init__(self, kind: str, user: str, tunnel: str, make: Callable[[], Struct]) -> None:
        self.kind = kind
        self.user = user
        self.tunnel = tunnel
        self.make: Callable[[], Struct] | None = make
        self.encoded = b""


class EventLog:
    """
    The last events, numbered in the order of time, for clients that read them later or again.

    @ivar next: the number of the next event.
    """

    def __init__(self, size: int = EVENTS, run: str = "") -> None:
        """
        @param size: how many events are kept.
        @param run: tells the events of this run from those of others; empty for a random one.
        """
        self.next = 1
        self._size = size
        self._run = run or token_hex(4)
        self._entries: list[_Entry | None] = [None] * size
        self._listeners: list[Callable[[], object]] = []

    @property
    def first(self) -> int:
        """
        The number of the oldest event that is kept.
        """
        return max(1, self.next - self._size)

    def add(self, kind: str, make: Callable[[], Struct], user: str = "", tunnel: str = "") -> None:
        """
        Add an event.

        @param kind: its kind, which is the tag of what C{make} returns.
        @param make: makes the data of the event from values that don't change any more.
        @param user: the name of the user that it is about; empty if it is about none.
        @param tunnel: the kind of tunnel that it is about; empty if it is about none.
        """
        self._entries[self.next % self._size] = _Entry(kind, user, tunnel, make)
        self.next += 1
        for listener in tuple(self._listeners):
            listener()

    def listen(self, listener: Callable[[], object]) -> None:
        """
        Call C{listener} after each event, until L{ignore}.
        """
        self._listeners.append(listener)

    def ignore(self, listener: Callable[[], object]) -> None:
        """
        Undo L{listen}. Do nothing if that wasn't called.
        """
        if listener in self._listeners:
            self._listeners.remove(listener)

    def identifier(self, number: int) -> str:
        """
        Return the identifier of an event.
        """
        return f"{self._run}-{number}"

    def number(self, identifier: str) -> int | None:
        """
        Return the number of the event with this identifier; None if this run has no such event.
        """
        run, _, digits = identifier.rpartition("-")
        if run != self._run or not digits.isdecimal() or len(digits) > 18:
            return None
        number = int(digits)
        return number if 0 <= number < self.next else None

    def about(self, number: int) -> tuple[str, str, str]:
        """
        Return the kind, the user and the tunnel of an event that is kept.
        """
        entry = self._entry(number)
        return entry.kind, entry.user, entry.tunnel

    def encoded(self, number: int) -> bytes:
        """
        Return an event that is kept as a Server-Sent Event.
        """
        entry = self._entry(number)
        if entry.make is not None:
            data = toJSON(entry.make())
            entry.encoded = encodeEvent(entry.kind, data, self.identifier(number))
            entry.make = None
        return entry.encoded

    def _entry(self, number: int) -> _Entry:
        entry = self._entries[number % self._size]
        assert entry is not None
        return entry


class EventSource:
    """
    The source of a stream of events. It is a L{pptpgw.management.stream.StreamSource}.
    """

    heartbeat = HEARTBEAT

    def __init__(
        self,
        log: EventLog,
        kind: str | None = None,
        user: str | None = None,
        tunnel: str | None = None,
        after: str = "",
        last: int = 0,
    ) -> None:
        """
        @param kind: the kinds of events that are sent, as the filter of a list; None for all.
        @param user: the users whose events are sent likewise.
        @param tunnel: the kinds of tunnels whose events are sent likewise.
        @param after: the identifier of the last event that the client has seen; empty for none.
        @param last: how many of the events until now are sent, if C{after} is empty.
        """
        self._log = log
        self._filters = [
            (index, matching(one))
            for index, one in enumerate((kind, user, tunnel))
            if one is not None
        ]
        self._next = max(log.first, log.next - last)
        # How many events are missing; None if that is unknown.
        self._lost: int | None = 0
        self._ready: Callable[[], object] | None = None
        if after:
            number = log.number(after)
            self._lost, self._next = (None, log.first) if number is None else (0, number + 1)

    def begin(self, ready: Callable[[], object]) -> None:
        """
        See L{pptpgw.management.stream.StreamSource.begin}.
        """
        self._ready = ready
        self._log.listen(ready)

    def take(self) -> bytes:
        """
        See L{pptpgw.management.stream.StreamSource.take}.
        """
        log, parts = self._log, []
        if self._lost is not None and self._next < log.first:
            self._lost, self._next = log.first - self._next, log.first
        if self._lost != 0:
            data, self._lost = toJSON(Gap(self._lost)), 0
            parts.append(encodeEvent("gap", data, log.identifier(self._next - 1)))
        while self._next < log.next and len(parts) < _BATCH:
            if self._wants(self._next):
                parts.append(log.encoded(self._next))
            self._next += 1
        return b"".join(parts)

    def close(self) -> None:
        """
        See L{pptpgw.management.stream.StreamSource.close}.
        """
        ready, self._ready = self._ready, None
        if ready is not None:
            self._log.ignore(ready)

    def _wants(self, number: int) -> bool:
        about = self._log.about(number)
        return all(matches(about[index]) for index, matches in self._filters)
