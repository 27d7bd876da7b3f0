"""
Tests for L{pptpgw.networks.ipv6.prefix}.
"""

from __future__ import annotations

from ipaddress import IPv6Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.error import Exhausted
from pptpgw.networks.ipv6.prefix import RESTING, OwnPrefix, PrefixPool


def pool(length: int, *networks: str) -> PrefixPool:
    return PrefixPool(map(IPv6Network, networks), length)


def test_inOrder() -> None:
    """
    The pool gives the prefixes of its networks in order.
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
    Prefixes that were never given are given first, then those that have been free longest.
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
    Releasing a prefix twice, or one that wasn't given, does nothing.
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
    A pool makes none of its prefixes before they are asked for.
    """
    assert pool(64, "fc00::/7").allocate() == IPv6Network("fc00::/64")


def test_whatRestsIsBounded() -> None:
    """
    Allocating and releasing prefixes for ever doesn't make the pool remember all of them.
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


def test_anAccountsOwnInThePool() -> None:
    """
    The pool doesn't give an account's own prefix while its session lasts, and gives it afterwards.
    """
    prefixes = pool(64, "fc00::/62")
    own = IPv6Network("fc00:0:0:1::/64")
    assert prefixes.take(own) and not prefixes.take(own)
    given = [str(prefixes.allocate()) for _ in range(3)]
    assert given == ["fc00::/64", "fc00:0:0:2::/64", "fc00:0:0:3::/64"]
    with pytest.raises(Exhausted):
        prefixes.allocate()
    prefixes.release(own)
    assert prefixes.allocate() == own
    assert not prefixes.take(own)


def test_anAccountsOwnLargerOrSmaller() -> None:
    """
    The pool gives no part of an account's own prefix, and the account can't take a prefix while a
    part of it is in use.
    """
    prefixes = pool(64, "fc00::/62", "fc00:1::/64")
    wide, narrow = IPv6Network("fc00::/63"), IPv6Network("fc00:0:0:2:8::/80")
    assert prefixes.take(wide) and prefixes.take(narrow)
    assert not prefixes.take(IPv6Network("fc00::/64")) and not prefixes.take(IPv6Network("::/0"))
    assert [str(prefixes.allocate()) for _ in range(2)] == ["fc00:0:0:3::/64", "fc00:1::/64"]
    with pytest.raises(Exhausted):
        prefixes.allocate()
    prefixes.release(wide)
    prefixes.release(narrow)
    assert [str(prefixes.allocate()) for _ in range(3)] == [
        "fc00::/64",
        "fc00:0:0:1::/64",
        "fc00:0:0:2::/64",
    ]
    with pytest.raises(Exhausted):
        prefixes.allocate()


def test_aHugePrefixOfAnAccountIsPassedOverInOneStep() -> None:
    """
    Passing over an account's huge prefix takes one step, not one for each prefix in it.
    """
    prefixes = pool(64, "fc00::/7")
    assert prefixes.take(IPv6Network("fc00::/8"))
    assert prefixes.allocate() == IPv6Network("fd00::/64")


def test_anAccountsPrefixIsTakenInEveryPoolOrNone() -> None:
    """
    An account's own prefix belongs to one session at a time, and is taken in every pool or in none.
    """
    links, delegated = pool(64, "fc00::/63"), pool(56, "fc00:1::/56")
    own = OwnPrefix(IPv6Network("fc00:1::/56"), (links, delegated))
    other = delegated.allocate()
    with pytest.raises(Exhausted, match="fc00:1::/56 is in use"):
        own.allocate()
    assert links.used == 0
    delegated.release(other)
    prefix = own.allocate()
    with pytest.raises(Exhausted):
        own.allocate()
    with pytest.raises(Exhausted):
        delegated.allocate()
    own.release(prefix)
    assert (links.used, delegated.used) == (0, 0)
    assert own.allocate() == prefix


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(62, 66), st.integers(0, 15))))
def test_nothingOverlaps(steps: list[tuple[bool, int, int]]) -> None:
    """
    No two prefixes in use overlap, whatever pool and accounts allocate and release, and the pool is
    used up only when nothing is left.
    """
    prefixes = pool(64, "fc00::/62")
    used: list[IPv6Network] = []
    for take, length, number in steps:
        if take:
            own = IPv6Network((int(IPv6Network("fc00::/62")[0]) + (number << 62), 66))
            own = own.supernet(new_prefix=length)
            assert prefixes.take(own) == (not any(own.overlaps(one) for one in used))
            if not any(own.overlaps(one) for one in used):
                used.append(own)
        elif number < 8 and used:
            prefixes.release(used.pop(number % len(used)))
        else:
            every = IPv6Network("fc00::/62").subnets(new_prefix=64)
            free = [one for one in every if not any(one.overlaps(other) for other in used)]
            try:
                given = prefixes.allocate()
            except Exhausted:
                assert not free
            else:
                assert given in free
                used.append(given)
        assert prefixes.used == len(used)
        every = IPv6Network("fc00::/62").subnets(new_prefix=64)
        assert prefixes.taken == sum(any(one.overlaps(other) for other in used) for one in every)


@settings(deadline=None)
@given(st.lists(st.integers(0, 7)))
def test_nobodyHasAnothers(steps: list[int]) -> None:
    """
    No prefix ever has two owners and none is lost, whatever is allocated and released.
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
