"""
Tests of the command line as a whole: help, mistakes, exit statuses.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from twisted.internet import reactor

from pptpgw import __version__
from pptpgw.command.main import commands, run
from pptpgw.command.status import WORDS
from tests.command.invocation import Command

COMMAND = (sys.executable, "-m", "pptpgw.command")


def paths(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """
    Return the words of every command, and of every group.
    """
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from paths(found, (*path, name))
        else:
            yield (*path, name)


EVERY = list(paths(commands))


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("path", EVERY, ids=" ".join)
async def test_help(path: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Each command tells its usage, its options and the exit statuses.
    """
    assert await run(reactor, [*path, option]) == 0
    out, error = capsys.readouterr()
    assert out.startswith(" ".join(("Usage: pptpgw", *path)))
    assert error == ""
    for status in WORDS:
        assert f"\n  {status} " in out


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
async def test_whatAListSaysIsWhatTheHelpSays(path: tuple[str, ...]) -> None:
    """
    The table of a group's commands, which imports none of them, has the words of each.
    """
    if not path:
        return
    group: click.Command = commands
    for name in path:
        assert isinstance(group, click.Group)
        found = group.get_command(click.Context(group), name)
        assert found is not None
        assert (found.name, found.short_help) == (name, group.members[name][1])  # type: ignore[attr-defined]
        group = found


async def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(reactor, ["--version"]) == 0
    assert capsys.readouterr().out == f"pptpgw {__version__}\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["usr", "list"], "pptpgw has no command 'usr': did you mean user?"),
        (["user", "lst"], "pptpgw user has no command 'lst': did you mean list?"),
        (["user", "xyzzy"], "there are add, set, list, show, disable, enable, remove"),
        (["user", "list", "--colums", "name"], "--columns"),
        (["user", "list", "--columns", "nme"], "there is no column 'nme': did you mean name?"),
        (["user"], "a command is missing; --help lists them"),
        (["user", "list", "--match", "name"], "must be COLUMN=REGEX"),
        (["user", "list", "--match", "name=("], "--match name=("),
        (["user", "list", "--sort", "-weight"], "there is no column 'weight'"),
        (["completion", "tcsh"], "'bash'"),
    ],
)
async def test_mistakes(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A line says what is wrong, and what was perhaps meant.
    """
    assert await run(reactor, words) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.startswith("pptpgw: ") and error.count("\n") == 1
    assert hint in error


async def test_anArgumentTooManyIsNotShown(pptpgw: Command) -> None:
    """
    It may be a password.
    """
    for words in (("user", "add", "bob", "s3cret"), ("profile", "remove", "x", "s3cret")):
        done = await pptpgw(*words)
        assert done.status == 2 and "s3cret" not in done.error


def test_lateImports() -> None:
    """
    What prints no table for a terminal doesn't wait for rich, and a command without a configuration
    doesn't wait for the networks.
    """
    code = (
        "import sys\nfrom pptpgw.command.main import parse\n"
        "parse(['user', 'list'])\n"
        "print([one for one in ('rich', 'twisted.internet.reactor', 'pptpgw.service', "
        "'twisted.web.client', 'pptpgw.networks.ipv4.plugin', 'pptpgw.config.configuration') "
        "if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
