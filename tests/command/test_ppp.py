"""
Tests for the command C{pptpgw ppp}: its arguments and its errors. The lab runs it over lines.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chapsecrets import secretsIn

PPTPGW = Path(sys.executable).parent / "pptpgw"


def ppp(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PPTPGW), "ppp", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def secrets(tmp_path: Path) -> list[str]:
    return ["--auth", f"chap-secrets:{secretsIn(tmp_path, 'alice * swordfish *').path}"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "nobody could log in"),
        (["tcp:2000", "tcp:2001", "--dial"], "at most one ENDPOINT, not 2"),
        (["--pty", "tcp:2000", "--dial"], "either --pty or an endpoint"),
        (["--dial", "--user", "alice"], "go together"),
        (["--dial", "--chat", "'' ATZ"], "--chat is for an endpoint"),
        (["--dial", "--address", "10.0.0.256"], "--address 10.0.0.256: "),
        (["--dial", "--address", "10.0.0.1:there"], "--address 10.0.0.1:there: "),
        (["--user", "alice"], "--user is for --dial"),
        (["--address", "10.0.0.1"], "--address is for --dial"),
        (["tcp:2000", "--chat", "'' ATZ"], "--chat is for --dial"),
        (["--speed", "9600"], "--speed"),
    ],
)
def test_aWrongCommandLine(words: list[str], fault: str) -> None:
    done = ppp(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("pptpgw: ")
    assert fault in done.stderr
    assert not done.stdout


def test_passwordsThatOthersMayRead(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("swordfish\n")
    path.chmod(0o644)
    done = ppp("--dial", "--user", "alice", "--password-file", str(path))
    assert done.returncode == 1
    assert f"chmod 600 {path}" in done.stderr


def test_aChatScriptThatIsNone() -> None:
    done = ppp("--dial", "--chat", "ABORT", "tcp:192.0.2.1:1")
    assert (done.returncode, done.stderr) == (
        1,
        "pptpgw: the chat script has nothing behind ABORT\n",
    )


def test_aConfigurationThatIsFine(tmp_path: Path, secrets: list[str]) -> None:
    path = tmp_path / "pptpgw.toml"
    path.write_text("[hdlc]\naccm = 0x000a0000\n")
    done = ppp("--check-config", "--config", str(path), *secrets)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: fine\n", "")


def test_checkersOfTheConfigurationWillDo(tmp_path: Path, secrets: list[str]) -> None:
    path = tmp_path / "pptpgw.toml"
    path.write_text(f'[auth]\ncheckers = ["{secrets[1]}"]\n')
    assert ppp("--check-config", "--config", str(path)).returncode == 0


def test_withoutPrivileges(secrets: list[str]) -> None:
    """
    The error names the missing privilege and why it is needed.
    """
    if os.geteuid():
        done = ppp(*secrets)
    else:
        done = subprocess.run(
            ["setpriv", "--bounding-set=-all", "--inh-caps=-all", str(PPTPGW), "ppp", *secrets],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert "By that interface IP packets of the line reach the kernel" in done.stderr
    assert not done.stdout
