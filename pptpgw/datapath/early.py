"""
How much a caller may have looked at before it has proven anything.

Until MPPE or a network opens a caller needs few frames. Whoever sends more, each out of order to
make it costly, would take the processor from everybody else.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from pptpgw.bucket import Bucket
from pptpgw.counters import Counters
from pptpgw.datapath.belief import BEYOND_NETWORKS
from pptpgw.datapath.edges import Receive

LIMIT = 100, 200
"""
Frames a second, and at once: so many of control protocols, and as many others, so that a peer whose
packets come early keeps nobody from hearing what it negotiates.
"""

EARLY = "too many before MPPE or a network opened"


class Early:
    """
    Takes the frames of one call at first.
    """

    __slots__ = ("_control", "_counters", "_others", "_receive")

    def __init__(self, clock: IReactorTime, counters: Counters, receive: Receive) -> None:
        """
        @param receive: gets the frames that are within the limit.
        """
        self._counters = counters
        self._receive = receive
        self._control = Bucket(clock.seconds, LIMIT)
        self._others = Bucket(clock.seconds, LIMIT)

    def framesReceived(self, sequence: int, protocol: int, frames: list[bytes]) -> None:
        """
        See L{pptpgw.datapath.channel.Channel.framesReceived}.
        """
        bucket = self._control if protocol >= BEYOND_NETWORKS else self._others
        if bucket.take(len(frames)):
            self._receive(sequence, protocol, frames)
        else:
            self._counters.discard(EARLY, len(frames))
