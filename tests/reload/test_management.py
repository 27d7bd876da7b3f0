"""
Tests that the management interface follows a reload.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.web.test.requesthelper import DummyChannel, DummyRequest

from pptpgw.error import NotPermitted
from pptpgw.management.problem import Problem
from pptpgw.testing import resultOf
from tests.reload.world import World, shows


def request(host: str = "localhost") -> Any:
    """
    A request over TCP, by a name of the gateway.
    """
    made: Any = DummyRequest([b"metrics"])
    made.channel = DummyChannel()
    made.getHost = lambda: IPv4Address("TCP", "127.0.0.1", 8723)
    made.requestHeaders.setRawHeaders("host", [host])
    made.getCookie = lambda name: None
    made.isSecure = lambda: False
    return made


@shows("[management] metrics-public")
def test_publicMetrics() -> None:
    """
    Whoever can connect may read the metrics while the configuration says so.
    """
    world = World()
    management: Any = world.service.management

    def read() -> None:
        resultOf(Deferred.fromCoroutine(management._assertMayRead(request())))

    with pytest.raises(Problem):
        read()
    world.reload("[management]\nmetrics-public = true")
    read()
    world.reload()
    with pytest.raises(Problem):
        read()


@shows("[management] hosts")
def test_hosts() -> None:
    """
    The names by which browsers may address the interface.
    """
    world = World()
    access = world.service.management.operating.access
    with pytest.raises(Problem):
        access.check(request("gate.example"))
    world.reload('[management]\nhosts = ["gate.example"]')
    access.check(request("gate.example"))


@shows("[management] endpoints")
def test_otherEndpoints(tmp_path: Path) -> None:
    """
    A new endpoint is listened on before an old one is closed. One that can't be opened changes
    nothing.
    """

    def text(*places: str) -> str:
        listed = ", ".join(f'"{place}"' for place in places)
        return f"[management]\nendpoints = [{listed}]\n"

    first, second = (f"unix:{tmp_path}/{name}.sock" for name in ("first", "second"))
    world = World(text(first))
    management: Any = world.service.management
    management.privilegedStartService()
    management.startService()
    assert management.places == (first,)
    world.reload(text(first, second))
    assert management.places == (first, second)
    assert len(world.clock.unixServers) == 2
    with pytest.raises(NotPermitted, match="can't be opened"):
        world.reload(text(first, "unix:/proc/nowhere/socket"))
    assert management.places == (first, second)
    closed: list[str] = []
    management._open[first].close = lambda: closed.append("first")
    world.reload(text(second))
    assert (closed, management.places) == (["first"], (second,))
    world.reload(text())
    assert management.places == ()
