"""
The authentication protocols that come with the gateway: PAP and the variants of CHAP. Their
exchanges are in L{pptpgw.ppp}; twisted.cred judges them.

The protocols are plugins as those of other packages are: each is an entry point in pyproject.toml,
and the link uses only L{IAuthenticationProtocol}.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.auth.credentials import (
    ChangeCredentials,
    CHAPCredentials,
    ClaimCredentials,
    MSCHAPCredentials,
    MSCHAPV2Credentials,
    PAPCredentials,
)
from pptpgw.interfaces import Claim, IAuthenticationProtocol, IPeerResults, IVerdicts
from pptpgw.ppp import algorithm
from pptpgw.ppp.algorithm import Algorithm
from pptpgw.ppp.chap import ChangeClaim, CHAPAuthenticator, CHAPPeer
from pptpgw.ppp.exchange import Authenticate, Send
from pptpgw.ppp.pap import PAPAuthenticator, PAPPeer
from pptpgw.ppp.wire import ppp


@implementer(IAuthenticationProtocol)
class PAPProtocol:
    """
    The Password Authentication Protocol: a name and a password in clear (RFC 1334).
    """

    __slots__ = ()

    name = "pap"
    description = "PAP: the password in clear, no encryption (RFC 1334)."
    number = ppp.PAP
    algorithm = b""
    earnsKeys = False
    strength = 100

    def makeAuthenticator(
        self,
        clock: IReactorTime,
        send: Send,
        name: bytes,
        authenticate: Authenticate,
        verdicts: IVerdicts,
        rechallenge: float,
    ) -> PAPAuthenticator:
        """
        See L{IAuthenticationProtocol.makeAuthenticator}. PAP sends no name of ours, and can't ask
        again: C{name} and C{rechallenge} are ignored.
        """
        return PAPAuthenticator(clock, send, self, authenticate, verdicts)

    def makePeer(
        self, clock: IReactorTime, send: Send, name: bytes, password: bytes, results: IPeerResults
    ) -> PAPPeer:
        """
        See L{IAuthenticationProtocol.makePeer}.
        """
        return PAPPeer(clock, send, name, password, results)

    def credentials(self, claim: Claim, username: bytes) -> PAPCredentials:
        """
        Return L{PAPCredentials}, an C{IUsernamePassword}.
        """
        return PAPCredentials(claim, username)


@implementer(IAuthenticationProtocol)
@dataclass(frozen=True)
class CHAPProtocol:
    """
    CHAP with one of its algorithms.

    @ivar algorithm: the octet that stands for it in LCP's option Authentication-Protocol.
    @ivar variant: the sizes and the arithmetic of the algorithm, as the exchange needs them.
    @ivar judgedAs: the class of the credentials.
    """

    name: str
    description: str
    algorithm: bytes
    earnsKeys: bool
    strength: int
    variant: Algorithm
    judgedAs: type[ClaimCredentials]
    number: int = ppp.CHAP

    def makeAuthenticator(
        self,
        clock: IReactorTime,
        send: Send,
        name: bytes,
        authenticate: Authenticate,
        verdicts: IVerdicts,
        rechallenge: float,
    ) -> CHAPAuthenticator:
        """
        See L{IAuthenticationProtocol.makeAuthenticator}.
        """
        return CHAPAuthenticator(
            clock, send, self, self.variant, name, authenticate, verdicts, rechallenge
        )

    def makePeer(
        self, clock: IReactorTime, send: Send, name: bytes, password: bytes, results: IPeerResults
    ) -> CHAPPeer:
        """
        See L{IAuthenticationProtocol.makePeer}.
        """
        return CHAPPeer(clock, send, self.variant, name, password, results)

    def credentials(self, claim: Claim, username: bytes) -> ClaimCredentials:
        """
        Return credentials that are an C{IUsernameHashedPassword}, or an C{IChangedPassword} if the
        claim is a change of the password.
        """
        if isinstance(claim, ChangeClaim):
            return ChangeCredentials(claim, username)
        return self.judgedAs(claim, username)


PAP = PAPProtocol()
CHAP = CHAPProtocol(
    "chap",
    "CHAP with MD5: a hash of the password, no encryption (RFC 1994).",
    b"\x05",
    False,
    200,
    algorithm.MD5,
    CHAPCredentials,
)
MSCHAP = CHAPProtocol(
    "mschap",
    "MS-CHAP: broken for long, encryption under keys that never change (RFC 2433).",
    b"\x80",
    True,
    300,
    algorithm.MSCHAP,
    MSCHAPCredentials,
)
MSCHAPV2 = CHAPProtocol(
    "mschapv2",
    "MS-CHAPv2: both ends prove themselves; the strongest that every client has (RFC 2759).",
    b"\x81",
    True,
    400,
    algorithm.MSCHAPV2,
    MSCHAPV2Credentials,
)
