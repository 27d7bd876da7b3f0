"""
What ends a session by itself: its time, silence, what it has carried, the end of its user's hours.

The rules:

 - What the account says goes before the configuration; 0 is no limit.
 - A packet from the user is a sign of life, one that is sent to it isn't: scans of its address and
   Router Advertisements would keep every session. Nor does LCP count, its Echo-Requests least of
   all.
 - A session has one timer, and none where nothing limits it. When it runs out the figures are
   looked at, so a packet pays for nothing, and the end comes a little late: up to a quarter of the
   time that silence may last, or L{VOLUME_SECONDS}.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import time
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.config.section import LimitsSection
from pptpgw.error import ConfigurationError
from pptpgw.sessions import hours
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.session import Session
from pptpgw.timing.timer import cancelled

VOLUME_SECONDS = 2.0
"""
How often a session of limited volume is looked at.
"""

HOURS_SECONDS = 60.0
"""
The same for hours: the clock of the machine may be set meanwhile.
"""


class SessionLimits(SessionObserver):
    """
    Ends sessions; an observer of them.
    """

    def __init__(
        self, clock: IReactorTime, limits: LimitsSection, now: Callable[[], float] = time
    ) -> None:
        """
        @param now: gives the time of day, in seconds since 1970, for the hours.
        """
        self._clock = clock
        self._limits = limits
        self._now = now
        self._watches: dict[Session, _Watch] = {}

    def sessionStarted(self, session: Any) -> None:
        """
        Begin to count.
        """
        self._watches[session] = watch = _Watch(session, self._clock, self._limits, self._now)
        watch.begin()

    def sessionChanged(self, session: Any) -> None:
        """
        Go by what it is allowed now; its time counts from its beginning all the same.
        """
        if session in self._watches:
            self._watches[session].begin()

    def sessionEnded(self, session: Any, cause: str) -> None:
        """
        Forget it.
        """
        watch = self._watches.pop(session, None)
        if watch is not None:
            watch.end()


class _Watch:
    """
    One session's limits.
    """

    __slots__ = ("_clock", "_heard", "_limits", "_now", "_packets", "_session", "_timer")

    def __init__(
        self, session: Session, clock: IReactorTime, limits: LimitsSection, now: Callable[[], float]
    ) -> None:
        self._session = session
        self._clock = clock
        self._limits = limits
        self._now = now
        self._packets = session.counters.packetsReceived
        # When it was last known to have sent some.
        self._heard = clock.seconds()
        self._timer: IDelayedCall | None = None

    def begin(self) -> None:
        """
        Look when it is time to; what is over already ends in the reactor's next turn.
        """
        self.end()
        seconds, _ = self._next()
        if seconds < inf:
            self._timer = self._clock.callLater(seconds, self._look)

    def end(self) -> None:
        """
        Look no more.
        """
        self._timer = cancelled(self._timer)

    def _look(self) -> None:
        self._timer = None
        seconds, cause = self._next()
        if cause is not None:
            self._session.hangUp(cause)
        elif seconds < inf:
            self._timer = self._clock.callLater(seconds, self._look)

    def _next(self) -> tuple[float, Cause | None]:
        """
        In how many seconds to look again, or why the session is over.
        """
        soonest = inf
        for judge, text, code in _JUDGES:
            try:
                seconds = judge(self)
            except ConfigurationError as error:
                return 0.0, Cause(str(error), Termination.NAS_ERROR)
            if seconds <= 0:
                return 0.0, Cause(text, code)
            soonest = min(soonest, seconds)
        return soonest, None

    # How soon to look again; 0 and less: it is over.

    def _time(self) -> float:
        limit = _limit(self._session.profile.sessionTimeout, self._limits.sessionTimeout)
        return limit - self._session.duration

    def _silence(self) -> float:
        limit = _limit(self._session.profile.idleTimeout, self._limits.idleTimeout)
        packets, now = self._session.counters.packetsReceived, self._clock.seconds()
        if packets != self._packets:
            self._packets, self._heard = packets, now
        return min(self._heard + limit - now, limit / 4)

    def _volume(self) -> float:
        limit = _limit(self._session.profile.volume, self._limits.volume)
        counters = self._session.counters
        if counters.octetsReceived + counters.octetsSent >= limit:
            return 0.0
        return VOLUME_SECONDS if limit < inf else inf

    def _hours(self) -> float:
        text = self._session.profile.hours
        if not text:
            return inf
        left = hours.parse(text).left(self._now())
        return min(left, HOURS_SECONDS) if left < inf else inf


_JUDGES: tuple[tuple[Callable[[_Watch], float], str, Termination], ...] = (
    (_Watch._time, "the session's time is over", Termination.SESSION_TIMEOUT),
    (_Watch._silence, "the session was idle", Termination.IDLE_TIMEOUT),
    (_Watch._volume, "the session's volume is used up", Termination.NAS_REQUEST),
    (_Watch._hours, "the user's hours are over", Termination.SESSION_TIMEOUT),
)


def _limit(own: float | None, otherwise: float) -> float:
    """
    What the account says, or else the configuration.
    """
    return (otherwise if own is None else own) or inf
