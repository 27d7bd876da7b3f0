"""
A network in memory with RADIUS servers, for a client with a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyrad import packet as pyrad
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock

from pptpgw.ports.connectedudp import connectedUDP
from pptpgw.radius.packet import dictionary

SECRET = b"a secret of the tests"


class Port:
    """
    A UDP port of the client.
    """

    def __init__(self, wire: Wire, protocol: DatagramProtocol, peer: tuple[str, int]) -> None:
        self.wire = wire
        self.protocol = protocol
        self.peer = peer
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, octets: bytes, address: None) -> None:
        assert not self.closed
        assert address is None
        self.sent.append(octets)
        self.wire.arrived(self, octets)

    def stopListening(self) -> None:
        self.closed = True

    def deliver(self, octets: bytes) -> None:
        """
        Let C{octets} arrive from the server.
        """
        self.protocol.datagramReceived(octets, self.peer)


class Wire(Clock):
    """
    The reactor of a client, and the packets that the client sends.

    @ivar servers: functions by port that are called with the client's port and the packet, and may
        answer.
    """

    def __init__(self) -> None:
        Clock.__init__(self)
        self.ports: list[Port] = []
        self.servers: dict[int, Callable[[Port, bytes], None]] = {}

    def open(self, protocol: DatagramProtocol, host: str, port: int) -> None:
        """
        Open a port, as L{pptpgw.ports.connectedudp.connectedUDP} does.
        """
        opened = Port(self, protocol, (host, port))
        self.ports.append(opened)
        transport: Any = opened
        protocol.makeConnection(transport)

    def arrived(self, port: Port, octets: bytes) -> None:
        server = self.servers.get(port.peer[1])
        if server is not None:
            server(port, octets)

    @property
    def sent(self) -> list[bytes]:
        """
        Every packet that was sent, ordered by the port.
        """
        return [octets for port in self.ports for octets in port.sent]

    def wait(self, seconds: float) -> None:
        """
        Let time pass in small steps.
        """
        for _ in range(int(seconds * 10)):
            self.advance(0.1)


def connected(reactor: Any, protocol: DatagramProtocol, host: str, port: int) -> None:
    """
    L{connectedUDP} for a reactor that may be a L{Wire}, which has its own ports.
    """
    if isinstance(reactor, Wire):
        reactor.open(protocol, host, port)
    else:
        connectedUDP(reactor, protocol, host, port)


def asked(octets: bytes, secret: bytes = SECRET) -> Any:
    """
    A request as the server decodes it.
    """
    make = pyrad.AcctPacket if octets[0] == pyrad.AccountingRequest else pyrad.AuthPacket
    return make(packet=octets, secret=secret, dict=dictionary())


def answer(
    octets: bytes, code: int = pyrad.AccessAccept, secret: bytes = SECRET, **attributes: Any
) -> bytes:
    """
    The server's reply to a request.

    @param attributes: by names with underscores for hyphens. C{message_authenticator} says whether
        the reply has one.
    """
    reply = asked(octets, secret).CreateReply(**attributes)
    reply.code = code
    packet: bytes = reply.ReplyPacket()
    return packet
