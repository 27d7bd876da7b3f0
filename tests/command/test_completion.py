"""
Tests of completion: by real shells where they are installed, and of names from the store.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from twisted.internet import reactor

from pptpgw.store.store import Store

COMMAND = (sys.executable, "-m", "pptpgw.command")
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A store with users and a profile, which no test changes.
    """
    path = tmp_path_factory.mktemp("store") / "accounts.sqlite"
    url = ("--store", f"sqlite:{path}")
    subprocess.run(
        [*COMMAND, "import", "-", *url],
        input="alice * x\nalbert * x\nbob * x\n'al bert' * x\n",
        text=True,
        check=True,
        capture_output=True,
        timeout=60,
    )
    subprocess.run(
        [*COMMAND, "profile", "add", "guests", *url], check=True, capture_output=True, timeout=60
    )
    return path


def completed(*words: str) -> list[str]:
    """
    Return what the last of C{words} may be completed to.
    """
    variables = {
        "_PPTPGW_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("pptpgw", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        COMMAND, env=os.environ | variables, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


class TestWords:
    def test_commands(self) -> None:
        assert completed("us") == ["user", "usage"]
        assert completed("user", "li") == ["list"]

    def test_options(self) -> None:
        assert completed("user", "add", "--session-") == ["--session-timeout"]

    def test_columns(self) -> None:
        assert completed("user", "list", "--columns", "name,sta") == ["name,state"]
        assert completed("user", "list", "--sort", "na") == ["name"]
        assert completed("usage", "--match", "us") == ["user="]

    def test_shells(self) -> None:
        assert completed("completion", "") == ["bash", "zsh", "fish"]


class TestNames:
    def test_users(self, store: Path) -> None:
        url = f"sqlite:{store}"
        for command in ("show", "set", "disable", "enable", "remove"):
            words = ("user", command, "--store", url)
            assert completed(*words, "al") == ["al bert", "albert", "alice"]
        assert completed("usage", "--store", url, "b") == ["bob"]

    def test_profiles(self, store: Path) -> None:
        url = f"sqlite:{store}"
        assert completed("user", "set", "bob", "--store", url, "--profile", "g") == ["guests"]
        assert completed("profile", "remove", "--store", url, "") == ["guests"]

    async def test_operators(self, tmp_path: Path) -> None:
        url = f"sqlite:{tmp_path}/operators.sqlite"
        store = Store(reactor, url, str(tmp_path / "key"), create=True)
        try:
            await store.addOperator("ann", "viewer", "")
        finally:
            store.close()
        for words in (("set",), ("remove",), ("token", "add")):
            assert completed("operator", *words, "--store", url, "a") == ["ann"]

    def test_theConfiguration(self, store: Path, tmp_path: Path) -> None:
        path = tmp_path / "pptpgw.toml"
        path.write_text(f'[accounts]\nstore = "sqlite:{store}"\n')
        assert completed("user", "show", "--config", str(path), "bo") == ["bob"]

    def test_noStore(self, tmp_path: Path) -> None:
        """
        There is nothing to complete, and nobody is told.
        """
        for url in (f"sqlite:{tmp_path}/none", "postgresql://127.0.0.1:1/x", "nonsense"):
            assert completed("user", "show", "--store", url, "") == []
        path = tmp_path / "broken.toml"
        path.write_text("[")
        assert completed("user", "show", "--config", str(path), "") == []

    def test_aStoreThatIsLocked(self, store: Path) -> None:
        """
        Names come all the same while somebody writes, and at once.
        """
        with sqlite3.connect(store) as other:
            other.execute("BEGIN IMMEDIATE")
            begin = time.monotonic()
            assert completed("user", "show", "--store", f"sqlite:{store}", "bo") == ["bob"]
            assert time.monotonic() - begin < 30
            other.rollback()


SCRIPTS = {
    "bash": (
        'eval "$(pptpgw completion bash)"; COMP_WORDS=(pptpgw user li); COMP_CWORD=2; '
        "_pptpgw_completion pptpgw li user; echo ${COMPREPLY[@]}"
    ),
    "zsh": 'autoload -Uz compinit; compinit -u; eval "$(pptpgw completion zsh)"; '
    "echo ${_comps[pptpgw]:+list}",
    "fish": "pptpgw completion fish | source; complete -C 'pptpgw user li' | cut -f1",
}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_script(shell: str) -> None:
    """
    The shell takes the script, and completes by it.
    """
    script = subprocess.run(
        [*COMMAND, "completion", shell], capture_output=True, text=True, timeout=60, check=True
    )
    assert "_PPTPGW_COMPLETE" in script.stdout and script.stderr == ""
    program = shutil.which(shell)
    if program is None:
        return
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        [program, "-c", SCRIPTS[shell]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.strip(), done.returncode) == ("list", 0), done.stderr
