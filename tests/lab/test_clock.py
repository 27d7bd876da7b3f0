"""
Tests that set the machine's clock while the gateway serves.
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
LONGEST = 30


@pytest.fixture
def machine() -> Iterator[None]:
    """
    Set the machine's clock right again at the end.
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
    When the clock is set, sessions stay, new callers are served, two wrong passwords of the three
    that make a lockout don't make one, and a session's time limit and duration are those that were
    measured.
    """
    audit = tmp_path / "audit"
    gateway = startGateway(
        limits={"max-failures": 3, "lockout": STEP, "session-timeout": LONGEST},
        audit={"file": str(audit)},
    )
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
    other.hangUp()
    caller.wait(LONGEST)
    assert any("session's time is over" in line for line in caller.received("LCP TermReq"))
    gateway.shutDown()
    events = [json.loads(line) for line in audit.read_text().splitlines()]
    ended = {event["user"]: event for event in events if event["event"] == "ended"}
    assert set(ended) == {"alice", "bob"}
    assert LONGEST <= ended["bob"]["duration"] < LONGEST + 5
    assert 0 < ended["alice"]["duration"] < LONGEST
