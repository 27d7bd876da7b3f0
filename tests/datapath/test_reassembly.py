"""
Tests for L{pptpgw.datapath.reassembly}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pptpgw.counting.counters import DUPLICATE
from pptpgw.datapath.reassembly import (
    INCOMPLETE,
    LATE,
    LOST,
    MOST_LOST,
    MOST_OCTETS,
    MOST_WAITING,
    TOO_LARGE,
    Reassembly,
)
from pptpgw.ppp.wire.multilink import BEGINNING, ENDING, LONG_NUMBERS, SHORT_NUMBERS

Fragment = tuple[int, int, bytes]
"""
Bits, number and part.
"""

WHOLE = BEGINNING | ENDING


class Receiver:
    """
    What puts frames together, for links called 0, 1 and so on.
    """

    def __init__(self, links: int = 2, numbers: int = LONG_NUMBERS, largest: int = 1500) -> None:
        self.frames: list[bytes] = []
        self.counted: Counter[str] = Counter()
        self.reassembly = Reassembly(numbers, largest, self.frames.append, self._discard)
        for link in range(links):
            self.reassembly.addLink(link)

    def _discard(self, reason: str, count: int) -> None:
        assert count > 0
        self.counted[reason] += count

    def take(self, link: int, *fragments: Fragment) -> None:
        for one in fragments:
            self.reassembly.add(link, *one)


def cut(frames: Sequence[bytes], sizes: Sequence[int], first: int, numbers: int) -> list[Fragment]:
    """
    Cut frames into fragments, with parts of these sizes in turn.
    """
    fragments, number, turn = [], first, 0
    for frame in frames:
        place = 0
        while place < len(frame):
            size = sizes[turn % len(sizes)]
            turn += 1
            bits = (0 if place else BEGINNING) | (ENDING if place + size >= len(frame) else 0)
            fragments.append((bits, number % numbers, frame[place : place + size]))
            place += size
            number += 1
    return fragments


def test_inOrder() -> None:
    receiver = Receiver()
    receiver.take(0, (WHOLE, 5, b"one"), (BEGINNING, 6, b"t"), (0, 7, b"w"), (ENDING, 8, b"o"))
    assert receiver.frames == [b"one", b"two"] and not receiver.counted


def test_acrossLinks() -> None:
    """
    Fragments wait for those of a slower link.
    """
    receiver = Receiver()
    receiver.take(0, (BEGINNING, 0, b"a"), (ENDING, 2, b"c"), (WHOLE, 3, b"d"))
    assert receiver.frames == [] and receiver.reassembly.isWaiting
    receiver.take(1, (0, 1, b"b"))
    assert receiver.frames == [b"abc", b"d"] and not receiver.counted
    assert not receiver.reassembly.isWaiting


def test_lossIsNoticed() -> None:
    """
    A fragment is lost as soon as every link has delivered a later one, and not before.
    """
    receiver = Receiver()
    receiver.take(0, (WHOLE, 0, b"0"), (WHOLE, 2, b"2"), (WHOLE, 4, b"4"))
    assert receiver.frames == [b"0"]
    receiver.take(1, (WHOLE, 3, b"3"))
    assert receiver.frames == [b"0", b"2", b"3", b"4"]
    assert receiver.counted == {LOST: 1}
    receiver.take(1, (WHOLE, 1, b"1"))
    assert receiver.counted == {LOST: 1, LATE: 1}


def test_lossWithinAFrame() -> None:
    """
    The rest of a frame of which a fragment was lost is discarded, and frames around it aren't.
    """
    receiver = Receiver(1)
    fragments = cut([b"aaaa", b"bbbb", b"cccc"], [1], 0, LONG_NUMBERS)
    for lost in range(12):
        receiver = Receiver(1)
        receiver.take(0, (WHOLE, LONG_NUMBERS - 1, b"!"))
        receiver.take(0, *fragments[:lost], *fragments[lost + 1 :], (WHOLE, 12, b"?"))
        whole = [b"!", b"aaaa", b"bbbb", b"cccc", b"?"]
        del whole[1 + lost // 4]
        assert receiver.frames == whole
        assert receiver.counted == {LOST: 1, INCOMPLETE: 3}


def test_singleLink() -> None:
    """
    A single link delivers in order, so what is missing is lost at once.
    """
    receiver = Receiver(1)
    receiver.take(0, (WHOLE, 9, b"9"), (WHOLE, 12, b"12"))
    assert receiver.frames == [b"9", b"12"] and receiver.counted == {LOST: 2}


@pytest.mark.parametrize("numbers", [SHORT_NUMBERS, LONG_NUMBERS])
def test_wrapping(numbers: int) -> None:
    receiver = Receiver(2, numbers)
    frames = [bytes([one]) * 5 for one in range(200)]
    for turn, fragment in enumerate(cut(frames, [2, 3], numbers - 77, numbers)):
        receiver.take(turn % 2, fragment)
    assert receiver.frames == frames and not receiver.counted


def test_duplicates() -> None:
    receiver = Receiver()
    receiver.take(0, (WHOLE, 0, b"0"), (WHOLE, 2, b"2"), (WHOLE, 2, b"x"), (WHOLE, 0, b"x"))
    receiver.take(1, (WHOLE, 1, b"1"))
    assert receiver.frames == [b"0", b"1", b"2"]
    assert receiver.counted == {DUPLICATE: 1, LATE: 1}


def test_givingUp() -> None:
    """
    What waits is taken when a link that carries nothing is no longer waited for.
    """
    receiver = Receiver()
    receiver.take(0, (WHOLE, 0, b"0"), (WHOLE, 2, b"2"), (WHOLE, 5, b"5"))
    receiver.reassembly.giveUp()
    assert receiver.frames == [b"0", b"2"] and receiver.counted == {LOST: 1}
    receiver.reassembly.removeLink(1)
    assert receiver.frames == [b"0", b"2", b"5"] and receiver.counted == {LOST: 3}
    receiver.reassembly.giveUp()
    assert receiver.counted == {LOST: 3}


def test_aLinkThatJoins() -> None:
    """
    A new link may deliver the next fragments before the old one does.
    """
    receiver = Receiver(1)
    receiver.take(0, (WHOLE, 0, b"0"))
    receiver.reassembly.addLink(1)
    receiver.take(1, (WHOLE, 2, b"2"), (WHOLE, 3, b"3"))
    receiver.take(0, (WHOLE, 1, b"1"))
    assert receiver.frames == [b"0", b"1", b"2", b"3"] and not receiver.counted


def test_emptyFragments() -> None:
    """
    A fragment without a part of a frame tells what was lost, and is no frame.
    """
    receiver = Receiver()
    receiver.take(0, (WHOLE, 0, b"0"), (WHOLE, 2, b"2"))
    receiver.take(1, (WHOLE, 3, b""))
    assert receiver.frames == [b"0", b"2"] and receiver.counted == {LOST: 1}


def test_tooLarge() -> None:
    receiver = Receiver(1, largest=10)
    receiver.take(0, (WHOLE, 0, bytes(11)), (WHOLE, 1, bytes(10)))
    receiver.take(0, (BEGINNING, 2, bytes(6)), (0, 3, bytes(5)), (ENDING, 4, b"x"))
    receiver.take(0, (WHOLE, 5, b"ok"))
    assert receiver.frames == [bytes(10), b"ok"]
    assert receiver.counted == {TOO_LARGE: 3, INCOMPLETE: 1}


class TestHostile:
    """
    Tests with fragments that no honest peer sends.
    """

    def test_whatWaitsIsBounded(self) -> None:
        """
        However the numbers are chosen, few fragments and octets wait.
        """
        receiver = Receiver()
        for turn in range(5000):
            receiver.take(0, (0, (turn * 2 + 1) % LONG_NUMBERS, bytes(1400)))
            assert len(receiver.reassembly._waiting) <= MOST_WAITING
            assert receiver.reassembly._octets <= MOST_OCTETS
        octets = sum(len(part) for _, part in receiver.reassembly._waiting.values())
        assert receiver.reassembly._octets == octets

    def test_largeParts(self) -> None:
        receiver = Receiver()
        for turn in range(500):
            receiver.take(0, (WHOLE, turn * 2, bytes(60000)))
            assert receiver.reassembly._octets <= MOST_OCTETS

    def test_aFrameThatNeverEnds(self) -> None:
        receiver = Receiver(1)
        receiver.take(0, (BEGINNING, 0, b"x"))
        for number in range(1, 20000):
            receiver.take(0, (0, number, b"" if number % 2 else b"y"))
            frame = receiver.reassembly._frame
            assert frame is None or len(frame) <= 1500
        assert receiver.frames == [] and receiver.counted[TOO_LARGE] > 0

    def test_leaps(self) -> None:
        """
        A leap costs no time for the numbers that it passes, and is counted as a limited loss.
        """
        receiver = Receiver(1)
        for turn in range(1000):
            receiver.take(0, (WHOLE, turn * ((LONG_NUMBERS >> 1) - 1) % LONG_NUMBERS, b"x"))
        assert receiver.counted[LOST] == 999 * MOST_LOST

    def test_aLinkThatIsNone(self) -> None:
        """
        Fragments of a link that was removed don't hold M back.
        """
        receiver = Receiver(1)
        receiver.take(7, (WHOLE, 0, b"0"))
        receiver.take(0, (WHOLE, 2, b"2"))
        assert receiver.frames == [b"0", b"2"]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[bytes], list[tuple[int, Fragment]], int, int, int]:
    """
    Frames, their fragments as links deliver them, how many links there are, how many sequence
    numbers, and how many fragments were lost. Each link keeps its order, loses some, and delivers
    some twice.
    """
    numbers = draw(st.sampled_from([SHORT_NUMBERS, LONG_NUMBERS]))
    count = draw(st.integers(1, 40))
    frames = [
        number.to_bytes(2, "big") + bytes(draw(st.integers(0, 40))) for number in range(count)
    ]
    # Fewer fragments than may wait.
    sizes = draw(st.lists(st.integers(8, 30), min_size=1, max_size=5))
    fragments = cut(frames, sizes, draw(st.integers(0, numbers - 1)), numbers)
    links = draw(st.integers(1, 4))
    queues: list[list[Fragment]] = [[] for _ in range(links)]
    lost = 0
    for place, one in enumerate(fragments):
        queue = queues[draw(st.integers(0, links - 1)) if place else 0]
        if place and draw(st.integers(0, 9)) == 0:
            lost += 1
            continue
        queue += [one] * (2 if draw(st.integers(0, 19)) == 0 else 1)
    delivered = [(0, queues[0].pop(0))]
    while any(queues):
        link = draw(st.sampled_from([place for place, one in enumerate(queues) if one]))
        delivered.append((link, queues[link].pop(0)))
    return frames, delivered, links, numbers, lost


@example(([bytes(9)], [(0, (BEGINNING, 0, bytes(8)))], 1, SHORT_NUMBERS, 1))
@given(deliveries())
def test_framesAreWholeOrCounted(
    made: tuple[list[bytes], list[tuple[int, Fragment]], int, int, int],
) -> None:
    """
    Whatever is lost, and however links overtake each other, frames come whole and in order. As long
    as links keep their order, no frame is missing of which nothing was lost.
    """
    frames, delivered, links, numbers, lost = made
    receiver = Receiver(links, numbers, 64)
    for link, fragment in delivered:
        receiver.take(link, fragment)
    while receiver.reassembly.isWaiting:
        receiver.reassembly.giveUp()
    assert receiver.frames == sorted(set(receiver.frames)), "each once, in order"
    assert set(receiver.frames) <= set(frames), "and never another one"
    if not lost:
        assert receiver.frames == frames
        assert receiver.counted.keys() <= {DUPLICATE, LATE}
    taken = sum(len(one) for one in receiver.frames)
    # A frame that lacks its end is counted once another one begins.
    following = receiver.reassembly.following
    assert following is not None
    receiver.take(0, (WHOLE, following, b"next"))
    assert receiver.frames[-1] == b"next"
    assert taken + sum(receiver.counted.values()) > 0
    assert receiver.counted[LOST] <= lost


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([0, BEGINNING, ENDING, WHOLE]),
            st.integers(0, 4095),
            st.binary(max_size=20),
        ),
        max_size=60,
    )
)
def test_anyFragments(fragments: list[tuple[int, int, int, bytes]]) -> None:
    """
    Any fragments at all make frames within the limit, or are counted.
    """
    receiver = Receiver(3, SHORT_NUMBERS, 30)
    for link, bits, number, part in fragments:
        receiver.take(link, (bits, number, part))
    assert all(0 < len(one) <= 30 for one in receiver.frames)
    receiver.reassembly.close()
    assert not receiver.reassembly.isWaiting
