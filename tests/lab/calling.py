"""
A program that calls with our own client: C{calling.py ENDPOINT PINGS}, where C{ENDPOINT} is an
endpoint string. It prints what was agreed on and how many of its pings are answered, and hangs up.

With a last word, C{stateful}, it asks for stateful MPPE, and suggests it: pppd with the option
mppe-stateful accepts that, but never insists on it.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure

from pptpgw.client import PacketProtocol
from pptpgw.demo.selfcall import echoRequest, isEchoReply
from pptpgw.error import CallError
from pptpgw.ppp import ccp

OCTETS = 1200

mppeOption = ccp.mppeOption


class Pinging(PacketProtocol):
    """
    Counts the pings that are answered.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.ended: Deferred[str] = Deferred()

    def packetReceived(self, network: str, packet: bytes) -> None:
        self.answered += isEchoReply(packet)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(reason.getErrorMessage())


def statefulOption(bits: int, stateful: bool) -> bytes:
    """
    Return an option with the stateful bit, whatever C{stateful} is.
    """
    return mppeOption(bits, stateful=True)


async def _call(reactor: Any, where: str, pings: int) -> None:
    endpoint = clientFromString(reactor, where)
    factory = Factory.forProtocol(Pinging)  # type: ignore[type-var]
    try:
        protocol: Pinging = await endpoint.connect(factory)
    except CallError as error:
        print(f"failed: {error}")
        return
    transport = protocol.transport
    ipv4 = transport.networks["ipv4"]
    words = f"{ipv4.localAddress} to {ipv4.peerAddress}"
    print(f"{words}, {transport.authentication}, {transport.encryption}", flush=True)
    request = echoRequest(ipv4.localAddress, ipv4.peerAddress, bytes(OCTETS))
    # A pppd at the other end may lose packets that come as soon as IPCP is open.
    for _ in range(100):
        transport.sendPacket("ipv4", request)
        await deferLater(reactor, 0.05, lambda: None)
        if protocol.answered:
            break
    await deferLater(reactor, 0.1, lambda: None)
    protocol.answered = sent = 0
    while sent < pings and not protocol.ended.called:
        # As many at a time as are answered without a loss.
        burst = min(8, pings - sent)
        for _ in range(burst):
            transport.sendPacket("ipv4", request)
        sent += burst
        for _ in range(200):
            if protocol.answered >= sent:
                break
            await deferLater(reactor, 0.005, lambda: None)
    print(f"{protocol.answered} of {sent} answered", flush=True)
    transport.loseConnection()
    print(f"ended: {await protocol.ended}", flush=True)


def _main(reactor: Any, where: str, pings: str, *words: str) -> Deferred[None]:
    if words == ("stateful",):
        ccp.mppeOption = statefulOption
    return Deferred.fromCoroutine(_call(reactor, where, int(pings)))


if __name__ == "__main__":
    react(_main, sys.argv[1:])
