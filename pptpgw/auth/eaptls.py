"""
EAP-TLS as it is configured: the files of certificates, and the account's name in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from pptpgw.error import ConfigurationError, Refused
from pptpgw.ppp.eaptls import TLSMethod
from pptpgw.secrecy import assertPrivate
from pptpgw.section import EAP

T = TypeVar("T")

# For TLS 1.2; TLS 1.3 has none but with ephemeral keys.
_CIPHERS = b"DEFAULT:!kRSA:!PSK:!SRP"

# The user principal name that Windows puts into certificates, a UTF8String in DER.
_UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_UTF8_STRING = 0x0C
_LONG_FORM = 0x80


def method(settings: EAP) -> TLSMethod:
    """
    EAP-TLS, the authenticator's end.

    @raise ConfigurationError: a file can't be used; the text says which and why.
    """
    context = makeContext(settings.certificate, settings.key, settings.ca, isServer=True)
    return TLSMethod(context, partial(nameIn, kind=settings.identity))


def makeContext(certificate: str, key: str, ca: str, isServer: bool) -> SSL.Context:
    """
    What one end of TLS needs: at least TLS 1.2, ephemeral keys, a certificate of either end's, and
    nothing resumed, so that every session sees the account's certificate verified.

    @param certificate: the path of a file, PEM: ours, and those between it and a root.
    @param ca: that of the certificates, one of which the other end's must lead to.
    @raise ConfigurationError: a file can't be used; the text says which and why.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD if isServer else SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    _use("ca", ca, context.load_verify_locations)
    _use("certificate", certificate, context.use_certificate_chain_file)
    _use("key", key, context.use_privatekey_file)
    try:
        assertPrivate(key)
    except ConfigurationError as error:
        raise ConfigurationError(f"[eap] key = {error}") from error
    _use("key", key, lambda path: context.check_privatekey())
    if isServer:
        _use("ca", ca, lambda path: context.load_client_ca(path.encode()))
    return context


def _use(name: str, path: str, load: Callable[[str], T]) -> T:
    try:
        return load(path)
    except OSError as problem:
        why = problem.strerror or str(problem)
    except SSL.Error as problem:
        reasons = problem.args[0] if problem.args else ()
        why = "; ".join(reason for _, _, reason in reasons) or "it can't be read, or isn't PEM"
    raise ConfigurationError(f"[eap] {name} = {path}: {why}")


def nameIn(certificate: x509.Certificate, kind: str) -> bytes:
    """
    The account's name in C{certificate}, in UTF-8.

    @param kind: as C{[eap] identity} has it.
    @raise Refused: there isn't exactly one.
    @raise ValueError: the certificate isn't what X.509 says.
    """
    found = {name for name in _NAMES[kind](certificate) if name}
    if len(found) != 1:
        raise Refused(f"a certificate with {len(found)} names, by {kind}", retry=False)
    return found.pop()


def _commonNames(certificate: x509.Certificate) -> list[bytes]:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [
        value.encode() if isinstance(value, str) else value
        for value in (name.value for name in names)
    ]


def _alternatives(certificate: x509.Certificate) -> Iterable[x509.GeneralName]:
    extensions = certificate.extensions
    try:
        extension = extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return extension.value


def _emails(certificate: x509.Certificate) -> list[bytes]:
    names = _alternatives(certificate)
    return [name.value.encode() for name in names if isinstance(name, x509.RFC822Name)]


def _domains(certificate: x509.Certificate) -> list[bytes]:
    names = _alternatives(certificate)
    return [name.value.encode() for name in names if isinstance(name, x509.DNSName)]


def _principals(certificate: x509.Certificate) -> list[bytes]:
    names = _alternatives(certificate)
    return [
        _utf8String(name.value)
        for name in names
        if isinstance(name, x509.OtherName) and name.type_id == _UPN
    ]


def _utf8String(value: bytes) -> bytes:
    """
    What is in a UTF8String of at most 127 octets.
    """
    if len(value) < 2 or value[0] != _UTF8_STRING or value[1] >= _LONG_FORM:
        raise ValueError("a principal name that is no short UTF8String")
    if len(value) != 2 + value[1]:
        raise ValueError("a principal name that is cut off")
    return value[2:]


_NAMES: dict[str, Callable[[x509.Certificate], list[bytes]]] = {
    "common-name": _commonNames,
    "email": _emails,
    "dns": _domains,
    "upn": _principals,
}
