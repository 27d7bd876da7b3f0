"""
Tests for the causes of sessions' ends in the audit.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.lab.peers import Network
from tests.lab.server import ALICE, BOB, StartGateway

USER_REQUEST, LOST_CARRIER, ADMIN_REBOOT = 1, 2, 7
"""
Acct-Terminate-Cause (RFC 2866 section 5.10).
"""


def ends(path: Path, count: int, timeout: float = 20.0) -> list[dict[str, Any]]:
    """
    The events of the sessions' ends, once there are C{count}.
    """
    deadline = time.monotonic() + timeout
    while True:
        events = [json.loads(line) for line in path.read_text().splitlines()]
        found = [event for event in events if event["event"] == "ended"]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, events
        time.sleep(0.05)


def test_hangUpAndLossAndStopAreTold(
    network: Network, startGateway: StartGateway, tmp_path: Path
) -> None:
    """
    The audit has the right causes for a caller that hangs up, one whose programs are killed, and
    one that is connected when the gateway stops. ip-down runs for each.
    """
    audit, log = tmp_path / "audit", tmp_path / "scripts"
    script = tmp_path / "ip-down"
    script.write_text(f'#!/bin/sh\necho "$6 $PEERNAME $BYTES_RCVD" >> {log}\n')
    script.chmod(0o755)
    gateway = startGateway(
        audit={"file": str(audit)},
        hooks={"ip-down": str(script)},
    )
    first, second, third = network.hosts(3)
    caller = first.call(*ALICE, "require-mppe-128").up()
    caller.ping()
    address = caller.address
    caller.hangUp()
    (ended,) = ends(audit, 1)
    assert (ended["code"], ended["user"], ended["source"]) == (USER_REQUEST, "alice", first.address)
    assert ended["addresses"] == {"ipv4": [f"{address}/32"]}
    assert ended["encryption"] == "MPPE 128 bit stateless"
    assert ended["packetsSent"] >= 3 and ended["packetsReceived"] >= 3
    second.call(*ALICE, "require-mppe-128").up()
    second.kill()
    assert ends(audit, 2)[1]["code"] == LOST_CARRIER
    third.call(*BOB, "require-mppe-128").up()
    gateway.shutDown()
    assert ends(audit, 3)[2]["code"] == ADMIN_REBOOT
    told = log.read_text().splitlines()
    assert [line.split()[:2] for line in told] == [
        [first.address, "alice"],
        [second.address, "alice"],
        [third.address, "bob"],
    ]
    assert told[0].split()[2] == str(ended["octetsReceived"])
