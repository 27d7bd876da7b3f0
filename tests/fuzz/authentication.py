"""
Fuzzing of the authentication exchanges at either end: PAP, the three kinds of CHAP, and EAP with
its methods.

Nothing that arrives may raise or be logged as a failure, nobody may be let in without a grant of
the judge, and a stopped exchange must leave nothing behind.
"""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from pptpgw.auth.eap import EAPProtocol
from pptpgw.auth.eapmethod import MD5, RELAYED
from pptpgw.auth.eapmethod import MSCHAPV2 as EAP_MSCHAPV2
from pptpgw.auth.eaptls import TLSMethod, makeContext
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.error import Refused, Unproven
from pptpgw.interfaces import Claim, Grant, IAuthenticationProtocol, IEAPCredentials, IExchange
from pptpgw.ppp.wire import eap
from pptpgw.testing import ExchangeRecorder, makeGrant
from tests.certificates import SERVER, Authority
from tests.fuzz.reader import Reader, Target
from tests.fuzz.state import unfailing
from tests.ppp.test_eap import Pipe
from tests.ppp.test_eaptls import judge as judgeName

STEPS = 48
"""
The most steps of an input.
"""

LONGEST = 1020
"""
Octets of the longest EAP packet, which every link takes (RFC 3748 section 3.1).
"""

_ENDS = ("authenticated", "refused")


@cache
def _tls() -> tuple[TLSMethod, TLSMethod]:
    """
    TLS contexts of the gateway and of a caller.
    """
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    authority = Authority(Path(folder.name))
    server, client = authority.issue("gateway", SERVER), authority.issue("alice")
    ours, theirs = (
        makeContext(str(pair[0]), str(pair[1]), str(authority.certificate), isServer)
        for pair, isServer in ((server, True), (client, False))
    )
    return TLSMethod(ours), TLSMethod(theirs)


class _Judge:
    """
    A judge that answers at once, later or never, as the input decides.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.vouched = 0
        self.waiting: list[Deferred[Grant]] = []

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Judge a claim.
        """
        assert len(self.waiting) < STEPS
        credentials = claim.method.credentials(claim, claim.name)
        if IEAPCredentials.providedBy(credentials):
            return Deferred.fromCoroutine(self._converse(credentials))
        kind = self.reader.number()
        if kind & 1:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return self.verdict(kind)

    def verdict(self, kind: int) -> Deferred[Grant]:
        """
        The verdict on a claim.
        """
        if kind & 0x30 == 0x30:
            self.vouched += 1
            return succeed(Grant("alice", b"S=" + b"0" * 40, None, None))
        if kind & 0x10:
            return fail(Refused("expired", retry=bool(kind & 2), error=648))
        return fail(Unproven())

    def decide(self) -> None:
        """
        Give the verdict on the claim that has waited longest.
        """
        if self.waiting:
            waiting = self.waiting.pop(0)
            if not waiting.called:
                self.verdict(self.reader.number()).addBoth(waiting.callback)

    async def _converse(self, credentials: Any) -> Grant:
        for _ in range(4):
            content = self.reader.chunk()
            request = eap.EAPRequest(self.reader.number(), eap.Method(77), content).encode()
            await credentials.converse(request if self.reader.number() & 7 else content)
        return await self.verdict(self.reader.number())


def authenticator(protocol: IAuthenticationProtocol) -> Target:
    """
    The target for the end that asks.
    """

    def target(octets: bytes) -> None:
        reader, clock, recorder = Reader(octets), Clock(), ExchangeRecorder()
        sent: list[bytes] = []
        judging = _Judge(reader)
        rechallenge = reader.choose((0, 0, 30))
        with unfailing():
            exchange = protocol.makeAuthenticator(
                clock, sent.append, b"gateway", judging.authenticate, recorder, rechallenge
            )
            exchange.start()
            for _ in range(STEPS):
                if not reader.more:
                    break
                kind = reader.number()
                if kind < 0x20:
                    clock.advance(reader.number() / 4)
                elif kind < 0x40:
                    judging.decide()
                elif kind < 0x48:
                    exchange.repeat()
                else:
                    exchange.received(_packet(reader, sent, kind))
            assert recorder.events.count("granted alice") <= judging.vouched
            exchange.stop()
        assert not clock.getDelayedCalls()

    return target


def peer(protocol: IAuthenticationProtocol) -> Target:
    """
    The target for the end that answers.
    """

    def target(octets: bytes) -> None:
        reader, clock, recorder = Reader(octets), Clock(), ExchangeRecorder()
        sent: list[bytes] = []
        with unfailing():
            exchange = protocol.makePeer(clock, sent.append, b"alice", b"sesame", recorder)
            exchange.start()
            for _ in range(STEPS):
                if not reader.more:
                    break
                kind = reader.number()
                if kind < 0x20:
                    clock.advance(reader.number() / 4)
                else:
                    exchange.received(_packet(reader, sent, kind))
            exchange.stop()
        assert not clock.getDelayedCalls()

    return target


def _packet(reader: Reader, sent: list[bytes], kind: int) -> bytes:
    """
    A packet of any octets, or with a header that fits the packet that was sent last.
    """
    if kind < 0x60:
        return reader.chunk()
    code, data = reader.number() & 7, reader.chunk()
    identifier = sent[-1][1] if sent and kind < 0xE0 else reader.number()
    if sent and kind & 1:
        # The same type of EAP, or a value of the same length.
        data = sent[-1][4:5] + data
    return bytes((code, identifier)) + (4 + len(data)).to_bytes(2, "big") + data


class _Altered(Pipe):
    """
    Both ends of EAP, and a line that alters packets.
    """

    reader = Reader(b"")

    def _send(self, sender: ExchangeRecorder, to: IExchange, packet: bytes) -> None:
        fate = self.reader.number()
        if fate & 1:
            at = self.reader.number(2) % len(packet)
            packet = packet[:at] + self.reader.chunk() + packet[at + self.reader.number() :]
            packet = packet[:LONGEST]
        if fate & 2:
            super()._send(sender, to, packet)
        if fate & 4:
            packet = packet[: self.reader.number(2)]
        if fate & 0x18 != 0x18:
            super()._send(sender, to, packet)


def _between(octets: bytes) -> None:
    """
    An exchange by certificates or passwords whose packets are altered on their way.
    """
    reader = Reader(octets)
    with unfailing():
        if reader.number() & 1:
            ours, theirs = _tls()
            pipe = _Altered([ours], [theirs], judge=judgeName)
        else:
            methods = EAP_MSCHAPV2, MD5
            pipe = _Altered(methods, methods, judge=makeGrant)
        pipe.reader = reader
        pipe.run()
        pipe.authenticator.stop()
        pipe.peer.stop()
    assert sum(event.startswith(_ENDS) for event in pipe.ours.told) <= 1, pipe.ours.told
    assert not pipe.clock.getDelayedCalls()


def _withTLS(octets: bytes) -> None:
    authenticator(EAPProtocol((_tls()[0], EAP_MSCHAPV2, MD5)))(octets)


def _peerWithTLS(octets: bytes) -> None:
    peer(EAPProtocol((_tls()[1], EAP_MSCHAPV2, MD5)))(octets)


TARGETS: dict[str, Target] = {
    "chap": authenticator(CHAP),
    "chap-peer": peer(CHAP),
    "eap": _withTLS,
    "eap-between": _between,
    "eap-peer": _peerWithTLS,
    "eap-relayed": authenticator(EAPProtocol((RELAYED, MD5))),
    "mschap": authenticator(MSCHAP),
    "mschap-peer": peer(MSCHAP),
    "mschapv2": authenticator(MSCHAPV2),
    "mschapv2-peer": peer(MSCHAPV2),
    "pap": authenticator(PAP),
    "pap-peer": peer(PAP),
}
"""
Targets by name.
"""
