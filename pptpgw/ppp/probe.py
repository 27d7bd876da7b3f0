"""
A probe: whether the peer of a link is still there, found out by Echo-Requests in quick succession.

The Echo-Requests that keep a link alive (L{pptpgw.ppp.link}) take minutes for that, so as to bear
with a line that is down for a while. A probe is for when somebody waits for the answer.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counters import Counters
from pptpgw.timer import cancelled

PROBE_SECONDS = 2.0
"""
How long a peer has: a path around the world and back takes less, a lost packet or two included.
"""

_ECHOES = 8


class Probe:
    """
    One probe, which as many as like may wait for.
    """

    def __init__(
        self, clock: IReactorTime, sendEcho: Callable[[], None], counters: Counters
    ) -> None:
        """
        @param sendEcho: sends an Echo-Request.
        @param counters: those of the peer: any frame that it sends is a sign of life.
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
        Fires with whether the peer is there.
        """
        waiting: Deferred[bool] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    @property
    def over(self) -> bool:
        """
        Whether it is decided.
        """
        return self._timer is None

    def end(self, lives: bool) -> None:
        """
        Decide it; harmless where it is decided.
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
