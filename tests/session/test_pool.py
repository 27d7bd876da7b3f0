"""
Tests of L{pptpgw.session.pool}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pptpgw.error import Exhausted, PPTPGWError, Refused
from pptpgw.interfaces import IAddressPool
from pptpgw.profile import Profile
from pptpgw.session.pool import AddressPool

ANY = Profile("any", None)


def own(*addresses: str) -> Profile:
    """
    A subscriber whose account names these.
    """
    return Profile("own", tuple(IPv4Network(one) for one in addresses))


def pool(first: str = "10.0.0.1", last: str = "10.0.0.3") -> AddressPool:
    """
    A pool of one range.
    """
    return AddressPool([(IPv4Address(first), IPv4Address(last))])


def allocate(addresses: AddressPool, subscriber: Profile = ANY) -> str:
    """
    The address; raises what the pool fails with.
    """
    results: list[str] = []
    failures: list[BaseException] = []
    addresses.allocate(subscriber).addCallbacks(
        results.append, lambda failure: failures.append(failure.value)
    )
    if failures:
        raise failures[0]
    return results[0]


def refusal(addresses: AddressPool, subscriber: Profile = ANY) -> PPTPGWError:
    """
    Why there is no address.
    """
    try:
        address = allocate(addresses, subscriber)
    except PPTPGWError as error:
        return error
    raise AssertionError(f"{address} was given")


def test_interface() -> None:
    """
    It is an address pool.
    """
    verifyObject(IAddressPool, pool())


def test_order() -> None:
    """
    Fresh addresses first, in order; then the one that has been free longest.
    """
    addresses = pool()
    assert [allocate(addresses) for _ in range(3)] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    addresses.release("10.0.0.2")
    addresses.release("10.0.0.1")
    assert allocate(addresses) == "10.0.0.2"
    assert addresses.used == 2


def test_freshBeforeFreed() -> None:
    """
    An address just released isn't given while others were never used.
    """
    addresses = pool()
    addresses.release(allocate(addresses))
    assert allocate(addresses) == "10.0.0.2"


def test_usedUp() -> None:
    """
    A pool that has nothing left says so.
    """
    addresses = pool(last="10.0.0.1")
    allocate(addresses)
    assert isinstance(refusal(addresses), Exhausted)


def test_ownAddress() -> None:
    """
    An account's address comes from no pool, and isn't given twice.
    """
    addresses = pool()
    assert allocate(addresses, own("10.9.9.9/32")) == "10.9.9.9"
    assert isinstance(refusal(addresses, own("10.9.9.9/32")), Refused)
    addresses.release("10.9.9.9")
    assert allocate(addresses, own("10.9.9.9/32")) == "10.9.9.9"


def test_ownAddressInThePool() -> None:
    """
    An account's address within the pool goes to nobody else meanwhile, and to others afterwards.
    """
    addresses = pool(last="10.0.0.2")
    assert allocate(addresses, own("10.0.0.1/32")) == "10.0.0.1"
    assert allocate(addresses) == "10.0.0.2"
    assert isinstance(refusal(addresses), Exhausted)
    addresses.release("10.0.0.1")
    assert allocate(addresses) == "10.0.0.1"


def test_noOwnAddress() -> None:
    """
    An account that permits none gets none.
    """
    assert isinstance(refusal(pool(), own()), Refused)


def test_releaseOfAStranger() -> None:
    """
    Releasing what wasn't given, or twice, makes no address appear twice.
    """
    addresses = pool(last="10.0.0.1")
    addresses.release("10.0.0.1")
    address = allocate(addresses)
    addresses.release(address)
    addresses.release(address)
    allocate(addresses)
    assert isinstance(refusal(addresses), Exhausted)


def test_networks() -> None:
    """
    The fewest networks that cover the ranges, and nothing else.
    """
    addresses = AddressPool(
        [
            (IPv4Address("10.0.0.0"), IPv4Address("10.0.0.3")),
            (IPv4Address("10.1.0.1"), IPv4Address("10.1.0.2")),
        ]
    )
    assert [str(one) for one in addresses.networks] == [
        "10.0.0.0/30",
        "10.1.0.1/32",
        "10.1.0.2/32",
    ]
    assert "10.0.0.2" in addresses and "10.0.0.4" not in addresses


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6)), max_size=60))
def test_againstAModel(steps: list[tuple[int, int]]) -> None:
    """
    Against a set of what is in use: nothing is given twice, nothing is refused while it is free.
    """
    addresses = pool(last="10.0.0.4")
    everything = {f"10.0.0.{number}" for number in range(1, 5)}
    used: set[str] = set()
    for kind, number in steps:
        address = f"10.0.0.{number}"
        if kind == 0:
            addresses.release(address)
            used.discard(address)
            continue
        subscriber = ANY if kind == 1 else own(f"{address}/32")
        try:
            given = allocate(addresses, subscriber)
        except PPTPGWError:
            assert everything <= used if kind == 1 else address in used
        else:
            assert given not in used
            used.add(given)
        assert addresses.used == len(used)
