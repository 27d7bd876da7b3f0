"""
TLS for the connection to a RADIUS server (RFC 6614 section 2.3): the certificates, and the
endpoint.

The rules:

 - The server proves by a certificate of an authority in C{tls-authority} that it is C{tls-name} or,
   without one, the host. We prove our identity by C{tls-certificate}.
 - The key's file must not be readable by others than its owner.
 - A packet is a TLS record.
"""

from __future__ import annotations

import re
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from zope.interface import implementer

from pptpgw.config.secrecy import assertPrivate
from pptpgw.error import ConfigurationError
from pptpgw.radius.servers import Server

_ERRORS = (SSL.Error, crypto.Error)


def endpointFor(reactor: Any, server: Server, timeout: float) -> IStreamClientEndpoint:
    """
    Return the endpoint that connects to C{server}.

    @raise ConfigurationError: the files that the server's settings name can't be used.
    """
    name = server.tlsName or server.host
    try:
        authorities = [Certificate.loadPEM(one) for one in certificates(server.tlsAuthority)]
        own = certificates(server.tlsCertificate)
        certificate = PrivateCertificate.loadPEM(own[0] + b"\n" + _key(server.tlsKey))
        options = optionsForClientTLS(
            name,
            trustRoot=trustRootFromCertificates(authorities),
            clientCertificate=certificate,
            extraCertificateOptions={
                "extraCertChain": [Certificate.loadPEM(one).original for one in own[1:]]
            },
        )
    except (*_ERRORS, ValueError) as error:
        raise ConfigurationError(
            f"[[radius.server]] {server.host}: tls-authority, tls-certificate and tls-key can't be "
            f"used: {_shown(error)}"
        ) from error
    plain = HostnameEndpoint(reactor, server.host, server.tlsPort, timeout=timeout)
    return _Endpoint(plain, options)


class _RecordFactory(TLSMemoryBIOFactory):
    """
    Sends each packet as a TLS record of its own: FreeRADIUS 3.2 takes a record for one packet, and
    closes the connection at a record with several.
    """

    protocol = TLSMemoryBIOProtocol


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """
    An endpoint that starts TLS on the connection of another endpoint.
    """

    def __init__(self, plain: IStreamClientEndpoint, options: Any) -> None:
        self._plain = plain
        self._options = options

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        See L{IStreamClientEndpoint.connect}.
        """
        connecting: Deferred[Any] = self._plain.connect(
            _RecordFactory(self._options, True, protocolFactory)
        )
        return connecting


def certificates(path: str) -> list[bytes]:
    """
    Return the certificates in the PEM file at C{path}.

    @raise ConfigurationError: the file can't be read, or has no certificates.
    """
    found = re.findall(
        rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", _read(path), re.DOTALL
    )
    if not found:
        raise ConfigurationError(f"{path}: no certificate in PEM is in it")
    return found


def _key(path: str) -> bytes:
    octets = _read(path)
    assertPrivate(path)
    return octets


def _read(path: str) -> bytes:
    if not path:
        raise ConfigurationError(
            '[[radius.server]] with transport = "tls" needs tls-authority, tls-certificate and '
            "tls-key"
        )
    try:
        with FilePath(path).open() as file:
            octets: bytes = file.read()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    return octets


def reasonOf(failure: Failure) -> str:
    """
    Return why a connection ended, in words.
    """
    value = failure.value
    assert value is not None
    return _shown(value) or type(value).__name__


def _shown(error: BaseException) -> str:
    if isinstance(error, _ERRORS) and error.args and isinstance(error.args[0], list):
        return "; ".join(reason for *_, reason in error.args[0]) or "a TLS error"
    return str(error)
