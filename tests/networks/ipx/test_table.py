"""
Tests for L{pptpgw.networks.ipx.table}.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from pptpgw.networks.ipx.table import LIFETIME, LIMIT, TOTAL, RoutingTable


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> RoutingTable[int, str, str]:
    return RoutingTable(clock.seconds)


def known(table: RoutingTable[int, str, str], listener: str = "") -> dict[int, tuple[str, int]]:
    return {key: (entry.value, entry.hops) for key, entry in table.tell(listener)}


def test_learn(table: RoutingTable[int, str, str]) -> None:
    """
    The table has the latest that the teller said about an entry.
    """
    assert table.learn(1, "a", 2, "one")
    assert table.learn(1, "b", 3, "one")
    assert known(table) == {1: ("b", 3)}
    entry = table.find(1)
    assert entry is not None
    assert entry.teller == "one"
    assert table.find(2) is None


def test_first(table: RoutingTable[int, str, str]) -> None:
    """
    The first teller keeps an entry until it withdraws it.
    """
    assert table.learn(1, "a", 9, "one")
    assert not table.learn(1, "b", 1, "other")
    assert not table.learn(1, "b", 16, "other")
    assert known(table) == {1: ("a", 9)}
    assert table.learn(1, "a", 16, "one")
    assert known(table) == {}
    assert table.learn(1, "b", 1, "other")


def test_splitHorizon(table: RoutingTable[int, str, str]) -> None:
    """
    A teller isn't told what it told.
    """
    table.learn(1, "a", 1, "one")
    table.learn(2, "b", 1, "other")
    assert known(table, "one") == {2: ("b", 1)}
    assert known(table, "other") == {1: ("a", 1)}


@pytest.mark.parametrize(("hops", "learnt"), [(0, True), (14, True), (15, False), (0xFFFF, False)])
def test_unreachable(table: RoutingTable[int, str, str], hops: int, learnt: bool) -> None:
    """
    An entry that would be 16 routers away for others isn't kept.
    """
    assert table.learn(1, "a", hops, "one")
    assert bool(known(table)) is learnt


def test_age(table: RoutingTable[int, str, str], clock: Clock) -> None:
    """
    An entry is forgotten after three minutes in which its teller hasn't repeated it.
    """
    table.learn(1, "a", 1, "one")
    clock.advance(LIFETIME - 1)
    table.learn(2, "a", 1, "one")
    assert set(known(table)) == {1, 2}
    clock.advance(1)
    assert table.find(1) is None
    assert set(known(table)) == {2}
    table.learn(2, "a", 1, "one")
    clock.advance(LIFETIME - 1)
    assert set(known(table)) == {2}
    clock.advance(1)
    assert known(table) == {}
    # Another teller may have the entry from now on.
    assert table.learn(2, "b", 1, "other")


def test_forget(table: RoutingTable[int, str, str]) -> None:
    """
    A teller's entries are forgotten with it.
    """
    table.learn(1, "a", 1, "one")
    table.learn(2, "b", 1, "other")
    table.forget("one")
    table.forget("nobody")
    assert known(table) == {2: ("b", 1)}


def test_limits(table: RoutingTable[int, str, str]) -> None:
    """
    The entries of each teller are limited, and so are all entries together.
    """
    for key in range(LIMIT):
        assert table.learn(key, "", 1, "one")
    assert not table.learn(LIMIT, "", 1, "one")
    assert table.learn(0, "again", 1, "one")
    assert table.learn(0, "", 16, "one")
    assert table.learn(LIMIT, "", 1, "one")
    for key in range(LIMIT + 1, TOTAL + 1):
        assert table.learn(key, "", 1, f"teller {key % 40}")
    assert len(known(table)) == TOTAL
    assert not table.learn(TOTAL + 1, "", 1, "new")
    table.forget("one")
    assert table.learn(TOTAL + 1, "", 1, "new")


def test_roomOfTheSilent(table: RoutingTable[int, str, str], clock: Clock) -> None:
    """
    Entries that have expired don't count against their teller's limit.
    """
    for key in range(LIMIT):
        table.learn(key, "", 1, "one")
    clock.advance(LIFETIME)
    assert known(table, "one") == {}
    assert table.learn(LIMIT, "", 1, "one")
