"""
Tests that what C{docs/moving.md} says is possible.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pptpgw.config.configuration import parse

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


def test_itIsLinked() -> None:
    assert "](docs/moving.md)" in (ROOT / "README.md").read_text()
