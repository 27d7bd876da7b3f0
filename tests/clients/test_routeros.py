"""
RouterOS as a client.

What isn't known about it (the fields of its Outgoing-Call-Request, the order of its NCPs, the way
in which it hangs up) follows RFC 2637 and RFC 1661.

What isn't known of it (the fields of its Outgoing-Call-Request, the order of its NCPs, the way it
hangs up) is as RFC 2637 and RFC 1661 have it.
"""

from __future__ import annotations

import pytest

from pptpgw.auth import protocols
from pptpgw.auth.protocols import MSCHAP, MSCHAPV2
from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.ppp import mppe, mschap
from pptpgw.ppp.lcpoption import optionOf
from pptpgw.tunnels.pptp.call import HEAD_START
from tests.clients.conftest import StartGateway
from tests.clients.script import (
    ACK,
    BCP,
    CCP,
    CCR,
    CHALLENGE,
    CHAP,
    ECHO,
    ECHO_RP,
    ECHO_RQ,
    ECHOED,
    IPCP,
    LCP,
    NAK,
    OURSELVES,
    PAP,
    REJECT,
    REQUEST,
    RESPONSE,
    SCCRP,
    SCCRQ,
    SUCCESS,
    TERMINATE,
    TERMINATED,
    ScriptedConnection,
    ScriptedTunnel,
    text,
)
from tests.clients.world import BEHIND, World, packet

CALL_ID = 0x0105
MAGIC = "a1b2c3d4"
MRU_1450 = "0104 05aa 0506" + MAGIC
MRRU = "1104 0640"
MPPE_128 = "1206 01000040"


def dial(world: World) -> tuple[ScriptedConnection, ScriptedTunnel]:
    """
    Dial with synchronous framing, no bearer, no channels, firmware 1, and MikroTik as host name and
    vendor.
    """
    connection = ScriptedConnection(world)
    connection.say(
        SCCRQ,
        "0100 0000 00000002 00000000 0000 0001" + text("MikroTik", 64) + text("MikroTik", 64),
    )
    connection.hear(SCCRP, "0100 01 00 00000003 00000003 0040 0001" + OURSELVES)
    request = "0001 0000012c 05f5e100 00000001 00000002 0040 0000 0000 0000"
    return connection, connection.dial(CALL_ID, request, "05f5e100")


def openLCP(
    tunnel: ScriptedTunnel, method: IAuthenticationProtocol = MSCHAPV2, mru: str = "0578"
) -> None:
    """
    Open LCP with an MRU of 1450 and an MRRU, which is rejected. If the gateway begins with another
    method than C{method}, the client naks it.
    """
    form = "0104 {} 03{:02x} {} 0506 (.{{8}}) 0702 0802"

    def expected(option: bytes) -> str:
        return form.format(mru, 2 + len(option), option.hex())

    tunnel.say(LCP, REQUEST, 1, MRU_1450 + MRRU)
    first = tunnel.hear(LCP, REQUEST, 1, expected(optionOf(MSCHAPV2)))
    asked = tunnel.hear(LCP, REQUEST, 1, expected(optionOf(MSCHAPV2)))
    assert asked.octets == first.octets
    tunnel.hear(LCP, REJECT, 1, MRRU)
    tunnel.say(LCP, REQUEST, 2, MRU_1450)
    tunnel.hear(LCP, ACK, 2, MRU_1450)
    if method is not MSCHAPV2:
        option = optionOf(method)
        tunnel.say(LCP, NAK, 1, bytes((3, 2 + len(option))) + option)
        asked = tunnel.hear(LCP, REQUEST, 2, expected(option))
    tunnel.answer(LCP, ACK, asked)


def openCCP(tunnel: ScriptedTunnel) -> None:
    """
    Open CCP. Both ends ask for the same.
    """
    asked = tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    tunnel.answer(CCP, ACK, asked)
    tunnel.say(CCP, REQUEST, 1, MPPE_128)
    tunnel.hear(CCP, ACK, 1, MPPE_128)


def openIPCP(tunnel: ScriptedTunnel) -> None:
    """
    Open IPCP, with a request for an address and for no name server.
    """
    asked = tunnel.hear(IPCP, REQUEST, 1, "0306 0a4d0001")
    tunnel.answer(IPCP, ACK, asked)
    tunnel.say(IPCP, REQUEST, 1, "0306 00000000")
    tunnel.hear(IPCP, NAK, 1, "0306 0a4d000a")
    tunnel.say(IPCP, REQUEST, 2, "0306 0a4d000a")
    tunnel.hear(IPCP, ACK, 2, "0306 0a4d000a")
    tunnel.assertSilent()


def hangUp(connection: ScriptedConnection, tunnel: ScriptedTunnel) -> None:
    """
    End LCP, the call and the connection, each in order.
    """
    tunnel.say(LCP, TERMINATE, 9)
    tunnel.hear(LCP, TERMINATED, 9)
    connection.say(CCR, f"{CALL_ID:04x} 0000")
    connection.hearDisconnect(tunnel, 4)
    connection.world.assertNoCall()
    connection.stop()


@pytest.mark.parametrize(("mru", "digits", "mtu"), [(1400, "0578", 1396), (1500, "05dc", 1446)])
def test_call(start: StartGateway, mru: int, digits: str, mtu: int) -> None:
    """
    A call opens at once although MRRU and bridging are rejected. The client's smaller MRU, less
    what MPPE takes, limits the packets.
    """
    world = start(mru=mru)
    connection, tunnel = dial(world)
    openLCP(tunnel, mru=digits)
    keys = tunnel.hearMSCHAPV2("alice")
    tunnel.say(BCP, REQUEST, 1, "0306 000000000000")
    asked = tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    tunnel.hearProtocolReject(2, BCP, "01 01 0306 000000000000")
    tunnel.answer(CCP, ACK, asked)
    tunnel.say(CCP, REQUEST, 1, MPPE_128)
    tunnel.hear(CCP, ACK, 1, MPPE_128)
    tunnel.encrypt(keys)
    openIPCP(tunnel)
    assert world.clock.seconds() == HEAD_START
    tunnel.exchangePackets(size=mtu)
    world.tun.receive(packet(BEHIND, "10.77.0.10", mtu + 1))
    tunnel.assertSilent()
    (refusal,) = world.tun.written
    assert refusal[20:22] == b"\x03\x04" and int.from_bytes(refusal[26:28], "big") == mtu
    hangUp(connection, tunnel)


def test_keepalive(start: StartGateway) -> None:
    """
    Echoes of both kinds are answered every 60 s. They are enough signs of life for the gateway,
    whose interval is 30 s, to send its own only after a silence.
    """
    world = start()
    connection, tunnel = dial(world)
    openLCP(tunnel)
    keys = tunnel.hearMSCHAPV2("alice")
    openCCP(tunnel)
    tunnel.encrypt(keys)
    openIPCP(tunnel)
    for count in range(1, 4):
        world.rest(59)
        connection.say(ECHO_RQ, f"{count:08x}")
        connection.hear(ECHO_RP, f"{count:08x} 01 00 0000")
        while tunnel.waiting:
            ours = tunnel.hear(LCP, ECHO, None, "(.{8})")
            tunnel.say(LCP, ECHOED, ours.identifier, MAGIC)
        tunnel.say(LCP, ECHO, count, MAGIC + "68690000")
        tunnel.hear(LCP, ECHOED, count, "(.{8}) 68690000")
    tunnel.exchangePackets()
    hangUp(connection, tunnel)


def test_mschap(start: StartGateway) -> None:
    """
    A client that has only MS-CHAPv1 enabled naks the other method, and MS-CHAPv1's keys encrypt.
    """
    world = start()
    connection, tunnel = dial(world)
    openLCP(tunnel, MSCHAP)
    heard = tunnel.hear(CHAP, CHALLENGE, None, "08 (.{16})" + text("gateway"))
    passwordHash = mschap.ntPasswordHash(b"open sesame")
    response = mschap.challengeResponse(heard.groups[0], passwordHash)
    tunnel.say(CHAP, RESPONSE, heard.identifier, b"\x31" + bytes(24) + response + b"\x01alice")
    tunnel.hear(CHAP, SUCCESS, heard.identifier, ".*")
    openCCP(tunnel)
    hashHash = mschap.hashNtPasswordHash(passwordHash)
    tunnel.encrypt(mppe.mschapKeys(None, hashHash, heard.groups[0]))
    openIPCP(tunnel)
    assert world.clock.seconds() == HEAD_START
    tunnel.exchangePackets()
    hangUp(connection, tunnel)


@pytest.mark.parametrize("method", [protocols.CHAP, protocols.PAP])
def test_withoutKeys(start: StartGateway, method: IAuthenticationProtocol) -> None:
    """
    CHAP and PAP are used where encryption isn't required, and CCP is rejected then, as there are no
    keys.
    """
    world = start(encryption="prefer")
    connection, tunnel = dial(world)
    openLCP(tunnel, method)
    if method.name == "pap":
        tunnel.say(PAP, 1, 1, "05" + text("alice") + "0b" + text("open sesame"))
        tunnel.hear(PAP, 2, 1, ".*")
    else:
        heard = tunnel.hear(CHAP, CHALLENGE, None, "10 (.{32})" + text("gateway"))
        value = mschap.chapMD5(heard.identifier, b"open sesame", heard.groups[0])
        tunnel.say(CHAP, RESPONSE, heard.identifier, b"\x10" + value + b"alice")
        tunnel.hear(CHAP, SUCCESS, heard.identifier, ".*")
    tunnel.say(CCP, REQUEST, 1, MPPE_128)
    asked = tunnel.hear(IPCP, REQUEST, 1, "0306 0a4d0001")
    tunnel.hearProtocolReject(3, CCP, "01 01" + MPPE_128)
    tunnel.answer(IPCP, ACK, asked)
    tunnel.say(IPCP, REQUEST, 1, "0306 0a4d000a")
    tunnel.hear(IPCP, ACK, 1, "0306 0a4d000a")
    tunnel.exchangePackets()
    hangUp(connection, tunnel)


def test_silentAfterTermination(start: StartGateway) -> None:
    """
    The call of a client that terminates LCP and then says nothing is ended one Restart timer later.
    """
    world = start()
    connection, tunnel = dial(world)
    openLCP(tunnel)
    tunnel.say(LCP, TERMINATE, 9)
    tunnel.hear(CHAP, CHALLENGE, None, "10 .{32}" + text("gateway"))
    tunnel.hear(LCP, TERMINATED, 9)
    world.rest(2.9)
    connection.assertSilent()
    world.rest(0.2)
    connection.hearDisconnect(tunnel, 3)
    world.assertNoCall()
    connection.stop()
