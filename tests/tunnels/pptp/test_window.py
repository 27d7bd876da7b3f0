"""
Tests for L{pptpgw.tunnels.pptp.window}.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.counting.counters import DUPLICATE, LATE, LOST, Counters
from pptpgw.timing.lapse import Lapse
from pptpgw.tunnels.pptp import window as module
from pptpgw.tunnels.pptp.window import (
    ACKNOWLEDGE_TIME,
    ASK_INTERVAL,
    ASKS,
    FARTHEST,
    HELD_LIMIT,
    HELD_TIME,
    REACH,
    RECEIVE_WINDOW,
    REPETITIONS,
    UNBELIEVABLE,
    Window,
)

NUMBERS = 1 << 32
STEP = 0.05
FIRSTS = [0, 1, NUMBERS - 3, NUMBERS - 1, NUMBERS // 2 - 1]


class Fixture:
    """
    A window, used as the data path uses it.

    @ivar believed: the labels that are believed out of turn, or C{None} for all that follow a gap.
    @ivar mayWait: whether packets may be held.
    @ivar asked: how often the peer was asked.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.delivered: list[int] = []
        self.acknowledgements: list[int | None] = []
        self.believed: set[int] | None = None
        self.mayWait = True
        self.judged: list[tuple[int, int]] = []
        self.asked = 0
        self.window = Window(
            self.clock,
            self.counters,
            self.deliver,
            lambda protocol: self.mayWait,
            self.judge,
            self.ask,
            self.acknowledge,
            Lapse(self.clock, ACKNOWLEDGE_TIME),
        )

    def deliver(self, protocol: int, information: bytes) -> None:
        assert protocol == 0x21
        self.delivered.append(int(information))

    def judge(self, protocol: int, information: bytes, gap: int, silent: bool) -> bool:
        assert protocol == 0x21
        if silent:
            return True
        self.judged.append((int(information), gap))
        if self.believed is None:
            return 0 < gap < REACH
        return int(information) in self.believed

    def ask(self) -> None:
        self.asked += 1

    def acknowledge(self) -> None:
        self.acknowledgements.append(self.window.acknowledging())

    def arrive(self, sequence: int, label: int | None = None, fast: bool = True) -> None:
        """
        Let a packet arrive. It is delivered as its label, or without one as its sequence number.
        """
        information = b"%d" % (sequence if label is None else label)
        window = self.window
        if fast and sequence == window.expected and not window.held:
            window.expected = sequence + 1
            if sequence == window.due:
                window.acknowledgementDue()
            self.deliver(0x21, information)
        else:
            window.arrived(sequence, 0x21, information)


class Model:
    """
    A naive model of the window: a list of everything that arrived, which is searched again each
    time.
    """

    def __init__(self, first: int) -> None:
        self.next = first
        self.held: list[tuple[int, float]] = []
        self.delivered: list[int] = []
        self.lost = 0
        self.dropped = 0

    def arrive(self, label: int, now: float) -> None:
        if label < self.next or any(label == other for other, _ in self.held):
            self.dropped += 1
            return
        self.held.append((label, now))
        self.drain()
        if len(self.held) > HELD_LIMIT:
            self.skip()

    def drain(self) -> None:
        while any(label == self.next for label, _ in self.held):
            self.held = [entry for entry in self.held if entry[0] != self.next]
            self.delivered.append(self.next)
            self.next += 1

    def skip(self) -> None:
        first = min(label for label, _ in self.held)
        self.lost += first - self.next
        self.next = first
        self.drain()

    def advance(self, now: float) -> None:
        while self.held and min(since for _, since in self.held) + HELD_TIME <= now + 1e-9:
            self.skip()


@pytest.fixture
def path() -> Fixture:
    return Fixture()


class TestOrder:
    """
    Tests for what is delivered, and when.
    """

    @settings(max_examples=200, deadline=None)
    @given(
        st.sampled_from(FIRSTS),
        st.lists(
            st.tuples(st.integers(-6, 80), st.sampled_from([0, 0, 0, 0.03, 0.06])), max_size=150
        ),
        st.booleans(),
    )
    def test_againstNaiveModel(
        self, first: int, steps: list[tuple[int, float]], fast: bool
    ) -> None:
        path = Fixture()
        model = Model(0)
        path.arrive(first, 0, fast)
        model.arrive(0, 0.0)
        now = 0.0
        for offset, pause in steps:
            label = max(0, model.next + offset)
            path.arrive((first + label) % NUMBERS, label, fast)
            model.arrive(label, now)
            # Time passes in small steps, as in a reactor, so that no timer runs long after its
            # time.
            for _ in range(round(pause * 100)):
                now = round(now + 0.01, 2)
                path.clock.advance(0.01)
                model.advance(now)
            assert path.delivered == model.delivered
        path.clock.pump([0.01] * 30)
        for _ in range(30):
            now += 0.01
            model.advance(now)
        assert path.delivered == model.delivered
        discards = path.counters.discards
        assert discards.get(LOST, 0) == model.lost
        assert discards.get(DUPLICATE, 0) + discards.get(LATE, 0) == model.dropped
        path.clock.pump([ASK_INTERVAL] * (ASKS + 1))
        assert path.clock.getDelayedCalls() == []

    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from(FIRSTS), st.permutations(range(1, 20)), st.booleans())
    def test_reorderingLosesNothing(self, first: int, order: list[int], fast: bool) -> None:
        path = Fixture()
        path.arrive(first, 0, fast)
        for label in order:
            path.arrive((first + label) % NUMBERS, label, fast)
        assert path.delivered == list(range(20))
        assert path.counters.discards == {}

    def test_duplicates(self, path: Fixture) -> None:
        for sequence in (0, 0, 2, 2, 1, 1, 2, 0):
            path.arrive(sequence)
        assert path.delivered == [0, 1, 2]
        assert path.counters.discards == {DUPLICATE: 5}

    def test_late(self, path: Fixture) -> None:
        path.arrive(0)
        path.arrive(3)
        path.clock.advance(HELD_TIME)
        path.arrive(1)
        path.arrive(0)
        assert path.delivered == [0, 3]
        assert path.counters.discards == {LOST: 2, LATE: 1, DUPLICATE: 1}

    def test_manyAreLate(self, path: Fixture) -> None:
        """
        Packets that are late cause no doubt, however many they are, once others have confirmed the
        one that ended their gap.
        """
        path.arrive(0)
        path.arrive(2 * REPETITIONS)
        path.clock.advance(HELD_TIME)
        for sequence in range(2 * REPETITIONS + 1, 3 * REPETITIONS):
            path.arrive(sequence)
        for sequence in range(1, 2 * REPETITIONS):
            path.arrive(sequence)
        assert path.asked == 0
        assert path.counters.discards == {LOST: 2 * REPETITIONS - 1, LATE: 2 * REPETITIONS - 1}

    def test_manyAreLateOfADoubtfulGap(self, path: Fixture) -> None:
        """
        The packet that ended a gap may be forged while none follows it in order.
        """
        path.arrive(0)
        path.arrive(2 * REPETITIONS)
        path.clock.advance(HELD_TIME)
        for sequence in range(1, 1 + REPETITIONS):
            path.arrive(sequence)
        assert path.asked == 1

    def test_heldNoLongerThanItsTime(self, path: Fixture) -> None:
        path.arrive(0)
        path.arrive(2)
        path.clock.advance(HELD_TIME * 0.75)
        path.arrive(4)
        path.arrive(1)
        # The packet after the second gap has its own time.
        path.clock.advance(HELD_TIME * 0.75)
        assert path.delivered == [0, 1, 2]
        path.clock.advance(HELD_TIME * 0.25)
        assert path.delivered == [0, 1, 2, 4]

    def test_heldNoMoreThanTheLimit(self, path: Fixture) -> None:
        path.arrive(0)
        for sequence in range(2, HELD_LIMIT + 2):
            path.arrive(sequence)
        assert path.delivered == [0]
        path.arrive(HELD_LIMIT + 2)
        assert len(path.delivered) == HELD_LIMIT + 2
        assert path.window.held == {}

    def test_closed(self, path: Fixture) -> None:
        path.arrive(0)
        path.arrive(2)
        path.window.close()
        path.window.close()
        path.arrive(1)
        path.arrive(0)
        assert path.delivered == [0]
        assert path.clock.getDelayedCalls() == []

    def test_noNumberNeverFits(self, path: Fixture) -> None:
        # The data path passes -1 for packets that only acknowledge.
        assert path.window.expected != -1
        assert module.NEVER < 0


class TestBelief:
    """
    Tests for which packets are believed to be the peer's.
    """

    @pytest.mark.parametrize(
        "ahead", [REACH, REACH + 1, FARTHEST, NUMBERS // 2 + 5, NUMBERS - REACH]
    )
    def test_farAway(self, path: Fixture, ahead: int) -> None:
        """
        The next packet in order is delivered, whatever arrives from far away and however often.
        """
        for sequence in range(3):
            path.arrive(sequence)
        for number in range(1000):
            path.arrive((3 + ahead + number) % NUMBERS)
            if number % 100 == 0:
                path.arrive(3 + number // 100)
            path.clock.advance(0.01)
        assert path.delivered == list(range(13))
        # Only packets between those in order count, and for no longer than the last doubt lasts.
        assert 0 < path.asked <= 10 / ASK_INTERVAL
        path.clock.pump([ASK_INTERVAL] * (ASKS + 1))
        assert path.clock.getDelayedCalls() == []

    @pytest.mark.parametrize("ahead", [1, 100, REACH, FARTHEST, NUMBERS - 100, NUMBERS - FARTHEST])
    def test_believedThere(self, path: Fixture, ahead: int) -> None:
        """
        A believed packet is delivered, and the numbering goes on after it.
        """
        path.arrive(500)
        path.believed = {1}
        new = (501 + ahead) % NUMBERS
        path.arrive(new, 1)
        path.clock.advance(HELD_TIME)
        path.arrive(new + 1, 2)
        assert path.delivered == [500, 1, 2]
        # The number of missing packets is reported where it has a meaning.
        assert path.judged == [(1, ahead if ahead < FARTHEST else 0)]
        assert path.counters.discards == ({LOST: ahead} if ahead < FARTHEST else {})

    def test_gapGivenUpInVain(self, path: Fixture) -> None:
        """
        When a gap was given up and the peer goes on where it was, packets ahead are judged at once
        until it does.
        """
        path.arrive(0)
        path.believed = {9}
        for sequence in (2, 3, 5):
            path.arrive(sequence)
        assert path.judged == []
        path.clock.advance(HELD_TIME)
        assert path.judged == [(2, 1), (3, 2), (5, 4)]
        assert (path.window.held, path.asked) == ({}, 1)
        path.arrive(7)
        assert path.judged[3:] == [(7, 6)]
        path.arrive(1)
        assert path.delivered == [0, 1]
        path.arrive(8)
        assert path.judged[4:] == []
        path.clock.advance(HELD_TIME)
        path.arrive(9)
        assert path.delivered == [0, 1, 9]
        assert path.counters.discards == {UNBELIEVABLE: 5, LOST: 7}

    def test_whatMayNotWait(self, path: Fixture) -> None:
        """
        A packet that may not wait is judged when it arrives, and isn't delivered again in its turn.
        """
        path.arrive(0)
        path.believed = {4}
        path.mayWait = False
        for sequence in (2, 1, 2, 4):
            path.arrive(sequence)
        assert path.delivered == [0, 1, 2, 4]
        assert path.counters.discards == {UNBELIEVABLE: 1, LOST: 1}

    def test_theFirstThatIsBelieved(self, path: Fixture) -> None:
        """
        The first believed packet closes the gap, and packets held before it are delivered.
        """
        path.arrive(0)
        path.believed = {4, 7}
        for sequence in (2, 4, 5, 7):
            path.arrive(sequence)
        path.clock.advance(HELD_TIME)
        assert path.delivered == [0, 4, 5, 7]
        assert path.counters.discards == {UNBELIEVABLE: 1, LOST: 4}
        assert path.asked == 0

    def test_asked(self, path: Fixture) -> None:
        """
        The peer is asked a few times, and then its next packet is believed, whatever it is.
        """
        path.arrive(7)
        for _ in range(ASKS):
            path.arrive(REACH + 1000)
            path.clock.advance(ASK_INTERVAL)
        assert path.asked == ASKS
        assert path.delivered == [7]
        path.clock.advance(3600)
        path.arrive(3, 1000)
        path.arrive(4)
        assert path.delivered == [7, 1000, 4]
        assert path.asked == ASKS

    def test_answered(self, path: Fixture) -> None:
        """
        Packets that arrive in order end the asking.
        """
        path.arrive(7)
        for _ in range(ASKS + 3):
            path.arrive(REACH + 1000)
            path.clock.advance(ASK_INTERVAL)
            path.arrive(len(path.delivered) + 7)
        assert path.delivered == list(range(7, 7 + ASKS + 4))
        path.clock.pump([ASK_INTERVAL] * 3)
        assert path.clock.getDelayedCalls() == []

    def test_doubled(self, path: Fixture) -> None:
        """
        Packets that are doubled on their way cause no doubt. A peer that repeats its numbers does.
        """
        for sequence in range(100):
            path.arrive(sequence)
            path.arrive(sequence)
            path.arrive(sequence)
        assert path.asked == 0
        for sequence in range(REPETITIONS):
            path.arrive(sequence)
        assert path.asked == 1

    def test_closedWhileAsking(self, path: Fixture) -> None:
        path.arrive(7)
        path.arrive(REACH + 1000)
        path.window.close()
        assert path.clock.getDelayedCalls() == []


class TestAcknowledging:
    """
    Tests for acknowledgements that are sent alone.
    """

    @pytest.mark.parametrize("first", FIRSTS)
    @pytest.mark.parametrize("fast", [True, False])
    def test_halfAWindow(self, path: Fixture, first: int, fast: bool) -> None:
        half = RECEIVE_WINDOW // 2
        for number in range(10 * half):
            path.arrive((first + number) % NUMBERS, fast=fast)
        assert path.acknowledgements == [
            (first + half * count - 1) % NUMBERS for count in range(1, 11)
        ]

    @pytest.mark.parametrize("first", FIRSTS)
    def test_halfASecond(self, path: Fixture, first: int) -> None:
        for number in range(3):
            path.arrive((first + number) % NUMBERS)
        path.clock.advance(ACKNOWLEDGE_TIME - 0.01)
        assert path.acknowledgements == []
        path.clock.advance(0.01)
        assert path.acknowledgements == [(first + 2) % NUMBERS]
        assert path.clock.getDelayedCalls() == []
        path.arrive((first + 3) % NUMBERS)
        path.clock.advance(ACKNOWLEDGE_TIME)
        assert path.acknowledgements[1:] == [(first + 3) % NUMBERS]

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from(FIRSTS),
        st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 12)), max_size=80),
    )
    def test_neverTooLate(self, first: int, steps: list[tuple[int, bool, int]]) -> None:
        """
        No packet waits for its acknowledgement for more than half a second or half a window,
        whatever is lost and sent meanwhile.
        """
        path = Fixture()
        window = path.window
        # For each packet that is delivered and not acknowledged: the number that follows it, and
        # when it arrived.
        owed: list[tuple[int, float]] = []

        def check() -> None:
            now = path.clock.seconds()
            owed.extend(((first + label + 1) % NUMBERS, now) for label in path.delivered)
            path.delivered.clear()
            owed[:] = [
                entry
                for entry in owed
                if 0 < (entry[0] - window.acknowledged) % NUMBERS < NUMBERS // 2
            ]
            assert len(owed) < RECEIVE_WINDOW // 2
            assert not owed or now - owed[0][1] < ACKNOWLEDGE_TIME + STEP

        number = 0
        for gap, sending, pause in [(0, False, 0), *steps]:
            number += gap
            path.arrive((first + number) % NUMBERS, number)
            number += 1
            check()
            if sending:
                window.acknowledging()
                check()
            for _ in range(pause):
                path.clock.advance(STEP)
                check()
        path.clock.pump([0.1] * 20)
        assert window.acknowledging() is None
        assert path.clock.getDelayedCalls() == []

    def test_piggybacked(self, path: Fixture) -> None:
        window = path.window
        assert window.acknowledging() is None
        path.arrive(7)
        assert window.acknowledging() == 7
        assert window.acknowledging() is None
        path.clock.advance(ACKNOWLEDGE_TIME)
        assert path.acknowledgements == []
        assert path.clock.getDelayedCalls() == []
