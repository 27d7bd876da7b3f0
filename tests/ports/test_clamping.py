"""
Tests for L{pptpgw.ports.clamping}, with the real kernel in network namespaces.

Run as a program (C{python -m tests.ports.test_clamping CLAMPED}), this is the gateway: a router
between a caller, whose device is in the group, and a host outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import task
from twisted.internet.defer import ensureDeferred

from pptpgw.ports.clamping import Clamp
from pptpgw.ports.nft import lackingTables
from tests.lab.peers import Namespace, run
from tests.logged import loggedLines
from tests.ports.test_nftables import MemorySystem, Reactor

ROOT = Path(__file__).resolve().parents[2]
GROUP = 0x7070
SERVER = """
import socket
with socket.create_server(("203.0.113.9", 7)) as server:
    print("listens", flush=True)
    connection, _ = server.accept()
    print(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), flush=True)
    connection.recv(1)
"""
CLIENT = """
import socket
with socket.create_connection(("203.0.113.9", 7), 5) as connection:
    print(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
"""


async def route(reactor: Any, clamped: bool) -> None:
    """
    Print the MSS that each end of a connection through this namespace uses.
    """
    with ExitStack() as stack:

        def namespace(name: str) -> Namespace:
            made = Namespace(f"pptpgw-{os.getpid()}-{name}")
            stack.callback(subprocess.run, ["ip", "netns", "del", made.name], check=True)
            return made

        caller, outside = namespace("caller"), namespace("outside")
        for side, address, name in ((caller, "10.77.0", "ppp0"), (outside, "203.0.113", "wan")):
            run("ip", "link", "add", name, "type", "veth", "peer", "eth0", "netns", side.name)
            run("ip", "addr", "add", f"{address}.1/24", "dev", name)
            side.ip(
                f"addr add {address}.9/24 dev eth0",
                "link set eth0 up",
                f"route add default via {address}.1",
            )
        # What the caller can't know.
        run("ip", "link", "set", "ppp0", "mtu", "1000", "group", str(GROUP), "up")
        run("ip", "link", "set", "wan", "up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        clamp = Clamp(reactor, "pptp0", GROUP)
        if clamped:
            await clamp.set(True)
        server = subprocess.Popen(
            outside.command(sys.executable, "-c", SERVER), stdout=subprocess.PIPE, text=True
        )
        stack.callback(server.kill)
        assert server.stdout is not None
        server.stdout.readline()
        client = caller.run(sys.executable, "-c", CLIENT).strip()
        print(client, server.stdout.readline().strip())
        await clamp.set(False)
        assert "table" not in run("nft", "list", "ruleset")


@pytest.mark.parametrize(("clamped", "largest"), [("yes", 960), ("", 1460)])
def test_kernel(clamped: str, largest: int) -> None:
    """
    Both ends of a connection use an MSS that fits into the MTU of the caller's device.
    """
    lacking = [one for one in ("unshare", "ip", "nft", "nsenter") if shutil.which(one) is None]
    if lacking or os.geteuid() != 0:
        pytest.skip("network namespaces and nft are needed")
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "tests.ports.test_clamping", clamped],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Timestamps take twelve octets of each segment.
    assert [int(one) for one in done.stdout.split()] == [largest - 12, largest - 12]


def test_noProgram() -> None:
    """
    Without nft there is one warning, and nothing to remove.
    """
    system = MemorySystem()
    system.programs = []
    reactor = Reactor()
    clamp = Clamp(reactor, "pptp0", GROUP, system)
    with loggedLines() as lines:
        clamp.set(True)
        clamp.set(False)
    assert len(lines) == 1 and "install the package nftables" in lines[0]
    assert reactor.runs == [] and clamp.fault == ""


def test_changes() -> None:
    """
    The table is made and removed as often as that changes, one after the other.
    """
    reactor = Reactor()
    clamp = Clamp(reactor, "pptp0", GROUP, MemorySystem())
    for on in (False, True, True, False):
        clamp.set(on)
    assert len(reactor.runs) == 1 and b"iifgroup 28784" in reactor.runs[0][1].script
    reactor.end()
    assert reactor.runs[1][1].script.endswith(b"delete table inet pptpgw_pptp0_mss\n")
    reactor.end()
    assert len(reactor.runs) == 2


if __name__ == "__main__":
    task.react(lambda reactor: ensureDeferred(route(reactor, bool(sys.argv[1]))))


def test_whatIsLacking(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "install nftables" in lackingTables(lambda name: [])
    assert lackingTables(lambda name: [name]) == ""

    def refused(*_: object) -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr("socket.socket", refused)
    assert "Protocol not supported" in lackingTables(lambda name: [name])
