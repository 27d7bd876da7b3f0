"""
The sequence numbers of a call that this process and a thread outside of the interpreter count in
turn. They are passed as one tuple, in the order in which C{_nativesession.c} has them; the thread
passes the packets that it holds, too.
"""

from __future__ import annotations

from itertools import chain
from operator import itemgetter

from pptpgw.tunnels.pptp.window import GAPS_KNOWN, HELD_LIMIT, Window
from pptpgw.tunnels.pptp.wire.gre import NUMBERS

_MASK = NUMBERS - 1
_AGO = itemgetter(3)


class SharedWindow(Window):
    """
    A window that can be suspended. Nothing else may be called between L{suspend} and L{resume}.
    """

    __slots__ = ()

    @property
    def isSettled(self) -> bool:
        """
        Whether all that arrived was delivered or dropped, and the peer isn't being asked.
        """
        return self.expected >= 0 and not self.held and self._askTimer is None

    @property
    def isDoubted(self) -> bool:
        """
        Whether packets out of turn are judged at once, since some weren't believed.
        """
        return self.expected in (self._vainAt, self._doubtedAt)

    def suspend(self) -> tuple[int, ...]:
        """
        Acknowledge what waits for that, since the numbers will be counted elsewhere, while
        L{isSettled} is true.

        @return: C{expected}, C{acknowledged}, C{due}, C{sending}, C{dropped}, how many packets with
            old numbers came since the last one in order, and the first numbers and lengths of
            L{GAPS_KNOWN} gaps, the latest one last.
        """
        self._forgetTimer()
        self.expected &= _MASK
        if self.expected != self.acknowledged & _MASK:
            self._acknowledge()
        expected = self.acknowledged = self.due = self.expected
        number, count = self._repeated
        repeated = count if number == expected else 0
        gaps = ((0, 0),) * (GAPS_KNOWN - len(self._gaps)) + self._gaps
        numbers = expected, expected, expected, self.sending, self.dropped, repeated
        return (*numbers, *chain.from_iterable(gaps))

    def resume(self, numbers: tuple[int, ...], held: list[tuple[int, int, bytes, float]]) -> None:
        """
        Go on from numbers that were counted elsewhere.

        @param numbers: those that L{suspend} returned, as they are now.
        @param held: the packets that are ahead, each with its sequence number, its protocol number,
            its information field, and how many seconds ago it came. L{catchUp} must be called if
            one of them is expected already, or if there are too many.
        """
        self.expected, self.acknowledged, self.due = numbers[:3]
        self.sending, self.dropped, repeated = numbers[3:6]
        self._repeated = self.expected, repeated
        self._gaps = tuple(zip(numbers[6::2], numbers[7::2], strict=True))
        if self.expected != self.acknowledged:
            self._acknowledging = self._lapse.add(self._acknowledgeTimedOut)
        now = self._clock.seconds()
        for sequence, protocol, information, ago in sorted(held, key=_AGO, reverse=True):
            self.held[sequence] = protocol, information, now - ago
        self._watchGap()

    def catchUp(self) -> None:
        """
        Handle the held packets that needn't wait any longer, after L{resume}.
        """
        if self.expected in self.held:
            protocol, information, _ = self.held.pop(self.expected)
            self._inOrder(protocol, information)
        elif len(self.held) > HELD_LIMIT:
            self._giveUpGap()
            self._watchGap()
