"""
Tests for L{pptpgw.networks.mpls.plugin}, with fakes of its sessions and of the kernel.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS as ScapyMPLS
from scapy.layers.inet import IP
from scapy.layers.l2 import ARP, Ether
from zope.interface.verify import verifyObject

from pptpgw.config.configuration import parse
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    INetwork,
    INetworkFactory,
    ISessionObserver,
)
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.mpls import plugin as mpls
from pptpgw.networks.mpls.labelswitch import NO_ROUTE
from pptpgw.networks.mpls.port import MPLSPort
from pptpgw.networks.mpls.wire.mpls import DEPTH_LIMIT, LabelStackEntry, encode
from pptpgw.sessions.profile import Profile
from pptpgw.testing import DrivenLink, makeEnvironment, makeProtocol, makeSession
from tests.networks.tap import MemoryTAP

KERNEL = "92:84:73:cf:11:be"
TEN, ELEVEN = "10.77.0.10", "10.77.0.11"
AT_TEN, AT_ELEVEN = "02:00:0a:4d:00:0a", "02:00:0a:4d:00:0b"
UNICAST, MULTICAST = 0x0281, 0x0283
PACKET = encode([LabelStackEntry(100), LabelStackEntry(17)], b"inside")


class World:
    """
    The network, the kernel and sessions.
    """

    def __init__(self, settings: mpls.MPLSSection | None = None) -> None:
        self.counters = Counters()
        environment = makeEnvironment("[link]\nmru = 1300", counters=self.counters)
        self.device = MemoryTAP(bytes.fromhex(KERNEL.replace(":", "")))
        self.network = mpls.MPLSNetwork(settings or mpls.MPLSSection(), environment, self.device)

    def session(self, address: str | None = None) -> Caller:
        """
        A new session whose MPLS is open, and whose IPv4 is open too if it has an address.
        """
        caller = Caller(self)
        caller.openMPLS()
        if address is not None:
            caller.openIPv4(address)
        return caller

    def kernelSends(self, frame: Ether) -> None:
        """
        Let the kernel send a frame.
        """
        self.device.receive(bytes(frame))

    def toKernel(self) -> list[Ether]:
        """
        The frames that the kernel received since this was last called.
        """
        frames, self.device.written = self.device.written, []
        return [Ether(frame) for frame in frames]

    def ask(self, address: str) -> list[Ether]:
        """
        The answers to the kernel's ARP request for C{address}.
        """
        question = ARP(op="who-has", hwsrc=KERNEL, psrc="10.77.0.1", pdst=address)
        self.kernelSends(Ether(src=KERNEL, dst="ff:ff:ff:ff:ff:ff") / question)
        return self.toKernel()


class Caller:
    """
    One session, and its peer.
    """

    def __init__(self, world: World) -> None:
        self.network = world.network
        subscriber = Profile("alice")
        self.session = makeSession(subscriber)
        self.mplscp = makeProtocol(world.network, subscriber)
        self.link = DrivenLink(self.mplscp)
        self.ipcp = IPCP(IPv4Settings("10.77.0.1", TEN))
        self.network.sessionStarted(self.session)

    def openMPLS(self) -> None:
        self.mplscp.lowerUp()
        self.link.agree()
        assert sorted(self.link.attachments) == [UNICAST, MULTICAST]
        self.session.networks["mpls"] = ()
        self.network.protocolOpened(self.session, self.mplscp)

    def closeMPLS(self) -> None:
        del self.session.networks["mpls"]
        self.network.protocolClosed(self.session, self.mplscp)

    def openIPv4(self, address: str) -> None:
        own = IPv4Network(address)
        self.session.networks["ipv4"] = (own, IPv4Network("198.51.100.0/24"))
        self.network.protocolOpened(self.session, self.ipcp)

    def closeIPv4(self) -> None:
        del self.session.networks["ipv4"]
        self.network.protocolClosed(self.session, self.ipcp)

    def end(self) -> None:
        """
        End the session in the order in which the gateway does.
        """
        self.closeMPLS()
        if "ipv4" in self.session.networks:
            self.closeIPv4()
        self.network.sessionEnded(self.session, "enough")
        self.network.release(self.mplscp)

    def sends(self, packet: bytes, number: int = UNICAST) -> None:
        """
        Send a packet from the caller.
        """
        self.link.deliver(packet, number)

    def got(self) -> list[tuple[int, bytes]]:
        """
        The packets that the caller received since this was last called.
        """
        packets, self.link.packets = self.link.packets, []
        return packets


def labelled(destination: str, ethertype: int = 0x8847) -> Ether:
    """
    A frame with C{PACKET} from the kernel.
    """
    return Ether(src=KERNEL, dst=destination, type=ethertype) / PACKET


@pytest.fixture
def world() -> World:
    return World()


def test_interfaces(world: World) -> None:
    verifyObject(INetworkFactory, mpls.MPLSFactory())
    verifyObject(INetwork, world.network)
    verifyObject(ISessionObserver, world.network)


def test_startAndStop(world: World) -> None:
    """
    The network opens and closes its device.
    """
    world.network.start()
    assert world.device.states == ["started"]
    world.network.stop()
    world.network.stop()
    assert world.device.states == ["started", "stopped", "stopped"]


def test_factory() -> None:
    """
    The device has the name in the section, and its MTU leaves room for MPPE.
    """
    factory = mpls.MPLSFactory()
    environment = makeEnvironment('[link]\nmru = 1300\n[mpls]\ninterface = "labels"')
    device = factory.makeNetwork(environment.settings(factory), environment).device
    assert isinstance(device, MPLSPort)
    assert (device.name, device.mtu) == ("labels", 1296)


class TestToTheKernel:
    def test_unicast(self, world: World) -> None:
        """
        A caller's packet arrives with the link address that is made from its IPv4 address, and with
        its labels unchanged.
        """
        world.session(TEN).sends(PACKET)
        (frame,) = world.toKernel()
        assert (frame.src, frame.dst, frame.type) == (AT_TEN, KERNEL, 0x8847)
        assert [
            (one.label, one.ttl, one.s) for one in frame.iterpayloads() if one.name == "MPLS"
        ] == [
            (100, 64, 0),
            (17, 64, 1),
        ]
        assert bytes(frame).endswith(b"inside")

    def test_multicast(self, world: World) -> None:
        """
        A multicast packet has multicast's Ethernet type.
        """
        world.session(TEN).sends(PACKET, MULTICAST)
        assert [frame.type for frame in world.toKernel()] == [0x8848]

    @pytest.mark.parametrize(
        "packet", [b"", b"\x00\x06\x41", b"\x00\x06\x40\x40" * (DEPTH_LIMIT + 1)]
    )
    def test_badStack(self, world: World, packet: bytes) -> None:
        """
        A packet whose label stack doesn't end is discarded.
        """
        world.session(TEN).sends(packet)
        assert world.toKernel() == []
        assert world.counters.discards == {mpls.BAD_STACK: 1}

    @pytest.mark.parametrize("label", [0, 1, 2, 3, 13, 15])
    def test_reservedLabels(self, world: World, label: int) -> None:
        """
        A caller's packet with a reserved label on top is discarded.
        """
        world.session(TEN).sends(encode([LabelStackEntry(label)], b"inside"))
        assert world.toKernel() == []
        assert world.counters.discards == {mpls.FORBIDDEN: 1}

    def test_configuredLabels(self) -> None:
        """
        A caller's packet whose top label isn't one of the configured labels is discarded. The
        labels under the top may be any.
        """
        world = World(mpls.MPLSSection(labels=((100, 199), (300, 300))))
        caller = world.session(TEN)
        for label in (99, 100, 199, 200, 300, 301):
            caller.sends(encode([LabelStackEntry(label), LabelStackEntry(5000)], b""))
        assert [frame[ScapyMPLS].label for frame in world.toKernel()] == [100, 199, 300]
        assert world.counters.discards == {mpls.FORBIDDEN: 3}

    def test_withoutIPv4(self, world: World) -> None:
        """
        A packet of a session without IPv4 is discarded, before IPv4 opens and after it has closed.
        """
        caller = world.session()
        caller.sends(PACKET)
        assert world.toKernel() == []
        caller.openIPv4(TEN)
        caller.sends(PACKET)
        assert len(world.toKernel()) == 1
        caller.closeIPv4()
        caller.sends(PACKET)
        assert world.toKernel() == []
        assert world.counters.discards == {mpls.UNPLACED: 2}

    def test_deviceGone(self, world: World) -> None:
        """
        A frame that the device refuses is counted.
        """
        world.device.error = OSError("it is down")
        world.session(TEN).sends(PACKET)
        assert world.ask(TEN) == []
        assert world.counters.discards == {mpls.NOT_TAKEN: 2}


class TestToTheCallers:
    def test_byLinkAddress(self, world: World) -> None:
        """
        A session gets frames to its own link address, of both Ethernet types, and no others.
        """
        ten, eleven = world.session(TEN), world.session(ELEVEN)
        world.kernelSends(labelled(AT_TEN))
        world.kernelSends(labelled(AT_ELEVEN, 0x8848))
        assert ten.got() == [(UNICAST, PACKET)]
        assert eleven.got() == [(MULTICAST, PACKET)]

    def test_group(self, world: World) -> None:
        """
        A frame to a group address, such as those of RFC 5332 section 4, goes to all sessions.
        """
        callers = [world.session(TEN), world.session(ELEVEN)]
        nobody = world.session()
        world.kernelSends(labelled("01:00:5e:80:00:64", 0x8848))
        world.kernelSends(labelled("ff:ff:ff:ff:ff:ff"))
        for caller in callers:
            assert caller.got() == [(MULTICAST, PACKET), (UNICAST, PACKET)]
        assert nobody.got() == []

    def test_aCallersPacketsReachNoOther(self, world: World) -> None:
        """
        A caller's packets go to the kernel alone, multicast packets too.
        """
        ten, eleven = world.session(TEN), world.session(ELEVEN)
        ten.sends(PACKET, MULTICAST)
        ten.sends(PACKET)
        assert (ten.got(), eleven.got()) == ([], [])

    @pytest.mark.parametrize("destination", [AT_ELEVEN, "02:00:00:00:00:00", KERNEL])
    def test_nobody(self, world: World, destination: str) -> None:
        """
        A frame to an unknown link address is counted.
        """
        caller = world.session(TEN)
        world.kernelSends(labelled(destination))
        assert caller.got() == []
        assert world.counters.discards == {mpls.NO_NEIGHBOUR: 1}

    def test_popped(self, world: World) -> None:
        """
        An IP packet without a label isn't taken here: it belongs to the TUN device, which checks
        its source.
        """
        caller = world.session(TEN)
        world.kernelSends(Ether(src=KERNEL, dst=AT_TEN) / IP(dst=TEN))
        assert caller.got() == []
        assert world.counters.discards == {mpls.OTHER: 1}


class TestARP:
    def test_answered(self, world: World) -> None:
        """
        The kernel learns a session's link address by ARP for its IPv4 address.
        """
        world.session(TEN)
        (frame,) = world.ask(TEN)
        assert (frame.src, frame.dst, frame.type) == (AT_TEN, KERNEL, 0x0806)
        answer = frame[ARP]
        assert (answer.op, answer.hwsrc, answer.psrc) == (2, AT_TEN, TEN)
        assert (answer.hwdst, answer.pdst) == (KERNEL, "10.77.0.1")

    @pytest.mark.parametrize("address", [ELEVEN, "10.77.0.1", "198.51.100.1", "0.0.0.0"])
    def test_silence(self, world: World, address: str) -> None:
        """
        ARP requests for addresses that no session has get no answer.
        """
        world.session(TEN)
        assert world.ask(address) == []

    def test_withoutMPLS(self, world: World) -> None:
        """
        A session without MPLS gets no answer to ARP, neither with IPv4 alone nor after its MPLS has
        closed.
        """
        caller = Caller(world)
        caller.openIPv4(TEN)
        assert world.ask(TEN) == []
        caller.openMPLS()
        assert len(world.ask(TEN)) == 1
        caller.closeMPLS()
        assert world.ask(TEN) == []

    @pytest.mark.parametrize(
        "packet", [b"", bytes(28), bytes.fromhex("0006080006040001") + bytes(20)]
    )
    def test_hostile(self, world: World, packet: bytes) -> None:
        """
        Octets that aren't an ARP request for IPv4 get no answer, and neither do replies.
        """
        world.session(TEN)
        world.kernelSends(Ether(src=KERNEL, dst="ff:ff:ff:ff:ff:ff", type=0x0806) / packet)
        reply = ARP(op="is-at", hwsrc=KERNEL, psrc="10.77.0.1", pdst=TEN)
        world.kernelSends(Ether(src=KERNEL, dst=AT_TEN) / reply)
        assert world.toKernel() == []
        assert world.counters.discards == {mpls.OTHER: 1}


class TestSessions:
    def test_reconnected(self, world: World) -> None:
        """
        A caller that calls again with the same address has the same link address, so that what the
        kernel has learnt stays right. Nothing is kept of the earlier session.
        """
        world.session(TEN).end()
        world.kernelSends(labelled(AT_TEN))
        assert world.counters.discards == {mpls.NO_NEIGHBOUR: 1}
        again = world.session(TEN)
        world.kernelSends(labelled(AT_TEN))
        assert again.got() == [(UNICAST, PACKET)]

    def test_anotherHasTheAddressBeforeTheFirstHasEnded(self, world: World) -> None:
        """
        A session keeps the address that it got while another session had it, when that other
        session ends.
        """
        first = world.session(TEN)
        second = world.session(TEN)
        first.end()
        world.kernelSends(labelled(AT_TEN))
        assert (first.got(), second.got()) == ([], [(UNICAST, PACKET)])

    def test_manyCome(self, world: World) -> None:
        """
        Nothing is left when many sessions have come and gone.
        """
        callers = [world.session(str(IPv4Address(TEN) + number)) for number in range(300)]
        for caller in callers:
            caller.end()
        world.kernelSends(labelled("ff:ff:ff:ff:ff:ff"))
        assert not any(caller.got() for caller in callers)
        assert world.network.sessions == 0

    def test_neverOpened(self, world: World) -> None:
        """
        A session whose MPLS never opened leaves nothing behind.
        """
        caller = Caller(world)
        caller.openIPv4(TEN)
        caller.closeIPv4()
        world.network.sessionEnded(caller.session, "enough")
        world.network.release(caller.mplscp)
        assert world.network.sessions == 0


@given(
    st.binary(max_size=80)
    | st.binary(max_size=60).map(bytes.fromhex("02000a4d000a928473cf11be").__add__)
)
def test_arbitraryFrames(frame: bytes) -> None:
    """
    No frames of the device raise an exception.
    """
    world = World()
    world.session(TEN)
    world.device.receive(frame)


@given(st.binary(max_size=80), st.sampled_from([UNICAST, MULTICAST]))
def test_arbitraryPackets(packet: bytes, number: int) -> None:
    """
    Each packet of a caller becomes one frame to the kernel or one discard.
    """
    world = World()
    world.session(TEN).sends(packet, number)
    assert len(world.toKernel()) + sum(world.counters.discards.values()) == 1


@pytest.mark.parametrize(
    "labels",
    [
        '["15"]',
        '["0-100"]',
        '["16-1048576"]',
        '["200-100"]',
        '["16-20", "20"]',
        "[16]",
        '["a"]',
        '"16"',
    ],
)
def test_labelsRefused(labels: str) -> None:
    """
    The error about invalid or overlapping labels says what is wrong.
    """
    with pytest.raises(ConfigurationError, match="labels"):
        parse(f"[mpls]\nlabels = {labels}", "x.toml").section(mpls.MPLSFactory())


@pytest.mark.parametrize(
    "route",
    [
        "100 as 200",
        "15 as 200 via 10.77.0.10",
        "100 as 1048576 via 10.77.0.10",
        "100 as 200 via 0.0.0.0",
        "100 as 200 via 10.77.0.10 dev pptpmpls0",
        "200 as 100 via 10.77.0.10",
    ],
)
def test_routesRefused(route: str) -> None:
    """
    The error about a route with a reserved label, to nobody, or for a label that has one already,
    says what is wrong.
    """
    routes = f'["{route}", "200 as 300 via 10.77.0.11"]'
    with pytest.raises(ConfigurationError, match="routes"):
        parse(f"[mpls]\nroutes = {routes}", "x.toml").section(mpls.MPLSFactory())


def test_routes() -> None:
    """
    The gateway switches labelled packets between sessions itself where routes are configured.
    """
    factory = mpls.MPLSFactory()
    text = '[mpls]\nroutes = ["100 as 200 via 10.77.0.11"]'
    world = World()
    environment = makeEnvironment("[link]\nmru = 1300", counters=world.counters)
    world.network = factory.makeNetwork(parse(text, "x.toml").section(factory), environment)
    world.network.start()
    ten, eleven = world.session(TEN), world.session(ELEVEN)
    ten.sends(PACKET)
    assert eleven.got() == [
        (UNICAST, encode([LabelStackEntry(200, 63), LabelStackEntry(17)], b"inside"))
    ]
    assert ten.got() == []
    eleven.sends(encode([LabelStackEntry(200)], b""))
    assert world.counters.discards == {NO_ROUTE: 1}
    world.network.stop()


def test_labels() -> None:
    """
    The labels in the section are ranges and single labels, in any order.
    """
    section = parse('[mpls]\nlabels = ["300", "16 - 20"]', "x.toml").section(mpls.MPLSFactory())
    assert section.labels == ((300, 300), (16, 20))
