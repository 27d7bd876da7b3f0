"""
Tests for masquerading on dialled calls: two whole gateways, in network namespaces of this machine,
whose kernel has what the lab's lacks for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.peers import Namespace
from tests.lab.server import ALICE, Gateway

NORTH = "192.0.2.1"
SECONDS = 30


class World:
    """
    A host behind the southern gateway, which dials the northern one, and one behind that, which has
    a route to callers alone.
    """

    def __init__(self, stack: ExitStack) -> None:
        def namespace(name: str) -> Namespace:
            made = Namespace(f"pptpgw-{os.getpid()}-{name}")
            stack.callback(subprocess.run, ["ip", "netns", "del", made.name], check=True)
            stack.callback(made.kill)
            return made

        names = ("behind", "south", "north", "inside")
        self.behind, self.south, self.north, self.inside = map(namespace, names)
        self.behind.ip(
            f"link add eth0 type veth peer name lan netns {self.south.name}",
            "addr add 10.5.0.2/24 dev eth0",
            "link set eth0 up",
            "route add default via 10.5.0.1",
        )
        self.south.ip(
            "addr add 10.5.0.1/24 dev lan",
            "link set lan up",
            f"link add wan type veth peer name wan netns {self.north.name}",
            "addr add 192.0.2.10/24 dev wan",
            "link set wan up",
        )
        self.north.ip(
            f"addr add {NORTH}/24 dev wan",
            "link set wan up",
            f"link add lan type veth peer name eth0 netns {self.inside.name}",
            "addr add 10.6.0.1/24 dev lan",
            "link set lan up",
        )
        self.inside.ip(
            "addr add 10.6.0.2/24 dev eth0",
            "link set eth0 up",
            "route add 10.77.0.0/16 via 10.6.0.1",
        )
        for router in (self.south, self.north):
            router.sysctl("net.ipv4.ip_forward=1")


@pytest.fixture
def world() -> Iterator[World]:
    lacking = [program for program in ("ip", "nsenter", "nft") if shutil.which(program) is None]
    if os.geteuid() != 0:
        lacking.append("root's privileges")
    if not Path("/dev/net/tun").exists():
        lacking.append("/dev/net/tun")
    if lacking:
        pytest.skip(f"network namespaces can't be used without {', '.join(lacking)}")
    with ExitStack() as stack:
        yield World(stack)


@pytest.mark.parametrize("masquerade", [True, False])
def test_theNetworkBehindReachesTheOtherEnd(masquerade: bool, world: World, tmp_path: Path) -> None:
    """
    A host behind the gateway that dials reaches a host behind the other one if it is masqueraded,
    and only then, as that host knows no way back; the gateway itself does in any case. Nothing of
    the rules is left.
    """
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text(ALICE[1])
    path: dict[str, object] = {"path": "python"}
    north = Gateway(world.north, tmp_path / "north", {"datapath": path})
    dial: dict[str, object] = {
        "name": "to-north",
        "tunnel": "pptp",
        "addresses": [NORTH],
        "user": ALICE[0],
        "password-file": str(password),
        "routes": ["10.6.0.0/16"],
        "masquerade": masquerade,
    }
    ipv4: dict[str, object] = {"local": "10.78.0.1", "pool": []}
    sections: dict[str, dict[str, object]] = {"ipv4": ipv4, "datapath": path, "[dial]": dial}
    south = Gateway(world.south, tmp_path / "south", sections)
    try:
        south.waitFor("ipv4 .* open", SECONDS)
        deadline = time.monotonic() + SECONDS
        rules = ""
        while masquerade and "snat to 10.77.0.10" not in rules:
            assert time.monotonic() < deadline, south.text
            rules = world.south.run("nft", "list", "ruleset")
        world.south.ping("10.6.0.2", count=1)
        assert world.behind.reaches("10.6.0.2") is masquerade
        if masquerade:
            assert "table ip pptpgw_dial_to_2d_north" in rules
            world.behind.ping("10.6.0.2", count=20)
    finally:
        south.shutDown()
        north.shutDown()
    assert "pptpgw" not in world.south.run("nft", "list", "ruleset")
