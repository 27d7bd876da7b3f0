"""
Tests for the native data path with the service, over a wire and two kernels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pptpgw.counting.counters import DUPLICATE, LATE, LOST
from pptpgw.datapath import engine
from tests.integration.conftest import Serve
from tests.integration.world import ALICE, INSIDE, METER, Client, World
from tests.lab.peers import Process

Start = Callable[[], Client]
NATIVE = {"path": "native"}

pytestmark = pytest.mark.skipif(bool(engine.lacking()), reason="it isn't compiled")


@pytest.fixture
def iperf(world: World, tmp_path: Path) -> Iterator[None]:
    """
    An iperf3 server on the host inside.
    """
    command = world.inside.command("iperf3", "-s", "--forceflush")
    server = Process(command, tmp_path / "iperf3.log")
    server.waitFor("listening")
    yield
    server.stop(9)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_bothWays(threads: int, iperf: None, serve: Serve, world: World, client: Start) -> None:
    """
    TCP passes in both directions, and two sessions don't disturb each other.
    """
    served = serve(datapath={**NATIVE, "threads": threads})
    served.waitFor("packets pass by native")
    caller = client()
    call, other = caller.dial(ALICE), caller.dial(METER)
    caller.ask("kernel", call["number"])
    for more in ([], ["--reverse"]):
        words = ("iperf3", "-J", "-c", INSIDE, "-t", "1", *more)
        report = json.loads(world.caller.run(*words))
        assert report["end"]["sum_received"]["bytes"] > 1_000_000
    assert caller.ask("ping", other["number"]) == {}
    figures = served.sessions()[call["address"]]
    assert figures["octetsReceived"] > 1_000_000 and figures["octetsSent"] > 1_000_000
    assert not figures["discards"]
    # Each thread has a socket, and another one keeps the kernel from sending errors.
    assert world.gateway.run("cat", "/proc/net/raw").count(":002F") == threads + 1


def test_outOfOrder(iperf: None, serve: Serve, world: World, client: Start) -> None:
    """
    TCP passes though packets of the caller come late, twice or never.
    """
    served = serve(datapath=NATIVE)
    caller = client()
    call = caller.dial(ALICE)
    caller.ask("kernel", call["number"])
    caller.ask("disorder", call["number"])
    report = json.loads(world.caller.run("iperf3", "-J", "-c", INSIDE, "-t", "2"))
    assert report["end"]["sum_received"]["bytes"] > 1_000_000
    figures = served.sessions()[call["address"]]
    # Where the caller has to wait for a processor, a packet may come after its gap was given up.
    assert {LOST, DUPLICATE} <= set(figures["discards"]) <= {LOST, DUPLICATE, LATE}


def test_startsAgain(serve: Serve, world: World, client: Start) -> None:
    """
    The gateway can be stopped and started, with a new thread.
    """
    served = serve(datapath=NATIVE)
    for _ in range(2):
        caller = client()
        call = caller.dial(ALICE)
        assert caller.ask("ping", call["number"]) == {}
        served.restart()
