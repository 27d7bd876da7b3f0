"""
Tests for L{pptpgw.command.lockouts}, from the gateway's ledger through a real store to the command
line.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from pptpgw.command.main import run
from pptpgw.command.output import counted, moment
from pptpgw.ports.queue import Queue
from pptpgw.sessions.ledger import Ledger
from pptpgw.store.store import Store
from tests.command.invocation import Command
from tests.command.test_live import Live, live
from tests.ports.running import running


def keep(url: str, *lockouts: tuple[str, str, int, float]) -> None:
    """
    Tell a ledger about these lockouts, and wait until it has written them.
    """

    def fill(reactor: Any) -> Deferred[Any]:
        store = Store(reactor, url, "", create=True)
        ledger = Ledger(reactor, store, Queue(reactor, "spool", "", 1 << 20), "gate", 600)
        for lockout in lockouts:
            ledger.lockedOut(*lockout)

        async def written() -> None:
            while len(await store.lockedOut(0)) < len(lockouts):
                pass
            store.close()

        return Deferred.fromCoroutine(written())

    running(fill)


def lines(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """
    The lines that the command prints.
    """
    status = running(lambda reactor: Deferred.fromCoroutine(run(reactor, ["lockouts", *words])))
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out.splitlines()


def test_whoIsLockedOut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The users and sources that are still locked out are listed, and a name is escaped for the
    terminal.
    """
    url = f"sqlite:{tmp_path}/store.sqlite"
    later = time() + 300
    keep(
        url,
        ("user", "alice", 10, later),
        ("user", "\x1b[2J", 10, later),
        ("user", "bob", 10, time() - 1),
        ("source", "192.0.2.7", 100, later),
    )
    head, source, odd, alice = lines(capsys, "--store", url)
    assert head.split() == ["KIND", "SUBJECT", "FAILURES", "UNTIL", "ENFORCED"]
    until = moment(later).split()
    assert source.split() == ["source", "192.0.2.7", "100", *until, "-"]
    assert odd.split() == ["user", r"'\x1b[2J'", "10", *until, "-"]
    assert alice.split() == ["user", "alice", "10", *until, "-"]


def test_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:{tmp_path}/store.sqlite"
    keep(url, ("user", "alice", 10, time() - 1))
    assert lines(capsys, "--store", url) == ["Nobody is locked out."]


def test_theStoreOfTheAudit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Lockouts are in the store in which the gateway's audit has its sessions.
    """
    url = f"sqlite:{tmp_path}/store.sqlite"
    keep(url, ("user", "alice", 10, time() + 300))
    configuration = tmp_path / "pptpgw.toml"
    endpoint = f"unix:{tmp_path}/management.sock"
    configuration.write_text(
        f'[audit]\nstore = "{url}"\n[management]\nendpoints = ["{endpoint}"]\n'
    )
    _, alice = lines(capsys, "--config", str(configuration))
    assert "alice" in alice


class TestTheRunningGateway:
    """
    Tests with a gateway whose users carol and dave, and whose source 192.0.2.7 are locked out.
    """

    @asynccontextmanager
    async def locked(self, configuration: Path) -> AsyncIterator[Live]:
        async with live(configuration, b"alice") as gateway:
            tables = gateway.world.lockouts._tables
            for kind, subject in (("user", "carol"), ("user", "dave/x"), ("source", "192.0.2.7")):
                while not tables[kind].locked(subject):
                    tables[kind].failed(subject)
            yield gateway

    def left(self, gateway: Live) -> list[str]:
        return sorted(one[1] for one in gateway.world.lockouts)

    async def test_user(self, pptpgw: Command, configuration: Path) -> None:
        """
        Showing a user says that it is locked out.
        """
        await pptpgw("user", "add", "carol", "--generate")
        await pptpgw("user", "add", "erin", "--generate")
        async with self.locked(configuration):
            shown = (await pptpgw("user", "show", "carol")).out
            assert re.search(r"^locked out +until 20.* UTC, after [0-9]+ failures$", shown, re.M)
            said = json.loads((await pptpgw("user", "show", "carol", "--json")).out)
            assert said["locked_out_until"].startswith("20")
            said = json.loads((await pptpgw("user", "show", "erin", "--json")).out)
            assert said["locked_out_until"] is None

    async def test_list(self, pptpgw: Command, configuration: Path) -> None:
        """
        The gateway is asked, unless a store is named; the options need no command.
        """
        async with self.locked(configuration):
            found = json.loads((await pptpgw("lockouts", "--json")).out)
            done = await pptpgw("lockouts", "list", "--sort=subject")
            stored = await pptpgw("lockouts", "--store", f"sqlite:{configuration.parent}/none")
        assert {(one["kind"], one["subject"]) for one in found} == {
            *(("user", "carol"), ("user", "dave/x"), ("source", "192.0.2.7"))
        }
        assert all(one["enforced"] is True and one["until"].endswith("Z") for one in found)
        rows = [row.split() for row in done.out.splitlines()]
        assert [row[1] for row in rows[1:]] == ["192.0.2.7", "carol", "dave/x"]
        assert rows[1][-1] == "yes"
        assert stored.status == 1

    @pytest.mark.parametrize(
        ("words", "left"),
        [
            (["carol"], ["192.0.2.7", "dave/x"]),
            (["user", "HOME\\Carol"], ["192.0.2.7", "dave/x"]),
            (["dave/x"], ["192.0.2.7", "carol"]),
            (["source", "192.0.2.7"], ["carol", "dave/x"]),
            (["--all"], []),
        ],
    )
    async def test_clear(
        self, pptpgw: Command, configuration: Path, words: list[str], left: list[str]
    ) -> None:
        async with self.locked(configuration) as gateway:
            done = await pptpgw("lockouts", "clear", *words)
            assert self.left(gateway) == left
        assert done.status == 0
        cleared = counted(3 - len(left), "lockout is", "lockouts are")
        assert done.out.startswith(f"{cleared} cleared.\n")

    @pytest.mark.parametrize(
        ("words", "status", "error"),
        [
            (["erin"], 1, "user or source erin isn't locked out"),
            (["source", "carol"], 1, "source carol isn't locked out"),
            (["host", "carol"], 2, "KIND is user or source, not host"),
            ([], 2, "name one [KIND] SUBJECT, or --all"),
            (["carol", "--all"], 2, "name one [KIND] SUBJECT, or --all"),
            (["user", "carol", "dave"], 2, "name one [KIND] SUBJECT, or --all"),
        ],
    )
    async def test_nothingIsCleared(
        self,
        pptpgw: Command,
        configuration: Path,
        words: list[str],
        status: int,
        error: str,
    ) -> None:
        async with self.locked(configuration) as gateway:
            done = await pptpgw("lockouts", "clear", *words)
            assert len(self.left(gateway)) == 3
        assert (done.status, done.error) == (status, f"pptpgw: {error}\n")

    async def test_anotherCommand(self, pptpgw: Command, configuration: Path) -> None:
        done = await pptpgw("lockouts", "claer")
        assert done.status == 2 and "did you mean clear?" in done.error
