"""
Tests for L{pptpgw.networks.ipx.router}.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.networks.ipx import router, wire
from pptpgw.networks.ipx.router import HOPS
from pptpgw.networks.ipx.routing import BROADCASTS
from pptpgw.networks.ipx.wire import Header, IPXAddress, Route
from tests.networks.ipx.stations import (
    BEHIND,
    FURTHER,
    NETWORK,
    ROUTER,
    Caller,
    World,
    everybody,
    parted,
    passed,
)


@pytest.fixture
def world() -> World:
    return World()


# Unicast.


@pytest.mark.parametrize("network", [NETWORK, wire.THIS_NETWORK])
def test_unicast(world: World, network: int) -> None:
    """
    A packet goes only to the station with its node, and has passed one more router.
    """
    packet = world.one.send(world.two.address(0x4545, network))
    assert world.two.got == [passed(packet)]
    assert (world.one.got, world.three.got, world.discarded()) == ([], [], {})


def test_padding(world: World) -> None:
    """
    Octets beyond a packet's length aren't passed on.
    """
    packet = wire.encodePacket(0, world.two.address(), world.one.address(), b"odd")
    world.router.received(world.one.station, packet + b"\0\0\0")
    assert world.two.got == [passed(packet)]


@pytest.mark.parametrize("hops", [0, 7, HOPS - 2])
def test_hops(world: World, hops: int) -> None:
    packet = world.one.send(world.two.address(), hops=hops)
    assert world.two.got == [passed(packet)]


@pytest.mark.parametrize("hops", [HOPS - 1, HOPS, 255])
def test_tooManyHops(world: World, hops: int) -> None:
    """
    A packet that has passed sixteen routers is discarded.
    """
    world.one.send(world.two.address(), hops=hops)
    world.nothing(router.TOO_FAR)
    world.one.send(everybody(0x4000), hops=hops)
    world.nothing(router.TOO_FAR)


def test_checksum(world: World) -> None:
    """
    A packet keeps its checksum.
    """
    packet = world.one.send(world.two.address(), checksum=0x1234)
    assert world.two.got == [passed(packet)]


def test_nobody(world: World) -> None:
    """
    A packet to an unknown node, to an unknown network or to its sender is discarded.
    """
    for destination in (
        IPXAddress(NETWORK, bytes.fromhex("f200000000ff"), 0x4000),
        IPXAddress(BEHIND, wire.BROADCAST_NODE, 0x4000),
        world.one.address(),
    ):
        world.one.send(destination)
        world.nothing(router.NO_STATION)


@pytest.mark.parametrize("size", [0, 1, 29])
def test_malformed(world: World, size: int) -> None:
    world.router.received(world.one.station, bytes(size))
    world.nothing(router.MALFORMED)


@pytest.mark.parametrize(
    "source",
    [
        IPXAddress(NETWORK, bytes.fromhex("f20000000002"), 0x4000),
        IPXAddress(NETWORK, ROUTER, 0x4000),
        IPXAddress(NETWORK, wire.BROADCAST_NODE, 0x4000),
        IPXAddress(NETWORK, wire.NO_NODE, 0x4000),
        IPXAddress(0, bytes.fromhex("f20000000002"), 0x4000),
        IPXAddress(BEHIND, bytes.fromhex("f20000000001"), 0x4000),
        IPXAddress(wire.ALL_NETWORKS, bytes.fromhex("f20000000001"), 0x4000),
    ],
)
@pytest.mark.parametrize("broadcast", [False, True])
def test_spoofed(world: World, source: IPXAddress, broadcast: bool) -> None:
    """
    A packet with another station's address as its source is discarded.
    """
    world.one.send(everybody(1) if broadcast else world.two.address(), source=source)
    world.nothing(router.SPOOFED)


def test_left(world: World) -> None:
    """
    A station that has left gets nothing, and its node is free.
    """
    assert not world.router.isFree(world.two.node)
    assert not world.router.isFree(ROUTER)
    world.router.leave(world.two.station)
    assert world.router.isFree(world.two.node)
    world.one.send(world.two.address())
    world.nothing(router.NO_STATION)
    world.one.send(everybody(0x4000))
    assert (len(world.two.got), len(world.three.got)) == (0, 1)


def test_routerItself(world: World) -> None:
    """
    The router takes RIP, SAP and answers to its echoes at its own address.
    """
    world.one.send(IPXAddress(NETWORK, ROUTER, 0x4000))
    world.nothing(router.NOBODY_LISTENS)
    world.one.send(IPXAddress(0, ROUTER, wire.ECHO_SOCKET))
    assert world.discarded() == {}
    assert world.two.got == []


# Broadcasts.


@pytest.mark.parametrize("network", [NETWORK, wire.THIS_NETWORK, wire.ALL_NETWORKS])
def test_broadcast(world: World, network: int) -> None:
    """
    A broadcast goes to all stations but its sender.
    """
    packet = passed(world.one.send(everybody(0x4545, network)))
    assert (world.one.got, world.two.got, world.three.got) == ([], [packet], [packet])


def test_ipxwan(world: World) -> None:
    """
    IPXWAN packets aren't passed on, as they are for one link.
    """
    world.one.send(everybody(wire.IPXWAN_SOCKET, 0), b"WASM" + bytes(100))
    world.nothing(router.NOBODY_LISTENS)


def test_broadcastRate(world: World) -> None:
    """
    The broadcasts of each station are limited. Other stations and unicasts aren't affected.
    """
    rate, burst = map(int, BROADCASTS)
    for _ in range(burst + 5):
        world.one.send(everybody(0x4000))
    assert len(world.two.got) == burst
    assert world.discarded() == {router.TOO_OFTEN: 5}
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
    A broadcast counts for more where there are many stations, so that one station can't use up the
    common limit.
    """
    callers = [Caller(world, number) for number in range(100, 600)]
    for _ in range(1000):
        world.one.send(everybody(0x4000))
    copies = len(callers) + 2
    count = len(world.two.got)
    assert count == BROADCASTS[1] * router.PORTION // copies
    world.discarded()
    for caller in callers:
        caller.send(everybody(0x4000))
    assert len(world.two.got) == router.COPIES[1] // copies
    assert world.discarded() == {router.TOO_OFTEN: len(callers) + count - len(world.two.got)}


# Packets of type 20.


def propagated(*networks: int) -> bytes:
    return struct.pack("!8I", *networks, *[0] * (8 - len(networks))) + b"NetBIOS"


@pytest.mark.parametrize("networks", [(), (BEHIND,), tuple(range(1, 9))])
def test_type20(world: World, networks: tuple[int, ...]) -> None:
    """
    A packet of type 20 passes unchanged on its own network, as its transport control counts the
    networks in it.
    """
    hops = len(networks)
    packet = world.one.send(
        everybody(0x455, 0), propagated(*networks), type=wire.NETBIOS, hops=hops
    )
    assert (world.one.got, world.two.got, world.three.got) == ([], [packet], [packet])


def test_type20Circles(world: World) -> None:
    """
    A packet of type 20 that comes back from behind another caller is discarded.
    """
    data = propagated(BEHIND, NETWORK, FURTHER)
    world.one.send(everybody(0x455), data, type=wire.NETBIOS, hops=3)
    world.nothing(router.CIRCLING)
    # Octets beyond the counted networks are left over.
    world.one.send(everybody(0x455), data, type=wire.NETBIOS, hops=1)
    assert len(world.two.got) == 1


@pytest.mark.parametrize("hops", [9, 16, 255])
def test_type20TooFar(world: World, hops: int) -> None:
    """
    A packet of type 20 that has passed eight networks is discarded.
    """
    world.one.send(everybody(0x455), propagated(), type=wire.NETBIOS, hops=hops)
    world.nothing(router.TOO_FAR)


def test_type20Short(world: World) -> None:
    """
    A packet of type 20 that has passed networks must name them. One that hasn't needs no room for
    them.
    """
    world.one.send(everybody(0x455), bytes(7), type=wire.NETBIOS, hops=2)
    world.nothing(router.MALFORMED)
    world.one.send(everybody(0x455), b"", type=wire.NETBIOS)
    assert len(world.two.got) == 1


def test_type20Unicast(world: World) -> None:
    """
    A packet of type 20 to one node is treated like any other.
    """
    packet = world.one.send(world.two.address(0x455), propagated(), type=wire.NETBIOS)
    assert world.two.got == [passed(packet)]


# Other networks.


def test_routed(world: World) -> None:
    """
    Packets go to and come from a network behind a caller. A broadcast to that network goes to the
    caller.
    """
    world.one.tell(wire.RESPONSE, Route(BEHIND, 1, 2))
    host = IPXAddress(BEHIND, bytes.fromhex("000000000001"), 0x451)
    packet = world.two.send(host, checksum=0x4711)
    assert world.one.got == [passed(packet)]
    packet = world.one.send(world.two.address(), source=host)
    assert world.two.got == [passed(packet)]
    world.one.got.clear()
    packet = world.two.send(everybody(0x455, BEHIND))
    assert (world.one.got, world.three.got) == ([passed(packet)], [])
    # Other stations can't send from a network that the router knows, and no packet goes back to
    # where it came from.
    world.discarded()
    world.three.send(world.two.address(), source=host)
    assert world.discarded() == {router.SPOOFED: 1}
    world.one.send(host)
    assert world.discarded() == {router.NO_STATION: 1}


def test_sourceNetworkFilledIn(world: World) -> None:
    """
    The sender's network is filled in on the way to another network. A packet with a checksum isn't
    changed and is discarded.
    """
    world.one.tell(wire.RESPONSE, Route(BEHIND, 1, 2))
    host = IPXAddress(BEHIND, bytes.fromhex("000000000001"), 0x451)
    world.two.send(host, source=world.two.address(0x4000, wire.THIS_NETWORK), checksum=0x4711)
    header, data = parted(world.one.got[0])
    assert header == Header(0xFFFF, 34, 1, 4, *host, *world.two.address())
    assert data == b"data"


def test_defaultRoute(world: World) -> None:
    """
    A caller with a default route gets packets for unknown networks and may send from them, but not
    from networks that are known to be elsewhere.
    """
    world.one.tell(wire.RESPONSE, Route(wire.DEFAULT_NETWORK, 1, 2))
    world.two.tell(wire.RESPONSE, Route(BEHIND, 1, 2))
    host = IPXAddress(0x5555, bytes.fromhex("000000000001"), 0x451)
    packet = world.three.send(host)
    assert world.one.got == [passed(packet)]
    packet = world.one.send(world.three.address(), source=host)
    assert world.three.got == [passed(packet)]
    world.one.send(world.three.address(), source=host._replace(network=BEHIND))
    assert world.discarded() == {router.SPOOFED: 1}


@given(
    st.sampled_from([0, 1, 4, 20, 255]),
    st.sampled_from([0, NETWORK, BEHIND, wire.ALL_NETWORKS]),
    st.sampled_from([wire.BROADCAST_NODE, ROUTER, bytes.fromhex("f20000000002"), wire.NO_NODE]),
    st.sampled_from([2, wire.RIP_SOCKET, wire.SAP_SOCKET, 0x455]),
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
    No packet of a station raises an exception.
    """
    world = World()
    world.two.tell(wire.RESPONSE, Route(BEHIND, 1, 2))
    packet = world.one.send(IPXAddress(network, node, socket), start + data, type=type, hops=hops)
    for size in range(0, len(packet), 7):
        world.router.received(world.one.station, packet[:size])
    assert world.one.got == [] or socket in (wire.RIP_SOCKET, wire.SAP_SOCKET)
