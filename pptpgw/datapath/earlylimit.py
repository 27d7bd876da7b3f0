"""
A limit on the frames of a call before MPPE or a network opens.

Until then an honest caller needs few frames. A stranger that sends many, out of order so that each
takes much time, would take the processor from all other callers.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import ReceiveFrames
from pptpgw.datapath.plausibility import BEYOND_NETWORKS

LIMIT = 100, 200
"""
Frames a second, and frames at once. Control protocols and other protocols have a limit of this size
each, so that packets that a peer sends early don't use up the limit of its negotiation.
"""

EARLY = "too many before MPPE or a network opened"


class EarlyLimit:
    """
    The receiver of one call's frames until MPPE or a network opens, which applies the limit.
    """

    __slots__ = ("_control", "_counters", "_others", "_receive")

    def __init__(self, clock: IReactorTime, counters: Counters, receive: ReceiveFrames) -> None:
        """
        @param receive: called with the frames that are within the limit.
        """
        self._counters = counters
        self._receive = receive
        self._control = Bucket(clock.seconds, LIMIT)
        self._others = Bucket(clock.seconds, LIMIT)

    def framesReceived(self, sequence: int, protocol: int, frames: list[bytes]) -> None:
        """
        Pass on a run of frames of one protocol, or count them if they are beyond the limit. The
        parameters are those of L{pptpgw.datapath.interface.ReceiveFrames}.
        """
        bucket = self._control if protocol >= BEYOND_NETWORKS else self._others
        if bucket.take(len(frames)):
            self._receive(sequence, protocol, frames)
        else:
            self._counters.discard(EARLY, len(frames))
