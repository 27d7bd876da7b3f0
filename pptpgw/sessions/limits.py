"""
The limits that end a session: its duration, idle time and volume, and the end of its user's hours.

The rules:

 - A limit of the account takes precedence over the configuration; 0 is no limit.
 - Only a packet from the user ends idle time. A packet to the user doesn't, since scans of the
   user's address and Router Advertisements would keep every session alive; nor does LCP, with its
   Echo-Requests.
 - A session has one timer, or none if nothing limits it. When the timer runs out, the session's
   counters are compared with the limits. So packets cost nothing extra, and the end comes a little
   late: by up to a quarter of the idle time, or L{VOLUME_SECONDS}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from time import time

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.config.section import LimitsSection
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import ISession
from pptpgw.sessions import hours
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.slices import inSlices
from pptpgw.timing.timer import cancelled

VOLUME_SECONDS = 2.0
"""
The interval at which a session of limited volume is looked at.
"""

HOURS_SECONDS = 60.0
"""
The interval at which a session of limited hours is looked at, since the machine's clock may be set
meanwhile.
"""


class SessionLimits(SessionObserver):
    """
    A session observer that ends sessions at their limits.

    @ivar limits: the limits of the configuration, for sessions whose account has none.
    @ivar now: returns the time of day, in seconds since 1970, for the hours.
    """

    def __init__(
        self, clock: IReactorTime, limits: LimitsSection, now: Callable[[], float] = time
    ) -> None:
        """
        @param limits: the limits of the configuration.
        @param now: returns the time of day, in seconds since 1970, for the hours.
        """
        self._clock = clock
        self.limits = limits
        self.now = now
        self._watches: dict[ISession, _Watch] = {}

    def change(self, limits: LimitsSection) -> Deferred[None]:
        """
        Apply C{limits} instead, to the current sessions too. Durations and volumes count from the
        beginning of each session.

        @return: fires when the timers of all sessions are set by the new limits.
        """
        self.limits = limits
        return inSlices(self._clock, self._again())

    def _again(self) -> Iterator[None]:
        for session in tuple(self._watches):
            if session in self._watches:
                self._watches[session].begin()
            yield

    def sessionStarted(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionStarted}: begin to watch the limits of the session.
        """
        self._watches[session] = watch = _Watch(session, self._clock, self)
        watch.begin()

    def sessionChanged(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionChanged}: apply the new profile. The duration still counts
        from the beginning of the session.
        """
        if session in self._watches:
            self._watches[session].begin()

    def sessionEnded(self, session: ISession, cause: str) -> None:
        """
        See L{ISessionObserver.sessionEnded}: stop watching the session.
        """
        watch = self._watches.pop(session, None)
        if watch is not None:
            watch.end()


class _Watch:
    """
    The limits of one session, and the timer that watches them.
    """

    __slots__ = ("_clock", "_heard", "_owner", "_packets", "_session", "_timer")

    def __init__(self, session: ISession, clock: IReactorTime, owner: SessionLimits) -> None:
        self._session = session
        self._clock = clock
        self._owner = owner
        self._packets = session.counters.packetsReceived
        # The last time at which the user was known to have sent a packet.
        self._heard = clock.seconds()
        self._timer: IDelayedCall | None = None

    def begin(self) -> None:
        """
        Set the timer. A limit that is exceeded already ends the session in the reactor's next
        iteration.
        """
        self.end()
        seconds, _ = self._next()
        if seconds < inf:
            self._timer = self._clock.callLater(seconds, self._look)

    def end(self) -> None:
        """
        Cancel the timer, as the session has ended.
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
        Return in how many seconds the limits must be looked at again, and None; or 0 and the
        cause for which the session must end.
        """
        soonest = inf
        for judge, cause in _JUDGES:
            try:
                seconds = judge(self)
            except ConfigurationError as error:
                return 0.0, Cause(str(error), Termination.NAS_ERROR)
            if seconds <= 0:
                return 0.0, cause
            soonest = min(soonest, seconds)
        return soonest, None

    # The seconds until each limit must be looked at; 0 or less: the limit is reached.

    def _time(self) -> float:
        limit = _limit(self._session.profile.sessionTimeout, self._owner.limits.sessionTimeout)
        return limit - self._session.duration

    def _silence(self) -> float:
        limit = _limit(self._session.profile.idleTimeout, self._owner.limits.idleTimeout)
        packets, now = self._session.counters.packetsReceived, self._clock.seconds()
        if packets != self._packets:
            self._packets, self._heard = packets, now
        return min(self._heard + limit - now, limit / 4)

    def _volume(self) -> float:
        limit = _limit(self._session.profile.volume, self._owner.limits.volume)
        counters = self._session.counters
        if counters.octetsReceived + counters.octetsSent >= limit:
            return 0.0
        return VOLUME_SECONDS if limit < inf else inf

    def _hours(self) -> float:
        text = self._session.profile.hours
        if not text:
            return inf
        left = hours.parse(text).left(self._owner.now())
        return min(left, HOURS_SECONDS) if left < inf else inf


_JUDGES: tuple[tuple[Callable[[_Watch], float], Cause], ...] = (
    (
        _Watch._time,
        Cause("the session's time is over", Termination.SESSION_TIMEOUT, Remedy.TIME),
    ),
    (
        _Watch._silence,
        Cause("the session was idle", Termination.IDLE_TIMEOUT, Remedy.IDLE),
    ),
    (
        _Watch._volume,
        Cause("the session's volume is used up", Termination.NAS_REQUEST, Remedy.VOLUME),
    ),
    (
        _Watch._hours,
        Cause("the user's hours are over", Termination.SESSION_TIMEOUT, Remedy.HOURS_OVER),
    ),
)


def _limit(own: float | None, otherwise: float) -> float:
    """
    Return the limit of the account, or that of the configuration if the account has none; infinite
    for no limit.
    """
    return (otherwise if own is None else own) or inf
