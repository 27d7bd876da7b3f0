"""
Tests for C{pptpgw backup}, and for what a user is told who can't open a store.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "pptpgw.command")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """
    Run C{pptpgw WORDS} with the umask of root on Debian.
    """
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=60, umask=0o022
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """
    A store with the user alice.
    """
    path = tmp_path / "store" / "accounts.sqlite"
    done = run("user", "add", "alice", "--generate", "--store", f"sqlite:{path}")
    assert done.returncode == 0, done.stderr
    return path


class TestBackup:
    def test_itIsForItsOwnerAlone(self, store: Path, tmp_path: Path) -> None:
        """
        A backup is a complete store that only its owner can read, made while the original is
        written to.
        """
        copy = tmp_path / "copy.sqlite"
        copy.write_text("an older one")
        copy.chmod(0o644)
        with closing(sqlite3.connect(store)) as other:
            other.execute("BEGIN IMMEDIATE")
            done = run("backup", "--force", str(copy), "--store", f"sqlite:{store}")
        assert (done.returncode, done.stdout) == (0, f"The accounts are copied to {copy}.\n")
        assert copy.stat().st_mode & 0o777 == 0o600
        assert sorted(one.name for one in tmp_path.iterdir()) == ["copy.sqlite", "store"]
        assert "alice" in run("user", "list", "--store", f"sqlite:{copy}").stdout

    def test_aFolderThatIsNotThere(self, store: Path, tmp_path: Path) -> None:
        done = run("backup", f"{tmp_path}/none/copy", "--store", f"sqlite:{store}")
        assert done.returncode == 1
        assert done.stderr == f"pptpgw: {tmp_path}/none/copy: No such file or directory\n"

    def test_PostgreSQLHasItsOwn(self, tmp_path: Path) -> None:
        done = run("backup", f"{tmp_path}/copy", "--store", "postgresql:///accounts")
        assert (done.returncode, done.stderr) == (
            1,
            "pptpgw: postgresql: only SQLite stores can be copied; use pg_dump\n",
        )


@pytest.fixture
def reachable(store: Path) -> Iterator[Path]:
    """
    Copy the store to where every user gets, so that only the store's own permissions count. Every
    run of pytest closes its folders to other users.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user")
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield shutil.copytree(store.parent, Path(folder) / "store") / store.name


@pytest.mark.parametrize("folder", ["its own", "root's"])
@pytest.mark.parametrize("program", ["pptpgw", "twistd"])
def test_theStoreOfAnotherUser(reachable: Path, folder: str, program: str) -> None:
    """
    The command and the gateway of another user can't use a store of root. Both say at once whose it
    is and what to do.
    """
    if folder == "its own":
        reachable.parent.chmod(0o777)
    else:
        assert reachable.parent.stat().st_mode & 0o777 == 0o700
    url = f"sqlite:{reachable}"
    commands = {
        "pptpgw": ["-m", "pptpgw.command", "user", "list", "--store", url],
        "twistd": [
            str(Path(sys.executable).parent / "twistd"),
            *("--pidfile=", "-n", "pptpgw", "--auth", f"accounts:{url}", "--check-config"),
        ],
    }
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, *commands[program]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert f"{reachable}: this user can't open it" in said
    assert "its folder to root. Give both to the user that the gateway runs as (chown -R " in said
    assert "runuser -u USER -- pptpgw" in said
