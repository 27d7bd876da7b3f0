"""
Tests for floods of L2TP's control messages, from one address and from many that are forged.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.config.section import ListenSection
from pptpgw.interfaces import ICallTaker
from pptpgw.testing import makeTunnelEnvironment
from pptpgw.tunnels.l2tp.carriage import Address
from pptpgw.tunnels.l2tp.statetable import ControlState
from pptpgw.tunnels.l2tp.tunnel import L2TPSettings, L2TPTunnel
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from pptpgw.tunnels.l2tp.wire.header import ControlHeader, decodeControl, encodeControl
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, decode, encode

HONEST: Address = ("198.51.100.7", 1701)


@implementer(ICallTaker)
class Flooded:
    """
    A tunnel whose port sends nothing, and how many octets came and went.
    """

    def __init__(self, **listen: Any) -> None:
        self.clock = Clock()
        environment = makeTunnelEnvironment(self, ListenSection(**listen), self.clock)
        self.tunnel = L2TPTunnel(L2TPSettings(), environment)
        self.tunnel.entrance.begin()
        self.tunnel._server.accepts = True
        port: Any = self.tunnel.ports[0]
        port.send = self.send
        self.connections = port.connections
        self.sent: list[tuple[Address, bytes]] = []
        self.received = 0

    def callRequested(self, call: Any) -> None:
        raise AssertionError("nobody asks for a call")

    def send(self, localAddress: str, peer: Address, octets: bytes) -> None:
        self.sent.append((peer, octets))

    def receive(self, peer: Address, message: L2TPMessage, header: ControlHeader) -> None:
        octets = encodeControl(header, encode(message))
        self.received += len(octets)
        self.connections.received(octets, peer, "192.0.2.1")

    def begin(self, peer: Address, tunnelID: int = 1) -> None:
        """
        Receive an SCCRQ, as short as one can be.
        """
        values: dict[int, Any] = {
            AVP.PROTOCOL_VERSION: 0x100,
            AVP.FRAMING_CAPABILITIES: 3,
            AVP.HOST_NAME: b"x",
            AVP.ASSIGNED_TUNNEL_ID: tunnelID,
        }
        self.receive(peer, L2TPMessage(MessageType.SCCRQ, values), ControlHeader(0, 0, 0, 0))

    def opens(self, peer: Address) -> bool:
        """
        Whether a peer that does as it should gets a connection.
        """
        before = self.established()
        self.sent.clear()
        self.begin(peer)
        if not self.sent:
            return False
        answer = decode(decodeControl(self.sent[-1][1])[1])
        assigned = answer.get(AVP.ASSIGNED_TUNNEL_ID)
        header = ControlHeader(assigned, 0, 1, 1)
        self.receive(peer, L2TPMessage(MessageType.SCCCN), header)
        return self.established() > before

    def established(self) -> int:
        found = self.connections._connections.values()
        return sum(one.state is ControlState.ESTABLISHED for one in found)


def test_forgedAddresses() -> None:
    """
    SCCRQs from many addresses open as many connections as may be silent, get one short answer each
    and no repetition, and leave nothing; a caller gets in meanwhile.
    """
    flooded = Flooded(maxSilentConnections=20)
    for number in range(1000):
        flooded.begin((f"10.0.{number >> 8}.{number & 255}", 1701))
    assert len(flooded.connections) == 20
    assert len(flooded.sent) <= 1000
    # IP and UDP have 28 octets besides.
    sent = sum(len(octets) + 28 for _, octets in flooded.sent)
    assert sent < 1.5 * (flooded.received + 1000 * 28)
    count = len(flooded.sent)
    flooded.clock.advance(6)
    assert len(flooded.sent) == count
    assert flooded.opens(HONEST)
    flooded.clock.advance(10)
    assert len(flooded.connections) == 1


def test_oneAddress() -> None:
    """
    One address has as many connections as one may have, and keeps nobody else out.
    """
    flooded = Flooded(maxConnectionsPerHost=30, maxSilentConnections=40)
    for number in range(1000):
        flooded.begin(("10.0.0.1", 1024 + number), 1 + number)
    assert len(flooded.connections) == 30
    assert flooded.opens(HONEST)
    for number in range(1000):
        # Repeating opens no more, and each is answered once.
        flooded.sent.clear()
        flooded.begin(("10.0.0.1", 1024 + number), 1 + number)
        assert len(flooded.sent) <= 1


def test_manyWhoFinish() -> None:
    """
    Connections that are established and have no call end by themselves, and so does what is
    remembered of them.
    """
    flooded = Flooded()
    for number in range(300):
        assert flooded.opens((f"10.0.{number >> 8}.{number & 255}", 1701))
    assert len(flooded.connections) == 300
    flooded.clock.pump([1] * 60)
    assert len(flooded.connections) == 0
    assert not flooded.clock.getDelayedCalls()
