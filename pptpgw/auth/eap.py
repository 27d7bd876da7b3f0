"""
EAP as an authentication protocol: the methods that the configuration permits, judged by
twisted.cred.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace

from twisted.cred.credentials import IUsernameHashedPassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface, implementer

from pptpgw.auth import eaptls
from pptpgw.auth.credentials import (
    CertifiedCredentials,
    CHAPCredentials,
    ClaimCredentials,
    MSCHAPV2Credentials,
    RelayedCredentials,
)
from pptpgw.config import Configuration
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Claim,
    ICertifiedName,
    IConfiguredProtocol,
    IEAPCredentials,
    IPeerResults,
    IVerdicts,
)
from pptpgw.ppp.eap import EAPAuthenticator, ServerMethod
from pptpgw.ppp.eapmethod import (
    MD5Claim,
    MD5Method,
    MSCHAPV2Claim,
    MSCHAPV2Method,
    RelayedClaim,
    RelayedMethod,
)
from pptpgw.ppp.eappeer import EAPPeer, MD5Peer, MSCHAPV2Peer, PeerMethod
from pptpgw.ppp.eaptls import CertifiedClaim
from pptpgw.ppp.exchange import Authenticate
from pptpgw.wire import ppp

Send = Callable[[bytes], None]

# What judges each method; in the order in which those that can be used are tried where the
# configuration says nothing.
_JUDGED_AS: dict[str, type[Interface]] = {
    "radius": IEAPCredentials,
    "tls": ICertifiedName,
    "mschapv2": IUsernameHashedPassword,
    "md5": IUsernameHashedPassword,
}
_PASSWORDS: dict[str, ServerMethod] = {"mschapv2": MSCHAPV2Method(), "md5": MD5Method()}


@implementer(IConfiguredProtocol)
@dataclass(frozen=True)
class EAPProtocol:
    """
    EAP with these methods.

    @ivar servers: the methods that the peer may prove itself with, in the order of trying.
    @ivar peers: those that we prove ourselves with, the best liked first.
    """

    servers: tuple[ServerMethod, ...]
    peers: tuple[PeerMethod, ...]
    name: str = "eap"
    description: str = "EAP: certificates, passwords, or what RADIUS judges, by [eap] (RFC 3748)."
    number: int = ppp.EAP
    algorithm: bytes = b""

    @property
    def earnsKeys(self) -> bool:
        """
        Whether one of the methods does.
        """
        return any(method.earnsKeys for method in self.servers)

    @property
    def strength(self) -> int:
        """
        That of the strongest method.
        """
        return max(method.strength for method in self.servers)

    def configured(
        self, configuration: Configuration, judged: Container[type[Interface]]
    ) -> EAPProtocol:
        """
        See L{IConfiguredProtocol.configured}. The methods that the configuration names must all be
        fit for use. Where it names none there are those that are; but where somebody else judges
        EAP it is all his.
        """
        servers = tuple(_methods(configuration, judged))
        if not servers:
            raise ConfigurationError(
                '[link] authentication has "eap", and no method is fit for use: [eap] has no '
                "certificate, and nothing that --auth names judges passwords by MS-CHAPv2, or EAP "
                "as a whole"
            )
        return replace(self, servers=servers)

    def makeAuthenticator(
        self,
        clock: IReactorTime,
        send: Send,
        name: bytes,
        authenticate: Authenticate,
        verdicts: IVerdicts,
        rechallenge: float,
    ) -> EAPAuthenticator:
        """
        See L{IConfiguredProtocol.makeAuthenticator}.
        """
        return EAPAuthenticator(
            clock, send, self, self.servers, name, authenticate, verdicts, rechallenge
        )

    def makePeer(
        self, clock: IReactorTime, send: Send, name: bytes, password: bytes, results: IPeerResults
    ) -> EAPPeer:
        """
        See L{IConfiguredProtocol.makePeer}.
        """
        return EAPPeer(clock, send, self.peers, name, password, results)

    def credentials(self, claim: Claim, username: bytes) -> ClaimCredentials:
        """
        An C{IUsernameHashedPassword}, an L{ICertifiedName} or an L{IEAPCredentials}.

        @raise UnauthorizedLogin: a conversation that was judged is to be judged again.
        """
        if isinstance(claim, RelayedClaim):
            if username != claim.name:
                # Its user, without a domain, would have to say everything anew.
                raise UnauthorizedLogin
            return RelayedCredentials(claim, username)
        if isinstance(claim, CertifiedClaim):
            return CertifiedCredentials(claim, username)
        return _PASSWORD_CREDENTIALS[type(claim)](claim, username)


_PASSWORD_CREDENTIALS: dict[type[Claim], type[ClaimCredentials]] = {
    MD5Claim: CHAPCredentials,
    MSCHAPV2Claim: MSCHAPV2Credentials,
}


def _methods(
    configuration: Configuration, judged: Container[type[Interface]]
) -> Iterator[ServerMethod]:
    """
    The methods to try, in their order.

    @raise ConfigurationError: one that the configuration names isn't fit for use.
    """
    settings = configuration.eap
    names = settings.methods
    if not names and IEAPCredentials in judged:
        names = ("radius",)
    for name in names or tuple(_JUDGED_AS):
        fault = _fault(name, configuration, judged)
        if not fault:
            yield _make(name, configuration)
        elif names:
            raise ConfigurationError(f'[eap] methods has "{name}": {fault}')


def _fault(name: str, configuration: Configuration, judged: Container[type[Interface]]) -> str:
    """
    Why a method isn't fit for use; empty: it is.
    """
    settings = configuration.eap
    if _JUDGED_AS[name] not in judged:
        return "nothing that --auth names judges it"
    if name == "tls" and not (settings.certificate and settings.key and settings.ca):
        return "it needs certificate, key and ca"
    if name == "md5" and configuration.link.encryption == "require":
        return 'it earns no keys, which [link] encryption = "require" needs'
    return ""


def _make(name: str, configuration: Configuration) -> ServerMethod:
    if name == "radius":
        return RelayedMethod()
    return eaptls.method(configuration.eap) if name == "tls" else _PASSWORDS[name]


EAP = EAPProtocol(tuple(_PASSWORDS.values()), (MSCHAPV2Peer(), MD5Peer()))
