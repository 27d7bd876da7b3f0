"""
Android up to 11: mtpd with pppd.
"""

from __future__ import annotations

import pytest

from pptpgw.tunnels.pptp.call import HEAD_START
from tests.clients.conftest import StartGateway
from tests.clients.script import (
    ACK,
    CCP,
    IPCP,
    LCP,
    NAK,
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

CALL_ID = 0xC0DE
ASKED = "0104 0578 0206 00000000 0506 0badcafe 0702 0802"
MPPE_128 = "1206 01000040"
# Deflate, Deflate with its draft's number, and BSD compression.
OTHERS = "1a04 7800 1804 7800 1503 2f"


def dial(world: World) -> tuple[ScriptedConnection, ScriptedTunnel]:
    """
    Dial as the host "anonymous" with a random call id, 1,000 to 100,000,000 bit/s and window 8192.
    MTU and MRU are 1400.
    """
    connection = ScriptedConnection(world)
    connection.say(
        SCCRQ, "0100 0000 00000003 00000003 0000 0000" + text("anonymous", 64) + text("", 64)
    )
    connection.hear(SCCRP, "0100 01 00 00000003 00000003 0040 0001" + OURSELVES)
    request = "0001 000003e8 05f5e100 00000003 00000003 2000 0000 0000 0000"
    tunnel = connection.dial(CALL_ID, request, "05f5e100", first=1)
    asked = tunnel.hear(LCP, REQUEST, 1, "0104 0578 0305 c22381 0506 (.{8}) 0702 0802")
    tunnel.say(LCP, REQUEST, 1, ASKED)
    # The gateway repeats its request at the peer's first packet, as the peer may not have been
    # there before.
    tunnel.hear(LCP, REQUEST, 1, asked.octets.hex())
    tunnel.hear(LCP, ACK, 1, ASKED)
    tunnel.answer(LCP, ACK, asked)
    # The peer was there and answers both requests, and the second answer does no harm.
    tunnel.answer(LCP, ACK, asked)
    return connection, tunnel


def openEncryption(tunnel: ScriptedTunnel) -> None:
    """
    Open encryption with C{+mppe}. Both ends ask for the same.
    """
    keys = tunnel.hearMSCHAPV2("alice")
    tunnel.compresses = True
    tunnel.say(CCP, REQUEST, 1, MPPE_128)
    asked = tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    tunnel.hear(CCP, ACK, 1, MPPE_128)
    tunnel.answer(CCP, ACK, asked)
    tunnel.encrypt(keys)


def openIPCP(tunnel: ScriptedTunnel) -> None:
    """
    Open IPCP, with requests for Van Jacobson compression, an address and two name servers, of which
    the gateway has one.
    """
    asked = tunnel.hear(IPCP, REQUEST, 1, "0306 0a4d0001")
    tunnel.answer(IPCP, ACK, asked)
    tunnel.say(IPCP, REQUEST, 1, "0206 002d0f01 0306 00000000 8106 00000000 8306 00000000")
    tunnel.hear(IPCP, REJECT, 1, "0206 002d0f01 8306 00000000")
    tunnel.say(IPCP, REQUEST, 2, "0306 00000000 8106 00000000")
    tunnel.hear(IPCP, NAK, 2, "0306 0a4d000a 8106 0a4d0035")
    tunnel.say(IPCP, REQUEST, 3, "0306 0a4d000a 8106 0a4d0035")
    tunnel.hear(IPCP, ACK, 3, "0306 0a4d000a 8106 0a4d0035")
    tunnel.assertSilent()


@pytest.mark.parametrize("terminates", [True, False])
def test_call(start: StartGateway, terminates: bool) -> None:
    """
    The call ends at once when TCP closes without a message, with LCP terminated or not.
    """
    world = start()
    connection, tunnel = dial(world)
    openEncryption(tunnel)
    openIPCP(tunnel)
    assert world.clock.seconds() == HEAD_START
    tunnel.exchangePackets()
    if terminates:
        tunnel.say(LCP, TERMINATE, 2, text("User request"))
        tunnel.hear(LCP, TERMINATED, 2)
    connection.close()
    world.assertAtRest()
    tunnel.assertSilent()


def test_withoutEncryption(start: StartGateway) -> None:
    """
    A client with C{nomppe} answers CCP by rejecting MPPE, and IPCP opens at once where encryption
    is only preferred.
    """
    world = start(encryption="prefer")
    connection, tunnel = dial(world)
    tunnel.hearMSCHAPV2("alice")
    tunnel.say(CCP, REQUEST, 1, OTHERS)
    asked = tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    tunnel.hear(CCP, REJECT, 1, OTHERS)
    tunnel.answer(CCP, REJECT, asked)
    asked = tunnel.hear(CCP, REQUEST, 2, "")
    tunnel.say(CCP, REQUEST, 2)
    tunnel.hear(CCP, ACK, 2)
    tunnel.answer(CCP, ACK, asked)
    openIPCP(tunnel)
    assert world.clock.seconds() == HEAD_START
    tunnel.exchangePackets()
    connection.close()


def test_withoutEncryptionInVain(start: StartGateway) -> None:
    """
    The link to a client without encryption ends with the reason where encryption is required.
    """
    world = start()
    connection, tunnel = dial(world)
    tunnel.hearMSCHAPV2("alice")
    tunnel.say(CCP, REQUEST, 1, OTHERS)
    asked = tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    tunnel.hear(CCP, REJECT, 1, OTHERS)
    tunnel.answer(CCP, REJECT, asked)
    reason = "MPPE: the peer rejects it"
    terminate = tunnel.hear(CCP, TERMINATE, 2, text(reason))
    tunnel.say(CCP, TERMINATED, terminate.identifier)
    terminate = tunnel.hear(LCP, TERMINATE, 2, text(f"encryption is required: {reason}"))
    tunnel.say(LCP, TERMINATED, terminate.identifier)
    connection.hearDisconnect(tunnel, 3)
    world.assertNoCall()
    connection.close()


def test_gatewayHangsUp(start: StartGateway) -> None:
    """
    The Call-Disconnect-Notify has the id that the gateway, as PAC, assigned, which is the only one
    that the client understands.
    """
    world = start()
    connection, tunnel = dial(world)
    openEncryption(tunnel)
    openIPCP(tunnel)
    (session,) = world.gateway.sessions
    session.hangUp("the operator wants it so")
    terminate = tunnel.hear(LCP, TERMINATE, 2, text("the operator wants it so"))
    connection.assertSilent()
    tunnel.say(LCP, TERMINATED, terminate.identifier)
    connection.hearDisconnect(tunnel, 3)
    world.assertNoCall()
    connection.close()
