"""
Tests for L{pptpgw.radius.tls}: who is trusted, with a FreeRADIUS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from pptpgw.config.configuration import Configuration, parse
from pptpgw.error import ConfigurationError
from pptpgw.radius.servers import Server
from pptpgw.radius.tls import endpointFor
from tests.radius.freeradius import PROGRAM, FreeRADIUS, TLSFiles
from tests.radius.served import Served, onTheReactor


class Authority:
    """
    An authority that makes certificates, in files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
        self.file = folder / "authority.pem"
        certificate = self._signed(self._name, self._key.public_key(), None)
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certify(self, name: str) -> TLSFiles:
        """
        Make a certificate for a name or an address, and its key.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "one of the tests")])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name)
        certificate = self._signed(subject, key.public_key(), alternative)
        files = TLSFiles(self.file, self.folder / f"{name}.pem", self.folder / f"{name}.key")
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.key.touch(0o600)
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _signed(
        self, subject: x509.Name, key: Any, alternative: x509.GeneralName | None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(alternative is None, None), critical=True)
        )
        if alternative is not None:
            names = x509.SubjectAlternativeName([alternative])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


Serve = Callable[[str], FreeRADIUS]


@pytest.fixture
def serve(authority: Authority, tmp_path: Path) -> Iterator[Serve]:
    """
    Start a FreeRADIUS with a certificate for C{name}.
    """
    made: list[FreeRADIUS] = []

    def start(name: str) -> FreeRADIUS:
        users = 'DEFAULT Cleartext-Password := "open sesame"\n'
        made.append(FreeRADIUS(tmp_path / "freeradius", users, authority.certify(name)))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop()


def configured(server: FreeRADIUS, own: TLSFiles, more: str = "") -> Configuration:
    return parse(
        f"""
        [radius]
        timeout = 1
        deadline = 3
        [[radius.server]]
        host = "127.0.0.1"
        transport = "tls"
        tls-port = {server.tlsPort}
        tls-authority = "{own.authority}"
        tls-certificate = "{own.certificate}"
        tls-key = "{own.key}"
        {more}
        """,
        "test",
    )


needsFreeRADIUS = pytest.mark.skipif(PROGRAM is None, reason="needs FreeRADIUS")


@needsFreeRADIUS
@onTheReactor
async def test_sessionsOverTLS(serve: Serve, authority: Authority, log: list[str]) -> None:
    """
    Callers are judged and accounted for on one connection, also by a server that is killed and
    started again meanwhile.
    """
    server = serve("127.0.0.1")
    served = Served(reactor, configured(server, authority.certify("gate.example")))
    served.start()
    for number in range(5):
        await served.dial(f"user{number}", "open sesame")
    await served.until(lambda: len(server.records()) == 6)
    assert len(_connected(log)) == 1
    server.kill()
    await served.gateway.stop(5)
    server.start()
    await served.until(lambda: len(server.records()) >= 11)
    kinds = [record["Acct-Status-Type"] for record in server.records()]
    assert kinds[0] == "Accounting-On" and kinds[1:6] == ["Start"] * 5
    assert kinds[6:11] == ["Stop"] * 5
    await served.stop()
    assert server.records()[-1]["Acct-Status-Type"] == "Accounting-Off"
    assert len(_connected(log)) == 2


def _connected(log: list[str]) -> list[str]:
    """
    The log's lines about connections.
    """
    return [line for line in log if line.endswith(": connected")]


@needsFreeRADIUS
@pytest.mark.parametrize("fault", ["name", "authority", "own"])
def test_whoIsNotTrusted(
    serve: Serve, authority: Authority, tmp_path: Path, fault: str, log: list[str]
) -> Deferred[None]:
    """
    A server with another name, or with a certificate of another authority, is sent nothing. A
    server doesn't answer us if our certificate is of another authority.
    """

    @onTheReactor
    async def run() -> None:
        server = serve("other.example" if fault == "name" else "127.0.0.1")
        own = authority.certify("gate.example")
        other = Authority(tmp_path / "other")
        if fault == "authority":
            own = own._replace(authority=other.file)
        elif fault == "own":
            own = other.certify("gate.example")._replace(authority=authority.file)
        served = Served(reactor, configured(server, own))
        served.start()
        await served.until(
            lambda: any(": no connection: " in line or " is closed: " in line for line in log)
        )
        assert server.records() == []
        assert "Received A" not in server.log
        await served.stop()

    return run()


@needsFreeRADIUS
@onTheReactor
async def test_anotherName(serve: Serve, authority: Authority) -> None:
    """
    A server's certificate may have another name if the configuration gives it.
    """
    server = serve("radius.example")
    own = authority.certify("gate.example")
    served = Served(reactor, configured(server, own, 'tls-name = "radius.example"'))
    served.start()
    await served.until(lambda: len(server.records()) == 1)
    await served.stop()


def test_files(authority: Authority, tmp_path: Path) -> None:
    """
    The errors about the files come before anything is opened, and don't show the key.
    """
    own = authority.certify("gate.example")
    good = Server(
        "127.0.0.1",
        transport="tls",
        tlsAuthority=str(own.authority),
        tlsCertificate=str(own.certificate),
        tlsKey=str(own.key),
    )
    endpointFor(reactor, good, 5)
    wrong = tmp_path / "wrong"
    wrong.write_text("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n")
    empty = tmp_path / "empty"
    empty.touch(0o600)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"tlsAuthority": ""}, "needs tls-authority"),
        ({"tlsAuthority": "/nowhere"}, "No such file"),
        ({"tlsAuthority": str(empty)}, "no certificate in PEM"),
        ({"tlsCertificate": str(wrong)}, "can't be used"),
        ({"tlsKey": str(empty)}, "can't be used"),
    ]
    for change, why in changes:
        with pytest.raises(ConfigurationError, match=why):
            endpointFor(reactor, replace(good, **change), 5)
    own.key.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        endpointFor(reactor, good, 5)
