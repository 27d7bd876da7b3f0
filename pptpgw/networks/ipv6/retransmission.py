"""
How a DHCPv6 client repeats a message until it is answered (RFC 8415 section 15).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.timing.timer import cancelled

_NEVER = float("inf")


class Repetition(NamedTuple):
    """
    The times of one type of message (section 7.6).

    @ivar initial: seconds until it is sent the second time (IRT).
    @ivar longest: the most seconds between two transmissions (MRT).
    @ivar most: how often it is sent at most (MRC); 0 for no limit.
    @ivar isLate: whether the first interval is never shorter than C{initial}, as for a Solicit
        (section 18.2.1).
    """

    initial: float
    longest: float
    most: int = 0
    isLate: bool = False


class Retransmission:
    """
    One message, which is sent again and again.

    @ivar sent: how often it was sent.
    """

    def __init__(
        self,
        clock: IReactorTime,
        random: Random,
        times: Repetition,
        until: float,
        send: Callable[[], None],
        over: Callable[[], None],
    ) -> None:
        """
        @param until: when to give up, by C{clock}; infinite for no such time (MRD).
        @param send: sends the message.
        @param over: called once, when it was sent often or long enough.
        """
        self.sent = 0
        self._clock = clock
        self._random = random
        self._times = times
        self._until = until
        self._transmit = send
        self._over = over
        self._began = clock.seconds()
        self._interval = 0.0
        self._timer: IDelayedCall | None = None

    @property
    def elapsed(self) -> float:
        """
        The seconds since the first transmission.
        """
        return self._clock.seconds() - self._began

    def start(self) -> None:
        """
        Send the message, now and later.
        """
        now = self._clock.seconds()
        times = self._times
        if now >= self._until or (times.most and self.sent == times.most):
            self._over()
            return
        if self.sent:
            # Between 1.9 and 2.1 times the last one.
            self._interval *= 2 + self._variation()
            if self._interval > times.longest:
                self._interval = times.longest * (1 + self._variation())
        else:
            variation = self._variation()
            self._interval = times.initial * (1 + (abs(variation) if times.isLate else variation))
        self.sent += 1
        seconds = min(self._interval, self._until - now)
        # The timer first, because sending may lead to an answer at once.
        self._timer = self._clock.callLater(seconds, self.start)
        self._transmit()

    def stop(self) -> None:
        """
        Send the message no more.
        """
        self._timer = cancelled(self._timer)

    def limit(self, longest: float) -> None:
        """
        Change the most seconds between two transmissions.
        """
        self._times = self._times._replace(longest=longest)

    def _variation(self) -> float:
        """
        Return RAND: between -0.1 and 0.1.
        """
        return self._random.uniform(-0.1, 0.1)
