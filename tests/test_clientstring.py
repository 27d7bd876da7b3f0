"""
Tests for L{pptpgw.clientstring}, by way of Twisted's C{clientFromString}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.endpoints import clientFromString
from twisted.internet.task import Clock

from pptpgw.client import PPTPClientEndpoint
from pptpgw.error import ConfigurationError
from tests.chapsecrets import secretsIn
from tests.dialling import THERE, Dialling, Hearing
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
        ":methods=mschapv2,chap:mtu=1300:timeout=9:bindAddress=192.0.2.7",
    )
    assert isinstance(endpoint, PPTPClientEndpoint)
    settings = endpoint.settings
    identity = settings.identity
    assert identity is not None
    assert (identity.name, identity.password) == (b"alice", b"open sesame")
    assert [one.name for one in identity.methods] == ["mschapv2", "chap"]
    assert (settings.encryption, settings.mru) == ("prefer", 1300)
    assert list(endpoint.makers) == ["ipv4", "ipv6"]
    assert endpoint.address == THERE


def test_fromStringConnects(world: Dialling, secret: Path) -> None:
    """
    The endpoint of a string with an address and a port connects.
    """
    text = f"pptp:{SERVER}:1723:user=alice:password-file={secret}"
    endpoint: Any = clientFromString(world.reactor, text)
    endpoint.control._ports = world.ports
    found: list[Hearing] = []
    endpoint.connect(world.factory).addCallback(found.append)
    world.run(0.2)
    assert found[0].told == ["made", "ipv4 opened"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "lacks user="),
        (":user=alice", "lacks password-file="),
        (":user=alice:password-file={}:networks=ipv5", 'no network protocol is called "ipv5"'),
        (":user=alice:password-file={}:methods=chop", 'called "chop"'),
        (":user=alice:password-file={}:encryption=yes", "encryption=yes: require, prefer, off"),
        (":user=alice:password-file={}:mtu=big", "big"),
        (":user=alice:password-file={}:colour=red", "there is no colour="),
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
