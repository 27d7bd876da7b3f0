"""
A program that calls with our own client and changes an expired password, since no available client
does so: C{changing.py SERVER USER OLD NEW}. It prints what was agreed on and whether its pings are
answered, and hangs up.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from pptpgw.auth.protocols import MSCHAPV2, CHAPProtocol
from pptpgw.demo.selfcall import echoRequest, isEchoReply
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp import mppe, mschap
from pptpgw.ppp.algorithm import Answer
from pptpgw.ppp.chap import CHAPPeer
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire import chap
from pptpgw.tunnels.pptp.client import ControlClient
from tests.change import changePassword

EXPIRED = 648
PINGS = 20


class ChangingPeer(CHAPPeer):
    """
    The peer's end of MS-CHAPv2, which changes an expired password (RFC 2759 section 7).

    @ivar new: the new password.
    """

    new = ""

    def received(self, packet: bytes) -> None:
        message = chap.decode(packet)
        if not isinstance(message, chap.CHAPFailure):
            super().received(packet)
            return
        failure = chap.FailureMessage.decode(message.message)
        assert failure.error == EXPIRED, message
        print("expired", flush=True)
        identifier = message.identifier + 1 & 0xFF
        octets = changePassword(
            identifier,
            failure.challenge,
            self._name,
            self._password.decode(),
            self.new.encode("utf-16-le"),
        )
        change = chap.decode(octets)
        assert isinstance(change, chap.ChangePassword)
        response = change.ntResponse
        proof = mschap.hashNtPasswordHash(mschap.ntPasswordHash(self.new.encode()))
        hashed = mschap.challengeHash(change.peerChallenge, failure.challenge, self._name)
        self._asked = chap.Challenge(identifier, failure.challenge, b"")
        self._answer = Answer(
            b"",
            lambda text: mschap.checkAuthenticatorResponse(proof, response, hashed, text),
            lambda: mppe.mschapV2Keys(proof, response, isServer=False),
        )
        self._disarm()
        self._send(octets)


class Changing(CHAPProtocol):
    """
    MS-CHAPv2 with such a peer.
    """

    def makePeer(self, clock: Any, send: Any, name: Any, password: Any, results: Any) -> CHAPPeer:
        return ChangingPeer(clock, send, self.variant, name, password, results)


async def _call(reactor: Any, server: str, user: str, old: str, new: str) -> None:
    answered = 0

    def receive(packet: bytes) -> None:
        nonlocal answered
        answered += isEchoReply(packet)

    ChangingPeer.new = new
    method = Changing(**{one.name: getattr(MSCHAPV2, one.name) for one in fields(MSCHAPV2)})
    identity = Identity(user.encode(), old.encode(), (method,))
    connection = await ControlClient(reactor, server).connect()
    ipcp = IPCP(IPv4Settings.client(receive))
    call = connection.call(LinkSettings(identity=identity), [ipcp])
    await call.opened.addTimeout(20, reactor)
    local, peer = ipcp.localAddress or "", ipcp.peerAddress or ""
    print(f"{local} to {peer}, {call.link.encryption}", flush=True)
    for _ in range(10 * PINGS):
        if answered >= PINGS:
            break
        ipcp.sendPacket(echoRequest(local, peer, bytes(1200)))
        await deferLater(reactor, 0.05, lambda: None)
    print("answered" if answered >= PINGS else f"only {answered} answers", flush=True)
    await call.hangUp()
    await connection.close()


def _main(reactor: Any, *words: str) -> Deferred[None]:
    return Deferred.fromCoroutine(_call(reactor, *words))


if __name__ == "__main__":
    react(_main, sys.argv[1:5])
