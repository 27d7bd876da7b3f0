"""
Tests of L{pptpgw.command.lockouts}: from the gateway's ledger to the command line, by a real store.
"""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from pptpgw.command.main import run
from pptpgw.ports.queue import Queue
from pptpgw.sessions.ledger import Ledger
from pptpgw.store.store import Store
from tests.ports.running import running


def keep(url: str, *lockouts: tuple[str, str, int, float]) -> None:
    """
    Have a ledger told of these, and wait until it has written.
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
    What the command prints.
    """
    status = running(lambda reactor: Deferred.fromCoroutine(run(reactor, ["lockouts", *words])))
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out.splitlines()


def test_whoIsLockedOut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Users and sources, those only whose time isn't over; a name can't play tricks with the terminal.
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
    source, odd, alice = lines(capsys, "--store", url)
    assert source.split()[:4] == ["source", "192.0.2.7", "100", "failures"]
    assert odd.split()[:3] == ["user", r"'\x1b[2J'", "10"]
    assert alice.split()[:2] == ["user", "alice"] and alice.split()[4] == "until"


def test_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:{tmp_path}/store.sqlite"
    keep(url, ("user", "alice", 10, time() - 1))
    assert lines(capsys, "--store", url) == ["Nobody is locked out."]


def test_theStoreOfTheAudit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Where the gateway's sessions are, its lockouts are as well.
    """
    url = f"sqlite:{tmp_path}/store.sqlite"
    keep(url, ("user", "alice", 10, time() + 300))
    configuration = tmp_path / "pptpgw.toml"
    configuration.write_text(f'[audit]\nstore = "{url}"\n')
    assert len(lines(capsys, "--config", str(configuration))) == 1
    assert "alice" in lines(capsys, "--config", str(configuration))[0]
