"""
What becomes of MPPE frames that aren't the next one: followed, answered, counted, at last fatal.

MPPE's coherency count has 12 bits, too few to tell how many packets were lost; the sequence numbers
of GRE have 32 bits and do. They count control frames too, which aren't encrypted, and a peer may
drop a packet between encrypting it and numbering it, as Linux does while it has no route. So the
number of packets that the key has to skip is the one nearest to GRE's distance that the coherency
count agrees with: the two may differ by up to 2,047.

A frame that skips packets is decrypted on a copy of the cipher's state. The copy takes over only
where the plaintext makes sense (L{pptpgw.datapath.belief}), so whoever forges frames changes
nothing. Should noise make sense by chance, the next frame in order goes back.

Key changes cost time, and a gap may ask for any number of them. So there is an allowance a second:
one frame may use L{SHARE} of it, and those that follow go on where that one stopped. Where the peer
has confirmed its numbering the rest is done without them.
"""

from __future__ import annotations

from collections.abc import Container

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.bucket import Bucket
from pptpgw.counters import Counters
from pptpgw.datapath import mppe
from pptpgw.datapath.belief import isPlausible
from pptpgw.datapath.mppe import COUNTS, DecryptorType
from pptpgw.interfaces import IChannelOwner
from pptpgw.timer import cancelled

FAILURE_LIMIT = 256
"""
So many frames in a row that are in order and can't be read end the channel.
"""

RESYNC_INTERVAL = 0.5
"""
Seconds from one request to resynchronise to the next for the same loss.
"""

RESYNC_LIMIT = 20
"""
So many in vain, the last for a frame in order, end the channel.
"""

BURST = 1 / 8
"""
The part of a second's key changes (L{mppe.rekeysPerSecond}) that gaps may cost at once.
"""

SHARE = 1 / 32
"""
The part of them that one frame may cost.
"""

PAUSE = 0.01
"""
Seconds between two such parts that no frame has asked for.
"""

CONTROL = 64
"""
So many of the frames that were lost may have been control frames, which MPPE doesn't count.
"""

UNKNOWN = "decrypted to nothing known"
MALFORMED = "malformed MPPE header"
LATE = "MPPE: late"
OUT_OF_STEP = "MPPE: out of step"
CAPPED = "MPPE: too many key changes"


class Recovery:
    """
    For the receiving direction of one channel, from when its MPPE is set.

    @ivar failures: frames in order, in a row, that were no use; whoever reads one sets it to zero.
    """

    __slots__ = (
        "_advanced",
        "_base",
        "_before",
        "_believed",
        "_budget",
        "_clock",
        "_counters",
        "_missing",
        "_opened",
        "_owner",
        "_perFrame",
        "_resync",
        "_resyncs",
        "_stateful",
        "_timer",
        "_trial",
        "failures",
    )

    def __init__(
        self,
        clock: IReactorTime,
        counters: Counters,
        owner: IChannelOwner,
        opened: Container[int],
        stateful: bool,
    ) -> None:
        """
        @param opened: the protocol numbers of the networks that are open.
        """
        self._clock = clock
        self._counters = counters
        self._owner = owner
        self._opened = opened
        self._stateful = stateful
        most = mppe.rekeysPerSecond
        self._budget = Bucket(clock.seconds, (most, most * BURST))
        self._perFrame = int(most * SHARE)
        # What is noted here is about the decryptor in this state: its count and key changes.
        self._base = (-1, -1)
        # GRE's numbers that have passed since, without a frame that was read.
        self._missing = 0
        # A copy of the decryptor that has skipped so many packets.
        self._trial: DecryptorType | None = None
        self._advanced = 0
        self._timer: IDelayedCall | None = None
        self._resync = float("-inf")
        self._resyncs = 0
        # The state before the last frame that was believed, until another one is read, and the
        # count of that frame.
        self._before: DecryptorType | None = None
        self._believed = -1
        self.failures = 0

    def passed(self, decryptor: DecryptorType, numbers: int) -> None:
        """
        GRE goes on after C{numbers} numbers, the frames of which will never be read.
        """
        self._look(decryptor)
        self._missing += numbers
        if self._timer is None:
            self._goAhead(decryptor)

    def close(self) -> None:
        """
        Stop what was begun.
        """
        self._timer = cancelled(self._timer)

    def follow(self, decryptor: DecryptorType, frame: bytes, gap: int) -> DecryptorType | None:
        """
        Find the state in which C{frame} is the next one, though C{decryptor} refuses it.

        @param gap: how many of GRE's numbers are missing before it, besides those that L{passed}; 0
            means that it is in order, and so the peer's.
        @return: a decryptor in that state; None: there is none, and the frame is counted.
        """
        self._look(decryptor)
        reason = self._try(decryptor, frame, self._missing + gap + 1, not gap)
        found, before = self._trial, self._before
        if reason in (LATE, UNKNOWN) and not gap and before is not None:
            # Perhaps what was believed last wasn't the peer's: try from where that was.
            self._trial = None
            if not self._try(before, frame, 1, True):
                reason, found, decryptor = "", self._trial, before
            self._trial = None
        if not reason and found is not None:
            self._trial, self._before = None, decryptor
            self._believed = (found.count + 1) % COUNTS
            return found
        self._counters.discard(reason)
        if reason == OUT_OF_STEP:
            self._requestResync(not gap)
        elif not gap and reason != CAPPED:
            self._failed(reason)
        if not gap:
            self._missing += 1
        return None

    def _try(self, decryptor: DecryptorType, frame: bytes, distance: int, inOrder: bool) -> str:
        """
        Bring the copy to where C{frame}, which by GRE's numbers is C{distance} ahead, is the next
        one, and try; why it is no use, empty where it makes sense.
        """
        step = (int.from_bytes(frame[:2], "big") - decryptor.count) % COUNTS
        packets = distance + (step - distance + COUNTS // 2) % COUNTS - COUNTS // 2
        if len(frame) < mppe.SHORTEST:
            return MALFORMED
        if packets < 1:
            return LATE
        trial = self._skip(decryptor, packets - 1)
        if trial is None:
            return CAPPED
        plain = trial.copy().decrypt(frame)
        if isinstance(plain, int):
            return OUT_OF_STEP if plain == mppe.LOST else MALFORMED
        return "" if isPlausible(plain, self._opened, inOrder) else UNKNOWN

    def misread(self) -> None:
        """
        The plaintext of a frame in order, and with the next count, made no sense.
        """
        self._counters.discard(UNKNOWN)
        if self._stateful:
            self._requestResync(True)
        self._failed(UNKNOWN)

    def _goAhead(self, decryptor: DecryptorType) -> None:
        """
        Skip before the next frame comes most of what it will ask for, one share after the other.
        """
        self._timer = None
        packets = self._missing - CONTROL
        if (decryptor.count, decryptor.rekeys) != self._base or packets <= self._advanced:
            return
        if self._skip(decryptor, packets) is None:
            self._timer = self._clock.callLater(PAUSE, self._goAhead, decryptor)

    def _look(self, decryptor: DecryptorType) -> None:
        """
        Forget what was noted if frames have been read since.
        """
        base = decryptor.count, decryptor.rekeys
        if base != self._base:
            self._base = base
            self._trial = None
            self._advanced = 0
            self._missing = self._resyncs = 0
            self._resync = float("-inf")
            if decryptor.count != self._believed:
                self._before = None

    def _skip(self, decryptor: DecryptorType, packets: int) -> DecryptorType | None:
        """
        The copy, where it has skipped C{packets}; None where that takes more key changes than are
        allowed now.
        """
        if self._trial is None or self._advanced > packets:
            self._trial = decryptor.copy()
            self._advanced = 0
        left = packets - self._advanced
        # Stateful, 256 packets share one key.
        some = min(left, self._perFrame << 8 if self._stateful else self._perFrame)
        if not self._budget.take(some >> 8 if self._stateful else some):
            return None
        self._trial.skip(some)
        self._advanced += some
        return self._trial if some == left else None

    def _failed(self, reason: str) -> None:
        """
        A frame in order was no use; say so once when they are too many.
        """
        self.failures += 1
        if self.failures == FAILURE_LIMIT:
            self._owner.channelFailed(f"{FAILURE_LIMIT} frames in a row were no use: {reason}")

    def _requestResync(self, inOrder: bool) -> None:
        """
        Ask for a flushed frame, a bounded number of times while nothing is read.
        """
        now = self._clock.seconds()
        if now - self._resync < RESYNC_INTERVAL:
            return
        self._resync = now
        if self._resyncs < RESYNC_LIMIT - 1:
            self._resyncs += 1
            self._owner.resyncNeeded()
        elif inOrder and self._resyncs < RESYNC_LIMIT:
            self._resyncs += 1
            self._owner.channelFailed("the peer doesn't resynchronise MPPE")
