"""
A monotonic clock around a reactor, for durations and timers.

A reactor's C{seconds} is the time of day, which jumps when the machine's clock is set, and its
timers then fire late or early. L{steady} puts a clock around a reactor that never jumps; its
seconds count from an arbitrary moment. The time of day, for people and records, is C{time.time},
and is passed separately.

L{Steady} keeps the timers itself, and has one timer of the reactor's, for the earliest of them.
When the machine's clock is set, L{pptpgw.ports.clockwatch.ClockWatch} calls L{Steady.clockWasSet},
which sets that timer anew. Timers that Twisted makes for itself, for connection timeouts for
example, stay the reactor's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from heapq import heapify, heappop, heappush
from time import monotonic
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall
from twisted.python.runtime import seconds as timeOfDay
from zope.interface import directlyProvides, providedBy

from pptpgw.log import Logger
from pptpgw.timer import cancelled

_FEW = 50
"""
How many cancelled timers may stay in the heap, however few others there are.
"""


class Steady:
    """
    A reactor with a clock of its own, which never jumps.
    """

    _log = Logger()

    def __init__(self, reactor: Any, seconds: Callable[[], float] = monotonic) -> None:
        self.seconds = seconds
        self._reactor = reactor
        # A heap, ordered by time; it may hold cancelled timers.
        self._timers: list[DelayedCall] = []
        self._cancelled = 0
        # The reactor's timer, and when it is due by our clock.
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
        timer = DelayedCall(
            seconds() + delay, callable, args, kw, self._cancel, self._sooner, seconds
        )
        heappush(self._timers, timer)
        if self._alarm is None or timer.time < self._due:
            self._wind()
        return timer

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """
        See L{twisted.internet.interfaces.IReactorTime.getDelayedCalls}.
        """
        others = [one for one in self._reactor.getDelayedCalls() if one is not self._alarm]
        return [timer for timer in self._timers if not timer.cancelled] + others

    def clockWasSet(self) -> None:
        """
        Set the reactor's timer anew, after the machine's clock was set.
        """
        if self._timers:
            self._wind()

    def _wind(self) -> None:
        """
        Set the reactor's timer for the earliest of our timers.
        """
        self._due = self._timers[0].time
        left = max(0.0, self._due - self.seconds())
        if self._alarm is None:
            self._alarm = self._reactor.callLater(left, self._run)
        else:
            self._alarm.reset(left)

    def _run(self) -> None:
        """
        Call the timers that are due. Timers that are added meanwhile wait for the next call.
        """
        self._alarm = None
        now, timers = self.seconds(), self._timers
        try:
            while timers and timers[0].time <= now:
                timer = heappop(timers)
                if timer.cancelled:
                    self._cancelled -= 1
                elif timer.delayed_time > 0:
                    timer.activate_delay()
                    heappush(timers, timer)
                else:
                    self._call(timer)
        finally:
            if timers:
                self._wind()

    def _call(self, timer: DelayedCall) -> None:
        timer.called = 1
        try:
            timer.func(*timer.args, **timer.kw)
        except Exception:
            self._log.failure("a timer failed")

    def _sooner(self, timer: DelayedCall) -> None:
        """
        Restore the order after C{timer} was moved to an earlier time.
        """
        heapify(self._timers)
        if self._timers[0].time < self._due:
            self._wind()

    def _cancel(self, timer: DelayedCall) -> None:
        """
        Count a timer that is being cancelled, and remove cancelled timers when they are many.
        """
        self._cancelled += 1
        timers = self._timers
        if self._cancelled == len(timers):
            timers.clear()
            self._alarm = cancelled(self._alarm)
        elif self._cancelled > _FEW and self._cancelled > len(timers) // 2:
            timers[:] = [one for one in timers if not one.cancelled and one is not timer]
            heapify(timers)
        else:
            return
        self._cancelled = 0


def steady(reactor: Any) -> Any:
    """
    Put a monotonic clock around C{reactor}.

    @return: a L{Steady}; or C{reactor} itself if its clock isn't the time of day, such as a
        L{twisted.internet.task.Clock} or a L{Steady}.
    """
    return _around(reactor) if reactor.seconds is timeOfDay else reactor


@cache
def _around(reactor: Any) -> Steady:
    """
    The only L{Steady} around C{reactor}, so that one call of L{Steady.clockWasSet} serves all
    users.
    """
    return Steady(reactor)
