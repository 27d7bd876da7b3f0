"""
Tests for L{pptpgw.config.secrecy}.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pptpgw.config.secrecy import readSecret
from pptpgw.error import ConfigurationError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(0o600)
    return path


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_thePasswordOfAFile(path: Path, end: bytes) -> None:
    """
    Line breaks at the end of the file aren't part of the password, and spaces are.
    """
    path.write_bytes(b" open\nsesame " + end)
    assert readSecret(str(path)) == b" open\nsesame "


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602])
def test_aFileOfOthers(path: Path, mode: int) -> None:
    path.write_bytes(b"open sesame")
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {path}"):
        readSecret(str(path))


def test_anEmptyPassword(path: Path) -> None:
    path.write_bytes(b"\r\n")
    with pytest.raises(ConfigurationError, match=f"^{path}: there is nothing in it$"):
        readSecret(str(path))


def test_aFileThatIsNone(path: Path) -> None:
    """
    A missing file and a folder can't be read.
    """
    with pytest.raises(ConfigurationError, match=f"^{path}.other: No such file or directory$"):
        readSecret(f"{path}.other")
    path.parent.chmod(0o700)
    with pytest.raises(ConfigurationError, match=f"^{path.parent}: Is a directory$"):
        readSecret(str(path.parent))
