"""
A caller with IPv4 and the network protocol of C{tests/example}. It calls the gateway, asks for a
quote, pings, hangs up, and prints the results in JSON.
"""

import json
import sys
from typing import Any

from pptpgwquote import COUNT, LONGEST, QuoteCP
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.demo.selfcall import echoRequest, isEchoReply
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.tunnels.pptp.client import ControlClient

TIMEOUT = 5


async def call(reactor: Any, host: str, user: str, password: str) -> None:
    """
    Make the call, and print the results.
    """
    endpoint = ControlClient(reactor, host, timeout=TIMEOUT)
    quoted: Deferred[bytes] = Deferred()
    pong: Deferred[bytes] = Deferred()
    quote = QuoteCP(b"", {LONGEST: b"\x09", COUNT: b"\x01"}, quoted.callback)

    def received(packet: bytes) -> None:
        if isEchoReply(packet):
            pong.callback(packet)

    ipv4 = IPCP(IPv4Settings.client(received))
    connection = await endpoint.connect()
    identity = Identity(user.encode(), password.encode(), (MSCHAPV2,))
    placed = await connection.placeCall(LinkSettings(identity=identity), [ipv4, quote])
    for protocol in (ipv4, quote):
        await placed.whenOpen(protocol)
    quote.sendPacket(b"?")
    ipv4.sendPacket(echoRequest(ipv4.localAddress, ipv4.peerAddress or ""))
    report = {
        "quote": (await quoted.addTimeout(TIMEOUT, reactor)).decode(),
        "granted": {number: one.hex() for number, one in quote.negotiator.granted.items()},
        "address": ipv4.localAddress,
        "pong": bool(await pong.addTimeout(TIMEOUT, reactor)),
        "encryption": placed.link.encryption,
    }
    await connection.close()
    print(json.dumps(report), flush=True)


react(lambda reactor: ensureDeferred(call(reactor, *sys.argv[1:])))
