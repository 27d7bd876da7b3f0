"""
Credentials checkers: what they are given and what they can be.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.credentials import ICredentials
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from pptpgw.interfaces.environment import IEnvironment


class IConfigurable(Interface):
    """
    A credentials checker with a section of the configuration, or one that needs the environment.

    The factory of a checker with a section has the same C{settings}. A checker that provides
    L{twisted.application.service.IService} is started and stopped with the gateway, configurable or
    not.
    """

    name = Attribute("The C{authType} of its factory, and the name of its section.")
    settings = Attribute("The type of its section, as for L{pptpgw.interfaces.INetworkFactory}.")

    def configure(settings: Any, environment: IEnvironment) -> None:
        """
        Take the settings and the environment. This is called before any claim is checked.

        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.PPTPGWError: they can't be used; the text says why.
        """


class IClaimCredentials(ICredentials):
    """
    A claim as twisted.cred judges it: the L{twisted.cred.credentials.ICredentials} of the kind that
    the checkers look for (C{IUsernamePassword}, C{IUsernameHashedPassword}), with the results of a
    successful check.

    L{pptpgw.auth.credentials.ClaimCredentials} is an implementation to derive from.
    """

    username = Attribute("The name of the account to check against, bytes.")
    message = Attribute("Once found true: L{pptpgw.interfaces.Grant.message}.")
    keys = Attribute("Once found true: L{pptpgw.interfaces.Grant.keys}.")


class ICertifiedName(IClaimCredentials):
    """
    The name in a certificate whose chain, times and possession of the key have been verified
    already (RFC 5216 section 5.3). A checker only decides whether there is such an account, and
    whether it may be used.
    """

    certificate = Attribute("The certificate, bytes in DER.")


class IChangedPassword(IClaimCredentials):
    """
    A caller's request to change its password, which has expired (RFC 2759 section 7).

    A checker that accepts the credentials has changed the password. Such a checker fails with
    L{pptpgw.auth.rejection.Rejection} and the error L{pptpgw.error.PASSWORD_EXPIRED} for a right
    password that has expired: that asks the caller for the new one.
    """

    def changed(oldHash: bytes) -> bytes | None:
        """
        The new password, in UTF-16 little-endian, which may be empty; None if the caller doesn't
        know the old and the new one.

        @param oldHash: the NT hash of the old password.
        """


class IEAPCredentials(IClaimCredentials):
    """
    A caller that speaks EAP, for a checker that lets a server judge it (a pass-through
    authenticator, RFC 3748 section 2.3, such as RFC 3579 describes for RADIUS).

    Before it accepts the credentials, the checker sets C{keys} to the keys that the conversation
    earned, an L{pptpgw.interfaces.IKeys}, or leaves it None. It refuses them like all credentials;
    the caller is sent an EAP Failure then, which the checker needn't pass on.
    """

    response = Attribute("The caller's first EAP Response for the server: its identity.")

    def converse(request: bytes) -> Deferred[bytes]:
        """
        Send an EAP Request of the server's, of any method, to the caller unchanged. Only one at a
        time is allowed.

        @return: fires with the caller's EAP Response, unchanged. It fails if the caller is silent,
            if the link ends, or if C{request} is no EAP Request of at most 1500 octets. Cancelling
            it ends the conversation.
        """
