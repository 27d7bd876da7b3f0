"""
Credentials checkers, and the kinds of credentials that they check.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.credentials import ICredentials
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from pptpgw.interfaces.environment import IEnvironment


class IConfigurable(Interface):
    """
    A credentials checker that has a section of the configuration, or that needs the environment.

    The checker's factory has an attribute C{settings} too, the same as the checker's. A checker
    that provides L{twisted.application.service.IService} is started and stopped with the gateway,
    whether it is configurable or not.
    """

    name = Attribute("The C{authType} of the checker's factory, and the name of the section.")
    settings = Attribute("The type of its section, as for L{pptpgw.interfaces.INetworkFactory}.")

    def configure(settings: Any, environment: IEnvironment) -> None:
        """
        Take the settings and the environment. This is called before any claim is checked.

        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.PPTPGWError: the settings can't be used; the text says why.
        """


class IClaimCredentials(ICredentials):
    """
    A claim in the form that twisted.cred checks. It provides the kind of credentials that checkers
    look for (C{IUsernamePassword}, C{IUsernameHashedPassword}), and it holds the results of a
    successful check.

    L{pptpgw.auth.credentials.ClaimCredentials} is an implementation to derive from.
    """

    username = Attribute("The name of the account to check against, bytes.")
    message = Attribute("After a successful check: L{pptpgw.interfaces.Grant.message}.")
    keys = Attribute("After a successful check: L{pptpgw.interfaces.Grant.keys}.")


class ICertifiedName(IClaimCredentials):
    """
    The name in a certificate that has been verified: its chain, its period of validity, and that
    the peer has the key (RFC 5216 section 5.3). A checker only decides whether such an account
    exists and may be used.
    """

    certificate = Attribute("The certificate, bytes in DER.")


class IChangedPassword(IClaimCredentials):
    """
    A caller's request to change its password, which has expired (RFC 2759 section 7).

    A checker that accepts these credentials has changed the password. To have the caller asked for
    a new password, the checker answers an earlier claim, whose password is right but has expired,
    with L{pptpgw.auth.rejection.Rejection} and the error L{pptpgw.error.PASSWORD_EXPIRED}.
    """

    def changed(oldHash: bytes) -> bytes | None:
        """
        Return the new password in UTF-16 little-endian, which may be empty; None if the caller
        doesn't know both the old password and the new one.

        @param oldHash: the NT hash of the old password.
        """


class IEAPCredentials(IClaimCredentials):
    """
    The credentials of a caller that speaks EAP, for a checker that has another server judge it (a
    pass-through authenticator, RFC 3748 section 2.3, as RFC 3579 describes for RADIUS).

    Before the checker accepts the credentials, it sets C{keys} to the keys that the conversation
    earned, an L{pptpgw.interfaces.IKeys}, or leaves them None. It refuses them like all
    credentials; the caller is then sent an EAP Failure, which the checker needn't pass on.
    """

    response = Attribute("The caller's first EAP Response, its identity, for the server.")

    def converse(request: bytes) -> Deferred[bytes]:
        """
        Send an EAP Request of the server to the caller unchanged. It may be of any method. Only one
        Request at a time is allowed.

        @return: fires with the caller's EAP Response, unchanged. It fails if the caller doesn't
            answer, if the link ends, or if C{request} isn't an EAP Request of at most 1500 octets.
            Cancelling it ends the conversation.
        """
