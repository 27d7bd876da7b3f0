"""
The Echo-Requests that watch a link in its network phase (RFC 1661 section 5.8). Any frame from the
peer is a sign of life, so they are sent only if none comes. L{pptpgw.ppp.probe} is for those who
can't wait for them.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.ppp.lcp import LCP
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.timer import cancelled


class Keepalive:
    """
    The watch over one link, from when it is made.
    """

    __slots__ = ("_clock", "_counters", "_lcp", "_lost", "_seen", "_settings", "_timer")

    def __init__(
        self,
        clock: IReactorTime,
        lcp: LCP,
        counters: Counters,
        settings: LinkSettings,
        lost: Callable[[str], object],
    ) -> None:
        """
        @param counters: the figures of the call.
        @param lost: called with the cause if too many Echo-Requests weren't answered.
        """
        self._clock = clock
        self._lcp = lcp
        self._counters = counters
        self._settings = settings
        self._lost = lost
        self._seen = -1
        self._timer: IDelayedCall | None = clock.callLater(settings.echoInterval, self._look)

    def stop(self) -> None:
        """
        End the watch.
        """
        self._timer = cancelled(self._timer)

    def _look(self) -> None:
        settings, lcp = self._settings, self._lcp
        frames = self._counters.framesReceived
        self._timer = self._clock.callLater(settings.echoInterval, self._look)
        if frames != self._seen:
            self._seen = frames
            lcp.echoesUnanswered = 0
        elif lcp.echoesUnanswered >= settings.echoFailures:
            text = f"the peer is silent: {settings.echoFailures} Echo-Requests unanswered"
            self._lost(Cause(text, Termination.LOST_CARRIER, Remedy.VANISHED))
        else:
            lcp.sendEcho()
