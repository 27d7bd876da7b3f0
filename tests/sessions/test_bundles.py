"""
Tests for bundles of links at the gateway (L{pptpgw.sessions.bundles}, L{pptpgw.sessions.joining}
and L{pptpgw.ppp.bundle}), whose callers bundle their calls by PPTP too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from pptpgw.build import networkFactories
from pptpgw.config.section import LimitsSection
from pptpgw.datapath.bundle import BundleChannel
from pptpgw.datapath.channel import Channel
from pptpgw.datapath.reassembly import MOST_OCTETS, MOST_WAITING
from pptpgw.networks.ethernet.bcp import BCP, BridgeSettings
from pptpgw.networks.ethernet.plugin import BridgeNetwork
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.bundle import Bundle
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.link import Phase
from pptpgw.ppp.wire.ppp import IPV4, MULTILINK
from pptpgw.sessions.answered import AnsweredLine
from pptpgw.sessions.session import Session
from pptpgw.testing import PASSWORD, resultOf
from pptpgw.testing.gre import GREWorld
from pptpgw.tunnels.pptp.channel import GREChannel
from tests.datapath.test_python import packet
from tests.garbage import leftBy
from tests.networks.tap import MemoryTAP
from tests.reload.world import Users

TEXT = "[link]\nmultilink = true\nmru = 1400\nmrru = 1600\n"
HERE, THERE = b"\x01here", b"\x01there"


class HeldUsers(Users):
    """
    Users whose verdicts may be delayed.

    @ivar held: what delays verdicts, in order; None for nothing.
    """

    held: list[Deferred[None]] | None = None

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """
        See L{Users.requestAvatarId}.
        """
        verdict = super().requestAvatarId(credentials)
        if self.held is None:
            return verdict
        self.held.append(Deferred())
        return self.held[-1].addCallback(lambda _: verdict)


class BundlingWorld(GREWorld):
    """
    A gateway, and callers whose calls with the same endpoint are links of one bundle.
    """

    def __init__(self, text: str = TEXT, **options: Any) -> None:
        self.users = HeldUsers()
        self.device = MemoryTAP()
        super().__init__(text, [self.users], **options)
        self.calls: list[ClientCall] = []
        self.packets: list[bytes] = []
        self.bundles: dict[tuple[bytes, bytes], Bundle] = {}

    def call(
        self, endpoint: bytes = HERE, name: bytes = b"alice", mrru: int = 1600, **options: Any
    ) -> ClientCall:
        """
        Place a call, and give it a moment.
        """
        ipcp = IPCP(IPv4Settings.client(self.packets.append, 1600))
        connection = self.connect()
        placed = self.placeCall(
            connection, name, protocols=[ipcp], mrru=mrru, endpoint=endpoint, **options
        )
        placed.addErrback(lambda failure: None)
        self.run(0.3)
        return self.calls[-1]

    def makeNetworks(self) -> dict[str, Any]:
        """
        See L{pptpgw.testing.World.makeNetworks}. The bridge has a TAP device in memory.
        """
        made: dict[str, Any] = {}
        for name, factory in networkFactories(self.environment).items():
            section = self.environment.settings(factory)
            if name == "bridge":
                made[name] = BridgeNetwork(section, self.environment, self.device)
            else:
                made[name] = factory.makeNetwork(section, self.environment)
        return made

    @property
    def sessions(self) -> list[Any]:
        return list(self.gateway.sessions)

    @property
    def joined(self) -> int:
        """
        How many links the only session has.
        """
        (head,) = [one for one in self.gateway.lines if one.session is not None]
        assert head.bundle is not None
        return len(head.bundle.links)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., BundlingWorld]]:
    """
    Return a function that makes a world.
    """
    worlds: list[BundlingWorld] = []

    def bundleOf(call: ClientCall, own: Bundle) -> Bundle:
        bundles, settings = worlds[-1].bundles, call.link.settings
        assert settings.identity is not None
        key = settings.identity.name, settings.endpoint
        if key not in bundles or bundles[key].isOver:
            bundles[key] = own
        return bundles[key]

    initialise = ClientCall.__init__

    def remember(call: ClientCall, *arguments: Any, **options: Any) -> None:
        initialise(call, *arguments, **options)
        if worlds:
            worlds[-1].calls.append(call)

    monkeypatch.setattr(ClientCall, "bundleOf", bundleOf)
    monkeypatch.setattr(ClientCall, "__init__", remember)

    def make(text: str = TEXT, **options: Any) -> BundlingWorld:
        worlds.append(BundlingWorld(text, **options))
        return worlds[-1]

    yield make
    for one in worlds:
        one.stop()
        assert not one.gateway.lines and not one.gateway.context.bundles
        assert one.gateway.counters.sum().framesReceived > 0


Make = Callable[..., BundlingWorld]


def big(size: int, source: str) -> bytes:
    return packet(source, "10.1.1.1", bytes(size - 20))


def exchange(world: BundlingWorld, call: ClientCall, count: int = 20) -> None:
    """
    Exchange packets of all sizes in both directions.
    """
    (session,) = world.sessions
    address = str(session.networks["ipv4"][0].network_address)
    bundle = world.bundles[b"alice", HERE]
    world.tun.written.clear()
    world.packets.clear()
    up = [big(size, address) for size in range(100, 1590, 1500 // count)]
    down = [packet("10.1.1.1", address, bytes(len(one) - 20)) for one in up]
    for one, other in zip(up, down, strict=True):
        bundle.channel.sendPacket(IPV4, one)
        world.tun.receive(other)
    world.run(0.1)
    assert world.tun.written == up and world.packets == down


def test_oneLink(world: Make) -> None:
    """
    A call with an MRRU is a bundle of one link, which carries packets that are larger than its
    MRU. Everything about it is said as of any other session.
    """
    made = world()
    call = made.call()
    assert [one.user for one in made.sessions] == ["alice"]
    (session,) = made.sessions
    assert session.encryption == "MPPE 128 bit stateless"
    assert session.path == "python: a bundle of links"
    assert [one.name for one in session.agreed()] == ["LCP", "CCP", "IPCP"]
    exchange(made, call)
    assert session.counters.packetsReceived == session.counters.packetsSent == 20
    total = made.gateway.counters.sum()
    assert (total.packetsReceived, total.packetsSent) == (20, 20)
    call.hangUp()
    made.run(0.1)
    assert not made.gateway.lines and not made.sessions
    total = made.gateway.counters.sum()
    assert (total.packetsReceived, total.packetsSent) == (20, 20)


def test_offByDefault(world: Make) -> None:
    """
    Without the key an MRRU is rejected, and a call is as any other.
    """
    made = world("")
    call = made.call()
    assert not call.link.lcp.bundles and not made.bundles
    assert len(made.sessions) == 1 and made.sessions[0].path == "python"
    made = world()
    plain = made.call(mrru=0)
    assert not plain.link.lcp.bundles and made.sessions[0].path == "python"


@pytest.mark.parametrize("encryption", ["off", "require"])
def test_links(encryption: str, world: Make) -> None:
    """
    Calls of one user and one endpoint are one session, by whichever link it began.
    """
    made = world(TEXT + f'encryption = "{encryption}"\n')
    calls = [made.call(encryption=encryption) for _ in range(3)]
    assert len(made.sessions) == 1 and made.joined == 3 and len(made.gateway.lines) == 3
    exchange(made, calls[0])
    before = made.gateway.counters.sum()
    calls[0].hangUp()
    made.run(0.1)
    assert made.joined == 2
    exchange(made, calls[1])
    calls[2].link.lowerDown("cut")
    made.run(0.1)
    assert made.joined == 1 or len(made.sessions) == 1
    calls.append(made.call(encryption=encryption))
    exchange(made, calls[1])
    after = made.gateway.counters.sum()
    assert after.framesReceived > before.framesReceived
    assert after.packetsReceived == 3 * before.packetsReceived
    made.sessions[0].hangUp("an operator ends it")
    made.run(0.2)
    assert not made.sessions and not made.gateway.lines
    assert all(one.link.phase is Phase.DEAD for one in calls)


def test_whoIsBundled(world: Make) -> None:
    """
    Another user, another endpoint and another agreement have sessions of their own, or are refused.
    """
    made = world()
    made.call()
    made.call(THERE)
    made.call(HERE, b"bob")
    assert [one.user for one in made.sessions] == ["alice", "alice", "bob"]
    addresses = {one.networks["ipv4"] for one in made.sessions}
    assert len(addresses) == 3
    made = world()
    made.call()
    second = made.call(mrru=1590)
    assert len(made.sessions) == 1 and made.joined == 1
    assert second.link.phase is Phase.DEAD


def test_limits(world: Make) -> None:
    """
    The limit on a user's sessions counts sessions, and another one the links of each.
    """
    limits = LimitsSection(maxSessionsPerUser=1, perUser="deny", maxLinks=2)
    made = world(limits=limits)
    made.call()
    made.call()
    assert made.joined == 2
    third = made.call()
    assert made.joined == 2 and third.link.phase is Phase.DEAD
    other = made.call(THERE)
    assert other.link.phase is Phase.DEAD and len(made.sessions) == 1


def test_aPasswordOfAnother(world: Make) -> None:
    """
    A link joins only after its own caller has authenticated.
    """
    made = world()
    made.call()
    connection = made.connect()
    placed = made.placeCall(connection, b"alice", b"wrong", mrru=1600, endpoint=HERE)
    placed.addErrback(lambda failure: None)
    made.run(0.5)
    assert made.joined == 1 and len(made.sessions) == 1


def test_allAtOnce(world: Make) -> None:
    """
    Calls that come at the same moment are one session.
    """
    made = world()
    for _ in range(4):
        ipcp = IPCP(IPv4Settings.client(made.packets.append, 1600))
        placed = made.placeCall(made.connect(), protocols=[ipcp], mrru=1600, endpoint=HERE)
        placed.addErrback(lambda failure: None)
    made.run(1)
    assert len(made.sessions) == 1 and made.joined == 4
    exchange(made, made.calls[0])


def test_theFirstIsRefused(world: Make) -> None:
    """
    A call that waits for the first one takes its place if that isn't served.
    """
    made = world()
    judged: list[Deferred[None]] = []
    made.users.held = judged
    first = made.call()
    second = made.call()
    assert len(judged) == 2 and not made.sessions
    lines = list(made.gateway.lines)
    # The first one heads the bundle, and its call ends before it has a seat.
    judged[0].callback(None)
    lines[0].call.hangUp("gone")
    first.link.lowerDown("gone")
    judged[1].callback(None)
    made.run(1)
    assert len(made.sessions) == 1 and made.joined == 1
    assert second.link.phase is Phase.NETWORK


def test_deadLinks(world: Make) -> None:
    """
    Links on which the peer doesn't answer end before another one joins; and the session with them,
    if there are no others.
    """
    made = world()
    calls = [made.call() for _ in range(2)]
    dead = made.calls[0].channel
    assert dead is not None
    dead.close()
    third = made.call()
    made.run(3, 0.01)
    assert len(made.sessions) == 1 and made.joined == 2
    assert third.link.phase is Phase.NETWORK
    (session,) = made.sessions
    for one in (calls[1], third):
        assert one.channel is not None
        one.channel.close()
    made.bundles.clear()
    fourth = made.call()
    made.run(3, 0.01)
    assert len(made.sessions) == 1 and made.sessions[0] is not session
    assert made.joined == 1 and fourth.link.phase is Phase.NETWORK
    exchange(made, fourth)


def test_challengedAgain(world: Make) -> None:
    """
    Every link's caller is challenged again, and may only be the session's user.
    """
    made = world(TEXT + "rechallenge = 5\n")
    made.call()
    made.call()
    asked = len(made.users.asked)
    made.run(12, 0.01)
    assert len(made.users.asked) >= asked + 4
    assert made.joined == 2 and len(made.sessions) == 1


def test_negotiatedAnew(world: Make) -> None:
    """
    A link whose peer negotiates LCP anew ends, and the others go on.
    """
    made = world()
    calls = [made.call() for _ in range(2)]
    lcp = calls[0].link.lcp
    request = lcp._makeRequest()
    channel = calls[0].channel
    assert channel is not None
    channel.sendFrame(lcp.control, request)
    made.run(12, 0.05)
    assert made.joined == 1 and len(made.sessions) == 1
    (line,) = [one for one in made.gateway.lines if one.session is None]
    exchange(made, calls[1])
    assert isinstance(line, AnsweredLine) and line._head is not None


def test_displacedByANewerCall(world: Make) -> None:
    """
    A session that must go for a newer one goes with all its links.
    """
    made = world(limits=LimitsSection(maxSessionsPerUser=1, perUser="replace"))
    made.call()
    made.call()
    made.call(THERE)
    made.run(1)
    assert len(made.sessions) == len(made.gateway.lines) == made.joined == 1


def test_bridging(world: Make) -> None:
    """
    Whole Ethernet frames are bridged over an MRU that has no room for them.
    """
    text = TEXT + '[network]\nprotocols = ["ipv4", "bridge"]\n'
    made = world(text)
    device = made.device
    frames: list[bytes] = []
    bcp = BCP(BridgeSettings(frames.append, mtu=1600))
    ipcp = IPCP(IPv4Settings.client(made.packets.append, 1600))
    placed = made.placeCall(made.connect(), protocols=[ipcp, bcp], mrru=1600, endpoint=HERE)
    made.run(0.5)
    call = resultOf(placed)
    assert call.link.lcp.peerMRU == 1400
    (session,) = made.sessions
    assert set(session.networks) == {"ipv4", "bridge"}
    source, target = bytes.fromhex("020000000001"), b"\xff" * 6
    frame = target + source + b"\x08\x00" + bytes(range(250)) * 6
    assert len(frame) == 1514
    second: list[bytes] = []
    other = BCP(BridgeSettings(second.append, mtu=1600))
    again = IPCP(IPv4Settings.client(made.packets.append, 1600))
    placed = made.placeCall(
        made.connect(), b"bob", protocols=[again, other], mrru=1600, endpoint=THERE
    )
    made.run(0.5)
    resultOf(placed)
    bcp.sendPacket(frame)
    made.run(0.2)
    assert second == [frame]
    assert device.written == [frame]


def test_garbage(world: Make) -> None:
    """
    Nothing of a bundle is left to the garbage collector, however it ends.
    """
    made = world()

    def call() -> None:
        calls = [made.call() for _ in range(2)]
        calls[0].hangUp()
        made.run(0.1)
        made.sessions[0].hangUp("over")
        made.run(0.2)
        made.calls.clear()
        made.bundles.clear()

    found = leftBy(call)
    # The client's first call is the result of its own Deferred.
    assert found[ClientCall] == found[Bundle] == 1
    assert not [one for one in (AnsweredLine, Session, GREChannel) if found[one]]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=1500)), max_size=80), st.booleans())
def test_hostilePeers(frames: list[tuple[int, bytes]], isProven: bool) -> None:
    """
    Whatever a peer sends as fragments on its links, before it has authenticated or after, the
    gateway goes on, and keeps little of it.
    """
    made = BundlingWorld(encryption="off")
    password = PASSWORD if isProven else b"wrong"
    for _ in range(2):
        placed = made.placeCall(
            made.connect(), password=password, mrru=1600, endpoint=HERE, encryption="off"
        )
        placed.addErrback(lambda failure: None)
        made.run(0.02 if not isProven else 0.3)
    lines = [one for one in made.gateway.lines if isinstance(one.channel, Channel)]
    channels = [one.channel for one in lines if isinstance(one.channel, Channel)]
    for which, octets in frames:
        if channels and which < 2:
            channels[which % len(channels)]._frame(MULTILINK, octets)
        elif channels:
            channels[0]._frame(MULTILINK, b"\xc0\x00" + octets)
    bundles = [one.link._bundle for one in lines if one.link._bundle is not None]
    for one in [bundle.channel for bundle in bundles]:
        assert isinstance(one, BundleChannel)
        assert len(one._reassembly._waiting) <= MOST_WAITING
        assert one._reassembly._octets <= MOST_OCTETS
        if not isProven:
            assert one.counters.framesReceived == 0
    made.run(2, 0.1)
    made.stop()
    assert not made.gateway.lines
