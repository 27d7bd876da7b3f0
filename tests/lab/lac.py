"""
A program that calls an LNS with our own LAC: C{lac.py SERVER USER PASSWORD SECRET [numbered]}, with
sequence numbers in the last case. It prints what was agreed on and whether its pings to the other
end are answered, and hangs up.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.demo.selfcall import echoRequest, isEchoReply
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.tunnels.l2tp.client import LACClient
from pptpgw.tunnels.l2tp.secrets import trusting
from pptpgw.tunnels.l2tp.settings import ControlSettings

PINGS = 20


async def _call(
    reactor: Any, server: str, user: str, password: str, secret: str, numbered: str = ""
) -> None:
    answered = 0

    def receive(packet: bytes) -> None:
        nonlocal answered
        answered += isEchoReply(packet)

    identity = Identity(user.encode(), password.encode(), (MSCHAPV2,))
    settings = LinkSettings(encryption="prefer", identity=identity)
    trust = trusting(secret.encode())
    control = ControlSettings(name=b"lac", trust=trust, numbered=bool(numbered))
    connection = await LACClient(reactor, server, settings=control).connect()
    for number in range(2):
        ipcp = IPCP(IPv4Settings.client(receive))
        call = connection.call(settings, [ipcp])
        await call.opened.addTimeout(20, reactor)
        local, peer = ipcp.localAddress or "", ipcp.peerAddress or ""
        print(f"call {number}: {local} to {peer}, {call.link.encryption}", flush=True)
        # The other end's device may not be up yet when IPCP is open.
        for _ in range(10 * PINGS):
            if answered >= PINGS:
                break
            ipcp.sendPacket(echoRequest(local, peer, bytes(1200)))
            await deferLater(reactor, 0.05, lambda: None)
        print("answered" if answered >= PINGS else f"only {answered} answers", flush=True)
        answered = 0
        await call.hangUp()
    await connection.close()
    print("closed", flush=True)


def _main(reactor: Any, *words: str) -> Deferred[None]:
    return Deferred.fromCoroutine(_call(reactor, *words))


if __name__ == "__main__":
    react(_main, sys.argv[1:6])
