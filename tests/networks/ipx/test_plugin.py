"""
Tests for L{pptpgw.networks.ipx.plugin}, with callers of our own and a whole gateway in memory, from
LCP to IPX.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.ppp import PPP
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.filepath import FilePath
from zope.interface.verify import verifyObject

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    INetwork,
    INetworkFactory,
    INetworkProtocol,
)
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipx import plugin, wire
from pptpgw.networks.ipx.ipxcp import IPXCP, ROUTER_NAME, IPXSettings
from pptpgw.networks.ipx.routing import UPDATE_SECONDS
from pptpgw.networks.ipx.wire import IPXAddress, IPXService, Route, SAPQuery, SAPResponse
from pptpgw.ppp.automaton import State
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.profile import Profile
from pptpgw.testing import CALLER, DrivenLink, Frame, makeEnvironment, makeProtocol, resultOf
from tests.chapsecrets import secretsIn
from tests.networks.ipx.test_wire import IPX
from tests.octets import encodeFrame
from tests.test_gateway import SECRETS, World

NETWORK = 0x77000000
BEHIND = 0x1A2B


def made(text: str = "", reactor: object = None) -> plugin.IPXNetwork:
    """
    The network that the section C{text} makes.
    """
    factory = plugin.IPXFactory()
    environment = makeEnvironment(f"[ipx]\n{text}", reactor)
    return factory.makeNetwork(environment.settings(factory), environment)


class Caller:
    """
    One call of our own client, with IPv4 and IPX.

    @ivar got: the IPX packets that it received.
    """

    def __init__(self, world: World, settings: IPXSettings | None = None) -> None:
        self.world = world
        self.got: list[bytes] = []
        given = settings or IPXSettings(receive=self.got.append)
        self.ipxcp = IPXCP(given)
        self.ipcp = IPCP(IPv4Settings.client(lambda packet: None))
        protocols: list[INetworkProtocol] = [self.ipcp, self.ipxcp]
        identity = Identity(b"alice", b"open sesame", (MSCHAPV2,))
        placed: Deferred[ClientCall] = world.connect().placeCall(
            LinkSettings(identity=identity), protocols
        )
        world.run(0.2)
        self.call = resultOf(placed)

    def address(self, socket: int = 0x4545) -> IPXAddress:
        return IPXAddress(self.ipxcp.network, self.ipxcp.node, socket)

    def send(self, to: IPXAddress, data: bytes, type: int = wire.PACKET_EXCHANGE) -> bytes:
        """
        Send a packet.

        @return: the packet as it arrives.
        """
        packet = wire.encodePacket(type, to, self.address(to.socket), data)
        self.ipxcp.sendPacket(packet)
        self.world.run(0.02)
        return packet[:4] + b"\1" + packet[5:]

    def taken(self) -> list[bytes]:
        got = list(self.got)
        self.got.clear()
        return got


class IPXWorld(World):
    """
    A gateway with IPv4 and IPX.

    @ivar frames: every frame on the wire.
    """

    def __init__(self, secrets: FilePath[str], text: str = "") -> None:
        super().__init__(secrets)
        self.frames: list[Frame] = []
        self.network.lose = self._seen
        self.ipx = made(text, self.clock)
        self.ipx.start()
        self.networks["ipx"] = self.ipx

    def _seen(self, frame: Frame) -> bool:
        self.frames.append(frame)
        return False


@pytest.fixture
def world(tmp_path: Path) -> Iterator[IPXWorld]:
    secrets = secretsIn(tmp_path, SECRETS)
    world = IPXWorld(secrets)
    yield world
    world.ipx.stop()
    world.ipx.stop()


def everybody(socket: int) -> IPXAddress:
    return IPXAddress(NETWORK, wire.BROADCAST_NODE, socket)


def test_interfaces() -> None:
    verifyObject(INetworkFactory, plugin.IPXFactory())
    verifyObject(INetwork, made())


def test_settings() -> None:
    """
    The settings of each session's IPXCP come from the section. All sessions have the same network
    and different nodes.
    """
    made_ = made('network = 0xC0FFEE\nname = "ATTIC"')
    protocols: list[IPXCP] = []
    for _ in range(2):
        made_.makeProtocol(Profile("alice"), CALLER).addCallback(protocols.append)
    settings = protocols[0].settings
    assert (settings.network, settings.shared, settings.name) == (0xC0FFEE, True, "ATTIC")
    assert settings.mtu == 1400
    nodes = {settings.node, settings.peerNode, protocols[1].settings.peerNode}
    assert len(nodes) == 3
    assert protocols[1].settings.node == settings.node == made_.router.node
    assert all(node is not None and node[0] == 0xF2 and len(node) == 6 for node in nodes)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("network = 0", "[ipx] network"),
        ("network = 0xFFFFFFFE", "[ipx] network"),
        ('network = "77"', "[ipx] network"),
        ('name = "attic"', "[ipx] name"),
        (f'name = "{"A" * 48}"', "[ipx] name"),
        ("announcements = 1", "[ipx] announcements"),
        ('dosbox = "213"', "[ipx] dosbox"),
        ('dosbox = "localhost:213"', "[ipx] dosbox"),
        ('dosbox = "[::1]:213"', "[ipx] dosbox"),
        ('dosbox = "127.0.0.1:0"', "[ipx] dosbox"),
        ('dosbox = "127.0.0.1:65536"', "[ipx] dosbox"),
    ],
)
def test_wrongSettings(text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named.replace("[", r"\[")):
        made(text)


def test_numbers(world: IPXWorld) -> None:
    """
    Callers get the network's number, a node each, and the gateway's name.
    """
    one, two = Caller(world), Caller(world)
    assert one.ipxcp.state is two.ipxcp.state is State.OPENED
    assert one.ipxcp.network == two.ipxcp.network == NETWORK
    assert len({one.ipxcp.node, two.ipxcp.node, world.ipx.router.node}) == 3
    assert one.ipxcp.peerNode == world.ipx.router.node
    assert one.ipxcp.negotiator.allowed[ROUTER_NAME] == b"PPTPGW"


def test_packets(world: IPXWorld) -> None:
    """
    Callers reach each other by unicast and by broadcast.
    """
    one, two, three = (Caller(world) for _ in range(3))
    packet = one.send(two.address(), b"to you")
    assert (one.taken(), two.taken(), three.taken()) == ([], [packet], [])
    packet = two.send(everybody(0x4545), b"to all")
    assert (one.taken(), two.taken(), three.taken()) == ([packet], [], [packet])


def test_ownNode(world: IPXWorld) -> None:
    """
    A caller keeps a node of its own choice if nobody else has it. Otherwise it gets another.
    """
    got: list[bytes] = []
    settings = IPXSettings(node=bytes.fromhex("000000000001"), receive=got.append)
    one, two = Caller(world, settings), Caller(world, settings)
    assert one.ipxcp.node.hex() == "000000000001"
    assert two.ipxcp.node[0] == 0xF2
    one.call.hangUp()
    world.run(5, 0.01)
    assert Caller(world, settings).ipxcp.node.hex() == "000000000001"


def test_sameNodeAtOnce() -> None:
    """
    The second of two callers that were promised the same node is given up when it opens.
    """
    ipxNetwork = made()
    wanted = bytes.fromhex("00000000000a")
    links = [Session(ipxNetwork, wanted) for _ in range(2)]
    for link in links:
        assert link.told == []
    links[0].answer(ppp.CONFIGURE_ACK)
    links[1].answer(ppp.CONFIGURE_ACK)
    assert links[0].told == ["opened"]
    links[1].clock.pump([3.0] * 3)
    assert links[1].told == ["another caller has node 00000000000a"]


def test_askedAgainWhileOpen() -> None:
    """
    A caller that negotiates IPXCP anew keeps its node.
    """
    session = Session(made(), bytes.fromhex("00000000000a"))
    session.answer(ppp.CONFIGURE_ACK)
    session.request(session.wish)
    assert session.told == ["opened", "closed"]
    session.answer(ppp.CONFIGURE_ACK)
    assert session.told == ["opened", "closed", "opened"]


class Session(DrivenLink[IPXCP]):
    """
    A session of the network whose peer asks for a node.
    """

    def __init__(self, ipxNetwork: plugin.IPXNetwork, node: bytes) -> None:
        super().__init__(makeProtocol(ipxNetwork))
        self.protocol.lowerUp()
        self.wish = 2, node.hex()
        assert self.request(self.wish) == (ppp.CONFIGURE_ACK, [self.wish])


def test_hangUp(world: IPXWorld) -> None:
    """
    A caller that hangs up leaves the network.
    """
    one, two = Caller(world), Caller(world)
    gone = two.address()
    two.call.hangUp()
    world.run(5, 0.01)
    one.send(gone, b"are you there?")
    assert world.ipx.router.isFree(gone.node)
    assert two.got == []


def test_cutOff(world: IPXWorld) -> None:
    """
    A caller whose connection is cut leaves the network too, after a while without a packet.
    """
    one, two = Caller(world), Caller(world)
    world.network.lose = lambda frame: True
    for session in tuple(world.gateway.sessions):
        session.hangUp("cut off")
    world.run(5, 0.01)
    assert world.ipx.router.isFree(one.address().node)
    assert world.ipx.router.isFree(two.address().node)


def test_terminated(world: IPXWorld) -> None:
    """
    A caller that ends IPX alone leaves the network, and its session goes on.
    """
    one, two = Caller(world), Caller(world)
    two.ipxcp.close("enough of it")
    world.run(5, 0.01)
    assert world.ipx.router.isFree(two.address().node)
    assert two.ipcp.state is State.OPENED
    one.send(everybody(0x4545), b"to all")
    assert two.got == []


def test_spoofed(world: IPXWorld) -> None:
    """
    A packet with another caller's address as its source is discarded.
    """
    one, two, three = (Caller(world) for _ in range(3))
    one.ipxcp.sendPacket(wire.encodePacket(0, two.address(), three.address()))
    world.run(0.02)
    assert two.got == []


def test_serverBehindACaller(world: IPXWorld) -> None:
    """
    A client finds a NetWare server behind a caller by RIP and SAP, through the whole gateway, and
    the server is told of other networks and servers once a minute.
    """
    netware, client = Caller(world), Caller(world)
    core = IPXAddress(BEHIND, bytes.fromhex("000000000001"), 0x0451)
    netware.send(
        everybody(wire.RIP_SOCKET), wire.encodeRIP(wire.RESPONSE, [Route(BEHIND, 1, 2)]), wire.RIP
    )
    service = IPXService(4, b"SALES", core, 1)
    netware.send(everybody(wire.SAP_SOCKET), wire.encodeSAP(SAPResponse(wire.RESPONSE, (service,))))
    client.send(everybody(wire.SAP_SOCKET), wire.encodeSAP(SAPQuery(wire.NEAREST_REQUEST, 4)))
    (answer,) = client.taken()
    assert wire.decodeSAP(answer[30:]) == SAPResponse(
        wire.NEAREST_RESPONSE, (service._replace(hops=2),)
    )
    request = client.send(core, b"\x11\x11", 17)
    assert netware.taken() == [request]
    other = Caller(world)
    other.send(
        everybody(wire.RIP_SOCKET),
        wire.encodeRIP(wire.RESPONSE, [Route(BEHIND + 1, 1, 2)]),
        wire.RIP,
    )
    world.run(UPDATE_SECONDS, 1)
    world.run(0.02)
    (update,) = netware.taken()
    assert wire.decodeRIP(update[30:]).routes == (Route(BEHIND + 1, 2, 3),)
    assert client.taken() == []


def test_announcementsForbidden(tmp_path: Path) -> None:
    ipxNetwork = made("announcements = false")
    got: list[bytes] = []
    station = ipxNetwork.router.join(bytes.fromhex("00000000000a"), got.append)
    source = IPXAddress(NETWORK, station.node, wire.RIP_SOCKET)
    data = wire.encodeRIP(wire.RESPONSE, [Route(BEHIND, 1, 2)])
    ipxNetwork.router.received(station, wire.encodePacket(1, everybody(0x453), source, data))
    ipxNetwork.router.update()
    assert got == []


def test_dosbox() -> None:
    """
    The DOSBox port opens and closes with the network, and there is none where the section doesn't
    name one.
    """

    class Reactor(Clock):
        told: list[object] = []

        def listenUDP(self, port: int, protocol: object, interface: str) -> Reactor:
            self.told.append((interface, port))
            return self

        def stopListening(self) -> None:
            self.told.append("closed")

    reactor = Reactor()
    made("", reactor).start()
    assert reactor.told == []
    ipxNetwork = made('dosbox = "0.0.0.0:213"', reactor)
    ipxNetwork.start()
    ipxNetwork.stop()
    ipxNetwork.stop()
    assert reactor.told == [("0.0.0.0", 213), "closed"]


# Tests with tshark and scapy.


def written(frames: list[Frame], path: Path) -> None:
    """
    Write PPP frames to a capture whose link type is PPP.
    """
    octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 9)
    for protocol, information in frames:
        frame = encodeFrame(protocol, information)
        octets += struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame
    path.write_bytes(octets)


def shown(path: Path, filter: str, *fields: str) -> list[list[str]]:
    """
    What tshark says about the packets that pass C{filter}.
    """
    command = ["tshark", "-n", "-r", str(path), "-Y", filter, "-T", "fields"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def colons(node: bytes) -> str:
    return node.hex(":")


def test_decoded(world: IPXWorld, tmp_path: Path) -> None:
    """
    tshark and scapy decode two sessions that exchange packets through the gateway. Each packet
    occurs twice, on its way to the gateway and from it.
    """
    one, two = Caller(world), Caller(world)
    world.frames.clear()
    one.send(two.address(), b"request")
    two.send(one.address(), b"response")
    one.send(everybody(0x0455), bytes(32) + b"NetBIOS", wire.NETBIOS)
    one.send(
        everybody(wire.RIP_SOCKET), wire.encodeRIP(wire.REQUEST, [Route(NETWORK, 0, 0)]), wire.RIP
    )
    capture = tmp_path / "ppp.pcap"
    written(world.frames, capture)
    fields = (
        *("ipx.src.net", "ipx.src.node", "ipx.dst.net", "ipx.dst.node", "ipx.dst.socket"),
        *("ipx.packet_type", "ipx.hops", "ipxrip.hops", "_ws.malformed"),
    )
    first, second = colons(one.ipxcp.node), colons(two.ipxcp.node)
    router, all = colons(world.ipx.router.node), colons(wire.BROADCAST_NODE)
    rows = shown(capture, "ipx", *fields)
    assert [[row[1], *row[3:]] for row in rows] == [
        [first, second, "0x4545", "0x04", "0", "", ""],
        [first, second, "0x4545", "0x04", "1", "", ""],
        [second, first, "0x4545", "0x04", "0", "", ""],
        [second, first, "0x4545", "0x04", "1", "", ""],
        [first, all, "0x0455", "0x14", "0", "", ""],
        [first, all, "0x0455", "0x14", "0", "", ""],
        [first, all, "0x0453", "0x01", "0", "0", ""],
        [router, first, "0x0453", "0x01", "0", "1", ""],
    ]
    assert {(row[0], row[2]) for row in rows} == {("0x77000000", "0x77000000")}
    frames = [PPP(encodeFrame(*frame)) for frame in world.frames]
    assert [frame[PPP].proto for frame in frames] == [0x002B] * 8
    assert [(frame[IPX].type, frame[IPX].hops, bytes(frame[IPX].payload)) for frame in frames] == [
        (4, 0, b"request"),
        (4, 1, b"request"),
        (4, 0, b"response"),
        (4, 1, b"response"),
        (20, 0, bytes(32) + b"NetBIOS"),
        (20, 0, bytes(32) + b"NetBIOS"),
        (1, 0, bytes.fromhex("0001 77000000 0000 0000")),
        (1, 0, bytes.fromhex("0002 77000000 0001 0001")),
    ]
    assert {frame[IPX].node for frame in frames} == {first, second, all}
