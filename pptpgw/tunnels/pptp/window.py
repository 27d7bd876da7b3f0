"""
The GRE sequence numbers of one call (RFC 2637 sections 4.2 to 4.4): order, loss, acknowledgements.

The rules:

 - The first packet may have any sequence number; peers begin with 0 or with 1.
 - Packets are delivered in order. A packet that is ahead is held, at most L{HELD_LIMIT} of them and
   at most L{HELD_TIME} seconds; then the missing packets are counted as lost. 0.1 s is well below
   the 0.2 s after which a TCP sender retransmits everything, and far above the reordering on real
   paths. With the 0.3 s of other implementations each lost packet makes TCP pause.
 - A packet isn't held either if the missing ones arrived and were dropped here.
 - A packet that C{mayWait} doesn't permit to be held is judged at once. It may be forged, with a
   guessed number that the peer's own packets will soon reach.
 - Duplicates, and packets older than the last one delivered, are dropped.
 - An attacker who can send packets in the peer's name, but sees none, doesn't know the number that
   is expected. So a packet after a gap is delivered only if C{judge} believes that only the peer
   can have sent it. Nothing else changes C{expected}: a packet that isn't believed is counted and
   dropped, and the peer's next packets are still in order.
 - If none of the packets after a gap was believed, further packets that are ahead are judged at
   once instead of held. The peer is asked, by C{ask}, for a packet that can be believed, up to
   L{ASKS} times.
 - If nothing in order comes after that, C{judge} may believe any packet: such a peer can't answer,
   or is about to end the call.
 - Received packets are acknowledged in the next packet sent, or in a packet of their own: after
   L{ACKNOWLEDGE_TIME} seconds, or once half of L{RECEIVE_WINDOW} packets wait for it.
 - Sending never waits for acknowledgements. The RFC's sliding window is flow control for a path
   that loses packets anyway, below protocols with flow control of their own. No widespread peer
   enforces it, Windows ignores it, and the Linux kernel acknowledges only when it has something to
   send. It is worse if packets wait for an acknowledgement that never comes than if they are lost.
 - Nor are acknowledgements held back where a call passes on to a line that is slower. A peer that
   doesn't wait for them would lose the same packets, and one that waits couldn't send control
   frames either. What the line can't take is dropped, and the PNS is told how much that is
   (L{pptpgw.tunnels.lineerrors}).

A timer runs only while a packet is held, an acknowledgement may be due, or the peer is asked. That
for acknowledgements is one for all calls, since every call with packets needs it all the time.

Packets in order take a fast path in L{pptpgw.tunnels.pptp.channel}: it compares the number with
C{expected} and C{held}, increases C{expected} (to L{NUMBERS} after the last number, which the next
call here corrects), and calls L{Window.acknowledgementDue} at C{due}. All other packets go to
L{Window.arrived}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.counters import DUPLICATE, LATE, LOST, Counters
from pptpgw.timing.lapse import Lapse, Waiting
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.pptp.wire.gre import NUMBERS

RECEIVE_WINDOW = 64
"""
Our receive window in packets, which calls announce.
"""

HELD_LIMIT = 64
HELD_TIME = 0.1
GAPS_KNOWN = 4

REACH = 1 << 16
"""
How far ahead the number of a packet may be for the packet to be held.
"""

FARTHEST = 1 << 22
"""
How far ahead a believed number may be to count as a gap. If it is farther ahead, or behind, the
peer has begun to number anew.
"""

ASKS = 4
ASK_INTERVAL = 0.5
"""
The time in seconds between two requests to the peer.
"""

REPETITIONS = 3
"""
The number of packets with old numbers, while none comes in order, that can't be duplicates made by
the network. Packets that are late don't count once so many came in order after their gap: until
then the packet that ended the gap may be forged.
"""

ACKNOWLEDGE_TIME = 0.5

NEVER = -2
"""
A value in place of a sequence number, which is equal neither to any number nor to the -1 of packets
without one.
"""

UNBELIEVABLE = "unbelievable sequence number"

_MASK = NUMBERS - 1
_HALF = NUMBERS >> 1
_HALF_WINDOW = RECEIVE_WINDOW // 2

DeliverFrame = Callable[[int, bytes], object]
"""
A function that is called with each PPP frame in order: its protocol number and information field.
"""

Believe = Callable[[int, bytes, int, bool], bool]
"""
A function that decides whether a PPP frame out of turn is believed to be the peer's. It is called
with the protocol number, the information field, the number of packets missing before it (0 if it
follows no gap), and whether the peer was asked in vain.
"""


def _nobody(*arguments: object) -> bool:
    """
    Do nothing, in place of all functions that a window calls, after it is closed.
    """
    return False


class Window:
    """
    The sequence numbers of both directions of one call.

    @ivar expected: the sequence number of the next packet in order; negative before the first
        packet.
    @ivar held: the packets that are ahead, by sequence number.
    @ivar acknowledged: the value of C{expected} when we last acknowledged. Nothing is to be
        acknowledged while both are equal.
    @ivar due: the sequence number with whose arrival L{acknowledgementDue} must be called.
    @ivar sending: the sequence number of the next packet to send.
    @ivar dropped: how many packets arrived since the last gap, but were dropped before the window
        saw them.
    """

    __slots__ = (
        "_acknowledge",
        "_acknowledging",
        "_ask",
        "_askTimer",
        "_asked",
        "_clock",
        "_closed",
        "_counters",
        "_deliver",
        "_doubtedAt",
        "_gapTimer",
        "_gaps",
        "_judge",
        "_lapse",
        "_mayWait",
        "_repeated",
        "_vainAt",
        "acknowledged",
        "dropped",
        "due",
        "expected",
        "held",
        "sending",
    )

    def __init__(
        self,
        clock: IReactorTime,
        counters: Counters,
        deliver: DeliverFrame,
        mayWait: Callable[[int], bool],
        judge: Believe,
        ask: Callable[[], object],
        acknowledge: Callable[[], object],
        lapse: Lapse,
    ) -> None:
        """
        @param deliver: called with each packet that L{arrived} was given, when its turn has come.
        @param mayWait: returns whether a frame with this protocol number may be held until its turn
            comes.
        @param judge: decides whether a packet is delivered out of turn.
        @param ask: asks the peer for a packet that C{judge} believes, whatever its number is.
        @param acknowledge: sends an acknowledgement without a frame, with the number that
            L{acknowledging} returns.
        @param lapse: calls functions after L{ACKNOWLEDGE_TIME}, for all calls.
        """
        self._lapse = lapse
        self._clock = clock
        self._counters = counters
        self._deliver = deliver
        self._mayWait = mayWait
        self._judge = judge
        self._ask = ask
        self._acknowledge = acknowledge
        self._gapTimer: IDelayedCall | None = None
        self._acknowledging: Waiting | None = None
        self._askTimer: IDelayedCall | None = None
        # The last gaps that were counted as lost, each with its first number and its length.
        self._gaps: tuple[tuple[int, int], ...] = ()
        self._closed = False
        # The value of expected when no packet after a gap was believed.
        self._vainAt = NEVER
        # The value of expected when the peer was first asked, and how often it was asked.
        self._doubtedAt = NEVER
        self._asked = 0
        # The value of expected when packets with old numbers came, and how many came.
        self._repeated = (NEVER, 0)
        self.expected = NEVER
        # A dict keeps the order of arrival, so the first value is the one held longest.
        self.held: dict[int, tuple[int, bytes, float]] = {}
        self.acknowledged = NEVER
        self.due = NEVER
        self.sending = 0
        self.dropped = 0

    def deliverTo(self, deliver: DeliverFrame) -> None:
        """
        Call C{deliver} from now on with each packet whose turn has come.
        """
        if not self._closed:
            self._deliver = deliver

    def arrived(self, sequence: int, protocol: int, information: bytes) -> None:
        """
        Handle a frame with any sequence number, and deliver the frames that are in order by now.
        """
        if self._closed:
            return
        if self.expected < 0:
            self._begin(sequence)
        self.expected &= _MASK
        ahead = (sequence - self.expected) & _MASK
        if ahead == 0:
            self._inOrder(protocol, information)
        elif sequence in self.held:
            self._drop(DUPLICATE)
        elif (
            ahead < REACH
            and ahead > self.dropped
            and self.expected != self._vainAt
            and self._mayWait(protocol)
        ):
            self.held[sequence] = (protocol, information, self._clock.seconds())
            if len(self.held) > HELD_LIMIT:
                self._giveUpGap()
            self._watchGap()
        elif self._believes(ahead, protocol, information):
            self._goOn(ahead)
            self._inOrder(protocol, information)
        elif ahead < _HALF:
            self._drop(UNBELIEVABLE)
            self._doubt()
        else:
            gap = next((one for one in self._gaps if (sequence - one[0]) & _MASK < one[1]), None)
            self._drop(DUPLICATE if gap is None else LATE)
            if gap is None or (self.expected - sum(gap)) & _MASK < REPETITIONS:
                self._countRepetition()

    def acknowledging(self) -> int | None:
        """
        Return the acknowledgement number for a packet that is about to be sent; None if there is
        nothing to acknowledge.
        """
        if self.expected == self.acknowledged:
            return None
        self.acknowledged = self.expected
        return (self.expected - 1) & _MASK

    def acknowledgementDue(self) -> None:
        """
        Acknowledge if half a window of packets waits for it, and choose the next C{due}. This is
        called when the packet C{due} arrives.
        """
        if (self.expected - self.acknowledged) & _MASK >= _HALF_WINDOW:
            self._acknowledge()
        if self._acknowledging is None:
            self._acknowledging = self._lapse.add(self._acknowledgeTimedOut)
        self.due = (self.acknowledged + _HALF_WINDOW - 1) & _MASK

    def close(self) -> None:
        """
        Drop what is held and stop the timers. Packets that arrive later are ignored.
        """
        self._closed = True
        # No packet is in order any more.
        self.expected = self.acknowledged = NEVER
        self._dropHeld()
        self._forgetTimer()
        self._askTimer = cancelled(self._askTimer)
        # These refer to the owner of the window: this breaks the cycle.
        self._deliver = self._acknowledge = self._ask = self._mayWait = self._judge = _nobody

    def _forgetTimer(self) -> None:
        """
        Have no acknowledgement become due by the time.
        """
        if self._acknowledging is not None:
            self._lapse.remove(self._acknowledging)
            self._acknowledging = None

    def _begin(self, sequence: int) -> None:
        """
        Expect the packet with the number C{sequence}, without acknowledging any before it.
        """
        self.expected = self.acknowledged = self.due = sequence
        if self._acknowledging is not None:
            self.due = (sequence + _HALF_WINDOW - 1) & _MASK

    def _inOrder(self, protocol: int, information: bytes) -> None:
        """
        Deliver the expected packet, and the held ones that follow it.
        """
        held = self.held
        while True:
            sequence = self.expected
            self.expected = (sequence + 1) & _MASK
            if sequence == self.due:
                self.acknowledgementDue()
            self._deliver(protocol, information)
            if self.expected not in held:
                break
            protocol, information, _ = held.pop(self.expected)
        if self._gapTimer is not None:
            self._gapTimer = cancelled(self._gapTimer)
            self._watchGap()

    def _watchGap(self) -> None:
        """
        Start the timer if a packet is held.
        """
        if self.held and self._gapTimer is None:
            held = self._clock.seconds() - next(iter(self.held.values()))[2]
            self._gapTimer = self._clock.callLater(max(0.0, HELD_TIME - held), self._gapTimedOut)

    def _gapTimedOut(self) -> None:
        """
        Give up gaps until no packet has been held for too long.
        """
        self._gapTimer = None
        enough = self._clock.seconds() - HELD_TIME
        self._giveUpGap()
        while self.held and next(iter(self.held.values()))[2] <= enough:
            self._giveUpGap()
        self._watchGap()

    def _giveUpGap(self) -> None:
        """
        Continue with the first held packet that is believed, and drop those before it.
        """
        expected = self.expected
        while self.held:
            ahead, sequence = min(((held - expected) & _MASK, held) for held in self.held)
            protocol, information, _ = self.held.pop(sequence)
            if self._believes(ahead, protocol, information):
                self._goOn(ahead)
                self._inOrder(protocol, information)
                return
            self._drop(UNBELIEVABLE)
        self._vainAt = expected
        self._doubt()

    def _drop(self, reason: str) -> None:
        """
        Count a packet that came twice, or isn't believed to be the peer's. It is no sign that the
        peer is there, so it is subtracted from the received frames.
        """
        self._counters.discard(reason)
        self._counters.framesReceived -= 1

    def _believes(self, ahead: int, protocol: int, information: bytes) -> bool:
        """
        Return whether the packet that is C{ahead} of the expected one is believed.
        """
        gap = ahead if ahead < FARTHEST else 0
        return self._judge(protocol, information, gap, self._isPeerSilent())

    def _goOn(self, ahead: int) -> None:
        """
        Continue with the packet that is C{ahead} of the expected one, and count those between as
        lost.
        """
        expected = self.expected
        following = (expected + ahead) & _MASK
        self._vainAt = self._doubtedAt = NEVER
        if ahead >= FARTHEST:
            self._dropHeld()
            self._begin(following)
            return
        if ahead > self.dropped:
            self._counters.discard(LOST, ahead - self.dropped)
        self.dropped = 0
        self._gaps = (*self._gaps[1 - GAPS_KNOWN :], (expected, ahead))
        # An acknowledgement that was due at a number inside the gap is due at its end.
        if (self.due - expected) & _MASK < ahead:
            self.due = following
        self.expected = following
        for sequence in [held for held in self.held if (held - expected) & _MASK < ahead]:
            del self.held[sequence]

    def _acknowledgeTimedOut(self) -> None:
        """
        Send the acknowledgement that is due L{ACKNOWLEDGE_TIME} after the first packet. The next
        packet starts the timer anew, so that it stops with the traffic.
        """
        self._acknowledging = None
        if self.expected != self.acknowledged:
            self._acknowledge()
        self.due = self.expected & _MASK

    def _countRepetition(self) -> None:
        """
        Count a packet with an old number. A single one may be a duplicate, or late.
        """
        number, count = self._repeated
        count = count + 1 if number == self.expected else 1
        self._repeated = (self.expected, count)
        if count >= REPETITIONS:
            self._doubt()

    def _doubt(self) -> None:
        """
        Begin to ask the peer, after a packet wasn't believed, until a packet comes in order.
        """
        if self._doubtedAt != self.expected:
            self._doubtedAt = self.expected
            self._asked = 0
            if self._askTimer is None:
                self._askAgain()

    def _askAgain(self) -> None:
        """
        Ask the peer once more, unless a packet came in order since, or the peer was asked often
        enough.
        """
        self._askTimer = None
        if self.expected & _MASK == self._doubtedAt and self._asked < ASKS:
            self._asked += 1
            self._askTimer = self._clock.callLater(ASK_INTERVAL, self._askAgain)
            self._ask()

    def _isPeerSilent(self) -> bool:
        """
        Return whether the peer was asked L{ASKS} times, and has had time to answer.
        """
        return self.expected == self._doubtedAt and self._asked == ASKS and self._askTimer is None

    def _dropHeld(self) -> None:
        """
        Drop the packets that are held, and stop their timer.
        """
        self.held.clear()
        self._gapTimer = cancelled(self._gapTimer)
