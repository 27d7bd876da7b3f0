"""
The variants of CHAP, as far as they differ: sizes, the message of a Failure, and the peer's answer.

The authenticator's half of the computation is in L{pptpgw.auth.credentials}, because it needs the
passwords of accounts.
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
    The peer's answer to a Challenge, and what is needed to judge the authenticator's reply.

    @ivar value: the value field of the Response.
    @ivar check: returns whether the message of a Success proves the authenticator.
    @ivar keys: returns the MPPE keys that success earns, or None.
    """

    value: bytes = field(repr=False)
    check: Callable[[bytes], bool]
    keys: Callable[[], IKeys | None]


class Algorithm(TypingProtocol):
    """
    The interface of one variant of CHAP.

    @ivar challengeSize: the length of a challenge that we make, in octets.
    @ivar responseSize: the length of the value field of every Response, in octets.
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
        Return the message of a Failure.

        @param challenge: the challenge that the peer may answer next.
        @param retry: whether the peer may answer once more.
        @param error: the number of the error (RFC 2759 section 6).
        @param text: the text for a human reader; empty for the default one.
        """

    def answer(self, challenge: chap.Challenge, name: bytes, password: bytes) -> Answer | None:
        """
        Return the peer's answer to C{challenge}; None if the challenge isn't of this variant.
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

        # The LAN Manager response is left out, as RFC 2433 section 6 recommends.
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


def changePassword(
    challenge: chap.Challenge, name: bytes, old: bytes, new: bytes
) -> tuple[chap.ChangePassword, Answer] | None:
    """
    Return the packet by which a peer changes its password with MS-CHAPv2 (RFC 2759 section 7), and
    what is needed to judge the authenticator's reply; None if C{challenge} isn't of MS-CHAPv2.

    @param challenge: the challenge in the Failure, with the identifier of the packet.
    @param name: the user's name, as in the Response that was refused.
    @param old: the password that has expired, in UTF-8.
    @param new: the new password in UTF-8, of no more than 256 characters.
    """
    answer = MSCHAPV2.answer(challenge, name, new)
    if answer is None:
        return None
    response = chap.MSCHAPV2Response.decode(answer.value)
    oldHash, newHash = mschap.ntPasswordHash(old), mschap.ntPasswordHash(new)
    change = chap.ChangePassword(
        challenge.identifier,
        mschap.encryptPassword(mschap.unicodePassword(new), oldHash),
        mschap.encryptPasswordHash(oldHash, newHash),
        response.peerChallenge,
        response.ntResponse,
    )
    return change, answer


MD5: Algorithm = _MD5()
MSCHAP: Algorithm = _MSCHAP()
MSCHAPV2: Algorithm = _MSCHAPV2()
