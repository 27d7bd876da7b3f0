"""
macOS up to 10.11 and iOS up to 9, whose PPP is Apple's pppd.
"""

from __future__ import annotations

from pptpgw.tunnels.pptp.call import HEAD_START
from tests.clients.conftest import StartGateway
from tests.clients.script import (
    ACK,
    ACSPCP,
    CCP,
    ECHO,
    ECHOED,
    IPCP,
    IPV6CP,
    LCP,
    NAK,
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
from tests.clients.world import World

CALL_ID = 0x2B01
MAGIC = "5c3e11f0"
ASKED = "0206 00000000 0506" + MAGIC + "0702 0802"
MPPE_128 = "1206 01000040"
ACSP = "01 01 0104 0000"
INTERFACE = "01 01 010a 0211 22ff fe33 4455"


def dial(world: World) -> tuple[ScriptedConnection, ScriptedTunnel]:
    """
    Dial with asynchronous framing and an analog bearer. Set-Link-Info follows at once, GRE begins
    with 1, and each packet acknowledges.
    """
    connection = ScriptedConnection(world)
    connection.say(SCCRQ, "0100 0000 00000001 00000001 0000 0001" + "00" * 128)
    connection.hear(SCCRP, "0100 01 00 00000003 00000003 0040 0001" + OURSELVES)
    request = "0001 0000012c 05f5e100 00000001 00000001 0040 0000 0000 0000"
    tunnel = connection.dial(CALL_ID, request, "05f5e100", first=1)
    connection.say(SLI, f"{tunnel.gatewayCallID:04x} 0000 ffffffff ffffffff")
    connection.assertSilent()
    tunnel.acknowledges = True
    return connection, tunnel


def openLCP(tunnel: ScriptedTunnel) -> None:
    """
    Open LCP, with requests for a character map, a magic number and field compression.
    """
    asked = tunnel.hear(LCP, REQUEST, 1, "0104 0578 0305 c22381 0506 (.{8}) 0702 0802")
    tunnel.answer(LCP, ACK, asked)
    tunnel.say(LCP, REQUEST, 1, ASKED)
    tunnel.hear(LCP, ACK, 1, ASKED)
    # The first packet from us that was answered had the number 2. The last answer acknowledges
    # both.
    assert tunnel.acknowledged == 2


def askForOthers(tunnel: ScriptedTunnel) -> None:
    """
    Ask for ACSPCP and IPV6CP, whether they were rejected before or not.
    """
    tunnel.say(ACSPCP, REQUEST, 1, "0104 0000")
    tunnel.say(IPV6CP, REQUEST, 1, "010a 0211 22ff fe33 4455")


def openNetwork(tunnel: ScriptedTunnel) -> None:
    """
    Authenticate, and open CCP and IPCP. The client asks for the other protocols right after
    authentication.
    """
    keys = tunnel.hearMSCHAPV2("alice")
    tunnel.compresses = True
    askForOthers(tunnel)
    tunnel.say(IPCP, REQUEST, 1, "0306 00000000 8106 00000000")
    tunnel.say(CCP, REQUEST, 1, MPPE_128)
    asked = tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    tunnel.hearProtocolReject(2, ACSPCP, ACSP)
    tunnel.hearProtocolReject(3, IPV6CP, INTERFACE)
    tunnel.hear(CCP, ACK, 1, MPPE_128)
    tunnel.answer(CCP, ACK, asked)
    tunnel.encrypt(keys)
    asked = tunnel.hear(IPCP, REQUEST, 1, "0306 0a4d0001")
    tunnel.hear(IPCP, NAK, 1, "0306 0a4d000a 8106 0a4d0035")
    tunnel.answer(IPCP, ACK, asked)
    tunnel.say(IPCP, REQUEST, 2, "0306 0a4d000a 8106 0a4d0035")
    tunnel.hear(IPCP, ACK, 2, "0306 0a4d000a 8106 0a4d0035")
    tunnel.assertSilent()


def hangUp(connection: ScriptedConnection, tunnel: ScriptedTunnel) -> None:
    """
    Terminate LCP, and stop the control connection without clearing its call.
    """
    tunnel.say(LCP, TERMINATE, 2, text("User request"))
    tunnel.hear(LCP, TERMINATED, 2)
    connection.stop()
    connection.world.assertNoCall()


def test_call(start: StartGateway) -> None:
    """
    The call opens without a pause, and every packet is acknowledged by the next one in the other
    direction.
    """
    world = start()
    connection, tunnel = dial(world)
    openLCP(tunnel)
    openNetwork(tunnel)
    assert world.clock.seconds() == HEAD_START
    before = tunnel.acknowledged
    for _ in range(3):
        tunnel.exchangePackets()
    assert tunnel.acknowledged == before + 3
    (session,) = world.gateway.sessions
    assert session.encryption == "MPPE 128 bit stateless"
    assert session.counters.discards == {}
    hangUp(connection, tunnel)


def test_protocolsRetried(start: StartGateway) -> None:
    """
    The client asks for ACSPCP and IPV6CP until they are rejected. Each request is rejected with its
    identifier, and none disturbs the open protocols.
    """
    world = start()
    connection, tunnel = dial(world)
    openLCP(tunnel)
    openNetwork(tunnel)
    for identifier in (4, 6, 8):
        world.rest(3)
        askForOthers(tunnel)
        tunnel.hearProtocolReject(identifier, ACSPCP, ACSP)
        tunnel.hearProtocolReject(identifier + 1, IPV6CP, INTERFACE)
        tunnel.exchangePackets()
    hangUp(connection, tunnel)


def test_networkChanged(start: StartGateway) -> None:
    """
    The client sends six echoes, five seconds apart, after its network has changed.
    """
    world = start()
    connection, tunnel = dial(world)
    openLCP(tunnel)
    openNetwork(tunnel)
    for identifier in range(6):
        tunnel.say(LCP, ECHO, identifier, MAGIC)
        tunnel.hear(LCP, ECHOED, identifier, "(.{8})")
        world.rest(5)
    tunnel.exchangePackets()
    hangUp(connection, tunnel)
