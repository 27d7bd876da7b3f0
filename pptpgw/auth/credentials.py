"""
Claims as twisted.cred credentials.

PAP's credentials are an L{IUsernamePassword}, the others are L{IUsernameHashedPassword}s: a checker
that knows the password calls C{checkPassword} with it, as it does for any protocol. A check that
succeeds stores the message of the Success packet and the MPPE keys in the credentials.
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
from pptpgw.ppp.md4 import md4
from pptpgw.ppp.wire.chap import MSCHAPResponse, MSCHAPV2Response

_WELCOME = b"Welcome"


@implementer(IClaimCredentials)
class ClaimCredentials:
    """
    The base class of the credentials of a claim.

    @ivar username: the name that the claim is checked for.
    @ivar message: the message of the Success packet; set by a check that succeeds.
    @ivar keys: the MPPE keys that a check that succeeds has derived, or None.
    """

    def __init__(self, claim: Claim, username: bytes) -> None:
        self.claim = claim
        self.username = username
        self.message = _WELCOME
        self.keys: IKeys | None = None

    def checkPassword(self, password: bytes) -> bool:
        """
        Return whether the claim was made by somebody who knows C{password}.
        """
        raise NotImplementedError


@implementer(IUsernamePassword)
class PAPCredentials(ClaimCredentials):
    """
    A name and a password in clear (PAP, RFC 1334).
    """

    @property
    def password(self) -> bytes:
        """
        The password that was sent, for checkers that hash it.
        """
        return self.claim.response

    def checkPassword(self, password: bytes) -> bool:
        """
        Compare C{password} with the one that was sent, in constant time.
        """
        return hmac.compare_digest(self.claim.response, password)


@implementer(IUsernameHashedPassword)
class CHAPCredentials(ClaimCredentials):
    """
    A response to a CHAP-MD5 challenge.
    """

    def checkPassword(self, password: bytes) -> bool:
        """
        Compare the response with the hash of C{password} and the challenge (RFC 1994 section 4.1).
        """
        claim = self.claim
        expected = mschap.chapMD5(claim.identifier, password, claim.challenge)
        return hmac.compare_digest(expected, claim.response)


@implementer(IUsernameHashedPassword)
class MSCHAPCredentials(ClaimCredentials):
    """
    A response to an MS-CHAPv1 challenge.

    A response that has only a LAN Manager hash is refused: it is far weaker than the NT hash, RFC
    2433 deprecates it, and no client made since 1998 sends it.
    """

    def checkPassword(self, password: bytes) -> bool:
        """
        Check the response with the NT hash of C{password}. The keys for 40 and 56 bits are derived
        from the password itself.
        """
        return self._check(mschap.ntPasswordHash(password), password)

    def checkNTHash(self, passwordHash: bytes) -> bool:
        """
        Check the response with the NT hash of a password that isn't known itself. Success earns
        keys of 128 bits only.
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

    The hash covers the name as the peer sent it, but without a domain, even if the account has
    another name (RFC 2759 section 8.2).
    """

    def checkPassword(self, password: bytes) -> bool:
        """
        Check the response with the NT hash of C{password}.
        """
        return self.checkNTHash(mschap.ntPasswordHash(password))

    def checkNTHash(self, passwordHash: bytes) -> bool:
        """
        Check the response with the NT hash of a password that isn't known itself.
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
    A Change-Password packet of MS-CHAPv2 (RFC 2759 section 7).

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
        # Derive keys for a wrong proof too, so that it takes as long as a right one.
        newHash = md4(password or b"")
        expected = mschap.encryptPasswordHash(oldHash, newHash)
        known = hmac.compare_digest(expected, change.encryptedHash)
        return password if self.checkNTHash(newHash) and known else None
