"""
Recovery from lost MPPE frames.

MPPE's coherency count has 12 bits, too few to tell how many packets were lost. A tunnel may number
its frames, as PPTP does with 32 bits, but these numbers don't tell it exactly either. They count
control frames too, which aren't encrypted; and a peer may drop a packet after encrypting it and
before numbering it, as Linux does while it has no route. So the number of packets to skip is the
one nearest to the gap in the tunnel's numbers that agrees with the coherency count. The two may
differ by up to 2,047. If the tunnel has no numbers, every gap is taken for 0.

A frame that skips packets is decrypted with a copy of the cipher's state. The copy replaces the
state only if the plaintext makes sense (L{pptpgw.datapath.plausibility}), so forged frames change
nothing. If noise made sense by chance, the next frame in order restores the former state.

Key changes take time, and a gap may need any number of them. So their number a second is limited:
one frame may use L{SHARE} of a second's, and the following frames continue where it stopped. After
the peer has confirmed its numbering, the rest is done between frames.
"""

from __future__ import annotations

from collections.abc import Container

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.datapath import mppe
from pptpgw.datapath.mppe import COUNTS, DecryptorType
from pptpgw.datapath.plausibility import isPlausible
from pptpgw.datapath.resync import Resync
from pptpgw.interfaces import IChannelOwner
from pptpgw.timing.timer import cancelled

FAILURE_LIMIT = 256
"""
The number of unreadable frames in order, one after another, with which the channel fails.
"""

BURST = 1 / 8
"""
The fraction of a second's key changes (L{mppe.rekeysPerSecond}) that gaps may cost at once.
"""

SHARE = 1 / 32
"""
The fraction of a second's key changes that one frame may cost.
"""

PAUSE = 0.01
"""
Seconds between two steps of L{SHARE} while no frame comes.
"""

CONTROL = 64
"""
The number of lost frames that may have been control frames, which MPPE doesn't count.
"""

UNKNOWN = "decrypted to nothing known"
MALFORMED = "malformed MPPE header"
LATE = "MPPE: late"
OUT_OF_STEP = "MPPE: out of step"
CAPPED = "MPPE: too many key changes"


class Recovery:
    """
    Recovery for the receiving direction of one channel, while MPPE is on.

    @ivar failures: the number of unreadable frames in order, one after another. The channel sets it
        to zero when it has read a frame.
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
        # The decryptor's count and key changes to which the following attributes belong.
        self._base = (-1, -1)
        # How many of the tunnel's numbers have passed since then without a frame that was read.
        self._missing = 0
        # A copy of the decryptor, and the number of packets that it has skipped.
        self._trial: DecryptorType | None = None
        self._advanced = 0
        self._timer: IDelayedCall | None = None
        self._resync = Resync(clock, owner)
        # The state before the last frame that made sense, until another frame is read; and the
        # count of that frame.
        self._before: DecryptorType | None = None
        self._believed = -1
        self.failures = 0

    def passed(self, decryptor: DecryptorType, numbers: int) -> None:
        """
        Note that the tunnel has gone on past C{numbers} numbers whose frames will never be read.
        """
        self._look(decryptor)
        self._missing += numbers
        if self._timer is None:
            self._goAhead(decryptor)

    def isBehind(self, decryptor: DecryptorType) -> bool:
        """
        Return whether packets are to be skipped before the next frame, whatever its number is.
        """
        base = decryptor.count, decryptor.rekeys
        return self._timer is not None or (base == self._base and self._missing > 0)

    def wentOn(self, decryptor: DecryptorType, before: DecryptorType | None) -> None:
        """
        Note that frames were read elsewhere.

        @param before: the state before the last frame if that followed a gap, as the result of
            L{follow} does; otherwise None.
        """
        self.failures = 0
        if before is not None:
            self._before, self._believed = before, decryptor.count

    def close(self) -> None:
        """
        Stop skipping packets.
        """
        self._timer = cancelled(self._timer)

    def follow(self, decryptor: DecryptorType, frame: bytes, gap: int) -> DecryptorType | None:
        """
        Find the state in which C{frame} is the next one, after C{decryptor} refused it.

        @param gap: how many of the tunnel's numbers are missing before the frame, besides those
            given to L{passed}; 0 if the frame is in order, and therefore the peer's.
        @return: a decryptor in that state; None if there is no such state, and the frame is
            counted.
        """
        self._look(decryptor)
        reason = self._try(decryptor, frame, self._missing + gap + 1, not gap)
        found, before = self._trial, self._before
        if reason in (LATE, UNKNOWN) and not gap and before is not None:
            # The last frame that made sense may not have been the peer's: try the state before it.
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
            self._resync.request(mayFail=not gap)
        elif not gap and reason != CAPPED:
            self._failed(reason)
        if not gap:
            self._missing += 1
        return None

    def _try(self, decryptor: DecryptorType, frame: bytes, distance: int, inOrder: bool) -> str:
        """
        Bring the copy to the state in which C{frame} is the next one, and try to decrypt it.

        @param distance: how far ahead the frame is by the tunnel's numbers.
        @return: why the frame can't be read; an empty text if it makes sense.
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
        Count a frame in order and with the next count whose plaintext doesn't make sense.
        """
        self._counters.discard(UNKNOWN)
        if self._stateful:
            self._resync.request()
        self._failed(UNKNOWN)

    def _goAhead(self, decryptor: DecryptorType) -> None:
        """
        Skip most of the missing packets before the next frame comes, in steps of L{SHARE}.
        """
        self._timer = None
        packets = self._missing - CONTROL
        if (decryptor.count, decryptor.rekeys) != self._base or packets <= self._advanced:
            return
        if self._skip(decryptor, packets) is None:
            self._timer = self._clock.callLater(PAUSE, self._goAhead, decryptor)

    def _look(self, decryptor: DecryptorType) -> None:
        """
        Reset the attributes that belong to an earlier state, if frames have been read since.
        """
        base = decryptor.count, decryptor.rekeys
        if base != self._base:
            self._base = base
            self._trial = None
            self._advanced = 0
            self._missing = 0
            self._resync.succeeded()
            if decryptor.count != self._believed:
                self._before = None

    def _skip(self, decryptor: DecryptorType, packets: int) -> DecryptorType | None:
        """
        Skip C{packets} on the copy.

        @return: the copy; None if that takes more key changes than are allowed now.
        """
        if self._trial is None or self._advanced > packets:
            self._trial = decryptor.copy()
            self._advanced = 0
        left = packets - self._advanced
        # In stateful mode 256 packets share one key.
        some = min(left, self._perFrame << 8 if self._stateful else self._perFrame)
        if not self._budget.take(some >> 8 if self._stateful else some):
            return None
        self._trial.skip(some)
        self._advanced += some
        return self._trial if some == left else None

    def _failed(self, reason: str) -> None:
        """
        Count an unreadable frame in order, and report the channel's failure once when there are too
        many.
        """
        self.failures += 1
        if self.failures == FAILURE_LIMIT:
            self._owner.channelFailed(f"{FAILURE_LIMIT} frames in a row were no use: {reason}")
