"""
Tests of L{pptpgw.network.ipv4}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.config import parse
from pptpgw.counters import Counters
from pptpgw.error import ConfigurationError, Exhausted
from pptpgw.interfaces import IKernelInterface, INetwork, INetworkFactory
from pptpgw.ncp.ipv4 import IPCP
from pptpgw.network import ipv4
from pptpgw.network.environment import Environment
from pptpgw.profile import Profile
from pptpgw.session.pool import AddressPool


@implementer(IKernelInterface)
class Interface:
    """
    Keeps what it is told.
    """

    name = "pptp0"

    def __init__(self) -> None:
        self.told: list[str] = []

    def addAddress(self, address: IPv4Interface | IPv6Interface) -> None:
        self.told.append(f"address {address}")

    def addRoute(self, network: IPv4Network | IPv6Network) -> None:
        self.told.append(f"route {network}")

    def removeRoute(self, network: IPv4Network | IPv6Network) -> None:
        raise AssertionError("they go with the interface")


def made(text: str, interface: Interface | None = None) -> ipv4.IPv4Network:
    """
    The network that the section C{text} makes.
    """
    factory = ipv4.IPv4Factory()
    section = parse(f"[ipv4]\n{text}", "x.toml").section(factory)
    environment = Environment(Clock(), 1300, interface, Counters())
    return factory.makeNetwork(section, environment)


def succeeded(deferred: Deferred[IPCP]) -> IPCP:
    results: list[IPCP] = []
    deferred.addCallback(results.append)
    return results[0]


def test_interfaces() -> None:
    verifyObject(INetworkFactory, ipv4.IPv4Factory())
    verifyObject(INetwork, made(""))


def test_addressAndRoutes() -> None:
    """
    The interface has the gateway's address, and the pool leads to it.
    """
    interface = Interface()
    made('local = "192.0.2.1"\npool = ["192.0.2.2-192.0.2.5"]', interface).start()
    assert interface.told == ["address 192.0.2.1/32", "route 192.0.2.2/31", "route 192.0.2.4/31"]
    made("").start()


@pytest.mark.parametrize(
    ("pool", "left"),
    [
        ("10.0.0.0/29", ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"]),
        ("10.0.0.4-10.0.0.6", ["10.0.0.5", "10.0.0.6"]),
        ("10.0.0.2-10.0.0.4", ["10.0.0.2", "10.0.0.3"]),
        ("10.0.0.4", []),
        ("10.0.0.5-10.0.0.6", ["10.0.0.5", "10.0.0.6"]),
    ],
)
def test_theGatewaysOwnAddressIsLeftOutOfThePool(pool: str, left: list[str]) -> None:
    network = made(f'local = "10.0.0.4"\npool = ["{pool}"]')
    alice = Profile("alice")
    for address in left:
        assert succeeded(network.makeProtocol(alice)).settings.peerAddress == address
    failures: list[object] = []
    network.makeProtocol(alice).addErrback(lambda failure: failures.append(failure.value))
    assert isinstance(failures[0], Exhausted)


def test_whatACallerIsGiven() -> None:
    network = made('dns = ["192.0.2.53"]\nwins = ["192.0.2.54"]')
    settings = succeeded(network.makeProtocol(Profile("alice"))).settings
    assert (settings.localAddress, settings.peerAddress) == ("10.77.0.1", "10.77.0.10")
    assert (settings.dns, settings.wins) == (("192.0.2.53",), ("192.0.2.54",))
    assert settings.mtu == 1300


def test_release() -> None:
    network = made('pool = ["10.0.0.5"]')
    assert isinstance(network.pool, AddressPool)
    protocol = succeeded(network.makeProtocol(Profile("alice")))
    assert network.pool.used == 1
    network.release(protocol)
    assert network.pool.used == 0
    network.stop()


@pytest.mark.parametrize(
    ("allocator", "fault"),
    [("rages", 'no address pool is called "rages": did you mean ranges'), ("ranges:x", "argument")],
)
def test_allocator(allocator: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        made(f'allocator = "{allocator}"')


def test_defaults() -> None:
    section = ipv4.IPv4()
    assert section.local == IPv4Address("10.77.0.1")
    assert section.pool == ((IPv4Address("10.77.0.10"), IPv4Address("10.77.0.140")),)
