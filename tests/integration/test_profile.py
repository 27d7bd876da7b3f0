"""
Tests for what an account's profile gives a session, and for pools that change, with a real call and
real kernels.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.world import ALICE, INSIDE, Client, World, devices
from tests.lab.forked import Forked
from tests.lab.peers import Process
from tests.lab.server import toml

POOLS = """
[[ipv4.pools]]
name = "homes"
ranges = ["{}"]
"""


class Profiled(Forked):
    """
    The gateway of C{profiled.py}. The constructor returns when it serves.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self.configuration = folder / "pptpgw.toml"
        self.configure("10.78.0.10")
        script = Path(__file__).parent / "profiled.py"
        words = ["--config", str(self.configuration)]
        super().__init__(world.gateway, script, words, folder / "gateway.log")
        self.waitFor("answers on every address")

    def configure(self, pool: str) -> None:
        """
        Write the configuration with this pool.
        """
        text = toml({"ipv4": {"pool": ["10.77.0.10"]}})
        self.configuration.write_text(text + POOLS.format(pool))


def ours(world: World) -> list[tuple[object, object]]:
    """
    The devices and routes that the gateway has made.
    """
    return [one for one in devices(world.gateway) if str(one[1]).startswith("pptp")]


@pytest.fixture
def gateway(world: World, tmp_path: Path) -> Iterator[Profiled]:
    """
    A gateway that must end in order and leave nothing behind.
    """
    made = Profiled(world, tmp_path)
    yield made
    assert made.interrupt() == 0, made.text
    assert "Traceback" not in made.text, made.text
    assert ours(world) == []


Start = Callable[[], Client]


def test_routes(gateway: Profiled, world: World, client: Start) -> None:
    """
    A network behind the caller is reached through the caller, and its hosts may send. Its route
    goes with the session. A network to which the machine already has a route isn't taken over.
    """
    caller = client()
    call = caller.dial(ALICE)
    caller.ask("kernel", call["number"])
    world.caller.ip("addr add 192.168.77.1/32 dev lo")
    try:
        world.inside.run("ping", "-c", "2", "-i", "0.2", "-W", "3", "192.168.77.1")
        world.caller.run("ping", "-c", "2", "-i", "0.2", "-W", "3", "-I", "192.168.77.1", INSIDE)
        assert ("192.168.77.0/24", "pptp0") in ours(world)
        assert ("198.51.100.0/24", "pptp0") not in ours(world)
    finally:
        world.caller.ip("addr del 192.168.77.1/32 dev lo")
    caller.ask("close")
    gateway.waitFor("ended after")
    assert ("192.168.77.0/24", "pptp0") not in ours(world)


def test_aRouteOfTwoSessions(gateway: Profiled, world: World, client: Start) -> None:
    """
    The older one of two sessions that share a network carries it again when the newer one ends.
    """
    gateway.configure("10.78.0.10-10.78.0.11")
    os.kill(gateway.pid, signal.SIGHUP)
    gateway.waitFor(r"calls to come: \[ipv4\] pools")
    caller = client()
    older = caller.dial(ALICE)
    caller.ask("kernel", older["number"])
    world.caller.ip("addr add 192.168.77.1/32 dev lo")
    try:
        newer = caller.dial(ALICE)
        caller.ask("hangUp", newer["number"])
        world.inside.run("ping", "-c", "2", "-i", "0.2", "-W", "3", "192.168.77.1")
    finally:
        world.caller.ip("addr del 192.168.77.1/32 dev lo")


def echoes(world: World) -> int:
    """
    How many Echo-Requests the host inside has received.
    """
    lines = world.inside.run("cat", "/proc/net/snmp").splitlines()
    names, figures = [line.split() for line in lines if line.startswith("Icmp:")]
    return int(figures[names.index("InEchos")])


def test_whatAnotherSessionHas(gateway: Profiled, world: World, client: Start) -> None:
    """
    A router may send from its network, except from an address in it that another session has, as
    long as that session lasts.
    """
    router, other = client(), client()
    router.ask("kernel", router.dial(ALICE)["number"])
    ping = ("ping", "-c", "2", "-i", "0.2", "-W", "1", "-I", "192.168.77.5", INSIDE)
    world.caller.ip("addr add 192.168.77.5/32 dev lo")
    try:
        world.caller.run(*ping)
        call = other.dial(("bob", "open sesame"))
        assert call["address"] == "192.168.77.5"
        before = echoes(world)
        with pytest.raises(AssertionError):
            world.caller.run(*ping)
        assert echoes(world) == before
        other.ask("hangUp", call["number"])
        world.caller.run(*ping)
    finally:
        world.caller.ip("addr del 192.168.77.5/32 dev lo")


def test_poolsThatChange(gateway: Profiled, world: World, client: Start) -> None:
    """
    After each of two reloads by SIGHUP the earlier session keeps its address, which is reachable
    all the time, and the next session gets an address of the new pool.
    """
    caller = client()
    first = caller.dial(ALICE)
    assert first["address"] == "10.78.0.10"
    gateway.configure("10.79.0.0/30")
    os.kill(gateway.pid, signal.SIGHUP)
    gateway.waitFor(r"calls to come: \[ipv4\] pools")
    assert ("10.78.0.10", "pptp0") in ours(world)
    assert caller.ask("ping", first["number"]) == {}
    second = caller.dial(ALICE)
    assert second["address"] == "10.79.0.1"
    for call in (first, second):
        assert caller.ask("ping", call["number"]) == {}
    caller.ask("hangUp", first["number"])
    gateway.configure("10.79.0.0/3")
    os.kill(gateway.pid, signal.SIGHUP)
    gateway.waitFor("the configuration is unchanged")
    assert caller.ask("ping", second["number"]) == {}
    assert ("10.78.0.10", "pptp0") not in ours(world)


def test_rates(gateway: Profiled, world: World, client: Start, tmp_path: Path) -> None:
    """
    The rates are limited in both directions, and follow a change during the session.
    """
    caller = client()
    call = caller.dial(ALICE)
    caller.ask("kernel", call["number"])
    serving = Process(world.inside.command("iperf3", "-s", "--forceflush"), tmp_path / "iperf3.log")
    serving.waitFor("listening")

    def rate(*options: str) -> float:
        """
        The bits a second of IP that arrive when twenty million are sent.
        """
        flood = ("iperf3", "-J", "-u", "-b", "20M", "-l", "1200", "-t", "1.5", "-c", INSIDE)
        report = json.loads(world.caller.run(*flood, *options))
        if "error" in report:
            # iperf3's own connection has the limited rate too, so the flood may have held it up.
            report = json.loads(world.caller.run(*flood, *options))
        received = report["end"]["sum_received"]
        return float(received["bits_per_second"]) * 1228 / 1200

    assert 0.7 < rate("-R") / 4_000_000 < 1.2
    assert 0.7 < rate() / 2_000_000 < 1.2
    os.kill(gateway.pid, signal.SIGUSR1)
    gateway.waitFor(": changed")
    assert 0.7 < rate() / 6_000_000 < 1.2
    serving.stop()
