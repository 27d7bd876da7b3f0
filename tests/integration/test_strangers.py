"""
Tests with strangers who try to take all places of a gateway, while honest callers are served.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.world import ALICE, GATEWAY, Client, Program, World

SETUPS = 100
WANTED = 95
SECONDS = 2.0
"""
This many of this many set-ups must be done within this many seconds each.
"""

ADDRESSES = [f"192.0.2.{number}" for number in range(100, 170)]


@pytest.fixture
def addresses(world: World) -> Iterator[list[str]]:
    """
    Addresses of the caller's host from which strangers come.
    """
    world.caller.ip(*(f"addr add {one}/24 dev eth0" for one in ADDRESSES))
    yield ADDRESSES
    world.caller.ip(*(f"addr del {one}/24 dev eth0" for one in ADDRESSES))


@pytest.mark.parametrize(("kind", "count"), [("calls", 2), ("silent", 70), ("idle", 70)])
def test_honestCallersGetTheirPlaces(
    world: World,
    serve: Serve,
    client: Callable[[], Client],
    addresses: list[str],
    tmp_path: Path,
    kind: str,
    count: int,
) -> None:
    """
    Honest callers, each with a control connection of its own, are served within L{SECONDS}.
    """
    serve()
    script = str(Path(__file__).parent / "strangers.py")
    command = (sys.executable, script, kind, GATEWAY, *addresses[:count])
    strangers = Program(world.caller, tmp_path / "strangers.log", *command)
    strangers.waitFor("ready", 180)
    honest = client()
    inTime = 0
    for _ in range(SETUPS):
        began = time.monotonic()
        call = honest.ask("call", *ALICE, 1400)
        inTime += "error" not in call and time.monotonic() - began <= SECONDS
        honest.ask("close")
    assert strangers.running
    assert inTime >= WANTED
    strangers.stop()
