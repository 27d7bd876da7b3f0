"""
Tests for what one packet may multiply, and how much: the limits that the networks document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from pptpgw.networks.ethernet import switch, wire
from pptpgw.networks.generic import hub
from pptpgw.networks.ipv6 import dhcpv6
from pptpgw.networks.ipv6 import router as ipv6router
from pptpgw.networks.ipv6.prefix import RESTING
from pptpgw.networks.ipv6.wire import ipv6
from pptpgw.networks.ipv6.wire.dhcpv6 import DHCPv6MessageType
from pptpgw.networks.ipx import router, routing, table
from pptpgw.networks.ipx import wire as ipx
from pptpgw.networks.wire.ip import ROUTER_SOLICITATION
from pptpgw.ppp.link import OPENINGS
from pptpgw.ppp.wire import ppp
from tests.hostile import packets
from tests.hostile.callers import CONTROLLER, KINDS, Caller, Honest, Sending
from tests.hostile.limits import containers
from tests.hostile.world import World

LISTENERS = 8
COUNT = 2000
"""
Packets of the flood, within a second.
"""


@pytest.fixture
def world() -> Iterator[World]:
    """
    A world without encryption, in which frames can be read.
    """
    world = World("off")
    yield world
    world.stop()


class Flood:
    """
    A caller that sends as much as it can, and others that listen.

    @ivar got: packets of the tested protocol that each listener received.
    """

    def __init__(self, world: World, listeners: int = LISTENERS) -> None:
        self.world = world
        self.listeners = [Sending(world, b"eve") for _ in range(listeners)]
        self.sender = Sending(world)
        world.rest(1)

    def send(
        self, number: int, make: Callable[[int], bytes], count: int = COUNT, seconds: float = 1.0
    ) -> tuple[int, int]:
        """
        Send packets, evenly within a time.

        @return: how many packets the sender and all listeners together received.
        """
        world = self.world
        world.wire.carried.clear()
        for one in range(count):
            self.sender.caller.send(number, make(one))
            if one % 20 == 19:
                world.run(20 * seconds / count)
        world.run(0.05)
        carried = world.wire.carried
        others = sum(carried[one.caller.address] for one in self.listeners)
        return carried[self.sender.caller.address], others


def test_ethernetForEverybody(world: World) -> None:
    """
    A caller's Ethernet broadcasts are limited in a second and in a burst.
    """
    flood = Flood(world)
    back, others = flood.send(ppp.BRIDGE, lambda one: wire.encode(packets.frame()))
    assert back == 0
    assert 100 * LISTENERS <= others <= 2 * 100 * LISTENERS + LISTENERS


def test_ethernetToNobodyKnown(world: World) -> None:
    """
    A caller's frames to unknown Ethernet addresses are limited like its broadcasts.
    """
    flood = Flood(world)
    back, others = flood.send(
        ppp.BRIDGE, lambda one: wire.encode(packets.frame(b"\x02" + one.to_bytes(5, "big")))
    )
    assert back == 0
    assert others <= 2 * 100 * LISTENERS + LISTENERS


def test_ethernetAddresses(world: World) -> None:
    """
    The number of Ethernet addresses of a caller is limited, and no others are forgotten for them.
    """
    honest = Honest(world)
    honest.assertServed()
    flood = Flood(world, 1)
    _, others = flood.send(
        ppp.BRIDGE,
        lambda one: wire.encode(packets.frame(source=b"\x02\x99" + one.to_bytes(4, "big"))),
    )
    # The honest callers get their copies too.
    assert others <= 2 * 100 + 1
    assert containers(world.gateway)["Switch._where"] == 16 + 2
    honest.assertServed()


@pytest.mark.parametrize(
    ("number", "packet"),
    ((ppp.SPANNING_TREE_8021D, bytes(35)), (ppp.BRIDGE, wire.encode(packets.bpdu()))),
)
def test_spanningTree(world: World, number: int, packet: bytes) -> None:
    """
    BPDUs have a limit of their own.
    """
    flood = Flood(world)
    back, others = flood.send(number, lambda one: packet)
    assert back == 0
    assert others <= (2 * switch.BPDUS + 1) * LISTENERS


def test_ipxForEverybody(world: World) -> None:
    """
    A station's IPX broadcasts are limited, NetBIOS's included.
    """
    flood = Flood(world)
    rate, burst = routing.BROADCASTS
    for kind in (ipx.UNKNOWN, ipx.NETBIOS):
        packet = packets.ipxPacket(kind, source=flood.sender.caller.protocol("ipx").peerNode)
        back, others = flood.send(ppp.IPX, partial(_same, packet))
        assert back == 0
        assert 0 < others <= (rate + burst + 1) * LISTENERS
        world.rest(5)
    assert router.COPIES[0] >= (rate + burst) * LISTENERS


def test_routesOfIPX(world: World) -> None:
    """
    A station's routes and servers fill no more than its share. Its requests are answered at a
    limited rate, and only to the station.
    """
    flood = Flood(world, 2)
    source = flood.sender.caller.protocol("ipx").peerNode

    def told(one: int) -> bytes:
        return _from(source, packets.rip(ipx.RESPONSE, *range(100 * one + 1, 100 * one + 50)))

    flood.send(ppp.IPX, told)
    flood.send(ppp.IPX, lambda one: _from(source, packets.sap(one * 7)))
    sizes = containers(world.gateway)
    assert sizes["RoutingTable._entries"] == 2 * table.LIMIT
    world.rest(20)
    asker, flood.sender = flood.sender, flood.listeners.pop()
    flood.listeners.append(asker)
    source = flood.sender.caller.protocol("ipx").peerNode
    rate, burst = routing.ROUTING
    for packet in (packets.rip(ipx.REQUEST, ipx.ALL_NETWORKS), packets.query()):
        back, others = flood.send(ppp.IPX, partial(_same, _from(source, packet)))
        assert others == 0
        assert 0 < back <= rate + burst
        world.rest(20)


def _same(packet: bytes, one: int) -> bytes:
    return packet


def _from(source: bytes, packet: bytes) -> bytes:
    return packet[:22] + source + packet[28:]


def test_aHub(world: World) -> None:
    """
    The copies that a hub makes are shared among its senders.
    """
    flood = Flood(world)
    members = LISTENERS + 1
    back, others = flood.send(CONTROLLER.data[0], lambda one: b"hostile", count=10000)
    assert back == 0
    share = hub.COPIES / members
    # The first copy is free, and the share at the beginning counts once.
    assert others <= 2 * (share + LISTENERS) * LISTENERS / (LISTENERS - 1) + LISTENERS


@pytest.mark.parametrize(
    ("packet", "limit"),
    (
        (packets.icmp(ROUTER_SOLICITATION, bytes(4)), ipv6router.SOLICITED_LIMIT),
        (packets.icmp(ipv6.ECHO_REQUEST, bytes(1000)), ipv6router.LIMIT),
        (packets.solicit(rapid=True), dhcpv6.MAX_MESSAGES),
        (packets.dhcp(DHCPv6MessageType.INFORMATION_REQUEST), dhcpv6.MAX_MESSAGES),
    ),
)
def test_theRouterOfALink(world: World, packet: bytes, limit: int) -> None:
    """
    The router of an IPv6 link answers a limited number of packets a second, to their sender alone.
    """
    flood = Flood(world, 2)
    back, others = flood.send(ppp.IPV6, lambda one: packet)
    assert 0 < back <= 2 * limit
    assert others == 0


def test_prefixes(world: World) -> None:
    """
    A client that asks for prefixes under ever new names holds a limited number of them. Offers to
    it are remembered up to a limit, and other clients still get prefixes.
    """
    flood = Flood(world, 1)
    for _ in range(60):
        flood.send(ppp.IPV6, packets.solicit, count=20, seconds=0.1)
        world.rest(1)
    sizes = containers(world.gateway)
    assert sizes["Bindings._bindings"] <= 8 + 4
    assert sizes["PrefixPool._freed"] <= 2 * RESTING
    assert flood.send(ppp.IPV6, lambda one: packets.solicit(99, rapid=True), 1)[0] == 1
    assert sizes["PrefixPool._used"] <= 1 + 2 + 2 * 4


def test_numbersThatNobodyKnows(world: World) -> None:
    """
    A limited number of packets a second with unknown protocol numbers is answered with a
    Protocol-Reject.
    """
    flood = Flood(world, 1)
    back, others = flood.send(0x00F7, lambda one: bytes(1000))
    assert 0 < back <= 2 * 10
    assert others == 0


def test_openings(world: World) -> None:
    """
    A caller that opens a protocol again and again is ended, as each opening is logged and reported
    to all observers. A caller that does so now and then isn't.
    """
    restless, calm = Sending(world), Sending(world, b"eve")
    for number in range(OPENINGS):
        restless.do_follow(ppp.IPXCP)
        if number % 10 == 0:
            calm.do_follow(ppp.IPXCP)
    world.rest(8)
    assert not restless.caller.isThere()
    assert "ipx" in calm.caller.session.networks


def test_openingsByLCP(world: World) -> None:
    """
    A caller that negotiates LCP anew again and again, which opens every protocol anew, is ended
    too.
    """
    caller = Caller(world, b"mallory", [kind(world.clock).ends[0] for kind in KINDS])
    world.run(0.1)
    anew = 0
    while caller.isThere() and anew < OPENINGS:
        caller.call.link.lcp.lowerDown()
        caller.call.link.lcp.lowerUp()
        world.run(0.1)
        anew += 1
    assert OPENINGS // len(KINDS) <= anew + 1 < OPENINGS
