"""
Windows XP to 11, as captures and MS-PTPT show them.
"""

from __future__ import annotations

import pytest

from pptpgw.auth import protocols
from pptpgw.interfaces import IAuthenticationProtocol, IKeys
from pptpgw.ppp.lcpoption import optionOf
from pptpgw.tunnels.pptp.call import HEAD_START
from tests.clients.conftest import StartGateway
from tests.clients.script import (
    ACK,
    CCP,
    CCR,
    CDN,
    CHALLENGE,
    CHAP,
    CODE_REJECT,
    IDENTIFICATION,
    IPCP,
    IPV6CP,
    LCP,
    NAK,
    OURSELVES,
    PROTOCOL_REJECT,
    REJECT,
    REQUEST,
    RESET,
    RESET_ACK,
    SCCRP,
    SCCRQ,
    SLI,
    TERMINATE,
    TERMINATED,
    Heard,
    ScriptedConnection,
    ScriptedTunnel,
    text,
)
from tests.clients.world import BEHIND, World, packet

MAGIC = "36e25a2e"
CALLBACK = "0d03 06"
# MRRU 1614, and an Endpoint-Discriminator of class 1.
MULTILINK = "1104 064e 1317 01" + "a7" * 20
SESAME = "0104 0578 0506" + MAGIC + "0702 0802"
GATEWAY_LCP = "0104 0578 0305 c22381 0506 (.{8}) 0702 0802"
H_ALONE, MPPE_128 = "1206 01000000", "1206 01000040"
CCP_DISAGREED = "encryption is required: the peer doesn't know CCP"


def connect(world: World, firmware: int = 0) -> ScriptedConnection:
    """
    Connect with asynchronous framing, an analog bearer and no channels.
    """
    connection = ScriptedConnection(world)
    connection.say(
        SCCRQ,
        f"0100 0000 00000001 00000001 0000 {firmware:04x}"
        + text("", 64)
        + text("Microsoft Windows NT", 64),
    )
    connection.hear(SCCRP, "0100 01 00 00000003 00000003 0040 0001" + OURSELVES)
    return connection


def dial(connection: ScriptedConnection, callID: int = 0) -> ScriptedTunnel:
    """
    Dial with 300 to 100,000,000 bit/s, any bearer and framing, and window 64. Set-Link-Info is sent
    twice.
    """
    request = "0001 0000012c 05f5e100 00000003 00000003 0040 0000 0000 0000"
    tunnel = connection.dial(callID, request, "05f5e100")
    for characters in ("ffffffff", "00000000"):
        connection.say(SLI, f"{tunnel.gatewayCallID:04x} 0000 {characters} {characters}")
    connection.assertSilent()
    return tunnel


def openLCP(tunnel: ScriptedTunnel, beyond: str = CALLBACK) -> None:
    """
    Open LCP after the gateway's first request was lost.

    @param beyond: the options that are rejected.
    """
    tunnel.hear(LCP, REQUEST, 1, GATEWAY_LCP)
    tunnel.say(LCP, REQUEST, 0, SESAME + beyond)
    # The gateway repeats its request at the first sign of life, three seconds before its Restart
    # timer runs out.
    asked = tunnel.hear(LCP, REQUEST, 1, GATEWAY_LCP)
    tunnel.hear(LCP, REJECT, 0, beyond)
    tunnel.say(LCP, REQUEST, 1, SESAME)
    tunnel.hear(LCP, ACK, 1, SESAME)
    tunnel.answer(LCP, ACK, asked)
    tunnel.compresses = True
    for identifier, words in ((2, "MSRASV5.20"), (3, "MSRAS-0-HOST"), (4, "0123456789abcdef")):
        tunnel.say(LCP, IDENTIFICATION, identifier, MAGIC + text(words))


def askForNetworks(tunnel: ScriptedTunnel) -> Heard:
    """
    Ask for IPV6CP, CCP and IPCP without a pause. The gateway's CCP request, which came first, is
    answered.
    """
    tunnel.say(IPV6CP, REQUEST, 5, "010a 0000000000000000")
    tunnel.say(CCP, REQUEST, 6, H_ALONE)
    tunnel.say(
        IPCP, REQUEST, 7, "0306 00000000 8106 00000000 8206 00000000 8306 00000000 8406 00000000"
    )
    asked = tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    tunnel.hearProtocolReject(2, IPV6CP, "01 05 010a 0000000000000000")
    return asked


def openCCP(tunnel: ScriptedTunnel, keys: IKeys) -> None:
    """
    Open CCP. Windows asks first for H without key bits and then for what our Nak suggests. IPCP
    waits until then.
    """
    asked = askForNetworks(tunnel)
    tunnel.hear(CCP, NAK, 6, MPPE_128)
    tunnel.answer(CCP, ACK, asked)
    tunnel.say(CCP, REQUEST, 8, MPPE_128)
    tunnel.hear(CCP, ACK, 8, MPPE_128)
    tunnel.encrypt(keys)


def openIPCP(tunnel: ScriptedTunnel) -> None:
    """
    Open IPCP from the request that was kept, for an address, DNS 1, WINS 1, DNS 2 and WINS 2. The
    gateway has one DNS server and nothing else.
    """
    asked = tunnel.hear(IPCP, REQUEST, 1, "0306 0a4d0001")
    tunnel.hear(IPCP, REJECT, 7, "8206 00000000 8306 00000000 8406 00000000")
    tunnel.answer(IPCP, ACK, asked)
    tunnel.say(IPCP, REQUEST, 9, "0306 00000000 8106 00000000")
    tunnel.hear(IPCP, NAK, 9, "0306 0a4d000a 8106 0a4d0035")
    tunnel.say(IPCP, REQUEST, 10, "0306 0a4d000a 8106 0a4d0035")
    tunnel.hear(IPCP, ACK, 10, "0306 0a4d000a 8106 0a4d0035")
    tunnel.assertSilent()


def hangUp(connection: ScriptedConnection, tunnel: ScriptedTunnel, callID: int = 0) -> None:
    """
    Terminate LCP, set the ACCMs once more, clear the call and stop the connection.
    """
    tunnel.say(LCP, TERMINATE, 12, MAGIC + "003ccd74 00000000")
    tunnel.hear(LCP, TERMINATED, 12)
    connection.say(SLI, f"{tunnel.gatewayCallID:04x} 0000 ffffffff ffffffff")
    connection.say(CCR, f"{callID:04x} 0000")
    connection.hearDisconnect(tunnel, 4)
    connection.world.assertNoCall()
    connection.stop()


@pytest.mark.parametrize("callID", [0, 0x4D2])
@pytest.mark.parametrize("beyond", [CALLBACK, CALLBACK + MULTILINK])
@pytest.mark.parametrize("firmware", [0, 2600])
def test_call(start: StartGateway, callID: int, beyond: str, firmware: int) -> None:
    """
    A call opens without a pause, from the control connection to encrypted packets, and is hung up.
    """
    world = start()
    connection = connect(world, firmware)
    tunnel = dial(connection, callID)
    openLCP(tunnel, beyond)
    openCCP(tunnel, tunnel.hearMSCHAPV2("alice"))
    openIPCP(tunnel)
    assert world.clock.seconds() == HEAD_START
    (session,) = world.gateway.sessions
    assert (session.user, session.encryption) == ("alice", "MPPE 128 bit stateless")
    for _ in range(3):
        tunnel.exchangePackets()
    assert session.counters.discards == {}
    hangUp(connection, tunnel, callID)


def test_firstRequestsLost(start: StartGateway) -> None:
    """
    Windows ignores packets until it has set up its own end. Its first packets are answered at once,
    even if the Restart timer has run out before.
    """
    world = start()
    connection = connect(world)
    tunnel = dial(connection)
    tunnel.hear(LCP, REQUEST, 1, GATEWAY_LCP)
    tunnel.deaf = True
    world.rest(3.5)
    tunnel.deaf = False
    tunnel.assertSilent()
    tunnel.say(LCP, REQUEST, 0, SESAME)
    tunnel.hear(LCP, REQUEST, 1, GATEWAY_LCP)
    tunnel.hear(LCP, ACK, 0, SESAME)
    hangUp(connection, tunnel)


def test_domain(start: StartGateway) -> None:
    """
    A name with a domain before it is the user without the domain.
    """
    world = start()
    connection = connect(world)
    tunnel = dial(connection)
    openLCP(tunnel)
    openCCP(tunnel, tunnel.hearMSCHAPV2("WORKGROUP\\alice"))
    openIPCP(tunnel)
    assert [session.user for session in world.gateway.sessions] == ["alice"]
    tunnel.exchangePackets()
    hangUp(connection, tunnel)


def test_lateDuplicateRequest(start: StartGateway) -> None:
    """
    A repetition of CCP's request when all is open is acknowledged, and nothing else happens: the
    keys continue.
    """
    world = start()
    connection = connect(world)
    tunnel = dial(connection)
    openLCP(tunnel)
    openCCP(tunnel, tunnel.hearMSCHAPV2("alice"))
    openIPCP(tunnel)
    tunnel.exchangePackets()
    for identifier in (8, 11):
        tunnel.say(CCP, REQUEST, identifier, MPPE_128)
        tunnel.hear(CCP, ACK, identifier, MPPE_128)
        tunnel.exchangePackets()
    hangUp(connection, tunnel)


def test_changedRequest(start: StartGateway) -> None:
    """
    Another request than the acknowledged one, in Opened, restarts CCP with new keys. No packet
    passes in clear meanwhile, and IPCP stays open.
    """
    world = start()
    connection = connect(world)
    tunnel = dial(connection)
    openLCP(tunnel)
    keys = tunnel.hearMSCHAPV2("alice")
    openCCP(tunnel, keys)
    openIPCP(tunnel)
    tunnel.exchangePackets()
    tunnel.say(CCP, REQUEST, 11, H_ALONE)
    asked = tunnel.hear(CCP, REQUEST, 2, MPPE_128)
    tunnel.hear(CCP, NAK, 11, MPPE_128)
    world.tun.receive(packet(BEHIND, "10.77.0.10"))
    tunnel.assertSilent()
    tunnel.answer(CCP, ACK, asked)
    tunnel.say(CCP, REQUEST, 12, MPPE_128)
    tunnel.hear(CCP, ACK, 12, MPPE_128)
    tunnel.encrypt(keys)
    tunnel.exchangePackets()
    hangUp(connection, tunnel)


def test_resetAck(start: StartGateway) -> None:
    """
    A Reset-Request gets a Reset-Ack until Windows rejects that, and the stateless keys continue.
    """
    world = start()
    connection = connect(world)
    tunnel = dial(connection)
    openLCP(tunnel)
    openCCP(tunnel, tunnel.hearMSCHAPV2("alice"))
    openIPCP(tunnel)
    tunnel.exchangePackets()
    tunnel.say(CCP, RESET, 11)
    tunnel.hear(CCP, RESET_ACK, 11)
    tunnel.say(CCP, CODE_REJECT, 1, "0f 0b 0004")
    tunnel.exchangePackets()
    tunnel.say(CCP, RESET, 12)
    tunnel.assertSilent()
    tunnel.exchangePackets()
    hangUp(connection, tunnel)


@pytest.mark.parametrize("offered", [protocols.PAP, protocols.CHAP])
def test_weakMethodIsNaked(start: StartGateway, offered: IAuthenticationProtocol) -> None:
    """
    Windows naks PAP and CHAP with MD5 with MS-CHAPv2, and gets it where it is permitted.
    """
    world = start(methods=(offered, protocols.MSCHAPV2), encryption="prefer")
    connection = connect(world)
    tunnel = dial(connection)
    option = optionOf(offered)
    expected = f"0104 0578 03{2 + len(option):02x} {option.hex()} 0506 .{{8}} 0702 0802"
    tunnel.hear(LCP, REQUEST, 1, expected)
    tunnel.say(LCP, REQUEST, 0, SESAME)
    tunnel.hear(LCP, REQUEST, 1, expected)
    tunnel.hear(LCP, ACK, 0, SESAME)
    tunnel.say(LCP, NAK, 1, "0305 c22381")
    asked = tunnel.hear(LCP, REQUEST, 2, GATEWAY_LCP)
    tunnel.answer(LCP, ACK, asked)
    tunnel.hear(CHAP, CHALLENGE, None, "10 .{32}" + text("gateway"))
    hangUp(connection, tunnel)


@pytest.mark.parametrize(("wanted", "words"), [("0305 c22381", "MS-CHAPv2"), ("0304 c227", "EAP")])
def test_methodNotPermitted(start: StartGateway, wanted: str, words: str) -> None:
    """
    The gateway ends the call where Windows' method isn't permitted, and both ends learn why.
    """
    world = start(methods=(protocols.CHAP, protocols.PAP), encryption="off")
    connection = connect(world)
    tunnel = dial(connection)
    tunnel.hear(LCP, REQUEST, 1, "0104 0578 0305 c22305 0506 .{8} 0702 0802")
    tunnel.say(LCP, NAK, 1, wanted)
    reason = f"the peer proposes {words}, which isn't permitted"
    terminate = tunnel.hear(LCP, TERMINATE, 2, text(reason))
    tunnel.say(LCP, TERMINATED, terminate.identifier)
    connection.hearDisconnect(tunnel, 3)
    assert any(reason in line for line in world.log)
    connection.stop()


def test_encryptionOff(start: StartGateway) -> None:
    """
    A client without encryption rejects CCP itself, and IPCP opens at once where encryption is only
    preferred.
    """
    world = start(encryption="prefer")
    connection = connect(world)
    tunnel = dial(connection)
    openLCP(tunnel)
    tunnel.hearMSCHAPV2("alice")
    tunnel.say(
        IPCP, REQUEST, 7, "0306 00000000 8106 00000000 8206 00000000 8306 00000000 8406 00000000"
    )
    tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    tunnel.assertSilent()
    tunnel.say(LCP, PROTOCOL_REJECT, 8, "80fd 01 01 000a" + MPPE_128)
    openIPCP(tunnel)
    assert world.clock.seconds() == HEAD_START
    assert [session.encryption for session in world.gateway.sessions] == ["not encrypted"]
    tunnel.exchangePackets()
    hangUp(connection, tunnel)


def test_encryptionRequired(start: StartGateway) -> None:
    """
    The link to a client without encryption ends with the reason, where encryption is required,
    before any network protocol.
    """
    world = start()
    connection = connect(world)
    tunnel = dial(connection)
    openLCP(tunnel)
    tunnel.hearMSCHAPV2("alice")
    tunnel.say(IPCP, REQUEST, 5, "0306 00000000")
    tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    tunnel.say(LCP, PROTOCOL_REJECT, 6, "80fd 01 01 000a" + MPPE_128)
    tunnel.hear(LCP, TERMINATE, 2, text(CCP_DISAGREED))
    tunnel.say(LCP, TERMINATED, 2)
    connection.hearDisconnect(tunnel, 3)
    tunnel.assertSilent()
    assert any(CCP_DISAGREED in line for line in world.log)
    connection.stop()


def test_gatewayWithoutEncryption(start: StartGateway) -> None:
    """
    A gateway without encryption rejects CCP itself, and IPCP doesn't wait for it.
    """
    world = start(encryption="off")
    connection = connect(world)
    tunnel = dial(connection)
    openLCP(tunnel)
    tunnel.hearMSCHAPV2("alice")
    tunnel.hear(IPCP, REQUEST, 1, "0306 0a4d0001")
    tunnel.say(CCP, REQUEST, 6, H_ALONE)
    tunnel.hearProtocolReject(2, CCP, "01 06" + H_ALONE)
    tunnel.assertSilent()
    hangUp(connection, tunnel)


@pytest.mark.parametrize("ours", [True, False])
def test_disconnectNotify(start: StartGateway, ours: bool) -> None:
    """
    A Call-Disconnect-Notify with a result that isn't in the RFC, and with either call id, ends the
    call at once without an answer.
    """
    world = start()
    connection = connect(world)
    tunnel = dial(connection, 0x4D2)
    tunnel.hear(LCP, REQUEST, 1, GATEWAY_LCP)
    callID = tunnel.gatewayCallID if ours else 0x4D2
    connection.say(CDN, f"{callID:04x} 00 00 0000 0000" + "00" * 128)
    world.assertNoCall()
    connection.stop()
    tunnel.assertSilent()
