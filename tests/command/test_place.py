"""
Tests of where a gateway is looked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as running

from pptpgw.command.place import Place, fromEndpoints, fromURL
from pptpgw.config.section import ManagementSection
from pptpgw.error import ConfigurationError

reactor: Any = running
TLS = "privateKey=/k.pem:certKey=/c.pem"


def configured(*places: str, hosts: tuple[str, ...] = ()) -> Place:
    return fromEndpoints(reactor, ManagementSection(places, hosts), "pptpgw.toml")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://gate.example:8723", "https://gate.example:8723"),
        ("https://gate.example/", "https://gate.example:443"),
        ("https://[2001:db8::1]:8723", "https://[2001:db8::1]:8723"),
        ("http://127.0.0.1:8723", "http://127.0.0.1:8723"),
        ("http://localhost", "http://localhost:80"),
        ("http://[::1]:8723", "http://[::1]:8723"),
        ("unix:/run/a.sock", "http://localhost"),
    ],
)
def test_aURL(given: str, url: str) -> None:
    """
    Only on a Unix socket nobody logs in.
    """
    place = fromURL(reactor, given)
    assert (place.url, place.text) == (url, given)
    assert place.isLocal is given.startswith("unix:")


@pytest.mark.parametrize(
    "given",
    [
        *("gate.example", "ftp://gate.example", "https://", "https://gate:x", "https://gate/path"),
        *("https://bob:secret@gate", "https://gate?token=secret", "unix:", "https://[::1"),
        "https://gate:65536",
    ],
)
def test_noURL(given: str) -> None:
    """
    A secret in it isn't repeated.
    """
    with pytest.raises(ConfigurationError, match="must be https://HOST:PORT") as wrong:
        fromURL(reactor, given)
    assert "secret" not in str(wrong.value)


@pytest.mark.parametrize("host", ["gate.example", "192.0.2.1", "[2001:db8::1]", "0.0.0.0"])
def test_inClear(host: str) -> None:
    """
    Whoever logs in without TLS does so on this machine alone.
    """
    with pytest.raises(ConfigurationError, match="the login would pass in clear"):
        fromURL(reactor, f"http://{host}:8723")


@pytest.mark.parametrize(
    ("places", "url"),
    [
        (("tcp:8723:interface=127.0.0.1", "unix:/a:mode=600"), "http://localhost"),
        (("systemd:domain=INET:index=0", "tcp:8723:interface=127.0.0.1"), "http://127.0.0.1:8723"),
        (("tcp6:8723:interface=\\:\\:1",), "http://[::1]:8723"),
        ((f"ssl:8723:{TLS}",), "https://127.0.0.1:8723"),
        ((f"ssl:port=8723:interface=0.0.0.0:{TLS}",), "https://127.0.0.1:8723"),
        ((f"ssl:8723:interface=\\:\\::{TLS}",), "https://[::1]:8723"),
        ((f"ssl:8723:interface=192.0.2.1:{TLS}",), "https://192.0.2.1:8723"),
    ],
)
def test_aConfiguration(places: tuple[str, ...], url: str) -> None:
    """
    A Unix socket is preferred, and what can't be connected to is skipped.
    """
    assert configured(*places).url == url


def test_theNameInAConfiguration() -> None:
    """
    The certificate must have the first name of the gateway.
    """
    place = configured(f"ssl:8723:{TLS}", hosts=("gate.example", "other.example"))
    assert place.url == "https://gate.example:8723"
    with pytest.raises(ConfigurationError, match="ssl:8723"):
        configured(f"ssl:8723:{TLS}", hosts=("gate\x00.example",))


@pytest.mark.parametrize("places", [(), ("systemd:domain=INET:index=0", "tcp:x", "unix:")])
def test_noEndpoint(places: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="has no unix:, tcp: or ssl: endpoint"):
        configured(*places)


def test_theAuthorities(tmp_path: Path) -> None:
    """
    A file that has none is an error.
    """
    file = tmp_path / "ca.pem"
    for text, why in (
        ("", "no certificate in PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "can be read"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=why):
            fromURL(reactor, "https://gate.example", str(file))
