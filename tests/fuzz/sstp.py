"""
Fuzzing of SSTP: both state machines, with the framer before them, from each of their states, the
opening by HTTP, and the connection of a stranger from its beginning to its end.

Nothing may raise. The owner is told once that a call ends, no packet passes without a binding that
holds, what waits for a peer that doesn't read has a limit, and no timer is left.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from pptpgw.error import Malformed
from pptpgw.interfaces import ICallTaker, Refusal
from pptpgw.sessions.cause import Cause
from pptpgw.testing import makeTunnelEnvironment
from pptpgw.tunnels.sstp import binding, wire
from pptpgw.tunnels.sstp.clientside import ClientMachine
from pptpgw.tunnels.sstp.framer import EXCESS, Framer
from pptpgw.tunnels.sstp.machine import State
from pptpgw.tunnels.sstp.opening import LARGEST_HEAD, Head, decodeRequest, decodeStatus
from pptpgw.tunnels.sstp.records import RECORD
from pptpgw.tunnels.sstp.serverside import ServerMachine
from pptpgw.tunnels.sstp.tunnel import SSTPFactory, SSTPSettings
from pptpgw.tunnels.sstp.wire import Attribute, Kind, Message
from tests.fuzz.reader import Reader, Target
from tests.fuzz.state import runOut, unfailing
from tests.tunnels.l2tp.joined import CallOwner
from tests.tunnels.sstp.joined import OPENING
from tests.tunnels.sstp.test_machine import CERTIFICATE, KEY, NONCE, REQUEST, Driven

_ACK = Message(Kind.CALL_CONNECT_ACK, (wire.CryptoBindingRequest(3, NONCE).encode(),)).encode()
_BOUND = binding.callConnected(binding.Hash.SHA256, NONCE, CERTIFICATE, KEY)
_FALSE = binding.callConnected(binding.Hash.SHA256, NONCE, CERTIFICATE, binding.NO_KEY)


def machine(make: Callable[..., Any], *first: bytes) -> Target:
    """
    The target of one end that has received C{first}.
    """

    def target(octets: bytes) -> None:
        with unfailing():
            _run(Driven(make), Reader(octets), *first)

    return target


def _run(driven: Driven, reader: Reader, *first: bytes) -> None:
    owner, clock = driven.owner, driven.clock
    frames: list[bytes] = []

    def received(packet: bytes) -> None:
        driven.machine.heard()
        driven.machine.received(packet)
        told = owner.told
        if "ending" in told:
            framer.close()
        elif "established" in told:
            framer.bound()
        elif "link up" in told:
            framer.open()

    framer = Framer(lambda octets: None, received, lambda reason: None, lambda: None)
    framer.receive = frames.append
    for packet in first:
        framer.feed(packet)
    while reader.more:
        kind = reader.number() % 8
        if kind == 0:
            clock.advance(reader.number())
        elif kind == 1:
            driven.machine.authenticated([KEY] if reader.number() & 1 else [])
        elif kind == 2 and reader.number() == 7:
            driven.machine.disconnect(Cause("enough"))
        else:
            try:
                framer.feed(_octets(reader, kind))
            except Malformed:
                driven.machine.lost(Cause("malformed"))
                break
        if driven.machine.state is not State.CONNECTED and isinstance(
            driven.machine, ServerMachine
        ):
            assert not any(_isNetwork(frame) for frame in frames) or "established" in owner.told
        assert len(clock.getDelayedCalls()) <= 1
    driven.machine.disconnect(Cause("enough"))
    runOut(clock)
    assert owner.told.count("ending") == 1
    assert owner.told.count("established") <= 1


def _isNetwork(frame: bytes) -> bool:
    return frame.startswith((b"\xff\x03\x00", b"\x00\x21", b"\x21"))


def _octets(reader: Reader, kind: int) -> bytes:
    """
    Octets of the stream: likely packets, packets of any attributes, frames, or anything.
    """
    if kind == 3:
        return reader.choose(
            (REQUEST.encode(), _ACK, _BOUND, _FALSE, Message(Kind.ECHO_REQUEST).encode())
        )
    if kind in (4, 5):
        attributes = [Attribute(reader.number(), reader.chunk()) for _ in range(kind - 3)]
        return Message(reader.number() % 11, tuple(attributes)).encode()
    if kind == 6:
        return wire.encodeFrame(reader.chunk())
    return reader.chunk()


def _opening(octets: bytes) -> None:
    """
    An HTTP head, which must be found the same however it is cut.
    """
    reader = Reader(octets)
    size = 1 + reader.number()
    stream = reader.rest()

    def found(step: int) -> object:
        head = Head()
        try:
            for at in range(0, len(stream), step):
                if length := head.feed(stream[at : at + step]):
                    whole = head.octets[:length]
                    return decodeRequest(whole) if whole[:1] != b"H" else decodeStatus(whole)
        except Malformed:
            return Malformed
        return None

    whole, cut = found(max(len(stream), 1)), found(size)
    assert whole == cut or len(stream) > LARGEST_HEAD


@implementer(ICallTaker)
class _Server:
    """
    A tunnel without TLS, and the gateway, which decides about calls as an input says.
    """

    def __init__(self, decision: int) -> None:
        self.clock = Clock()
        environment = makeTunnelEnvironment(self, clock=self.clock)
        self.factory = SSTPFactory(SSTPSettings(tls=False), environment)
        certificate: Any = SimpleNamespace(der=CERTIFICATE, context=None)
        self.factory.certificate = certificate
        self.owner = CallOwner()
        self._decision = decision

    def callRequested(self, call: Any) -> None:
        if self._decision % 4 == 0:
            call.refuse(Refusal.BUSY)
        elif self._decision % 4 < 3:
            call.accept(self.owner)


def _connection(octets: bytes) -> None:
    """
    A connection, with and without the request that a client sends first.
    """
    reader = Reader(octets)
    server = _Server(reader.number())
    address = IPv4Address("TCP", "192.0.2.10", 4000)
    protocol: Any = server.factory.buildProtocol(address)
    here = IPv4Address("TCP", "192.0.2.1", 443)
    transport = StringTransport(hostAddress=here, peerAddress=address)
    with unfailing():
        protocol.makeConnection(transport)
        if reader.number() & 1:
            protocol.dataReceived(OPENING)
        isFull, excess = False, 0
        while reader.more and not transport.disconnected:
            kind, before = reader.number() % 12, len(transport.value())
            connection = protocol.connection
            if kind == 0:
                server.clock.advance(reader.number())
            elif kind == 1 and connection is not None and transport.producer is not None:
                isFull, excess = bool(reader.number() & 1), 0
                (connection.pauseProducing if isFull else connection.resumeProducing)()
            elif kind == 2 and connection is not None:
                connection.authenticated((KEY,) if reader.number() & 1 else ())
            elif kind == 3 and connection is not None and reader.number() < 16:
                connection.call.hangUp(Cause("enough"))
            elif kind == 4 and connection is not None:
                frame = reader.chunk() * 8
                for _ in range(reader.number()):
                    try:
                        connection.framer.send(frame)
                    except OSError:
                        break
            elif kind == 5:
                protocol.dataReceived(OPENING)
            else:
                protocol.dataReceived(_octets(reader, kind % 6 + 2))
            excess += len(transport.value()) - before if isFull else 0
            # What was collected for a record of TLS before the transport was full comes besides.
            assert excess <= EXCESS + RECORD
        protocol.connectionLost()
        runOut(server.clock)
    assert not server.factory.entrance.connections
    assert len([one for one in server.owner.heard if one != "established"]) <= 1


TARGETS: dict[str, Target] = {
    "client": machine(ClientMachine),
    "client-acknowledged": machine(ClientMachine, _ACK),
    "connection": _connection,
    "opening": _opening,
    "server": machine(ServerMachine),
    "server-requested": machine(ServerMachine, REQUEST.encode()),
}
"""
Targets by name.
"""
