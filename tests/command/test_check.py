"""
Tests of C{pptpgw check} and of the mistakes of C{pptpgw run}.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chapsecrets import secretsIn

COMMAND = (sys.executable, "-m", "pptpgw.command")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60)


@pytest.fixture
def auth(tmp_path: Path) -> list[str]:
    """
    An option that names a checker.
    """
    return ["--auth", f"chap-secrets:{secretsIn(tmp_path, 'alice * swordfish *').path}"]


class TestCheck:
    def test_fine(self, tmp_path: Path, auth: list[str]) -> None:
        path = tmp_path / "pptpgw.toml"
        path.write_text("[link]\nmru = 1300\n")
        done = run("check", *auth, "--config", str(path))
        assert (done.returncode, done.stderr) == (0, "")
        verdict, carrier = done.stdout.splitlines()
        assert verdict == f"{path}: fine"
        assert carrier.startswith("packets would pass by ")

    def test_errors(self, tmp_path: Path, auth: list[str]) -> None:
        """
        Everything that is wrong is told, of plugins too, and nothing is opened.
        """
        path = tmp_path / "pptpgw.toml"
        path.write_text("[pptp]\nport = 70000\n[ipv4]\npol = 3\n[lnk]\n")
        done = run("check", *auth, "-c", str(path))
        assert done.returncode == 1
        assert done.stdout == f"{path}: 3 errors, 0 warnings\n"
        for line in ("[pptp] port = 70000: must be", "unknown key pol in [ipv4]", "section [lnk]"):
            assert line in done.stderr
        assert all(line.startswith("error: ") for line in done.stderr.splitlines())

    def test_whatAStartWouldLack(self, tmp_path: Path, auth: list[str]) -> None:
        path = tmp_path / "pptpgw.toml"
        path.write_text('[listen]\naddresses = ["198.51.100.77"]\n')
        done = run("check", *auth, "-c", str(path), "--json")
        assert done.returncode == 1
        said = json.loads(done.stdout)
        assert said["file"] == str(path) and "198.51.100.77" in said["errors"][0]

    def test_warnings(self, tmp_path: Path, auth: list[str]) -> None:
        """
        What has no effect is no reason to fail. A section that sets nothing isn't told of.
        """
        path = tmp_path / "pptpgw.toml"
        path.write_text("[hdlc]\naccm = 1\n[bridge]\n")
        done = run("check", *auth, "-c", str(path))
        assert done.returncode == 0
        assert done.stdout.startswith(f"{path}: 0 errors, 1 warning\n")
        assert done.stderr == (
            "warning: [hdlc] stands in the configuration, but [listen] tunnels doesn't name hdlc\n"
        )

    def test_nobodyCouldLogIn(self) -> None:
        done = run("check")
        assert done.returncode == 1
        assert done.stdout.startswith("the default configuration: 1 error, 0 warnings\n")
        assert done.stderr.startswith("error: nobody could log in")

    def test_helpOfThePlugins(self) -> None:
        """
        What C{twistd pptpgw} tells of plugins this command tells too.
        """
        assert "mschapv2" in run("check", "--help-plugins").stdout
        assert "Argument: " in run("check", "--help-auth-type", "chap-secrets").stdout


@pytest.mark.parametrize(
    ("words", "status", "fault"),
    [
        ([], 2, "nobody could log in"),
        (["--auth", "nosuch:x"], 2, "nosuch"),
        (["--network", "ipv5"], 2, "ipv5"),
        (["--config", "/nonexistent/file"], 1, "/nonexistent/file"),
        (["word"], 2, "unexpected extra argument"),
    ],
)
def test_run(words: list[str], status: int, fault: str) -> None:
    """
    A mistake is a line, without the help of C{twistd}.
    """
    done = run("run", *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("pptpgw: ") and fault in done.stderr
    assert done.stderr.count("\n") == 1
