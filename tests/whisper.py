"""
An authentication protocol as another package would have it, for tests of the plugin interface.

The authenticator asks the peer for its name and then sends a challenge: two round trips before a
Success or a Failure.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_bytes

from twisted.cred.credentials import IUsernameHashedPassword
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.auth.credentials import ClaimCredentials
from pptpgw.error import Malformed
from pptpgw.interfaces import (
    Claim,
    IAuthenticationProtocol,
    IAuthenticatorExchange,
    IExchange,
    IKeys,
    IPeerResults,
    IVerdicts,
)
from pptpgw.ppp.exchange import Authenticate, AuthenticatorExchange, Exchange
from pptpgw.ppp.mppe import StartKeys, bindingKeys
from pptpgw.ppp.wire.ppp import decodePacket, encodePacket

NUMBER = 0xC281
ASK, NAME, CHALLENGE, PROOF, SUCCESS, FAILURE = range(1, 7)
PATIENCE = 30

Send = Callable[[bytes], None]


def proof(password: bytes, challenge: bytes, purpose: bytes = b"proof") -> bytes:
    """
    Return 16 octets that can be computed only with the password.
    """
    return hmac.digest(password, purpose + challenge, "sha256")[:16]


def keys(password: bytes, challenge: bytes, isServer: bool) -> StartKeys:
    """
    Return the MPPE keys of one end after a success.
    """
    server = proof(password, challenge, b"server")
    client = proof(password, challenge, b"client")
    ours, theirs = (server, client) if isServer else (client, server)
    return StartKeys(ours, theirs, None, None, bindingKeys(client, server))


@implementer(IAuthenticatorExchange)
class WhisperAuthenticator(AuthenticatorExchange):
    """
    The authenticator's end, which asks for the name and sends a challenge.
    """

    _claimed = b""
    _challenge = b""

    def start(self) -> None:
        self._arm(PATIENCE, self._unanswered, "the peer does not whisper")
        self._send(encodePacket(ASK, 0))

    def received(self, packet: bytes) -> None:
        try:
            code, identifier, text = decodePacket(packet)
        except Malformed:
            self.discards += 1
            return
        if code == NAME and not self._challenge:
            self._claimed, self._challenge = text, token_bytes(16)
            self._send(encodePacket(CHALLENGE, 1, self._challenge))
        elif code == PROOF and self._challenge and self._pending is None and not self._over:
            self._verify(Claim(self._method, self._claimed, identifier, self._challenge, text))

    @property
    def _mayRetry(self) -> bool:
        return False

    def _accept(self, message: bytes) -> None:
        self._send(encodePacket(SUCCESS, 1, message))

    def _deny(self, retry: bool) -> None:
        self._send(encodePacket(FAILURE, 1))


@implementer(IExchange)
class WhisperPeer(Exchange):
    """
    The peer's end, which answers with the name and with a proof.
    """

    def __init__(
        self, clock: IReactorTime, send: Send, name: bytes, password: bytes, results: IPeerResults
    ) -> None:
        Exchange.__init__(self, clock, send)
        self._name = name
        self._password = password
        self._results = results
        self._keys: IKeys | None = None

    def start(self) -> None:
        self._arm(PATIENCE, self._results.refused, "nobody asks")

    def received(self, packet: bytes) -> None:
        try:
            code, identifier, text = decodePacket(packet)
        except Malformed:
            self.discards += 1
            return
        if code == ASK:
            self._send(encodePacket(NAME, identifier, self._name))
        elif code == CHALLENGE:
            self._keys = keys(self._password, text, isServer=False)
            self._send(encodePacket(PROOF, identifier, proof(self._password, text)))
        elif code == SUCCESS:
            self.stop()
            self._results.proven(self._keys)
        elif code == FAILURE:
            self.stop()
            self._results.refused("hushed")


@implementer(IUsernameHashedPassword)
class WhisperCredentials(ClaimCredentials):
    """
    The name of a peer, and the proof that it knows the password.
    """

    def checkPassword(self, password: bytes) -> bool:
        challenge = self.claim.challenge
        if not hmac.compare_digest(proof(password, challenge), self.claim.response):
            return False
        self.message = b"Hush"
        if self.claim.method.earnsKeys:
            self.keys = keys(password, challenge, isServer=True)
        return True


@implementer(IAuthenticationProtocol)
@dataclass(frozen=True)
class Whisper:
    """
    The plugin of this protocol.
    """

    earnsKeys: bool = True
    strength: int = 500
    name: str = "whisper"
    number: int = NUMBER
    algorithm: bytes = b"\x01\x02"
    description: str = "Whisper: for tests (no RFC)."

    def makeAuthenticator(
        self,
        clock: IReactorTime,
        send: Send,
        name: bytes,
        authenticate: Authenticate,
        verdicts: IVerdicts,
        rechallenge: float,
    ) -> WhisperAuthenticator:
        return WhisperAuthenticator(clock, send, self, authenticate, verdicts)

    def makePeer(
        self, clock: IReactorTime, send: Send, name: bytes, password: bytes, results: IPeerResults
    ) -> WhisperPeer:
        return WhisperPeer(clock, send, name, password, results)

    def credentials(self, claim: Claim, username: bytes) -> WhisperCredentials:
        return WhisperCredentials(claim, username)


WHISPER = Whisper()
