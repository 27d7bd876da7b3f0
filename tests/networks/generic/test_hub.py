"""
Tests of L{pptpgw.networks.generic.hub}.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.networks.generic.hub import COPIES, MULTIPLIED
from pptpgw.networks.generic.plugin import GenericNetwork
from pptpgw.testing import makeEnvironment
from tests.networks.generic.ends import declare, opened


class World:
    """
    A hub and its sessions.
    """

    def __init__(self, sessions: int, data: tuple[int, ...] = ()) -> None:
        self.clock = Clock()
        self.counters = Counters()
        environment = makeEnvironment(clock=self.clock, counters=self.counters)
        self.network = GenericNetwork(declare(*data), environment)
        self.network.start()
        self.sessions = [opened(self.network) for _ in range(sessions)]


def test_everyOtherSession() -> None:
    """
    A packet goes to all others, and not back.
    """
    world = World(4)
    world.sessions[1].deliver(b"hello")
    got = [session.packets for session in world.sessions]
    assert got == [[(0x00C3, b"hello")], [], [(0x00C3, b"hello")], [(0x00C3, b"hello")]]


def test_numbersAreKept() -> None:
    """
    Where there are several protocol numbers, a packet keeps its own.
    """
    world = World(2, (0x00C3, 0x02C3))
    world.sessions[0].deliver(b"second", 0x02C3)
    world.sessions[0].deliver(b"first", 0x00C3)
    assert world.sessions[1].packets == [(0x02C3, b"second"), (0x00C3, b"first")]


def test_onlyWhereItIsOpen() -> None:
    """
    A session gets nothing before its protocol is open nor after it closed, and again when it opens
    again.
    """
    world = World(3)
    first, second, third = world.sessions
    second.terminate()
    first.deliver(b"1")
    assert (second.packets, third.packets) == ([], [(0x00C3, b"1")])
    second.clock.advance(10)
    second.agree()
    first.deliver(b"2")
    assert second.packets == [(0x00C3, b"2")]
    first.terminate()
    second.deliver(b"3")
    assert first.packets == []


def test_alone() -> None:
    """
    With nobody else there, a packet goes nowhere.
    """
    world = World(1)
    world.sessions[0].deliver(b"hello")
    assert world.sessions[0].packets == []
    assert world.counters.discards == {}


def test_twoHaveNoLimit() -> None:
    """
    Between two sessions nothing is multiplied, and nothing is limited.
    """
    world = World(2)
    for _ in range(COPIES + 10):
        world.sessions[0].deliver(b"x")
    assert len(world.sessions[1].packets) == COPIES + 10
    assert world.counters.discards == {}


@pytest.mark.parametrize("count", [3, 10, 100])
def test_whatAFloodMayMultiply(count: int) -> None:
    """
    However many there are, and all flood, what is made over and above first copies stays within
    the limit, and each has the same share of it.
    """
    world = World(count)
    seconds, rounds, flood = 2, 40, 600 // count
    for _ in range(rounds * seconds):
        world.clock.advance(1 / rounds)
        for session in world.sessions:
            for _ in range(flood):
                session.deliver(b"x")
    total = sum(len(session.packets) for session in world.sessions)
    passed = total // (count - 1)
    extra = total - passed
    assert COPIES * seconds / 2 <= extra <= COPIES * seconds + 2 * count * count
    refused = rounds * seconds * count * flood - passed
    assert world.counters.discards[MULTIPLIED] == refused
    least = min(len(session.packets) for session in world.sessions)
    assert least == max(len(session.packets) for session in world.sessions)


def test_oneThatFloodsLeavesTheOthersTheirShare() -> None:
    """
    A flood is its sender's loss alone.
    """
    world = World(10)
    for _ in range(10000):
        world.sessions[0].deliver(b"flood")
    world.sessions[1].deliver(b"quiet")
    assert world.sessions[2].packets[-1] == (0x00C3, b"quiet")
    assert world.counters.discards[MULTIPLIED] > 9000
