"""
The clock that durations are measured by, and timers go by: one that nobody sets.

A reactor's C{seconds} is the time of day, which jumps when the machine's clock is set, and its
timers come late or early then. What has L{steady} around its reactor has a clock that never jumps,
whose seconds mean nothing to anybody else. The time of day, for people and records, is
C{time.time}, and is passed apart from it.

Timers wait here, and the reactor's own timer for the first of them only wakes us. When the
machine's clock is set whoever notices calls L{Steady.clockWasSet}, and it is wound up anew. Those
that Twisted makes for itself, as for connecting, stay the reactor's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
Cancelled timers that may stay where they are, however few others there are.
"""


class Steady:
    """
    A reactor with a clock of its own, which never jumps.
    """

    _log = Logger()

    def __init__(self, reactor: Any, seconds: Callable[[], float] = monotonic) -> None:
        self.seconds = seconds
        self._reactor = reactor
        # By their times; those that are cancelled among them.
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
        The reactor's idea of when to wake us is wrong now.
        """
        if self._timers:
            self._wind()

    def _wind(self) -> None:
        """
        Have the reactor wake us for the first timer.
        """
        self._due = self._timers[0].time
        left = max(0.0, self._due - self.seconds())
        if self._alarm is None:
            self._alarm = self._reactor.callLater(left, self._run)
        else:
            self._alarm.reset(left)

    def _run(self) -> None:
        """
        Call what is due, but for what that adds.
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
        C{timer} has another time, before the one that it had.
        """
        heapify(self._timers)
        if self._timers[0].time < self._due:
            self._wind()

    def _cancel(self, timer: DelayedCall) -> None:
        """
        C{timer} is being cancelled.
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
    C{reactor} with a clock that never jumps; C{reactor} itself where its clock isn't the time of
    day, as with L{twisted.internet.task.Clock}, or where this was done before.
    """
    return Steady(reactor) if reactor.seconds is timeOfDay else reactor
