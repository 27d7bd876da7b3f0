"""
Python's garbage collector in a process that holds thousands of sessions.

The rules:

 - A full collection looks at every object, and blocks the reactor meanwhile. So the objects that
   exist after the start, and those that have become old since, are frozen (L{gc.freeze}): reference
   counting still frees them, but collections skip them.
 - Objects are frozen in steps, each of as many new objects as a collection examines in a few
   milliseconds, and after a collection of these, so that no garbage is frozen.
 - Cycles of frozen objects are never freed. An ended session leaves none, and plugins mustn't
   either.

This affects the whole process, so it is for processes that run nothing but the gateway: C{twistd
pptpgw} does it. An application that embeds the gateway may add a L{Collector} to its services.
"""

from __future__ import annotations

import gc

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.timing.timer import cancelled

YOUNG = 2000
"""
The threshold of the youngest generation: the new objects, less those freed, before a collection.
"""

STEP = 8000
"""
The new objects before a collection of all generations, after which they are frozen.
"""

INTERVAL = 0.1
"""
Seconds between two estimates of the number of new objects.
"""

COUNTED = 10
"""
How often the number of new objects is estimated for each time that they are counted.
"""

_NEVER = 1 << 30


class Collector(Service):
    """
    A service that collects new objects, and freezes old ones, while it runs.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._looks = 0
        self._thresholds = gc.get_threshold()

    def startService(self) -> None:
        """
        Begin as soon as the reactor runs, when all parts of the process have been made.
        """
        Service.startService(self)
        self._thresholds = gc.get_threshold()
        self._timer = self._clock.callLater(0, self._begin)

    def stopService(self) -> None:
        """
        Restore the garbage collector's settings, and unfreeze what was frozen.
        """
        Service.stopService(self)
        self._timer = cancelled(self._timer)
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def _begin(self) -> None:
        # Only this service collects the oldest generation.
        gc.set_threshold(YOUNG, 10, _NEVER)
        self._freeze()

    def _look(self) -> None:
        self._looks += 1
        if _estimate() >= STEP or (self._looks % COUNTED == 0 and _count() >= STEP):
            self._freeze()
        else:
            self._later()

    def _freeze(self) -> None:
        gc.collect()
        gc.freeze()
        self._later()

    def _later(self) -> None:
        self._timer = self._clock.callLater(INTERVAL, self._look)


def _estimate() -> int:
    """
    Return how many new objects there are at least: old objects that were freed are subtracted.
    """
    new, young, middle = gc.get_count()
    least, collections, _ = gc.get_threshold()
    return new + least * (young + (collections + 1) * middle)


def _count() -> int:
    """
    Return how many new objects there are. This looks at each of them.
    """
    return sum(len(gc.get_objects(generation)) for generation in range(3))
