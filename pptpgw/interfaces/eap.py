"""
EAP methods: plugins that hold a conversation with a peer.
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
    A claim that a peer makes by a method of EAP.

    @ivar within: the method, which makes the credentials.
    """

    within: IEAPMethod


class IEAPConversation(Interface):
    """
    The authenticator's end of EAP on one link, as a method sees it.
    """

    protocol = Attribute("The L{pptpgw.interfaces.IAuthenticationProtocol} for claims: EAP.")
    name = Attribute("Our name, bytes, never empty.")
    identity = Attribute("The peer's answer to the Identity Request, bytes, as it came.")
    username = Attribute(
        "The name in L{identity}, without the options that may stand behind a zero octet (RFC 3748 "
        "section 5.1)."
    )
    identifier = Attribute("The identifier of the last Request.")
    mayRetry = Attribute("Whether a peer that isn't believed may be given another try.")

    def random(size: int) -> bytes:
        """
        Octets for a challenge.
        """

    async def ask(method: eap.Method, content: bytes = b"") -> eap.EAPResponse:
        """
        Send a Request of at most 1020 octets, and wait for the Response to it, which is of the same
        method. Losses and repetitions are taken care of.

        @raise pptpgw.error.Refused: the peer is silent, or was asked too often.
        @raise Exception: the peer wants another method instead. The method must not catch this.
        """

    def relay(request: bytes) -> Deferred[bytes]:
        """
        Send somebody else's Request as it is.

        @return: see L{pptpgw.interfaces.IEAPCredentials.converse}.
        """

    async def judge(claim: Claim) -> Grant:
        """
        Have C{claim} judged. The link is told of a grant, and prepares the session.

        @raise pptpgw.error.Refused: the claim is false, or the link can't serve the peer.
        @raise Exception: nobody can judge it now. The method must not catch this.
        """


class IEAPPeer(Interface):
    """
    One run of a method, the peer's end.

    L{pptpgw.ppp.eappeer.MethodPeer} is an implementation to derive from.
    """

    done = Attribute("Whether the method has nothing left to say, so that a Success may come.")
    failure = Attribute("What is known of why a Failure will come, in words; empty: nothing.")

    def answer(request: eap.EAPRequest) -> bytes:
        """
        The content of the Response to a Request of this method. A Request that comes again isn't
        seen here.

        @raise pptpgw.error.Malformed: C{request} can't be understood; it is silently discarded.
        @raise pptpgw.error.Refused: the authenticator isn't who it should be, or turned us down.
        """

    def keys() -> IKeys | None:
        """
        The keys that a Success earns.
        """


class IEAPMethod(IPlugin):
    """
    A plugin that authenticates peers within EAP (RFC 3748), chosen by C{[eap] methods}. It has no
    state; that of a conversation is in the coroutine and in L{IEAPPeer}.

    L{pptpgw.auth.eapmethod.EAPMethod} is an implementation to derive from.
    """

    name = Attribute("What it is chosen by: C{tls}.")
    description = Attribute("One line on what it is, with its RFC.")
    number = Attribute(
        "Its Type, a L{pptpgw.ppp.wire.eap.Method}; None: every Type, since somebody else judges."
    )
    earnsKeys = Attribute("Whether success earns keys for MPPE, or may do so.")
    strength = Attribute(
        "As L{IAuthenticationProtocol.strength}. EAP is offered as its strongest method demands; "
        "the order of the methods is that of C{[eap] methods}."
    )
    judgedAs = Attribute("The kind of credentials, an interface, that a checker must know.")
    settings = Attribute(
        "A dataclass whose attributes are rows of L{pptpgw.config.kind.key}: the keys of its "
        "section, "
        "C{[eap.NAME]}; or L{pptpgw.config.section.EAPSection}, for a method that goes by the "
        "keys of "
        "C{[eap]}."
    )

    def lacking(settings: Any) -> str:
        """
        Say why the method can't be used with C{settings}; empty if it can. The reason ends a line
        of the log.
        """

    def configured(settings: Any, environment: IEnvironment) -> IEAPMethod:
        """
        Make the method with C{settings}, an instance of L{settings}, and read the files that they
        name. A method that provides L{twisted.application.service.IService} is started and stopped
        with the gateway.

        @raise pptpgw.error.ConfigurationError: they can't be used; the text says why.
        """

    async def authenticate(conversation: IEAPConversation) -> Grant:
        """
        Have the peer prove itself: ask it, have a claim judged, and give the grant.

        @raise pptpgw.error.Refused: it didn't.
        @raise pptpgw.error.Malformed: its answer can't be read, which ends the exchange too.
        """

    def begin(name: bytes, password: bytes) -> IEAPPeer:
        """
        Begin the peer's end, where we are C{name} and know C{password}.

        @raise pptpgw.error.Refused: we can't prove ourselves by this method.
        """

    def credentials(claim: Any, username: bytes) -> IClaimCredentials:
        """
        Make credentials, of the kind L{judgedAs}, of a claim of this method's.

        @param claim: the L{EAPClaim}.
        @param username: see L{pptpgw.interfaces.IAuthenticationProtocol.credentials}.
        """
