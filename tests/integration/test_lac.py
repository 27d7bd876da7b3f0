"""
Tests for calls by PPTP that one gateway of ours passes on to others by L2TP, over wires.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pptpgw.ppp.wire.ppp import LCP
from tests.integration.conftest import Serve
from tests.integration.world import CALLER, GATEWAY, Client, Served, World
from tests.lab.peers import Namespace

SECRET = "open sesame"
ENDS = ("203.0.113.2", "203.0.113.6")


class Servers:
    """
    The LNSs, each on a host of its own, with a wire to the gateway.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[str, Namespace] = {}
        self.started: list[Served] = []
        for number, address in enumerate(ENDS):
            host = self.hosts[address] = world.namespace("l")
            world.gateway.ip(
                f"link add lns{number} type veth peer name eth0 netns {host.name}",
                f"addr add 203.0.113.{4 * number + 1}/30 dev lns{number}",
                f"link set lns{number} up",
            )
            host.ip(f"addr add {address}/30 dev eth0", "link set eth0 up")

    def start(self, address: str) -> Served:
        folder = self.folder / f"lns{len(self.started)}"
        folder.mkdir()
        secrets = folder / "secrets"
        secrets.touch(0o600)
        secrets.write_text(f'pop1 "{SECRET}"\n')
        sections: dict[str, dict[str, object]] = {
            "listen": {"tunnels": ["l2tp"]},
            "l2tp": {"clear": "accept", "secrets": str(secrets)},
        }
        host: Any = SimpleNamespace(gateway=self.hosts[address])
        self.started.append(Served(host, folder, sections))
        return self.started[-1]

    def remove(self, world: World) -> None:
        for one in self.started:
            if one.running:
                assert one.interrupt() == 0, one.text
            assert "Traceback" not in one.text, one.text
        for number in range(len(ENDS)):
            world.gateway.ip(f"link del lns{number}")


@pytest.fixture
def servers(world: World, tmp_path: Path) -> Iterator[Servers]:
    made = Servers(world, tmp_path)
    yield made
    made.remove(world)


def only(served: Served) -> dict[str, Any]:
    """
    The figures of the only session.
    """
    (found,) = served.sessions().values()
    return found


def test_switched(servers: Servers, serve: Serve, client: Callable[[], Client]) -> None:
    """
    The call of our client passes to the first LNS that is there, which takes over what was
    negotiated: MPPE begins between the two without anything having been asked twice. Either end
    hangs up, and when an LNS dies new calls pass to the other one.
    """
    file = servers.folder / "secret"
    file.touch(0o600)
    file.write_text(SECRET)
    second = servers.start(ENDS[1])
    destination = {
        "name": "isp",
        "tunnel": "l2tp",
        "endpoints": list(ENDS),
        "secret-file": str(file),
        "host-name": "pop1",
        "called": [GATEWAY],
    }
    sections = {"forwarding": {"timeout": 1}, "[forwarding.destination]": destination}
    own = {"clear": "accept", "handshake-timeout": 1}
    gateway = serve(listen={"tunnels": ["pptp", "l2tp"]}, l2tp=own, **sections)
    caller = client()
    call = caller.dial()
    assert call["encryption"] == "MPPE 128 bit stateless"
    assert caller.ask("ping", call["number"]) == {}
    beyond = only(second)
    assert beyond["calling"] == CALLER and beyond["encryption"] == call["encryption"]
    assert LCP not in beyond["protocols"]
    gateway.waitFor(f"L2TP {ENDS[0]} doesn't take a call")
    caller.ask("close")
    gateway.waitFor("ended after")
    assert gateway.state()["lines"] == 0
    first = servers.start(ENDS[0])
    caller.dial()
    assert first.state()["lines"] == 1 and second.state()["lines"] == 0
    os.kill(first.pid, signal.SIGKILL)
    other = client()
    call = other.dial()
    assert other.ask("ping", call["number"]) == {}
    assert second.state()["lines"] == 1
    assert second.interrupt() == 0
    cause = other.ask("ended", call["number"])["cause"]
    assert cause == "the peer terminated LCP: the gateway is stopping"
