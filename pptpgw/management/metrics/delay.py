"""
How late the reactor is.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.distribution import Distribution
from pptpgw.timing.timer import cancelled

INTERVAL = 0.25
"""
Seconds between two measurements. A delay that ends before the next one is due goes unseen, one that
is longer than this is always seen.
"""

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""
The bounds of the ranges in which delays are counted, in seconds.
"""


class ReactorDelay:
    """
    Measures how much later than due a timer is.

    @ivar seconds: the delays.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.seconds = Distribution(BOUNDS)
        self._clock = clock
        self._due = 0.0
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """
        Begin to measure.
        """
        self._due = self._clock.seconds() + INTERVAL
        self._timer = self._clock.callLater(INTERVAL, self._measure)

    def stop(self) -> None:
        """
        Measure no more. Calling this again does nothing.
        """
        self._timer = cancelled(self._timer)

    def _measure(self) -> None:
        self.seconds.add(max(0.0, self._clock.seconds() - self._due))
        self.start()
