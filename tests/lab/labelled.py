"""
Our own client as a program that speaks MPLS, which pppd doesn't.

The program takes the gateway's address, a user and a password, and calls. It prints C{open ADDRESS}
for each protocol that opens, and C{PROTOCOL HEX} for each packet that arrives. It sends the packets
of such lines on its standard input, and hangs up at the end of the input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.mpls.mplscp import MPLSCP, MPLSSettings
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.tunnels.pptp.client import ControlClient


def say(*words: str) -> None:
    print(*words, flush=True)


def printing(number: int) -> Callable[[bytes], None]:
    """
    Return a function that prints each packet of a protocol.
    """
    return lambda packet: say(f"{number:04x}", packet.hex())


class Packets(LineOnlyReceiver):
    """
    Sends the packets that lines of standard input describe.

    @ivar ended: fires at the end of the input.
    """

    delimiter = b"\n"

    def __init__(self, send: Callable[[int, bytes], None]) -> None:
        self.ended: Deferred[None] = Deferred()
        self._send = send

    def lineReceived(self, line: bytes) -> None:
        """
        Send the packet of one line.
        """
        number, packet = line.split()
        self._send(int(number, 16), bytes.fromhex(packet.decode()))

    def connectionLost(self, reason: Failure | None = None) -> None:
        """
        Report the end of the input.
        """
        self.ended.callback(None)


async def call(reactor: Any, host: str, user: str, password: str) -> None:
    """
    Call, and stay connected until the end of the input.
    """
    connection = await ControlClient(reactor, host, timeout=20).connect()
    ipcp = IPCP(IPv4Settings.client(printing(0x0021)))
    mplscp = MPLSCP(MPLSSettings(printing(0x0281), printing(0x0283)))
    settings = LinkSettings(identity=Identity(user.encode(), password.encode(), (MSCHAPV2,)))
    placed = await connection.placeCall(settings, [ipcp, mplscp])
    await placed.whenOpen(ipcp)
    await placed.whenOpen(mplscp)
    say("open", ipcp.localAddress)
    packets = Packets(mplscp.link.sendPacket)
    StandardIO(packets)
    await packets.ended
    await connection.close()


if __name__ == "__main__":
    react(call, sys.argv[1:])
