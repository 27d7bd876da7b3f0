"""
The clock that durations are measured by: one that nobody sets.

A reactor's C{seconds} is the time of day, which jumps when the machine's clock is set. What has
L{steady} around its reactor measures by a clock that never jumps, and its seconds mean nothing to
anybody else. The time of day, for people and records, is C{time.time}, and is passed apart from it.

Timers (C{callLater}) stay those of the reactor, which waits by the time of day: one that is pending
while the machine's clock is set comes earlier or later by as much, once.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from twisted.python.runtime import seconds as timeOfDay
from zope.interface import directlyProvides, providedBy


class Steady:
    """
    A reactor whose C{seconds} never jumps.
    """

    seconds = staticmethod(monotonic)

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.callLater = reactor.callLater
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def steady(reactor: Any) -> Any:
    """
    C{reactor} with a clock that never jumps; C{reactor} itself where its clock isn't the time of
    day, as with L{twisted.internet.task.Clock}, or where this was done before.
    """
    return Steady(reactor) if reactor.seconds is timeOfDay else reactor
