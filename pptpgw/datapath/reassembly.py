"""
The reassembly of frames from the fragments of a bundle (RFC 1990 section 4).

The rules:

 - Fragments are taken in the order of their sequence numbers. Those that come early wait.
 - A link delivers in order, so a fragment that is missing is lost once every link has delivered a
   later one: M, the least of the numbers that the links have delivered last, is past it (section
   4.1). The bundle goes on behind it.
 - It also goes on if too much waits, L{MOST_WAITING} fragments or L{MOST_OCTETS}, and when
   L{Reassembly.giveUp} is called because a fragment has been missing for too long: a link that
   carries nothing would hold M back for ever.
 - A fragment whose number has been passed is late, and discarded. So are the fragments of a frame
   of which another one was lost.
 - The first fragment of all says where the numbers begin.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from pptpgw.counting.counters import DUPLICATE
from pptpgw.ppp.wire.multilink import BEGINNING, ENDING

MOST_WAITING = 256
"""
The number of fragments that may wait.
"""

MOST_OCTETS = 1 << 19
"""
The number of octets that may wait.
"""

MOST_LOST = 1 << 12
"""
The number of fragments that one gap is counted as at most: one that a peer makes up may be larger.
"""

LOST = "fragment lost"
LATE = "fragment late"
INCOMPLETE = "fragment of an incomplete frame"
TOO_LARGE = "fragments of a frame larger than our MRRU"


def _ignore(frame: bytes) -> None:
    """
    Ignore a frame: the reassembly is closed.
    """


def _uncounted(reason: str, count: int) -> None:
    """
    Don't count fragments that are discarded: the reassembly is closed.
    """


class Reassembly:
    """
    The frames of one bundle.

    @ivar following: the number of the fragment that is taken next, counted on without wrapping;
        None before the first one.
    """

    __slots__ = (
        "_count",
        "_deliver",
        "_discard",
        "_frame",
        "_largest",
        "_last",
        "_numbers",
        "_octets",
        "_waiting",
        "following",
    )

    def __init__(
        self,
        numbers: int,
        largest: int,
        deliver: Callable[[bytes], object],
        discard: Callable[[str, int], object],
    ) -> None:
        """
        @param numbers: how many sequence numbers there are.
        @param largest: the length of the largest frame, in octets.
        @param deliver: called with each frame.
        @param discard: called with a reason and a number of fragments.
        """
        self._numbers = numbers
        self._largest = largest
        self._deliver = deliver
        self._discard = discard
        self.following: int | None = None
        # What each link has delivered last.
        self._last: dict[Hashable, int] = {}
        # Bits and parts by number.
        self._waiting: dict[int, tuple[int, bytes]] = {}
        self._octets = 0
        # The current frame so far, None between frames; and its number of fragments.
        self._frame: bytearray | None = None
        self._count = 0

    @property
    def isWaiting(self) -> bool:
        """
        Whether fragments wait for one that is missing.
        """
        return bool(self._waiting)

    def addLink(self, link: Hashable) -> None:
        """
        Have M depend on C{link}, which delivers fragments from now on.
        """
        self._last[link] = -1 if self.following is None else self.following - 1

    def removeLink(self, link: Hashable) -> None:
        """
        Have M no longer depend on C{link}.
        """
        self._last.pop(link, None)
        self._advance()

    def add(self, link: Hashable, bits: int, number: int, part: bytes) -> None:
        """
        Take a fragment that C{link} has delivered.

        @param bits: L{BEGINNING} and L{ENDING}, as far as they are set.
        """
        following = self.following
        if following is None:
            following = self.following = number
            self._last = dict.fromkeys(self._last, number - 1)
        half = self._numbers >> 1
        number = following + (number - following + half) % self._numbers - half
        if number < following:
            self._discard(LATE, 1)
            return
        if number in self._waiting:
            self._discard(DUPLICATE, 1)
            return
        if number > self._last.get(link, number):
            self._last[link] = number
        if number == following and not self._waiting:
            self.following = number + 1
            self._take(bits, part)
            return
        self._waiting[number] = bits, part
        self._octets += len(part)
        self._advance()
        while len(self._waiting) > MOST_WAITING or self._octets > MOST_OCTETS:
            self.giveUp()

    def giveUp(self) -> None:
        """
        Go on with the first fragment that waits, and those that follow it.
        """
        if self._waiting:
            self._skip(min(self._waiting))
            self._advance()

    def close(self) -> None:
        """
        Forget everything, and deliver nothing more.
        """
        self._deliver = _ignore
        self._discard = _uncounted
        self._waiting.clear()
        self._last.clear()
        self._frame = None
        self._octets = 0

    def _advance(self) -> None:
        """
        Take the fragments whose turn it is, and go on behind those that are lost.
        """
        waiting = self._waiting
        while waiting and self.following is not None:
            found = waiting.pop(self.following, None)
            if found is not None:
                self.following += 1
                self._octets -= len(found[1])
                self._take(*found)
            elif min(self._last.values(), default=self.following) > self.following:
                self._skip(min(waiting))
            else:
                return

    def _skip(self, number: int) -> None:
        """
        Go on with C{number}, which waits: those before it are lost, as far as M is past them, or
        are given up.
        """
        assert self.following is not None
        missing = number - self.following
        self.following = number
        if missing:
            self._discard(LOST, min(missing, MOST_LOST))
            self._abandon()

    def _abandon(self) -> None:
        """
        Discard the fragments of the current frame.
        """
        if self._frame is not None:
            self._discard(INCOMPLETE, self._count)
            self._frame = None

    def _take(self, bits: int, part: bytes) -> None:
        """
        Add a fragment in its turn to the current frame, which it may begin or end.
        """
        if bits & BEGINNING:
            self._abandon()
            self._frame, self._count = bytearray(), 0
        frame = self._frame
        if frame is None:
            self._discard(INCOMPLETE, 1)
            return
        self._count += 1
        frame += part
        if len(frame) > self._largest:
            self._discard(TOO_LARGE, self._count)
            self._frame = None
        elif bits & ENDING:
            self._frame = None
            # A fragment that is empty only tells that there was nothing else before it.
            if frame:
                self._deliver(bytes(frame))
