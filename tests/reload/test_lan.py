"""
Tests that Ethernet, IPX and MPLS among callers follow a reload.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from pptpgw.config.configuration import parse
from pptpgw.interfaces import Effect
from pptpgw.networks.ethernet.wire import SPANNING_TREE
from pptpgw.networks.ipx import wire as ipx
from pptpgw.networks.ipx.wire import IPXAddress, Route
from pptpgw.networks.mpls.plugin import FORBIDDEN, UNPLACED, linkAddress
from pptpgw.networks.mpls.wire.mpls import LabelStackEntry, encode
from pptpgw.sessions.profile import Profile
from pptpgw.testing import CALLER, makeProtocol
from tests.reload.world import World, shows

BRIDGE = '[network]\nprotocols = ["bridge"]\n[link]\nmru = 1528\n[bridge]\n'
IPX = '[network]\nprotocols = ["ipx"]\n[ipx]\n'
MPLS = '[network]\nprotocols = ["ipv4", "mpls"]\n[mpls]\n'
EVERYBODY = b"\xff" * 6


def network(world: World, name: str) -> Any:
    return world.service.networks[name]


def frame(source: int, destination: bytes = EVERYBODY) -> bytes:
    """
    A frame of the station with this number.
    """
    return destination + station(source) + b"\x08\x00" + bytes(46)


def station(number: int) -> bytes:
    return b"\x02\x00\x00\x00\x00%c" % number


class LAN:
    """
    A switch with two callers, and what the second one gets.
    """

    def __init__(self) -> None:
        self.world = World(BRIDGE)
        self.switch = network(self.world, "bridge").switch
        self.got: list[bytes] = []
        self.alice = self.switch.join(lambda sent: None, "alice")
        self.bob = self.switch.join(self.got.append, "bob")

    def send(self, *frames: bytes) -> int:
        """
        Send frames from alice, and return how many bob gets.
        """
        self.got.clear()
        for one in frames:
            self.switch.forward(self.alice, one)
        return len(self.got)


@shows("[bridge] addresses", "[bridge] addresses-per-session")
def test_addressesOnTheLAN() -> None:
    """
    Current callers may have no more than the new limits allow.
    """
    for key in ("addresses", "addresses-per-session"):
        lan = LAN()
        assert lan.send(frame(1), frame(2)) == 2
        lan.world.reload(f"{BRIDGE}{key} = 2\n")
        assert lan.send(frame(2), frame(3)) == 1
        lan.world.reload(f"{BRIDGE}{key} = 3\n")
        lan.world.run(1)
        assert lan.send(frame(3), frame(4)) == 1


@shows("[bridge] floods")
def test_floods() -> None:
    lan = LAN()
    assert lan.send(*[frame(1)] * 5) == 5
    lan.world.reload(f"{BRIDGE}floods = 2\n")
    assert lan.send(*[frame(1)] * 5) == 2


@shows("[bridge] ageing")
def test_ageing() -> None:
    """
    An address that was silent for so long is forgotten: frames for it go everywhere.
    """
    lan = LAN()
    other = lan.switch.join(lambda sent: None, "carol")
    lan.switch.forward(other, frame(9))
    lan.world.run(20)
    assert lan.send(frame(1, station(9))) == 0
    lan.world.reload(f"{BRIDGE}ageing = 10\n")
    assert lan.send(frame(1, station(9))) == 1


@shows("[bridge] spanning-tree")
def test_spanningTree() -> None:
    """
    Callers to come get BPDUs if they are permitted; nobody does any more if they are forbidden.
    """
    lan = LAN()
    bridge = network(lan.world, "bridge")
    bpdu = frame(1, SPANNING_TREE)
    assert lan.send(bpdu) == 0
    old = makeProtocol(bridge, Profile("alice"), CALLER)
    lan.world.reload(f"{BRIDGE}spanning-tree = true\n")
    assert lan.send(bpdu) == 1
    new = makeProtocol(bridge, Profile("bob"), CALLER)
    assert (old.settings.spanningTree, new.settings.spanningTree) == (False, True)
    lan.world.reload(BRIDGE)
    assert lan.send(bpdu) == 0


@shows("[bridge] tagged", "[bridge] checksum")
def test_theFormOfFrames() -> None:
    """
    Callers to come get the other form, if it leaves room for whole frames.
    """
    world = World(BRIDGE)
    bridge = network(world, "bridge")
    old = makeProtocol(bridge, Profile("alice"), CALLER).settings
    world.reload(f"{BRIDGE}tagged = true\nchecksum = true\n")
    new = makeProtocol(bridge, Profile("bob"), CALLER).settings
    assert (old.tagged, old.checksum, new.tagged, new.checksum) == (False, False, True, True)


def test_aFormThatNeedsAnotherMTU() -> None:
    text = BRIDGE.replace("1528", "1400")
    world = World(text)
    (change,) = world.service.wouldChange(parse(f"{text}checksum = true\n", "x")).changes
    assert (change.name, change.effect) == ("[bridge] checksum", Effect.RESTART)
    assert change.reason == "with [link] mru = 1400 it changes the MTU of the TAP device"


@shows("[ipx] name")
def test_theNameOfTheRouter() -> None:
    """
    Callers to come are told the new one, and have the MRU of then.
    """
    world = World(IPX)
    old = makeProtocol(network(world, "ipx"), Profile("alice"), CALLER).settings
    world.reload(f'{IPX}name = "OTHER"\n[link]\nmru = 1300\n')
    new = makeProtocol(network(world, "ipx"), Profile("bob"), CALLER).settings
    assert (old.name, old.mtu, new.name, new.mtu) == ("PPTPGW", 1400, "OTHER", 1300)


@shows("[ipx] announcements")
def test_announcements() -> None:
    """
    What current callers have told is forgotten, and nothing more is learnt from them.
    """
    world = World(IPX)
    router = network(world, "ipx").router
    caller = router.join(b"\xf2" + bytes(5), lambda packet: None)

    def told(number: int) -> bool:
        """
        Tell a route, and return whether it is taken.
        """
        source = IPXAddress(router.network, caller.node, ipx.RIP_SOCKET)
        data = ipx.encodeRIP(ipx.RESPONSE, (Route(number, 1, 1),))
        to = IPXAddress(router.network, router.node, ipx.RIP_SOCKET)
        router.received(caller, ipx.encodePacket(ipx.RIP, to, source, data))
        return router._routing.next(number) is caller

    assert told(5) and caller.routes
    world.reload(f"{IPX}announcements = false\n")
    assert router._routing.next(5) is None and not caller.routes
    assert not told(6)
    world.reload(IPX)
    assert told(7)


@shows("[mpls] labels")
def test_labels() -> None:
    """
    The next packet of a current caller meets the new ranges.
    """
    world = World(MPLS)
    mpls = network(world, "mpls")
    protocol = makeProtocol(mpls, Profile("alice"), CALLER)
    neighbour = mpls._neighbours[protocol]
    packet = encode([LabelStackEntry(100)], b"inside")
    neighbour.unicast(packet)
    assert mpls._counters.discards == {UNPLACED: 1}
    world.reload(f'{MPLS}labels = ["200-300"]\n')
    neighbour.unicast(packet)
    assert mpls._counters.discards == {UNPLACED: 1, FORBIDDEN: 1}


@shows("[mpls] routes")
def test_labelRoutes() -> None:
    """
    The next packet meets the new routes. The first route needs a restart, as there is a device.
    """
    routed = MPLS + 'routes = ["100 as {} via 10.77.0.10"]\n'
    world = World(routed.format(200))
    device = network(world, "mpls").device
    got: list[bytes] = []
    device.receive = got.append
    packet = encode([LabelStackEntry(100)], b"inside")
    device.write(bytes(12) + b"\x88\x47" + packet)
    world.reload(routed.format(300))
    device.write(bytes(12) + b"\x88\x47" + packet)
    assert [int.from_bytes(one[14:17], "big") >> 4 for one in got] == [200, 300]
    assert got[1].startswith(linkAddress(IPv4Address("10.77.0.10").packed))
    for before, after in ((MPLS, routed.format(200)), (routed.format(200), MPLS)):
        (change,) = World(before).service.wouldChange(parse(after, "x")).changes
        assert (change.name, change.effect) == ("[mpls] routes", Effect.RESTART)
        assert change.reason == "whether there are routes decides whether there is a device"
