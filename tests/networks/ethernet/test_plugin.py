"""
Tests for L{pptpgw.networks.ethernet.plugin}, with two callers, each with its own BCP, and a fake of
the kernel's side of the TAP device.
"""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from zope.interface.verify import verifyObject

from pptpgw.config.configuration import parse
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    INetwork,
    INetworkFactory,
)
from pptpgw.networks.ethernet.bcp import BCP, BridgeSettings
from pptpgw.networks.ethernet.plugin import (
    BridgedSession,
    BridgeFactory,
    BridgeNetwork,
    BridgeSection,
)
from pptpgw.networks.ethernet.port import BridgePort
from pptpgw.networks.ethernet.switch import ELSEWHERE, TOO_MANY
from pptpgw.sessions.profile import Profile
from pptpgw.testing import DELAY, DrivenLink, makeEnvironment, makeProtocol
from tests.logged import observed
from tests.networks.tap import MemoryTAP

ROUTER, ONE, OTHER = (f"02:00:00:00:00:0{number}" for number in (7, 1, 2))
EVERYBODY = "ff:ff:ff:ff:ff:ff"


def question(source: str) -> bytes:
    """
    An ARP request.
    """
    asked = Ether(src=source, dst=EVERYBODY) / ARP(hwsrc=source, psrc="10.1.0.1", pdst="10.1.0.2")
    return bytes(asked)


def ping(source: str, destination: str, size: int = 0) -> bytes:
    """
    An echo request with a payload of at least this size.
    """
    packet = IP(src="10.1.0.1", dst="10.1.0.2") / ICMP() / bytes(max(0, size - 28))
    return bytes(Ether(src=source, dst=destination) / packet)


class Caller:
    """
    A caller of C{gateway}: its own BCP, and that of its session.
    """

    def __init__(self, gateway: Gateway, user: str, mru: int = 1600, **settings: Any) -> None:
        self.frames: list[bytes] = []
        self.session: BridgedSession = makeProtocol(gateway.network, Profile(user))
        self.gateway = gateway
        given: dict[str, Any] = {"mtu": 1600, "localAddress": bytes(6)} | settings
        self.bcp = BCP(BridgeSettings(self.frames.append, **given))
        self.here = DrivenLink(self.bcp, 1600, gateway.clock)
        self.there: DrivenLink[BCP] = DrivenLink(self.session, mru, gateway.clock)
        self.there.join(self.here)

    def close(self) -> None:
        for end in (self.here, self.there):
            end.protocol.lowerDown()
        self.gateway.network.release(self.session)


class Gateway:
    """
    The network that connects the callers and the TAP device.
    """

    def __init__(self, mru: int = 1600, **settings: Any) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.device = MemoryTAP()
        environment = makeEnvironment(f"[link]\nmru = {mru}", self.clock, self.counters)
        self.network = BridgeNetwork(BridgeSection(**settings), environment, self.device)
        self.network.start()


def test_interfaces() -> None:
    assert verifyObject(INetwork, Gateway().network)
    assert verifyObject(INetworkFactory, BridgeFactory())


def test_twoCallersAndTheLAN() -> None:
    """
    Two callers and the LAN reach each other, and nobody else sees the frames.
    """
    gateway = Gateway()
    one, other = Caller(gateway, "alice"), Caller(gateway, "bob")
    one.bcp.sendPacket(question(ONE))
    assert (other.frames, gateway.device.written) == ([question(ONE)], [question(ONE)])
    other.bcp.sendPacket(ping(OTHER, ONE))
    assert one.frames == [ping(OTHER, ONE)]
    gateway.device.receive(ping(ROUTER, OTHER))
    assert other.frames[1:] == [ping(ROUTER, OTHER)]
    one.bcp.sendPacket(ping(ONE, ROUTER))
    assert gateway.device.written[1:] == [ping(ONE, ROUTER)]
    assert len(one.frames) == 1
    assert gateway.counters.discards == {}


def test_oneSessionEnds() -> None:
    """
    The other session goes on when one ends, and the stations behind the ended one are forgotten.
    """
    gateway = Gateway()
    one, other = Caller(gateway, "alice"), Caller(gateway, "bob")
    one.bcp.sendPacket(question(ONE))
    one.close()
    one.close()
    assert len(gateway.network.switch) == 0
    other.frames.clear()
    other.bcp.sendPacket(ping(OTHER, ONE))
    assert gateway.device.written[1:] == [ping(OTHER, ONE)]
    gateway.device.receive(ping(ROUTER, OTHER))
    assert other.frames == [ping(ROUTER, OTHER)]
    assert len(one.frames) == 0


def test_negotiatedAnew() -> None:
    """
    A session is a port of the switch only while its BCP is open, and exactly one when BCP has
    opened again.
    """
    gateway = Gateway()
    one, other = Caller(gateway, "alice"), Caller(gateway, "bob")
    one.bcp.lowerDown()
    one.session.lowerDown()
    other.bcp.sendPacket(question(OTHER))
    assert (one.frames, one.there.lost) == ([], 0)
    one.session.lowerUp()
    one.bcp.lowerUp()
    gateway.clock.pump([DELAY] * 10)
    other.bcp.sendPacket(question(OTHER))
    assert one.frames == [question(OTHER)]


def test_addressesAreGiven() -> None:
    """
    Every caller that asks for a MAC address gets its own: a locally administered unicast address.
    """
    gateway = Gateway()
    addresses = [Caller(gateway, "alice").bcp.localAddress for _ in range(20)]
    assert len(set(addresses)) == 20
    for address in addresses:
        assert address is not None and address[0] == 2 and len(address) == 6


def test_limits() -> None:
    """
    The configuration's limits apply: the addresses of each caller, and addresses that belong to
    another.
    """
    gateway = Gateway(addressesPerSession=3)
    one, other = Caller(gateway, "alice"), Caller(gateway, "bob")
    for number in range(5):
        one.bcp.sendPacket(question(f"02:00:00:00:01:0{number}"))
    assert len(other.frames) == 3
    other.bcp.sendPacket(question("02:00:00:00:01:00"))
    assert one.frames == []
    assert gateway.counters.discards == {TOO_MANY: 2, ELSEWHERE: 1}


def test_tagged() -> None:
    """
    A caller without the VLAN option neither sends nor gets tagged frames. Other callers do both.
    """
    gateway = Gateway(tagged=True)
    with_, without = Caller(gateway, "alice", tagged=True), Caller(gateway, "bob")
    tagged = question(ROUTER)[:12] + bytes.fromhex("81000007") + question(ROUTER)[12:]
    gateway.device.receive(tagged)
    assert (with_.frames, without.frames) == ([tagged], [])
    assert gateway.counters.discards == {"tagged frame": 1}


def test_spanningTree() -> None:
    """
    BPDUs go to all callers that agreed to them, where the configuration permits them.
    """
    hello = bytes.fromhex("0180c2000000 020000000007 0007 424203 00000080").ljust(60, b"\x00")
    gateway = Gateway(spanningTree=True)
    with_, without = Caller(gateway, "alice", spanningTree=True), Caller(gateway, "bob")
    gateway.device.receive(hello)
    assert (with_.frames, without.frames) == ([hello], [])
    with_.bcp.sendPacket(hello)
    assert gateway.device.written == [hello]


@pytest.mark.parametrize(
    ("mru", "settings", "mtu"),
    [
        (1400, {}, 1380),
        (576, {}, 556),
        (1519, {}, 1499),
        (1520, {}, 1500),
        (1600, {}, 1500),
        (1520, {"tagged": True}, 1496),
        (1524, {"tagged": True}, 1500),
        (1524, {"tagged": True, "checksum": True}, 1496),
        (1528, {"tagged": True, "checksum": True}, 1500),
        (9000, {}, 1500),
    ],
)
def test_mtu(mru: int, settings: dict[str, Any], mtu: int) -> None:
    """
    The MTU of the device leaves room for encryption and all headers of a call.
    """
    assert BridgeSection(**settings).mtu(mru) == mtu


@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
def test_whatTheDeviceSendsFits(tagged: bool, checksum: bool) -> None:
    """
    The largest frame that the device sends reaches a caller and a larger one doesn't. Encryption
    takes 4 octets.
    """
    settings: dict[str, Any] = {"tagged": tagged, "checksum": checksum}
    gateway = Gateway(mru=1400, **settings)
    caller = Caller(gateway, "alice", mru=1400 - 4, tagged=tagged)
    largest = BridgeSection(**settings).mtu(1400)
    tag = bytes.fromhex("81000007") if tagged else b""
    for size in (largest, largest + 1):
        whole = ping(ROUTER, ONE, size)
        gateway.device.receive(whole[:12] + tag + whole[12:])
    assert [len(frame) for frame in caller.frames] == [14 + len(tag) + largest]
    assert caller.there.lost == 1


def test_smallMRU() -> None:
    """
    A warning says once that whole frames don't fit the MRU, and which setting would let them.
    """
    events: list[LogEvent] = []
    with observed(events.append):
        Gateway(mru=1520)
        assert events == []
        Gateway(mru=1400, tagged=True)
    (event,) = events
    assert (event["mru"], event["mtu"], event["whole"]) == (1400, 1376, 1524)


def test_stop() -> None:
    """
    A network that was stopped discards frames, and can be started again.
    """
    gateway = Gateway()
    caller = Caller(gateway, "alice")
    gateway.network.stop()
    gateway.network.stop()
    assert gateway.device.states == ["started", "stopped", "stopped"]
    gateway.device.receive(question(ROUTER))
    caller.bcp.sendPacket(question(ONE))
    assert (caller.frames, gateway.device.written) == ([], [])
    gateway.network.start()
    caller.bcp.sendPacket(question(ONE))
    assert gateway.device.written == [question(ONE)]


def test_deviceThatRefuses() -> None:
    """
    A frame that the device refuses is counted, and the other ports still get it.
    """
    gateway = Gateway()
    one, other = Caller(gateway, "alice"), Caller(gateway, "bob")
    gateway.device.error = OSError("it is down")
    one.bcp.sendPacket(question(ONE))
    assert other.frames == [question(ONE)]
    assert gateway.counters.discards == {"frame not taken by the TAP device": 1}


def test_factory() -> None:
    """
    The factory makes the network with a TAP device that has the configured name and the right MTU.
    """
    environment = makeEnvironment()
    network = BridgeFactory().makeNetwork(BridgeSection(interface="eth%d"), environment)
    (device,) = (one for one in vars(network).values() if isinstance(one, BridgePort))
    assert device.name == "eth%d"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('bridge = "a/b"', 'letters, digits, dots, hyphens and underscores, not . or ..; or ""'),
        ('bridge = ".."', 'or "" for none'),
        ('interface = ""', "1 to 15 letters"),
        ("floods = 0", "a whole number from 1 to 10000"),
        ("ageing = 9", "a number of seconds from 10 to 86400"),
        ("tagged = 1", "true or false"),
    ],
)
def test_configurationErrors(line: str, text: str) -> None:
    """
    The error about a forbidden value says what is allowed.
    """
    with pytest.raises(ConfigurationError) as caught:
        parse(f"[bridge]\n{line}\n", "x.toml")
    assert "x.toml: [bridge] " in str(caught.value)
    assert text in str(caught.value)


def test_configuration() -> None:
    """
    Every key of the section reaches its setting.
    """
    text = """
[bridge]
interface = "lan0"
bridge = "br0"
tagged = true
spanning-tree = true
checksum = true
addresses = 1
addresses-per-session = 2
floods = 3
ageing = 10
"""
    expected = BridgeSection("lan0", "br0", True, True, True, 1, 2, 3, 10.0)
    assert parse(text, "x.toml").section(BridgeFactory()) == expected
    assert parse('[bridge]\nbridge = ""\n', "x.toml").section(BridgeFactory()) == BridgeSection()
