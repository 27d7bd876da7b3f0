"""
Who we are where we call: the name, and the secrets or the certificate by which this end
authenticates.

With a certificate, EAP means EAP-TLS alone, so that nobody who answers can have the password by a
weaker method. Without one, it means EAP's methods of passwords.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.ppp.settings import Identity


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    The certificate of this end for EAP-TLS, and which servers it believes.

    @ivar certificate: the path of a PEM file with our certificate and those between it and a root.
    @ivar key: the path of a PEM file with the private key.
    @ivar ca: the path of a PEM file with the authorities that sign certificates of servers.
    @ivar server: the name that the server's certificate must have; empty for any.
    """

    certificate: str
    key: str
    ca: str
    server: str = ""


def makeIdentity(
    name: str,
    password: bytes,
    methods: Sequence[IAuthenticationProtocol],
    certificate: Certificate | None = None,
    newPassword: bytes = b"",
) -> Identity:
    """
    Return the identity of this end.

    @param name: our name, in UTF-8 where it is sent.
    @param password: our password in UTF-8; empty if only EAP-TLS is used.
    @param methods: the authentication protocols that we are willing to use, the best liked first.
    @param newPassword: see L{Identity}.
    @raise ConfigurationError: a file can't be used, the new password is too long, or there is a
        certificate without EAP.
    """
    if certificate is not None:
        methods = _withTLS(methods, certificate)
    octets = name.encode("utf-8", "surrogateescape")
    try:
        return Identity(octets, password, tuple(methods), newPassword)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _withTLS(
    methods: Sequence[IAuthenticationProtocol], certificate: Certificate
) -> Sequence[IAuthenticationProtocol]:
    """
    Return C{methods} with EAP-TLS in place of EAP.

    @raise ConfigurationError: a file can't be used, or EAP isn't among them.
    """
    # EAP and OpenSSL are loaded only where they are used.
    from pptpgw.auth.eap import EAPProtocol
    from pptpgw.auth.eaptls import TLSMethod, makeContext

    if not any(isinstance(one, EAPProtocol) for one in methods):
        raise ConfigurationError('a certificate is for EAP, and "eap" isn\'t among the methods')
    context = makeContext(
        certificate.certificate,
        certificate.key,
        certificate.ca,
        isServer=False,
        server=certificate.server,
        section="",
    )
    secured = EAPProtocol((TLSMethod(context),))
    return [secured if isinstance(one, EAPProtocol) else one for one in methods]
