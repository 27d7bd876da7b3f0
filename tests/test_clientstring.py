"""
Tests for L{pptpgw.clientstring}, by way of Twisted's C{clientFromString}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import HostnameAddress, IPv4Address
from twisted.internet.endpoints import clientFromString
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pptpgw.client import CallEndpoint
from pptpgw.config.discovery import find, installed
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import ITunnelClientFactory
from pptpgw.tunnels.hdlc.client import HDLCClient
from pptpgw.tunnels.l2tp.client import LACClient
from pptpgw.tunnels.sstp.client import SSTPClient
from tests.certificates import Authority
from tests.chapsecrets import secretsIn
from tests.endpoints import THERE, Dialling, Hearing
from tests.test_gateway import SERVER


@pytest.fixture
def world(tmp_path: Path) -> Dialling:
    return Dialling(secretsIn(tmp_path))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("open sesame\n")
    path.chmod(0o600)
    return path


def test_fromString(world: Dialling, secret: Path) -> None:
    endpoint = clientFromString(
        world.reactor,
        f"pptp:{SERVER}:user=alice:password-file={secret}:networks=ipv4,ipv6:encryption=prefer"
        ":methods=mschapv2,chap:mtu=1300:timeout=9:bind-address=192.0.2.7",
    )
    assert isinstance(endpoint, CallEndpoint)
    settings = endpoint.settings
    identity = settings.identity
    assert identity is not None
    assert (identity.name, identity.password) == (b"alice", b"open sesame")
    assert [one.name for one in identity.methods] == ["mschapv2", "chap"]
    assert (settings.encryption, settings.mru) == ("prefer", 1300)
    assert list(endpoint.makers) == ["ipv4", "ipv6"]
    assert endpoint.client.address == THERE


def test_fromStringConnects(world: Dialling, secret: Path) -> None:
    """
    The endpoint of a string with an address and a port connects.
    """
    text = f"pptp:{SERVER}:1723:user=alice:password-file={secret}"
    endpoint: Any = clientFromString(world.reactor, text)
    endpoint.client._ports = world.ports
    found: list[Hearing] = []
    endpoint.connect(world.factory).addCallback(found.append)
    world.run(0.2)
    assert found[0].told == ["made", "ipv4 opened"]


def test_theLinkInAString(world: Dialling, secret: Path) -> None:
    """
    A string says which keys MPPE may have, and whether it may be stateful.
    """
    where = f"pptp:{SERVER}:user=alice:password-file={secret}"
    for words, bits, stateful in (
        ("", (128,), False),
        (":encryption-bits=40:encryption-stateful=yes", (40,), True),
        (":encryption-bits=40,128,56:encryption-stateful=no", (128, 56, 40), False),
    ):
        endpoint: Any = clientFromString(world.reactor, where + words)
        assert (endpoint.settings.bits, endpoint.settings.stateful) == (bits, stateful)


def test_compressionInAString(world: Dialling, secret: Path) -> None:
    where = f"pptp:{SERVER}:user=alice:password-file={secret}:encryption=off"
    for words, methods in (("", ()), (":compression=mppc,deflate", ("mppc", "deflate"))):
        endpoint: Any = clientFromString(world.reactor, where + words)
        assert endpoint.settings.compression == methods


def test_aNewPasswordInAString(world: Dialling, secret: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.touch(0o600)
    new.write_text("fresh")
    where = f"pptp:{SERVER}:user=alice:password-file={secret}:new-password-file={new}"
    endpoint: Any = clientFromString(world.reactor, where)
    identity = endpoint.settings.identity
    assert (identity.password, identity.newPassword) == (b"open sesame", b"fresh")
    new.write_text("x" * 257)
    with pytest.raises(ConfigurationError, match="256 characters"):
        clientFromString(world.reactor, where)
    new.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        clientFromString(world.reactor, where)


def test_aCertificateInAString(world: Dialling, tmp_path: Path) -> None:
    """
    With a certificate, EAP is EAP-TLS alone, and no password is needed.
    """
    authority = Authority(tmp_path, "CA")
    certificate, key = authority.issue("alice")
    words = f"eap-certificate={certificate}:eap-key={key}:eap-ca={authority.certificate}"
    where = f"pptp:{SERVER}:user=alice:{words}"
    endpoint: Any = clientFromString(world.reactor, f"{where}:methods=eap:eap-server=gate")
    (eap,) = endpoint.settings.identity.methods
    assert [one.name for one in eap.methods] == ["tls"]
    for text, fault in (
        (where, '"eap" isn\'t among the methods'),
        (f"pptp:{SERVER}:user=alice:methods=eap:eap-server=gate", "belong together"),
        (f"{where}:methods=eap".replace(str(key), "/nowhere"), "key = /nowhere: No such file"),
    ):
        with pytest.raises(ConfigurationError, match=fault):
            clientFromString(world.reactor, text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "lacks user="),
        (":user=alice", "lacks password-file="),
        (":user=alice:password-file={}:networks=ipv5", 'no network protocol is called "ipv5"'),
        (":user=alice:password-file={}:methods=chop", 'called "chop"'),
        (":user=alice:password-file={}:encryption=yes", "encryption=yes: require, prefer, off"),
        (":user=alice:password-file={}:mtu=big", "big"),
        (":user=alice:password-file={}:encryption-bits=40,64", "40, 56, 128"),
        (":user=alice:password-file={}:encryption-stateful=maybe", "yes, no"),
        (":user=alice:password-file={}:compression=bsd", "deflate, mppc"),
        (":user=alice:password-file={}:colour=red", "there is no colour=; there is bind-address="),
        (":0:user=alice:password-file={}", "'0' is no port"),
        (":1:2:user=alice:password-file={}", "at most a port"),
        (":user=alice:password-file={}:bind-address=here", "must be an IP address of this machine"),
        (":user=alice:password-file={}.other", "No such file"),
    ],
)
def test_wrongDescription(text: str, fault: str, secret: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        clientFromString(Clock(), f"pptp:{SERVER}{text.format(secret)}")
    assert fault in str(raised.value)


def test_exposedPassword(secret: Path) -> None:
    """
    A password file that others may read is refused.
    """
    secret.chmod(0o640)
    with pytest.raises(ConfigurationError) as raised:
        clientFromString(Clock(), f"pptp:{SERVER}:user=alice:password-file={secret}")
    assert "chmod 600" in str(raised.value)


FINGERPRINT = "AB\\:" * 31 + "cd"


@pytest.mark.parametrize(
    ("text", "kind", "address"),
    [
        ("sstp:vpn.example.org", SSTPClient, HostnameAddress(b"vpn.example.org", 443)),
        (
            f"sstp:192.0.2.1:4443:fingerprint={FINGERPRINT}:bind-address=\\:\\:1",
            SSTPClient,
            HostnameAddress(b"192.0.2.1", 4443),
        ),
        ("l2tp:192.0.2.1:secret-file={0}", LACClient, IPv4Address("UDP", "192.0.2.1", 1701)),
        ("hdlc:tcp\\:192.0.2.1\\:2000:chat='' ATZ OK", HDLCClient, None),
    ],
)
def test_otherTunnels(text: str, kind: type, address: object, secret: Path) -> None:
    """
    Each tunnel has its own beginning of a string, and its own parts.
    """
    text = text.format(secret) + f":user=alice:password-file={secret}:timeout=9"
    endpoint: Any = clientFromString(Clock(), text)
    assert isinstance(endpoint, CallEndpoint)
    assert isinstance(endpoint.client, kind)
    assert endpoint.client.address == address


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sstp:a:ca=/nowhere.pem", "sstp:a: /nowhere.pem: "),
        ("sstp:a:fingerprint=abc", "must be the SHA-256 of a certificate"),
        ("sstp:a:secret-file=/nowhere", "there is no secret-file="),
        ("l2tp:a:secret-file=/nowhere", "l2tp:a: /nowhere: No such file"),
        ("hdlc:nonsense", "hdlc:nonsense: "),
        ("hdlc:tcp:a:1", "each of its colons behind"),
        ("hdlc:tcp\\:a\\:1:chat=ABORT", "nothing behind ABORT"),
    ],
)
def test_wrongDescriptionsOfOtherTunnels(text: str, fault: str, secret: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        clientFromString(Clock(), f"{text}:user=alice:password-file={secret}")
    assert fault in str(raised.value)


@pytest.mark.parametrize("name", installed(ITunnelClientFactory))
def test_everyTunnel(name: str) -> None:
    """
    Each tunnel's plugin has its stages, all of whose options have a default, and a beginning of
    strings.
    """
    factory = find(ITunnelClientFactory, name)
    verifyObject(ITunnelClientFactory, factory)
    names = [one.name for one in (*factory.stages, *factory.laterStages)]
    assert len(set(names)) == len(names) >= 2
    assert all(one.advice for one in factory.stages)
    factory.options()
    with pytest.raises(ConfigurationError, match="lacks user="):
        clientFromString(Clock(), f"{name}:192.0.2.1")
