"""
EAP methods, which are plugins, and the two ends of their conversations with a peer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.interfaces.authentication import Claim, Grant
from pptpgw.interfaces.checker import IClaimCredentials
from pptpgw.interfaces.environment import IEnvironment
from pptpgw.interfaces.keys import IKeys

if TYPE_CHECKING:
    from pptpgw.ppp.wire import eap


@dataclass(frozen=True, slots=True)
class EAPClaim(Claim):
    """
    A claim that a peer makes by an EAP method.

    @ivar within: the EAP method, which makes the credentials for the claim.
    """

    within: IEAPMethod


class IEAPConversation(Interface):
    """
    The authenticator's end of EAP on one link, as an EAP method sees it.
    """

    protocol = Attribute("The L{IAuthenticationProtocol} that claims name as their method: EAP.")
    name = Attribute("Our name, bytes, never empty.")
    identity = Attribute("The peer's answer to the Identity Request, bytes, unchanged.")
    username = Attribute(
        "The name in L{identity}, without the options that may follow a zero octet (RFC 3748 "
        "section 5.1)."
    )
    identifier = Attribute("The identifier of the last Request.")
    mayRetry = Attribute("Whether a peer that failed may be given another try.")

    def random(size: int) -> bytes:
        """
        Return C{size} unpredictable octets, for a challenge.
        """

    async def ask(method: eap.Method, content: bytes = b"") -> eap.EAPResponse:
        """
        Send a Request of at most 1020 octets, and wait for a Response of the same method. Lost and
        repeated packets are taken care of.

        @raise pptpgw.error.Refused: the peer doesn't answer, or was asked too often.
        @raise Exception: the peer wants another method instead. The method must not catch this.
        """

    def relay(request: bytes) -> Deferred[bytes]:
        """
        Send a Request that another server made, unchanged.

        @return: see L{pptpgw.interfaces.IEAPCredentials.converse}.
        """

    async def judge(claim: Claim) -> Grant:
        """
        Have C{claim} judged. If it is true, the link is told and prepares the session.

        @raise pptpgw.error.Refused: the claim is false, or the link can't serve the peer.
        @raise Exception: nobody can judge the claim at present. The method must not catch this.
        """


class IEAPPeer(Interface):
    """
    The peer's end of one run of an EAP method.

    L{pptpgw.ppp.eappeer.MethodPeer} is an implementation to derive from.
    """

    done = Attribute("Whether the method is complete at this end, so that a Success may come.")
    failure = Attribute("Why a Failure is to be expected, in words; empty if unknown.")

    def answer(request: eap.EAPRequest) -> bytes:
        """
        Return the content of the Response to a Request of this method. This isn't called for a
        Request that is repeated.

        @raise pptpgw.error.Malformed: C{request} can't be understood, and is silently discarded.
        @raise pptpgw.error.Refused: the authenticator failed to authenticate itself, or refused us.
        """

    def keys() -> IKeys | None:
        """
        Return the keys that success has earned, or None. This is called once the Success has come.
        """


class IEAPMethod(IPlugin):
    """
    A plugin that authenticates peers within EAP (RFC 3748), chosen by C{[eap] methods}. It has no
    state. The state of a conversation is in the coroutine L{authenticate} and in the L{IEAPPeer}.

    L{pptpgw.auth.eapmethod.EAPMethod} is an implementation to derive from.
    """

    name = Attribute("The name by which the configuration chooses the method: C{tls}.")
    description = Attribute("One line that says what the method is, with its RFC.")
    number = Attribute(
        "The method's Type, a L{pptpgw.ppp.wire.eap.Method}; None for every Type, since another "
        "server judges."
    )
    earnsKeys = Attribute("Whether success earns keys for MPPE, or may do so.")
    strength = Attribute(
        "As L{IAuthenticationProtocol.strength}. EAP has the strength of its strongest method; "
        "the order of the methods is that of C{[eap] methods}."
    )
    judgedAs = Attribute("The kind of credentials, an interface, that a checker must know.")
    settings = Attribute(
        "A dataclass whose attributes are rows of L{pptpgw.config.kind.key}: the keys of the "
        "section C{[eap.NAME]}; or L{pptpgw.config.section.EAPSection}, for a method that uses "
        "the keys of C{[eap]}."
    )

    def lacking(settings: Any) -> str:
        """
        Return why the method can't be used with C{settings}; empty if it can. The text ends a line
        of the log.
        """

    def configured(settings: Any, environment: IEnvironment) -> IEAPMethod:
        """
        Make the method with C{settings}, an instance of L{settings}, and read the files that they
        name. A method that provides L{twisted.application.service.IService} is started and stopped
        with the gateway.

        @raise pptpgw.error.ConfigurationError: the settings can't be used; the text says why.
        """

    async def authenticate(conversation: IEAPConversation) -> Grant:
        """
        Authenticate the peer: ask it, have a claim judged, and return the grant.

        @raise pptpgw.error.Refused: the peer failed to authenticate.
        @raise pptpgw.error.Malformed: the peer's answer can't be read, which ends the exchange too.
        """

    def begin(name: bytes, password: bytes) -> IEAPPeer:
        """
        Begin the peer's end of the method, as the user C{name} with C{password}.

        @raise pptpgw.error.Refused: we can't authenticate by this method.
        """

    def credentials(claim: Any, username: bytes) -> IClaimCredentials:
        """
        Make credentials of the kind L{judgedAs} for a claim of this method.

        @param claim: the L{EAPClaim}.
        @param username: see L{pptpgw.interfaces.IAuthenticationProtocol.credentials}.
        """
