"""
Tests for the end of the whole program when something that it waits for hangs or is broken.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.test_twistd import FOREGROUND, SERVES
from tests.integration.world import ALICE, Client, Program, World, devices
from tests.lab.peers import run
from tests.lab.server import toml
from tests.postgresql import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """
    A PostgreSQL server.
    """
    made = Server()
    yield made
    made.remove()


def test_aDatabaseThatHangs(
    world: World, tmp_path: Path, server: Server, client: Callable[[], Client]
) -> None:
    """
    SIGTERM ends the process within its unit's time-out, and everything that it made is removed,
    while the PostgreSQL with accounts and sessions hangs, with a session and with others that call.
    """
    path = tmp_path / "pptpgw.toml"
    accounts = {"store": server.fresh(), "key": str(tmp_path / "key")}
    path.write_text(toml({"accounts": accounts, "audit": {"interim": 10}}))
    user, password = ALICE
    words = ("user", "add", user, "--stdin", "-c", str(path))
    run(sys.executable, "-m", "pptpgw.command", *words, stdin=f"{password}\n")
    before = devices(world.gateway)
    command = (*FOREGROUND, "--auth", "accounts", "--config", str(path))
    program = Program(world.gateway, tmp_path / "twistd.log", *command)
    program.waitFor(SERVES)
    dialling = client()
    call = dialling.dial()
    with server.hanging():
        # Each of the store's threads waits for the database.
        refused = [dialling.ask("call", *ALICE, 1400) for _ in range(2)]
        status = program.stop(signal.SIGTERM, 30)
    assert all("error" in one for one in refused)
    assert status in (0, -signal.SIGTERM)
    assert dialling.ask("ended", call["number"])["cause"]
    assert devices(world.gateway) == before
    assert "Traceback" not in program.text.partition("Received SIGTERM")[2]


def test_aDamagedStore(world: World, tmp_path: Path) -> None:
    """
    A gateway with a damaged store doesn't start, and the error says what to do.
    """
    store, path = tmp_path / "accounts.sqlite", tmp_path / "pptpgw.toml"
    store.touch(0o600)
    store.write_bytes(b"SQLite format 3\0" + bytes(8176))
    path.write_text(toml({"accounts": {"store": f"sqlite:{store}", "key": str(tmp_path / "key")}}))
    command = (*FOREGROUND, "--auth", "accounts", "--config", str(path))
    program = Program(world.gateway, tmp_path / "twistd.log", *command)
    assert program.wait() == 1
    (line,) = program.text.splitlines()
    assert line.startswith(f"{store}: the store is damaged (") and ".recover" in line


def test_aStoreThatIsRemoved(world: World, tmp_path: Path, client: Callable[[], Client]) -> None:
    """
    A removed store is reported when it is next needed.
    """
    store, path = tmp_path / "accounts.sqlite", tmp_path / "pptpgw.toml"
    path.write_text(toml({"accounts": {"store": f"sqlite:{store}", "key": str(tmp_path / "key")}}))
    user, password = ALICE
    words = ("user", "add", user, "--stdin", "-c", str(path))
    run(sys.executable, "-m", "pptpgw.command", *words, stdin=f"{password}\n")
    command = (*FOREGROUND, "--auth", "accounts", "--config", str(path))
    program = Program(world.gateway, tmp_path / "twistd.log", *command)
    program.waitFor(SERVES)
    dialling = client()
    dialling.dial()
    for file in tmp_path.glob("accounts.sqlite*"):
        file.unlink()
    assert "error" in dialling.ask("call", *ALICE, 1400)
    program.waitFor("the store was removed while it is in use")
    assert program.interrupt() in (0, -signal.SIGINT)
    assert not store.exists()
