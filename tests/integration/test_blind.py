"""
Tests with an attacker who sends GRE packets in a caller's name to a running gateway.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from pptpgw.ppp.wire import ppp
from tests.integration.world import GATEWAY, Client, Served, World
from tests.octets import encodeFrame

# Numbers from everywhere but the places where they could be in order, and far more of each than 66.
FORGE = """
import socket, sys
from pptpgw.tunnels.pptp.wire import gre
opened = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
payload = bytes.fromhex(sys.argv[3])
for first in (1 << 16, 1 << 20, 1 << 28, 1 << 31, 0xF0000000, 0xFFFF0000):
    for number in range(200):
        packet = gre.encode(int(sys.argv[2]), payload, first + number)
        opened.sendto(packet, (sys.argv[1], 0))
"""


def test_noSessionEnds(
    world: World, serve: Callable[..., Served], client: Callable[[], Client]
) -> None:
    """
    Forged Terminate-Requests in clear, and forged frames that look encrypted, don't end a session
    with MPPE, which carries packets again as soon as the gateway has read so many.
    """
    gateway = serve()
    dialling = client()
    call = dialling.dial()
    terminate = ppp.encodePacket(ppp.TERMINATE_REQUEST, 1, b"")
    for protocol, information in ((ppp.LCP, terminate), (0xFD, b"\x97\xd0" + bytes(60))):
        payload = encodeFrame(protocol, information).hex()
        command = [sys.executable, "-c", FORGE, GATEWAY, str(call["callID"]), payload]
        for _ in range(3):
            world.caller.run(*command)
            assert any(dialling.ask("ping", call["number"]) == {} for _ in range(3))
    assert "ended" not in gateway.text
