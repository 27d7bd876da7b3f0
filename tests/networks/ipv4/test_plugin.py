"""
Tests for L{pptpgw.networks.ipv4.plugin}.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.config.configuration import parse
from pptpgw.error import ConfigurationError, Exhausted, Refused
from pptpgw.interfaces import (
    Caller,
    IAddressPool,
    ICountedPools,
    INetwork,
    INetworkFactory,
    IReloadable,
    ISubscriber,
)
from pptpgw.networks.ipv4 import plugin
from pptpgw.networks.ipv4.ipcp import IPCP
from pptpgw.sessions.pool import AddressPool
from pptpgw.sessions.profile import Profile
from pptpgw.testing import CALLER, MemoryInterface, makeEnvironment, makeProtocol
from pptpgw.tunnels.hdlc.call import HDLC


def made(
    text: str, interface: MemoryInterface | None = None, called: tuple[str, ...] = ()
) -> plugin.IPv4Sessions:
    """
    The network that the section C{text} makes, on a gateway that is called at these addresses.
    """
    factory = plugin.IPv4Factory()
    text = f"[link]\nmru = 1300\n[listen]\naddresses = {list(called)}\n[ipv4]\n{text}"
    environment = makeEnvironment(text, interface=interface)
    return factory.makeNetwork(environment.settings(factory), environment)


def test_interfaces() -> None:
    verifyObject(INetworkFactory, plugin.IPv4Factory())
    verifyObject(INetwork, made(""))
    verifyObject(ICountedPools, made(""))


def test_addressAndRoutes() -> None:
    """
    The interface gets the gateway's address, and routes to the pool.
    """
    interface = MemoryInterface()
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
        assert makeProtocol(network, alice).settings.peerAddress == address
    failures: list[object] = []
    network.makeProtocol(alice, CALLER).addErrback(lambda failure: failures.append(failure.value))
    assert isinstance(failures[0], Exhausted)


def test_whereTheGatewayIsCalledIsNobodysAddress() -> None:
    """
    An address at which the gateway is called is given to nobody: not from a pool, also after a
    reload, not to an account, and not as a route behind a user.
    """
    text = 'pool = ["192.0.2.1-192.0.2.3"]'
    network = made(text, called=("192.0.2.2", "198.51.100.1"))
    network.reload(reloaded('dns = ["192.0.2.53"]\n' + text))
    network.reload(reloaded('pool = ["192.0.2.1-192.0.2.4"]'))
    alice = Profile("alice", routes=(IPv4Network("198.51.100.0/24"),))
    settings = [makeProtocol(network, alice).settings for _ in range(3)]
    assert [one.peerAddress for one in settings] == ["192.0.2.1", "192.0.2.3", "192.0.2.4"]
    assert [one.addresses for one in settings] == [()] * 3
    own = Profile("bob", (IPv4Network("198.51.100.1"),))
    assert "is the gateway's own address" in refused(network.makeProtocol(own, CALLER))


@pytest.mark.parametrize("pool", ["127.0.0.2", "0.0.0.1-10.0.0.1", "126.0.0.1-128.0.0.1"])
@pytest.mark.parametrize("where", ["pool = {}", "[[ipv4.pools]]\nname = 'x'\nranges = {}"])
def test_noPoolOfWhatIsNoHosts(pool: str, where: str) -> None:
    for one in (pool, "224.0.0.1", "240.0.0.0/24", "255.255.255.0/24"):
        with pytest.raises(ConfigurationError, match=r"none of 0\."):
            made(where.format(f'["{one}"]'))


@pytest.mark.parametrize("address", ["10.77.0.1", "127.0.0.1", "240.0.0.1", "0.0.0.1"])
def test_whateverTheAllocatorGives(address: str) -> None:
    """
    An allocator's address that is the gateway's own, or that no host can have, is refused and
    released.
    """
    network = made("")
    released: list[str] = []

    class Pool:
        networks = ()

        def allocate(self, subscriber: Profile, caller: Caller) -> Deferred[str]:
            return succeed(address)

        def release(self, address: str) -> None:
            released.append(address)

    foreign: Any = Pool()
    network.pool = foreign
    failures: list[object] = []
    network.makeProtocol(Profile("alice"), CALLER).addErrback(
        lambda one: failures.append(one.value)
    )
    assert isinstance(failures[0], Refused) and "caller's address" in str(failures[0])
    assert released == [address]


def test_whatACallerIsGiven() -> None:
    network = made('dns = ["192.0.2.53"]\nwins = ["192.0.2.54"]')
    settings = makeProtocol(network).settings
    assert (settings.localAddress, settings.peerAddress) == ("10.77.0.1", "10.77.0.10")
    assert (settings.dns, settings.wins) == (("192.0.2.53",), ("192.0.2.54",))
    assert settings.mtu == 1300


def test_release() -> None:
    network = made('pool = ["10.0.0.5"]')
    assert isinstance(network.pool, AddressPool)
    protocol = makeProtocol(network)
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
    section = plugin.IPv4Section()
    assert section.local == IPv4Address("10.77.0.1")
    assert section.pool == ((IPv4Address("10.77.0.10"), IPv4Address("10.77.0.140")),)


def refused(deferred: Deferred[IPCP]) -> str:
    """
    The reason for which there is no protocol.
    """
    failures: list[str] = []
    deferred.addErrback(lambda failure: failures.append(failure.getErrorMessage()))
    return failures[0]


POOLS = """
    pool = ["10.77.0.10"]
    [[ipv4.pools]]
    name = "staff"
    ranges = ["10.78.0.0/30"]
    next = "default"
"""


def test_namedPools() -> None:
    """
    A subscriber gets an address of the account's pool and then of the next pool. Routes lead to all
    pools.
    """
    interface = MemoryInterface()
    network = made(POOLS, interface)
    network.start()
    assert interface.told == [
        "address 10.77.0.1/32",
        "route 10.77.0.10/32",
        "route 10.78.0.1/32",
        "route 10.78.0.2/32",
    ]
    staff = Profile("s", pool="staff")
    given = [makeProtocol(network, staff).settings.peerAddress for _ in range(3)]
    assert given == ["10.78.0.1", "10.78.0.2", "10.77.0.10"]


def test_anUnknownPoolIsRefusedOrTheDefault() -> None:
    stray = Profile("s", pool="stuff")
    assert refused(made(POOLS).makeProtocol(stray, CALLER)) == "there is no address pool 'stuff'"
    network = made('unknown-pool = "default"' + POOLS)
    assert makeProtocol(network, stray).settings.peerAddress == "10.77.0.10"


@pytest.mark.parametrize(
    ("pools", "fault"),
    [
        ('[[ipv4.pools]]\nname = "a"\nranges = ["10.77.0.9-10.77.0.11"]', "both have 10.77.0.10"),
        ('[[ipv4.pools]]\nname = "a"\nranges = []\nnext = "b"', 'next = "b": there is no such'),
        (
            '[[ipv4.pools]]\nname = "a"\nranges = []\nnext = "b"\n'
            '[[ipv4.pools]]\nname = "b"\nranges = []\nnext = "a"',
            "in a circle",
        ),
        (
            '[[ipv4.pools]]\nname = "default"\nranges = []',
            'entry 1, "default": name = "default": must be 1 to 63',
        ),
        ('[[ipv4.pools]]\nname = "a"\nranges = []\nother = 1', 'entry 1, "a": unknown key other'),
        ('[[ipv4.pools]]\nname = "a"', 'entry 1, "a": ranges is missing'),
        ('[[ipv4.pools]]\nname = "a"\nranges = []\n' * 2, 'entry 2, "a": name is another'),
    ],
)
def test_poolsThatCannotBe(pools: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        made('pool = ["10.77.0.10"]\n' + pools)


def test_whatAnAccountGives() -> None:
    """
    An account may have its own name servers, routes and MTU. The MTU never exceeds the link's.
    """
    network = made('dns = ["192.0.2.53"]\nwins = ["192.0.2.54"]')
    profile = Profile(
        "alice",
        dns=(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")),
        wins=(IPv4Address("192.0.2.3"),),
        routes=(IPv4Network("192.168.7.0/24"), IPv6Network("2001:db8::/56")),
        mtu=1000,
    )
    settings = makeProtocol(network, profile).settings
    assert settings.dns == ("192.0.2.1", "192.0.2.2")
    assert settings.wins == ("192.0.2.3",)
    assert settings.addresses == (IPv4Network("192.168.7.0/24"),)
    assert settings.mtu == 1000
    wide = makeProtocol(network, Profile("bob", mtu=9000)).settings
    assert wide.mtu == 1300


def test_networksBehindUsersTakeNothingOfOthers() -> None:
    """
    A network behind a user can't contain the gateway's address, a pool, or an address that leads to
    another user. A second session of the same user may have it too, and anybody may when both have
    ended.
    """
    network = made(POOLS + '[[ipv4.pools]]\nname = "big"\nranges = ["10.9.0.0/24"]')

    def given(user: str, *routes: str) -> IPCP:
        profile = Profile(user, routes=tuple(map(IPv4Network, routes)), pool="big")
        protocol: IPCP = makeProtocol(network, profile)
        return protocol

    everything = given("m", "0.0.0.0/0", "10.77.0.0/24", "10.78.0.2/32", "10.0.0.0/8")
    assert everything.settings.addresses == ()
    one = given("alice", "192.168.7.0/24")
    two = given("alice", "192.168.7.0/24")
    assert one.settings.addresses == two.settings.addresses == (IPv4Network("192.168.7.0/24"),)
    network.release(one)
    assert given("bob", "192.168.7.0/24").settings.addresses == ()
    network.release(two)
    assert given("bob", "192.168.7.0/24").settings.addresses == (IPv4Network("192.168.7.0/24"),)


def test_whatASessionHasLeadsToNobodyElse() -> None:
    """
    A user's address can't be in a network behind another user, nor the other way round.
    """
    network = made("")
    assert isinstance(network.pool, AddressPool)
    route = (IPv4Network("192.0.2.6"),)
    router, owner = Profile("bob", routes=route), Profile("alice", route)
    one = makeProtocol(network, owner)
    two = makeProtocol(network, router)
    assert two.settings.addresses == ()
    network.release(one)
    network.release(two)
    two = makeProtocol(network, router)
    assert two.settings.addresses == route
    assert "192.0.2.6/32 leads to bob" in refused(network.makeProtocol(owner, CALLER))
    assert network.pool.used == 1
    network.release(two)
    assert makeProtocol(network, owner).settings.peerAddress == "192.0.2.6"


def reloaded(text: str) -> plugin.IPv4Section:
    """
    The section that C{text} makes.
    """
    section = parse(f"[ipv4]\n{text}", "x.toml").section(plugin.IPv4Factory())
    assert isinstance(section, plugin.IPv4Section)
    return section


def test_reload() -> None:
    """
    A reload changes what new sessions get, and sessions that exist keep what they have.
    """
    interface = MemoryInterface()
    network = made('pool = ["10.77.0.10"]', interface)
    verifyObject(IReloadable, network)
    network.start()
    interface.told.clear()
    old = makeProtocol(network)
    text = 'pool = ["10.79.0.1"]\ndns = ["192.0.2.9"]'
    assert not network.judge(reloaded(text))
    network.reload(reloaded(text))
    assert interface.told == ["route 10.79.0.1/32", "no route 10.77.0.10/32"]
    new = makeProtocol(network, Profile("bob")).settings
    assert (new.peerAddress, new.dns) == ("10.79.0.1", ("192.0.2.9",))
    assert old.settings.peerAddress == "10.77.0.10"
    network.release(old)
    assert "used up" in refused(network.makeProtocol(Profile("carol"), CALLER))


def test_reloadIsJudgedBefore() -> None:
    network = made("")
    with pytest.raises(ConfigurationError, match="no such pool"):
        network.judge(reloaded('[[ipv4.pools]]\nname = "a"\nranges = []\nnext = "b"'))


def test_anotherAllocatorHasNoNamedPools() -> None:
    """
    Named pools are an error with another allocator than ours, whose pool only a restart changes.
    """

    @implementer(IAddressPool)
    class Fixed:
        networks = ()

        def allocate(self, subscriber: ISubscriber, caller: Caller) -> Deferred[str]:
            raise AssertionError("nobody calls")

        def release(self, address: str) -> None:
            raise AssertionError("nobody called")

    environment = makeEnvironment("[link]\nmru = 1300")
    network = plugin.IPv4Sessions(reloaded(""), environment, Fixed())
    with pytest.raises(ConfigurationError, match="knows no other pool"):
        network.judge(reloaded(POOLS))
    assert list(network.judge(reloaded('pool = ["10.79.0.1"]'))) == ["pool"]


@pytest.mark.parametrize("value", ["no", "vj"])
def test_headersAreCompressedOnLines(value: str) -> None:
    """
    Only callers by lines may have the headers of TCP compressed.
    """
    network = made(f'header-compression = "{value}"')
    line = replace(CALLER, tunnel=HDLC)
    for caller, compresses in ((CALLER, False), (line, value == "vj")):
        protocol: IPCP = makeProtocol(network, Profile("alice"), caller)
        assert protocol.settings.compressHeaders is compresses
