"""
Makes certificates for tests of EAP-TLS.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
_DAY = timedelta(days=1)


class Authority:
    """
    A certificate authority, and the folder of the certificates that it issues.

    @ivar certificate: the path of its own certificate.
    """

    def __init__(
        self, folder: Path, name: str = "Test CA", issuer: Authority | None = None
    ) -> None:
        self.folder = folder
        self.name = name
        self._issuer = issuer
        self._key = ec.generate_private_key(ec.SECP256R1())
        above = issuer or self
        builder = _builder(name, above.name, self._key.public_key(), -30, 30)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        self.x509 = builder.sign(above._key, SHA256())
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(_pem(self.x509))

    def issue(
        self,
        name: str,
        usage: x509.ObjectIdentifier = CLIENT,
        alternatives: Sequence[x509.GeneralName] = (),
        days: tuple[int, int] = (-1, 30),
        large: bool = False,
        isRSA: bool = False,
    ) -> tuple[Path, Path]:
        """
        Issue a certificate. Return the path of its file, which also has the certificates that lead
        to a root, and that of its key.

        @param days: the first and the last day of its validity, counted from now.
        @param large: whether to make it so large that it fills several packets.
        @param isRSA: whether its key is of RSA, as a large one's is, and not of an elliptic curve.
        """
        private = (
            rsa.generate_private_key(65537, 4096 if large else 2048)
            if large or isRSA
            else ec.generate_private_key(ec.SECP256R1())
        )
        builder = _builder(name, self.name, private.public_key(), *days)
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        names = [*alternatives, *(x509.DNSName(f"{n}.{'x' * 50}") for n in range(40 * large))]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        chain = [builder.sign(self._key, SHA256())]
        above: Authority | None = self
        while above is not None and above._issuer is not None:
            chain.append(above.x509)
            above = above._issuer
        stem = f"{len(list(self.folder.iterdir()))}-{name or 'nobody'}"
        certificate, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        certificate.write_bytes(b"".join(map(_pem, chain)))
        key.touch(0o600)
        key.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, key


def _builder(
    subject: str,
    issuer: str,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    first: int,
    last: int,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + first * _DAY)
        .not_valid_after(now + last * _DAY)
    )


def _named(name: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests")]
    if name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    return x509.Name(attributes)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
