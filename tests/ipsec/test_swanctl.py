"""
Tests of the configuration for strongSwan. C{tests/lab} has strongSwan read it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pptpgw.error import ConfigurationError
from pptpgw.ipsec.section import IPsecSection
from pptpgw.ipsec.swanctl import written


def secret(folder: Path, text: str = 'open "sesame" # {\n') -> str:
    path = folder / "psk"
    path.touch(0o600)
    path.write_text(text)
    return str(path)


def test_thePreSharedKey(tmp_path: Path) -> None:
    """
    The key may have any character. Without certificates there is one connection.
    """
    section = IPsecSection(secretFile=secret(tmp_path), name='a "name"', deadPeer=12.5)
    text = written(section, [IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")])
    found = re.search(r"secret = 0s(\S+)", text)
    assert found and b64decode(found[1]) == b'open "sesame" # {'
    assert "  pptpgw-psk {\n    local_addrs = 192.0.2.1, 192.0.2.2\n    version = 1\n" in text
    assert 'id = "a \\"name\\""' in text
    assert "dpd_delay = 12.5s" in text and "dpd_timeout = 62.5s" in text
    assert "pptpgw-cert" not in text and "mark_in" not in text
    assert text.count("{") == text.count("}")


def test_certificates() -> None:
    section = IPsecSection(certificate="/x y#/c.pem", privateKey="/k", ca="/ca", marks=True)
    text = written(section, ())
    assert 'certs = "/x y#/c.pem"' in text and "cacerts = /ca" in text
    assert "mark_in = %unique" in text and "mark_out = %unique" in text
    assert "install -m 600 /k /etc/swanctl/private/" in text
    assert "psk" not in text and "secrets" not in text and "local_addrs" not in text


def test_weakAlgorithms(tmp_path: Path) -> None:
    """
    They come last, if at all.
    """
    path = secret(tmp_path)
    texts = [written(IPsecSection(secretFile=path, weak=weak), ()) for weak in (True, False)]
    for name in ("proposals", "esp_proposals"):
        first, second = (
            re.search(rf" {name} = (.*)", text)[1].split(", ")  # type: ignore[index]
            for text in texts
        )
        assert first[: len(second)] == second
        assert not any("3des" in one or "modp1024" in one for one in second)
        assert all("3des" in one or "modp1024" in one for one in first[len(second) :])
        assert len(first) > len(second)


@pytest.mark.parametrize(
    ("section", "why"),
    [
        (IPsecSection(), "neither secret-file nor certificate"),
        (IPsecSection(certificate="/c", ca="/a"), "private-key and ca"),
        (IPsecSection(secretFile="/nowhere/at/all"), "/nowhere/at/all: No such file"),
    ],
)
def test_whatCantBePrinted(section: IPsecSection, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        written(section, ())
