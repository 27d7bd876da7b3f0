"""
Tests for L{pptpgw.sessions.pool}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pptpgw.error import Exhausted, PPTPGWError, Refused
from pptpgw.interfaces import DEFAULT_POOL, IAddressPools, ICountedPools, PoolFigures, PoolRanges
from pptpgw.sessions.pool import AddressPool
from pptpgw.sessions.profile import Profile
from pptpgw.testing import CALLER

ANY = Profile("any", None)


def own(*addresses: str) -> Profile:
    """
    A subscriber whose account names these addresses or networks.
    """
    return Profile("own", tuple(IPv4Network(one) for one in addresses))


def pool(first: str = "10.0.0.1", last: str = "10.0.0.3") -> AddressPool:
    """
    A pool of one range.
    """
    return AddressPool([(IPv4Address(first), IPv4Address(last))])


def allocate(addresses: AddressPool, subscriber: Profile = ANY) -> str:
    """
    Allocate an address, and return it.

    @raise Exception: what the pool fails with.
    """
    results: list[str] = []
    failures: list[BaseException] = []
    addresses.allocate(subscriber, CALLER).addCallbacks(
        results.append, lambda failure: failures.append(failure.value)
    )
    if failures:
        raise failures[0]
    return results[0]


def refusal(addresses: AddressPool, subscriber: Profile = ANY) -> PPTPGWError:
    """
    The exception that says why there is no address.
    """
    try:
        address = allocate(addresses, subscriber)
    except PPTPGWError as error:
        return error
    raise AssertionError(f"{address} was given")


def test_interface() -> None:
    """
    The pool provides L{IAddressPool}.
    """
    verifyObject(IAddressPools, pool())
    verifyObject(ICountedPools, pool())


def test_figures() -> None:
    """
    Each pool counts its own addresses: those in use, and others that accounts own.
    """
    addresses = pool(last="10.0.0.4")
    addresses.change(
        {
            "default": ranges("10.0.0.1-10.0.0.4"),
            "big": PoolRanges(ranges("10.1.0.1-10.1.255.254").ranges, "default"),
        },
        [],
    )
    addresses.reserve("own", ["10.0.0.1", "10.1.0.9", "10.9.9.9"])
    assert allocate(addresses) == "10.0.0.2"
    assert allocate(addresses, own("10.9.9.9", "10.0.0.1")) == "10.9.9.9"
    assert addresses.figures() == [
        PoolFigures("default", 4, 1, 1),
        PoolFigures("big", 65534, 0, 0, "default"),
    ]
    assert addresses.figures()[0].free == 2
    for text, name in (("10.1.0.9/32", "big"), ("10.1.0.0/24", ""), ("10.9.9.9/32", "")):
        assert addresses.poolOf(IPv4Network(text)) == name


def test_order() -> None:
    """
    Addresses that were never used are given first, in order, and then the one that has been free
    longest.
    """
    addresses = pool()
    assert [allocate(addresses) for _ in range(3)] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    addresses.release("10.0.0.2")
    addresses.release("10.0.0.1")
    assert allocate(addresses) == "10.0.0.2"
    assert addresses.used == 2


def test_freshBeforeFreed() -> None:
    """
    An address that was just released isn't given while others were never used.
    """
    addresses = pool()
    addresses.release(allocate(addresses))
    assert allocate(addresses) == "10.0.0.2"


def test_usedUp() -> None:
    """
    A pool without a free address fails with L{Exhausted}.
    """
    addresses = pool(last="10.0.0.1")
    allocate(addresses)
    assert isinstance(refusal(addresses), Exhausted)


def test_ownAddress() -> None:
    """
    An account's own address comes from no pool and isn't given twice.
    """
    addresses = pool()
    assert allocate(addresses, own("10.9.9.9/32")) == "10.9.9.9"
    assert isinstance(refusal(addresses, own("10.9.9.9/32")), Refused)
    addresses.release("10.9.9.9")
    assert allocate(addresses, own("10.9.9.9/32")) == "10.9.9.9"


def test_ownAddressInThePool() -> None:
    """
    An account's address within the pool goes to nobody else before, during and after its session,
    until the account no longer owns it.
    """
    addresses = pool(last="10.0.0.2")
    addresses.reserve("own", ["10.0.0.1"])
    assert allocate(addresses) == "10.0.0.2"
    assert isinstance(refusal(addresses), Exhausted)
    assert allocate(addresses, own("10.0.0.1/32")) == "10.0.0.1"
    addresses.release("10.0.0.1")
    assert isinstance(refusal(addresses), Exhausted)
    addresses.reserve("own", [])
    assert allocate(addresses) == "10.0.0.1"


def test_whatAnAccountOwnsIsLearnedFromItsSessions() -> None:
    """
    An address that an account's session had stays reserved for that account until a session of the
    account has another address, or none of its own.
    """
    addresses = pool(last="10.0.0.2")
    addresses.release(allocate(addresses, own("10.0.0.1/32")))
    assert allocate(addresses) == "10.0.0.2"
    assert isinstance(refusal(addresses), Exhausted)
    assert allocate(addresses, own("10.9.9.9/32")) == "10.9.9.9"
    assert allocate(addresses) == "10.0.0.1"
    assert allocate(addresses, own("10.0.0.7/32")) == "10.0.0.7"
    addresses.release("10.0.0.1")
    assert allocate(addresses, Profile("own")) == "10.0.0.1"


def test_anAddressInUseIsNotTakenFromItsSessionByReserving() -> None:
    """
    A session keeps its address to the end when another account reserves it, and the owner waits for
    that.
    """
    addresses = pool(last="10.0.0.1")
    assert allocate(addresses) == "10.0.0.1"
    assert isinstance(refusal(addresses, own("10.0.0.1/32")), Refused)
    addresses.release("10.0.0.1")
    assert isinstance(refusal(addresses), Exhausted)
    assert allocate(addresses, own("10.0.0.1/32")) == "10.0.0.1"


def test_aReservedAddressCalledForAgainAndAgainTakesNoMemory() -> None:
    """
    An account that allocates its address in the pool again and again doesn't make the pool grow.
    """
    addresses = pool(last="10.0.0.9")
    for _ in range(100):
        addresses.release(allocate(addresses, own("10.0.0.5/32")))
    addresses.reserve("own", [])
    given = [allocate(addresses) for _ in range(9)]
    assert sorted(given) == [f"10.0.0.{number}" for number in range(1, 10)]
    assert isinstance(refusal(addresses), Exhausted)


def test_whatIsKeptOfOwnersIsBounded() -> None:
    """
    The pool keeps owners of its own addresses alone, however many accounts have addresses and
    however those change.
    """
    addresses = pool(last="10.0.0.4")
    for number in range(1000):
        subscriber = Profile(f"user{number}", (IPv4Network(f"10.0.{number % 250}.{number % 9}"),))
        addresses.release(allocate(addresses, subscriber))
        addresses.reserve(f"other{number}", [f"10.0.0.{number % 9}", "10.9.9.9"])
    assert len(addresses._owners) <= 4
    assert sum(map(len, addresses._owned.values())) == len(addresses._owners)
    addresses.change({DEFAULT_POOL: ranges("10.0.0.4-10.0.0.5")}, ["10.0.0.9"])
    assert set(addresses._owners) == {"10.0.0.4"}
    assert len(addresses._owned) == 1


def test_twoAccountsOfOneAddress() -> None:
    """
    The later of two accounts with one address owns it. When the later one gives it up, nobody owns
    it.
    """
    addresses = pool(last="10.0.0.1")
    addresses.reserve("first", ["10.0.0.1"])
    addresses.reserve("second", ["10.0.0.1"])
    addresses.reserve("first", [])
    assert isinstance(refusal(addresses), Exhausted)
    addresses.reserve("second", [])
    assert allocate(addresses) == "10.0.0.1"


def ranges(*texts: str, next: str = "") -> PoolRanges:
    """
    A pool of ranges C{"FIRST-LAST"}.
    """
    pairs = [text.split("-") for text in texts]
    return PoolRanges(tuple((IPv4Address(a), IPv4Address(b)) for a, b in pairs), next)


def named(**pools: PoolRanges) -> AddressPool:
    """
    Pools by name.
    """
    addresses = AddressPool()
    addresses.change({"default": ranges("10.0.0.1-10.0.0.2"), **pools}, ["10.0.0.9"])
    return addresses


def test_namedPools() -> None:
    """
    An account gets addresses of the pool that it names, then of the pools that follow that one, and
    of no other.
    """
    addresses = named(
        staff=ranges("10.1.0.1-10.1.0.1", next="guests"),
        guests=ranges("10.2.0.1-10.2.0.1", next="default"),
        rest=ranges("10.3.0.1-10.3.0.1"),
    )
    staff = Profile("s", pool="staff")
    assert [allocate(addresses, staff) for _ in range(4)] == [
        "10.1.0.1",
        "10.2.0.1",
        "10.0.0.1",
        "10.0.0.2",
    ]
    error = refusal(addresses, staff)
    assert isinstance(error, Exhausted)
    assert str(error) == "the address pools staff, guests, default are used up"
    assert isinstance(refusal(addresses), Exhausted)
    assert allocate(addresses, Profile("r", pool="rest")) == "10.3.0.1"
    addresses.release("10.2.0.1")
    assert isinstance(refusal(addresses), Exhausted)
    assert allocate(addresses, staff) == "10.2.0.1"
    assert allocate(addresses, Profile("s", (IPv4Network("10.9.9.9"),), "staff")) == "10.9.9.9"


def test_anUnknownPool() -> None:
    """
    An unknown pool is refused, and the refusal names it.
    """
    error = refusal(named(), Profile("a", pool="stuff"))
    assert isinstance(error, Refused)
    assert str(error) == "there is no address pool 'stuff'"


def test_poolsThatGoInACircleEnd() -> None:
    addresses = named(a=ranges("10.1.0.1-10.1.0.1", next="b"), b=ranges(next="a"))
    allocate(addresses, Profile("a", pool="a"))
    assert isinstance(refusal(addresses, Profile("a", pool="b")), Exhausted)


def test_poolsChangeWhileTheyAreUsed() -> None:
    """
    Pools may change while their addresses are used. An address in use isn't given again by
    whichever pool then has it, an address in no pool isn't given again at all, and the address that
    has been free longest is still given first.
    """
    addresses = named()
    assert [allocate(addresses), allocate(addresses)] == ["10.0.0.1", "10.0.0.2"]
    addresses.change({"default": ranges("10.0.0.2-10.0.0.5")}, ["10.0.0.9"])
    assert [allocate(addresses) for _ in range(3)] == ["10.0.0.3", "10.0.0.4", "10.0.0.5"]
    addresses.release("10.0.0.1")
    assert isinstance(refusal(addresses), Exhausted)
    for number in (4, 2, 3):
        addresses.release(f"10.0.0.{number}")
    addresses.change({"default": ranges(), "a": ranges("10.0.0.1-10.0.0.4")}, ["10.0.0.9"])
    assert isinstance(refusal(addresses), Exhausted)
    mine = Profile("m", pool="a")
    assert [allocate(addresses, mine) for _ in range(4)] == [
        "10.0.0.1",
        "10.0.0.4",
        "10.0.0.2",
        "10.0.0.3",
    ]
    assert addresses.used == 5
    assert [str(one) for one in addresses.networks] == [
        "10.0.0.1/32",
        "10.0.0.2/31",
        "10.0.0.4/32",
    ]


def test_networksOutsideOfThePools() -> None:
    """
    An account's networks outside of the pools give each address that a host can have once, in
    order. Nobody owns those addresses.
    """
    addresses = pool()
    mine = own("192.0.2.8/30", "192.0.2.16/31", "192.0.2.20/32")
    assert [allocate(addresses, mine) for _ in range(5)] == [
        "192.0.2.9",
        "192.0.2.10",
        "192.0.2.16",
        "192.0.2.17",
        "192.0.2.20",
    ]
    assert "192.0.2.8/30, 192.0.2.16/31, 192.0.2.20 already in use" in str(refusal(addresses, mine))
    addresses.release("192.0.2.10")
    assert allocate(addresses, mine) == "192.0.2.10"
    assert not addresses._owners


def test_networksThatAPoolHas() -> None:
    """
    An account's networks that contain addresses of pools give those and no others. An account that
    is allowed every address but one thus gets an address of a pool.
    """
    addresses = named(staff=ranges("10.1.0.1-10.1.0.2"))
    everything = IPv4Network("0.0.0.0/0").address_exclude(IPv4Network("10.0.0.1"))
    anything = Profile("own", tuple(sorted(everything)))
    assert [allocate(addresses, anything) for _ in range(3)] == [
        "10.0.0.2",
        "10.1.0.1",
        "10.1.0.2",
    ]
    assert isinstance(refusal(addresses, anything), Refused)
    assert allocate(addresses) == "10.0.0.1"


def test_anOwnedAddressIsNoOthers() -> None:
    """
    An owned address isn't given to another account, neither from the pool nor from a network that
    the other account names.
    """
    addresses = pool()
    addresses.reserve("bob", ["10.0.0.1"])
    assert allocate(addresses, own("10.0.0.0/24")) == "10.0.0.2"


def test_theGatewaysOwnAddressIsNeverGiven() -> None:
    addresses = named()
    addresses.change({"default": ranges()}, ["10.0.0.9"])
    assert str(refusal(addresses, own("10.0.0.9/32"))) == "10.0.0.9 is the gateway's own address"
    assert allocate(addresses, own("10.0.0.9/32", "10.0.0.3/32")) == "10.0.0.3"
    assert allocate(addresses, own("10.0.0.8/30")) == "10.0.0.10"


def test_noOwnAddress() -> None:
    """
    An account whose list of addresses is empty is refused.
    """
    assert isinstance(refusal(pool(), own()), Refused)


def test_releaseOfAStranger() -> None:
    """
    Releasing an address that wasn't given, or releasing one twice, doesn't make the pool give it
    twice.
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
    C{networks} is the fewest networks that cover exactly the ranges.
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


STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), max_size=60)


@given(STEPS)
def test_againstAModel(steps: list[tuple[int, int]]) -> None:
    """
    The pool agrees with a model of sets: no address is given twice, no owner's address is given to
    another, none is refused while it is free, however the pool changes meanwhile, and an address
    outside the pool has no owner. Its figures count what the sets have.
    """
    addresses = pool(last="10.0.0.4")
    last = 4
    used: set[str] = set()
    owners: dict[str, str] = {}
    for kind, number in steps:
        pooled = {f"10.0.0.{one}" for one in range(1, last + 1)}
        counted = PoolFigures("default", last, len(pooled & used), len(set(owners) - used))
        assert addresses.figures() == [counted]
        address = f"10.0.0.{number}"
        if kind == 0:
            addresses.release(address)
            used.discard(address)
            continue
        if kind == 3:
            last = number
            addresses.change({"default": ranges(f"10.0.0.1-10.0.0.{last}")}, ["10.0.0.9"])
            pooled = {f"10.0.0.{one}" for one in range(1, last + 1)}
            owners = {one: name for one, name in owners.items() if one in pooled}
            continue
        subscriber = ANY
        free = {f"10.0.0.{one}" for one in range(1, last + 1)} - used - set(owners)
        if kind == 2:
            subscriber = Profile(f"own {number % 2}", (IPv4Network(address),))
            owners = {one: name for one, name in owners.items() if name != subscriber.name}
            if number <= last:
                owners[address] = subscriber.name
            free = {address} - used
        try:
            given = allocate(addresses, subscriber)
        except PPTPGWError:
            assert not free
        else:
            assert given in free
            used.add(given)
        assert addresses.used == len(used)
