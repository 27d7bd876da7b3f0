"""
Long work in slices: whoever has thousands of things to do does some of them at a time, so that
packets and timers have their turn between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.log import Logger
from pptpgw.timer import cancelled

SECONDS = 0.004
"""
How long one slice may take. The last step that begins in it may take longer.
"""


PAUSE = SECONDS
"""
How long the loop is left to others before the next slice. What was done for thousands of sessions
has timers of its own, which are due as close together as it was done: they need room as well.
"""


class Slices:
    """
    One piece of work, of which each step of an iterator does a part.

    The first slice is done at once. What a step raises ends the work.

    @ivar done: fires when the iterator ends, or fails with what it raised; cancelling it leaves the
        rest undone.
    """

    def __init__(self, clock: IReactorTime, steps: Iterator[object]) -> None:
        self._clock = clock
        self._steps = steps
        self._next: IDelayedCall | None = None
        self.done: Deferred[None] = Deferred(self._cancel)
        self._slice()

    def _slice(self) -> None:
        self._next = None
        seconds = self._clock.seconds
        end = seconds() + SECONDS
        try:
            for _ in self._steps:
                if self.done.called:
                    return
                if seconds() >= end:
                    self._next = self._clock.callLater(PAUSE, self._slice)
                    return
        except Exception:
            self.done.errback()
        else:
            if not self.done.called:
                self.done.callback(None)

    def _cancel(self, done: Deferred[None]) -> None:
        self._next = cancelled(self._next)


GAP = 0.001
"""
What comes this many seconds after the last is no longer of the same burst.
"""


class Burst:
    """
    Things to do of which thousands may be asked for in one go: as many as one slice holds are done
    at once, the others in later turns, in order.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._end = self._last = float("-inf")
        self._waiting: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()

    def do(self, what: Callable[..., object], *arguments: object) -> None:
        """
        Call C{what} with C{arguments}, now or soon.
        """
        now = self._clock.seconds()
        if self._waiting:
            self._waiting.append((what, arguments))
            return
        if now - self._last > GAP:
            self._end = now + SECONDS
        if now > self._end:
            self._waiting.append((what, arguments))
            self._clock.callLater(PAUSE, lambda: inSlices(self._clock, self._do()))
            return
        what(*arguments)
        self._last = self._clock.seconds()

    def _do(self) -> Iterator[None]:
        while self._waiting:
            what, arguments = self._waiting.popleft()
            try:
                what(*arguments)
            except Exception:
                self._log.failure("What was put off failed")
            yield


def inSlices(clock: IReactorTime, steps: Iterator[object]) -> Deferred[None]:
    """
    Do all of C{steps} in slices; see L{Slices.done} for what is returned.
    """
    return Slices(clock, steps).done
