"""
Tests for L2TP with Debian's xl2tpd and pppd.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.lab.l2tp import CAROL, LNS, XL2TPD
from tests.lab.peers import GATEWAY_ADDRESS, INSIDE_ADDRESS, Host, Network, Process
from tests.lab.server import ALICE, BOB, StartGateway

LISTEN = {"tunnels": ["pptp", "l2tp"]}
LAC = Path(__file__).with_name("lac.py")


def test_xl2tpdCalls(network: Network, startGateway: StartGateway) -> None:
    """
    xl2tpd calls in clear and with MPPE; it hangs up in order, and it vanishes; it doesn't get in
    with a wrong password.
    """
    gateway = startGateway(
        listen=LISTEN,
        link={"encryption": "prefer", "echo-interval": 2, "echo-failures": 2},
        l2tp={"clear": "accept", "idle-timeout": 2},
    )
    hosts = network.hosts(2)
    caller = XL2TPD(hosts[0], *ALICE).up()
    gateway.waitFor("L2TP control connection from")
    assert "CHAP authentication succeeded" in caller.text
    caller.ping()
    caller.ping(INSIDE_ADDRESS, "-s", "1372")
    other = XL2TPD(hosts[1], *BOB, "require-mppe-128").up()
    assert "MPPE 128-bit stateless compression enabled" in other.text
    other.flood(500)
    other.disconnect()
    gateway.waitFor("bob from .* ended after")
    gateway.waitFor("192.0.2.11: L2TP control connection closed")
    caller.ping()
    wrong = XL2TPD(hosts[1], "alice", "wrong", port=1702)
    wrong.waitFor("CHAP authentication failed")
    caller.stop(SIGKILL)
    gateway.waitFor("alice from .* ended after.*Echo-Requests")


@pytest.mark.parametrize("path", ["native"], indirect=True)
def test_theThreads(
    network: Network, iperf: Process, startGateway: StartGateway, tmp_path: Path
) -> None:
    """
    Threads carry what xl2tpd's calls send and get, with and without a length field: TCP in clear,
    and a flood with MPPE.
    """
    gateway = startGateway(
        listen=LISTEN,
        link={"encryption": "prefer"},
        l2tp={"clear": "accept"},
        management={"endpoints": [f"unix:{tmp_path / 'gateway.socket'}"]},
    )
    hosts = network.hosts(2)
    caller = XL2TPD(hosts[0], *ALICE, lac=["length bit = yes"]).up()
    other = XL2TPD(hosts[1], *BOB, "require-mppe-128").up()
    caller.ping()
    caller.reachInside()
    caller.transfer("L2TP, native", seconds=1)
    other.flood(500)
    for user, encryption in (("alice", "not encrypted"), ("bob", "MPPE 128 bit stateless")):
        found = gateway.shown(user)
        assert (found["path"], found["encryption"]) == ("native", encryption)
        assert found["discards"] == {}
    other.disconnect()
    gateway.waitFor("bob from .* ended after")
    caller.ping(count=2)


def test_aSecret(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    With the tunnel's secret xl2tpd gets in, which has us prove that we know it too, and hides AVPs;
    with a wrong one or none it doesn't.
    """
    secrets = tmp_path / "secrets"
    secrets.touch(0o600)
    secrets.write_text('* "open sesame"\n')
    gateway = startGateway(
        listen=LISTEN, link={"encryption": "off"}, l2tp={"clear": "accept", "secrets": str(secrets)}
    )
    hosts = network.hosts(3)
    hidden = ["hidden bit = yes", "length bit = yes"]
    caller = XL2TPD(hosts[0], *ALICE, secret="open sesame", lac=hidden).up()
    caller.ping(count=2)
    wrong = XL2TPD(hosts[1], *BOB, secret="guess", challenge=False)
    none = XL2TPD(hosts[2], *BOB)
    gateway.waitFor("192.0.2.11: L2TP control connection closed: the peer doesn't know the secret")
    gateway.waitFor("192.0.2.12: L2TP control connection closed: .*No secret key on our end")
    assert "bob" not in gateway.text
    assert wrong.running and none.running
    caller.ping(count=2)


def lac(host: Host, server: str, user: tuple[str, str], secret: str = "") -> Process:
    """
    Run our own LAC on C{host}.
    """
    command = host.command(sys.executable, str(LAC), server, *user, secret)
    return Process(command, host.runFolder / "lac.log")


def test_ourLAC(network: Network, startGateway: StartGateway) -> None:
    """
    Our own LAC places one call after another on a control connection to our gateway, with MPPE, and
    to xl2tpd as LNS, with the tunnel's secret.
    """
    gateway = startGateway(listen=LISTEN, l2tp={"clear": "accept"})
    hosts = network.hosts(2)
    ours = lac(hosts[0], GATEWAY_ADDRESS, ALICE)
    ours.waitFor("closed", 60)
    assert ours.wait() == 0
    assert re.findall("(?m)^answered", ours.text) == ["answered"] * 2
    assert ours.text.count("MPPE 128 bit stateless") == 2
    gateway.waitFor("192.0.2.10: L2TP control connection closed: the peer closed")
    server = LNS(hosts[1], "require-mschap-v2", secret="sesame")
    other = lac(hosts[0], hosts[1].address, CAROL, "sesame")
    other.waitFor("closed", 60)
    assert other.wait() == 0
    assert re.findall("(?m)^answered", other.text) == ["answered"] * 2
    assert "10.9.0.1" in other.text
    assert "Call established with" in server.text
    wrong = lac(hosts[0], hosts[1].address, CAROL, "guess")
    assert wrong.wait(60) == 1
    assert "Invalid challenge authentication" in wrong.text or "secret" in wrong.text
