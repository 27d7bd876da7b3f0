"""
Long work that is done in slices, with pauses between them in which packets and timers are served.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.log import Logger
from pptpgw.timing.timer import cancelled

T = TypeVar("T")

SECONDS = 0.002
"""
The time in seconds after which a slice begins no further step.
"""


PAUSE = 2 * SECONDS
"""
The time in seconds between two slices. Work on thousands of sessions often starts timers, which
later are due as close together as the steps were; they run in these pauses.
"""


class Slices:
    """
    One piece of work, given as an iterator: each step of the iterator does a part of the work.

    The first slice is done at once. An exception that a step raises ends the work.

    @ivar done: fires when the iterator ends, or fails with the exception that it raised. Cancelling
        it leaves the rest undone.
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


class Burst:
    """
    Calls that may be requested by the thousand at one moment. As many as fit in one slice are made
    at once, the others in later turns of the reactor, in order.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # The end of the current turn's slice, and the timer that ends the turn; None if nothing was
        # requested in this turn.
        self._end = 0.0
        self._turn: IDelayedCall | None = None
        self._waiting: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()

    def do(self, what: Callable[..., object], *arguments: object) -> None:
        """
        Call C{what} with C{arguments}, at once or soon. An exception of a call that was put off is
        logged.
        """
        if not self._waiting:
            now = self._clock.seconds()
            if self._turn is None:
                self._end = now + SECONDS
                self._turn = self._clock.callLater(0, self._turned)
            if now <= self._end:
                what(*arguments)
                return
            self._clock.callLater(PAUSE, lambda: inSlices(self._clock, self._do()))
        self._waiting.append((what, arguments))

    def _turned(self) -> None:
        self._turn = None

    def _do(self) -> Iterator[None]:
        while self._waiting:
            what, arguments = self._waiting.popleft()
            try:
                what(*arguments)
            except Exception:
                self._log.failure("a call that was put off failed")
            yield


def inSlices(clock: IReactorTime, steps: Iterator[object]) -> Deferred[None]:
    """
    Do all of C{steps} in slices.

    @return: see L{Slices.done}.
    """
    return Slices(clock, steps).done


def oneByOne(things: Iterable[T]) -> Iterator[T]:
    """
    Iterate over everything in C{things} now, and drop the reference to each item that was yielded.
    Freeing thousands of ended sessions at once would take as long as many slices.
    """
    left = list(things)
    while left:
        yield left.pop()
