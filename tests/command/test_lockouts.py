"""
Tests for L{pptpgw.command.lockouts}, from the gateway's ledger through a real store to the command
line.
"""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from pptpgw.command.main import run
from pptpgw.command.output import moment
from pptpgw.ports.queue import Queue
from pptpgw.sessions.ledger import Ledger
from pptpgw.store.store import Store
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
    assert head.split() == ["KIND", "SUBJECT", "FAILURES", "UNTIL"]
    until = moment(later).split()
    assert source.split() == ["source", "192.0.2.7", "100", *until]
    assert odd.split() == ["user", r"'\x1b[2J'", "10", *until]
    assert alice.split() == ["user", "alice", "10", *until]


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
    configuration.write_text(f'[audit]\nstore = "{url}"\n')
    _, alice = lines(capsys, "--config", str(configuration))
    assert "alice" in alice
