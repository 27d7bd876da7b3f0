"""
Tests for L{pptpgw.management.pools}.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from pptpgw.management.operation import Operations
from pptpgw.management.pools import Pools
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings
from pptpgw.testing.exchange import PASSWORD
from tests.management.asking import REMOTE, Asking
from tests.management.managed import Managed

TEXT = """
[network]
protocols = ["ipv4", "ipv6"]
[ipv4]
pool = ["10.77.0.10-10.77.0.19"]
[[ipv4.pools]]
name = "staff"
ranges = ["10.88.0.10-10.88.0.11"]
next = "default"
[ipv6]
prefixes = "fc00:0:1::/60"
delegate = "fc00:1::/48"
"""


class Fixture:
    """
    A gateway with two sessions, of which the first has IPv6, and the management site that shows its
    pools.
    """

    def __init__(self) -> None:
        self.world = Managed(TEXT)
        self.asking = Asking(Operations(Pools(self.world).operations()))
        protocols = (
            IPCP(IPv4Settings.client(lambda packet: None)),
            IPV6CP(IPv6Settings(receive=lambda packet: None)),
        )
        self.calls = [
            self.world.setUpCall(b"alice", PASSWORD, *protocols),
            self.world.setUpCall(b"bob"),
        ]

    def listed(self, path: str, **query: Any) -> list[Any]:
        answer = self.asking.ask("GET", path, **query)
        assert answer.status == 200
        items: list[Any] = answer.json["items"]
        return items

    def addresses(self, **query: Any) -> list[tuple[str, str, str, str]]:
        keys = "user", "network", "pool", "address"
        return [tuple(one[key] for key in keys) for one in self.listed("/addresses", **query)]


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


def test_figures(gateway: Fixture) -> None:
    """
    Each pool of each network is listed with what is in use, which is free again after the session.
    """
    default, staff, link, delegated = gateway.listed("/pools")
    assert default == {
        "network": "ipv4",
        "name": "default",
        "size": 10,
        "used": 2,
        "reserved": 0,
        "free": 8,
        "next": "",
    }
    assert (staff["name"], staff["size"], staff["used"], staff["next"]) == (
        "staff",
        2,
        0,
        "default",
    )
    # The first prefix is the gateway's. Both callers were given one, though one doesn't use it.
    assert (link["network"], link["name"], link["size"]) == ("ipv6", "link", 15)
    assert link["used"] == 2
    assert (delegated["name"], delegated["size"], delegated["used"]) == ("delegated", 256, 0)
    gateway.calls[0].hangUp()
    gateway.world.run(1)
    assert [one["used"] for one in gateway.listed("/pools")] == [1, 0, 1, 0]


def test_reserved(gateway: Fixture) -> None:
    """
    An address that an account owns isn't free.
    """
    pool: Any = gateway.world.networks["ipv4"]
    pool.reserve("carol", (IPv4Network("10.88.0.10"),))
    (staff,) = gateway.listed("/pools", name="st*")
    assert (staff["used"], staff["reserved"], staff["free"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"network": "ipv6"}, ["link", "delegated"]),
        ({"name": "DEF*"}, ["default"]),
        ({"sort": "-size"}, ["delegated", "link", "default", "staff"]),
        ({"sort": "free", "limit": 1}, ["staff"]),
    ],
)
def test_chosenAndOrdered(gateway: Fixture, query: dict[str, str], found: list[str]) -> None:
    assert [one["name"] for one in gateway.listed("/pools", **query)] == found


def test_whoHasWhat(gateway: Fixture) -> None:
    """
    The addresses and prefixes of all sessions are listed, and chosen by what they are.
    """
    alice, prefix, bob = (
        ("alice", "ipv4", "default", "10.77.0.10"),
        ("alice", "ipv6", "link", "fc00:0:1:1::/64"),
        ("bob", "ipv4", "default", "10.77.0.11"),
    )
    assert gateway.addresses(sort="address") == [alice, bob, prefix]
    assert gateway.addresses(address="10.77.0.11") == [bob]
    assert gateway.addresses(user="a*", sort="-network") == [prefix, alice]
    assert gateway.addresses(pool="link") == [prefix]
    assert gateway.addresses(pool="default", offset=1, sort="user") == [bob]
    (session, _) = gateway.world.sessions
    first, _ = gateway.listed("/addresses", session_id=session.identifier)
    assert first["session_id"] == session.identifier


def test_networksWithoutPools(gateway: Fixture) -> None:
    """
    A network that tells nothing of its pools has none, and its addresses are from none.
    """
    gateway.world.networks["ipv4"] = object()  # type: ignore[assignment]
    assert [one["network"] for one in gateway.listed("/pools")] == ["ipv6", "ipv6"]
    assert gateway.addresses(user="bob") == [("bob", "ipv4", "", "10.77.0.11")]


def test_refused(gateway: Fixture) -> None:
    for path in ("/pools", "/addresses"):
        assert gateway.asking.ask("GET", path, sort="colour").status == 400
        assert gateway.asking.ask("GET", path, colour="red").status == 400
        assert gateway.asking.ask("GET", path, host=REMOTE).status == 401
