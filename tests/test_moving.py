"""
Tests that what C{docs/moving.md} says is possible.
"""

from __future__ import annotations

import re
import ssl
import subprocess
from pathlib import Path

import pytest

from pptpgw.config.configuration import parse
from pptpgw.tunnels.sstp.certificate import loaded

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "moving.md").read_text()
COMMANDS = re.findall(r"(?m)^pptpgw .*?(?=  #|$)", TEXT)


def blocks(language: str) -> list[str]:
    """
    The blocks of the page in a language.
    """
    return re.findall(rf"(?s)```{language}\n(.*?)```", TEXT)


def test_theConfiguration() -> None:
    """
    The files that it shows can be used.
    """
    first, second = blocks("toml")
    assert parse(first, "moving.md").listen.tunnels == ("pptp", "sstp", "l2tp")
    assert parse(second, "moving.md").sections["pptp"].authentication == ("mschapv2",)


def test_thereAreCommands() -> None:
    assert len(COMMANDS) > 5


@pytest.mark.parametrize("line", COMMANDS)
def test_theCommands(line: str) -> None:
    """
    Each command has the options that are given.
    """
    words = line.split()
    pages = ("-".join(words[:count]) for count in (3, 2))
    page = next(
        path.read_text() for name in pages if (path := ROOT / f"docs/man/{name}.1").is_file()
    )
    for option in (one for one in words if one.startswith("--")):
        assert option.replace("-", r"\-") in page


def test_theCertificate(tmp_path: Path) -> None:
    """
    The commands make a certificate that is one for TLS servers, for the name and by the authority
    alone, and that C{[sstp]} takes with its key.
    """
    make, look = blocks("openssl")
    for line in (*make.splitlines(), *look.splitlines()):
        subprocess.run(line, shell=True, cwd=tmp_path, check=True, capture_output=True)
    verify = next(line for line in look.splitlines() if line.startswith("openssl verify"))
    assert "-purpose sslserver" in verify
    for wrong in (
        verify.replace("vpn.example.org", "other.example.org"),
        verify.replace("sslserver", "sslclient"),
        verify.replace("-CAfile ca.crt", "-CAfile vpn.crt"),
    ):
        assert subprocess.run(wrong, shell=True, cwd=tmp_path, capture_output=True).returncode
    certificate = loaded(str(tmp_path / "vpn.pem"), "", True)
    assert certificate.der == ssl.PEM_cert_to_DER_cert((tmp_path / "vpn.crt").read_text())


def test_itIsLinked() -> None:
    assert "](docs/moving.md)" in (ROOT / "README.md").read_text()
