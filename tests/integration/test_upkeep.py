"""
Tests in which something takes the gateway's devices, sockets and tables away while it runs, as the
restart of a network service does. They are restored within a second, and the sessions go on.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.test_profile import Profiled
from tests.integration.world import ALICE, INSIDE, METER, Client, Served, World, devices

Start = Callable[[], Client]
INTERVAL = 0.05
PIDFD_GETFD = 438
IP_RECVERR = 11
RIGHT = "interface pptp0: it is restored"


class Pinging:
    """
    Pings that are sent while something happens.
    """

    def __init__(self, world: World, address: str = INSIDE) -> None:
        command = world.caller.command("ping", "-n", "-i", str(INTERVAL), address)
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def gap(self) -> float:
        """
        Ping for another second.

        @return: the longest time without an answer, in seconds.
        """
        time.sleep(1)
        self._process.send_signal(signal.SIGINT)
        said, _ = self._process.communicate(timeout=20)
        numbers = [0, *map(int, re.findall(r"icmp_seq=(\d+) ttl", said))]
        sent = re.search(r"(\d+) packets transmitted", said)
        assert sent is not None, said
        # The last answer may still have been on its way.
        numbers.append(int(sent[1]))
        return max(b - a for a, b in pairwise(numbers)) * INTERVAL


BOTH = pytest.mark.parametrize("path", ["python", "native"])
"""
The mark of tests that run with either data path.
"""


@BOTH
@pytest.mark.parametrize(
    "commands",
    [
        ["link del pptp0"],
        ["link set pptp0 down"],
        ["link set pptp0 down", "link set pptp0 up"],
        ["route flush dev pptp0"],
        ["addr flush dev pptp0"],
    ],
)
def test_theTUNDevice(
    commands: list[str], path: str, serve: Serve, world: World, client: Start, tmp_path: Path
) -> None:
    """
    Sessions with an address of a pool and with one of their own go on after the TUN device was
    deleted. Each loss is logged once, and so is its end.
    """
    gateway = serve(datapath={"path": path, "threads": 3})
    caller = client()
    calls = [caller.dial(who) for who in (ALICE, METER)]
    caller.ask("kernel", calls[0]["number"])
    before = devices(world.gateway)
    pinging = Pinging(world)
    for _ in range(2):
        said = gateway.text.count(RIGHT)
        world.gateway.ip(*commands)
        deadline = time.monotonic() + 5
        while gateway.text.count(RIGHT) == said:
            assert time.monotonic() < deadline, gateway.text
            time.sleep(0.02)
    assert pinging.gap() < 1
    assert caller.ask("ping", calls[1]["number"]) == {}
    assert devices(world.gateway) == before
    assert gateway.text.count("restoring it") == gateway.text.count(RIGHT) == 2
    caller.dial(ALICE)


def test_theNameIsTaken(serve: Serve, world: World, client: Start) -> None:
    """
    No calls are taken while the device can't be made again, and the log says why, once. Afterwards
    they are.
    """
    gateway = serve()
    world.gateway.ip("link del pptp0", "link add pptp0 type veth peer name other")
    gateway.waitFor("interface pptp0 is there already.*no calls are taken until")
    caller = client()
    refused = caller.ask("call", *ALICE, 1400)
    assert "busy" in refused["error"].lower()
    gateway.waitFor("call refused: interface pptp0: .* is there already")
    world.gateway.ip("link del pptp0")
    gateway.waitFor(RIGHT)
    assert gateway.text.count("no calls are taken") == 1
    assert client().dial(ALICE)["address"]


def rawSockets(pid: int) -> Iterator[socket.socket]:
    """
    The raw sockets of a process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if not os.readlink(entry).startswith("socket:"):
                continue
            descriptor = libc.syscall(PIDFD_GETFD, process, int(entry.name), 0)
            assert descriptor >= 0, os.strerror(ctypes.get_errno())
            opened = socket.socket(fileno=descriptor)
            if opened.family == socket.AF_INET and opened.type == socket.SOCK_RAW:
                yield opened
            else:
                opened.close()
    finally:
        os.close(process)


@BOTH
def test_theGRESocket(path: str, serve: Serve, world: World, client: Start) -> None:
    """
    A GRE socket that fails is opened again, and the sessions go on. The test makes the socket
    report errors, and a host without GRE causes one.
    """
    gateway = serve(datapath={"path": path, "threads": 3})
    caller = client()
    call = caller.dial(ALICE)
    caller.ask("kernel", call["number"])
    pinging = Pinging(world)
    sockets = list(rawSockets(gateway.pid))
    assert sockets
    try:
        for one in sockets:
            one.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sockets[0].sendto(bytes(8), (INSIDE, 0))
        gateway.waitFor("the socket for GRE at every address: it is restored")
    finally:
        for one in sockets:
            one.close()
    assert pinging.gap() < 1


@pytest.fixture
def bridge(world: World) -> Iterator[None]:
    """
    A Linux bridge on the gateway's host, for the time of the test.
    """
    world.gateway.ip("link add br0 type bridge", "link set br0 up")
    yield
    world.gateway.ip("link del br0")


@pytest.fixture
def defaultRoute(world: World) -> Iterator[None]:
    """
    A default route on the gateway's host, for the time of the test.
    """
    world.gateway.ip(f"route add default via {INSIDE}")
    yield
    world.gateway.ip(f"route del default via {INSIDE}")


def test_theBridge(bridge: None, serve: Serve, world: World, client: Start) -> None:
    """
    The TAP device joins its bridge again, and no calls are taken while the bridge is missing.
    """
    gateway: Served = serve(network={"protocols": ["ipv4", "bridge"]}, bridge={"bridge": "br0"})
    right = "interface pptptap0: it is restored"
    for count, command in enumerate(("link del pptptap0", "link set pptptap0 nomaster"), 1):
        world.gateway.ip(command)
        gateway.waitFor(rf"(?s)({right}.*){{{count}}}")
        (link,) = world.gateway.show("link", "show", "dev", "pptptap0")
        assert link["master"] == "br0" and "UP" in str(link["flags"])
    world.gateway.ip("link del br0")
    gateway.waitFor("there is no such interface.*no calls are taken until")
    assert "busy" in client().ask("call", *ALICE, 1400)["error"].lower()
    world.gateway.ip("link add br0 type bridge", "link set br0 up")
    gateway.waitFor(rf"(?s)({right}.*){{3}}")
    assert client().dial(ALICE)["address"]


@pytest.mark.parametrize("taken", ["pptp0-in", "pptp0"])
def test_rates(taken: str, world: World, client: Start, tmp_path: Path) -> None:
    """
    The rate limits of a session are set again, with the devices that they need.
    """
    gateway = Profiled(world, tmp_path)
    caller = client()
    call = caller.dial(ALICE)
    caller.ask("kernel", call["number"])
    pinging = Pinging(world)

    def limits() -> list[str]:
        shown = [
            world.gateway.run("tc", *words)
            for device in ("pptp0", "pptp0-in")
            for words in (
                ("class", "show", "dev", device),
                ("filter", "show", "dev", device),
                ("filter", "show", "dev", device, "ingress"),
            )
        ]
        return [re.sub(r"(handle|leaf|index) \w+", "", one) for one in shown]

    before = limits()
    assert "htb" in before[0] and "mirred" in before[2] and "htb" in before[3]
    world.gateway.ip(f"link del {taken}")
    gateway.waitFor("rate limits: it is restored")
    assert limits() == before
    assert pinging.gap() < 1
    assert gateway.interrupt() == 0, gateway.text
    assert "Traceback" not in gateway.text


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs the program nft")
def test_theTable(defaultRoute: None, serve: Serve, world: World, client: Start) -> None:
    """
    Masquerading goes on after C{nft flush ruleset}, and no calls are taken while it can't be
    restored.
    """
    gateway: Served = serve(network={"masquerade": True})

    def ruleset() -> str:
        return world.gateway.run("nft", "list", "ruleset")

    deadline = time.monotonic() + 5
    while "masquerade" not in (before := ruleset()):
        assert time.monotonic() < deadline, gateway.text
        time.sleep(0.02)
    right = "nftables' table pptpgw_pptp0: it is restored"
    for count, command in enumerate(("ruleset", "table ip pptpgw_pptp0"), 1):
        began = time.monotonic()
        world.gateway.run("nft", "flush", *command.split())
        gateway.waitFor(rf"(?s)({right}.*){{{count}}}")
        assert time.monotonic() - began < 1
        assert ruleset() == before
    world.gateway.ip("route del default")
    world.gateway.run("nft", "flush", "ruleset")
    gateway.waitFor("there is no default route.*no calls are taken until")
    assert "busy" in client().ask("call", *ALICE, 1400)["error"].lower()
    world.gateway.ip(f"route add default via {INSIDE}")
    gateway.waitFor(rf"(?s)({right}.*){{3}}")
    assert client().dial(ALICE)["address"]
    # A change to something else has no effect.
    world.gateway.run("nft", "add", "table", "ip", "other")
    world.gateway.run("nft", "delete", "table", "ip", "other")
    client().dial(METER)
    assert gateway.text.count("restoring it") == 3
