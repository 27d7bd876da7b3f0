"""
Tests for L2TP with Debian's xl2tpd and pppd.
"""

from __future__ import annotations

from pathlib import Path

from tests.lab.l2tp import XL2TPD
from tests.lab.peers import INSIDE_ADDRESS, Network
from tests.lab.server import ALICE, BOB, StartGateway

LISTEN = {"tunnels": ["pptp", "l2tp"]}


def test_xl2tpdCalls(network: Network, startGateway: StartGateway) -> None:
    """
    xl2tpd calls in clear and with MPPE; it hangs up in order, and it vanishes; it doesn't get in
    with a wrong password.
    """
    gateway = startGateway(
        listen=LISTEN,
        link={"encryption": "prefer", "echo-interval": 2, "echo-failures": 2},
        l2tp={"idle-timeout": 2},
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
    caller.stop()
    gateway.waitFor("alice from .* ended after.*Echo-Requests")


def test_aSecret(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    With the tunnel's secret xl2tpd gets in, which has us prove that we know it too, and hides AVPs;
    with a wrong one or none it doesn't.
    """
    secrets = tmp_path / "secrets"
    secrets.touch(0o600)
    secrets.write_text('* "open sesame"\n')
    gateway = startGateway(
        listen=LISTEN, link={"encryption": "off"}, l2tp={"secrets": str(secrets)}
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
