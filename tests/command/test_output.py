"""
Tests of tables, JSON, and the choice of rows and columns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pptpgw.command.output import MOST_COLOURED, Column, Listing
from tests.command.invocation import Command
from tests.terminal import Terminal

COMMAND = (sys.executable, "-m", "pptpgw.command")


async def filled(pptpgw: Command) -> None:
    """
    Make a store that has three users.
    """
    await pptpgw("profile", "add", "staff", "--mtu", "1280")
    await pptpgw("user", "add", "bob", "--generate", "--send-rate", "2M", "--profile", "staff")
    await pptpgw("user", "add", "ann", "--generate", "--sessions", "1")
    await pptpgw("user", "add", "\x1b[2J", "--generate")
    await pptpgw("user", "disable", "ann")


class TestLists:
    async def test_json(self, pptpgw: Command) -> None:
        """
        Fields are in snake_case, quantities are numbers, and times are ISO 8601.
        """
        await filled(pptpgw)
        odd, ann, bob = json.loads((await pptpgw("user", "list", "--json")).out)
        assert (odd["name"], ann["name"]) == ("\x1b[2J", "ann")
        assert ann["state"] == "disabled" and ann["attributes"] == {"sessions": 1}
        assert bob["attributes"] == {"send_rate": 2_000_000}
        assert (bob["profile"], ann["profile"]) == ("staff", None)
        assert bob["created"].startswith("20") and bob["created"].endswith("Z")
        assert bob["expires"] is None and bob["recoverable"] is False

    async def test_jsonOfNothing(self, pptpgw: Command) -> None:
        await pptpgw("profile", "add", "staff")
        assert (await pptpgw("user", "list", "--json")).out == "[]\n"

    async def test_noControlCharacterIsPrinted(self, pptpgw: Command) -> None:
        await filled(pptpgw)
        for more in ((), ("--json",)):
            out = (await pptpgw("user", "list", *more)).out
            assert out.replace("\n", "").isprintable()

    async def test_columns(self, pptpgw: Command) -> None:
        await filled(pptpgw)
        done = await pptpgw("user", "list", "--columns", "state,name", "--match", "name=^bob$")
        assert done.out.splitlines() == ["STATE    NAME", "enabled  bob"]
        done = await pptpgw("user", "list", "--columns=name", "--match=name=^b", "--json")
        assert json.loads(done.out) == [{"name": "bob"}]

    async def test_sort(self, pptpgw: Command) -> None:
        await filled(pptpgw)
        for order, names in (("name", ["ann", "bob"]), ("-name", ["bob", "ann"])):
            done = await pptpgw(
                "user", "list", "--columns=name", "--match=name=^[ab]", "--sort", order
            )
            assert done.out.split()[1:] == names

    async def test_numbersAreSortedAsNumbers(self, pptpgw: Command) -> None:
        await filled(pptpgw)
        for number in range(10):
            await pptpgw("user", "set", "ann", "--profile", "staff")
            await pptpgw("profile", "add", f"p{number}")
        done = await pptpgw("profile", "list", "--sort=-users", "--columns=name,users")
        assert done.out.splitlines()[1] == "staff  2"

    async def test_matches(self, pptpgw: Command) -> None:
        """
        Several must all match, and rows that don't are counted if none is left.
        """
        await filled(pptpgw)
        words = ("user", "list", "--match", "state=disabled", "--match")
        assert "ann" in (await pptpgw(*words, "name=n")).out
        assert (await pptpgw(*words, "name=b")).out == "None of the 3 matches.\n"


class TestActions:
    async def test_json(self, pptpgw: Command) -> None:
        """
        What a command has done, and a password that it made, are fields.
        """
        made = json.loads((await pptpgw("user", "add", "bob", "--generate", "--json")).out)
        assert (made["user"], made["done"]) == ("bob", "added")
        assert len(made["password"]) >= 16
        for what in ("disable", "enable", "remove"):
            done = await pptpgw("user", what, "bob", "--json")
            said = json.loads(done.out)
            # Nobody knows of sessions while no gateway runs.
            assert said.pop("sessions", None) is None
            assert said == {"user": "bob", "done": f"{what.rstrip('e')}ed"}

    async def test_oneUser(self, pptpgw: Command) -> None:
        await pptpgw("profile", "add", "staff", "--mtu", "1280")
        await pptpgw("user", "add", "bob", "--generate", "--profile", "staff", "--pool", "default")
        shown = json.loads((await pptpgw("user", "show", "bob", "--json")).out)
        assert shown["attributes"] == {"pool": "default"}
        assert shown["inherited"] == {"mtu": 1280}

    async def test_quantities(self, pptpgw: Command) -> None:
        """
        Attributes are kept in the smallest unit, and a wrong one names its option.
        """
        words = "--session-timeout 1h30m --volume 10GiB --receive-rate 512k --interim 5m --mtu 1400"
        await pptpgw("user", "add", "bob", "--generate", *words.split())
        shown = (await pptpgw("user", "show", "bob")).out
        for line in (
            "session-timeout  5400",
            f"volume           {10 << 30}",
            "interim          300",
        ):
            assert f"--{line}\n" in shown
        for words, complaint in (
            ("--volume 10Gbit", "--volume 10Gbit: must be octets, or 500M"),
            ("--idle-timeout 1y", "--idle-timeout 1y: must be seconds, or 90s"),
            ("--send-rate 2", "--send-rate 2: must be a whole number from 1000"),
        ):
            done = await pptpgw("user", "set", "bob", *words.split())
            assert done.status == 1 and complaint in done.error


@pytest.mark.parametrize("more", [0, 1])
def test_manyRowsArePlain(
    more: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A table with very many rows is plain text in a terminal, too, since colours take too long.
    """
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    monkeypatch.setattr("pptpgw.command.output._coloured", lambda *_: "coloured")
    column: Column[int] = Column("number", lambda row: row)
    Listing([column], False).list(range(MOST_COLOURED + more), "none")
    assert (capsys.readouterr().out == "coloured\n") is (more == 0)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """
    A configuration whose store has 200 users.
    """
    path = tmp_path / "pptpgw.toml"
    path.write_text(f'[accounts]\nstore = "sqlite:{tmp_path}/accounts.sqlite"\n')
    secrets = "".join(f"user{number:03} * x 10.88.0.{number}\n" for number in range(200))
    command = [*COMMAND, "import", "-", "--config", str(path)]
    subprocess.run(command, input=secrets, text=True, check=True, capture_output=True, timeout=60)
    return path


class TestTerminal:
    def shown(self, many: Path, words: tuple[str, ...], **variables: str) -> str:
        """
        Run C{pptpgw user list} in a terminal, and return what that shows.
        """
        terminal = Terminal()
        command = (*COMMAND, "user", "list", "--config", str(many), *words)
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "LINES": "24"} | variables
        try:
            assert terminal.end(terminal.run(*command, env=environment)) == 0
        finally:
            terminal.close()
        return terminal.text

    def test_coloursAndWidth(self, many: Path) -> None:
        words = ("--match", "name=user00", "--columns", "name,attributes,created")
        text = self.shown(many, words, COLUMNS="60")
        assert "\x1b[1mNAME" in text
        assert all(len(line) < 100 for line in text.splitlines())

    def test_noColours(self, many: Path) -> None:
        words = ("--match", "name=user00")
        assert "\x1b[3" not in self.shown(many, words, NO_COLOR="1")

    def test_aPager(self, many: Path) -> None:
        """
        What is longer than the terminal goes through PAGER; what is shorter doesn't.
        """
        pager = "sed s,^,paged:,"
        assert "paged:user199" in self.shown(many, (), PAGER=pager)
        assert "paged:" not in self.shown(many, ("--match", "name=00"), PAGER=pager)

    def test_aPagerThatIsLeft(self, many: Path) -> None:
        """
        A pager that ends before it has read everything doesn't make the command fail.
        """
        words = ("--columns", ",".join(["name"] * 50))
        assert "user199" not in self.shown(many, words, PAGER="true", COLUMNS="1000")

    def test_jsonIsNeverColoured(self, many: Path) -> None:
        assert "\x1b" not in self.shown(many, ("--json",), PAGER="cat")

    def test_head(self, many: Path) -> None:
        """
        A reader that ends early ends the command silently.
        """
        command = f"{' '.join(COMMAND)} user list --config {many} | head -n 2"
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=60, check=True
        )
        assert (done.stdout.count("\n"), done.stderr) == (2, "")
