"""
What differs between the variants of CHAP: sizes, the message of a Failure, and the peer's answer.

The authenticator's half of the arithmetic is not here but with whoever knows the passwords
(L{pptpgw.auth.credentials}).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol as TypingProtocol

from pptpgw.error import WRONG_PASSWORD
from pptpgw.interfaces import IKeys
from pptpgw.ppp import mppe, mschap
from pptpgw.ppp.wire import chap

_FAILED = b"Authentication failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What the peer's side answers a Challenge with.

    @ivar value: the value of the Response.
    @ivar check: whether the message of the Success proves the authenticator.
    @ivar keys: makes the keys that success earns.
    """

    value: bytes = field(repr=False)
    check: Callable[[bytes], bool]
    keys: Callable[[], IKeys | None]


class Algorithm(TypingProtocol):
    """
    One variant of CHAP.

    @ivar challengeSize: the octets of a challenge that we make.
    @ivar responseSize: the octets of the value of every Response.
    @ivar mayRetry: whether a Failure can allow another try.
    @ivar mayChange: whether a peer can change a password that has expired.
    """

    challengeSize: int
    responseSize: int
    mayRetry: bool
    mayChange: bool

    def failure(
        self, challenge: bytes, retry: bool, error: int = WRONG_PASSWORD, text: bytes = b""
    ) -> bytes:
        """
        The message of a Failure.

        @param challenge: what the peer may respond to next.
        @param error: the reason's number.
        @param text: for the human reader; empty: the one for everybody.
        """

    def answer(self, challenge: chap.Challenge, name: bytes, password: bytes) -> Answer | None:
        """
        The peer's answer; None: the challenge isn't of this variant.
        """


class _MD5:
    challengeSize = 16
    responseSize = 16
    mayRetry = False
    mayChange = False

    def failure(
        self, challenge: bytes, retry: bool, error: int = WRONG_PASSWORD, text: bytes = b""
    ) -> bytes:
        return text or _FAILED

    def answer(self, challenge: chap.Challenge, name: bytes, password: bytes) -> Answer | None:
        value = mschap.chapMD5(challenge.identifier, password, challenge.value)
        return Answer(value, lambda message: True, lambda: None)


class _MSCHAP:
    challengeSize = 8
    responseSize = chap.MSCHAPResponse.SIZE
    mayRetry = True
    mayChange = False

    def failure(
        self, challenge: bytes, retry: bool, error: int = WRONG_PASSWORD, text: bytes = b""
    ) -> bytes:
        return chap.FailureMessage(error, retry, challenge, text=text or _FAILED).encode()

    def answer(self, challenge: chap.Challenge, name: bytes, password: bytes) -> Answer | None:
        if len(challenge.value) != self.challengeSize:
            return None
        passwordHash = mschap.ntPasswordHash(password)
        ntResponse = mschap.challengeResponse(challenge.value, passwordHash)

        def keys() -> IKeys:
            return mppe.mschapKeys(
                mschap.lmPasswordHash(password),
                mschap.hashNtPasswordHash(passwordHash),
                challenge.value,
            )

        # The LAN Manager response is left out, as RFC 2433 section 6 asks.
        value = chap.MSCHAPResponse(bytes(24), ntResponse, useNT=True).encode()
        return Answer(value, lambda message: True, keys)


class _MSCHAPV2(_MSCHAP):
    challengeSize = 16
    responseSize = chap.MSCHAPV2Response.SIZE
    mayChange = True

    def answer(self, challenge: chap.Challenge, name: bytes, password: bytes) -> Answer | None:
        if len(challenge.value) != self.challengeSize:
            return None
        passwordHash = mschap.ntPasswordHash(password)
        hashHash = mschap.hashNtPasswordHash(passwordHash)
        peerChallenge = secrets.token_bytes(16)
        hashed = mschap.challengeHash(peerChallenge, challenge.value, name)
        ntResponse = mschap.challengeResponse(hashed, passwordHash)
        return Answer(
            chap.MSCHAPV2Response(peerChallenge, ntResponse).encode(),
            lambda message: mschap.checkAuthenticatorResponse(
                hashHash, ntResponse, hashed, message
            ),
            lambda: mppe.mschapV2Keys(hashHash, ntResponse, isServer=False),
        )


MD5: Algorithm = _MD5()
MSCHAP: Algorithm = _MSCHAP()
MSCHAPV2: Algorithm = _MSCHAPV2()
