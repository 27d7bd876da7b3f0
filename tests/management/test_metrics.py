"""
Tests for L{pptpgw.management.metrics}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from pptpgw.counting.counters import LOST
from pptpgw.error import Unavailable
from pptpgw.interfaces import ReloadOutcome
from pptpgw.management.metrics.delay import INTERVAL, ReactorDelay
from pptpgw.management.metrics.family import Labels
from pptpgw.management.metrics.figures import FRESH, Figures
from pptpgw.radius import udp
from pptpgw.radius.servers import Server
from tests.dialling.test_service import Sites
from tests.management.managed import Managed
from tests.radius.test_client import World as RADIUSWorld
from tests.radius.wire import SECRET, connected

CONTRACT = {
    "pptpgw_build_info",
    "pptpgw_sessions",
    "pptpgw_network_sessions",
    "pptpgw_setup_seconds_bucket",
    "pptpgw_calls_total",
    "pptpgw_refusals_total",
    "pptpgw_session_ends_total",
    "pptpgw_octets_total",
    "pptpgw_packets_total",
    "pptpgw_discards_total",
    "pptpgw_lockouts",
    "pptpgw_pool_addresses",
    "pptpgw_accounting_spool_records",
    "pptpgw_gre_missing_total",
    "pptpgw_connections_refused_total",
    "pptpgw_reload_success",
    "pptpgw_reactor_delay_seconds_bucket",
}
"""
The names that dashboards and alerts of operators use.
"""


class Fixture:
    """
    A gateway, and its figures as Prometheus reads them.
    """

    def __init__(self, text: str = "") -> None:
        self.world = Managed(text)
        self.world.tunnels["pptp"] = None
        self.delay = ReactorDelay(self.world.clock)
        self.figures = Figures(self.world.clock, self.world, self.delay.seconds)

    def scrape(self) -> str:
        """
        Read all figures, which are made anew, as text.
        """
        self.world.run(FRESH)
        done: list[object] = []
        self.figures.refreshed().addBoth(done.append)
        self.world.run(1, 0.01)
        assert done == [None]
        registry = CollectorRegistry()
        collector: Any = type("", (), {"collect": lambda _: self.figures.families})()
        registry.register(collector)
        return generate_latest(registry).decode()

    def samples(self) -> dict[str, dict[tuple[str, ...], float]]:
        """
        Return all samples: by name, and by the values of their labels, in
        the order of the labels' names.
        """
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(self.scrape()):
            for sample in family.samples:
                labels = tuple(sample.labels[name] for name in sorted(sample.labels))
                assert labels not in found.setdefault(sample.name, {})
                found[sample.name][labels] = sample.value
        return found


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


def test_names(gateway: Fixture) -> None:
    """
    Every name of the contract is there from the start, with a sentence that says what it means.
    """
    gateway.world.gateway.counters.own.discard("something")
    assert set(gateway.samples()) >= CONTRACT
    families: tuple[Metric, ...] = gateway.figures.families
    assert all(one.name.startswith("pptpgw_") for one in families)
    assert all(one.documentation.endswith(".") for one in families)


def test_aSession(gateway: Fixture) -> None:
    """
    A session is counted while it lasts, and so are its packets when it is over.
    """
    assert gateway.samples()["pptpgw_calls_total"]["opened", "pptp"] == 0
    gateway.world.setUpCall()
    now = gateway.samples()
    assert now["pptpgw_sessions"] == {("starting", "pptp"): 0, ("active", "pptp"): 1}
    assert now["pptpgw_network_sessions"]["ipv4",] == 1
    assert now["pptpgw_calls_total"]["opened", "pptp"] == 1
    assert now["pptpgw_setup_seconds_count"]["pptp",] == 1
    assert 0 < now["pptpgw_setup_seconds_sum"]["pptp",] < 0.5
    assert now["pptpgw_setup_seconds_bucket"]["+Inf", "pptp"] == 1
    (session,) = gateway.world.sessions
    session.counters.octetsReceived = 5000
    session.counters.packetsSent = 7
    session.counters.discard(LOST, 3)
    session.hangUp("enough")
    gateway.world.run(1)
    over = gateway.samples()
    assert over["pptpgw_sessions"]["active", "pptp"] == 0
    assert over["pptpgw_network_sessions"]["ipv4",] == 0
    assert over["pptpgw_octets_total"]["received", "pptp"] == 5000
    assert over["pptpgw_packets_total"]["sent", "pptp"] == 7
    assert over["pptpgw_gre_missing_total"][()] == 3
    assert over["pptpgw_session_ends_total"]["nas-request",] == 1


def test_tunnels() -> None:
    """
    What tunnels are served has each figure of tunnels from the start, and those of the others don't
    count for it.
    """
    gateway = Fixture()
    gateway.world.tunnels = {"pptp": None, "sstp": None}
    before = gateway.samples()
    assert before["pptpgw_octets_total"]["sent", "sstp"] == 0
    assert before["pptpgw_refusals_total"]["tunnel", "sstp"] == 0
    assert before["pptpgw_connections_refused_total"]["clients", "sstp"] == 0
    assert before["pptpgw_setup_seconds_count"] == {("pptp",): 0, ("sstp",): 0}
    gateway.world.setUpCall()
    (session,) = gateway.world.sessions
    session.counters.octetsSent = 70
    now = gateway.samples()
    assert now["pptpgw_octets_total"]["sent", "pptp"] == 70
    assert now["pptpgw_octets_total"]["sent", "sstp"] == 0
    assert now["pptpgw_setup_seconds_count"] == {("pptp",): 1, ("sstp",): 0}


def test_pools() -> None:
    """
    The addresses of a pool are those in use and those that are left.
    """
    gateway = Fixture('[ipv4]\npool = ["10.77.0.10-10.77.0.19"]')
    gateway.world.setUpCall()
    pools = gateway.samples()["pptpgw_pool_addresses"]
    assert pools == {
        ("ipv4", "default", "used"): 1,
        ("ipv4", "default", "reserved"): 0,
        ("ipv4", "default", "free"): 9,
    }


def test_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A RADIUS server has the figures of each of its services, and is dead when it doesn't answer.
    """
    monkeypatch.setattr(udp, "connectedUDP", connected)
    gateway = Fixture()
    server = Server("192.0.2.1", 1812, 1813, secret=SECRET.decode())
    radius = RADIUSWorld(server)
    gateway.world.radius = radius.client
    names = {("192.0.2.1:1812", "authentication"), ("192.0.2.1:1813", "accounting")}
    before = gateway.samples()
    assert before["pptpgw_radius_up"] == dict.fromkeys(names, 1)
    radius.serve(1812, None)
    radius.request()
    radius.wire.wait(7)
    now = gateway.samples()
    assert now["pptpgw_radius_up"] == {
        ("192.0.2.1:1812", "authentication"): 0,
        ("192.0.2.1:1813", "accounting"): 1,
    }
    results = now["pptpgw_radius_requests_total"]
    assert results["unanswered", "192.0.2.1:1812", "authentication"] > 0
    assert results["accept", "192.0.2.1:1812", "authentication"] == 0
    assert now["pptpgw_radius_seconds_count"]["192.0.2.1:1812", "authentication"] == 0


def test_aCallerThatIsSetUp(gateway: Fixture) -> None:
    """
    A caller that hasn't logged in yet has no session, and is counted as starting.
    """
    gateway.world.network.lose = lambda frame: True
    gateway.world.placeCall(gateway.world.connect(), b"alice")
    gateway.world.run(0.1)
    assert gateway.samples()["pptpgw_sessions"] == {
        ("starting", "pptp"): 1,
        ("active", "pptp"): 0,
    }


def test_whoIsRefused(gateway: Fixture) -> None:
    """
    A refusal names its cause and neither the user nor the address.
    """
    gateway.world.placeCall(gateway.world.connect("192.0.2.66"), b"mallory", b"wrong").addErrback(
        lambda failure: None
    )
    gateway.world.run(5)
    assert gateway.samples()["pptpgw_refusals_total"]["wrong-password", "pptp"] == 1
    text = gateway.scrape()
    assert "mallory" not in text and "192.0.2.66" not in text


def test_reload(gateway: Fixture) -> None:
    """
    A reload that failed shows until another one succeeds.
    """
    assert gateway.samples()["pptpgw_reload_success"][()] == 1
    gateway.world.lastReload = ReloadOutcome(7.0, error="no")
    assert gateway.samples()["pptpgw_reload_success"][()] == 0
    gateway.world.lastReload = ReloadOutcome(8.0)
    now = gateway.samples()
    assert now["pptpgw_reload_success"][()] == 1
    assert now["pptpgw_reload_timestamp_seconds"][()] == 8


def test_drain(gateway: Fixture) -> None:
    """
    A drain shows.
    """
    assert gateway.samples()["pptpgw_draining"][()] == 0
    gateway.world.drain()
    assert gateway.samples()["pptpgw_draining"][()] == 1


def test_sumsNeverBecomeLess() -> None:
    """
    A session that ends while its figures are added up is counted once, then and later.
    """
    gateway = Fixture()
    calls = [gateway.world.setUpCall(b"user%d" % number) for number in range(3)]
    for session in gateway.world.sessions:
        session.counters.octetsReceived = 1000
    slow: Any = _Slow(gateway.world.clock)
    figures = Figures(slow, gateway.world, gateway.delay.seconds)
    done: list[object] = []
    figures.refreshed().addCallback(done.append)
    assert not done
    calls[0].hangUp("enough")
    gateway.world.run(1)
    assert done == [None]
    (octets,) = [one for one in figures.families if one.name == "pptpgw_octets"]
    (received,) = [one.value for one in octets.samples if one.labels["direction"] == "received"]
    assert received == 3000
    assert gateway.samples()["pptpgw_octets_total"]["received", "pptp"] == 3000


class _Slow:
    """
    A clock on which every look takes so long that a slice ends.
    """

    def __init__(self, clock: Any) -> None:
        self.callLater = clock.callLater
        self._clock = clock
        self._more = 0.0

    def seconds(self) -> float:
        self._more += 1
        now: float = self._clock.seconds()
        return now + self._more


def test_onePassForAll(gateway: Fixture) -> None:
    """
    Those who ask while a pass goes on share it, and one that is stopped says so.
    """
    gateway.world.setUpCall()
    slow: Any = _Slow(gateway.world.clock)
    figures = Figures(slow, gateway.world, gateway.delay.seconds)
    done: list[object] = []
    for _ in range(3):
        figures.refreshed().addCallback(lambda _: done.append(figures.families))
    assert not done
    gateway.world.run(1)
    assert len(done) == 3 and done[0] is done[1] is done[2]
    failed: list[Any] = []
    figures.refreshed().addErrback(failed.append)
    figures.stop()
    (failure,) = failed
    assert failure.check(CancelledError)


def test_freshness(gateway: Fixture) -> None:
    """
    Who asks often gets the figures of the last pass.
    """
    figures = gateway.figures
    figures.refreshed()
    first = figures.families
    figures.refreshed()
    assert figures.families is first
    gateway.world.run(FRESH)
    figures.refreshed()
    assert figures.families is not first


def test_labelsHaveALimit() -> None:
    """
    What comes after the limit is counted together, whatever comes, and the first ones remain.
    """
    labels = Labels(2)
    assert labels.add({"a": 1, "b": 2}) == {("a",): 1, ("b",): 2, ("other",): 0}
    many = {"c": 3, "b": 4, "d": 5, "a": 6}
    assert labels.add(many) == {("other",): 8, ("b",): 4, ("a",): 6}


def test_delay() -> None:
    """
    A reactor that is busy shows by the delay of a timer.
    """
    clock = Clock()
    delay = ReactorDelay(clock)
    delay.start()
    clock.advance(INTERVAL)
    clock.advance(INTERVAL + 0.7)
    assert delay.seconds.sum == pytest.approx(0.7)
    assert sum(delay.seconds.counts) == 2
    delay.stop()
    delay.stop()
    assert not clock.getDelayedCalls()


def test_faults(gateway: Fixture) -> None:
    """
    The number of faults is there, and not their texts.
    """
    fault: Any = type("", (), {"fault": "the TUN is gone"})()
    gateway.world.gateway.health.append(fault)
    assert gateway.samples()["pptpgw_faults"][()] == 1
    assert "TUN" not in gateway.scrape()
    assert Unavailable.category.value == "outage"


def test_dials(tmp_path: Path) -> None:
    """
    A call that the gateway dials has figures by its name.
    """
    gateway, sites = Fixture(), Sites(tmp_path)
    gateway.world.dialling = sites.dialling
    sites.isThere = False
    sites.start()
    samples = gateway.samples()
    assert samples["pptpgw_dial_up"] == {("north",): 0}
    assert samples["pptpgw_dials_total"] == {("north", "opened"): 0, ("north", "failed"): 1}
    sites.isThere = True
    sites.run(10, 0.01)
    samples = gateway.samples()
    assert samples["pptpgw_dial_up"] == {("north",): 1}
    assert samples["pptpgw_dials_total"] == {("north", "opened"): 1, ("north", "failed"): 1}
