"""
Tests with users of the embedded account store, with pppd as the caller.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.lab.kernelstate import devices
from tests.lab.peers import GATEWAY_ADDRESS, Network, Process, run
from tests.lab.server import BOTH, StartGateway, toml
from tests.lab.test_authentication import only

CALLING = Path(__file__).with_name("calling.py")
NEW = "battery staple"


@BOTH
def test_usersOfTheStore(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    A user of the store is let in by MS-CHAPv2 with encryption and by the right password alone, and
    gets the account's address. A user with a recoverable password is let in by CHAP. A user whom
    the command disables while the gateway runs is refused.
    """
    sections: dict[str, dict[str, object]] = {
        "accounts": {"store": f"sqlite:{tmp_path}/accounts.sqlite", "key": f"{tmp_path}/key"},
        "link": {"encryption": "prefer", "authentication": ["mschapv2", "chap"]},
    }
    configuration = tmp_path / "pptpgw.toml"
    configuration.write_text(toml(sections))

    def pptpgw(*words: str, password: str = "") -> None:
        command = [sys.executable, "-m", "pptpgw.command", *words, "-c", str(configuration)]
        run(*command, stdin=f"{password}\n")

    pptpgw("user", "add", "alice", "--stdin", "--address=10.77.0.200", password="correct horse")
    pptpgw("user", "add", "bob", "--stdin", "--recoverable", password="battery")
    gateway = startGateway(auth="accounts", **sections)
    host = network.host()

    alice = host.call("alice", "correct horse", "require-mppe-128").up()
    assert alice.address == "10.77.0.200"
    alice.ping()
    alice.stop()
    wrong = host.call("alice", "a wrong one")
    assert wrong.wait() != 0
    assert "authentication failed" in wrong.text

    bob = host.call("bob", "battery", *only("chap")).up()
    bob.ping()
    bob.stop()
    # The store has only an NT hash of alice's password.
    assert host.call("alice", "correct horse", *only("chap")).wait() != 0

    pptpgw("user", "disable", "bob")
    disabled = host.call("bob", "battery")
    assert disabled.wait() != 0
    assert "authentication failed" in disabled.text
    for secret in ("correct horse", "battery", "a wrong one"):
        assert secret not in gateway.text


@pytest.mark.parametrize("path", ["kernel"], indirect=True)
def test_anExpiredPassword(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    Our client changes a password that has expired while its call is set up, and the kernel
    encrypts by the new one, as for the calls after that.
    """
    sections: dict[str, dict[str, object]] = {
        "accounts": {"store": f"sqlite:{tmp_path}/accounts.sqlite", "key": f"{tmp_path}/key"},
    }
    configuration = tmp_path / "pptpgw.toml"
    configuration.write_text(toml(sections))
    command = [sys.executable, "-m", "pptpgw.command", "user", "add", "alice", "--stdin"]
    run(*command, "--expires=now", "-c", str(configuration), stdin="correct horse\n")
    gateway = startGateway(auth="accounts", **sections)
    host = network.host()
    where = ["pptp", GATEWAY_ADDRESS, "user=alice"]
    for key, password in (("password-file", "correct horse"), ("new-password-file", NEW)):
        path = tmp_path / key
        path.touch(0o600)
        path.write_text(password)
        where.append(f"{key}={path}")
    words = [sys.executable, str(CALLING), ":".join(where), "20"]
    calling = Process(host.command(*words), host.runFolder / "calling.log")
    assert calling.wait(60) == 0
    assert re.search("mschapv2, MPPE 128 bit stateless\n20 of 20 answered\n", calling.text)
    gateway.waitFor("alice from .* ended after .*octets received")
    assert host.call("alice", "correct horse").wait() != 0
    host.call("alice", NEW, "require-mppe-128").up().ping()
    assert devices(network) == ["ppp3"]
    assert "battery" not in gateway.text
