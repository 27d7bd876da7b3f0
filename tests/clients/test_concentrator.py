"""
A PAC with modems, like an access server of a provider, which offers the calls of people who have
dialled into it (RFC 2637 sections 2.9 to 2.11 and 2.13 to 2.15). No capture of one is at hand: its
messages are those of the RFC.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from pptpgw.interfaces import Stations
from pptpgw.tunnels.pptp.call import HEAD_START
from tests.clients.conftest import StartGateway
from tests.clients.script import (
    ACK,
    CCR,
    CDN,
    CLIENT,
    LCP,
    OURSELVES,
    REQUEST,
    SCCRP,
    SCCRQ,
    SLI,
    TERMINATE,
    TERMINATED,
    ScriptedConnection,
    ScriptedTunnel,
    text,
)
from tests.clients.test_linux import openNetwork
from tests.clients.world import World

ICRQ, ICRP, ICCN, WEN = 9, 10, 11, 14
CALL = 0x0C11


def connect(world: World) -> ScriptedConnection:
    """
    Connect as the host "as5300" with 240 modems on asynchronous lines.
    """
    connection = ScriptedConnection(world)
    capabilities = "0100 0000 00000001 00000002 00f0 1130"
    connection.say(SCCRQ, capabilities + text("as5300", 64) + text("Access Servers, Inc.", 64))
    connection.hear(SCCRP, "0100 01 00 00000003 00000003 0040 0001" + OURSELVES)
    return connection


def offer(connection: ScriptedConnection) -> None:
    """
    Offer the call 7 on the channel 9 of somebody at 01234567, who has dialled 555.
    """
    numbers = text("555", 64) + text("01234567", 64) + "00" * 64
    connection.say(ICRQ, f"{CALL:04x} 0007 00000002 00000009 0003 0008" + numbers)


def test_aModem(start: StartGateway) -> None:
    """
    The gateway accepts the call, waits until it is connected, and tells the PAC what is to be
    escaped on the line. It ends the call by a Call-Clear-Request.
    """
    world = start()
    world.concentrators = (IPv4Network(f"{CLIENT}/32"),)
    connection = connect(world)
    offer(connection)
    ours = connection.hear(ICRP, f"(....) {CALL:04x} 01 00 0040 0000 0000").groups[0]
    tunnel = ScriptedTunnel(world, CLIENT, CALL, first=0)
    tunnel.gatewayCallID = int.from_bytes(ours, "big")
    world.clock.advance(1)
    tunnel.assertSilent()
    # 57,600 bit/s, window 8, no delay, asynchronous.
    connection.say(ICCN, f"{ours.hex()} 0000 0000e100 0008 0000 00000001")
    world.clock.advance(HEAD_START)
    asked = tunnel.hear(
        LCP, REQUEST, 1, "0104 0578 0206 00000000 0305 c22381 0506 (.{8}) 0702 0802"
    )
    tunnel.answer(LCP, ACK, asked)
    line = "0206 000a0000 0506 77e5a04b 0702 0802"
    tunnel.say(LCP, REQUEST, 1, line)
    tunnel.hear(LCP, ACK, 1, line)
    connection.hear(SLI, f"{CALL:04x} 0000 000a0000 00000000")
    tunnel.compresses = True
    openNetwork(tunnel)
    (session,) = world.gateway.sessions
    assert session.stations == Stations("01234567", "555", channel="9")
    assert (session.concentrator, session.caller) == ("as5300", CLIENT)
    connection.say(WEN, f"{ours.hex()} 0000 00000003" + "00000000" * 5)
    session.hangUp("enough")
    heard = tunnel.hear(LCP, TERMINATE, None, text("enough"))
    tunnel.say(LCP, TERMINATED, heard.identifier)
    connection.hear(SLI, f"{CALL:04x} 0000 ffffffff ffffffff")
    connection.hear(CCR, f"{ours.hex()} 0000")
    connection.say(CDN, f"{CALL:04x} 04 00 0010 0000" + "00" * 128)
    world.assertNoCall()
    connection.stop()


def test_aStranger(start: StartGateway) -> None:
    """
    A PAC that isn't permitted is refused, and its connection stays.
    """
    world = start()
    connection = connect(world)
    offer(connection)
    connection.hear(ICRP, f".... {CALL:04x} 03 00 0000 0000 0000")
    # It says that the call is connected all the same.
    connection.say(ICCN, "0000 0000 0000e100 0008 0000 00000001")
    connection.assertSilent()
    world.assertNoCall()
    connection.stop()
