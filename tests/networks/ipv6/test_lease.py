"""
Tests for the leases of a session, without messages. L{tests.networks.ipv6.test_dhcpv6} tests them
within messages.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from twisted.internet.task import Clock

from pptpgw.networks.ipv6.lease import MAX_WITHDRAWN, Leases, makeStatus, named, without
from pptpgw.networks.ipv6.prefix import PrefixPool
from pptpgw.networks.ipv6.wire.dhcpv6 import (
    INFINITY,
    Address,
    AddressAssociation,
    Association,
    Prefix,
    PrefixAssociation,
    TemporaryAssociation,
)
from pptpgw.networks.ipv6.wire.dhcpv6option import Status, StatusCode

LINK = IPv6Network("fc00:0:1:5::/64")
SITE = IPv6Network("fc00:1::/56")
FOREIGN = [IPv6Network((int(IPv6Address("fc00:2::")) + (one << 72), 56)) for one in range(5)]
CLIENT = (b"client", 1)
NO_BINDING = Status(StatusCode.NO_BINDING, "no binding")


def leases(preferred: int = 100, valid: int = 200) -> Leases:
    return Leases(Clock(), LINK, PrefixPool([SITE], 56), lambda: None, preferred, valid)


@pytest.mark.parametrize(
    ("preferred", "t1", "t2"),
    [(100, 50, 80), (7, 3, 5), (1, 0, 0), (INFINITY - 1, 0x7FFFFFFF, 0xCCCCCCCB), (INFINITY,) * 3],
)
def test_times(preferred: int, t1: int, t2: int) -> None:
    """
    T1 and T2 are 0.5 and 0.8 of the preferred lifetime, and infinite if it is infinite (section
    21.4).
    """
    association = leases(preferred, INFINITY).lend(CLIENT, PrefixAssociation(1), bind=True)
    wanted = PrefixAssociation(1, (Prefix(SITE, preferred, INFINITY),), None, t1, t2)
    assert association == wanted


def test_whatTheClientSaidIsNotRepeated() -> None:
    """
    The answer doesn't repeat the question's T1, T2, lifetimes and status.
    """
    asked = PrefixAssociation(1, (Prefix(SITE, 9, 9, NO_BINDING),), NO_BINDING, 9, 9)
    lent = leases()
    wanted = PrefixAssociation(1, (Prefix(SITE, 100, 200),), None, 50, 80)
    assert lent.lend(CLIENT, asked, bind=True) == wanted
    assert lent.extend(CLIENT, asked) == wanted


def test_withdrawn() -> None:
    """
    A limited number of leases that don't belong to the session are withdrawn.
    """
    asked = PrefixAssociation(1, tuple(map(Prefix, FOREIGN)))
    withdrawn = tuple(map(Prefix, FOREIGN[:MAX_WITHDRAWN]))
    lent = leases()
    assert lent.extend(CLIENT, asked) == PrefixAssociation(1, (), NO_BINDING)
    assert lent.extend(CLIENT, asked, withdraw=True) == PrefixAssociation(1, withdrawn, NO_BINDING)
    lent.lend(CLIENT, asked, bind=True)
    assert lent.extend(CLIENT, asked).leases == (Prefix(SITE, 100, 200), *withdrawn)


def test_belongs() -> None:
    """
    Addresses of the link and bound prefixes belong to the session.
    """
    lent = leases()
    assert lent.belongs(LINK[7])
    assert not lent.belongs(IPv6Address("fc00:0:1:6::7"))
    lent.lend(CLIENT, PrefixAssociation(1), bind=False)
    assert not lent.belongs(SITE)
    lent.lend(CLIENT, PrefixAssociation(1), bind=True)
    assert lent.belongs(SITE)
    assert lent.prefixes == (SITE,)


def test_takeBack() -> None:
    """
    Leases that are given back are gone, and an association without leases gets NoBinding.
    """
    lent = leases()
    mine = lent.lend(CLIENT, PrefixAssociation(1), bind=True)
    assert lent.takeBack((b"other", 1), mine) == PrefixAssociation(1, (), NO_BINDING)
    assert lent.takeBack(CLIENT, mine) is None
    assert lent.prefixes == ()
    assert lent.takeBack(CLIENT, mine) == PrefixAssociation(1, (), NO_BINDING)


def test_declined() -> None:
    """
    The client gets another address after it has declined one.
    """
    lent = leases()
    first = lent.lend(CLIENT, AddressAssociation(1), bind=True)
    assert lent.decline(CLIENT, first) is None
    second = lent.lend(CLIENT, AddressAssociation(1), bind=True)
    assert named(second) != named(first)
    assert lent.extend(CLIENT, second) == second


@pytest.mark.parametrize(
    "association",
    [
        AddressAssociation(1, (Address(IPv6Address("::")), Address(LINK[7]))),
        TemporaryAssociation(1, (Address(LINK[7]), Address(IPv6Address("::")))),
    ],
)
def test_named(association: Association) -> None:
    """
    An address of zeros names nothing, and neither does a prefix length alone.
    """
    assert named(association) == [LINK[7]]
    lengths = PrefixAssociation(1, (Prefix(IPv6Network("::/48")), Prefix(SITE)))
    assert named(lengths) == [SITE]


def test_without() -> None:
    """
    An association without leases has the question's kind and number, and a status with a text.
    """
    assert without(TemporaryAssociation(7), StatusCode.NOT_ON_LINK) == TemporaryAssociation(
        7, (), Status(4, "not on link")
    )
    assert makeStatus(StatusCode.NO_ADDRS_AVAIL) == Status(2, "no addrs avail")
