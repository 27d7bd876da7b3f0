"""
Tests for L{pptpgw.networks.generic.hub}.
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
    A packet goes to all other sessions and not to its sender.
    """
    world = World(4)
    world.sessions[1].deliver(b"hello")
    got = [session.packets for session in world.sessions]
    assert got == [[(0x00C3, b"hello")], [], [(0x00C3, b"hello")], [(0x00C3, b"hello")]]


def test_numbersAreKept() -> None:
    """
    A packet keeps its protocol number where there are several.
    """
    world = World(2, (0x00C3, 0x02C3))
    world.sessions[0].deliver(b"second", 0x02C3)
    world.sessions[0].deliver(b"first", 0x00C3)
    assert world.sessions[1].packets == [(0x02C3, b"second"), (0x00C3, b"first")]


def test_onlyWhereItIsOpen() -> None:
    """
    A session gets packets only while its protocol is open.
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
    A packet of the only session goes nowhere and isn't counted as discarded.
    """
    world = World(1)
    world.sessions[0].deliver(b"hello")
    assert world.sessions[0].packets == []
    assert world.counters.discards == {}


def test_twoHaveNoLimit() -> None:
    """
    Packets between two sessions aren't limited, as no copies are made.
    """
    world = World(2)
    for _ in range(COPIES + 10):
        world.sessions[0].deliver(b"x")
    assert len(world.sessions[1].packets) == COPIES + 10
    assert world.counters.discards == {}


@pytest.mark.parametrize("count", [3, 10, 100])
def test_whatAFloodMayMultiply(count: int) -> None:
    """
    The copies beyond the first of each packet stay within the limit when all sessions flood, and
    each session has the same share.
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
    A session that floods loses its own packets and takes nothing from the others' shares.
    """
    world = World(10)
    for _ in range(10000):
        world.sessions[0].deliver(b"flood")
    world.sessions[1].deliver(b"quiet")
    assert world.sessions[2].packets[-1] == (0x00C3, b"quiet")
    assert world.counters.discards[MULTIPLIED] > 9000
