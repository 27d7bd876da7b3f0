"""
Tests for outages of RADIUS servers and of the store, with pppd as the caller.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab.peers import Caller, Network, run
from tests.lab.server import StartGateway, toml

FAILED_AUTHENTICATION = 19
"""
pppd's exit status when its authentication was refused.
"""


def assertTold(caller: Caller) -> None:
    """
    Assert that the caller was told to dial again, and nothing about its password.
    """
    status = caller.wait(60)
    assert status not in (0, FAILED_AUTHENTICATION)
    assert any("no resources" in line for line in caller.received("LCP TermReq")), caller.text
    assert not caller.received("CHAP Failure")
    assert "authentication failed" not in caller.text


def test_RADIUSIsDead(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    Callers are told to dial again when no RADIUS server is there, and the log reports the outage
    once.
    """
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("a secret of some length")
    server = {"host": "127.0.0.1", "auth-port": 18120, "secret-file": str(secret)}
    gateway = startGateway(auth="radius", **{"[radius.server]": server})
    for _ in range(2):
        assertTold(network.host().call("vera", "open sesame", "require-mppe-128"))
    gateway.waitFor("an outage begins", 5)
    assert gateway.text.count("an outage begins") == 1


def test_theStoreIsAway(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    Callers are told to dial again while the store's file is missing. They are let in when it is
    back, and the log reports both.
    """
    path = tmp_path / "accounts.sqlite"
    sections: dict[str, dict[str, object]] = {
        "accounts": {"store": f"sqlite:{path}", "key": f"{tmp_path}/key"}
    }
    configuration = tmp_path / "pptpgw.toml"
    configuration.write_text(toml(sections))
    command = [sys.executable, "-m", "pptpgw.command", "user", "add", "alice", "--stdin"]
    run(*command, "-c", str(configuration), stdin="correct horse\n")
    gateway = startGateway(auth="accounts", **sections)
    host = network.host()
    host.call("alice", "correct horse", "require-mppe-128").up().stop()
    hidden = path.rename(tmp_path / "hidden")
    assertTold(host.call("alice", "correct horse", "require-mppe-128"))
    hidden.rename(path)
    host.redial(60, "alice", "correct horse", "require-mppe-128").ping()
    gateway.waitFor("the outage is over after", 30)
