"""
A monotonic clock around a reactor, for durations and timers.

A reactor's C{seconds} is the time of day, which jumps when the machine's clock is set; timers then
fire late or early. L{steady} wraps a reactor in one whose clock never jumps, and whose seconds
count from an arbitrary moment. Code that needs the time of day, for people and records, is given
C{time.time} separately.

L{Steady} keeps the timers itself, and uses one timer of the reactor, for the earliest of them. If
thousands of timers are due at one moment, they are called in slices, one in each turn of the
reactor. When the machine's clock is set, L{pptpgw.ports.clockwatch.ClockWatch} calls
L{Steady.clockWasSet}, which sets the reactor's timer anew. Timers that Twisted makes for itself,
such as those for connection timeouts, are still made with the reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from heapq import heappop, heappush
from itertools import count
from time import monotonic
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall
from twisted.python.runtime import seconds as timeOfDay
from zope.interface import directlyProvides, providedBy

from pptpgw.log import Logger
from pptpgw.timing.slices import SECONDS
from pptpgw.timing.timer import cancelled

_FEW = 50
"""
The number of outdated entries that may remain, however few other entries there are.
"""

_SWEPT = 4
"""
The number of entries that are examined with each cancelled timer, while outdated entries are being
removed.
"""


class _Timer(DelayedCall):
    """
    A timer of a L{Steady}.

    @ivar entry: the number of the timer's entry in a heap.
    """

    entry = 0


class Steady:
    """
    A wrapper of a reactor, with a clock that never jumps.
    """

    _log = Logger()

    def __init__(self, reactor: Any, seconds: Callable[[], float] = monotonic) -> None:
        self.seconds = seconds
        self._reactor = reactor
        # The pending timers, by the numbers of their entries.
        self._timers: dict[int, _Timer] = {}
        # Two heaps of entries, each the time when a timer is due and the entry's number. An entry
        # is outdated if its timer was cancelled or moved. While outdated entries are being removed,
        # the other entries move from the second heap to the first, a few at a time; otherwise the
        # second heap is empty.
        self._heap: list[tuple[float, int]] = []
        self._swept: list[tuple[float, int]] = []
        self._numbers = count()
        # The reactor's timer, and the time when it is due by our clock.
        self._alarm: IDelayedCall | None = None
        self._due = 0.0
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """
        See L{twisted.internet.interfaces.IReactorTime.callLater}.
        """
        assert delay >= 0, f"{delay} seconds are not greater than or equal to 0"
        seconds = self.seconds
        timer = _Timer(seconds() + delay, callable, args, kw, self._cancel, self._sooner, seconds)
        self._push(timer)
        return timer

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """
        See L{twisted.internet.interfaces.IReactorTime.getDelayedCalls}.
        """
        others = [one for one in self._reactor.getDelayedCalls() if one is not self._alarm]
        return [*self._timers.values(), *others]

    def clockWasSet(self) -> None:
        """
        Set the reactor's timer anew, after the machine's clock was set.
        """
        if self._timers:
            self._wind()

    def _push(self, timer: _Timer) -> None:
        """
        Add an entry for C{timer} to the heap, and set the reactor's timer if this one is the
        earliest.
        """
        timer.entry = next(self._numbers)
        self._timers[timer.entry] = timer
        heappush(self._heap, (timer.time, timer.entry))
        if self._alarm is None or timer.time < self._due:
            self._wind()

    def _wind(self) -> None:
        """
        Set the reactor's timer for the earliest of our timers.
        """
        self._due = self._earliest()[0][0]
        left = max(0.0, self._due - self.seconds())
        if self._alarm is None:
            self._alarm = self._reactor.callLater(left, self._run)
        else:
            self._alarm.reset(left)

    def _run(self) -> None:
        """
        Call as many of the timers that are due as fit in one slice. The others wait for the next
        turn, and so do timers that are added meanwhile.
        """
        self._alarm = None
        now = self.seconds()
        end = now + SECONDS
        try:
            while (heap := self._earliest()) and heap[0][0] <= now:
                _, entry = heappop(heap)
                timer = self._timers.pop(entry, None)
                if timer is not None:
                    if timer.delayed_time > 0:
                        timer.activate_delay()
                        self._push(timer)
                    else:
                        self._call(timer)
                if self.seconds() >= end:
                    break
        finally:
            self._settle()

    def _call(self, timer: _Timer) -> None:
        timer.called = 1
        try:
            timer.func(*timer.args, **timer.kw)
        except Exception:
            self._log.failure("a timer failed")

    def _sooner(self, timer: DelayedCall) -> None:
        """
        Replace the entry of C{timer}, which was moved to an earlier time.
        """
        assert isinstance(timer, _Timer)
        del self._timers[timer.entry]
        self._push(timer)

    def _cancel(self, timer: DelayedCall) -> None:
        """
        Remove a timer that is being cancelled.
        """
        assert isinstance(timer, _Timer)
        del self._timers[timer.entry]
        if not self._timers:
            self._settle()
        elif self._swept or len(self._heap) > 2 * len(self._timers) + _FEW:
            self._sweep()

    def _sweep(self) -> None:
        """
        Remove a few of many outdated entries, since removing thousands at once would take long.
        """
        if not self._swept:
            self._heap, self._swept = self._swept, self._heap
        for _ in range(min(_SWEPT, len(self._swept))):
            # A heap without its last entry is still a heap.
            entry = self._swept.pop()
            if entry[1] in self._timers:
                heappush(self._heap, entry)

    def _earliest(self) -> list[tuple[float, int]]:
        """
        Return the heap that begins with the earliest entry; an empty one if there are no entries.
        """
        if not self._swept:
            return self._heap
        return min(filter(None, (self._heap, self._swept)))

    def _settle(self) -> None:
        """
        Set the reactor's timer if we have any timer, and cancel it otherwise.
        """
        if self._timers:
            self._wind()
        else:
            self._heap.clear()
            self._swept.clear()
            self._alarm = cancelled(self._alarm)


def steady(reactor: Any) -> Any:
    """
    Wrap C{reactor} in one with a monotonic clock.

    @return: a L{Steady}; or C{reactor} itself if its clock isn't the time of day, such as a
        L{twisted.internet.task.Clock} or a L{Steady}.
    """
    return _around(reactor) if reactor.seconds is timeOfDay else reactor


@cache
def _around(reactor: Any) -> Steady:
    """
    Return the only L{Steady} around C{reactor}, so that one call of L{Steady.clockWasSet} serves
    all users.
    """
    return Steady(reactor)
