"""
Tests for L{pptpgw.config.masking}.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from pptpgw.config.configuration import Configuration, parse
from pptpgw.config.kind import FILE, NAME, key
from pptpgw.config.masking import HIDDEN, masked, plainSection

SECRETS = """
[auth]
checkers = ["memory:alice:pa55word", "chap-secrets:/etc/ppp/chap-secrets", "accounts"]
[audit]
store = "postgresql://gateway:pa55word@db.example/accounts?sslmode=require"
[accounts]
store = "postgresql://gateway@db.example/accounts?password=pa55word&sslmode=require"
[hooks]
auth-up = "/etc/ppp/password"
[management]
endpoints = ["ssl:8723:privateKey=/etc/key.pem:password=pa55word"]
[plugins]
observers = ["webhook:pa55word"]
[[radius.server]]
host = "192.0.2.1"
secret = "pa55word"
[[radius.server]]
host = "192.0.2.2"
secret-file = "/etc/pptpgw/secret"
[[radius.client]]
host = "192.0.2.3"
secret = "pa55word"
"""


def sections(configuration: Configuration) -> dict[str, Any]:
    """
    Some sections of a configuration as plain data.
    """
    names = "listen", "auth", "accounts", "audit", "hooks", "management", "plugins", "radius"
    return {name: plainSection(getattr(configuration, name)) for name in names}


def test_noSecretIsShown() -> None:
    """
    Secrets are shown nowhere, whatever key has them, and paths of their files are.
    """
    shown = sections(parse(SECRETS, "test"))
    assert "pa55" not in json.dumps(shown)
    assert shown["auth"]["checkers"] == [
        f"memory:{HIDDEN}",
        "chap-secrets:/etc/ppp/chap-secrets",
        "accounts",
    ]
    assert shown["audit"]["store"] == (
        f"postgresql://gateway:{HIDDEN}@db.example/accounts?sslmode=require"
    )
    assert shown["accounts"]["store"] == (
        f"postgresql://gateway@db.example/accounts?password={HIDDEN}&sslmode=require"
    )
    assert shown["management"]["endpoints"] == [
        f"ssl:8723:privateKey=/etc/key.pem:password={HIDDEN}"
    ]
    assert shown["hooks"]["auth-up"] == "/etc/ppp/password"
    first, second = shown["radius"]["server"]
    assert (first["host"], first["secret"]) == ("192.0.2.1", HIDDEN)
    assert (second["secret"], second["secret-file"]) == ("", "/etc/pptpgw/secret")


@dataclass(frozen=True)
class Foreign:
    """
    The section of another package's plugin, which knows nothing of kinds of secrets.
    """

    apiToken: str = key(NAME, "pa55word")
    dbPassword: str = key(NAME, "pa55word")
    tokenFile: str = key(FILE, "/etc/token")
    secret: str = key(FILE, "/etc/secret")


def test_keysOfOtherPackages() -> None:
    """
    A key whose name says that it is a secret isn't shown, unless it is the path of a file.
    """
    assert plainSection(Foreign()) == {
        "api-token": HIDDEN,
        "db-password": HIDDEN,
        "token-file": "/etc/token",
        "secret": "/etc/secret",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://user:se/cr?et@host/db", f"postgresql://user:{HIDDEN}@host/db"),
        ("redis://:hidden@host", f"redis://:{HIDDEN}@host"),
        ("https://host:8443/path", "https://host:8443/path"),
        ("unix:/run/secret:mode=660", "unix:/run/secret:mode=660"),
        ("Password=x", f"Password={HIDDEN}"),
        ("client_secret=x;a=b", f"client_secret={HIDDEN};a=b"),
        ("passfile=/etc/pass", "passfile=/etc/pass"),
    ],
)
def test_texts(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_plain() -> None:
    """
    Values are shown much as the file has them.
    """
    text = """
        [ipv4]
        local = "10.0.0.1"
        pool = ["10.0.0.2-10.0.0.9", "10.0.1.1"]
        dns = ["192.0.2.1", "192.0.2.2"]
        [[ipv4.pools]]
        name = "a"
        ranges = ["10.2.0.0/24"]
        [[network.generic]]
        name = "x"
        control = 0x80c3
        data = 0x00c3
        [network.generic.options]
        1 = { fixed = "text:gate" }
        2 = { accept = [1, 2] }
    """
    configuration = parse(text, "test")
    shown = plainSection(configuration.sections["ipv4"])
    assert shown["local"] == "10.0.0.1"
    assert shown["pool"] == ["10.0.0.2-10.0.0.9", "10.0.1.1"]
    assert shown["dns"] == ["192.0.2.1", "192.0.2.2"]
    assert shown["pools"] == [{"name": "a", "ranges": ["10.2.0.1-10.2.0.254"], "next": ""}]
    generic = plainSection(configuration.sections["network.generic"])["generic"]
    (declared,) = [one for one in generic if one["name"] == "x"]
    assert declared["to"] == "hub"
    json.dumps(generic)
