"""
Python's garbage collector in a process that holds thousands of sessions.

The rules:

 - A full collection looks at every object, and the loop stands still meanwhile. So what is there
   after the start, and what has become old since, is frozen (L{gc.freeze}): it is freed when its
   last user lets go of it, as ever, but collections don't look at it any more.
 - That is done in steps, of as many new objects as are looked through in a few milliseconds, and
   after each step's own collection: so nothing is frozen that is garbage already.
 - Cycles of frozen objects are never freed. An ended session leaves none; plugins
   shouldn't either.

This concerns the whole process, so it is for one that is the gateway's own: C{twistd pptpgw} does
it. An application that the gateway is embedded in may add a L{Collector} to its services.
"""

from __future__ import annotations

import gc

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.timer import cancelled

YOUNG = 2000
"""
New objects, those freed meanwhile not counted, until the young ones are looked through.
"""

STEP = 8000
"""
New objects until the older ones are looked through as well, and frozen.
"""

INTERVAL = 0.1
"""
Seconds from one look at their number to the next.
"""

_NEVER = 1 << 30


class Collector(Service):
    """
    Looks through new objects, and freezes old ones, while it runs.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._thresholds = gc.get_threshold()

    def startService(self) -> None:
        """
        Begin as soon as the reactor runs, when everything is there.
        """
        Service.startService(self)
        self._thresholds = gc.get_threshold()
        self._timer = self._clock.callLater(0, self._begin)

    def stopService(self) -> None:
        """
        Have the collector as it was.
        """
        Service.stopService(self)
        self._timer = cancelled(self._timer)
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def _begin(self) -> None:
        # The oldest are looked through here alone.
        gc.set_threshold(YOUNG, 10, _NEVER)
        self._freeze()

    def _look(self) -> None:
        young, middle, old = gc.get_count()
        if young + YOUNG * (middle + 10 * old) >= STEP:
            self._freeze()
        else:
            self._later()

    def _freeze(self) -> None:
        gc.collect()
        gc.freeze()
        self._later()

    def _later(self) -> None:
        self._timer = self._clock.callLater(INTERVAL, self._look)
