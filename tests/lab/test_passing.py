"""
Tests for calls that are passed on to an LNS, Debian's xl2tpd with pppd.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.l2tp import CAROL, LNS
from tests.lab.peers import GATEWAY_ADDRESS, Network
from tests.lab.server import StartGateway


@pytest.mark.parametrize("path", ["python", "auto"], indirect=True)
def test_passedOn(network: Network, startGateway: StartGateway, tmp_path: Path, path: str) -> None:
    """
    pppd dials the gateway by PPTP and authenticates. The call passes to an LNS, after one that
    isn't there. pppd authenticates anew there, by another protocol, and gets its address from
    there. The gateway counts what passes.
    """
    hosts = network.hosts(2)
    lns = LNS(hosts[1], "noccp", secret="open sesame")
    for name, text in (("secret", "open sesame\n"), ("users", 'carol * "battery staple" *\n')):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text)
    destination = {
        "name": "isp",
        "tunnel": "l2tp",
        "endpoints": ["192.0.2.250", hosts[1].address],
        "secret-file": str(tmp_path / "secret"),
        "host-name": "pop1",
        "called": [GATEWAY_ADDRESS],
    }
    sections = {"forwarding": {"timeout": 3}, "[forwarding.destination]": destination}
    gateway = startGateway(
        auth=f"chap-secrets:{tmp_path / 'users'}",
        listen={"tunnels": ["pptp", "l2tp"]},
        l2tp={"clear": "accept"},
        link={"encryption": "off", "authentication": ["chap"]},
        **sections,
    )
    caller = hosts[0].call(*CAROL, "noccp").up(60)
    assert "remote IP address 10.9.0.1" in caller.text
    gateway.waitFor("L2TP 192.0.2.250 doesn't take a call")
    gateway.waitFor(f"carol from {hosts[0].address}: .*passed on by l2tp to {hosts[1].address}")
    caller.ping("10.9.0.1", "-s", "1300")
    assert "EAP authentication succeeded" in caller.text
    lns.waitFor("Connection established to 192.0.2.1")
    caller.stop()
    gateway.waitFor("carol from .* ended after .*octets received")
