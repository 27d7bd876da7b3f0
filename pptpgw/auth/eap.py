"""
EAP as an authentication protocol: the methods that the configuration permits, judged by
twisted.cred.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface, implementer

from pptpgw.auth.eapmethod import MD5, MSCHAPV2
from pptpgw.config import discovery
from pptpgw.config.configuration import Configuration
from pptpgw.config.section import EAPSection
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Claim,
    EAPClaim,
    IClaimCredentials,
    IConfiguredProtocol,
    IEAPCredentials,
    IEAPMethod,
    IEnvironment,
    IPeerResults,
    IVerdicts,
)
from pptpgw.ppp.eap import EAPAuthenticator
from pptpgw.ppp.eappeer import EAPPeer
from pptpgw.ppp.exchange import Authenticate, Send
from pptpgw.ppp.wire import ppp

# The methods that are tried, in this order, where the configuration names none. A method of another
# package is permitted only by its name.
_DEFAULT = ("tls", "mschapv2", "md5")


@implementer(IConfiguredProtocol)
@dataclass(frozen=True)
class EAPProtocol:
    """
    EAP with the given methods.

    @ivar methods: the methods by which either end may prove itself, in the order in which they are
        tried.
    """

    settings: ClassVar[type] = EAPSection

    methods: tuple[IEAPMethod, ...]
    name: str = "eap"
    description: str = "EAP: certificates, passwords, or what RADIUS judges, by [eap] (RFC 3748)."
    number: int = ppp.EAP
    algorithm: bytes = b""

    @property
    def earnsKeys(self) -> bool:
        """
        Whether at least one of the methods earns MPPE keys.
        """
        return any(method.earnsKeys for method in self.methods)

    @property
    def strength(self) -> int:
        """
        The strength of the strongest method.
        """
        strongest: int = max(method.strength for method in self.methods)
        return strongest

    def configured(
        self, settings: EAPSection, environment: IEnvironment, judged: Container[type[Interface]]
    ) -> EAPProtocol:
        """
        See L{IConfiguredProtocol.configured}. Every method that the configuration names must be
        usable. Where it names none, those of our methods are used that can be; but if a checker
        judges whole EAP conversations, all of EAP is passed on to it.
        """
        methods = tuple(_methods(settings, environment, judged))
        if not methods:
            raise ConfigurationError(
                '[link] authentication has "eap", and no method is fit for use: [eap] has no '
                "certificate, and no checker judges passwords by MS-CHAPv2, or EAP as a whole"
            )
        return replace(self, methods=methods)

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
            clock, send, self, self.methods, name, authenticate, verdicts, rechallenge
        )

    def makePeer(
        self, clock: IReactorTime, send: Send, name: bytes, password: bytes, results: IPeerResults
    ) -> EAPPeer:
        """
        See L{IConfiguredProtocol.makePeer}.
        """
        return EAPPeer(clock, send, self.methods, name, password, results)

    def credentials(self, claim: Claim, username: bytes) -> IClaimCredentials:
        """
        Return the credentials that the method makes of its own claim.
        """
        assert isinstance(claim, EAPClaim)
        return claim.within.credentials(claim, username)


def _methods(
    own: EAPSection, environment: IEnvironment, judged: Container[type[Interface]]
) -> Iterator[IEAPMethod]:
    """
    Return the methods to try, in their order.

    @raise ConfigurationError: a method that the configuration names can't be used, or two have the
        same Type.
    """
    named = own.methods
    if not named and IEAPCredentials in judged:
        named = ("radius",)
    names: dict[object, str] = {}
    for name, method in discovery.choose(IEAPMethod, named or _DEFAULT).items():
        same = names.setdefault(method.number, name)
        if same != name:
            raise ConfigurationError(
                f"[eap] methods: callers can't tell {same} from {name}, so it is either"
            )
        settings = environment.settings(method)
        fault = _fault(method, environment.configuration, judged) or method.lacking(settings)
        if not fault:
            yield method.configured(settings, environment)
        elif named:
            raise ConfigurationError(f'[eap] methods has "{name}": {fault}')


def _fault(
    method: IEAPMethod, configuration: Configuration, judged: Container[type[Interface]]
) -> str:
    """
    Return why a method can't be used with this configuration, whatever the method's own settings;
    empty if it can.
    """
    if method.judgedAs not in judged:
        return "no checker judges it"
    if not method.earnsKeys and configuration.link.encryption == "require":
        return 'it earns no keys, which [link] encryption = "require" needs'
    return ""


EAP = EAPProtocol((MSCHAPV2, MD5))
