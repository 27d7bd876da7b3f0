"""
Claims as twisted.cred credentials.

PAP's is an L{IUsernamePassword}, the others are L{IUsernameHashedPassword}s: a checker that knows
the password calls C{checkPassword} with it, as every checker does.  What succeeds leaves behind
the message of the Success and the MPPE keys that were earned.
"""

from __future__ import annotations

import hmac

from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from zope.interface import implementer, implementer_only

from pptpgw.error import Malformed
from pptpgw.interfaces import (
    Claim,
    IChangedPassword,
    IClaimCredentials,
    IKeys,
)
from pptpgw.ppp import mppe, mschap
from pptpgw.ppp.chap import ChangeClaim
from pptpgw.ppp.wire.chap import MSCHAPResponse, MSCHAPV2Response

_WELCOME = b"Welcome"


@implementer(IClaimCredentials)
class ClaimCredentials:
    """
    What every claim's credentials have.

    @ivar username: whom the claim is checked as.
    @ivar message: the message of the Success.
    @ivar keys: what success earned, or None.
    """

    def __init__(self, claim: Claim, username: bytes) -> None:
        self.claim = claim
        self.username = username
        self.message = _WELCOME
        self.keys: IKeys | None = None

    def checkPassword(self, password: bytes) -> bool:
        """
        Whether the claim was made by somebody who knows C{password}.
        """
        raise NotImplementedError


@implementer(IUsernamePassword)
class PAPCredentials(ClaimCredentials):
    """
    A name and a password in clear.
    """

    @property
    def password(self) -> bytes:
        """
        The password that was sent, for checkers that hash it.
        """
        return self.claim.response

    def checkPassword(self, password: bytes) -> bool:
        """
        Compare in constant time.
        """
        return hmac.compare_digest(self.claim.response, password)


@implementer(IUsernameHashedPassword)
class CHAPCredentials(ClaimCredentials):
    """
    A response to a CHAP-MD5 challenge.
    """

    def checkPassword(self, password: bytes) -> bool:
        """
        Hash C{password} as the peer should have (RFC 1994 section 4.1).
        """
        claim = self.claim
        expected = mschap.chapMD5(claim.identifier, password, claim.challenge)
        return hmac.compare_digest(expected, claim.response)


@implementer(IUsernameHashedPassword)
class MSCHAPCredentials(ClaimCredentials):
    """
    A response to an MS-CHAPv1 challenge.

    A response that offers its LAN Manager half alone is refused: it is weaker than the rest by far,
    RFC 2433 deprecated it, and no client made since 1998 sends it.
    """

    def checkPassword(self, password: bytes) -> bool:
        """
        Check by the NT hash; the keys for 40 and 56 bits need the password itself.
        """
        return self._check(mschap.ntPasswordHash(password), password)

    def checkNTHash(self, passwordHash: bytes) -> bool:
        """
        Check against an account that is kept as an NT hash; it earns keys of 128 bits only.
        """
        return self._check(passwordHash, None)

    def _check(self, passwordHash: bytes, password: bytes | None) -> bool:
        challenge = self.claim.challenge
        try:
            response = MSCHAPResponse.decode(self.claim.response)
        except Malformed:
            return False
        expected = mschap.challengeResponse(challenge, passwordHash)
        if not (hmac.compare_digest(expected, response.ntResponse) and response.useNT):
            return False
        self.keys = mppe.mschapKeys(
            mschap.lmPasswordHash(password) if password is not None else None,
            mschap.hashNtPasswordHash(passwordHash),
            challenge,
        )
        return True


@implementer(IUsernameHashedPassword)
class MSCHAPV2Credentials(ClaimCredentials):
    """
    A response to an MS-CHAPv2 challenge.

    The name in it is hashed as the peer sent it but for its domain, whatever the account is called
    (RFC 2759 section 8.2).
    """

    def checkPassword(self, password: bytes) -> bool:
        """
        Check by the NT hash of C{password}.
        """
        return self.checkNTHash(mschap.ntPasswordHash(password))

    def checkNTHash(self, passwordHash: bytes) -> bool:
        """
        Check against an account that is kept as an NT hash.
        """
        claim = self.claim
        try:
            response = MSCHAPV2Response.decode(claim.response)
        except Malformed:
            return False
        hashed = mschap.challengeHash(response.peerChallenge, claim.challenge, claim.name)
        expected = mschap.challengeResponse(hashed, passwordHash)
        if not hmac.compare_digest(expected, response.ntResponse):
            return False
        hashHash = mschap.hashNtPasswordHash(passwordHash)
        proof = mschap.generateAuthenticatorResponse(hashHash, response.ntResponse, hashed)
        self.message = proof + b" M=" + _WELCOME
        self.keys = mppe.mschapV2Keys(hashHash, response.ntResponse, isServer=True)
        return True


@implementer_only(IChangedPassword)
class ChangeCredentials(MSCHAPV2Credentials):
    """
    A Change-Password of MS-CHAPv2.

    @ivar change: the packet.
    """

    def __init__(self, claim: ChangeClaim, username: bytes) -> None:
        MSCHAPV2Credentials.__init__(self, claim, username)
        self.change = claim.change

    def changed(self, oldHash: bytes) -> bytes | None:
        """
        See L{IChangedPassword.changed}.
        """
        change = self.change
        password = mschap.decryptPassword(change.encryptedPassword, oldHash)
        # Who is wrong takes as long as who is right.
        newHash = mschap.md4(password or b"")
        expected = mschap.encryptPasswordHash(oldHash, newHash)
        known = hmac.compare_digest(expected, change.encryptedHash)
        return password if self.checkNTHash(newHash) and known else None
