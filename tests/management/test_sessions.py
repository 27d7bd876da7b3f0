"""
Tests for L{pptpgw.management.sessions}.
"""

from __future__ import annotations

from typing import Any

import pytest

from pptpgw.interfaces import Stations
from pptpgw.management.operation import Operations
from pptpgw.management.rates import INTERVAL, WATCHED, Rates
from pptpgw.management.sessions import Sessions
from tests.management.asking import REMOTE, Asking
from tests.management.managed import Managed


class Fixture:
    """
    A gateway with two sessions, and the management site that shows them.
    """

    def __init__(self, text: str = "", **options: Any) -> None:
        self.world = Managed(text)
        self.rates = Rates(self.world.clock, self.world.sessions)
        sessions = Sessions(self.world, self.rates)
        self.asking = Asking(Operations(sessions.operations()))
        self.calls = [self.world.setUpCall(name, **options) for name in (b"alice", b"bob")]

    def ask(self, method: str, path: str = "", body: object = None, **query: Any) -> Any:
        answer = self.asking.ask(method, f"/sessions{path}", body, **query)
        return answer.json

    def users(self, **query: Any) -> list[str]:
        return [one["user"] for one in self.ask("GET", "", None, **query)["items"]]


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


class TestList:
    """
    Tests for the list of sessions.
    """

    def test_whatIsShown(self, gateway: Fixture) -> None:
        """
        An item of the list has the session's own values.
        """
        first, _ = gateway.ask("GET")["items"]
        session = gateway.world.sessions.withIdentifier(first["session_id"])
        assert session is not None
        assert first["user"] == "alice" and first["caller"] == session.caller
        assert first["networks"] == {"ipv4": ["10.77.0.10"]}
        assert first["addresses"] == ["10.77.0.10"]
        assert first["authentication"] == "mschapv2"
        assert (first["interface"], first["path"]) == ("", "memory")
        assert first["octets_received"] == session.counters.octetsReceived

    @pytest.mark.parametrize(
        ("query", "users"),
        [
            ({}, ["alice", "bob"]),
            ({"user": "AL*"}, ["alice"]),
            ({"user": "carol"}, []),
            ({"address": "10.77.0.11"}, ["bob"]),
            ({"network": "ipv?"}, ["alice", "bob"]),
            ({"tunnel": "pptp", "user": "b?b"}, ["bob"]),
            ({"sort": "-user"}, ["bob", "alice"]),
            ({"sort": "address"}, ["alice", "bob"]),
            ({"sort": "rate_received"}, ["alice", "bob"]),
            ({"sort": "user", "limit": 1}, ["alice"]),
            ({"offset": 1}, ["bob"]),
        ],
    )
    def test_chosenAndOrdered(
        self, gateway: Fixture, query: dict[str, str], users: list[str]
    ) -> None:
        """
        Filters match as in a shell, whatever the case; pages are cut from what they leave.
        """
        assert gateway.users(**query) == users

    def test_numbers(self, gateway: Fixture) -> None:
        """
        What an access concentrator tells of a call is shown, and sessions are chosen by it.
        """
        first, _ = gateway.ask("GET")["items"]
        session: Any = gateway.world.sessions.withIdentifier(first["session_id"])
        session.stations = Stations("030123", "0190", "7", "gold", "42")
        session.concentrator = "pop"
        (shown,) = gateway.ask("GET", calling_station="030*", concentrator="pop")["items"]
        assert (shown["user"], shown["called_station"], shown["subaddress"]) == (
            "alice",
            "0190",
            "7",
        )
        assert (shown["private_group"], shown["physical_channel"]) == ("gold", "42")
        assert gateway.users(called_station="0800") == []

    def test_total(self, gateway: Fixture) -> None:
        """
        The total counts what is on other pages too.
        """
        assert gateway.ask("GET", limit=1)["total"] == 2
        assert gateway.ask("GET", user="bob", limit=1)["total"] == 1

    @pytest.mark.parametrize(
        "query", ["sort=colour", "colour=red", "limit=0", "limit=x", "user=a&user=b"]
    )
    def test_badQuery(self, gateway: Fixture, query: str) -> None:
        """
        A query with an invalid part is refused, and the problem names that part.
        """
        answer = gateway.asking.raw("GET", f"/api/v1/sessions?{query}")
        assert answer.status == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert query.partition("=")[0] in answer.json["detail"]


class TestShow:
    """
    Tests for one session.
    """

    def test_theOptionsThatWereAgreed(self, gateway: Fixture) -> None:
        """
        One session has the options of each protocol, in both directions, which a list leaves out.
        """
        (listed, _) = gateway.ask("GET")["items"]
        shown = gateway.ask("GET", f"/{listed['session_id']}")
        protocols = {one["name"]: one for one in shown.pop("protocols")}
        assert shown.pop("quality") is None
        assert shown.keys() == listed.keys()
        assert list(protocols) == ["LCP", "CCP", "IPCP"]
        assert [one["number"] for one in protocols.values()] == [0xC021, 0x80FD, 0x8021]
        options = {
            name: {one["name"]: (one["ours"], one["peers"]) for one in protocol["options"]}
            for name, protocol in protocols.items()
        }
        lcp = options["LCP"]
        assert lcp["mru"] == (["1400"], ["1400"])
        assert lcp["auth"] == (["chap MS-v2"], [])
        assert lcp["pcomp"] == ([""], [""])
        ((ours,), (peers,)) = lcp["magic"]
        assert ours != peers
        assert options["CCP"] == {"mppe": (["+H -M +S -L -D -C"], ["+H -M +S -L -D -C"])}
        assert options["IPCP"]["addr"] == (["10.77.0.1"], ["10.77.0.10"])

    def test_quality(self) -> None:
        """
        One session has the losses that Link-Quality-Reports tell of.
        """
        gateway = Fixture("[link]\nquality-reports = 1", qualityReports=1)
        gateway.world.run(3, 0.01)
        (listed, _) = gateway.ask("GET")["items"]
        shown = gateway.ask("GET", f"/{listed['session_id']}")
        assert shown["quality"] == {
            "loss_received": 0.0,
            "loss_sent": 0.0,
            "packets_received_lost": 0,
            "packets_sent_lost": 0,
        }

    def test_whatIsNegotiatedAnew(self, gateway: Fixture) -> None:
        """
        The options are those that hold now: none, while LCP negotiates.
        """
        (listed, _) = gateway.ask("GET")["items"]
        line = next(iter(gateway.world.lines))
        line.link.lcp.lowerDown()
        assert gateway.ask("GET", f"/{listed['session_id']}")["protocols"] == []


class TestEnd:
    """
    Tests for ending sessions.
    """

    def test_one(self, gateway: Fixture) -> None:
        """
        A session that an operator ends says so in its cause.
        """
        (alice, _) = gateway.ask("GET")["items"]
        ended: list[str] = []
        gateway.calls[0].ended.addCallback(ended.append)
        answer = gateway.ask("DELETE", f"/{alice['session_id']}")
        assert answer == {"session_ids": [alice["session_id"]]}
        gateway.world.run(1)
        assert gateway.users() == ["bob"]
        assert gateway.asking.ask("DELETE", f"/sessions/{alice['session_id']}").status == 404

    def test_many(self, gateway: Fixture) -> None:
        """
        A filter ends all sessions that it matches, and a request without a filter ends none.
        """
        assert gateway.asking.ask("DELETE", "/sessions").status == 400
        assert gateway.ask("DELETE", user="carol") == {"session_ids": []}
        assert gateway.users() == ["alice", "bob"]
        assert len(gateway.ask("DELETE", user="*")["session_ids"]) == 2
        gateway.world.run(1)
        assert gateway.users() == []

    def test_nobodyElse(self, gateway: Fixture) -> None:
        """
        A request by TCP is refused.
        """
        for method in ("GET", "DELETE"):
            answer = gateway.asking.ask(method, "/sessions", host=REMOTE, user="*")
            assert answer.status == 401
        gateway.world.run(1)
        assert gateway.users() == ["alice", "bob"]


class TestChange:
    """
    Tests for changing a session.
    """

    def test_limits(self, gateway: Fixture) -> None:
        """
        A session ends by a limit that it was given while it lasted.
        """
        (alice, _) = gateway.ask("GET")["items"]
        path = f"/{alice['session_id']}"
        assert alice["limits"]["session_timeout_seconds"] is None
        changed = gateway.ask("PATCH", path, {"session_timeout_seconds": 60, "send_rate": 64000})
        assert changed["limits"]["session_timeout_seconds"] == 60
        assert changed["limits"]["send_rate"] == 64000
        again = gateway.ask("PATCH", path, {"send_rate": None})
        assert again["limits"]["session_timeout_seconds"] == 60
        assert again["limits"]["send_rate"] is None
        gateway.world.run(65, 0.5)
        assert gateway.users() == ["bob"]

    @pytest.mark.parametrize(
        "body",
        [{"filter": "none"}, {"volume_octets": -1}, {"user": "eve"}, [], None, {"filter": 3}],
    )
    def test_refused(self, gateway: Fixture, body: object) -> None:
        """
        A change that can't be applied is refused and changes nothing.
        """
        (alice, _) = gateway.ask("GET")["items"]
        answer = gateway.asking.ask("PATCH", f"/sessions/{alice['session_id']}", body)
        assert answer.status == 400
        (now, _) = gateway.ask("GET")["items"]
        assert now["limits"] == alice["limits"]

    def test_filter(self) -> None:
        """
        A filter that the configuration has may be given.
        """
        gateway = Fixture('[[network.filter]]\nname = "web"\nrules = ["permit ip from any to any"]')
        (alice, _) = gateway.ask("GET")["items"]
        changed = gateway.ask("PATCH", f"/{alice['session_id']}", {"filter": "web"})
        assert changed["limits"]["filter"] == "web"


def test_rates(gateway: Fixture) -> None:
    """
    Rates are measured while somebody asks for them, and not afterwards.
    """
    assert gateway.ask("GET")["items"][0]["rate_received"] is None
    session = next(iter(gateway.world.sessions))
    session.counters.octetsReceived += 1000
    gateway.world.clock.advance(INTERVAL)
    item = gateway.ask("GET")["items"][0]
    assert item["rate_received"] == pytest.approx(8000 / INTERVAL)
    assert item["rate_sent"] == 0
    timers = len(gateway.world.clock.getDelayedCalls())
    for _ in range(int(WATCHED / INTERVAL) + 2):
        gateway.world.clock.advance(INTERVAL)
    assert len(gateway.world.clock.getDelayedCalls()) <= timers - 1
    assert gateway.ask("GET")["items"][0]["rate_received"] is None
    gateway.rates.stop()
