"""
Tests for declared protocols on a whole gateway in memory, with callers of our own, from LCP to
packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.error import CallError
from pptpgw.interfaces import INetworkProtocol
from pptpgw.networks.generic.catalogue import shipped
from pptpgw.networks.generic.control import GenericProtocol, GenericSettings, protocolFor
from pptpgw.networks.generic.declaration import Declaration, Rule
from pptpgw.networks.generic.plugin import GenericNetwork
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire import ppp
from pptpgw.testing import CALLER, makeEnvironment, resultOf
from tests.chapsecrets import secretsIn
from tests.networks.generic.ends import declare
from tests.test_gateway import SECRETS, World

APPLETALK = shipped()["appletalk"]
MAC = replace(APPLETALK, options={1: Rule(ask=bytes(4), required=True), 7: Rule(ask=b"")})
"""
AppleTalk as an end system uses it: it asks for an address and a zone.
"""


class Caller:
    """
    A caller with IPv4 and a declared protocol.
    """

    def __init__(self, world: World, declaration: Declaration) -> None:
        self.packets: list[tuple[int, bytes]] = []
        self.protocol = protocolFor(declaration)(
            GenericSettings(lambda number, packet: self.packets.append((number, packet)))
        )
        identity = Identity(b"alice", b"open sesame", (MSCHAPV2,))
        protocols: list[INetworkProtocol] = [
            IPCP(IPv4Settings.client(lambda packet: None)),
            self.protocol,
        ]
        placed: Deferred[ClientCall] = world.connect().placeCall(
            LinkSettings(identity=identity), protocols
        )
        world.run(0.2)
        self.call = resultOf(placed)


@pytest.fixture
def world(tmp_path: object) -> Iterator[World]:
    """
    A gateway with IPv4, AppleTalk and a protocol that has two numbers.
    """
    secrets = secretsIn(tmp_path, SECRETS)
    world = World(secrets)
    environment = makeEnvironment(clock=world.clock)
    for declaration in (APPLETALK, declare(0x00C3, 0x02C3)):
        world.networks[declaration.name] = GenericNetwork(declaration, environment)
    yield world


def test_appletalk(world: World) -> None:
    """
    Each AppleTalk caller gets its own node number, and packets of one go to the others.
    """
    callers = [Caller(world, MAC) for _ in range(3)]
    nodes = [caller.protocol.negotiator.granted for caller in callers]
    assert nodes == [{1: bytes((0, 0xFF, 0, node))} for node in (1, 2, 3)]
    callers[1].protocol.sendPacket(b"to everybody")
    world.run(0.01)
    for caller in (callers[0], callers[2]):
        assert caller.packets == [(0x0029, b"to everybody")]
    assert callers[1].packets == []
    session = next(one for one in world.gateway.sessions if "appletalk" in one.networks)
    assert session.networks["appletalk"] == ()


def test_aNodeIsGivenBack(world: World) -> None:
    """
    The node number of an ended session is free again, the next caller gets another one, and the
    other sessions go on.
    """
    callers = [Caller(world, MAC) for _ in range(3)]
    callers[0].call.hangUp()
    world.run(5, 0.01)
    callers[1].protocol.sendPacket(b"still here")
    world.run(0.01)
    assert callers[2].packets == [(0x0029, b"still here")]
    assert callers[0].packets == []
    network = list(world.networks.values())[1]
    assert isinstance(network, GenericNetwork)
    values: list[GenericProtocol | None] = []
    profile = next(iter(world.gateway.sessions)).profile
    for _ in range(252):
        network.makeProtocol(profile, CALLER).addCallback(values.append)
    given = [one.settings.assigned[1][3] if one is not None else None for one in values]
    assert given == [*range(4, 254), 1, None]


def test_severalNumbers(world: World) -> None:
    """
    Packets of a protocol with several numbers keep their numbers all the way.
    """
    callers = [Caller(world, declare(0x00C3, 0x02C3)) for _ in range(2)]
    link = callers[0].protocol.link
    link.sendPacket(0x02C3, b"second")
    link.sendPacket(0x00C3, b"first")
    world.run(0.01)
    assert callers[1].packets == [(0x02C3, b"second"), (0x00C3, b"first")]


def test_anUnknownProtocol(world: World) -> None:
    """
    A protocol that the gateway doesn't know gets a Protocol-Reject and ends, and the call goes on.
    """
    caller = Caller(world, shipped()["vines"])
    errors: list[str] = []
    caller.call.whenOpen(caller.protocol).addErrback(
        lambda failure: errors.append(str(failure.trap(CallError) and failure.value))
    )
    assert errors == ["vines is over"]
    rejects = [
        packet
        for protocol, packet in world.dataPath.channels[-1].sent
        if protocol == ppp.LCP and packet[0] == ppp.PROTOCOL_REJECT
    ]
    assert [packet[4:6] for packet in rejects] == [b"\x80\x35"]
    (session,) = world.gateway.sessions
    assert list(session.networks) == ["ipv4"]


def test_aCallerWithoutIt(world: World) -> None:
    """
    A caller with IPv4 alone rejects the other control protocols and gets none of their packets.
    """
    resultOf(world.call(world.connect()))
    callers = [Caller(world, MAC) for _ in range(2)]
    callers[0].protocol.sendPacket(b"hello")
    world.run(0.01)
    assert callers[1].packets == [(0x0029, b"hello")]
    sent = world.dataPath.channels[0].sent
    assert not [packet for protocol, packet in sent if protocol == 0x0029]
