"""
The certificate of the server, and its key, as they are in PEM files.

A file of the configuration that isn't there yet is made, with a key and a certificate that signs
itself. Clients can't verify such a certificate; they must be told its fingerprint, or have it among
the authorities that they trust.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from pptpgw.config.secrecy import assertPrivate, privately
from pptpgw.error import ConfigurationError

YEARS = 10
"""
The years for which a certificate that is made is valid.
"""

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"

T = TypeVar("T")


class Certificate(NamedTuple):
    """
    What the server shows to clients.

    @ivar der: the certificate in DER.
    @ivar context: the settings of TLS; None if a proxy terminates it.
    """

    der: bytes
    context: SSL.Context | None

    @property
    def fingerprint(self) -> str:
        """
        The SHA-256 of the certificate, in hexadecimal digits.
        """
        return sha256(self.der).hexdigest()


def loaded(certificate: str, key: str, isTLS: bool) -> Certificate:
    """
    Read the certificate, and its key if TLS is served here.

    @param certificate: the path of a PEM file with our certificate and those between it and a root.
    @param key: the path of a PEM file with the private key; empty if it is in the same file.
    @raise ConfigurationError: a file can't be used; the text says which and why.
    """
    octets = _use("certificate", certificate, lambda path: Path(path).read_bytes())
    der = _use("certificate", certificate, lambda _: x509.load_pem_x509_certificate(octets))
    context = _context(certificate, key or certificate) if isTLS else None
    return Certificate(der.public_bytes(Encoding.DER), context)


def _context(certificate: str, key: str) -> SSL.Context:
    """
    Return the settings of TLS: at least TLS 1.2, and ephemeral keys.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    try:
        assertPrivate(key)
    except ConfigurationError as error:
        raise ConfigurationError(f"[sstp] key = {error}") from error
    _use("certificate", certificate, context.use_certificate_chain_file)
    _use("key", key, context.use_privatekey_file)
    _use("key", key, lambda path: context.check_privatekey())
    return context


def _use(name: str, path: str, load: Callable[[str], T]) -> T:
    try:
        return load(path)
    except OSError as problem:
        why = problem.strerror or str(problem)
    except ValueError:
        why = "it isn't PEM"
    except SSL.Error as problem:
        reasons = problem.args[0] if problem.args else ()
        why = "; ".join(reason for _, _, reason in reasons) or "it can't be read, or isn't PEM"
    raise ConfigurationError(f"[sstp] {name} = {path}: {why}")


def make(path: str, name: str) -> None:
    """
    Make a key and a certificate that signs itself, in one file that only its owner may read.

    @param name: the name of the host in it.
    @raise ConfigurationError: the file can't be made.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.now(UTC)
    alternative: Any = x509.SubjectAlternativeName([x509.DNSName(name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, SHA256())
    )
    octets = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        with privately(Path(path)) as growing:
            growing.write_bytes(octets + certificate.public_bytes(Encoding.PEM))
    except FileExistsError:
        # Another gateway has just made it.
        return
    except OSError as error:
        raise ConfigurationError(f"[sstp] certificate = {path}: {error.strerror}") from error
