"""
NetworkManager-pptp, and pppd over pptp-linux, which has all calls to one server on one control
connection.
"""

from __future__ import annotations

import pytest

from pptpgw.tunnels.pptp.call import HEAD_START
from tests.clients.conftest import StartGateway
from tests.clients.script import (
    ACK,
    CCP,
    CCR,
    ECHO,
    ECHO_RP,
    ECHO_RQ,
    ECHOED,
    IPCP,
    LCP,
    NAK,
    OCRP,
    OCRQ,
    OURSELVES,
    REJECT,
    REQUEST,
    SCCRP,
    SCCRQ,
    TERMINATE,
    TERMINATED,
    ScriptedConnection,
    ScriptedTunnel,
    text,
)
from tests.clients.world import World

FIRST, SECOND = 0x6A31, 0x91F7
MAGIC = "77e5a04b"
ASKED = "0206 00000000 0506" + MAGIC + "0702 0802"
MPPE_128 = "1206 01000040"


def connect(world: World) -> ScriptedConnection:
    """
    Connect as the host "local" and the vendor "cananian", with 65535 channels, then pause for about
    a second.
    """
    connection = ScriptedConnection(world)
    connection.say(
        SCCRQ,
        "0100 0000 00000003 00000003 ffff 0001" + text("local", 64) + text("cananian", 64),
    )
    connection.hear(SCCRP, "0100 01 00 00000003 00000003 0040 0001" + OURSELVES)
    world.rest(1)
    connection.assertSilent()
    return connection


def dial(connection: ScriptedConnection, callID: int) -> ScriptedTunnel:
    """
    Dial with 2,400 to 10,000,000 bit/s and window 3. GRE begins with 1.
    """
    request = "0001 00000960 00989680 00000003 00000003 0003 0000 0000 0000"
    tunnel = connection.dial(callID, request, "00989680", first=1)
    asked = tunnel.hear(LCP, REQUEST, 1, "0104 0578 0305 c22381 0506 (.{8}) 0702 0802")
    tunnel.answer(LCP, ACK, asked)
    tunnel.say(LCP, REQUEST, 1, ASKED)
    tunnel.hear(LCP, ACK, 1, ASKED)
    tunnel.compresses = True
    return tunnel


def openNetwork(tunnel: ScriptedTunnel, address: str = "0a4d000a", mppe: str = MPPE_128) -> None:
    """
    Open CCP and IPCP with C{require-mppe}, C{usepeerdns} and C{novj}. pppd asks for all of it right
    after the Success.

    @param mppe: the value of pppd's first MPPE option.
    """
    keys = tunnel.hearMSCHAPV2("alice")
    tunnel.say(CCP, REQUEST, 1, mppe)
    tunnel.say(IPCP, REQUEST, 1, "0306 00000000 8106 00000000 8306 00000000")
    asked = tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    if mppe != MPPE_128:
        tunnel.hear(CCP, NAK, 1, MPPE_128)
        tunnel.say(CCP, REQUEST, 2, MPPE_128)
        tunnel.hear(CCP, ACK, 2, MPPE_128)
    else:
        tunnel.hear(CCP, ACK, 1, MPPE_128)
    tunnel.assertSilent()
    tunnel.answer(CCP, ACK, asked)
    tunnel.encrypt(keys)
    asked = tunnel.hear(IPCP, REQUEST, 1, "0306 0a4d0001")
    tunnel.hear(IPCP, REJECT, 1, "8306 00000000")
    tunnel.answer(IPCP, ACK, asked)
    tunnel.say(IPCP, REQUEST, 2, "0306 00000000 8106 00000000")
    tunnel.hear(IPCP, NAK, 2, f"0306 {address} 8106 0a4d0035")
    tunnel.say(IPCP, REQUEST, 3, f"0306 {address} 8106 0a4d0035")
    tunnel.hear(IPCP, ACK, 3, f"0306 {address} 8106 0a4d0035")
    tunnel.assertSilent()


def terminate(tunnel: ScriptedTunnel) -> None:
    """
    End pppd.
    """
    tunnel.say(LCP, TERMINATE, 2, text("User request"))
    tunnel.hear(LCP, TERMINATED, 2)


@pytest.mark.parametrize("callID", [FIRST, 0])
@pytest.mark.parametrize("mppe", [MPPE_128, "1206 01000060", "1206 00000040"])
def test_call(start: StartGateway, callID: int, mppe: str) -> None:
    """
    A call opens without a pause, with a random call id or with 0, as older clients have it. Of
    several key lengths the strongest is used, and stateless MPPE even if C{mppe-stateful} asks for
    the other.
    """
    world = start()
    connection = connect(world)
    tunnel = dial(connection, callID)
    openNetwork(tunnel, mppe=mppe)
    assert world.clock.seconds() == pytest.approx(1 + HEAD_START)
    for _ in range(3):
        tunnel.exchangePackets()
        tunnel.acknowledge()
    assert [session.counters.discards for session in world.gateway.sessions] == [{}]
    terminate(tunnel)
    connection.say(CCR, f"{callID:04x} 0000")
    connection.hearDisconnect(tunnel, 4)
    world.assertNoCall()
    connection.stop(3)


def test_shortKey(start: StartGateway) -> None:
    """
    The gateway asks a client with C{require-mppe-40} for 40 bits at once, where they are permitted,
    as pppd ends the link over anything else. Both directions have 40 bits.
    """
    world = start(bits=(40, 128))
    connection = connect(world)
    tunnel = dial(connection, FIRST)
    keys = tunnel.hearMSCHAPV2("alice")
    tunnel.say(CCP, REQUEST, 1, "1206 01000020")
    asked = tunnel.hear(CCP, REQUEST, 1, "1206 01000020")
    tunnel.hear(CCP, ACK, 1, "1206 01000020")
    tunnel.answer(CCP, ACK, asked)
    tunnel.encrypt(keys, 40)
    asked = tunnel.hear(IPCP, REQUEST, 1, "0306 0a4d0001")
    tunnel.answer(IPCP, ACK, asked)
    tunnel.say(IPCP, REQUEST, 1, "0306 0a4d000a")
    tunnel.hear(IPCP, ACK, 1, "0306 0a4d000a")
    assert [session.encryption for session in world.gateway.sessions] == ["MPPE 40 bit stateless"]
    tunnel.exchangePackets()
    connection.close()


def test_twoTunnels(start: StartGateway) -> None:
    """
    Two calls on one connection have ids and addresses of their own. Clearing one leaves the other,
    and stopping the connection ends that too.
    """
    world = start()
    connection = connect(world)
    first = dial(connection, FIRST)
    openNetwork(first)
    second = dial(connection, SECOND)
    openNetwork(second, "0a4d000b")
    assert first.gatewayCallID != second.gatewayCallID
    first.exchangePackets("10.77.0.10")
    second.exchangePackets("10.77.0.11")
    terminate(first)
    connection.say(CCR, f"{FIRST:04x} 0000")
    connection.hearDisconnect(first, 4)
    second.exchangePackets("10.77.0.11")
    assert [str(one.networks["ipv4"][0]) for one in world.gateway.sessions] == ["10.77.0.11/32"]
    first.assertSilent()
    connection.stop(3)
    world.assertNoCall()


def test_requestsInOneSegment(start: StartGateway) -> None:
    """
    Two calls that are requested in one segment are both answered, in order.
    """
    world = start()
    connection = connect(world)
    request = "0001 00000960 00989680 00000003 00000003 0003 0000 0000 0000" + "00" * 128
    connection.say(OCRQ, f"{FIRST:04x} {request}", f"{SECOND:04x} {request}")
    for callID in (FIRST, SECOND):
        connection.hear(OCRP, f".... {callID:04x} 01 00 0000 00989680 0040 0000 00000000")
    connection.close()


def test_echoes(start: StartGateway) -> None:
    """
    The gateway sends no echoes of its own in ten minutes, as the client's C{lcp-echo-interval} of
    30 and its control connection, which asks just before the gateway would, show that it is alive.
    """
    world = start()
    connection = connect(world)
    tunnel = dial(connection, FIRST)
    openNetwork(tunnel)
    for identifier in range(20):
        world.rest(29.9)
        tunnel.say(LCP, ECHO, identifier, MAGIC)
        tunnel.hear(LCP, ECHOED, identifier, "(.{8})")
        if identifier % 2:
            connection.say(ECHO_RQ, f"{identifier:08x}")
            connection.hear(ECHO_RP, f"{identifier:08x} 01 00 0000")
    tunnel.exchangePackets()
    connection.close()


def test_pppdKilled(start: StartGateway) -> None:
    """
    The call ends after three missed echoes when pppd has been killed and pptp still answers, and
    the notification has the id that pptp understands.
    """
    world = start()
    connection = connect(world)
    tunnel = dial(connection, FIRST)
    openNetwork(tunnel)
    world.rest(60.5)
    connection.hear(ECHO_RQ, "00000000")
    connection.say(ECHO_RP, "00000000 01 00 0000")
    world.rest(60.5)
    connection.hear(ECHO_RQ, "00000001")
    connection.say(ECHO_RP, "00000001 01 00 0000")
    world.rest(30)
    for identifier in (1, 2, 3):
        tunnel.hear(LCP, ECHO, identifier, ".{8}")
    tunnel.assertSilent()
    connection.hearDisconnect(tunnel, 1)
    world.assertNoCall()
    connection.stop(3)


def test_hostKilled(start: StartGateway) -> None:
    """
    The control connection to a client that has vanished is closed a minute after the gateway's own
    echo, with its call.
    """
    world = start()
    connection = connect(world)
    openNetwork(dial(connection, FIRST))
    world.rest(119.5)
    connection.hear(ECHO_RQ, "00000000")
    assert len(world.gateway.sessions) == 1
    world.rest(1)
    assert connection.closed
    world.assertNoCall()
    connection.close()
