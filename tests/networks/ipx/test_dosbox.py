"""
Tests for L{pptpgw.networks.ipx.dosbox}, with clients that send what DOSBox 0.74-3 sends, octet by
octet.
"""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.error import PPTPGWError
from pptpgw.networks.ipx import dosbox
from pptpgw.networks.ipx import router as routers
from pptpgw.networks.ipx.dosbox import DOSBoxPort, Host
from pptpgw.networks.ipx.router import IPXRouter

NETWORK = "77000000"
GATEWAY = "f20000000000"
CALLER = "f20000000001"
EVERYBODY = "ffffffffffff"
DOOM = "869b"

REGISTRATION = (
    "ffff001e0000" + "00000000" + "000000000000" + "0002" + "00000000000000000000" + "0002"
)
ECHO = "ffff001e0000" + "00000000" + EVERYBODY + "0002" + NETWORK + GATEWAY + "0002"

ALICE = ("192.0.2.1", 1213)
BOB = ("192.0.2.2", 4444)


class World(Clock):
    """
    A reactor with a UDP port in memory, and a caller on the IPX network.

    @ivar sent: the datagrams since they were last taken, and where they were sent.
    @ivar got: the packets that the caller received.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[Host, str]] = []
        self.got: list[str] = []
        self.bound: list[tuple[str, int]] = []
        self.refuses = self.busy = False
        self.counters = Counters()
        self.router = IPXRouter(self, 0x77000000, bytes.fromhex(GATEWAY), True, self.counters)
        self.caller = self.router.join(
            bytes.fromhex(CALLER), lambda packet: self.got.append(packet.hex())
        )
        self.port = DOSBoxPort(self, self.router, ("127.0.0.1", 213), self.counters)

    # What the port calls: a reactor and a UDP port.

    def listenUDP(self, port: int, protocol: object, interface: str) -> World:
        if self.busy:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        assert protocol is self.port
        self.bound.append((interface, port))
        return self

    def write(self, datagram: bytes, host: Host) -> None:
        assert self.bound
        if self.refuses:
            raise OSError(101, "Network is unreachable")
        self.sent.append((host, datagram.hex()))

    def stopListening(self) -> None:
        self.bound.pop()

    # What the tests call.

    def arrive(self, host: Host, datagram: str) -> list[tuple[Host, str]]:
        """
        Let a datagram arrive.

        @return: the datagrams that are sent because of it.
        """
        self.port.datagramReceived(bytes.fromhex(datagram), host)
        return self.taken()

    def taken(self) -> list[tuple[Host, str]]:
        sent, self.sent = self.sent, []
        return sent

    def register(self, host: Host) -> str:
        """
        Register a client at this address, and return its node.
        """
        ((to, answer),) = self.arrive(host, REGISTRATION)
        node = answer[20:32]
        assert to == host
        assert answer == f"ffff001e0000{NETWORK}{node}0002{NETWORK}{GATEWAY}0002"
        return node

    def join(self, host: Host) -> str:
        """
        Register a client and answer the gateway's echo, so that it is on the network.

        @return: its node.
        """
        node = self.register(host)
        assert self.arrive(host, answered(node)) == []
        return node

    def discarded(self) -> dict[str, int]:
        """
        The discards by reason since this was last called.
        """
        discards = dict(self.counters.discards)
        self.counters.discards.clear()
        return discards

    def wait(self, seconds: float) -> None:
        self.pump([1.0] * int(seconds))


@pytest.fixture
def world() -> World:
    world = World()
    world.port.start()
    return world


def answered(node: str) -> str:
    """
    The client's answer to our echo.
    """
    return f"ffff001e000000000000{GATEWAY}000200000000{node}0002"


def packet(to: str, node: str, data: str = "646f6f6d", hops: int = 0) -> str:
    """
    A packet of a game.
    """
    length = 30 + len(data) // 2
    return f"ffff{length:04x}{hops:02x}04{NETWORK}{to}{DOOM}{NETWORK}{node}{DOOM}{data}"


def test_registration(world: World) -> None:
    """
    A client gets the same node whenever it registers from the same address, and another from
    another address. No caller has that node.
    """
    node = world.register(ALICE)
    assert node.startswith("f6")
    assert world.register(ALICE) == node
    others = {world.register(BOB), world.register((ALICE[0], ALICE[1] + 1))}
    assert len(others | {node}) == 3
    assert world.bound == [("127.0.0.1", 213)]


def test_secret(world: World) -> None:
    """
    A client's node can't be predicted: two gateways give the same address different nodes.
    """
    other = World()
    other.port.start()
    assert world.register(ALICE) != other.register(ALICE)


def test_packets(world: World) -> None:
    """
    Clients and callers exchange packets, by broadcast and by unicast.
    """
    alice, bob = world.join(ALICE), world.join(BOB)
    assert world.arrive(ALICE, packet(EVERYBODY, alice)) == [
        (BOB, packet(EVERYBODY, alice, hops=1))
    ]
    assert world.got == [packet(EVERYBODY, alice, hops=1)]
    assert world.arrive(BOB, packet(alice, bob)) == [(ALICE, packet(alice, bob, hops=1))]
    world.router.received(world.caller, bytes.fromhex(packet(bob, CALLER)))
    assert world.taken() == [(BOB, packet(bob, CALLER, hops=1))]
    world.arrive(BOB, packet(CALLER, bob))
    assert world.got[1:] == [packet(CALLER, bob, hops=1)]
    assert world.discarded() == {}


def test_ping(world: World) -> None:
    """
    C{ipxnet ping} works: it is a broadcast from network 0 that other clients answer to its sender.
    """
    alice, bob = world.join(ALICE), world.join(BOB)
    ping = f"ffff001e000000000000{EVERYBODY}000200000000{alice}0002"
    assert world.arrive(ALICE, ping) == [(BOB, ping[:8] + "01" + ping[10:])]
    pong = f"ffff001e000000000000{alice}000200000000{bob}0002"
    assert world.arrive(BOB, pong) == [(ALICE, pong[:8] + "01" + pong[10:])]


def test_listener(world: World) -> None:
    """
    A client that only listens is let in when it answers our echo. Until then it gets nothing, as it
    may be at another address.
    """
    alice = world.join(ALICE)
    bob = world.register(BOB)
    assert world.arrive(ALICE, packet(EVERYBODY, alice)) == []
    assert world.arrive(ALICE, packet(bob, alice)) == []
    assert world.discarded() == {routers.NO_STATION: 1}
    world.advance(dosbox.GREETING)
    assert (BOB, ECHO) in world.taken()
    world.arrive(BOB, answered(bob))
    assert len(world.arrive(ALICE, packet(EVERYBODY, alice))) == 1


def test_stranger(world: World) -> None:
    """
    A client is let in only with the node that belongs to its address.
    """
    bob = world.register(BOB)
    alice = world.join(ALICE)
    for host, node in ((BOB, alice), (("192.0.2.3", 1), bob), (BOB, CALLER), (BOB, "0" * 12)):
        assert world.arrive(host, packet(EVERYBODY, node)) == []
        assert world.discarded() == {dosbox.STRANGER: 1}
    # A client that was let in may send only from its own node.
    world.arrive(ALICE, packet(EVERYBODY, CALLER))
    assert world.discarded() == {routers.SPOOFED: 1}
    assert world.got == []


def test_silence(world: World, log: list[str]) -> None:
    """
    A silent client is sent an echo, and stays as long as it answers.
    """
    alice = world.join(ALICE)
    world.wait(dosbox.GREETING)
    assert world.taken() == [(ALICE, ECHO)]
    world.wait(dosbox.SILENT - dosbox.GREETING - 1)
    assert world.taken() == []
    world.wait(1)
    assert world.taken() == [(ALICE, ECHO)]
    for _ in range(10):
        world.arrive(ALICE, answered(alice))
        world.wait(dosbox.SILENT)
    world.arrive(ALICE, packet(CALLER, alice))
    assert len(world.got) == 1
    assert log == [f"DOSBox at 192.0.2.1:1213 is IPX node {alice}"]
    assert world.discarded() == {}


def test_gone(world: World, log: list[str]) -> None:
    """
    A client that doesn't answer is dropped, and is let in again when it sends.
    """
    alice, bob = world.join(ALICE), world.join(BOB)
    world.wait(dosbox.GONE - 30)
    world.arrive(BOB, answered(bob))
    world.wait(30)
    world.taken()
    assert world.arrive(BOB, packet(EVERYBODY, bob)) == []
    assert world.router.isFree(bytes.fromhex(alice))
    assert not world.router.isFree(bytes.fromhex(bob))
    world.arrive(ALICE, answered(alice))
    assert len(world.arrive(BOB, packet(EVERYBODY, bob))) == 1
    assert log == [
        f"DOSBox at 192.0.2.1:1213 is IPX node {alice}",
        f"DOSBox at 192.0.2.2:4444 is IPX node {bob}",
        "DOSBox at 192.0.2.1:1213 is gone",
        f"DOSBox at 192.0.2.1:1213 is IPX node {alice}",
    ]


def test_manyClients(world: World) -> None:
    """
    The number of clients is limited, altogether and for each address. A client that leaves makes
    room.
    """
    hosts = [(f"192.0.2.{index // 8}", index) for index in range(dosbox.CLIENTS)]
    for host in hosts:
        world.join(host)
        world.advance(0.1)
        world.taken()
    assert world.discarded() == {}
    late = world.register(BOB)
    world.arrive(BOB, answered(late))
    assert world.discarded() == {dosbox.FULL: 1}
    world.wait(dosbox.GONE + 30)
    world.arrive(BOB, answered(late))
    assert world.discarded() == {}


def test_manyClientsOfOneHost(world: World) -> None:
    for port in range(dosbox.CLIENTS_OF_A_HOST):
        world.join((ALICE[0], port))
    assert world.discarded() == {}
    node = world.register(ALICE)
    world.arrive(ALICE, answered(node))
    assert world.discarded() == {dosbox.FULL: 1}
    world.join(BOB)
    assert world.discarded() == {}


def test_manyRegistrations(world: World) -> None:
    """
    The number of registrations that are answered is limited, and a registration is remembered for a
    second at most.
    """
    for port in range(1, 1000):
        world.arrive((ALICE[0], port), REGISTRATION)
    assert world.discarded() == {dosbox.TOO_MANY: 999 - int(dosbox.REGISTRATIONS[1])}
    assert len(world.getDelayedCalls()) == int(dosbox.REGISTRATIONS[1]) + 1
    world.advance(dosbox.GREETING)
    assert len(world.taken()) == dosbox.REGISTRATIONS[1]
    assert len(world.getDelayedCalls()) == 1


def test_notAmplified(world: World) -> None:
    """
    A registration with another host's address sends that host two datagrams of the same size, and
    no more.
    """
    world.register(ALICE)
    world.arrive(ALICE, REGISTRATION)
    world.arrive(ALICE, REGISTRATION)
    world.wait(300)
    assert world.taken() == [(ALICE, ECHO)]


def test_size(world: World) -> None:
    """
    A packet larger than DOSBox's buffer is discarded.
    """
    alice = world.join(ALICE)
    for size in (dosbox.LARGEST, dosbox.LARGEST + 1):
        data = "00" * (size - 30)
        world.router.received(world.caller, bytes.fromhex(packet(alice, CALLER, data)))
    assert [len(datagram) // 2 for _, datagram in world.taken()] == [dosbox.LARGEST]
    assert world.discarded() == {dosbox.TOO_BIG: 1}


def test_notSent(world: World) -> None:
    """
    A datagram that the socket refuses is lost, without another effect.
    """
    alice = world.join(ALICE)
    world.refuses = True
    world.router.received(world.caller, bytes.fromhex(packet(alice, CALLER)))
    assert world.discarded() == {dosbox.NOT_SENT: 1}


@pytest.mark.parametrize("datagram", ["", "ffff", REGISTRATION[:-2], "ffff001f" + REGISTRATION[8:]])
def test_malformed(world: World, datagram: str) -> None:
    assert world.arrive(ALICE, datagram) == []
    assert world.discarded() == {routers.MALFORMED: 1}


def test_stopped(world: World) -> None:
    """
    A stopped port leaves no socket, timer or station behind, also when it is stopped twice.
    """
    alice = world.join(ALICE)
    world.register(BOB)
    world.port.stop()
    world.port.stop()
    assert world.bound == []
    assert world.getDelayedCalls() == []
    assert world.router.isFree(bytes.fromhex(alice))


def test_addressInUse() -> None:
    """
    The error about an address in use says what to do.
    """
    world = World()
    world.busy = True
    with pytest.raises(PPTPGWError) as caught:
        world.port.start()
    assert str(caught.value) == (
        "[ipx] dosbox: can't listen at UDP 127.0.0.1:213: [Errno 98] Address already in use; "
        "choose another address or port, or end what uses it"
    )
    world.port.stop()


def test_socket() -> None:
    """
    The port works at real sockets, where an address in use is an error.
    """
    reactor = EPollReactor()
    counters = Counters()
    router = IPXRouter(reactor, 0x77000000, bytes.fromhex(GATEWAY), True, counters)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.settimeout(5)
        place = ("127.0.0.2", client.getsockname()[1])
        with pytest.raises(PPTPGWError, match=r"\[ipx\] dosbox: can't listen at UDP 127\.0\.0\.1:"):
            DOSBoxPort(reactor, router, client.getsockname(), counters).start()
        port = DOSBoxPort(reactor, router, place, counters)
        port.start()
        client.sendto(bytes.fromhex(REGISTRATION), place)
        reactor.iterate(5)
        node = client.recv(2000)[10:16]
        got: list[bytes] = []
        caller = router.join(bytes.fromhex(CALLER), got.append)
        client.sendto(bytes.fromhex(packet(CALLER, node.hex())), place)
        reactor.iterate(5)
        assert got == [bytes.fromhex(packet(CALLER, node.hex(), hops=1))]
        router.received(caller, bytes.fromhex(packet(node.hex(), CALLER)))
        assert client.recv(2000).hex() == packet(node.hex(), CALLER, hops=1)
        port.stop()
        reactor.iterate(0)
    for descriptor in reactor.removeAll():
        descriptor.connectionLost(None)
    assert counters.discards == {}


@given(st.binary(max_size=60), st.sampled_from([ALICE, BOB]), st.booleans())
def test_anyOctets(octets: bytes, host: Host, wellFormed: bool) -> None:
    """
    No octets raise an exception.
    """
    world = World()
    world.port.start()
    world.join(ALICE)
    if wellFormed:
        octets = octets.ljust(26, b"\0")
        octets = b"\xff\xff" + (4 + len(octets)).to_bytes(2, "big") + octets
    world.port.datagramReceived(octets, host)
