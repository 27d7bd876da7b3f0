"""
Tests for calls between two sites that one gateway of ours dials to another one, over wires.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sites import NORTH, Sites
from tests.integration.world import Served, World, fingerprint


@pytest.fixture
def sites(world: World, tmp_path: Path) -> Iterator[Sites]:
    made = Sites(world, tmp_path)
    yield made
    made.remove()


def test_siteToSite(sites: Sites) -> None:
    """
    The hosts of both sites reach each other by a call that the southern gateway has dialled, and
    the gateways themselves, too: the southern one from the address that it was given.
    """
    north = sites.answer()
    south = sites.dial({})
    south.waitFor("north to 203.0.113.1: ipv4 .* open")
    sites.ping("south", "-s", "1300")
    sites.ping("north")
    sites.south.run("ping", "-c", "1", "-W", "2", "10.1.0.2")
    assert only(north)["addresses"] == ["10.77.0.10/32", "10.2.0.0/24"]
    session = only(south)
    assert session["addresses"] == ["10.77.0.1/32", "10.1.0.0/24"]
    assert session["encryption"] == "MPPE 128 bit stateless"


def test_bothAuthenticate(sites: Sites) -> None:
    """
    Each gateway authenticates itself to the other one, by a name and password of its own. With
    another password than the southern one expects, there is no call.
    """
    wrong, right = sites.write("wrong", "east wind"), sites.write("right", "north wind")
    peer = {"peer-name": "north", "peer-password-file": str(right)}
    north = sites.answer(link={"user": "north", "password-file": str(wrong)})
    south = sites.dial(peer)
    south.waitFor("north: no call to")
    assert not north.sessions() and not south.sessions()
    assert north.interrupt() == 0
    sites.answer(link={"user": "north", "password-file": str(right)})
    south.waitFor("north to 203.0.113.1: ipv4 .* open", 90)
    sites.ping("south", "-s", "1300")
    assert only(south)["encryption"] == "MPPE 128 bit stateless"


def test_bySSTP(sites: Sites) -> None:
    """
    A call by SSTP is bound to the authentication, and its packets are encrypted by TLS. Who has
    another certificate isn't believed.
    """
    certificate = sites.folder / "sstp.pem"
    own = {"endpoints": ["tcp:4443"], "certificate": str(certificate)}
    north = sites.answer(listen={"tunnels": ["sstp"]}, sstp=own)
    keys = {"tunnel": "sstp", "addresses": [f"{NORTH}:4443"]}
    south = sites.dial({**keys, "fingerprint": "00" * 32})
    south.waitFor("north: no call to 203.0.113.1:4443: the server's certificate")
    assert south.interrupt() == 0
    south = sites.dial({**keys, "fingerprint": fingerprint(certificate)})
    south.waitFor("north to 203.0.113.1: ipv4 .* open")
    sites.ping("south", "-s", "1300")
    sites.ping("north")
    (session,) = south.sessions().values()
    assert "TLS" in session["encryption"]
    assert only(north)["encryption"] == session["encryption"]


@pytest.mark.parametrize("path", ["python", "native"])
def test_byL2TP(sites: Sites, path: str) -> None:
    """
    A call by L2TP, with a secret of the tunnel.
    """
    secrets = sites.write("secrets", 'branch "open sesame"\n')
    clear = {"clear": "accept"}
    north = sites.answer(
        listen={"tunnels": ["l2tp"]},
        l2tp={**clear, "secrets": str(secrets)},
        datapath={"path": path},
    )
    keys = {"tunnel": "l2tp", "host-name": "branch"}
    file = str(sites.write("secret", "open sesame"))
    south = sites.dial({**keys, "secret-file": file}, l2tp=clear, datapath={"path": path})
    south.waitFor("north to 203.0.113.1: ipv4 .* open")
    sites.ping("south", "-s", "1300")
    sites.ping("north")
    assert only(south)["encryption"] == only(north)["encryption"] == "MPPE 128 bit stateless"


def test_byALine(sites: Sites) -> None:
    """
    A call over a line, here a TCP connection. It is dialled anew when the line is cut.
    """
    line = f"tcp:2000:interface={NORTH}"
    north = sites.answer(listen={"tunnels": ["hdlc"]}, hdlc={"endpoints": [line]})
    south = sites.dial({"tunnel": "hdlc", "addresses": [f"tcp:{NORTH}:2000"]})
    south.waitFor("north to .*: ipv4 .* open")
    sites.ping("south", "-s", "1300")
    sites.ping("north")
    os.kill(north.pid, signal.SIGKILL)
    south.waitFor("ended after")
    north = sites.answer(listen={"tunnels": ["hdlc"]}, hdlc={"endpoints": [line]})
    south.waitFor("(?s)(north to .*: ipv4 [^\n]* open.*){2}")
    sites.ping("south")
    assert only(north)["addresses"][0] == "10.77.0.10/32"


def only(served: Served) -> dict[str, Any]:
    """
    The figures of the only session.
    """
    (found,) = served.sessions().values()
    return found
