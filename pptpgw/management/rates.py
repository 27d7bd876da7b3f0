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


class _Sample(NamedTuple):
    time: float
    received: int
    sent: int


class Rates:
    """
    The rates of the current sessions.
    """

    def __init__(self, clock: IReactorTime, sessions: ISessions) -> None:
        self._clock = clock
        self._sessions = sessions
        self._samples: dict[int, _Sample] = {}
        self._rates: dict[int, Rate] = {}
        self._until = 0.0
        self._timer: IDelayedCall | None = None

    def of(self, session: ISession) -> Rate | None:
        """
        Return the rate of C{session}; None if it isn't known yet.
        """
        self._until = self._clock.seconds() + WATCHED
        if self._timer is None:
            self._measure()
        return self._rates.get(session.number)

    def stop(self) -> None:
        """
        Measure no more. Calling this again does nothing.
        """
        self._timer = cancelled(self._timer)
        self._samples.clear()
        self._rates.clear()

    def _measure(self) -> None:
        now = self._clock.seconds()
        if now > self._until:
            self._timer = None
            self._samples.clear()
            self._rates.clear()
            return
        before, self._samples, self._rates = self._samples, {}, {}
        for session in self._sessions:
            counters = session.counters
            sample = _Sample(now, counters.octetsReceived, counters.octetsSent)
            self._samples[session.number] = sample
            last = before.get(session.number)
            if last is not None and now > last.time:
                bits = 8 / (now - last.time)
                self._rates[session.number] = Rate(
                    (sample.received - last.received) * bits, (sample.sent - last.sent) * bits
                )
        self._timer = self._clock.callLater(INTERVAL, self._measure)
