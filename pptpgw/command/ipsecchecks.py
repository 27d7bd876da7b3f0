"""
What C{pptpgw ipsec check} finds out of strongSwan's daemon, charon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha1
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from pptpgw.command.findings import Examined, fault, ok, warning
from pptpgw.command.output import shown
from pptpgw.error import PPTPGWError
from pptpgw.ipsec.section import IPsecSection
from pptpgw.ipsec.swanctl import CERTIFICATE, SECRET
from pptpgw.ipsec.vici import Charon, connect, parts, text, texts, within
from pptpgw.ipsec.wire import Message

SUBJECT = "IPsec"

_PRINT = (
    "pptpgw ipsec print --config FILE --to /etc/swanctl/conf.d/pptpgw.conf, then swanctl --load-all"
)
_ISSUE = (
    "issue one with an RSA key, the name that clients call as a DNS name in subjectAltName, and "
    "serverAuth in extendedKeyUsage"
)
_SERVERS = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_CLASSES = {SECRET: "pre-shared key", CERTIFICATE: "public key"}


async def examine(reactor: Any, section: IPsecSection) -> list[Examined]:
    """
    Return what is found.

    @param reactor: the reactor, with a monotonic clock.
    """
    if not section.isUsed:
        text = "[ipsec] has neither secret-file nor certificate"
        return [fault(SUBJECT, text, "name one of them, or both")]
    charon = Charon(reactor)
    try:
        await connect(reactor, section.socket, charon)
    except PPTPGWError as error:
        advice = (
            "start strongSwan (systemctl start strongswan), or correct [ipsec] socket; its "
            "plugin vici must be loaded"
        )
        return [fault(SUBJECT, f"charon can't be asked: {error}", advice)]
    try:
        return [one async for one in _ask(charon, section)]
    except PPTPGWError as error:
        return [fault(SUBJECT, str(error), "look at the log of charon")]
    finally:
        charon.close()


async def _ask(charon: Charon, section: IPsecSection) -> Any:
    version = await charon.ask("version")
    yield ok(SUBJECT, f"strongSwan {shown(text(version, 'version'))} answers at {section.socket}")
    listed = await charon.stream("list-conns", "list-conn")
    connections = {name: one for some in listed for name, one in parts(some).items()}
    for name in _expected(section):
        yield _connection(name, connections)
    if section.secretFile:
        keys = texts(await charon.ask("get-shared"), "keys")
        if f"ike-{SECRET}" in keys:
            yield ok(SUBJECT, "charon has the pre-shared key")
        else:
            yield fault(SUBJECT, "charon doesn't have the pre-shared key", _PRINT)
    if section.certificate:
        held = texts(await charon.ask("get-keys"), "keys")
        certificates = [one.get("data") for one in await charon.stream("list-certs", "list-cert")]
        for found in _certificates(section, held, certificates):
            yield found
    if section.marks:
        yield _connmark(texts(await charon.ask("stats"), "plugins"))


def _expected(section: IPsecSection) -> Iterator[str]:
    if section.secretFile:
        yield SECRET
    if section.certificate:
        yield CERTIFICATE


def _connection(name: str, connections: Mapping[str, Message]) -> Examined:
    if name not in connections:
        return fault(SUBJECT, f"charon doesn't have the connection {name}", _PRINT)
    one = connections[name]
    modes = {text(child, "mode") for child in parts(within(one, "children")).values()}
    ways = {text(within(one, end), "class") for end in ("local-1", "remote-1")}
    if text(one, "version") != "IKEv1" or modes != {"TRANSPORT"} or ways != {_CLASSES[name]}:
        text_ = f"the connection {name} isn't the one that 'pptpgw ipsec print' prints"
        return fault(SUBJECT, text_, _PRINT)
    return ok(SUBJECT, f"charon has the connection {name}")


def _certificates(section: IPsecSection, held: list[str], loaded: list[Any]) -> Iterator[Examined]:
    """
    Compare the files of [ipsec] with what charon has.

    @param held: the identifiers of the private keys that charon has: the SHA-1 of public keys.
    @param loaded: the certificates that charon has, in DER.
    """
    for path, what in ((section.certificate, "certificate"), (section.ca, "ca")):
        try:
            certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
            lacks = "; ".join(_lacking(certificate)) if what == "certificate" else ""
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it isn't a certificate in PEM"
            yield fault(SUBJECT, f"[ipsec] {what} = {path}: {why}", "correct the configuration")
            continue
        if certificate.public_bytes(Encoding.DER) in loaded:
            yield ok(SUBJECT, f"charon has the certificate of [ipsec] {what}")
        else:
            text_ = f"charon doesn't have the certificate of [ipsec] {what}, {path}"
            yield fault(SUBJECT, text_, _PRINT)
        if lacks:
            yield warning(SUBJECT, f"the certificate of [ipsec] lacks {lacks}", _ISSUE)
        if what == "certificate" and not _identifiers(certificate) & set(held):
            yield fault(
                SUBJECT,
                "charon doesn't have the private key of [ipsec] certificate",
                f"install -m 600 {section.privateKey} /etc/swanctl/private/, then "
                "swanctl --load-creds",
            )


def _lacking(certificate: x509.Certificate) -> Iterator[str]:
    """
    Return what the gateway's certificate lacks although clients demand it.

    @raise ValueError: its extensions can't be read.
    """
    extensions: dict[type, Any] = {type(one.value): one.value for one in certificate.extensions}
    if not isinstance(certificate.public_key(), RSAPublicKey):
        yield "an RSA key, as macOS and Android know no other for IKEv1"
    if not list(extensions.get(x509.SubjectAlternativeName, ())):
        yield "a name in subjectAltName, which clients compare with the name that they call"
    usages = extensions.get(x509.ExtendedKeyUsage)
    if usages is not None and not _SERVERS & set(usages):
        yield "serverAuth in extendedKeyUsage, which Windows demands"


def _identifiers(certificate: x509.Certificate) -> set[str]:
    """
    Return the identifiers that a certificate's key may have in charon: the SHA-1 of the public key,
    with and without its algorithm.
    """
    public = certificate.public_key()
    whole = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bare = x509.SubjectKeyIdentifier.from_public_key(public).digest
    return {sha1(whole, usedforsecurity=False).hexdigest(), bare.hex()}


def _connmark(plugins: list[str]) -> Examined:
    if "connmark" in plugins:
        return ok(SUBJECT, "charon has the plugin connmark")
    advice = "apt-get install libcharon-extra-plugins, and load = yes in charon/connmark.conf"
    return warning(SUBJECT, "charon lacks the plugin connmark, which [ipsec] marks needs", advice)
