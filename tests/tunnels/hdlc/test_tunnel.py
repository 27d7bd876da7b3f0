"""
Tests for lines as a tunnel: the framing of a connection, its call, and who may call.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.config.section import ListenSection
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    ICall,
    ICallOwner,
    ICallTaker,
    IFrameSender,
    ILineCall,
    ITunnel,
    ITunnelFactory,
    LineErrors,
    Refusal,
)
from pptpgw.testing import makeTunnelEnvironment
from pptpgw.tunnels.hdlc import wire
from pptpgw.tunnels.hdlc.call import HDLCCall
from pptpgw.tunnels.hdlc.framer import EXCESS, IDLE, Framer
from pptpgw.tunnels.hdlc.protocol import CLOSE_SECONDS, HDLCProtocol
from pptpgw.tunnels.hdlc.tunnel import (
    HDLCFactory,
    HDLCSettings,
    HDLCTunnel,
    factory,
)

LCP = b"\xff\x03\xc0\x21\x09\x01\x00\x08\x11\x12\x13\x14"
PACKET = b"\xff\x03\x00\x21\x01\x02\x03\x11\x13"


class TestFramer:
    def setup_method(self) -> None:
        self.clock = Clock()
        self.sent: list[bytes] = []
        self.discards: list[str] = []
        self.framer = Framer(self.clock, self.sent.append, self.discards.append)

    def test_providesItsInterface(self) -> None:
        verifyObject(IFrameSender, self.framer)

    def test_LCPIsAlwaysSentByTheDefaultMap(self) -> None:
        """
        LCP frames are always sent with the default map (RFC 1662 section 7).
        """
        self.framer.setACCM(0, 0)
        self.framer.send(PACKET)
        self.framer.send(LCP)
        assert self.sent == [
            wire.FLAG + wire.encode(PACKET, wire.escapesOf(0)),
            wire.encode(LCP),
        ]

    def test_untilAnotherMapIsSetEverythingIsEscaped(self) -> None:
        self.framer.send(PACKET)
        assert self.sent == [wire.FLAG + wire.encode(PACKET)]

    def test_framesShareAFlagUnlessTheLineWasIdle(self) -> None:
        for pause in (0, IDLE, IDLE + 0.1):
            self.clock.advance(pause)
            self.framer.send(LCP)
        assert [octets.startswith(wire.FLAG) for octets in self.sent] == [True, False, True]

    def test_framesArriveUntilTheChannelIsClosed(self) -> None:
        received: list[bytes] = []

        def receive(frame: bytes) -> None:
            received.append(frame)
            self.framer.disconnected()

        self.framer.receive = receive
        self.framer.dataReceived(wire.FLAG + wire.encode(LCP) + wire.encode(LCP))
        assert received == [LCP]

    def test_whatTheLineInsertsIsRemovedByTheMapInForce(self) -> None:
        received: list[bytes] = []
        self.framer.receive = received.append
        octets = wire.FLAG + wire.encode(PACKET, wire.escapesOf(0x000A0000))
        inserted = octets[:3] + b"\x11" + octets[3:]
        self.framer.setACCM(0, 0x000A0000)
        self.framer.dataReceived(inserted)
        assert received == [PACKET]
        self.framer.setACCM(0, 0)
        self.framer.dataReceived(inserted)
        assert received == [PACKET]
        assert self.discards == [wire.BAD_FCS]

    def test_controlFramesToAPeerThatReadsNothingAreLimited(self) -> None:
        self.framer.paused(True)
        with pytest.raises(OSError, match="doesn't read"):
            for _ in range(EXCESS):
                # As Twisted's transports do at each write.
                self.framer.paused(True)
                self.framer.send(LCP)
        assert sum(map(len, self.sent)) <= EXCESS
        self.framer.paused(False)
        self.framer.send(LCP)


@implementer(ICallOwner)
class Owner:
    """
    The owner of a call. It records what it is told.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []

    def callEstablished(self, call: Any) -> None:
        self.heard.append("established")

    def callEnded(self, call: Any, cause: str) -> None:
        self.heard.append(cause)


@implementer(ICallTaker)
class World:
    """
    A tunnel, and a gateway that never decides about a call.
    """

    def __init__(self, **listen: Any) -> None:
        self.clock = Clock()
        self.calls: list[HDLCCall] = []
        self.environment = makeTunnelEnvironment(self, ListenSection(**listen), self.clock)
        self.counters = self.environment.counters
        self.factory = HDLCFactory(HDLCSettings(accm=7), self.environment)

    def callRequested(self, call: Any) -> None:
        self.calls.append(call)

    def connect(self, host: str = "192.0.2.10") -> tuple[HDLCProtocol, StringTransport] | None:
        """
        Connect a line.

        @return: the line, or C{None} if it isn't let in.
        """
        protocol = self.factory.buildProtocol(IPv4Address("TCP", host, 4000))
        if protocol is None:
            return None
        transport = StringTransport(hostAddress=IPv4Address("TCP", "192.0.2.1", 2000))
        make: Any = protocol.makeConnection
        make(transport)
        return protocol, transport


def connected(world: World) -> tuple[HDLCProtocol, StringTransport]:
    made = world.connect()
    assert made is not None
    return made


class TestCalls:
    def test_aLineOffersOneCall(self) -> None:
        world = World()
        connected(world)
        (call,) = world.calls
        verifyObject(ICall, call)
        assert (call.caller, call.called, call.accm) == ("192.0.2.10", "192.0.2.1", 7)
        assert "192.0.2.10" in call.silence

    def test_aRefusedCallIsDisconnected(self) -> None:
        world = World()
        _, transport = connected(world)
        world.calls[0].refuse(Refusal.BUSY)
        assert transport.disconnecting

    def test_hangingUpDisconnectsWhenAllIsSent(self) -> None:
        world, owner = World(), Owner()
        protocol, transport = connected(world)
        world.calls[0].accept(owner)
        world.calls[0].hangUp("enough")
        world.calls[0].hangUp("twice")
        assert owner.heard == ["established", "enough"]
        assert (transport.disconnecting, transport.disconnected) == (True, False)
        world.clock.advance(CLOSE_SECONDS)
        assert transport.disconnected
        protocol.connectionLost()
        assert not world.clock.getDelayedCalls()
        assert not world.factory.entrance.connections

    def test_aLostLineEndsItsCall(self) -> None:
        world, owner = World(), Owner()
        protocol, _ = connected(world)
        world.calls[0].accept(owner)
        protocol.connectionLost()
        assert owner.heard[1].startswith("the line was disconnected")
        late = Owner()
        world.calls[0].accept(late)
        assert late.heard == owner.heard[1:]

    def test_framesWithoutAChannelAreCounted(self) -> None:
        world = World()
        protocol, _ = connected(world)
        protocol.dataReceived(b"\x7espam\x7e")
        assert world.counters.discards == {wire.BAD_FCS: 1}

    def test_theErrorsOfALine(self) -> None:
        """
        A call tells which errors its line has had; before it has a channel, none.
        """
        world = World()
        protocol, _ = connected(world)
        (call,) = world.calls
        verifyObject(ILineCall, call)
        assert call.errors == LineErrors()
        owner: Any = None
        call.openChannel(owner, PythonDataPath(world.clock))
        protocol.dataReceived(b"\x7espam spam\x7esp\x7espam spam\x7d\x7espam spam\x7e")
        assert call.errors == LineErrors(crc=2, framing=2)

    def test_aFullTransportTakesNoPackets(self) -> None:
        world = World()
        protocol, _ = connected(world)
        framer = world.calls[0]._framer
        protocol.pauseProducing()
        assert framer.full
        protocol.resumeProducing()
        assert not framer.full


class TestWhoMayCall:
    def test_othersThanTheClients(self) -> None:
        world = World(clients=(IPv4Network("198.51.100.0/24"),))
        assert world.connect() is None
        assert world.counters.discards == {"line from a client that isn't permitted": 1}
        assert world.connect("198.51.100.7") is not None
        # The permissions of the socket's file decide who may connect to it.
        assert world.factory.buildProtocol(UNIXAddress("/run/line")) is not None

    def test_tooManyFromOneHost(self) -> None:
        world = World(maxConnectionsPerHost=2)
        first = connected(world)
        assert world.connect() is not None
        assert world.connect() is None
        assert world.connect("192.0.2.11") is not None
        first[0].connectionLost()
        assert world.connect() is not None

    def test_tooManyInAll(self) -> None:
        """
        The oldest connection without a session is closed to make room for a new one.
        """
        world = World(maxConnections=2)
        _, transport = connected(world)
        connected(world)
        world.clock.advance(10)
        assert world.connect("192.0.2.11") is not None
        assert transport.disconnected

    def test_nobodyWhileTheGatewayStops(self) -> None:
        world = World()
        protocol, transport = connected(world)
        stopped: list[Any] = []
        world.factory.entrance.stop().addCallback(stopped.append)
        assert world.connect() is None
        assert world.counters.discards == {"line while the gateway stops": 1}
        assert transport.disconnecting
        assert not stopped
        protocol.connectionLost()
        assert stopped
        world.factory.entrance.start(world.factory, ())
        assert world.connect() is not None


class TestTunnel:
    def test_providesItsInterfaces(self) -> None:
        verifyObject(ITunnelFactory, factory)
        verifyObject(ITunnel, factory.makeTunnel(HDLCSettings(), World().environment))

    @pytest.mark.parametrize(
        ("endpoint", "fault"),
        [
            ("nothing:2000", "nothing"),
            ("tcp:here", "tcp:here"),
            ("pty:here", "takes nothing"),
            ("serial:/dev/ttyS0:fast", "must be a rate"),
            ("serial:/dev/ttyS0:9600:flow=up", "flow=up"),
        ],
    )
    def test_endpointsThatAreNone(self, endpoint: str, fault: str) -> None:
        """
        They are found when the tunnel is made, so that a check of the configuration finds them.
        """
        with pytest.raises(ConfigurationError) as raised:
            HDLCTunnel(HDLCSettings(endpoints=(endpoint,)), World().environment)
        assert str(raised.value).startswith(f"[hdlc] endpoints: {endpoint}: ")
        assert fault in str(raised.value)

    @pytest.mark.parametrize(
        ("endpoint", "fault"),
        [
            ("serial:/nowhere", "No such file"),
            ("unix:/nowhere/line", "/nowhere/line"),
        ],
    )
    def test_endpointsThatCannotBeUsed(self, endpoint: str, fault: str) -> None:
        from twisted.internet import reactor

        world = World()
        object.__setattr__(world.environment, "reactor", reactor)
        tunnel = HDLCTunnel(HDLCSettings(endpoints=(endpoint,)), world.environment)
        with pytest.raises(ConfigurationError) as raised:
            tunnel.start()
        assert str(raised.value).startswith(f"[hdlc] endpoints: {endpoint}: ")
        assert fault in str(raised.value)
