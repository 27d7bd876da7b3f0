"""
A PNS of another maker, like the router of a company, to which the gateway offers the calls of
people who have dialled into it (RFC 2637 sections 2.9 to 2.15). No capture of one is at hand: its
messages are those of the RFC.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.filepath import FilePath
from zope.interface import implementer

from pptpgw.config.configuration import parse
from pptpgw.interfaces import IForwarder
from pptpgw.testing import CALLER
from pptpgw.tunnels.hdlc.call import HDLC, HDLCCall
from pptpgw.tunnels.hdlc.dialler import Dialler
from pptpgw.tunnels.hdlc.framer import Framer
from pptpgw.tunnels.hdlc.wire import DEFAULT_ESCAPES, FLAG, Escapes, encode, escapesOf
from pptpgw.tunnels.lineerrors import SECONDS
from pptpgw.tunnels.pptp.call import PPTP
from pptpgw.tunnels.pptp.concentrator import PPTPConcentrator
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import ConnectionOwner, ControlTransport
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import Side
from tests.chapsecrets import secretsIn
from tests.clients.conftest import StartGateway
from tests.clients.script import (
    ACK,
    CCR,
    CDN,
    ECHO_RP,
    ECHO_RQ,
    IPCP,
    LCP,
    OCRP,
    OCRQ,
    OURSELVES,
    REQUEST,
    SCCRP,
    SCCRQ,
    SLI,
    STOP_CCRP,
    STOP_CCRQ,
    ScriptedConnection,
    ScriptedTunnel,
    text,
)
from tests.clients.world import World, packet

ICRQ, ICRP, ICCN, WEN = 9, 10, 11, 14
PNS = "198.51.100.9"
CALL = 0x0C11
TEXT = f"""
[[forwarding.destination]]
name = "company"
tunnel = "pptp"
endpoints = ["{PNS}"]
called = ["ttyS1"]
authenticated = false
"""
MODEM = """
[[forwarding.destination]]
name = "modem"
tunnel = "hdlc"
endpoints = ["serial:/dev/ttyS1:115200"]
called = ["5551234"]
authenticated = false
"""


@implementer(IForwarder)
class Forwarder(PPTPConcentrator):
    """
    The part of a PPTP tunnel that passes calls on.
    """

    kind = PPTP


class PAC(World):
    """
    A gateway with a modem on the line ttyS1, whose calls it offers to a PNS.

    @ivar server: the PNS's end of the control connection, once there is one.
    @ivar line: the octets that the modem has been given.
    """

    server: ScriptedConnection

    def __init__(self, secrets: FilePath[str], log: list[str]) -> None:
        super().__init__(secrets, log, False)
        self.line = b""
        self.concentrator = Forwarder(self.clock, ConnectionSettings(), self._open)
        forwarding = self.gateway.context.forwarding
        forwarding.prepare(parse(TEXT, "test").forwarding)()
        forwarding.forwarders = {"pptp": self.concentrator}

    def _open(
        self,
        settings: ConnectionSettings,
        owner: ConnectionOwner,
        source: str,
        peer: tuple[str, int],
    ) -> Deferred[ControlConnection]:
        assert (source, peer) == ("", (PNS, 1723))
        address, _ = peer
        ends = Side.ORIGINATOR, CALLER.called, address
        channels = self.channelsOf(CALLER.called)
        self._control = ControlConnection(
            self.clock, settings, self.callIDs, owner, *ends, channels=channels
        )
        self.server = ScriptedConnection(self, address)
        return succeed(self._control)

    def accept(self, transport: ControlTransport, address: str) -> ControlConnection:
        self._control.connectionMade(transport)
        return self._control

    def ring(self) -> None:
        """
        Have somebody dial in.
        """
        self.framer = Framer(self.clock, self._heard, self._discard)
        self.call = HDLCCall("ttyS1", "ttyS1", self.framer, 0, lambda: None)
        self.gateway.callRequested(self.call)

    def say(self, frame: str, escapes: Escapes = DEFAULT_ESCAPES) -> None:
        """
        Have the modem give this frame.
        """
        self.framer.dataReceived(FLAG + encode(bytes.fromhex(frame), escapes))

    def hear(self, frame: str, escapes: Escapes = DEFAULT_ESCAPES) -> None:
        """
        Assert that the modem was given this frame, and nothing else.
        """
        heard, self.line = self.line, b""
        assert heard.removeprefix(FLAG) == encode(bytes.fromhex(frame), escapes), heard.hex()

    def _heard(self, octets: bytes) -> None:
        self.line += octets

    def _discard(self, reason: str) -> None:
        assert self.call.channel is not None
        self.call.channel.counters.discard(reason)


@pytest.fixture
def pac(tmp_path: Path, log: list[str]) -> Iterator[PAC]:
    world = PAC(secretsIn(tmp_path), log)
    yield world
    world.assertAtRest()


def answer(pac: PAC, host: str = "c3640") -> None:
    """
    Answer the start of the control connection, as a router without channels of its own.
    """
    pac.server.hear(SCCRQ, "0100 0000 00000003 00000003 (....) (....)" + OURSELVES)
    capabilities = "0100 01 00 00000003 00000003 0000 1120"
    pac.server.say(SCCRP, capabilities + text(host, 64) + text("Router Systems, Inc.", 64))


def takeCall(pac: PAC) -> ScriptedTunnel:
    """
    Take the call that is offered, with a window of 16 packets.
    """
    # Serial 1, analog, no channel, the numbers' lengths, and the line instead of numbers.
    asked = pac.server.hear(
        ICRQ, "(....) 0001 00000001 00000000 0005 0005" + 2 * text("ttyS1", 64) + "00" * 64
    )
    (callID,) = asked.groups
    pac.server.say(ICRP, f"{CALL:04x} {callID.hex()} 01 00 0010 0000 0000")
    # The PNS's id, 100 Mbit/s, window 64, no delay, asynchronous framing.
    pac.server.hear(ICCN, f"{CALL:04x} 0000 05f5e100 0040 0000 00000001")
    tunnel = ScriptedTunnel(pac, PNS, CALL, first=0)
    tunnel.gatewayCallID = int.from_bytes(callID, "big")
    return tunnel


def echo(pac: PAC) -> None:
    """
    Answer an Echo-Request.
    """
    (identifier,) = pac.server.hear(ECHO_RQ, "(.{8})").groups
    pac.server.say(ECHO_RP, f"{identifier.hex()} 01 00 0000")


def test_aCaller(pac: PAC) -> None:
    """
    PPP passes between somebody on a line and the PNS, which negotiates, says what the line is to
    escape, is told of the line's errors, and ends the call.
    """
    pac.ring()
    answer(pac)
    tunnel = takeCall(pac)
    # The PNS begins with LCP. On the line LCP is escaped as a whole.
    request = "0206 000a0000 0305 c22381 0506 77e5a04b"
    tunnel.say(LCP, REQUEST, 1, request)
    pac.hear("ff03 c021 0101 0015" + request)
    pac.say("ff03 c021 0201 0015" + request)
    tunnel.hear(LCP, ACK, 1, request)
    pac.say("ff03 c021 0107 000e 0206 00000000 0702 0802")
    heard = tunnel.hear(LCP, REQUEST, 7, "0206 00000000 0702 0802")
    tunnel.answer(LCP, ACK, heard)
    pac.hear("ff03 c021 0207 000e 0206 00000000 0702 0802")
    # From now on nothing but XON and XOFF is escaped on the line.
    pac.server.say(SLI, f"{tunnel.gatewayCallID:04x} 0000 00000000 000a0000")
    tunnel.say(IPCP, REQUEST, 1, "0306 0a4d0001")
    pac.hear("ff03 8021 0101 000a 0306 0a4d0001", escapesOf(0))
    # The frames of the caller are given without escapes and FCS, whatever was escaped.
    pac.say("8021 0101 000a 0306 00000000")
    tunnel.hear(IPCP, REQUEST, 1, "0306 00000000")
    pac.framer.dataReceived(FLAG + bytes.fromhex("8021 0102 0004") + b"spam" + FLAG)
    pac.clock.advance(SECONDS)
    echo(pac)
    # One wrong FCS.
    pac.server.hear(WEN, f"{CALL:04x} 0000 00000001" + "00000000" * 5)
    pac.clock.advance(SECONDS)
    echo(pac)
    pac.server.assertSilent()
    (session,) = pac.gateway.sessions
    assert session.path == f"python; passed on by pptp to {PNS}"
    pac.server.say(CCR, f"{CALL:04x} 0000")
    # Result 4, a request; cause 16, normal clearing.
    pac.server.hear(CDN, f"{tunnel.gatewayCallID:04x} 04 00 0010 0000" + "00" * 128)
    tunnel.assertSilent()
    pac.assertNoCall()
    # Without a call the connection is closed a minute later.
    pac.clock.advance(60)
    echo(pac)
    pac.server.hear(STOP_CCRQ, "03 000000")
    pac.server.say(STOP_CCRP, "01 00 0000")
    assert pac.server.closed
    pac.server.close()


def close(pac: PAC) -> None:
    """
    Have the connection closed since it has no call.
    """
    pac.clock.advance(60)
    echo(pac)
    pac.server.hear(STOP_CCRQ, "03 000000")
    pac.server.say(STOP_CCRP, "01 00 0000")
    pac.server.close()


def test_theCallerGoes(pac: PAC) -> None:
    """
    The PNS is told when the line is lost, and what comes for the call after that is discarded.
    """
    pac.ring()
    answer(pac)
    tunnel = takeCall(pac)
    pac.say("ff03 c021 0101 0004")
    tunnel.hear(LCP, REQUEST, 1)
    pac.call.lost("the modem hung up")
    # Result 1, lost carrier; cause 16.
    pac.server.hear(CDN, f"{tunnel.gatewayCallID:04x} 01 00 0010 0000" + "00" * 128)
    pac.assertNoCall()
    pac.line = b""
    tunnel.say(LCP, ACK, 1)
    pac.server.say(SLI, f"{tunnel.gatewayCallID:04x} 0000 00000000 00000000")
    # Its Call-Clear-Request may have been on its way.
    pac.server.say(CCR, f"{CALL:04x} 0000")
    pac.server.assertSilent()
    assert pac.line == b""
    close(pac)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("03 00 0010 0000 0000", "the peer refused the call: do not accept"),
        ("02 04 0010 0000 0000", "the peer refused the call: general error, no resource"),
    ],
)
def test_refused(pac: PAC, reply: str, why: str) -> None:
    """
    The line is closed if the PNS refuses the call, and the log says why. The PNS hears nothing more
    of the call.
    """
    pac.ring()
    answer(pac)
    (callID,) = pac.server.hear(ICRQ, "(....) 0001 .*").groups
    pac.server.say(ICRP, f"{CALL:04x} {callID.hex()} {reply}")
    pac.server.assertSilent()
    pac.assertNoCall()
    assert any(why in line for line in pac.log)
    close(pac)


def test_noReply(pac: PAC) -> None:
    """
    A PNS that doesn't answer in time is told that the call is over. Its late reply changes nothing.
    """
    pac.ring()
    answer(pac)
    (callID,) = pac.server.hear(ICRQ, "(....) 0001 .*").groups
    pac.clock.advance(5)
    # Result 3, on our part; cause 16.
    pac.server.hear(CDN, f"{callID.hex()} 03 00 0010 0000" + "00" * 128)
    pac.assertNoCall()
    pac.server.say(ICRP, f"{CALL:04x} {callID.hex()} 01 00 0010 0000 0000")
    pac.server.assertSilent()
    close(pac)


def test_anotherVersion(pac: PAC) -> None:
    """
    A PNS that speaks another version of PPTP gets no call, and its connection is closed.
    """
    pac.ring()
    pac.server.hear(SCCRQ, "0100 .*")
    # Result 5, protocol version.
    pac.server.say(SCCRP, "0200 05 00 00000003 00000003 0000 1120" + "00" * 128)
    assert pac.server.closed
    pac.server.close()
    pac.assertNoCall()


def test_itCallsBack(pac: PAC) -> None:
    """
    A PNS that asks for a call on the connection by which it is offered one is refused.
    """
    pac.ring()
    answer(pac)
    tunnel = takeCall(pac)
    request = "0002 0000012c 05f5e100 00000003 00000003 0010 0000 0000 0000"
    pac.server.say(OCRQ, f"0c12 {request}" + "00" * 128)
    # Result 7, do not accept; cause 21, rejected.
    pac.server.hear(OCRP, ".... 0c12 07 00 0015 00000000 0000 0000 00000000")
    pac.server.say(CCR, f"{CALL:04x} 0000")
    pac.server.hear(CDN, f"{tunnel.gatewayCallID:04x} 04 00 0010 0000" + "00" * 128)
    close(pac)


class Modems(Dialler):
    """
    The part of a tunnel of lines that passes calls on.
    """

    kind = HDLC


@implementer(IStreamClientEndpoint)
class Modem:
    """
    A line whose other end answers at once.
    """

    def __init__(self) -> None:
        self.transport: Any = StringTransport()
        self.protocol: Any = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        self.protocol = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]
        self.protocol.makeConnection(self.transport)
        return succeed(self.protocol)


def test_itAsksForANumber(start: StartGateway) -> None:
    """
    A PNS asks for a call to a number (RFC 2637 sections 2.7 and 2.8). PPP passes between it and
    whoever answers there. It says what the line is to escape, and is told of the line's errors.
    """
    world, modem = start(), Modem()
    forwarding = world.gateway.context.forwarding
    forwarding.prepare(parse(MODEM, "test").forwarding)()
    modems: Any = Modems(world.clock, "", 0, lambda reactor, description: modem)
    forwarding.forwarders = {"hdlc": modems}
    server = ScriptedConnection(world, PNS)
    server.say(SCCRQ, "0100 0000 00000003 00000003 0000 1120" + text("c3640", 64) + "00" * 64)
    server.hear(SCCRP, "0100 01 00 .*")
    request = "0002 0000012c 05f5e100 00000003 00000001 0010 0000 0007 0000"
    server.say(OCRQ, f"{CALL:04x} {request}" + text("5551234", 64) + "00" * 64)
    # Connected, no error, no cause, 100 Mbit/s, window 64.
    reply = server.hear(OCRP, f"(....) {CALL:04x} 01 00 0000 05f5e100 0040 0000 00000000")
    (callID,) = reply.groups
    tunnel = ScriptedTunnel(world, PNS, CALL, first=0)
    tunnel.gatewayCallID = int.from_bytes(callID, "big")
    tunnel.say(LCP, REQUEST, 1, "0506 77e5a04b")
    asked = FLAG + encode(bytes.fromhex("ff03 c021 0101 000a 0506 77e5a04b"))
    assert modem.transport.value() == asked
    modem.protocol.dataReceived(asked)
    tunnel.hear(LCP, REQUEST, 1, "0506 77e5a04b")
    modem.transport.clear()
    server.say(SLI, f"{callID.hex()} 0000 00000002 00000000")
    tunnel.say(IPCP, REQUEST, 1, "0306 0a4d0002")
    frame = bytes.fromhex("ff03 8021 0101 000a 0306 0a4d0002")
    assert modem.transport.value() == encode(frame, escapesOf(2))
    modem.protocol.dataReceived(FLAG + b"spam spam" + FLAG + b"ab" + FLAG)
    # While the line takes no more, packets are dropped. Each is acknowledged all the same.
    modem.transport.clear()
    modem.protocol.pauseProducing()
    for number in range(100):
        tunnel.sayPacket(packet("10.77.0.1", "10.77.0.2", 40 + number))
    modem.protocol.resumeProducing()
    assert modem.transport.value() == b""
    assert tunnel.acknowledged >= 100 - 32
    tunnel.sayPacket(b"spam")
    frame = bytes.fromhex("ff03 0021") + b"spam"
    assert modem.transport.value() == encode(frame, escapesOf(2))
    world.clock.advance(SECONDS)
    (identifier,) = server.hear(ECHO_RQ, "(.{8})").groups
    server.say(ECHO_RP, f"{identifier.hex()} 01 00 0000")
    # One wrong FCS, one frame that is too short, no hardware overrun, and 100 buffer overruns.
    server.hear(WEN, f"{CALL:04x} 0000 00000001 00000001 00000000 00000064" + "00000000" * 2)
    server.say(CCR, f"{CALL:04x} 0000")
    server.hearDisconnect(tunnel, 4)
    assert modem.transport.disconnecting
    modem.protocol.connectionLost()
    world.assertNoCall()
    server.stop()
