"""
Tests for L{pptpgw.management.configuration}.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pptpgw.config.masking import HIDDEN
from pptpgw.management.configuration import ConfigurationInForce
from pptpgw.management.operation import Operations
from pptpgw.tunnels.pptp.tunnel import PPTPTunnelFactory
from tests.management.asking import REMOTE, Asking
from tests.management.managed import Managed

TEXT = """
[network]
protocols = ["ipv4", "osi"]
[ipv4]
pool = ["10.77.0.10-10.77.0.20"]
[limits]
max-sessions = 7
[[radius.server]]
host = "192.0.2.1"
secret = "pa55word"
"""

MAXIMA = ["max-sessions", "max-sessions-per-source", "max-sessions-per-user"]


class Fixture:
    """
    A gateway with a session, and the management site that shows its configuration.
    """

    def __init__(self) -> None:
        self.world = Managed(TEXT)
        self.asking = Asking(Operations(ConfigurationInForce(self.world).operations()))
        self.world.setUpCall(b"alice")

    def listed(self, **query: Any) -> list[Any]:
        answer = self.asking.ask("GET", "/configuration", limit=1000, **query)
        assert answer.status == 200
        assert b"pa55" not in answer.octets
        items: list[Any] = answer.json["items"]
        return items

    def key(self, section: str, key: str) -> Any:
        (found,) = self.listed(section=section, key=key)
        return found


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


def test_aKey(gateway: Fixture) -> None:
    """
    A key has its value, its default and what a reload does with a new value.
    """
    assert gateway.key("limits", "max-sessions") == {
        "section": "limits",
        "key": "max-sessions",
        "value": 7,
        "default": 0,
        "changed": True,
        "allowed": "a whole number from 0 to 1000000",
        "effect": "new",
        "reason": "",
    }
    pool = gateway.key("ipv4", "pool")
    assert pool["value"] == ["10.77.0.10-10.77.0.20"]
    assert pool["default"] == ["10.77.0.10-10.77.0.140"]
    local = gateway.key("ipv4", "local")
    assert (local["changed"], local["effect"]) == (False, "restart") and local["reason"]
    (server,) = gateway.key("radius", "server")["value"]
    assert server["host"] == "192.0.2.1" and server["secret"] == HIDDEN


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({"changed": "true"}, ["protocols", "max-sessions", "server", "pool"]),
        ({"section": "accounts"}, ["store", "key"]),
        ({"key": "MAX-SESSIONS*", "sort": "key"}, MAXIMA),
        ({"section": "limits", "effect": "restart"}, []),
    ],
)
def test_chosen(gateway: Fixture, query: dict[str, str], keys: list[str]) -> None:
    assert [one["key"] for one in gateway.listed(**query)] == keys


def test_everySection(gateway: Fixture) -> None:
    """
    Every section is there, those of plugins in use too, even if the file has none.
    """
    sections = {one["section"] for one in gateway.listed()}
    assert {"listen", "link", "management", "ipv4"} <= sections
    assert "ipv6" not in sections
    assert len(gateway.listed()) == gateway.asking.ask("GET", "/configuration").json["total"] > 80


def test_networks(gateway: Fixture) -> None:
    """
    A network is shown with the plugin that serves it and the sessions that use it.
    """
    ipv4, osi = gateway.asking.ask("GET", "/networks").json["networks"]
    assert ipv4 == {
        "name": "ipv4",
        "description": "IPv4 (IPCP, RFC 1332), each caller with an address from a pool",
        "plugin": "pptpgw.networks.ipv4.plugin.IPv4Factory",
        "sessions": 1,
    }
    assert (osi["name"], osi["sessions"]) == ("osi", 0)
    assert osi["plugin"].startswith("pptpgw.networks.generic.") and osi["description"]


def test_tunnels(gateway: Fixture) -> None:
    """
    A tunnel is shown with the plugin that serves it and where it listens.
    """

    class Tunnel:
        places = ("192.0.2.1:1723",)

    tunnel, factory = Tunnel(), PPTPTunnelFactory()
    gateway.world.tunnels["pptp"] = tunnel
    gateway.world.environment.plug(factory, tunnel)
    (shown,) = gateway.asking.ask("GET", "/tunnels").json["tunnels"]
    assert shown == {
        "name": "pptp",
        "description": factory.description,
        "plugin": "pptpgw.tunnels.pptp.tunnel.PPTPTunnelFactory",
        "places": ["192.0.2.1:1723"],
        "authentication": ["mschapv2"],
        "encryption": "require",
        "sessions": 1,
    }


def test_whatATunnelOffers() -> None:
    """
    A tunnel is shown with what its section permits, and otherwise with what C{[link]} does.
    """
    world = Managed('[link]\nauthentication = ["mschapv2", "chap"]\n[sstp]\nencryption = "off"')
    world.tunnels |= {name: SimpleNamespace(places=()) for name in ("pptp", "sstp", "another")}
    asking = Asking(Operations(ConfigurationInForce(world).operations()))
    offers = [
        (one["name"], one["authentication"], one["encryption"])
        for one in asking.ask("GET", "/tunnels").json["tunnels"]
    ]
    assert offers == [
        ("pptp", ["mschapv2", "chap"], "require"),
        ("sstp", ["mschapv2", "chap"], "off"),
        ("another", ["mschapv2", "chap"], "require"),
    ]


def test_refused(gateway: Fixture) -> None:
    for path in ("/configuration", "/networks", "/tunnels"):
        assert gateway.asking.ask("GET", path, host=REMOTE).status == 401
        assert gateway.asking.ask("GET", path, colour="red").status == 400
    assert gateway.asking.ask("GET", "/configuration", sort="value").status == 400
