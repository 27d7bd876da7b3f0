"""
Which servers a client of SSTP believes.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from zope.interface import implementer

from pptpgw.error import ConfigurationError

_END = b"-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Trust:
    """
    Which servers are believed.

    @ivar ca: the path of a PEM file with authorities; empty for those of the system.
    @ivar fingerprint: the SHA-256 of the server's certificate in hexadecimal digits, with which no
        authority matters; empty for none.
    """

    ca: str = ""
    fingerprint: str = ""

    def creator(self, host: str) -> Any:
        """
        Return what makes the TLS of a connection to C{host}.

        @raise ConfigurationError: the file can't be used.
        """
        if self.fingerprint:
            return _Unverified(host)
        given: dict[str, Any] = {}
        if self.ca:
            try:
                octets = Path(self.ca).read_bytes()
                found = [Certificate.loadPEM(part + _END) for part in octets.split(_END)[:-1]]
            except (OSError, ValueError, SSL.Error) as error:
                raise ConfigurationError(f"{self.ca}: {error}") from error
            given["trustRoot"] = trustRootFromCertificates(found)
        options = {"raiseMinimumTo": TLSVersion.TLSv1_2}
        return optionsForClientTLS(host, extraCertificateOptions=options, **given)

    def fault(self, der: bytes) -> str:
        """
        Return why a certificate, which is in DER, isn't the one that is expected; empty if it is,
        or if none is.
        """
        digits = self.fingerprint.replace(":", "").lower()
        found = sha256(der).hexdigest()
        if not digits or compare_digest(found, digits):
            return ""
        return f"the server's certificate has another fingerprint, {found}"


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """
    Makes TLS whose certificate is verified by its fingerprint, after the handshake.
    """

    def __init__(self, host: str) -> None:
        self._host = host

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """
        See L{IOpenSSLClientConnectionCreator.clientConnectionForTLS}.
        """
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        connection = SSL.Connection(context, None)
        try:
            ip_address(self._host)
        except ValueError:
            connection.set_tlsext_host_name(self._host.encode())
        return connection
