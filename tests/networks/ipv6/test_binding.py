"""
Tests for bindings, and for the addresses and prefixes that they have.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address, IPv6Network

import pytest
from twisted.internet.task import Clock

from pptpgw.networks.ipv6 import binding
from pptpgw.networks.ipv6.binding import AddressSource, Bindings
from pptpgw.networks.ipv6.prefix import PrefixPool

LINK = IPv6Network("fc00:0:1:5::/64")
ONE, TWO = (b"one", 1), (b"two", 2)


def test_addresses() -> None:
    """
    A client gets the same address again after it has released it, and another one after any client
    has declined it.
    """
    source = AddressSource(LINK)
    one, two = source.take(ONE), source.take(TWO)
    assert {one in LINK, two in LINK} == {True}
    assert one != two
    source.release(one)
    assert source.take(ONE) == one
    source.release(one)
    source.decline()
    assert source.take(ONE) not in (one, two)


def test_addressInUse() -> None:
    """
    An address in use is given to no other client, even if the arithmetic yields it for both.
    """
    source = AddressSource(LINK)
    assert source.take(ONE) != source.take(ONE)


@pytest.mark.parametrize(
    ("identifier", "good"),
    [
        (0, False),
        (1, True),
        (0x02005EFFFDFFFFFF, True),
        (0x02005EFFFE000000, False),
        (0x02005EFFFEFFFFFF, False),
        (0x02005EFFFF000000, True),
        (0xFDFFFFFFFFFFFF7F, True),
        (0xFDFFFFFFFFFFFF80, False),
        (0xFDFFFFFFFFFFFFFF, False),
        (0xFE00000000000000, True),
    ],
)
def test_reservedIdentifiers(monkeypatch: pytest.MonkeyPatch, identifier: int, good: bool) -> None:
    """
    The reserved identifiers of RFC 5453 are never given.
    """
    digests = iter([identifier.to_bytes(8, "big"), bytes(7) + b"\7"])

    class Digest:
        def __init__(self, text: bytes) -> None:
            assert hashlib.sha256(text)

        def digest(self) -> bytes:
            return next(digests)

    monkeypatch.setattr(binding, "sha256", Digest)
    assert AddressSource(LINK).take(ONE) == LINK[identifier if good else 7]


def test_offerAndBind() -> None:
    """
    An offer becomes a binding, and an offer again when its time is over. Each change is reported.
    """
    clock, told = Clock(), []
    pool = PrefixPool([IPv6Network("fc00:1::/56")], 64)
    bindings = Bindings(
        clock, 2, lambda client: pool.allocate(), pool.release, lambda: told.append(bindings.values)
    )
    value = bindings.offer(ONE)
    assert (bindings.values, bindings.bound(ONE), told) == ((), None, [])
    for seconds in (5, 10):
        bindings.bind(ONE, seconds)
        assert bindings.bound(ONE) == value
    clock.advance(9)
    assert told == [(value,)]
    clock.advance(1)
    assert told == [(value,), ()]
    assert (bindings.bound(ONE), bindings.offer(ONE), pool.used) == (None, value, 1)


def test_releaseOfAnOffer() -> None:
    """
    The end of an offer isn't reported.
    """

    def changed() -> None:
        raise AssertionError("nothing was bound")

    pool = PrefixPool([IPv6Network("fc00:1::/56")], 64)
    bindings = Bindings(Clock(), 1, lambda client: pool.allocate(), pool.release, changed)
    bindings.offer(ONE)
    assert bindings.offer(TWO) != IPv6Address("::")
    assert pool.used == 1
    bindings.release(TWO)
    assert pool.used == 0
