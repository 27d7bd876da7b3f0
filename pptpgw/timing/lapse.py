"""
Timers that all run for the same time, thousands of them by one timer of the reactor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.log import Logger
from pptpgw.timing.slices import SECONDS
from pptpgw.timing.timer import cancelled

GRAIN = 0.01
"""
The least time in seconds between two rounds in which functions are called. So a function may be
called later by this time.
"""


class Waiting:
    """
    A function that is to be called.

    @ivar due: when it is called, in seconds of the clock.
    @ivar function: the function; None once it was called or removed.
    """

    __slots__ = ("due", "function")

    def __init__(self, due: float, function: Callable[[], object]) -> None:
        self.due = due
        self.function: Callable[[], object] | None = function


class Lapse:
    """
    Calls each function a certain time after it was added.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        """
        @param seconds: the time for all functions.
        """
        self._clock = clock
        self._seconds = seconds
        # In the order in which they are due. Those that were removed before later ones have no
        # function.
        self._queue: deque[Waiting] = deque()
        self._count = 0
        self._timer: IDelayedCall | None = None

    def add(self, function: Callable[[], object]) -> Waiting:
        """
        Call C{function} when the time has passed.

        @return: what L{remove} takes.
        """
        waiting = Waiting(self._clock.seconds() + self._seconds, function)
        self._queue.append(waiting)
        self._count += 1
        if self._timer is None:
            self._timer = self._clock.callLater(self._seconds, self._run)
        return waiting

    def remove(self, waiting: Waiting) -> None:
        """
        Don't call a function. Calling this again, or after it was called, does nothing.
        """
        if waiting.function is not None:
            waiting.function = None
            self._count -= 1
            while self._queue and self._queue[-1].function is None:
                self._queue.pop()
            self._settle()

    def _settle(self) -> None:
        """
        Stop the timer if no function waits.
        """
        if not self._count:
            self._queue.clear()
            self._timer = cancelled(self._timer)

    def _run(self) -> None:
        """
        Call as many of the functions that are due as fit in one slice.
        """
        self._timer = None
        seconds = self._clock.seconds
        now = seconds()
        end = now + SECONDS
        queue = self._queue
        while queue and queue[0].due <= now:
            function, queue[0].function = queue[0].function, None
            queue.popleft()
            if function is None:
                continue
            self._count -= 1
            try:
                function()
            except Exception:
                self._log.failure("A function after a lapse of time failed")
            if seconds() >= end:
                break
        self._settle()
        if queue:
            self._timer = cancelled(self._timer)
            left = queue[0].due - seconds()
            self._timer = self._clock.callLater(max(GRAIN if left > 0 else 0.0, left), self._run)
