"""
Tests for L{pptpgw.network.ipxrouter} and L{pptpgw.network.ipxrouting}.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.counters import Counters
from pptpgw.network import ipxrouter, ipxrouting
from pptpgw.network.ipxrouter import HOPS, Router
from pptpgw.network.ipxrouting import BROADCASTS, ROUTING, Station
from pptpgw.network.ipxtable import LIFETIME, LIMIT
from pptpgw.wire import ipx
from pptpgw.wire.ipx import Address, Header, RIPPacket, Route, SAPQuery, SAPResponse, Service

NETWORK = 0x77000000
ROUTER = bytes.fromhex("f20000000000")
BEHIND = 0x1A2B
FURTHER = 0x1A2C
FILES = 4
PRINTERS = 7


class Caller:
    """
    A station, and what it got.
    """

    def __init__(self, world: World, number: int) -> None:
        self.router = world.router
        self.got: list[bytes] = []
        self.node = bytes.fromhex("f2") + number.to_bytes(5, "big")
        self.station: Station = self.router.join(self.node, self.got.append)

    def address(self, socket: int = 0x4000, network: int = NETWORK) -> Address:
        return Address(network, self.node, socket)

    def send(
        self,
        destination: Address,
        data: bytes = b"data",
        *,
        type: int = ipx.PACKET_EXCHANGE,
        source: Address | None = None,
        hops: int = 0,
        checksum: int = ipx.NO_CHECKSUM,
    ) -> bytes:
        """
        Send a packet; the packet.
        """
        packet = bytearray(ipx.encodePacket(type, destination, source or self.address(), data))
        packet[ipx.CHECKSUM] = checksum.to_bytes(2, "big")
        packet[ipx.TRANSPORT_CONTROL] = hops
        self.router.received(self.station, bytes(packet))
        return bytes(packet)

    def tell(self, operation: int, *routes: Route) -> None:
        """
        Send RIP.
        """
        source = self.address(ipx.RIP_SOCKET)
        data = ipx.encodeRIP(operation, routes)
        self.send(everybody(ipx.RIP_SOCKET), data, type=ipx.RIP, source=source)

    def advertise(self, *services: Service) -> None:
        """
        Send SAP.
        """
        source = self.address(ipx.SAP_SOCKET)
        data = ipx.encodeSAP(SAPResponse(ipx.RESPONSE, services))
        self.send(everybody(ipx.SAP_SOCKET), data, source=source)

    def ask(self, query: SAPQuery) -> list[SAPResponse]:
        """
        Send a query of SAP; the answers.
        """
        self.got.clear()
        source = self.address(0x4005)
        self.send(everybody(ipx.SAP_SOCKET), ipx.encodeSAP(query), source=source)
        return self.servers(source, query.operation + 1)

    def servers(self, to: Address, operation: int = ipx.RESPONSE) -> list[SAPResponse]:
        """
        What SAP told it.
        """
        responses = []
        for header, data in map(parted, self.got):
            assert (header.type, header[4:7]) == (ipx.PACKET_EXCHANGE, to)
            assert header.source == Address(NETWORK, ROUTER, ipx.SAP_SOCKET)
            response = ipx.decodeSAP(data)
            assert isinstance(response, SAPResponse)
            assert response.operation == operation
            assert len(response.services) <= ipx.SERVICES
            responses.append(response)
        return responses

    def askRoutes(self, *networks: int) -> list[Route]:
        """
        Send a request of RIP; the routes of the answers.
        """
        self.got.clear()
        self.tell(ipx.REQUEST, *(Route(network, 0xFFFF, 0xFFFF) for network in networks))
        return self.routes(self.address(ipx.RIP_SOCKET))

    def routes(self, to: Address) -> list[Route]:
        """
        What RIP told it.
        """
        routes: list[Route] = []
        for header, data in map(parted, self.got):
            assert (header.type, header[4:7]) == (ipx.RIP, to)
            assert header.source == Address(NETWORK, ROUTER, ipx.RIP_SOCKET)
            packet = ipx.decodeRIP(data)
            assert packet.operation == ipx.RESPONSE
            assert len(packet.routes) <= ipx.ROUTES
            routes += packet.routes
        return routes


class World:
    """
    A router with three callers.
    """

    def __init__(self, learns: bool = True) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.router = Router(self.clock, NETWORK, ROUTER, learns, self.counters)
        self.one, self.two, self.three = (Caller(self, number) for number in (1, 2, 3))

    def discarded(self) -> dict[str, int]:
        """
        What was discarded since the last time.
        """
        discards = dict(self.counters.discards)
        self.counters.discards.clear()
        return discards

    def nothing(self, reason: str) -> None:
        """
        Nobody got anything, and one packet was discarded for C{reason}.
        """
        assert (self.one.got, self.two.got, self.three.got) == ([], [], [])
        assert self.discarded() == {reason: 1}


@pytest.fixture
def world() -> World:
    return World()


def everybody(socket: int, network: int = NETWORK) -> Address:
    return Address(network, ipx.ALL_NODES, socket)


def parted(packet: bytes) -> tuple[Header, bytes]:
    return ipx.decodeHeader(packet), packet[ipx.HEADER_OCTETS :]


def passed(packet: bytes) -> bytes:
    """
    The packet after one router more.
    """
    return packet[:4] + bytes((packet[4] + 1,)) + packet[5:]


def server(name: str, type: int = FILES, hops: int = 1) -> Service:
    return Service(type, name.encode(), Address(BEHIND, bytes.fromhex("000000000001"), 0x451), hops)


# Unicast


@pytest.mark.parametrize("network", [NETWORK, ipx.THIS_NETWORK])
def test_unicast(world: World, network: int) -> None:
    """
    A packet goes to the station with the node, and to nobody else, one router farther.
    """
    packet = world.one.send(world.two.address(0x4545, network))
    assert world.two.got == [passed(packet)]
    assert (world.one.got, world.three.got, world.discarded()) == ([], [], {})


def test_padding(world: World) -> None:
    """
    What stands behind a packet's length isn't passed on.
    """
    packet = ipx.encodePacket(0, world.two.address(), world.one.address(), b"odd")
    world.router.received(world.one.station, packet + b"\0\0\0")
    assert world.two.got == [passed(packet)]


@pytest.mark.parametrize("hops", [0, 7, HOPS - 2])
def test_hops(world: World, hops: int) -> None:
    packet = world.one.send(world.two.address(), hops=hops)
    assert world.two.got == [passed(packet)]


@pytest.mark.parametrize("hops", [HOPS - 1, HOPS, 255])
def test_tooManyHops(world: World, hops: int) -> None:
    """
    No packet passes its sixteenth router.
    """
    world.one.send(world.two.address(), hops=hops)
    world.nothing(ipxrouter.TOO_FAR)
    world.one.send(everybody(0x4000), hops=hops)
    world.nothing(ipxrouter.TOO_FAR)


def test_checksum(world: World) -> None:
    """
    A checksum goes with its packet.
    """
    packet = world.one.send(world.two.address(), checksum=0x1234)
    assert world.two.got == [passed(packet)]


def test_nobody(world: World) -> None:
    """
    Nobody has the node, everybody's network isn't known, or it is for the sender itself.
    """
    for destination in (
        Address(NETWORK, bytes.fromhex("f200000000ff"), 0x4000),
        Address(BEHIND, ipx.ALL_NODES, 0x4000),
        world.one.address(),
    ):
        world.one.send(destination)
        world.nothing(ipxrouter.NO_STATION)


@pytest.mark.parametrize("size", [0, 1, 29])
def test_malformed(world: World, size: int) -> None:
    world.router.received(world.one.station, bytes(size))
    world.nothing(ipxrouter.MALFORMED)


@pytest.mark.parametrize(
    "source",
    [
        Address(NETWORK, bytes.fromhex("f20000000002"), 0x4000),
        Address(NETWORK, ROUTER, 0x4000),
        Address(NETWORK, ipx.ALL_NODES, 0x4000),
        Address(NETWORK, ipx.NO_NODE, 0x4000),
        Address(0, bytes.fromhex("f20000000002"), 0x4000),
        Address(BEHIND, bytes.fromhex("f20000000001"), 0x4000),
        Address(ipx.ALL_NETWORKS, bytes.fromhex("f20000000001"), 0x4000),
    ],
)
@pytest.mark.parametrize("broadcast", [False, True])
def test_spoofed(world: World, source: Address, broadcast: bool) -> None:
    """
    Nobody sends from another's address.
    """
    world.one.send(everybody(1) if broadcast else world.two.address(), source=source)
    world.nothing(ipxrouter.SPOOFED)


def test_left(world: World) -> None:
    """
    Who has left gets nothing, and his node is free.
    """
    assert not world.router.isFree(world.two.node)
    assert not world.router.isFree(ROUTER)
    world.router.leave(world.two.station)
    assert world.router.isFree(world.two.node)
    world.one.send(world.two.address())
    world.nothing(ipxrouter.NO_STATION)
    world.one.send(everybody(0x4000))
    assert (len(world.two.got), len(world.three.got)) == (0, 1)


def test_routerItself(world: World) -> None:
    """
    The router listens to RIP and SAP, and takes the answers to its echoes.
    """
    world.one.send(Address(NETWORK, ROUTER, 0x4000))
    world.nothing(ipxrouter.NOBODY_LISTENS)
    world.one.send(Address(0, ROUTER, ipx.ECHO_SOCKET))
    assert world.discarded() == {}
    assert world.two.got == []


# Broadcast


@pytest.mark.parametrize("network", [NETWORK, ipx.THIS_NETWORK, ipx.ALL_NETWORKS])
def test_broadcast(world: World, network: int) -> None:
    """
    A broadcast goes to all but its sender.
    """
    packet = passed(world.one.send(everybody(0x4545, network)))
    assert (world.one.got, world.two.got, world.three.got) == ([], [packet], [packet])


def test_broadcastRate(world: World) -> None:
    """
    A station has so many broadcasts; others have theirs, and unicast isn't touched.
    """
    rate, burst = map(int, BROADCASTS)
    for _ in range(burst + 5):
        world.one.send(everybody(0x4000))
    assert len(world.two.got) == burst
    assert world.discarded() == {ipxrouter.TOO_OFTEN: 5}
    world.two.send(everybody(0x4000))
    assert len(world.one.got) == 1
    world.one.send(world.two.address())
    assert len(world.two.got) == burst + 1
    world.clock.advance(1)
    for _ in range(burst):
        world.one.send(everybody(0x4000))
    assert len(world.two.got) == burst + 1 + rate


def test_copies(world: World) -> None:
    """
    Where there are many stations, each broadcast of one counts for more; so one alone can't use up
    what all have together, which is limited too.
    """
    callers = [Caller(world, number) for number in range(100, 600)]
    for _ in range(1000):
        world.one.send(everybody(0x4000))
    copies = len(callers) + 2
    count = len(world.two.got)
    assert count == BROADCASTS[1] * ipxrouter.PORTION // copies
    world.discarded()
    for caller in callers:
        caller.send(everybody(0x4000))
    assert len(world.two.got) == ipxrouter.COPIES[1] // copies
    assert world.discarded() == {ipxrouter.TOO_OFTEN: len(callers) + count - len(world.two.got)}


# Type 20


def propagated(*networks: int) -> bytes:
    return struct.pack("!8I", *networks, *[0] * (8 - len(networks))) + b"NetBIOS"


@pytest.mark.parametrize("networks", [(), (BEHIND,), tuple(range(1, 9))])
def test_type20(world: World, networks: tuple[int, ...]) -> None:
    """
    On its network such a packet passes as it is: its transport control counts the networks that
    stand in it.
    """
    hops = len(networks)
    packet = world.one.send(everybody(0x455, 0), propagated(*networks), type=ipx.NETBIOS, hops=hops)
    assert (world.one.got, world.two.got, world.three.got) == ([], [packet], [packet])


def test_type20Circles(world: World) -> None:
    """
    One that has been here comes back from behind another caller: that is the end.
    """
    data = propagated(BEHIND, NETWORK, FURTHER)
    world.one.send(everybody(0x455), data, type=ipx.NETBIOS, hops=3)
    world.nothing(ipxrouter.CIRCLING)
    # What stands behind the count is left over.
    world.one.send(everybody(0x455), data, type=ipx.NETBIOS, hops=1)
    assert len(world.two.got) == 1


@pytest.mark.parametrize("hops", [9, 16, 255])
def test_type20TooFar(world: World, hops: int) -> None:
    """
    Eight networks are enough.
    """
    world.one.send(everybody(0x455), propagated(), type=ipx.NETBIOS, hops=hops)
    world.nothing(ipxrouter.TOO_FAR)


def test_type20Short(world: World) -> None:
    """
    One that has come through networks names them; one that hasn't needn't have room for them.
    """
    world.one.send(everybody(0x455), bytes(7), type=ipx.NETBIOS, hops=2)
    world.nothing(ipxrouter.MALFORMED)
    world.one.send(everybody(0x455), b"", type=ipx.NETBIOS)
    assert len(world.two.got) == 1


def test_type20Unicast(world: World) -> None:
    """
    To one node it is a packet like any other.
    """
    packet = world.one.send(world.two.address(0x455), propagated(), type=ipx.NETBIOS)
    assert world.two.got == [passed(packet)]


# RIP


def test_ownNetwork(world: World) -> None:
    """
    Whoever asks hears of the network that he is on.
    """
    own = Route(NETWORK, 1, 1)
    assert world.one.askRoutes(ipx.ALL_NETWORKS) == [own]
    assert world.one.askRoutes(NETWORK) == [own]
    assert world.one.askRoutes(BEHIND) == []
    # RIP isn't repeated to others.
    assert (world.two.got, world.three.got, world.discarded()) == ([], [], {})


def test_routes(world: World) -> None:
    """
    What one told others hear, one router farther away: all of it or what they ask for.
    """
    world.one.tell(ipx.RESPONSE, Route(BEHIND, 1, 2), Route(FURTHER, 3, 0xFFFF))
    own, near, far = Route(NETWORK, 1, 1), Route(BEHIND, 2, 3), Route(FURTHER, 4, 0xFFFF)
    assert world.two.askRoutes(ipx.ALL_NETWORKS) == [own, near, far]
    assert world.two.askRoutes(FURTHER) == [far]
    assert world.two.askRoutes(FURTHER, 0x99, BEHIND) == [near, far]
    # Split horizon.
    assert world.one.askRoutes(ipx.ALL_NETWORKS) == [own]
    assert world.one.askRoutes(BEHIND) == []


def test_askedByUnicast(world: World) -> None:
    """
    The router is asked at its node, from any socket, by someone who doesn't know his network.
    """
    source = world.one.address(0x4007, ipx.THIS_NETWORK)
    data = ipx.encodeRIP(ipx.REQUEST, [Route(NETWORK, 0, 0)])
    world.one.send(Address(0, ROUTER, ipx.RIP_SOCKET), data, type=ipx.UNKNOWN, source=source)
    assert world.one.routes(world.one.address(0x4007)) == [Route(NETWORK, 1, 1)]


def test_ripBetweenStations(world: World) -> None:
    """
    RIP to another station's node is between those two.
    """
    packet = world.one.send(world.two.address(ipx.RIP_SOCKET), b"whatever")
    assert world.two.got == [passed(packet)]


@pytest.mark.parametrize("network", [ipx.THIS_NETWORK, ipx.ALL_NETWORKS, NETWORK])
def test_impossibleRoutes(world: World, network: int) -> None:
    """
    Nobody leads to our own network, or to what is none.
    """
    world.one.tell(ipx.RESPONSE, Route(network, 1, 1))
    assert world.discarded() == {ipxrouting.NOT_LEARNT: 1}
    assert world.two.askRoutes(ipx.ALL_NETWORKS) == [Route(NETWORK, 1, 1)]


def test_stolenRoute(world: World) -> None:
    """
    Nobody draws another's packets by claiming to be nearer.
    """
    world.one.tell(ipx.RESPONSE, Route(BEHIND, 5, 5))
    world.two.tell(ipx.RESPONSE, Route(BEHIND, 1, 1))
    assert world.discarded() == {ipxrouting.NOT_LEARNT: 1}
    packet = world.three.send(Address(BEHIND, ipx.NO_NODE[:5] + b"\1", 0x451))
    assert (world.one.got, world.two.got) == ([passed(packet)], [])


def test_routed(world: World) -> None:
    """
    Packets go to and come from a network behind a caller; a broadcast there is the caller's.
    """
    world.one.tell(ipx.RESPONSE, Route(BEHIND, 1, 2))
    host = Address(BEHIND, bytes.fromhex("000000000001"), 0x451)
    packet = world.two.send(host, checksum=0x4711)
    assert world.one.got == [passed(packet)]
    packet = world.one.send(world.two.address(), source=host)
    assert world.two.got == [passed(packet)]
    world.one.got.clear()
    packet = world.two.send(everybody(0x455, BEHIND))
    assert (world.one.got, world.three.got) == ([passed(packet)], [])
    # What it knows, others don't send from; and it doesn't get back what it sends there.
    world.discarded()
    world.three.send(world.two.address(), source=host)
    assert world.discarded() == {ipxrouter.SPOOFED: 1}
    world.one.send(host)
    assert world.discarded() == {ipxrouter.NO_STATION: 1}


def test_sourceNetworkFilledIn(world: World) -> None:
    """
    On another network nobody knows what the sender's own network is; a checksum wouldn't be right
    any more.
    """
    world.one.tell(ipx.RESPONSE, Route(BEHIND, 1, 2))
    host = Address(BEHIND, bytes.fromhex("000000000001"), 0x451)
    world.two.send(host, source=world.two.address(0x4000, ipx.THIS_NETWORK), checksum=0x4711)
    header, data = parted(world.one.got[0])
    assert header == Header(0xFFFF, 34, 1, 4, *host, *world.two.address())
    assert data == b"data"


def test_defaultRoute(world: World) -> None:
    """
    A caller that knows the rest of the world gets what nobody else does, and sends from there; not
    from where others are known to be.
    """
    world.one.tell(ipx.RESPONSE, Route(ipx.DEFAULT_NETWORK, 1, 2))
    world.two.tell(ipx.RESPONSE, Route(BEHIND, 1, 2))
    host = Address(0x5555, bytes.fromhex("000000000001"), 0x451)
    packet = world.three.send(host)
    assert world.one.got == [passed(packet)]
    packet = world.one.send(world.three.address(), source=host)
    assert world.three.got == [passed(packet)]
    world.one.send(world.three.address(), source=host._replace(network=BEHIND))
    assert world.discarded() == {ipxrouter.SPOOFED: 1}


def test_routeWithdrawn(world: World) -> None:
    """
    A network that its teller can't reach any more isn't known any more.
    """
    world.one.tell(ipx.RESPONSE, Route(BEHIND, 1, 2))
    world.one.tell(ipx.RESPONSE, Route(BEHIND, ipx.UNREACHABLE, 2))
    assert world.two.askRoutes(BEHIND) == []


def test_routeGone(world: World) -> None:
    """
    A route is gone with its teller, or after three minutes of silence.
    """
    world.one.tell(ipx.RESPONSE, Route(BEHIND, 1, 2))
    world.three.tell(ipx.RESPONSE, Route(FURTHER, 1, 2))
    world.router.leave(world.one.station)
    assert world.two.askRoutes(ipx.ALL_NETWORKS) == [Route(NETWORK, 1, 1), Route(FURTHER, 2, 3)]
    world.clock.advance(LIFETIME)
    assert world.two.askRoutes(ipx.ALL_NETWORKS) == [Route(NETWORK, 1, 1)]


def test_manyRoutes(world: World) -> None:
    """
    A station's routes are limited; answers are cut to packets.
    """
    told = [Route(network, 1, 1) for network in range(1, LIMIT + 11)]
    world.one.tell(ipx.RESPONSE, *told)
    assert world.discarded() == {ipxrouting.NOT_LEARNT: 10}
    assert len(world.two.askRoutes(ipx.ALL_NETWORKS)) == LIMIT + 1
    assert len(world.two.got) == 2


def test_updates(world: World) -> None:
    """
    Once a minute those who are routers themselves are told, and nobody else; nobody is told what he
    told, nor of the network that all are on.
    """
    world.router.update()
    world.one.tell(ipx.RESPONSE, Route(BEHIND, 1, 2))
    world.two.advertise(server("SALES"))
    world.one.got.clear()
    world.router.update()
    assert world.two.routes(everybody(ipx.RIP_SOCKET)) == [Route(BEHIND, 2, 3)]
    assert world.one.servers(everybody(ipx.SAP_SOCKET)) == [
        SAPResponse(ipx.RESPONSE, (server("SALES", hops=2),))
    ]
    assert world.three.got == []
    world.two.got.clear()
    world.clock.advance(LIFETIME)
    world.router.update()
    assert (len(world.one.got), world.two.got) == (1, [])


# SAP


def test_servers(world: World) -> None:
    """
    Servers of one type or of all, one router farther away than they were told to be.
    """
    files, printer = server("SALES"), server("LASER", PRINTERS, 3)
    world.one.advertise(files, printer)
    files, printer = server("SALES", hops=2), server("LASER", PRINTERS, 4)
    ask = world.two.ask
    assert ask(SAPQuery(ipx.REQUEST, FILES)) == [SAPResponse(ipx.RESPONSE, (files,))]
    assert ask(SAPQuery(ipx.REQUEST, PRINTERS)) == [SAPResponse(ipx.RESPONSE, (printer,))]
    assert ask(SAPQuery(ipx.REQUEST, 0x278)) == []
    all = SAPQuery(ipx.REQUEST, ipx.ALL_SERVICES)
    assert ask(all) == [SAPResponse(ipx.RESPONSE, (files, printer))]
    # Split horizon; and SAP isn't repeated to others.
    assert world.one.ask(all) == []
    assert (world.three.got, world.discarded()) == ([], {})


def test_nearest(world: World) -> None:
    """
    Get Nearest Server gets one answer: the nearest.
    """
    world.one.advertise(server("FAR", hops=5), server("NEAR", hops=2), server("FARTHER", hops=6))
    nearest = SAPResponse(ipx.NEAREST_RESPONSE, (server("NEAR", hops=3),))
    assert world.two.ask(SAPQuery(ipx.NEAREST_REQUEST, FILES)) == [nearest]
    assert world.two.ask(SAPQuery(ipx.NEAREST_REQUEST, ipx.ALL_SERVICES)) == [nearest]
    assert world.two.ask(SAPQuery(ipx.NEAREST_REQUEST, PRINTERS)) == []
    assert world.one.ask(SAPQuery(ipx.NEAREST_REQUEST, FILES)) == []


def test_manyServers(world: World) -> None:
    """
    Seven stand in a packet.
    """
    world.one.advertise(*(server(f"S{number}") for number in range(LIMIT + 3)))
    assert world.discarded() == {ipxrouting.NOT_LEARNT: 3}
    responses = world.two.ask(SAPQuery(ipx.REQUEST, FILES))
    assert [len(response.services) for response in responses] == [7] * 9 + [1]


def test_serverGone(world: World) -> None:
    """
    A server goes down, goes with its teller, or is silent for three minutes.
    """
    all = SAPQuery(ipx.REQUEST, ipx.ALL_SERVICES)
    world.one.advertise(server("SALES"))
    world.one.advertise(server("SALES", hops=ipx.UNREACHABLE))
    assert world.two.ask(all) == []
    world.one.advertise(server("SALES"))
    world.clock.advance(LIFETIME)
    assert world.two.ask(all) == []
    world.one.advertise(server("SALES"))
    assert world.two.ask(all) != []
    world.router.leave(world.one.station)
    assert world.two.ask(all) == []


def test_unaskedAnswer(world: World) -> None:
    """
    The nearest server isn't learnt from: we haven't asked.
    """
    data = ipx.encodeSAP(SAPResponse(ipx.NEAREST_RESPONSE, (server("SALES"),)))
    world.one.send(Address(NETWORK, ROUTER, ipx.SAP_SOCKET), data)
    world.nothing(ipxrouting.NO_ANSWER)
    assert world.two.ask(SAPQuery(ipx.REQUEST, ipx.ALL_SERVICES)) == []


def test_netWare(world: World) -> None:
    """
    A NetWare client finds its server behind a caller: nearest server, the way there, the server
    itself.
    """
    world.one.tell(ipx.RESPONSE, Route(BEHIND, 1, 2))
    world.one.advertise(server("SALES"))
    (response,) = world.two.ask(SAPQuery(ipx.NEAREST_REQUEST, FILES))
    address = response.services[0].address
    assert world.two.askRoutes(address.network) == [Route(BEHIND, 2, 3)]
    request = world.two.send(address, b"\x11\x11", type=17)
    assert world.one.got == [passed(request)]
    reply = world.one.send(world.two.address(), b"\x33\x33", type=17, source=address)
    assert world.two.got[-1] == passed(reply)


# Both


def test_learnsNothing() -> None:
    """
    Where callers mayn't tell of anything, nothing is learnt, and nobody is a router.
    """
    world = World(learns=False)
    world.one.tell(ipx.RESPONSE, Route(BEHIND, 1, 2))
    world.one.advertise(server("SALES"))
    assert world.discarded() == {ipxrouting.NOT_LEARNT: 2}
    assert world.two.askRoutes(ipx.ALL_NETWORKS) == [Route(NETWORK, 1, 1)]
    assert world.two.ask(SAPQuery(ipx.REQUEST, ipx.ALL_SERVICES)) == []
    world.two.tell(ipx.RESPONSE, Route(FURTHER, 1, 2))
    world.one.got.clear()
    world.router.update()
    assert world.one.got == []


def test_routingRate(world: World) -> None:
    """
    A station has so many packets of RIP and SAP, those that it gets and those that it sends.
    """
    for _ in range(int(ROUTING[1])):
        world.one.tell(ipx.REQUEST, Route(NETWORK, 0, 0))
    assert len(world.one.got) == ROUTING[1] // 2
    assert world.discarded() == {ipxrouting.TOO_MUCH_ROUTING: ROUTING[1] // 2}
    assert world.two.askRoutes(NETWORK) != []
    world.clock.advance(1)
    assert world.one.askRoutes(NETWORK) != []


def test_longAnswer(world: World) -> None:
    """
    An answer that would be longer than that is cut off.
    """
    for number in range(100, 124):
        Caller(world, number).advertise(*(server(f"S{number}-{n}") for n in range(LIMIT)))
    query = SAPQuery(ipx.REQUEST, ipx.ALL_SERVICES)
    assert len(world.two.ask(query)) == 147
    assert len(world.two.ask(query)) == ROUTING[1] - 147 - 2


@pytest.mark.parametrize("socket", [ipx.RIP_SOCKET, ipx.SAP_SOCKET])
@pytest.mark.parametrize("data", [b"", b"\0\2", b"\0\2\0", b"\0\7" + bytes(64), bytes(9)])
def test_malformedRouting(world: World, socket: int, data: bytes) -> None:
    world.one.send(everybody(socket), data)
    world.nothing(ipxrouter.MALFORMED)


def test_roundTripOfRequest() -> None:
    """
    The test's own requests are what RIP says.
    """
    data = ipx.encodeRIP(ipx.REQUEST, [Route(ipx.ALL_NETWORKS, 0xFFFF, 0xFFFF)])
    assert data.hex() == "0001ffffffffffffffff"
    assert ipx.decodeRIP(data) == RIPPacket(1, (Route(ipx.ALL_NETWORKS, 0xFFFF, 0xFFFF),))


@given(
    st.sampled_from([0, 1, 4, 20, 255]),
    st.sampled_from([0, NETWORK, BEHIND, ipx.ALL_NETWORKS]),
    st.sampled_from([ipx.ALL_NODES, ROUTER, bytes.fromhex("f20000000002"), ipx.NO_NODE]),
    st.sampled_from([2, ipx.RIP_SOCKET, ipx.SAP_SOCKET, 0x455]),
    st.integers(0, 255),
    st.binary(max_size=70),
    st.binary(max_size=3),
)
def test_anything(
    type: int,
    network: int,
    node: bytes,
    socket: int,
    hops: int,
    data: bytes,
    start: bytes,
) -> None:
    """
    Nothing that a station sends raises.
    """
    world = World()
    world.two.tell(ipx.RESPONSE, Route(BEHIND, 1, 2))
    packet = world.one.send(Address(network, node, socket), start + data, type=type, hops=hops)
    for size in range(0, len(packet), 7):
        world.router.received(world.one.station, packet[:size])
    assert world.one.got == [] or socket in (ipx.RIP_SOCKET, ipx.SAP_SOCKET)
