"""
Tests for the tables that peers of SSTP, L2TP and lines can fill: which ones there are, that each
has a limit, and that nothing is left in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from pptpgw.config.section import LimitsSection
from pptpgw.interfaces import ICallTaker
from pptpgw.log import SOURCES
from pptpgw.testing import makeTunnelEnvironment
from pptpgw.tunnels.hdlc.protocol import HDLCProtocol
from pptpgw.tunnels.hdlc.wire import FLAG
from pptpgw.tunnels.l2tp.connections import REMEMBERED
from pptpgw.tunnels.l2tp.delivery import WINDOW
from pptpgw.tunnels.l2tp.secrets import PeerTrust
from pptpgw.tunnels.l2tp.tunnel import L2TPSettings, L2TPTunnel
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from pptpgw.tunnels.l2tp.wire.header import ControlHeader, decodeControl, encodeControl
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, decode, encode
from pptpgw.tunnels.sstp.tunnel import SSTPFactory, SSTPSettings
from pptpgw.tunnels.sstp.wire import LONGEST, Kind, Message
from tests.hostile.limits import containers
from tests.tunnels.hdlc.test_tunnel import World as LineWorld
from tests.tunnels.l2tp.joined import CallOwner
from tests.tunnels.l2tp.test_connection import ICRQ, SCCRQ
from tests.tunnels.sstp.joined import OPENING
from tests.tunnels.sstp.test_machine import CERTIFICATE, REQUEST

CALLS = 4
"""
The most calls on a control connection of L2TP.
"""

ATTEMPTS = LimitsSection().attempts
ADMITTED = {
    "Door._connections": 1,
    "Door._hosts": 1,
    "Entrance.connections": 1,
    "Places._items": 2,
    "Places._items[]": 4,
    "_Crowd._byCount[]": 2,
    "_Crowd._sources": 2,
    "_Crowd._sources[]": 2,
}
"""
How many entries the tables that all tunnels have may have for each peer.
"""
REMAINING = {"Counters.discards": 20, "Quota._sources": SOURCES}
"""
The tables of all tunnels that keep entries of peers that are gone, with their limits.
"""


@implementer(ICallTaker)
class L2TPPeers:
    """
    An L2TP tunnel, and peers that each do all that they can.
    """

    limits: Mapping[str, float] = ADMITTED | {
        "ControlConnections._connections": 1,
        "ControlConnections._peers": 1,
        "ControlConnections._requests": 1,
        "ControlConnections._requests[]": 2,
        "Delivery._held": WINDOW - 1,
        "Delivery._held[]": 2 * (WINDOW - 1),
        # The answers to calls, none of which is acknowledged.
        "Delivery._queue": 2 * CALLS,
        "Handshake._trust": len(PeerTrust._fields),
        "L2TPConnection.calls": CALLS,
        "L2TPConnection.peer": 2,
        "NetworkServer._incoming": 1,
        "Quota._sources": 1,
    }
    """
    How many entries a table may have for each peer.
    """

    left: Mapping[str, int] = REMAINING | {
        "ControlConnections._ended": REMEMBERED,
        "ControlConnections._ended[]": 3 * REMEMBERED,
        "ControlConnections._ended[][]": 6 * REMEMBERED,
    }
    """
    The tables that keep entries of peers that are gone, with their limits.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        environment = makeTunnelEnvironment(self, clock=self.clock)
        self.tunnel = L2TPTunnel(L2TPSettings(maxCallsPerConnection=CALLS), environment)
        self.tunnel.entrance.begin()
        self.tunnel._server.accepts = True
        port: Any = self.tunnel.ports[0]
        port.send = self._send
        self.roots = (self.tunnel, environment.attempts)
        self._connections = port.connections
        self._sent: list[bytes] = []
        self._count = 0

    def callRequested(self, call: Any) -> None:
        self._count += 1
        if self._count % 2:
            call.accept(CallOwner())

    def come(self, number: int) -> None:
        """
        One more peer comes.
        """
        peer = f"10.0.{number >> 8}.{number & 255}", 1701
        self._sent.clear()
        self._say(peer, 0, 0, MessageType.SCCRQ, SCCRQ)
        answer = decode(decodeControl(self._sent[0])[1])
        ours = answer.get(AVP.ASSIGNED_TUNNEL_ID)
        self._say(peer, ours, 1, MessageType.SCCCN, {})
        for call in range(2 * CALLS):
            values = ICRQ | {AVP.ASSIGNED_SESSION_ID: 1 + call}
            self._say(peer, ours, 2 + call, MessageType.ICRQ, values)
        for skipped in range(1, 100):
            self._say(peer, ours, 2 + 2 * CALLS + skipped, MessageType.HELLO, {})

    def go(self) -> None:
        """
        All peers fall silent.
        """
        self.clock.pump([1] * 200)

    def _say(
        self, peer: tuple[str, int], ours: int, sent: int, kind: int, values: dict[int, Any]
    ) -> None:
        body = encode(L2TPMessage(kind, values))
        octets = encodeControl(ControlHeader(ours, 0, sent, 1), body)
        self._connections.received(octets, peer, "192.0.2.1")

    def _send(self, localAddress: str, peer: tuple[str, int], octets: bytes) -> None:
        self._sent.append(octets)


@implementer(ICallTaker)
class SSTPPeers:
    """
    An SSTP tunnel without TLS, and peers that each do all that they can.
    """

    limits: Mapping[str, float] = ADMITTED | {
        "Quota._sources": 1,
        "SSTPCall.steps": 2,
        "SSTPCall.steps[]": 4,
    }
    """
    How many entries a table may have for each peer.
    """

    left: Mapping[str, int] = REMAINING | {
        "Attempt._flat": 2 * ATTEMPTS,
        "Attempt._flat[]": 2 * ATTEMPTS,
        "Attempts._over[]": ATTEMPTS,
        "Attempts._sources": ATTEMPTS,
        "Attempts._sources[]": ATTEMPTS,
    }
    """
    The tables that keep entries of peers that are gone, with their limits.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        environment = makeTunnelEnvironment(self, clock=self.clock)
        self.factory = SSTPFactory(SSTPSettings(tls=False), environment)
        certificate: Any = SimpleNamespace(der=CERTIFICATE, context=None)
        self.factory.certificate = certificate
        self.roots = (self.factory, environment.attempts)
        self.protocols: list[Any] = []

    def callRequested(self, call: Any) -> None:
        call.accept(CallOwner())

    def come(self, number: int) -> None:
        """
        One more peer comes: it sends half a request, or a request and packets of every kind, of
        which the last never ends.
        """
        address = IPv4Address("TCP", f"10.0.{number >> 8}.{number & 255}", 4000)
        protocol: Any = self.factory.buildProtocol(address)
        here = IPv4Address("TCP", "192.0.2.1", 443)
        protocol.makeConnection(StringTransport(hostAddress=here, peerAddress=address))
        self.protocols.append(protocol)
        if number % 3 == 0:
            protocol.dataReceived(OPENING[:-2])
            return
        protocol.dataReceived(OPENING + REQUEST.encode())
        for _ in range(50):
            protocol.dataReceived(Message(Kind.ECHO_REQUEST).encode())
        protocol.dataReceived(b"\x10\x00" + LONGEST.to_bytes(2, "big") + bytes(LONGEST - 5))
        # What is to be sent waits for the end of the turn.
        self.clock.advance(0)

    def go(self) -> None:
        """
        All peers fall silent, and close their connections when they are told to.
        """
        self.clock.pump([1] * 200)
        for protocol in self.protocols:
            assert protocol.transport.disconnecting or protocol.transport.disconnected
            protocol.connectionLost()
        self.protocols.clear()


class LinePeers:
    """
    Lines over TCP, and peers that each send text, frames that are none, and one that never ends.
    """

    limits: Mapping[str, float] = ADMITTED
    """
    How many entries a table may have for each peer.
    """

    left: Mapping[str, int] = REMAINING
    """
    The tables that keep entries of peers that are gone, with their limits.
    """

    def __init__(self) -> None:
        self.world = LineWorld()
        self.clock = self.world.clock
        self.roots = (self.world.factory, self.world.environment.attempts)
        self.protocols: list[HDLCProtocol] = []

    def come(self, number: int) -> None:
        """
        One more peer comes.
        """
        made = self.world.connect(f"10.0.{number >> 8}.{number & 255}")
        assert made is not None
        protocol, _ = made
        self.protocols.append(protocol)
        self.world.calls[-1].accept(CallOwner())
        protocol.dataReceived(b"login: " + FLAG + b"~".join(b"%d" % one for one in range(50)))
        for _ in range(20):
            protocol.dataReceived(bytes(1000))

    def go(self) -> None:
        """
        All peers hang up.
        """
        for protocol in self.protocols:
            protocol.connectionLost()
        self.protocols.clear()
        self.world.calls.clear()


def growing(few: dict[str, int], many: dict[str, int]) -> dict[str, int]:
    """
    The tables that have more entries with many peers than with few, and how many more.
    """
    return {name: many[name] - few.get(name, 0) for name in many if many[name] > few.get(name, 0)}


@pytest.mark.parametrize("make", [L2TPPeers, SSTPPeers, LinePeers])
def test_tables(make: Callable[[], L2TPPeers | SSTPPeers | LinePeers]) -> None:
    """
    Every table that grows with the peers is known and has a limit for each peer; tables with a
    limit are tables that grow. When the peers have gone nothing is left but what has a limit.
    """
    peers = make()
    before = containers(*peers.roots)
    for number in range(10):
        peers.come(number)
    few = containers(*peers.roots)
    for number in range(10, 40):
        peers.come(number)
    grown = growing(few, containers(*peers.roots))
    assert grown.keys() == peers.limits.keys()
    assert {name: size for name, size in grown.items() if size > 30 * peers.limits[name]} == {}
    peers.go()
    after = growing(before, containers(*peers.roots))
    assert {name: size for name, size in after.items() if size > peers.left.get(name, 0)} == {}
    assert not peers.clock.getDelayedCalls()
