"""
The RADIUS servers and clients that the tables of C{[radius]} describe, and the files with their
secrets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal

from twisted.python.filepath import FilePath

from pptpgw.config.kind import (
    BOOLEAN,
    FILE,
    ValueKind,
    choice,
    exactly,
    key,
    matching,
    require,
    whole,
)
from pptpgw.config.secrecy import assertPrivate
from pptpgw.error import ConfigurationError

_LONGEST_SECRET = 1024

RADSEC_SECRET = b"radsec"
"""
The shared secret of a server that is reached by TLS (RFC 6614 section 2.3).
"""


def _host(value: object) -> str:
    text = exactly(str, value)
    address = ip_address(text)
    require(not address.is_unspecified and not address.is_multicast)
    return text


def _secret(value: object) -> str:
    text = exactly(str, value)
    require(0 < len(text.encode()) <= _LONGEST_SECRET)
    return text


def _name(value: object) -> str:
    text = exactly(str, value)
    require(text.isprintable() and len(text) <= 253)
    return text


TLS_NAME = ValueKind("a domain name or an address", _name)
IDENTIFIER = matching("at most 253 printable ASCII characters", "[ -~]{0,253}")
HOST = ValueKind('an IPv4 or IPv6 address, as in "192.0.2.1"', _host)
SECRET = ValueKind(
    f"a text of 1 to {_LONGEST_SECRET} octets", _secret, show=lambda value: "(not shown)"
)
"""
A kind of value: a shared secret, which error messages don't quote.
"""


@dataclass(frozen=True, slots=True)
class Server:
    """
    C{[[radius.server]]}: a server.

    @ivar host: the server's IPv4 or IPv6 address.
    @ivar authPort: the UDP port of authentication; 0: the server doesn't judge callers.
    @ivar acctPort: the UDP port of accounting; 0: the server takes no accounting.
    @ivar tlsPort: the TCP port of both, if C{transport} is C{tls}.
    @ivar tlsName: the name, or address, that the server's certificate must have; empty: C{host}.
    @ivar tlsAuthority: the file of the certificates of the authorities that may issue the server's
        certificate, in PEM.
    @ivar tlsCertificate: the file of our certificate, followed by the intermediate ones.
    @ivar tlsKey: the file of our certificate's private key, which only its owner may read.
    @ivar secret: the shared secret, if C{secretFile} is empty.
    @ivar secretFile: the file whose first line is the shared secret.
    @ivar transport: C{udp}, or C{tls} (RadSec, RFC 6614).
    @ivar weight: the server's share of the requests, in proportion to the weights of the others; 0:
        it is asked only if all others are dead or busy.
    @ivar maxInFlight: how many requests may wait for the server's answers at a time.
    @ivar requireMessageAuthenticator: whether an answer to an Access-Request without
        Message-Authenticator is discarded (CVE-2024-3596).
    @ivar statusServer: whether a dead server is probed by Status-Server packets (RFC 5997).
    """

    host: str = key(HOST)
    authPort: int = key(whole(0, 65535), 1812)
    acctPort: int = key(whole(0, 65535), 1813)
    tlsPort: int = key(whole(1, 65535), 2083)
    tlsName: str = key(TLS_NAME, "")
    tlsAuthority: str = key(FILE, "")
    tlsCertificate: str = key(FILE, "")
    tlsKey: str = key(FILE, "")
    secret: str = field(default="", repr=False, metadata={"kind": SECRET})
    secretFile: str = key(FILE, "")
    transport: Literal["udp", "tls"] = key(choice("udp", "tls"), "udp")
    weight: int = key(whole(0, 1000), 1)
    maxInFlight: int = key(whole(1, 4096), 256)
    requireMessageAuthenticator: bool = key(BOOLEAN, True)
    statusServer: bool = key(BOOLEAN, True)

    def serves(self, accounting: bool) -> bool:
        """
        Return whether the server takes accounting records or, if C{accounting} is false, judges
        callers.
        """
        return self.transport == "tls" or bool(self.acctPort if accounting else self.authPort)

    def proofs(self) -> tuple[bytes, ...]:
        """
        Return what the server and we prove ourselves by: the shared secret, and the content of the
        files of TLS.

        @raise ConfigurationError: there is no secret, or a file can't be read.
        """
        files = (self.tlsAuthority, self.tlsCertificate, self.tlsKey)
        try:
            content = [FilePath(one).getContent() for one in files if one]
        except OSError as error:
            raise ConfigurationError(f"{error.filename}: {error.strerror}") from error
        return self.sharedSecret(), *content

    def sharedSecret(self) -> bytes:
        """
        Return the shared secret.

        @raise ConfigurationError: there is none, or the file that has it can't be used.
        """
        if self.secretFile:
            return secretIn(self.secretFile)
        if self.secret:
            return self.secret.encode()
        if self.transport == "tls":
            return RADSEC_SECRET
        raise ConfigurationError(f"[[radius.server]] {self.host}: secret or secret-file is missing")


@dataclass(frozen=True, slots=True)
class DynamicClient:
    """
    C{[[radius.client]]}: a client that may end and change sessions (RFC 5176).

    @ivar host: the client's IPv4 or IPv6 address.
    @ivar secret: the secret shared with the client, if C{secretFile} is empty.
    @ivar secretFile: the file whose first line is the shared secret.
    """

    host: str = key(HOST)
    secret: str = field(default="", repr=False, metadata={"kind": SECRET})
    secretFile: str = key(FILE, "")

    def sharedSecret(self) -> bytes:
        """
        Return the shared secret.

        @raise ConfigurationError: there is none, or the file that has it can't be used.
        """
        if self.secretFile:
            return secretIn(self.secretFile)
        if self.secret:
            return self.secret.encode()
        raise ConfigurationError(f"[[radius.client]] {self.host}: secret or secret-file is missing")


def secretIn(path: str) -> bytes:
    """
    Return the secret in the first line of the file at C{path}.

    @raise ConfigurationError: there is none, or others than its owner may read it.
    """
    assertPrivate(path)
    try:
        with FilePath(path).open() as opened:
            secret: bytes = opened.readline(_LONGEST_SECRET + 1).rstrip(b"\r\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if not 0 < len(secret) <= _LONGEST_SECRET:
        raise ConfigurationError(
            f"{path}: the first line must be a secret of 1 to {_LONGEST_SECRET} octets"
        )
    return secret
