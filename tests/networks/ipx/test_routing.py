"""
Tests for L{pptpgw.networks.ipx.routing}.
"""

from __future__ import annotations

import pytest

from pptpgw.networks.ipx import router, routing, wire
from pptpgw.networks.ipx.routing import ROUTING
from pptpgw.networks.ipx.table import LIFETIME, LIMIT
from pptpgw.networks.ipx.wire import IPXAddress, RIPPacket, Route, SAPQuery, SAPResponse
from tests.networks.ipx.stations import (
    BEHIND,
    FILES,
    FURTHER,
    NETWORK,
    PRINTERS,
    ROUTER,
    Caller,
    World,
    everybody,
    passed,
    server,
)


@pytest.fixture
def world() -> World:
    return World()


# RIP.


def test_ownNetwork(world: World) -> None:
    """
    A station that asks for its own network gets an answer.
    """
    own = Route(NETWORK, 1, 1)
    assert world.one.askRoutes(wire.ALL_NETWORKS) == [own]
    assert world.one.askRoutes(NETWORK) == [own]
    assert world.one.askRoutes(BEHIND) == []
    # RIP isn't repeated to other stations.
    assert (world.two.got, world.three.got, world.discarded()) == ([], [], {})


def test_routes(world: World) -> None:
    """
    The routes that one station told are told to the others, one router farther away, all of them or
    those that are asked for.
    """
    world.one.tell(wire.RESPONSE, Route(BEHIND, 1, 2), Route(FURTHER, 3, 0xFFFF))
    own, near, far = Route(NETWORK, 1, 1), Route(BEHIND, 2, 3), Route(FURTHER, 4, 0xFFFF)
    assert world.two.askRoutes(wire.ALL_NETWORKS) == [own, near, far]
    assert world.two.askRoutes(FURTHER) == [far]
    assert world.two.askRoutes(FURTHER, 0x99, BEHIND) == [near, far]
    # Split horizon.
    assert world.one.askRoutes(wire.ALL_NETWORKS) == [own]
    assert world.one.askRoutes(BEHIND) == []


def test_askedByUnicast(world: World) -> None:
    """
    The router answers a unicast request from any socket, even of a station that doesn't know its
    network.
    """
    source = world.one.address(0x4007, wire.THIS_NETWORK)
    data = wire.encodeRIP(wire.REQUEST, [Route(NETWORK, 0, 0)])
    world.one.send(IPXAddress(0, ROUTER, wire.RIP_SOCKET), data, type=wire.UNKNOWN, source=source)
    assert world.one.routes(world.one.address(0x4007)) == [Route(NETWORK, 1, 1)]


def test_ripBetweenStations(world: World) -> None:
    """
    RIP between two stations' nodes is passed on and not read.
    """
    packet = world.one.send(world.two.address(wire.RIP_SOCKET), b"whatever")
    assert world.two.got == [passed(packet)]


@pytest.mark.parametrize("network", [wire.THIS_NETWORK, wire.ALL_NETWORKS, NETWORK])
def test_impossibleRoutes(world: World, network: int) -> None:
    """
    Routes to our own network and to invalid networks aren't learnt.
    """
    world.one.tell(wire.RESPONSE, Route(network, 1, 1))
    assert world.discarded() == {routing.NOT_LEARNT: 1}
    assert world.two.askRoutes(wire.ALL_NETWORKS) == [Route(NETWORK, 1, 1)]


def test_stolenRoute(world: World) -> None:
    """
    A station can't take over a route by claiming to be nearer.
    """
    world.one.tell(wire.RESPONSE, Route(BEHIND, 5, 5))
    world.two.tell(wire.RESPONSE, Route(BEHIND, 1, 1))
    assert world.discarded() == {routing.NOT_LEARNT: 1}
    packet = world.three.send(IPXAddress(BEHIND, wire.NO_NODE[:5] + b"\1", 0x451))
    assert (world.one.got, world.two.got) == ([passed(packet)], [])


def test_routeWithdrawn(world: World) -> None:
    """
    A route that its teller withdraws is forgotten.
    """
    world.one.tell(wire.RESPONSE, Route(BEHIND, 1, 2))
    world.one.tell(wire.RESPONSE, Route(BEHIND, wire.UNREACHABLE, 2))
    assert world.two.askRoutes(BEHIND) == []


def test_routeGone(world: World) -> None:
    """
    A route ends with its teller, or after three minutes of silence.
    """
    world.one.tell(wire.RESPONSE, Route(BEHIND, 1, 2))
    world.three.tell(wire.RESPONSE, Route(FURTHER, 1, 2))
    world.router.leave(world.one.station)
    assert world.two.askRoutes(wire.ALL_NETWORKS) == [Route(NETWORK, 1, 1), Route(FURTHER, 2, 3)]
    world.clock.advance(LIFETIME)
    assert world.two.askRoutes(wire.ALL_NETWORKS) == [Route(NETWORK, 1, 1)]


def test_manyRoutes(world: World) -> None:
    """
    The number of a station's routes is limited, and a long answer is cut into several packets.
    """
    told = [Route(network, 1, 1) for network in range(1, LIMIT + 11)]
    world.one.tell(wire.RESPONSE, *told)
    assert world.discarded() == {routing.NOT_LEARNT: 10}
    assert len(world.two.askRoutes(wire.ALL_NETWORKS)) == LIMIT + 1
    assert len(world.two.got) == 2


def test_updates(world: World) -> None:
    """
    Stations that are routers get updates once a minute, and others get none. No station is told
    what it told, nor of the common network.
    """
    world.router.update()
    world.one.tell(wire.RESPONSE, Route(BEHIND, 1, 2))
    world.two.advertise(server("SALES"))
    world.one.got.clear()
    world.router.update()
    assert world.two.routes(everybody(wire.RIP_SOCKET)) == [Route(BEHIND, 2, 3)]
    assert world.one.servers(everybody(wire.SAP_SOCKET)) == [
        SAPResponse(wire.RESPONSE, (server("SALES", hops=2),))
    ]
    assert world.three.got == []
    world.two.got.clear()
    world.clock.advance(LIFETIME)
    world.router.update()
    assert (len(world.one.got), world.two.got) == (1, [])


# SAP.


def test_servers(world: World) -> None:
    """
    Servers of one type or of all types are told, one router farther away.
    """
    files, printer = server("SALES"), server("LASER", PRINTERS, 3)
    world.one.advertise(files, printer)
    files, printer = server("SALES", hops=2), server("LASER", PRINTERS, 4)
    ask = world.two.ask
    assert ask(SAPQuery(wire.REQUEST, FILES)) == [SAPResponse(wire.RESPONSE, (files,))]
    assert ask(SAPQuery(wire.REQUEST, PRINTERS)) == [SAPResponse(wire.RESPONSE, (printer,))]
    assert ask(SAPQuery(wire.REQUEST, 0x278)) == []
    all = SAPQuery(wire.REQUEST, wire.ALL_SERVICES)
    assert ask(all) == [SAPResponse(wire.RESPONSE, (files, printer))]
    # Split horizon. SAP isn't repeated to other stations either.
    assert world.one.ask(all) == []
    assert (world.three.got, world.discarded()) == ([], {})


def test_nearest(world: World) -> None:
    """
    Get Nearest Server is answered with the nearest server alone.
    """
    world.one.advertise(server("FAR", hops=5), server("NEAR", hops=2), server("FARTHER", hops=6))
    nearest = SAPResponse(wire.NEAREST_RESPONSE, (server("NEAR", hops=3),))
    assert world.two.ask(SAPQuery(wire.NEAREST_REQUEST, FILES)) == [nearest]
    assert world.two.ask(SAPQuery(wire.NEAREST_REQUEST, wire.ALL_SERVICES)) == [nearest]
    assert world.two.ask(SAPQuery(wire.NEAREST_REQUEST, PRINTERS)) == []
    assert world.one.ask(SAPQuery(wire.NEAREST_REQUEST, FILES)) == []


def test_manyServers(world: World) -> None:
    """
    A packet has at most seven servers.
    """
    world.one.advertise(*(server(f"S{number}") for number in range(LIMIT + 3)))
    assert world.discarded() == {routing.NOT_LEARNT: 3}
    responses = world.two.ask(SAPQuery(wire.REQUEST, FILES))
    assert [len(response.services) for response in responses] == [7] * 9 + [1]


def test_serverGone(world: World) -> None:
    """
    A server ends when it is withdrawn, when its teller leaves, or after three minutes of silence.
    """
    all = SAPQuery(wire.REQUEST, wire.ALL_SERVICES)
    world.one.advertise(server("SALES"))
    world.one.advertise(server("SALES", hops=wire.UNREACHABLE))
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
    A nearest-server response isn't learnt from, as the router never asks.
    """
    data = wire.encodeSAP(SAPResponse(wire.NEAREST_RESPONSE, (server("SALES"),)))
    world.one.send(IPXAddress(NETWORK, ROUTER, wire.SAP_SOCKET), data)
    world.nothing(routing.NO_ANSWER)
    assert world.two.ask(SAPQuery(wire.REQUEST, wire.ALL_SERVICES)) == []


def test_netWare(world: World) -> None:
    """
    A NetWare client finds its server behind a caller: the nearest server, the route to it, and the
    server itself.
    """
    world.one.tell(wire.RESPONSE, Route(BEHIND, 1, 2))
    world.one.advertise(server("SALES"))
    (response,) = world.two.ask(SAPQuery(wire.NEAREST_REQUEST, FILES))
    address = response.services[0].address
    assert world.two.askRoutes(address.network) == [Route(BEHIND, 2, 3)]
    request = world.two.send(address, b"\x11\x11", type=17)
    assert world.one.got == [passed(request)]
    reply = world.one.send(world.two.address(), b"\x33\x33", type=17, source=address)
    assert world.two.got[-1] == passed(reply)


# RIP and SAP.


def test_learnsNothing() -> None:
    """
    The router learns nothing, and no station counts as a router, where callers may not tell routes
    and servers.
    """
    world = World(learns=False)
    world.one.tell(wire.RESPONSE, Route(BEHIND, 1, 2))
    world.one.advertise(server("SALES"))
    assert world.discarded() == {routing.NOT_LEARNT: 2}
    assert world.two.askRoutes(wire.ALL_NETWORKS) == [Route(NETWORK, 1, 1)]
    assert world.two.ask(SAPQuery(wire.REQUEST, wire.ALL_SERVICES)) == []
    world.two.tell(wire.RESPONSE, Route(FURTHER, 1, 2))
    world.one.got.clear()
    world.router.update()
    assert world.one.got == []


def test_routingRate(world: World) -> None:
    """
    The packets of RIP and SAP that a station sends, and those that it gets, are limited.
    """
    for _ in range(int(ROUTING[1])):
        world.one.tell(wire.REQUEST, Route(NETWORK, 0, 0))
    assert len(world.one.got) == ROUTING[1] // 2
    assert world.discarded() == {routing.TOO_MUCH_ROUTING: ROUTING[1] // 2}
    assert world.two.askRoutes(NETWORK) != []
    world.clock.advance(1)
    assert world.one.askRoutes(NETWORK) != []


def test_longAnswer(world: World) -> None:
    """
    An answer that exceeds the limit is cut off.
    """
    for number in range(100, 124):
        Caller(world, number).advertise(*(server(f"S{number}-{n}") for n in range(LIMIT)))
    query = SAPQuery(wire.REQUEST, wire.ALL_SERVICES)
    assert len(world.two.ask(query)) == 147
    assert len(world.two.ask(query)) == ROUTING[1] - 147 - 2


@pytest.mark.parametrize("socket", [wire.RIP_SOCKET, wire.SAP_SOCKET])
@pytest.mark.parametrize("data", [b"", b"\0\2", b"\0\2\0", b"\0\7" + bytes(64), bytes(9)])
def test_malformedRouting(world: World, socket: int, data: bytes) -> None:
    world.one.send(everybody(socket), data)
    world.nothing(router.MALFORMED)


def test_roundTripOfRequest() -> None:
    """
    The request that these tests send has the octets of RIP.
    """
    data = wire.encodeRIP(wire.REQUEST, [Route(wire.ALL_NETWORKS, 0xFFFF, 0xFFFF)])
    assert data.hex() == "0001ffffffffffffffff"
    assert wire.decodeRIP(data) == RIPPacket(1, (Route(wire.ALL_NETWORKS, 0xFFFF, 0xFFFF),))
