"""
The call ids that we assign to calls, which are unique between two ends (RFC 2637 section 2.7).
"""

from __future__ import annotations

import secrets
from collections import deque

from twisted.internet.interfaces import IReactorTime

from pptpgw.error import Exhausted


class CallIDs:
    """
    The call ids of the whole gateway: 1 to 65535, unpredictable, and unique among the current
    calls.

    A released id can't be assigned again for C{rest} seconds, so that a late packet of the old call
    doesn't reach a new one. If more than L{RESTING} ids are kept back for this, the one that was
    released first is free again.
    """

    LARGEST = 0xFFFF
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

    def allocate(self) -> int:
        """
        Assign an id to a new call.

        @raise Exhausted: all ids are in use or kept back.
        """
        self._wake()
        for _ in range(self._DRAWS):
            callID = 1 + secrets.randbelow(self.LARGEST)
            if self._isFree(callID):
                break
        else:
            # Few ids are free: take the next one after the last draw.
            for _ in range(self.LARGEST):
                callID = callID % self.LARGEST + 1
                if self._isFree(callID):
                    break
            else:
                raise Exhausted(f"all {self.LARGEST} call ids are in use or resting")
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

    def _isFree(self, callID: int) -> bool:
        return callID not in self._living and callID not in self._restingIDs

    def _wake(self) -> None:
        now = self._clock.seconds()
        while self._resting and (self._resting[0][0] <= now or len(self._resting) > self.RESTING):
            self._restingIDs.remove(self._resting.popleft()[1])
