"""
What becomes of frames that can't be decrypted: allowed more, answered, counted, and at last fatal.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from pptpgw.counters import Counters
from pptpgw.datapath import mppe
from pptpgw.datapath.mppe import DecryptorType
from pptpgw.interfaces import IChannelOwner

FAILURE_LIMIT = 256
"""
So many frames in a row that can't be read end the channel.
"""

RESYNC_INTERVAL = 0.5
"""
Seconds from one request to resynchronise to the next for the same loss.
"""

RESYNC_LIMIT = 20
"""
So many in vain end the channel.
"""

REKEY_ALLOWANCE = 4096
"""
Key changes a second, at most, that gaps in the coherency count may cost.
"""

UNKNOWN = "decrypted to an unknown protocol"
REFUSED = {
    mppe.MALFORMED: "malformed MPPE header",
    mppe.LATE: "MPPE: late",
    mppe.LOST: "MPPE: out of step",
    mppe.CAPPED: "MPPE: too many key changes",
}


class Recovery:
    """
    For the receiving direction of one channel, from when its MPPE is set.

    @ivar failures: frames in a row that were no use; whoever reads one sets it to zero.
    """

    __slots__ = (
        "_clock",
        "_counters",
        "_decryptor",
        "_owner",
        "_renewed",
        "_resync",
        "_resyncs",
        "failures",
    )

    def __init__(
        self,
        clock: IReactorTime,
        counters: Counters,
        owner: IChannelOwner,
        decryptor: DecryptorType,
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._owner = owner
        self._decryptor = decryptor
        self._renewed = self._resync = float("-inf")
        self._resyncs = 0
        self.failures = 0

    def refused(self, reason: int, frame: bytes) -> bytes | None:
        """
        The decryptor refused a frame: try again where its allowance was at fault and can be
        renewed; otherwise count.
        """
        now = self._clock.seconds()
        if reason == mppe.CAPPED and now - self._renewed >= 1:
            self._renewed = now
            self._decryptor.allowance = REKEY_ALLOWANCE
            plain = self._decryptor.decrypt(frame)
            if isinstance(plain, bytes):
                return plain
            reason = plain
        self._counters.discard(REFUSED[reason])
        if reason == mppe.LOST:
            # Expected while a flushed frame is on its way: only the requests are counted.
            if self.failures == 0 or now - self._resync >= RESYNC_INTERVAL:
                self._requestResync(now)
        else:
            self._failed(REFUSED[reason])
        return None

    def misread(self) -> None:
        """
        The plaintext made no sense.
        """
        self._counters.discard(UNKNOWN)
        self._failed(UNKNOWN)

    def _failed(self, reason: str) -> None:
        """
        One more of no use; say so once, when they are too many.
        """
        self.failures += 1
        if self.failures == FAILURE_LIMIT:
            self._owner.channelFailed(f"{FAILURE_LIMIT} frames in a row were no use: {reason}")

    def _requestResync(self, now: float) -> None:
        """
        Ask for a flushed frame, a bounded number of times while nothing is read.
        """
        if self.failures == 0:
            self._resyncs = 0
        self.failures += 1
        self._resync = now
        self._resyncs += 1
        if self._resyncs == RESYNC_LIMIT:
            self._owner.channelFailed("the peer doesn't resynchronise MPPE")
        elif self._resyncs < RESYNC_LIMIT:
            self._owner.resyncNeeded()
