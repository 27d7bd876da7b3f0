"""
Tests for masquerading callers behind the address of the default route's interface: the whole
gateway and our own client, in network namespaces of this machine, whose kernel has what the lab's
lacks for it.

Run as a program (C{python -m tests.test_masquerade GATEWAY ADDRESS}), this is the caller: it pings
ADDRESS through the gateway.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from twisted.internet import task
from twisted.internet.defer import Deferred, ensureDeferred

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.demo.selfcall import echoRequest, isEchoReply
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.tunnels.pptp.client import ControlClient
from tests.lab.peers import Namespace
from tests.lab.server import ALICE, Gateway

ROOT = Path(__file__).resolve().parents[1]
GATEWAY, OUTSIDE = "192.0.2.1", "203.0.113.9"


class World:
    """
    A caller's host, the gateway, and a host outside that has no route to the callers' addresses.
    """

    def __init__(self, stack: ExitStack) -> None:
        def namespace(name: str) -> Namespace:
            made = Namespace(f"pptpgw-{os.getpid()}-{name}")
            stack.callback(subprocess.run, ["ip", "netns", "del", made.name], check=True)
            stack.callback(made.kill)
            return made

        self.caller, self.gateway, self.outside = map(namespace, ("caller", "gateway", "outside"))
        self.caller.ip(
            f"link add eth0 type veth peer name lan netns {self.gateway.name}",
            "addr add 192.0.2.10/24 dev eth0",
            "link set eth0 up",
        )
        self.outside.ip(
            f"link add eth0 type veth peer name wan netns {self.gateway.name}",
            f"addr add {OUTSIDE}/24 dev eth0",
            "link set eth0 up",
        )
        self.gateway.ip(
            f"addr add {GATEWAY}/24 dev lan",
            "link set lan up",
            "addr add 203.0.113.1/24 dev wan",
            "link set wan up",
            f"route add default via {OUTSIDE}",
        )

    def pings(self) -> bool:
        """
        Whether a caller's ping reaches the host outside.
        """
        done = subprocess.run(
            self.caller.command(sys.executable, "-m", "tests.test_masquerade", GATEWAY, OUTSIDE),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout in ("answered\n", "silence\n"), done.stdout + done.stderr
        return done.stdout == "answered\n"

    def kernel(self) -> tuple[str, str]:
        """
        The nftables rules in the gateway's namespace, and whether it forwards.
        """
        return (
            self.gateway.run("nft", "list", "ruleset"),
            self.gateway.run("cat", "/proc/sys/net/ipv4/ip_forward").strip(),
        )


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
def test_aCallerReachesTheWorldIfAndOnlyIfItIsMasqueraded(
    masquerade: bool, world: World, tmp_path: Path
) -> None:
    before = world.kernel()
    gateway = Gateway(world.gateway, tmp_path, {"network": {"masquerade": masquerade}})
    try:
        assert world.pings() is masquerade
        assert ("masquerade" in world.kernel()[0]) is masquerade
    finally:
        gateway.shutDown()
    assert world.kernel() == before


def test_theTableIsGone(world: World, tmp_path: Path) -> None:
    """
    A gateway stops in order after other rules have replaced its own.
    """
    before = world.kernel()
    gateway = Gateway(world.gateway, tmp_path, {"network": {"masquerade": True}})
    try:
        world.gateway.run("nft", "flush", "ruleset")
    finally:
        gateway.shutDown()
    assert "did not stop" not in gateway.text
    assert world.kernel() == before


def test_afterKill(world: World, tmp_path: Path) -> None:
    """
    The run after one that was killed, which left its table and forwarding, restores what was before
    both.
    """
    before = world.kernel()
    masquerade = {"network": {"masquerade": True}}
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    first = Gateway(world.gateway, folders[0], masquerade)
    deadline = time.monotonic() + 10
    while world.kernel()[1] != "1":
        assert time.monotonic() < deadline, first.text
        time.sleep(0.05)
    first.stop(signal.SIGKILL)
    assert "ip_forward_was_0" in world.kernel()[0]
    second = Gateway(world.gateway, folders[1], masquerade)
    try:
        assert world.pings()
    finally:
        second.shutDown()
    assert world.kernel() == before


async def ping(gateway: str, address: str) -> None:
    """
    Call the gateway, and print whether C{address} answers a ping through it.
    """
    from twisted.internet import reactor

    answered: Deferred[None] = Deferred()

    def receive(packet: bytes) -> None:
        if isEchoReply(packet) and not answered.called:
            answered.callback(None)

    connection = await ControlClient(reactor, gateway).connect()
    user, password = (text.encode() for text in ALICE)
    ipv4 = IPCP(IPv4Settings.client(receive))
    await connection.placeCall(LinkSettings(identity=Identity(user, password, (MSCHAPV2,))), [ipv4])
    for _ in range(5):
        ipv4.sendPacket(echoRequest(ipv4.localAddress, address))
        await task.deferLater(reactor, 0.2)
    print("answered" if answered.called else "silence")
    await connection.close()


if __name__ == "__main__":
    task.react(lambda reactor: ensureDeferred(ping(*sys.argv[1:])))
