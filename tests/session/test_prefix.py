"""
Tests for L{pptpgw.session.prefix}.
"""

from __future__ import annotations

from ipaddress import IPv6Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.error import Exhausted
from pptpgw.session.prefix import RESTING, PrefixPool


def pool(length: int, *networks: str) -> PrefixPool:
    return PrefixPool(map(IPv6Network, networks), length)


def test_inOrder() -> None:
    """
    The networks are cut one after the other.
    """
    prefixes = pool(64, "fc00:0:1::/63", "fc00:0:9::/64")
    given = [str(prefixes.allocate()) for _ in range(3)]
    assert given == ["fc00:0:1::/64", "fc00:0:1:1::/64", "fc00:0:9::/64"]
    assert prefixes.used == 3
    with pytest.raises(Exhausted, match="64 bits"):
        prefixes.allocate()
    assert prefixes.used == 3


def test_theLongestFreeComesFirst() -> None:
    """
    What was never given goes first, then what was given back first.
    """
    prefixes = pool(56, "fc00:1::/54")
    first, second, third = (prefixes.allocate() for _ in range(3))
    prefixes.release(third)
    prefixes.release(first)
    assert prefixes.allocate() == IPv6Network("fc00:1:0:300::/56")
    assert (prefixes.allocate(), prefixes.allocate()) == (third, first)
    prefixes.release(second)
    assert prefixes.allocate() == second


def test_givenBackTwice() -> None:
    """
    The second time, and what was never given, do nothing.
    """
    prefixes = pool(64, "fc00::/63")
    one = prefixes.allocate()
    prefixes.release(one)
    prefixes.release(one)
    prefixes.release(IPv6Network("fc00:0:0:1::/64"))
    prefixes.release(IPv6Network("2001:db8::/64"))
    assert [prefixes.allocate() for _ in range(2)] == [IPv6Network("fc00:0:0:1::/64"), one]
    with pytest.raises(Exhausted):
        prefixes.allocate()


def test_aHugeNetwork() -> None:
    """
    Nothing is made before it is asked for.
    """
    assert pool(64, "fc00::/7").allocate() == IPv6Network("fc00::/64")


def test_whatRestsIsBounded() -> None:
    """
    Whoever takes prefixes and gives them back, for ever, doesn't have the pool remember them all.
    """
    prefixes = pool(64, "fc00::/7")
    for _ in range(RESTING):
        prefixes.release(prefixes.allocate())
    longest = IPv6Network("fc00::/64")
    assert prefixes.allocate() == longest
    assert prefixes.allocate() == IPv6Network(f"{longest[0] + (RESTING << 64)}/64")
    for _ in range(3 * RESTING):
        prefixes.release(prefixes.allocate())
    assert len(prefixes._freed) == RESTING


@pytest.mark.parametrize(("network", "length"), [("fc00::/65", 64), ("fc00::/64", 129)])
def test_noSuchPrefixes(network: str, length: int) -> None:
    with pytest.raises(ValueError, match="has no prefixes"):
        pool(length, network)


def test_empty() -> None:
    with pytest.raises(Exhausted):
        pool(64).allocate()


@settings(deadline=None)
@given(st.lists(st.integers(0, 7)))
def test_nobodyHasAnothers(steps: list[int]) -> None:
    """
    Whatever is given and given back, no prefix has two owners, and none is lost.
    """
    prefixes = pool(64, "fc00::/62")
    owned: dict[int, IPv6Network] = {}
    for owner in steps:
        if owner in owned:
            prefixes.release(owned.pop(owner))
        elif len(owned) < 4:
            prefix = prefixes.allocate()
            assert prefix not in owned.values()
            owned[owner] = prefix
        else:
            with pytest.raises(Exhausted):
                prefixes.allocate()
    assert prefixes.used == len(owned)
