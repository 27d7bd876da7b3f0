"""
Tests for L{pptpgw.management.status} and L{pptpgw.management.steering}.
"""

from __future__ import annotations

import pytest
from openapi_spec_validator import validate

from pptpgw.interfaces import Drain, ReloadOutcome
from pptpgw.management.operation import Operations
from pptpgw.management.status import Overview
from pptpgw.management.steering import Steering
from tests.management.asking import REMOTE, Asking
from tests.management.managed import STARTED, Managed


class Fixture:
    """
    A gateway, and the management site that shows and steers it.
    """

    def __init__(self) -> None:
        self.world = Managed("[limits]\nmax-sessions = 7")
        subjects = (
            Overview(self.world, lambda: STARTED + self.world.clock.seconds()),
            Steering(self.world),
        )
        self.asking = Asking(Operations(one for some in subjects for one in some.operations()))


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


def test_status(gateway: Fixture) -> None:
    """
    The status counts sessions and callers that are being set up.
    """
    gateway.world.setUpCall(b"alice")
    gateway.world.placeCall(gateway.world.connect())
    gateway.world.run(0.003)
    status = gateway.asking.ask("GET", "/status").json
    assert (status["state"], status["faults"]) == ("serving", [])
    assert (status["sessions"], status["max_sessions"], status["calls"]) == (1, 7, 1)
    assert status["sessions_by_tunnel"] == {"pptp": 1}
    assert status["sessions_by_network"] == {"ipv4": 1}
    assert status["uptime_seconds"] == pytest.approx(gateway.world.clock.seconds())
    assert status["drain"] is None and status["last_reload"] is None
    assert status["memory_octets"] > 1 << 20


def test_calls(gateway: Fixture) -> None:
    """
    A caller that is being set up is listed with the phase of its link, until it has a session.
    """
    gateway.world.placeCall(gateway.world.connect())
    gateway.world.run(0.003)
    (call,) = gateway.asking.ask("GET", "/calls").json["items"]
    assert call["phase"] == "Establish" and call["tunnel"] == "pptp" and call["age_seconds"] >= 0
    assert gateway.asking.ask("GET", "/calls", phase="Network").json["total"] == 0
    gateway.world.run(1)
    assert gateway.asking.ask("GET", "/calls").json == {"items": [], "total": 0}
    assert len(gateway.world.sessions) == 1


def test_states(gateway: Fixture) -> None:
    """
    The state follows a drain, and the last reload is told.
    """
    call = gateway.world.setUpCall(b"alice")
    gateway.world.draining = Drain(5.0, 65.0, True)
    gateway.world.lastReload = ReloadOutcome(9.0, error="no such pool")
    status = gateway.asking.ask("GET", "/status").json
    assert status["state"] == "draining"
    assert status["drain"] == {"since": 5, "deadline": 65, "stop": True, "drained": False}
    assert status["last_reload"] == {"time": 9, "error": "no such pool"}
    call.hangUp()
    gateway.world.run(1)
    assert gateway.asking.ask("GET", "/status").json["state"] == "drained"


def test_drain(gateway: Fixture) -> None:
    """
    A drain is begun with a deadline, and cancelled.
    """
    ordered = gateway.asking.ask("PUT", "/drain", {"deadline_seconds": 60, "stop": True})
    assert ordered.status == 200 and ordered.json["stop"] is True
    assert gateway.asking.ask("PUT", "/drain", {}).json["deadline"] is None
    assert gateway.asking.ask("DELETE", "/drain").status == 204
    assert gateway.world.orders == [("drain", 60.0, True), ("drain", None, False), "undrain"]
    assert gateway.asking.ask("PUT", "/drain", {"deadline_seconds": -1}).status == 400


def test_reload(gateway: Fixture) -> None:
    """
    What a reload would change is told without changing it.
    """
    changes = [
        {"key": "[ipv4] pool", "effect": "new", "reason": ""},
        {"key": "[pptp] port", "effect": "restart", "reason": "port"},
    ]
    assert gateway.asking.ask("GET", "/reload").json == {"changes": changes}
    assert gateway.world.orders == []
    assert gateway.asking.ask("POST", "/reload").json == {"changes": changes}
    assert gateway.world.orders == ["reload"]
    assert gateway.asking.ask("POST", "/reload", host=REMOTE).status == 401
    assert gateway.world.orders == ["reload"]


def test_document(gateway: Fixture) -> None:
    """
    The OpenAPI document of these operations is valid.
    """
    validate(gateway.asking.document)
