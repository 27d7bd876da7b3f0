"""
Probing whether the peer of a link is still there, by LCP Echo-Requests in quick succession.

The Echo-Requests that watch a link (L{pptpgw.ppp.link}) take minutes to find that out, so that a
link survives a line that is down for a while. A probe is for callers that wait for the answer.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.timing.timer import cancelled

PROBE_SECONDS = 2.0
"""
Seconds that a peer has to answer. That is enough for a path around the world and a lost packet or
two.
"""

_ECHOES = 8


class Probe:
    """
    One probe, for which any number of users may wait.
    """

    def __init__(
        self, clock: IReactorTime, sendEcho: Callable[[], None], counters: Counters
    ) -> None:
        """
        @param sendEcho: sends an Echo-Request.
        @param counters: the figures of the call: any frame received is a sign of life.
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
        Wait for the result.

        @return: fires with whether the peer is there.
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
        End the probe with a result. If it has one already this does nothing.
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
