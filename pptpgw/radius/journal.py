"""
The records of a spool in files, so that they survive a restart.

The rules:

 - A record is written when it comes, and when nothing more is to be done for it that is written
   too.
 - The files together never exceed their size, with what will say that records are answered: what
   comes when they are full is counted, logged and lost.
 - A file that has L{SEGMENT_OCTETS} is followed by another; what an earlier run wrote to is never
   written to again.
 - A file goes when all in it is answered, the oldest first, since a file says what is answered in
   those before.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from pptpgw.counting.counters import Counters
from pptpgw.log import Logger
from pptpgw.radius.entry import DONE, DONE_OCTETS, MAGIC, RECORD, SpoolEntry, entries

SEGMENT_OCTETS = 1 << 20
"""
A file that has so many is followed by another.
"""

FULL = "the accounting spool was full"
TORN = "a torn end of an accounting spool's file"


class Files(Protocol):
    """
    Where the records lie: L{pptpgw.ports.segments.Segments}.
    """

    @property
    def isSafe(self) -> bool:
        """
        Whether everything that was appended survives the end of this process.
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

    def stop(self) -> Deferred[None]:
        """
        Write what is left; fires when that is done.
        """


class NoFiles:
    """
    For a spool that is kept in memory alone.
    """

    isSafe = False

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

    def stop(self) -> Deferred[None]:
        """
        See L{Files.stop}.
        """
        return succeed(None)


class Journal:
    """
    The files, and which records in them aren't answered.

    @ivar size: the octets that the files have now, with those that will say what was answered.
    """

    _log = Logger()

    def __init__(self, files: Files, limit: int, counters: Counters) -> None:
        """
        @param limit: the octets that the files may have.
        @param counters: where what is lost is counted.
        """
        self.size = 0
        self._files = files
        self._limit = limit
        self._counters = counters
        self._number = 0
        # In which file each record stands that isn't answered.
        self._places: dict[int, int] = {}
        # Of each file its size, and how many records in it aren't answered; oldest first.
        self._segments: dict[int, list[int]] = {}

    @property
    def isSafe(self) -> bool:
        """
        Whether the records survive the end of this process.
        """
        return self._files.isSafe

    def start(self) -> dict[int, tuple[bytes, bytes]]:
        """
        Read what an earlier run left: the session and the octets of each record that isn't answered
        by its number, in order.

        @raise pptpgw.error.ConfigurationError: the files can't be used.
        """
        self._places.clear()
        self._segments.clear()
        self.size = 0
        found: dict[int, tuple[bytes, bytes]] = {}
        for segment, octets in self._files.start():
            self._segments[segment] = [len(octets), 0]
            self.size += len(octets)
            self._restore(segment, octets, found)
        self._begin(max(self._segments, default=0) + 1)
        self._drop()
        return found

    def put(self, session: bytes, octets: bytes) -> int | None:
        """
        Write a record; give its number, or None where there is no room for it.

        @param session: at most 253 octets.
        """
        body = bytes((len(session),)) + session + octets
        entry = SpoolEntry(RECORD, self._number + 1, body).encode()
        if self.size + len(MAGIC) + len(entry) + DONE_OCTETS > self._limit:
            self._counters.discard(FULL)
            self._log.error(
                "the accounting spool is full, its {size} octets are not enough: a record of "
                "session {session} is lost",
                size=self._limit,
                session=session.decode("ascii", "replace"),
            )
            return None
        self._number += 1
        self._place(self._number, self._append(entry))
        return self._number

    def settle(self, number: int) -> None:
        """
        Write that nothing more is to be done for a record.
        """
        self._displace(number)
        self._append(SpoolEntry(DONE, number, b"").encode())
        self._drop()

    def stop(self) -> Deferred[None]:
        """
        Write what is left. Calling this again does nothing.

        @return: fires when that is done.
        """
        return self._files.stop()

    def _restore(self, segment: int, octets: bytes, found: dict[int, tuple[bytes, bytes]]) -> None:
        for entry in entries(octets):
            if entry is None:
                self._counters.discard(TORN)
                self._log.warn(
                    "file {number} of the accounting spool has a torn end", number=segment
                )
                return
            self._number = max(self._number, entry.number)
            if entry.kind == DONE:
                if found.pop(entry.number, None) is not None:
                    self._displace(entry.number)
            elif entry.number not in found:
                end = 1 + entry.body[0]
                found[entry.number] = entry.body[1:end], entry.body[end:]
                self._place(entry.number, segment)

    def _place(self, number: int, segment: int) -> None:
        """
        A record stands in this file; what will say that it is answered has its place from now on.
        """
        self._places[number] = segment
        self._segments[segment][1] += 1
        self.size += DONE_OCTETS

    def _displace(self, number: int) -> None:
        """
        It is answered: that takes the place that was kept for it.
        """
        self._segments[self._places.pop(number)][1] -= 1
        self.size -= DONE_OCTETS

    def _begin(self, segment: int) -> None:
        self._segments[segment] = [0, 0]

    def _append(self, octets: bytes) -> int:
        """
        Put an entry into the current file; give its number.
        """
        segment = next(reversed(self._segments))
        if self._segments[segment][0] + len(octets) > SEGMENT_OCTETS:
            segment += 1
            self._begin(segment)
        if not self._segments[segment][0]:
            octets = MAGIC + octets
        self._files.append(segment, octets)
        self._segments[segment][0] += len(octets)
        self.size += len(octets)
        return segment

    def _drop(self) -> None:
        """
        Remove what nobody needs, oldest first.
        """
        current = next(reversed(self._segments))
        for segment, (size, waiting) in tuple(self._segments.items()):
            if waiting or segment == current:
                return
            del self._segments[segment]
            self.size -= size
            self._files.remove(segment)
