"""
Tests of the manual pages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pptpgw.command.main import commands
from pptpgw.command.manual import pages
from tests.command.test_parsing import EVERY

PAGES = dict(pages())


def options(path: tuple[str, ...]) -> list[str]:
    """
    Return the long options of a command.
    """
    one: click.Command = commands
    for name in path:
        assert isinstance(one, click.Group)
        found = one.get_command(click.Context(one), name)
        assert found is not None
        one = found
    return [
        option
        for parameter in one.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    ]


def test_eachCommandHasItsPage() -> None:
    assert set(PAGES) == {"-".join(("pptpgw", *path)) + ".1" for path in EVERY}


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_manRendersIt(path: tuple[str, ...], tmp_path: Path) -> None:
    """
    C{man} has no complaint, and shows each option and the exit statuses.
    """
    if shutil.which("man") is None:
        pytest.skip("needs man")
    file = tmp_path / ("-".join(("pptpgw", *path)) + ".1")
    file.write_text(PAGES[file.name])
    done = subprocess.run(
        ["man", "--warnings", "-l", str(file)],
        env={
            "PATH": os.environ["PATH"],
            "MANWIDTH": "100",
            "LANG": "C.UTF-8",
            "MAN_KEEP_STDERR": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.sub(".\b", "", done.stdout)
    for option in (*options(path), "EXIT STATUS", "128+N"):
        assert option in shown


def test_thePagesThatAreInstalled() -> None:
    """
    They have the words of the commands; C{make docs} writes them.
    """
    folder = Path(__file__).parents[2] / "docs" / "man"
    assert {one.name: one.read_text() for one in folder.iterdir()} == PAGES


def test_theCommandThatWritesThem(tmp_path: Path) -> None:
    """
    A page of a command that is gone is removed.
    """
    folder = tmp_path / "man" / "man1"
    folder.mkdir(parents=True)
    (folder / "pptpgw-gone.1").touch()
    subprocess.run(
        [sys.executable, "-m", "pptpgw.command.manual", str(folder)], check=True, timeout=60
    )
    assert {one.name: one.read_text() for one in folder.iterdir()} == PAGES
