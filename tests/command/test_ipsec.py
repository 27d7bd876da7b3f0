"""
Tests of C{pptpgw ipsec}, with a daemon that has strongSwan's messages. C{tests/lab} has strongSwan
itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor as running

from pptpgw.ipsec.wire import Message
from tests.certificates import SERVER, Authority
from tests.command.invocation import Command
from tests.ipsec.charon import FakeCharon, charonAt, connection

reactor: Any = running


@pytest.fixture
def keyed(configuration: Path, tmp_path: Path) -> Path:
    """
    The configuration, with a pre-shared key.
    """
    secret = tmp_path / "psk"
    secret.touch(0o600)
    secret.write_text("open sesame")
    with configuration.open("a") as file:
        file.write(f'[ipsec]\nsocket = "{tmp_path}/vici"\nsecret-file = "{secret}"\n')
    return configuration


async def test_print(pptpgw: Command, keyed: Path, tmp_path: Path) -> None:
    """
    It is printed, or written to a private file, and no file is replaced unasked.
    """
    printed = await pptpgw("ipsec", "print")
    assert printed.status == 0 and "pptpgw-psk {" in printed.out
    to = tmp_path / "pptpgw.conf"
    assert (await pptpgw("ipsec", "print", "--to", str(to))).status == 0
    assert to.read_text() == printed.out and to.stat().st_mode & 0o777 == 0o600
    refused = await pptpgw("ipsec", "print", "--to", str(to))
    assert refused.status == 1 and "--force replaces it" in refused.error
    assert (await pptpgw("ipsec", "print", "--to", str(to), "--force")).status == 0


async def test_nothingIsConfigured(pptpgw: Command) -> None:
    for words in ("print", "check"):
        done = await pptpgw("ipsec", words)
        assert done.status == 1
        assert "[ipsec] has neither secret-file nor certificate" in done.out + done.error


async def test_charonDoesntRun(pptpgw: Command, keyed: Path, tmp_path: Path) -> None:
    """
    Both commands that examine say what to do.
    """
    for words in (("ipsec", "check"), ("doctor",)):
        done = await pptpgw(*words)
        assert done.status == 1
        assert f"fault    IPsec: charon can't be asked: {tmp_path}/vici: No such file" in done.out
        assert "systemctl start strongswan" in done.out


async def test_thePreSharedKey(pptpgw: Command, keyed: Path, tmp_path: Path) -> None:
    """
    charon has what it needs, or lacks it.
    """
    async with charonAt(reactor, tmp_path / "vici") as charon:
        done = await pptpgw("ipsec", "check")
        assert (done.status, done.error) == (0, "")
        assert done.out.splitlines() == [
            f"ok       IPsec: strongSwan 5.9.8 answers at {tmp_path}/vici",
            "ok       IPsec: charon has the connection pptpgw-psk",
            "ok       IPsec: charon has the pre-shared key",
        ]
        charon.answers["get-shared"] = {"keys": []}
        charon.streams["list-conns"] = ("list-conn", [])
        assert await faults(pptpgw) == [
            "charon doesn't have the connection pptpgw-psk",
            "charon doesn't have the pre-shared key",
        ]
        for other in (connection("public key"), connection("pre-shared key", version=b"IKEv2")):
            charon.streams["list-conns"] = ("list-conn", [{"pptpgw-psk": other}])
            assert "isn't the one that" in (await faults(pptpgw))[0]
        del charon.answers["version"]
        assert await faults(pptpgw) == ["charon doesn't know the command version"]


async def test_certificates(pptpgw: Command, keyed: Path, tmp_path: Path) -> None:
    """
    charon must have both certificates and the key, and for marks its plugin.
    """
    authority = Authority(tmp_path)
    names = [x509.DNSName("vpn.example.com")]
    certificate, key = authority.issue("vpn.example.com", SERVER, names, isRSA=True)
    with keyed.open("a") as file:
        file.write(f'certificate = "{certificate}"\nprivate-key = "{key}"\nmarks = true\n')
        file.write(f'ca = "{authority.certificate}"\n')
    ours = x509.load_pem_x509_certificate(certificate.read_bytes())
    async with charonAt(reactor, tmp_path / "vici") as charon:
        charon.answers["stats"] = {"plugins": []}
        assert await faults(pptpgw) == [
            "charon doesn't have the connection pptpgw-cert",
            f"charon doesn't have the certificate of [ipsec] certificate, {certificate}",
            "charon doesn't have the private key of [ipsec] certificate",
            f"charon doesn't have the certificate of [ipsec] ca, {authority.certificate}",
            "charon lacks the plugin connmark, which [ipsec] marks needs",
        ]
        hold(charon, ours, authority.x509)
        charon.answers["stats"] = {"plugins": [b"connmark"]}
        assert await faults(pptpgw) == []
    authority.certificate.write_text("nothing")
    async with charonAt(reactor, tmp_path / "vici") as charon:
        hold(charon, ours)
        assert await faults(pptpgw) == [
            f"[ipsec] ca = {authority.certificate}: it isn't a certificate in PEM"
        ]


async def test_whatClientsDemand(pptpgw: Command, keyed: Path, tmp_path: Path) -> None:
    """
    A certificate that clients won't take is a warning.
    """
    authority = Authority(tmp_path)
    certificate, key = authority.issue("vpn.example.com")
    with keyed.open("a") as file:
        file.write(f'certificate = "{certificate}"\nprivate-key = "{key}"\n')
        file.write(f'ca = "{authority.certificate}"\n')
    async with charonAt(reactor, tmp_path / "vici") as charon:
        hold(charon, x509.load_pem_x509_certificate(certificate.read_bytes()), authority.x509)
        (finding,) = await faults(pptpgw)
    assert finding == (
        "the certificate of [ipsec] lacks an RSA key, as macOS and Android know no other for "
        "IKEv1; a name in subjectAltName, which clients compare with the name that they call; "
        "serverAuth in extendedKeyUsage, which Windows demands"
    )


def hold(charon: FakeCharon, *certificates: x509.Certificate) -> None:
    """
    Have charon hold the connections, certificates, and the key of the first certificate.
    """
    identifier = x509.SubjectKeyIdentifier.from_public_key(certificates[0].public_key()).digest
    charon.answers["get-keys"] = {"keys": [identifier.hex().encode()]}
    both = {
        "pptpgw-psk": connection("pre-shared key"),
        "pptpgw-cert": connection("public key"),
    }
    charon.streams["list-conns"] = ("list-conn", [both])
    listed: list[Message] = [{"data": one.public_bytes(Encoding.DER)} for one in certificates]
    charon.streams["list-certs"] = ("list-cert", listed)


async def faults(pptpgw: Command) -> list[str]:
    """
    Return the faults and warnings that C{ipsec check} finds, each of which has an advice.
    """
    done = await pptpgw("ipsec", "check", "--json")
    found = json.loads(done.out)
    bad = [one for one in found["findings"] if one["level"] != "ok"]
    assert done.status == int(found["faults"] > 0)
    assert len(bad) == found["faults"] + found["warnings"]
    assert all(one["advice"] for one in bad)
    return [one["text"] for one in bad]
