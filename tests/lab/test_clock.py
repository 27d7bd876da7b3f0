"""
The machine's clock is set while the gateway serves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.peers import Network
from tests.lab.server import ALICE, BOB, StartGateway

STEP = 300


@pytest.fixture
def machine() -> Iterator[None]:
    """
    Afterwards the machine's clock is right again.
    """
    began = time.time(), time.monotonic()
    yield
    time.clock_settime(time.CLOCK_REALTIME, began[0] + time.monotonic() - began[1])


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("step", [-STEP, STEP], ids=["back", "on"])
def test_theClockIsSet(
    network: Network, startGateway: StartGateway, tmp_path: Path, step: int
) -> None:
    """
    Whoever is there stays, whoever calls is served, two wrong passwords where three are a lockout
    are none, and each session took as long as it took.
    """
    audit = tmp_path / "audit"
    gateway = startGateway(
        limits={"max-failures": 3, "lockout": STEP, "session-timeout": 120, "idle-timeout": 120},
        audit={"file": str(audit)},
    )
    began = time.monotonic()
    first, second = network.hosts(2)
    caller = first.call(*BOB, "require-mppe-128").up()
    caller.ping()
    assert second.call("alice", "a wrong one").wait() != 0

    time.clock_settime(time.CLOCK_REALTIME, time.time() + step)

    caller.ping()
    assert second.call("alice", "a wrong one").wait() != 0
    assert "locked out" not in gateway.text
    other = second.call(*ALICE, "require-mppe-128").up()
    other.ping()
    caller.ping()
    for one in (caller, other):
        one.hangUp()
    gateway.shutDown()
    seconds = time.monotonic() - began
    events = [json.loads(line) for line in audit.read_text().splitlines()]
    ended = {event["user"]: event for event in events if event["event"] == "ended"}
    assert set(ended) == {"alice", "bob"}
    for event in ended.values():
        assert 0 < event["duration"] < seconds
