"""
Tests for L{pptpgw.networks.ipv6.host}: with our router, and with advertisements that scapy encodes.
"""

from __future__ import annotations

from functools import partial
from ipaddress import IPv6Address, IPv6Network
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDNSSL,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    IPv6,
)
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.networks.ipv6.dhcpv6 import DHCPv6Server, DHCPv6Settings
from pptpgw.networks.ipv6.dhcpv6client import DHCPv6Client, Wishes
from pptpgw.networks.ipv6.host import MAX_ADDRESSES, IPv6Host
from pptpgw.networks.ipv6.prefix import PrefixPool
from pptpgw.networks.ipv6.router import LIMIT, IPv6Router
from pptpgw.networks.ipv6.wire.neighbor import PrefixInformation, RouterAdvertisement

HERE, THERE = IPv6Address("fe80::aa:bb"), IPv6Address("fe80::1")
PREFIX = IPv6Network("2001:db8:5::/64")
MADE = IPv6Address("2001:db8:5::aa:bb")
INFINITY = 0xFFFFFFFF


class Scene:
    """
    A host, and a router that the test plays by hand.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.sent: list[Any] = []
        self.changes = 0
        self.host = IPv6Host(self.clock, HERE, self._sent, self._changed, self.counters, Random(0))

    def _sent(self, packet: bytes) -> None:
        self.sent.append(IPv6(packet))

    def _changed(self) -> None:
        self.changes += 1

    def advertise(self, *options: Any, lifetime: int = 1800, **fields: Any) -> None:
        words: dict[str, Any] = {"src": str(THERE), "dst": "ff02::1", "hlim": 255, **fields}
        packet = IPv6(**words) / ICMPv6ND_RA(routerlifetime=lifetime)
        for option in options:
            packet /= option
        self.host.received(bytes(packet))

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1)


def prefix(
    network: IPv6Network = PREFIX, valid: int = 10_000, preferred: int = 5_000, **fields: Any
) -> Any:
    return ICMPv6NDOptPrefixInfo(
        prefix=str(network.network_address),
        prefixlen=network.prefixlen,
        validlifetime=valid,
        preferredlifetime=preferred,
        **fields,
    )


def test_solicitations() -> None:
    """
    Router Solicitations are sent at intervals that double, up to an hour, until a router answers,
    and again once it has gone.
    """
    scene = Scene()
    scene.host.start()
    scene.wait(20_000)
    assert 12 <= len(scene.sent) <= 16
    first = scene.sent[0]
    assert first.haslayer(ICMPv6ND_RS)
    assert (first.src, first.dst, first.hlim) == (str(HERE), "ff02::2", 255)
    scene.advertise(lifetime=0)
    scene.wait(4000)
    count = len(scene.sent)
    assert count > 14
    scene.advertise()
    told = [(scene.host.hasRouter, scene.changes)]
    scene.wait(1799)
    assert len(scene.sent) == count
    told.append((scene.host.hasRouter, scene.changes))
    scene.wait(1)
    assert len(scene.sent) == count + 1
    told.append((scene.host.hasRouter, scene.changes))
    assert told == [(True, 1), (True, 1), (False, 2)]
    scene.host.stop()
    scene.host.stop()
    assert not scene.clock.getDelayedCalls()


def test_whatIsAdvertised() -> None:
    scene = Scene()
    scene.advertise(
        ICMPv6NDOptMTU(mtu=1300),
        prefix(),
        ICMPv6NDOptRDNSS(dns=["2001:db8::53", "2001:db8::54"], lifetime=1000),
        ICMPv6NDOptDNSSL(searchlist=["example.net", "example.org"], lifetime=900),
    )
    host = scene.host
    assert host.addresses == {MADE: (5_000, 10_000)}
    told = [host.dns]
    assert host.search == ("example.net", "example.org")
    assert (host.hasRouter, scene.changes) == (True, 1)
    scene.clock.advance(500)
    scene.advertise(prefix(), lifetime=0xFFFF)
    assert host.addresses == {MADE: (5_500, 10_500)}
    told.append(host.dns)
    assert told == [(IPv6Address("2001:db8::53"), IPv6Address("2001:db8::54")), ()]
    assert scene.changes == 2
    scene.wait(10_001)
    assert not host.addresses and scene.changes == 3


def test_namesEnd() -> None:
    scene = Scene()
    scene.advertise(
        ICMPv6NDOptRDNSS(dns=["2001:db8::53"], lifetime=1000),
        ICMPv6NDOptRDNSS(dns=["2001:db8::54"], lifetime=0),
        lifetime=9000,
    )
    told = [scene.host.dns]
    scene.wait(1000)
    told.append(scene.host.dns)
    assert told == [(IPv6Address("2001:db8::53"),), ()] and scene.host.hasRouter


@pytest.mark.parametrize(
    ("valid", "left"), [(20_000, 20_000), (8_000, 8_000), (7_000, 7_200), (0, 7_200), (60, 7_200)]
)
def test_anAddressIsNotTakenAwayAtOnce(valid: int, left: int) -> None:
    """
    An advertisement shortens the life of an address to two hours at least, so that a forged one
    doesn't take it away.
    """
    scene = Scene()
    scene.advertise(prefix())
    scene.advertise(prefix(valid=valid, preferred=0))
    assert scene.host.addresses == {MADE: (0, left)}
    scene.wait(9_000)
    if left == 7_200:
        assert not scene.host.addresses
    short = Scene()
    short.advertise(prefix(valid=100, preferred=50))
    short.advertise(prefix(valid=10, preferred=5))
    assert short.host.addresses == {MADE: (5, 100)}


@pytest.mark.parametrize(
    "option",
    [
        prefix(A=0),
        prefix(IPv6Network("2001:db8::/56")),
        prefix(IPv6Network("fe80::/64")),
        prefix(IPv6Network("ff02::/64")),
        prefix(IPv6Network("::/64")),
        prefix(valid=10, preferred=11),
        prefix(valid=0, preferred=0),
    ],
)
def test_prefixesOfNoUse(option: Any) -> None:
    scene = Scene()
    scene.advertise(option)
    assert not scene.host.addresses and scene.host.hasRouter


@pytest.mark.parametrize(
    "fields", [{"src": "2001:db8::1"}, {"hlim": 254}, {"src": "ff02::1"}, {"dst": "2001:db8::9"}]
)
def test_advertisementsFromElsewhere(fields: dict[str, Any]) -> None:
    scene = Scene()
    scene.advertise(prefix(), **fields)
    assert not scene.host.addresses and not scene.host.hasRouter
    assert sum(scene.counters.discards.values()) == 1


def test_limits() -> None:
    """
    A router can't have us make many addresses, and not look at many packets.
    """
    scene = Scene()
    networks = [IPv6Network((f"2001:db8:{number:x}::", 64)) for number in range(1, 30)]
    scene.advertise(*map(prefix, networks[:20]))
    scene.advertise(*map(prefix, networks[20:]))
    assert len(scene.host.addresses) == MAX_ADDRESSES
    for _ in range(2 * LIMIT):
        scene.advertise()
    assert scene.counters.discards["too many packets to the link itself"] == LIMIT + 2


def test_whatIsAsked() -> None:
    """
    Neighbor Solicitations for our addresses are answered, and echo requests on the link.
    """
    scene = Scene()
    scene.advertise(prefix())
    head = IPv6(src=str(THERE), hlim=255)
    for target, node in ((HERE, "ff02::1:ffaa:bb"), (MADE, str(HERE)), (THERE, str(HERE))):
        asked = IPv6(src=str(THERE), dst=node, hlim=255) / ICMPv6ND_NS(tgt=str(target))
        scene.host.received(bytes(asked))
    assert [one[ICMPv6ND_NA].tgt for one in scene.sent] == [str(HERE), str(MADE)]
    head.dst = str(HERE)
    scene.host.received(bytes(head / ICMPv6EchoRequest(id=7, seq=9, data=b"hello")))
    assert (scene.sent[-1].dst, scene.sent[-1].type, scene.sent[-1].data) == (
        str(THERE),
        129,
        b"hello",
    )


@settings(deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=5))
def test_hostileOctets(packets: list[bytes]) -> None:
    """
    Octets of a stranger never raise.
    """
    scene = Scene()
    for octets in packets:
        scene.host.received(octets)
        packet = IPv6(src=str(THERE), dst="ff02::1", hlim=255) / ICMPv6ND_RA()
        scene.host.received(bytes(packet / octets))
    scene.host.stop()
    assert not scene.clock.getDelayedCalls()


def test_withOurRouter() -> None:
    """
    Our router and DHCPv6 server give our host a router, an address, a prefix and names, and take
    the prefix back.
    """
    clock, counters = Clock(), Counters()
    ends: dict[str, Any] = {}
    server = DHCPv6Server(
        clock,
        bytes(10),
        DHCPv6Settings((IPv6Address("fc00::53"),)),
        PREFIX,
        PrefixPool((IPv6Network("fc00:1::/48"),), 56),
        lambda: None,
        counters,
    )

    def send(to: str, packet: bytes) -> None:
        clock.callLater(0.01, lambda: ends[to].received(packet))

    advertisement = RouterAdvertisement(1800, (PrefixInformation(PREFIX, 3600, 7200),), other=True)
    router = IPv6Router(clock, THERE, advertisement, partial(send, "host"), counters, server)
    host = IPv6Host(clock, HERE, partial(send, "router"), lambda: None, counters)
    host.dhcp = DHCPv6Client(clock, bytes(12), Wishes(), host.sendToServers, lambda: None, counters)
    ends.update(host=host, router=router)
    host.start()
    host.dhcp.start()
    clock.pump([0.01] * 10)
    told = [(list(host.addresses), host.hasRouter, host.dhcp.prefixes, server.prefixes)]
    given = (IPv6Network("fc00:1::/56"),)
    assert host.dhcp.dns == (IPv6Address("fc00::53"),)
    host.dhcp.stop()
    router.cease()
    clock.pump([0.01] * 10)
    told.append((list(host.addresses), host.hasRouter, host.dhcp.prefixes, server.prefixes))
    assert told == [([MADE], True, given, given), ([MADE], False, (), ())]
    host.stop()
    server.close()
    assert counters.discards == {"DHCPv6 message that nobody asked for": 1}
    assert not clock.getDelayedCalls()
