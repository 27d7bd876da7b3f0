"""
The requests to a peer to begin its encryption or compression anew, of which there is a limited
number.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from pptpgw.interfaces import IChannelOwner

INTERVAL = 0.5
"""
The shortest time between two requests for the same loss, in seconds.
"""

LIMIT = 20
"""
The number of requests without success with which the channel fails.
"""


class Resync:
    """
    Asks the peer of one channel to begin anew, L{LIMIT} times at most until packets can be read
    again.
    """

    __slots__ = ("_clock", "_count", "_last", "_owner", "_what")

    def __init__(self, clock: IReactorTime, owner: IChannelOwner, what: str = "MPPE") -> None:
        """
        @param what: what begins anew, in words.
        """
        self._what = what
        self._clock = clock
        self._owner = owner
        self.succeeded()

    def succeeded(self) -> None:
        """
        Note that packets can be read again.
        """
        self._last = float("-inf")
        self._count = 0

    def request(self, mayFail: bool = True) -> None:
        """
        Have the owner send a Reset-Request, unless it sent one a moment ago.

        @param mayFail: whether the channel fails if this is the last request.
        """
        now = self._clock.seconds()
        if now - self._last < INTERVAL:
            return
        self._last = now
        if self._count < LIMIT - 1:
            self._count += 1
            self._owner.resyncNeeded()
        elif mayFail and self._count < LIMIT:
            self._count += 1
            self._owner.channelFailed(f"the peer doesn't resynchronise {self._what}")
