"""
EAP-TLS (RFC 5216, and RFC 9190 for TLS 1.3): both ends of the method, the loading of certificates,
and the name of the account in a certificate.

These rules hold:

 - A TLS message is split into fragments; each but the last is acknowledged with an empty packet
   (RFC 5216 section 2.1.5).
 - The peer gets no Finished (TLS 1.2) and no protected success (TLS 1.3) before the account in the
   certificate has been accepted.
 - An alert is sent, and acknowledged, before the Failure (RFC 5216 section 2.1.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509
from zope.interface import implementer

from pptpgw.auth.credentials import ClaimCredentials
from pptpgw.auth.eapmethod import EAPMethod
from pptpgw.config.secrecy import assertPrivate
from pptpgw.config.section import EAPSection
from pptpgw.error import ConfigurationError, Malformed, Refused
from pptpgw.interfaces import (
    EAPClaim,
    Grant,
    ICertifiedName,
    IEAPConversation,
    IEAPPeer,
    IEnvironment,
    IKeys,
)
from pptpgw.ppp.eaptls import Reassembly, TLSSession, fragments
from pptpgw.ppp.wire import eap
from pptpgw.ppp.wire.eap import Fragment
from pptpgw.sessions.remedy import Remedy

T = TypeVar("T")

# The ciphers of TLS 1.2 without ephemeral keys are excluded. TLS 1.3 always has ephemeral keys.
_CIPHERS = b"DEFAULT:!kRSA:!PSK:!SRP"

# The user principal name that Windows puts into certificates, a UTF8String in DER.
_UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_UTF8_STRING = 0x0C
_LONG_FORM = 0x80


@dataclass(frozen=True, slots=True)
class CertifiedClaim(EAPClaim):
    """
    A certificate that was verified; C{response} is the certificate in DER.

    @ivar keys: the MPPE keys of the TLS session, which the grant has once the account is accepted.
    """

    # The CA that signed the certificate chose the whole name: C{PARTNER\\alice} doesn't mean
    # C{alice}.
    domain: ClassVar[bool] = False
    keys: IKeys


@implementer(ICertifiedName)
class CertifiedCredentials(ClaimCredentials):
    """
    The credentials of a caller with a verified certificate, to be judged by its name.

    @ivar certificate: the certificate in DER.
    """

    def __init__(self, claim: CertifiedClaim, username: bytes) -> None:
        ClaimCredentials.__init__(self, claim, username)
        self.certificate = claim.response
        self.keys = claim.keys


@implementer(IEAPPeer)
class TLSPeer:
    """
    The peer's end of EAP-TLS.
    """

    def __init__(self, context: SSL.Context) -> None:
        self.done = False
        self.failure = ""
        self._session = TLSSession(context, isServer=False)
        self._message = Reassembly()
        self._fragments: Iterator[Fragment] = iter(())

    def answer(self, request: eap.EAPRequest) -> bytes:
        """
        See L{IEAPPeer.answer}.
        """
        asked = Fragment.decode(request.content)
        fragment = next(self._fragments, None)
        if fragment is not None:
            if asked != Fragment():
                raise Refused("a fragment was answered, and not acknowledged", retry=False)
        else:
            octets = b""
            if not asked.start:
                whole = self._message.add(request.content)
                if whole is None:
                    return Fragment().encode()
                octets, self._message = whole, Reassembly()
            self._fragments = fragments(self._session.received(octets))
            fragment = next(self._fragments)
            session = self._session
            self.done = session.established and not fragment.octets and session.committed
            if session.failure:
                self.failure = f"TLS failed: {session.failure}"
                if not octets and not fragment.octets:
                    raise Refused(self.failure, retry=False)
        return fragment.encode()

    def keys(self) -> IKeys | None:
        """
        See L{IEAPPeer.keys}.
        """
        return self._session.keys(isServer=False)


class TLSMethod(EAPMethod):
    """
    The method EAP-TLS. The plugin itself has no certificate; L{configured} returns a method that
    has.
    """

    name = "tls"
    description = "Certificates of both ends, TLS 1.2 and 1.3 (RFC 5216, RFC 9190)."
    number = eap.TLS
    earnsKeys = True
    strength = 500
    judgedAs = ICertifiedName
    settings = EAPSection
    makeCredentials = CertifiedCredentials

    def __init__(self, context: SSL.Context | None = None, kind: str = "common-name") -> None:
        """
        @param context: the settings of one end, as L{makeContext} makes them: our certificate, and
            the CAs that sign those of the other end.
        @param kind: which name in a peer's certificate is the account's, as in C{[eap] identity}.
        """
        self._context = context
        self._kind = kind

    def lacking(self, settings: EAPSection) -> str:
        """
        See L{IEAPMethod.lacking}.
        """
        complete = settings.certificate and settings.key and settings.ca
        return "" if complete else "it needs certificate, key and ca"

    def configured(self, settings: EAPSection, environment: IEnvironment) -> TLSMethod:
        """
        See L{IEAPMethod.configured}.
        """
        context = makeContext(settings.certificate, settings.key, settings.ca, isServer=True)
        return TLSMethod(context, settings.identity)

    def begin(self, name: bytes, password: bytes) -> TLSPeer:
        """
        See L{IEAPMethod.begin}. The password isn't used.
        """
        return TLSPeer(self._required())

    def _required(self) -> SSL.Context:
        if self._context is None:
            raise Refused("EAP-TLS has no certificate", retry=False)
        return self._context

    async def authenticate(self, conversation: IEAPConversation) -> Grant:
        """
        See L{IEAPMethod.authenticate}. Do the TLS handshake, and have the account in the
        certificate judged.
        """
        session = TLSSession(self._required(), isServer=True)
        response = await conversation.ask(eap.TLS, Fragment(start=True).encode())
        while True:
            output = session.received(await _read(conversation, response))
            if session.failure:
                if output:
                    await _write(conversation, output)
                raise Refused(f"TLS failed: {session.failure}", retry=False, remedy=Remedy.EAP)
            if session.established:
                break
            response = await _write(conversation, output)
        grant = await self._judge(conversation, session)
        response = await _write(conversation, output + session.commit())
        session.received(await _read(conversation, response))
        if refusal := session.refusal():
            raise Refused(f"TLS failed: {refusal}", retry=False, remedy=Remedy.EAP)
        return grant

    async def _judge(self, conversation: IEAPConversation, session: TLSSession) -> Grant:
        try:
            certificate = session.certificate
            name = nameIn(certificate, self._kind) if certificate is not None else b""
        except ValueError:
            # OpenSSL has accepted a certificate that the cryptography package can't parse.
            certificate = None
        if certificate is None:
            text = "the peer has no certificate that can be read"
            raise Refused(text, retry=False, remedy=Remedy.EAP)
        return await conversation.judge(
            CertifiedClaim(
                conversation.protocol,
                name,
                conversation.identifier,
                b"",
                certificate.public_bytes(Encoding.DER),
                self,
                session.keys(isServer=True),
            )
        )


async def _read(conversation: IEAPConversation, response: eap.EAPResponse) -> bytes:
    """
    Return the whole TLS message whose first fragment is in C{response}, after asking for the other
    fragments.
    """
    message = Reassembly()
    while (whole := message.add(response.content)) is None:
        response = await conversation.ask(eap.TLS, Fragment().encode())
    return whole


async def _write(conversation: IEAPConversation, message: bytes) -> eap.EAPResponse:
    """
    Send a TLS message in fragments, and return the Response to the last one.
    """
    for fragment in fragments(message):
        response = await conversation.ask(eap.TLS, fragment.encode())
        if fragment.more and Fragment.decode(response.content) != Fragment():
            raise Malformed("a fragment was answered, and not acknowledged")
    return response


def makeContext(
    certificate: str, key: str, ca: str, isServer: bool, server: str = "", section: str = "[eap] "
) -> SSL.Context:
    """
    Return the TLS settings of one end: at least TLS 1.2, ephemeral keys, and both ends with a
    certificate. Sessions aren't resumed, so that the certificate is verified for every call.

    @param certificate: the path of a PEM file with our certificate and those between it and a root.
    @param key: the path of a PEM file with the private key of our certificate.
    @param ca: the path of a PEM file with the CAs, one of which must have signed the other end's
        certificate, directly or not.
    @param server: at a peer's end, the name that the server's certificate must have: one of its DNS
        names or, if there are none, of its common names (RFC 5216 section 5.2). Empty for any name.
    @param section: what stands before the keys in errors.
    @raise ConfigurationError: a file can't be used; the text says which and why.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD if isServer else SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    verify = partial(_verify, server.lower().encode()) if server else None
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    _use(f"{section}ca", ca, context.load_verify_locations)
    _use(f"{section}certificate", certificate, context.use_certificate_chain_file)
    _use(f"{section}key", key, context.use_privatekey_file)
    try:
        assertPrivate(key)
    except ConfigurationError as error:
        raise ConfigurationError(f"{section}key = {error}") from error
    _use(f"{section}key", key, lambda path: context.check_privatekey())
    if isServer:
        _use(f"{section}ca", ca, lambda path: context.load_client_ca(path.encode()))
    return context


def _verify(
    server: bytes, connection: SSL.Connection, verified: X509, error: int, depth: int, good: int
) -> bool:
    """
    Return whether a certificate that a server sent is to be trusted: see pyOpenSSL's
    C{Context.set_verify}. If its name is wrong, C{connection} is given the reason.

    @param depth: 0 for the server's own certificate.
    @param good: whether OpenSSL trusts it.
    """
    if not good or depth:
        return bool(good)
    try:
        certificate = verified.to_cryptography()
        names = _domains(certificate) or _commonNames(certificate)
    except ValueError:
        names = []
    if server in {name.lower() for name in names}:
        return True
    connection.set_app_data("the server's certificate has another name")
    return False


def _use(name: str, path: str, load: Callable[[str], T]) -> T:
    try:
        # OpenSSL's own words for a file that can't be opened are hard to understand.
        Path(path).open("rb").close()
        return load(path)
    except OSError as problem:
        why = problem.strerror or str(problem)
    except SSL.Error as problem:
        reasons = problem.args[0] if problem.args else ()
        why = "; ".join(reason for _, _, reason in reasons) or "it can't be read, or isn't PEM"
    raise ConfigurationError(f"{name} = {path}: {why}")


def nameIn(certificate: x509.Certificate, kind: str) -> bytes:
    """
    Return the account's name in C{certificate}, in UTF-8.

    @param kind: which name, as in C{[eap] identity}.
    @raise Refused: there isn't exactly one such name.
    @raise ValueError: the certificate isn't valid X.509.
    """
    found = {name for name in _NAMES[kind](certificate) if name}
    if len(found) != 1:
        text = f"a certificate with {len(found)} names, by {kind}"
        raise Refused(text, retry=False, remedy=Remedy.EAP)
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
    Return the content of C{value}, a UTF8String in DER of at most 127 octets.
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


TLS = TLSMethod()
