"""
A probe finds out whether the peer of a link is still there, by LCP Echo-Requests in quick
succession.

The Echo-Requests that watch a link (L{pptpgw.ppp.keepalive}) take minutes to notice that a peer is
gone, so that a link survives a short interruption of its line. A probe is for those who can't wait
for that.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.timing.timer import cancelled

PROBE_SECONDS = 2.0
"""
The time in seconds that the peer has to answer. That is enough for the longest paths of the
Internet and one or two lost packets.
"""

_ECHOES = 8


class Probe:
    """
    One probe, for whose result any number of users may wait.
    """

    def __init__(
        self, clock: IReactorTime, sendEcho: Callable[[], None], counters: Counters
    ) -> None:
        """
        @param sendEcho: sends an Echo-Request.
        @param counters: the figures of the call, in which any received frame is a sign of life.
        """
        self._clock = clock
        self._sendEcho = sendEcho
        self._counters = counters
        self._before = counters.framesReceived
        self._left = _ECHOES
        self._timer: IDelayedCall | None = None
        self._waiting: list[Deferred[bool]] = []
        self._ask()

    def wait(self) -> Deferred[bool]:
        """
        Return a Deferred that fires with whether the peer is there.
        """
        waiting: Deferred[bool] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    @property
    def over(self) -> bool:
        """
        Whether the probe has a result.
        """
        return self._timer is None

    def end(self, lives: bool) -> None:
        """
        End the probe with a result. This does nothing if it has one already.

        @param lives: whether the peer is there.
        """
        self._timer = cancelled(self._timer)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(lives)

    def _ask(self) -> None:
        lives = self._counters.framesReceived != self._before
        if lives or not self._left:
            self.end(lives)
            return
        self._left -= 1
        self._timer = self._clock.callLater(PROBE_SECONDS / _ECHOES, self._ask)
        self._sendEcho()
