"""
Tests for L{pptpgw.datapath.fair}. The compiled twin is tested with the GRE port.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.datapath import fair
from pptpgw.datapath.fair import COST, MOST, QUANTUM, Fair

LARGE = bytes(1400)
PING = b"ping"
ROUND = QUANTUM // (len(LARGE) + COST) + 1
"""
The large packets that a lane takes in its turn.
"""


def taken(queue: Fair[str], most: int) -> list[tuple[str, bytes]]:
    """
    Take up to C{most} packets.
    """
    found: list[tuple[str, bytes]] = []
    while queue.waiting and len(found) < most:
        key, packets = queue.take(most - len(found))
        found += [(key, packet) for packet in packets]
    return found


def test_aPingAmongAFlood() -> None:
    """
    A single packet comes out in the first round, however many others wait before it.
    """
    queue: Fair[str] = Fair()
    queue.add("flood", [LARGE] * 1000)
    queue.add("other", [PING])
    found = taken(queue, 1001)
    assert ("other", PING) in found[: ROUND + 1]
    assert len(found) == 1001 and not queue.waiting
    assert queue.dropped == {}


def test_twoFloodsShareEvenly() -> None:
    """
    At any moment two floods have got the same, but for one quantum, even if one has larger packets.
    """
    queue: Fair[str] = Fair()
    queue.add("large", [LARGE] * 600)
    queue.add("small", [PING] * 1400)
    shares = Counter[str]()
    for key, packet in taken(queue, 900):
        shares[key] += len(packet) + COST
        assert abs(shares["large"] - shares["small"]) <= QUANTUM + len(LARGE) + COST


def test_theLongestLaneLoses() -> None:
    """
    When too many wait, only the longest lane loses packets: those that have waited longest.
    """
    queue: Fair[str] = Fair()
    queue.add("quiet", [PING] * 10)
    queue.add("flood", [b"%d" % number for number in range(MOST + 100)])
    assert queue.waiting == MOST
    assert queue.dropped == {"flood": 110}
    queue.add("new", [PING])
    assert queue.dropped == {"flood": 111}
    found = taken(queue, 5000)
    assert [packet for key, packet in found if key == "flood"] == [
        b"%d" % number for number in range(111, MOST + 100)
    ]
    assert [key for key, _ in found if key != "flood"] == ["quiet"] * 10 + ["new"]


def test_manySessions() -> None:
    """
    If every lane has one packet, the newest one loses it: those that waited aren't displaced.
    """
    queue: Fair[int] = Fair()
    for number in range(MOST + 5):
        queue.add(number, [PING])
    assert queue.dropped == dict.fromkeys(range(MOST, MOST + 5), 1)
    assert [queue.take(1)[0] for _ in range(MOST)] == list(range(MOST))


def test_nothingIsLeft() -> None:
    """
    No lane outlives its packets.
    """
    queue: Fair[int] = Fair()
    for number in range(100):
        queue.add(number, [LARGE] * (number % 7))
    while queue.waiting:
        queue.take(3)
    with pytest.raises(LookupError):
        queue.take(1)
    assert not any(map(queue.has, range(100)))
    assert not queue._lanes and not queue._lengths and not queue._longest
    queue.add(1, [PING] * (MOST + 1))
    assert queue.forget(1) == MOST and queue.forget(1) == 0
    assert not queue._lanes and not queue._lengths and not queue.waiting


class Model:
    """
    What a L{Fair} does, packet by packet, in the plainest way.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        # The order of turns, with the credit of each.
        self.turns: list[str] = []
        self.credit: dict[str, int] = {}
        self.lanes: dict[str, list[bytes]] = {}
        # The keys, the one whose length changed last at the end.
        self.changed: list[str] = []
        self.dropped: Counter[str] = Counter()

    def add(self, key: str, packet: bytes) -> None:
        if key not in self.lanes:
            self.lanes[key] = []
            self.turns.append(key)
            self.credit[key] = QUANTUM
        self.lanes[key].append(packet)
        self._touch(key)
        if sum(map(len, self.lanes.values())) > self.most:
            longest = max(map(len, self.lanes.values()))
            loser = [one for one in self.changed if len(self.lanes[one]) == longest][-1]
            self._first(loser)
            self.dropped[loser] += 1

    def take(self) -> tuple[str, bytes]:
        while self.credit[self.turns[0]] <= 0:
            self.credit[self.turns[0]] += QUANTUM
            self.turns.append(self.turns.pop(0))
        key = self.turns[0]
        packet = self._first(key)
        if key in self.credit:
            self.credit[key] -= len(packet) + COST
        return key, packet

    def _first(self, key: str) -> bytes:
        packet = self.lanes[key].pop(0)
        self._touch(key)
        if not self.lanes[key]:
            del self.lanes[key], self.credit[key]
            self.turns.remove(key)
            self.changed.remove(key)
        return packet

    def _touch(self, key: str) -> None:
        if key in self.changed:
            self.changed.remove(key)
        self.changed.append(key)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abcd"), st.integers(0, 12), st.sampled_from([1, 900, 4000])),
            st.integers(1, 9),
        ),
        max_size=30,
    )
)
def test_model(steps: list[tuple[str, int, int] | int]) -> None:
    """
    Packets at once have the same effect as one after the other.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fair, "MOST", 10)
        queue, model = Fair[str](), Model(10)
        number = 0
        for step in steps:
            if isinstance(step, int):
                wanted = min(step, queue.waiting)
                assert taken(queue, step) == [model.take() for _ in range(wanted)]
                continue
            key, count, size = step
            packets = [b"%d" % (number + one) + bytes(size) for one in range(count)]
            number += count
            queue.add(key, packets)
            for packet in packets:
                model.add(key, packet)
            assert queue.dropped == model.dropped
            assert queue.waiting == sum(map(len, model.lanes.values()))
