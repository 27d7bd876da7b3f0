"""
The end of the whole program, where something that it waits for hangs.
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
    Accounts and sessions are in PostgreSQL, which hangs while there is a session and others call:
    SIGTERM ends the process all the same, in less time than its unit grants, and what it made is
    removed.
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
        # Each of the store's threads waits for it.
        refused = [dialling.ask("call", *ALICE, 1400) for _ in range(2)]
        status = program.stop(signal.SIGTERM, 30)
    assert all("error" in one for one in refused)
    assert status in (0, -signal.SIGTERM)
    assert dialling.ask("ended", call["number"])["cause"]
    assert devices(world.gateway) == before
    assert "Traceback" not in program.text.partition("Received SIGTERM")[2]
