"""
Tests that a session neither gets packets of another nor acts in its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from pptpgw.datapath.channel import IN_CLEAR
from pptpgw.networks.ethernet import switch, wire
from pptpgw.networks.ipv6.dhcpv6 import DHCPv6Server
from pptpgw.networks.ipv6.wire import dhcpv6, dhcpv6option, ipv6
from pptpgw.networks.ipx import router
from pptpgw.networks.ipx import wire as ipx
from pptpgw.networks.mpls.wire import mpls
from pptpgw.ppp.wire import ppp
from tests.hostile import packets
from tests.hostile.callers import CONTROLS, Caller, Honest, Hostile, Sending
from tests.hostile.limits import containers
from tests.hostile.world import SERVER, World

ETHERNET, IPX = 2, 4
"""
Places of these probes among those of L{Honest}.
"""


@pytest.fixture
def world() -> Iterator[World]:
    """
    A world with encryption.
    """
    world = World()
    yield world
    world.assertNoFailure()
    world.stop()


@pytest.fixture
def plain() -> Iterator[World]:
    """
    A world without encryption, in which frames can be read.
    """
    world = World("off")
    yield world
    world.assertNoFailure()
    world.stop()


class Tap:
    """
    Records the frames that are sent to an address.
    """

    def __init__(self, world: World, address: str) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self._address = address
        world.wire.tap = self._seen

    def _seen(self, source: str, destination: str, protocol: int, information: bytes) -> None:
        if destination == self._address:
            self.frames.append((protocol, information))


def test_nobodySeesWhatOthersSayToEachOther(plain: World) -> None:
    """
    A third caller gets none of the packets that two callers exchange, by every protocol. A hub is
    an exception: it has no addresses, so every caller gets everything.
    """
    honest = Honest(plain)
    honest.assertServed()
    eve = Sending(plain, b"eve")
    tap = Tap(plain, eve.caller.address)
    honest.assertServed()
    seen = {protocol for protocol, _ in tap.frames}
    hubs = {0x0029, 0x003F, 0x0023, 0x0027, 0x0035, 0x0025, 0x00C3}
    assert seen == hubs


def test_whoHasNotOpenedAProtocolGetsNoneOfIt(plain: World) -> None:
    """
    A caller that hasn't opened a protocol gets none of its packets, broadcasts included, and
    packets that it sends by that protocol are discarded.
    """
    honest = Honest(plain)
    honest.assertServed()
    eve = Hostile(plain, b"eve")
    eve.do_follow(ppp.IPCP)
    session = eve.caller.session
    assert set(session.networks) == {"ipv4"}
    tap = Tap(plain, eve.caller.address)
    other = Sending(plain)
    for number, packet in packets.VALID:
        other.do_send((number, packet), 3)
    honest.assertServed()
    asked = {protocol for protocol, _ in tap.frames}
    assert asked <= {ppp.LCP, *CONTROLS}

    quiet = Tap(plain, honest.callers[0].address)
    written = len(plain.kernel.written), len(plain.device.written)
    for number, packet in packets.VALID:
        if number != ppp.IPV4:
            eve.do_send((number, packet), 1)
    plain.run(0.01)
    assert quiet.frames == []
    assert (len(plain.kernel.written), len(plain.device.written)) == written


def test_addressesOfIPv4(plain: World) -> None:
    """
    A caller's IPv4 packets with another caller's address or the gateway's as their source are
    discarded.
    """
    Honest(plain)
    eve = Sending(plain)
    plain.kernel.written.clear()
    for source in ((10, 77, 1, 1), (10, 77, 1, 2), (10, 77, 0, 1), (0, 0, 0, 0), (127, 0, 0, 1)):
        eve.do_send((ppp.IPV4, packets.ipv4(bytes(source))), 1)
    assert not plain.kernel.written
    (own,) = eve.caller.session.networks["ipv4"]
    eve.do_send((ppp.IPV4, packets.ipv4(own.network_address.packed)), 1)
    assert len(plain.kernel.written) == 1


def test_addressesOfIPv6(plain: World) -> None:
    """
    A caller's IPv6 packets with another source are discarded, and link-local packets stay on their
    link, whatever their destination is.
    """
    honest = Honest(plain)
    honest.assertServed()
    eve = Sending(plain)
    plain.kernel.written.clear()
    victim = Tap(plain, honest.callers[0].address)
    prefix, bobs, own = map(_prefix, (*honest.callers, eve.caller))
    theirs = honest.callers[0].protocol("ipv6").peerAddress
    for source, destination in (
        (prefix[2], bobs[2]),
        (IPv6Address("fe80::bad"), theirs),
        (IPv6Address("fe80::bad"), prefix[2]),
        (theirs, IPv6Address("ff02::1")),
        (own[2], theirs),
        (IPv6Address("::"), prefix[2]),
        (IPv6Address("fc00:0:1::1"), prefix[2]),
        (IPv6Address("::1"), prefix[2]),
        (IPv6Address("::ffff:10.77.1.1"), prefix[2]),
    ):
        datagram = ipv6.Datagram(7, 7, b"hostile")
        eve.do_send((ppp.IPV6, ipv6.encodeDatagram(source, destination, datagram)), 1)
    assert not plain.kernel.written
    assert victim.frames == []


def _prefix(caller: Caller) -> IPv6Network:
    (prefix,) = caller.session.networks["ipv6"]
    assert isinstance(prefix, IPv6Network)
    return prefix


def test_leases(plain: World) -> None:
    """
    A session can't extend, release or decline another session's DHCPv6 leases, even if it names the
    same client.
    """
    alice, eve = Sending(plain, b"mallory"), Sending(plain, b"eve")
    alice.do_send((ppp.IPV6, packets.solicit(rapid=True)), 1)
    server = alice.caller.protocol("ipv6").dhcp
    assert isinstance(server, DHCPv6Server)
    lent = server.prefixes
    assert len(lent) == 4
    duid = dhcpv6option.ServerID(server._duid)
    named = tuple(
        dhcpv6.PrefixAssociation(number, (dhcpv6.Prefix(prefix),))
        for number, prefix in enumerate(lent)
    )
    tap = Tap(plain, eve.caller.address)
    kinds = dhcpv6.DHCPv6MessageType
    for kind in (kinds.RENEW, kinds.RELEASE, kinds.DECLINE, kinds.REBIND, kinds.REQUEST):
        more = () if kind is kinds.REBIND else (duid,)
        eve.do_send((ppp.IPV6, packets.dhcp(kind, *more, *named)), 1)
    assert len(tap.frames) == 5
    assert server.prefixes == lent
    assert not set(eve.caller.session.networks["ipv6"]) & set(lent)
    # The leases still lead to the session that has them.
    for prefix in lent:
        assert plain.gateway.sessions.sessionFor(str(prefix[1])) is alice.caller.session
    plain.kernel.written.clear()
    datagram = ipv6.Datagram(7, 7, b"hostile")
    source, destination = lent[0][1], IPv6Address("2001:db8::1")
    eve.do_send((ppp.IPV6, ipv6.encodeDatagram(source, destination, datagram)), 1)
    assert not plain.kernel.written
    alice.do_send((ppp.IPV6, ipv6.encodeDatagram(source, destination, datagram)), 1)
    assert len(plain.kernel.written) == 1


def test_stationsOfEthernet(plain: World) -> None:
    """
    Frames with another caller's Ethernet address are discarded, and that caller gets its frames as
    before. The address is free when the caller has gone or was silent for long.
    """
    honest = Honest(plain)
    honest.assertServed()
    probe: Any = honest.probes[ETHERNET]
    eve = Sending(plain)
    tap = Tap(plain, eve.caller.address)
    for victim in probe.stations:
        eve.do_send((ppp.BRIDGE, wire.encode(packets.frame(source=victim))), 5)
    assert plain.counters.discards[switch.ELSEWHERE] == 10
    honest.assertServed()
    assert not [one for one in tap.frames if one[0] == ppp.BRIDGE]
    for caller in honest.callers:
        caller.hangUp()
    plain.rest(8)
    eve.do_send((ppp.BRIDGE, wire.encode(packets.frame(source=probe.stations[0]))), 1)
    assert plain.counters.discards[switch.ELSEWHERE] == 10


def test_nodesOfIPX(plain: World) -> None:
    """
    A caller can't send from another caller's IPX node or get it.
    """
    honest = Honest(plain)
    honest.assertServed()
    probe: Any = honest.probes[IPX]
    node = probe.ends[0].node
    eve = Hostile(plain)
    for _ in range(8):
        option = ppp.encodeOptions([(1, bytes(4)), (2, node)])
        eve.caller.say(ppp.IPXCP, ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, option))
        plain.run(0.004)
        eve.do_agree(ppp.IPXCP)
    session = eve.caller.session
    assert "ipx" not in session.networks
    mallory = Sending(plain)
    before = plain.counters.discards.get(router.SPOOFED, 0)
    victim = Tap(plain, honest.callers[1].address)
    for network in (0, packets.IPX_NETWORK, 5):
        packet = packets.ipxPacket(
            node=probe.ends[1].node, source=node, sourceNetwork=network, data=b"forged"
        )
        mallory.do_send((ppp.IPX, packet), 1)
    assert plain.counters.discards[router.SPOOFED] == before + 3
    assert victim.frames == []
    honest.assertServed()


def test_routesOfIPX(plain: World) -> None:
    """
    A caller can't take over an IPX network by announcing it too.
    """
    router_, eve, host = (Sending(plain, name) for name in (b"mallory", b"eve", b"eve"))
    nodes = [one.caller.protocol("ipx").peerNode for one in (router_, eve, host)]

    def told(place: int, hops: int) -> tuple[int, bytes]:
        packet = packets.rip(ipx.RESPONSE, 0x99, hops=hops)
        return ppp.IPX, packet[:22] + nodes[place] + packet[28:]

    router_.do_send(told(0, 5), 1)
    eve.do_send(told(1, 1), 1)
    tap = Tap(plain, router_.caller.address)
    host.do_send(
        (ppp.IPX, packets.ipxPacket(network=0x99, node=bytes(5) + b"\x07", source=nodes[2])), 1
    )
    assert [protocol for protocol, _ in tap.frames] == [ppp.IPX]


def test_oneOfEach(plain: World) -> None:
    """
    A caller has one port, one station and one place at the hub, however often it opens a protocol.
    """
    eve = Sending(plain)
    once = containers(plain.gateway)
    for _ in range(5):
        for control in CONTROLS:
            eve.do_follow(control)
    session = eve.caller.session
    assert len(session.networks) == len(CONTROLS)
    again = containers(plain.gateway)
    for name in ("Switch._ports", "IPXRouter._stations", "Hub.members", "GREChannel._opened"):
        assert again[name] == once[name] > 0
    assert again["RouteTable.exact"] == once["RouteTable.exact"]


def test_nothingPassesInClear(world: World) -> None:
    """
    No packet of any protocol passes in clear, in either direction, where encryption is required:
    before MPPE is open, while it is, and after the caller has ended it.
    """
    honest = Honest(world)
    honest.assertServed()
    eve = Sending(world, b"eve")
    clear: list[int] = []

    def seen(source: str, destination: str, protocol: int, information: bytes) -> None:
        if source == SERVER and protocol < 0x8000 and protocol != ppp.MPPE:
            clear.append(protocol)

    world.wire.tap = seen
    written = len(world.kernel.written), len(world.device.written)
    carried = world.wire.carried[honest.callers[0].address]
    (own,) = eve.caller.session.networks["ipv4"]
    bodies = (
        packets.ipv4(own.network_address.packed),
        wire.encode(packets.frame()),
        mpls.encode([mpls.LabelStackEntry(100)], b"hostile"),
        packets.ipxPacket(source=eve.caller.protocol("ipx").peerNode),
        packets.icmp(133, bytes(4)),
    )
    for number in range(1, 0x8000, 2):
        if number & 0x100 == 0 and number != ppp.MPPE:
            for body in bodies if number < 0x300 else bodies[:1]:
                eve.caller.say(number, body)
        if number % 0x100 == 1:
            world.run(0.002)
    world.run(0.01)
    assert eve.caller.line.channel.counters.discards[IN_CLEAR] > 5000
    assert (len(world.kernel.written), len(world.device.written)) == written
    assert world.wire.carried[honest.callers[0].address] == carried
    honest.assertServed()
    eve.caller.say(ppp.CCP, ppp.encodePacket(ppp.TERMINATE_REQUEST, 9))
    honest.assertServed()
    world.rest(10)
    assert clear == []
    assert not eve.caller.isThere()
    early = Hostile(world, b"mallory")
    for number, packet in packets.VALID:
        early.caller.say(number, packet)
    honest.assertServed()
    assert clear == []


def test_prefixesAreApart(plain: World) -> None:
    """
    No two sessions have a prefix, an address or a node in common.
    """
    callers = [Sending(plain, b"eve") for _ in range(12)]
    for number, one in enumerate(callers[:3]):
        one.do_send((ppp.IPV6, packets.solicit(number, rapid=True)), 1)
    networks = [
        network
        for one in plain.gateway.sessions
        for name in ("ipv4", "ipv6")
        for network in one.networks[name]
    ]
    assert len(networks) == 2 * 12 + 3 * 4
    ipv6s = [one for one in networks if isinstance(one, IPv6Network)]
    assert not any(a.overlaps(b) for a in ipv6s for b in ipv6s if a is not b)
    assert len(set(networks)) == len(networks)
    nodes = {one.caller.protocol("ipx").peerNode for one in callers}
    assert len(nodes) == 12
