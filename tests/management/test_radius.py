"""
Tests for L{pptpgw.management.radius}, with servers in memory.
"""

from __future__ import annotations

from typing import Any

import pytest

from pptpgw.management.operation import Operations
from pptpgw.management.radius import RADIUS
from pptpgw.radius import udp
from pptpgw.radius.packet import ACCOUNTING_REQUEST
from pptpgw.radius.servers import Server
from tests.management.asking import REMOTE, Asking
from tests.management.managed import STARTED, Managed
from tests.radius.spooled import Run, many
from tests.radius.test_client import World, right
from tests.radius.wire import SECRET, Port, answer, connected

AUTH, ACCT = 1812, 1813


def silent(port: Port, octets: bytes) -> None:
    """
    Answer nothing.
    """


def rejecting(port: Port, octets: bytes) -> None:
    """
    Refuse every caller.
    """
    port.deliver(answer(octets, 3))


class Fixture:
    """
    A gateway with a RADIUS server for both services, which the test plays, and the management site
    that shows it.
    """

    def __init__(self, **keys: Any) -> None:
        server = Server("192.0.2.1", AUTH, ACCT, secret=SECRET.decode(), maxInFlight=2, **keys)
        self.radius = World(server)
        self.gateway = Managed()
        self.gateway.radius = self.radius.client
        self.asking = Asking(Operations(RADIUS(self.gateway, self.now).operations()))

    def now(self) -> float:
        return STARTED + self.radius.wire.seconds()

    def shown(self) -> Any:
        answer = self.asking.ask("GET", "/radius")
        assert answer.status == 200
        return answer.json

    def server(self, service: str = "authentication") -> Any:
        (found,) = [one for one in self.shown()["servers"] if one["service"] == service]
        return found


def results(**found: int) -> dict[str, int]:
    """
    The requests to a server, by result.
    """
    names = "accept", "reject", "challenge", "response", "unanswered", "cancelled"
    return {name: found.get(name, 0) for name in names}


@pytest.fixture(autouse=True)
def wires(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Give the network in memory its own ports in place of the system's.
    """
    monkeypatch.setattr(udp, "connectedUDP", connected)


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


def test_beforeTheFirstRequest(gateway: Fixture) -> None:
    """
    A server is shown in each of its roles, alive as long as nothing else is known.
    """
    shown = gateway.shown()
    assert shown["waiting"] == 0 and shown["spool"] is None
    first, second = shown["servers"]
    assert first == {
        "host": "192.0.2.1",
        "port": AUTH,
        "transport": "udp",
        "service": "authentication",
        "weight": 1,
        "state": "alive",
        "dead_since": None,
        "probing": False,
        "under_way": 0,
        "max_under_way": 2,
        "requests": results(),
        "mean_seconds": None,
        "last_seconds": None,
    }
    assert (second["service"], second["port"]) == ("accounting", ACCT)


def test_results(gateway: Fixture) -> None:
    """
    Requests are counted by their results, each service apart.
    """
    gateway.radius.serve(AUTH, right)
    for _ in range(3):
        gateway.radius.request()
    gateway.radius.serve(AUTH, rejecting)
    gateway.radius.request()
    gateway.radius.serve(ACCT, right)
    gateway.radius.request(code=ACCOUNTING_REQUEST)
    assert gateway.server()["requests"] == results(accept=3, reject=1)
    assert gateway.server("accounting")["requests"] == results(response=1)


def test_times(gateway: Fixture) -> None:
    """
    The time of an answer is measured from the first packet of the request.
    """
    ports: list[tuple[Port, bytes]] = []
    for seconds in (0.5, 0.1):
        gateway.radius.serve(AUTH, lambda port, octets: ports.append((port, octets)))
        gateway.radius.request()
        gateway.radius.wire.advance(seconds)
        right(*ports.pop())
    server = gateway.server()
    assert server["mean_seconds"] == pytest.approx(0.3)
    assert server["last_seconds"] == pytest.approx(0.1)


def test_waiting(gateway: Fixture) -> None:
    """
    Requests under way are counted, and those that wait because there are enough of them; one that
    is given up isn't under way any more.
    """
    gateway.radius.serve(AUTH, silent)
    made = [gateway.radius.request()[0] for _ in range(5)]
    assert gateway.server()["under_way"] == 2 and gateway.shown()["waiting"] == 3
    for one in reversed(made):
        one.addErrback(lambda failure: None)
        one.cancel()
    assert gateway.server()["under_way"] == 0 and gateway.shown()["waiting"] == 0
    assert gateway.server()["requests"] == results(cancelled=2)


@pytest.mark.parametrize("probing", [True, False])
def test_dead(probing: bool) -> None:
    """
    A server that doesn't answer is dead since that time, until it answers.
    """
    gateway = Fixture(statusServer=probing)
    gateway.radius.serve(AUTH, silent)
    gateway.radius.wire.advance(100)
    gateway.radius.request(deadline=8)
    gateway.radius.wire.pump([0.5] * 40)
    server = gateway.server()
    assert (server["state"], server["probing"]) == ("dead", probing)
    assert STARTED + 100 < server["dead_since"] <= STARTED + 110
    assert server["requests"]["unanswered"] >= 1
    gateway.radius.serve(AUTH, right)
    gateway.radius.wire.pump([0.5] * 200)
    server = gateway.server()
    assert (server["state"], server["dead_since"], server["probing"]) == ("alive", None, False)
    # Status-Server packets aren't requests of callers.
    assert bool(gateway.radius.probes(AUTH)) is probing
    assert server["requests"]["accept"] == 0


def test_spool(gateway: Fixture) -> None:
    """
    Records are shown until they are answered, and whether nothing is sent since nobody answers.
    """
    run = Run()
    gateway.gateway.spool = run.spool
    run.put(*many(3))
    spool = gateway.shown()["spool"]
    assert (spool["records"], spool["waiting"], spool["durable"]) == (3, False, True)
    assert 3 * 4 <= spool["octets"] <= spool["max_octets"]
    run.leave(*list(run.open))
    assert gateway.shown()["spool"]["waiting"] is True
    run.clock.advance(10)
    run.answerAll()
    spool = gateway.shown()["spool"]
    assert (spool["records"], spool["octets"], spool["waiting"]) == (0, 0, False)


def test_withoutRADIUS(gateway: Fixture) -> None:
    gateway.gateway.radius = None
    assert gateway.shown() == {"servers": [], "waiting": 0, "spool": None}
    assert gateway.asking.ask("GET", "/radius", host=REMOTE).status == 401
