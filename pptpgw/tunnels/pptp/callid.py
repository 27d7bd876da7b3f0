"""
The call ids that we assign to calls, which are unique between two ends (RFC 2637 section 2.7).
"""

from __future__ import annotations

import secrets
from collections import deque

from twisted.internet.interfaces import IReactorTime

from pptpgw.error import Exhausted

OURS, KERNELS = range(0x0001, 0x8000), range(0x8000, 0x10000)
"""
The call ids of calls whose GRE packets this process receives, and of those whose packets the kernel
keeps.
"""


class CallIDs:
    """
    The call ids of the whole gateway: unpredictable, and unique among the current calls.

    A released id can't be assigned again for C{rest} seconds, so that a late packet of the old call
    doesn't reach a new one. If more than L{RESTING} ids are kept back for this, the one that was
    released first is free again.
    """

    RESTING = 16384
    _DRAWS = 32

    __slots__ = ("_clock", "_living", "_resting", "_restingIDs", "rest")

    def __init__(self, clock: IReactorTime, rest: float = 60.0) -> None:
        self._clock = clock
        self.rest = rest
        self._living: set[int] = set()
        self._resting: deque[tuple[float, int]] = deque()
        self._restingIDs: set[int] = set()

    def __len__(self) -> int:
        return len(self._living)

    def allocate(self, ids: range = OURS) -> int:
        """
        Assign an id to a new call.

        @param ids: L{OURS} or L{KERNELS}, by what carries the call's packets.
        @raise Exhausted: all of C{ids} are in use or kept back.
        """
        self._wake()
        for _ in range(self._DRAWS):
            place = secrets.randbelow(len(ids))
            if self._isFree(ids[place]):
                break
        else:
            # Few ids are free: take the next one after the last draw.
            for _ in ids:
                place = (place + 1) % len(ids)
                if self._isFree(ids[place]):
                    break
            else:
                raise Exhausted(f"all {len(ids)} call ids are in use or resting")
        callID = ids[place]
        self._living.add(callID)
        return callID

    def release(self, callID: int) -> None:
        """
        Take back C{callID}, since its call is over. Do nothing if no call has it.
        """
        if callID in self._living:
            self._living.remove(callID)
            self._resting.append((self._clock.seconds() + self.rest, callID))
            self._restingIDs.add(callID)
            self._wake()

    def withdraw(self, callID: int) -> None:
        """
        Take back C{callID}, of which no peer was told: it is free at once.
        """
        self._living.discard(callID)

    def _isFree(self, callID: int) -> bool:
        return callID not in self._living and callID not in self._restingIDs

    def _wake(self) -> None:
        now = self._clock.seconds()
        while self._resting and (self._resting[0][0] <= now or len(self._resting) > self.RESTING):
            self._restingIDs.remove(self._resting.popleft()[1])
