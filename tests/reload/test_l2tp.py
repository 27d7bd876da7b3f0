"""
Tests for reloads of C{[l2tp]}, with a stranger that opens control connections.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pptpgw.tunnels.l2tp.wire.avp import ResultCode
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from pptpgw.tunnels.l2tp.wire.header import ControlHeader, decodeControl, encodeControl
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, decode, encode
from tests.reload.world import World, shows
from tests.tunnels.l2tp.joined import CallOwner

TEXT = '[listen]\ntunnels = ["l2tp"]\n[l2tp]\n'


class Peer:
    """
    A peer, which sends datagrams to the first port of the gateway.
    """

    def __init__(self, world: World, port: int = 1701) -> None:
        tunnel: Any = world.service.tunnels["l2tp"]
        tunnel._server.accepts = True
        tunnel._server.callRequested = lambda call: call.accept(CallOwner())
        self.port = tunnel.ports[0]
        self.port.send = lambda localAddress, peer, octets: self.sent.append(octets)
        self.address = ("192.0.2.10", port)
        self.sent: list[bytes] = []
        self.tunnelID = self.number = self.expected = 0

    def say(self, kind: int, **values: Any) -> list[L2TPMessage]:
        """
        Send a message, and return the answers.
        """
        message = L2TPMessage(kind, {AVP[name]: value for name, value in values.items()})
        header = ControlHeader(self.tunnelID, 0, self.number, self.expected)
        self.number += 1
        octets = encodeControl(header, encode(message))
        self.port.connections.received(octets, self.address, "192.0.2.1")
        return self.take()

    def take(self) -> list[L2TPMessage]:
        """
        Return what has come, which the next message acknowledges.
        """
        bodies = [body for octets in self.sent if (body := decodeControl(octets)[1])]
        self.sent.clear()
        self.expected += len(bodies)
        return [decode(body) for body in bodies]

    def begin(self) -> L2TPMessage:
        """
        Send an SCCRQ, and return the answer.
        """
        (answer,) = self.say(
            MessageType.SCCRQ,
            PROTOCOL_VERSION=0x100,
            FRAMING_CAPABILITIES=3,
            HOST_NAME=b"peer",
            ASSIGNED_TUNNEL_ID=self.address[1],
        )
        self.tunnelID = answer.get(AVP.ASSIGNED_TUNNEL_ID)
        return answer

    def call(self, session: int) -> L2TPMessage:
        (answer,) = self.say(
            MessageType.ICRQ, ASSIGNED_SESSION_ID=session, CALL_SERIAL_NUMBER=session
        )
        return answer


@shows("[l2tp] name", "[l2tp] secrets", "[l2tp] permissive", "[l2tp] max-calls-per-connection")
def test_connectionsToCome(tmp_path: Path) -> None:
    """
    New control connections have the new settings; the file of secrets is read again.
    """
    secrets = tmp_path / "secrets"
    secrets.touch(0o600)
    secrets.write_text("other sesame\n")
    world = World(TEXT)
    before = Peer(world, 1)
    assert before.begin().get(AVP.HOST_NAME) == b"pptpgw"
    world.reload(TEXT + f'name = "gate"\nsecrets = "{secrets}"\n')
    assert Peer(world, 2).begin().type == MessageType.STOPCCN
    secrets.write_text("peer sesame\n")
    world.reload(TEXT + f'name = "gate"\nsecrets = "{secrets}"\n')
    answer = Peer(world, 3).begin()
    assert answer.get(AVP.HOST_NAME) == b"gate"
    assert len(answer.get(AVP.CHALLENGE)) == 16
    world.reload(TEXT + "max-calls-per-connection = 1\n")
    peer = Peer(world, 4)
    peer.begin()
    peer.say(MessageType.SCCCN)
    assert peer.call(1).type == MessageType.ICRP
    assert peer.call(2).get(AVP.RESULT_CODE)[:2] == (2, 4)
    assert peer.say(900)[0].type == MessageType.STOPCCN
    world.reload(TEXT + "permissive = true\n")
    peer = Peer(world, 5)
    peer.begin()
    peer.say(MessageType.SCCCN)
    assert peer.say(900) == []


@shows("[l2tp] handshake-timeout", "[l2tp] idle-timeout", "[l2tp] hello-interval")
def test_times() -> None:
    world = World(TEXT)
    world.reload(TEXT + "handshake-timeout = 3\nidle-timeout = 5\nhello-interval = 7\n")
    tunnel: Any = world.service.tunnels["l2tp"]
    connections = tunnel.ports[0].connections
    Peer(world, 1).begin()
    world.clock.advance(3)
    assert len(connections) == 0
    peer = Peer(world, 2)
    peer.begin()
    peer.say(MessageType.SCCCN)
    world.clock.advance(5)
    (answer,) = peer.take()
    assert answer.get(AVP.RESULT_CODE) == ResultCode(1)
    peer = Peer(world, 3)
    peer.begin()
    peer.say(MessageType.SCCCN)
    peer.call(1)
    assert peer.say(MessageType.HELLO) == []
    world.clock.advance(7)
    assert MessageType.HELLO in [one.type for one in peer.take()]
