"""
How fast packets pass now.
"""

from __future__ import annotations

from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.interfaces import ISession, ISessions
from pptpgw.timing.timer import cancelled

INTERVAL = 2.0
"""
Seconds over which rates are measured.
"""

WATCHED = 30.0
"""
Seconds for which rates are measured after somebody has asked for one. While nobody asks, nothing is
measured.
"""


class Rate(NamedTuple):
    """
    Bits a second in each direction, as an average over the last L{INTERVAL}.
    """

    received: float
    sent: float


class Rates:
    """
    Measures how many bits a second the current sessions receive and send, while somebody asks for
    it.
    """

    def __init__(self, clock: IReactorTime, sessions: ISessions) -> None:
        self._clock = clock
        self._sessions = sessions
        # The octets received and sent until the last measurement, and until the one before it, by
        # the numbers of sessions.
        self._samples: dict[int, tuple[int, int]] = {}
        self._before: dict[int, tuple[int, int]] = {}
        self._time = self._seconds = 0.0
        self._until = 0.0
        self._timer: IDelayedCall | None = None

    def of(self, session: ISession) -> Rate | None:
        """
        Return the rate of C{session}; None if it isn't known yet.
        """
        self._until = self._clock.seconds() + WATCHED
        if self._timer is None:
            self._measure()
        sample, before = self._samples.get(session.number), self._before.get(session.number)
        if sample is None or before is None or self._seconds <= 0:
            return None
        bits = 8 / self._seconds
        return Rate((sample[0] - before[0]) * bits, (sample[1] - before[1]) * bits)

    def stop(self) -> None:
        """
        Measure no more. Calling this again does nothing.
        """
        self._timer = cancelled(self._timer)
        self._samples, self._before = {}, {}

    def _measure(self) -> None:
        now = self._clock.seconds()
        if now > self._until:
            self._timer = None
            self.stop()
            return
        self._seconds, self._time = now - self._time, now
        self._before, self._samples = self._samples, {}
        for session in self._sessions:
            counters = session.counters
            self._samples[session.number] = (counters.octetsReceived, counters.octetsSent)
        self._timer = self._clock.callLater(INTERVAL, self._measure)
