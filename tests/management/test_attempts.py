"""
Tests for L{pptpgw.management.attempts} and L{pptpgw.management.trace}.
"""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate

from pptpgw.management.attempts import AttemptList
from pptpgw.management.operation import Operations
from pptpgw.management.trace import Trace
from pptpgw.sessions.following import EVENTS
from pptpgw.testing.exchange import PASSWORD
from tests.management.asking import Asking, SentEvent, Streaming
from tests.management.managed import STARTED, Managed
from tests.management.stored import MemoryStore

HOME, AWAY = "192.0.2.8", "192.0.2.9"


class Fixture:
    """
    A gateway, and the management site that shows its attempts.
    """

    def __init__(self, text: str = "[limits]\nmax-failures = 2") -> None:
        self.world = Managed(text)
        self.world.store = self.store = MemoryStore(self.now)
        subjects = AttemptList(self.world, self.now), Trace(self.world.attempts)
        self.asking = Asking(Operations(one for some in subjects for one in some.operations()))

    def now(self) -> float:
        return STARTED + self.world.clock.seconds()

    def dial(self, name: bytes, password: bytes = PASSWORD, address: str = HOME) -> None:
        placed = self.world.placeCall(self.world.connect(address), name, password)
        placed.addBoth(lambda _: None)
        self.world.run(1 if password == PASSWORD else 10, 0.01)

    def listed(self, **query: Any) -> list[Any]:
        items: list[Any] = self.asking.ask("GET", "/attempts", **query).json["items"]
        return items

    def users(self, **query: Any) -> list[str]:
        return [one["user"] for one in self.listed(**query)]

    def why(self, user: str) -> list[Any]:
        findings: list[Any] = self.asking.ask("GET", f"/why/{user}").json["findings"]
        return findings

    def trace(self, **query: Any) -> Streaming:
        return self.asking.stream("/trace", **query)

    def read(self, client: Streaming) -> list[SentEvent]:
        return client.read(self.asking.clock)


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


class TestAttempts:
    """
    Tests for the list of attempts and for single ones.
    """

    def test_aSession(self, gateway: Fixture) -> None:
        """
        The attempt of a session has its stages with their times.
        """
        gateway.dial(b"alice")
        (attempt,) = gateway.listed()
        (session,) = gateway.world.sessions
        assert attempt["attempt_id"] == session.identifier
        assert (attempt["user"], attempt["outcome"]) == ("alice", "up")
        names = [one["name"] for one in attempt["stages"]]
        assert names[-1] == "ipv4" and "authentication" in names
        times = [one["seconds"] for one in attempt["stages"]]
        assert times == sorted(times) and times[-1] > 0
        assert all(not one["failure"] for one in attempt["stages"])

    def test_failure(self, gateway: Fixture) -> None:
        """
        A failed attempt is shown with its frames in pppd's words, without secrets, and advice.
        """
        gateway.dial(b"alice", b"wrong")
        (attempt,) = gateway.listed()
        assert attempt["outcome"] == "failed" and attempt["stage"] == "authentication"
        shown = gateway.asking.ask("GET", f"/attempts/{attempt['attempt_id']}").json
        assert shown["cause"] and shown["advice"]
        texts = [one["text"] for one in shown["frames"]]
        assert texts[0].startswith("rcvd [LCP ConfReq id=") or texts[0].startswith("sent [LCP Con")
        assert any("CHAP Response" in one and "alice" in one for one in texts)
        assert {one["direction"] for one in shown["frames"]} == {"sent", "received"}

    def test_filters(self, gateway: Fixture) -> None:
        """
        Attempts are filtered by user, address, outcome and time, and ordered.
        """
        gateway.dial(b"alice")
        later = gateway.world.clock.seconds()
        gateway.dial(b"bob", b"wrong", AWAY)
        # Those that go on come first.
        assert gateway.users() == ["alice", "bob"]
        assert gateway.users(sort="-started") == ["bob", "alice"]
        assert gateway.users(user="AL*") == ["alice"]
        assert gateway.users(caller=AWAY) == ["bob"]
        assert gateway.users(outcome="failed") == ["bob"]
        assert gateway.users(since=later) == ["bob"]
        assert gateway.users(limit=1, offset=1) == ["bob"]

    def test_unknown(self, gateway: Fixture) -> None:
        """
        An attempt that isn't remembered is a problem.
        """
        assert gateway.asking.ask("GET", "/attempts/nothing").status == 404


class TestWhy:
    """
    Tests for why a user can't call.
    """

    def test_wrongPassword(self, gateway: Fixture) -> None:
        """
        The last call and the lockout are told, with what to do.
        """
        for _ in range(2):
            gateway.dial(b"alice", b"wrong")
        lockout, call = gateway.why("alice")[:2]
        assert "locked out" in lockout["text"] and lockout["problem"]
        assert "authentication" in call["text"] and call["advice"]

    def test_account(self, gateway: Fixture) -> None:
        """
        The state of the account is told, by the store that has it.
        """
        gateway.world.stores = (gateway.store,)
        assert "no account 'alice'" in gateway.why("alice")[0]["text"]
        gateway.store.addAccount("alice", b"password")
        gateway.store.changeAccount("alice", disabled=True)
        assert "disabled" in gateway.why("alice")[0]["text"]

    def test_noStore(self, gateway: Fixture) -> None:
        """
        Without a store nothing is said of an account.
        """
        assert "No call of 'alice' is remembered" in gateway.why("alice")[0]["text"]


class TestTrace:
    """
    Tests for traces.
    """

    def test_comingCaller(self, gateway: Fixture) -> None:
        """
        A caller that isn't there yet is traced from its first frame to its end; others aren't.
        """
        client = gateway.trace(user="alice")
        gateway.dial(b"bob", address=AWAY)
        assert gateway.read(client) == []
        gateway.dial(b"alice")
        lines = gateway.read(client)
        frames = [one.data for one in lines if one.name == "frame"]
        assert any(one["text"].startswith("rcvd [LCP ConfReq") for one in frames)
        assert any("IPCP ConfAck" in one["text"] for one in frames)
        assert {one.data["user"] for one in lines} == {"alice"}
        assert {one.data["caller"] for one in lines} == {HOME}
        times = [one.data["time"] for one in lines]
        assert times == sorted(times)
        assert any(one.data.get("stage") == "ipv4" for one in lines)
        for session in gateway.world.sessions:
            session.hangUp("enough")
        gateway.world.run(1)
        assert gateway.read(client)[-1].data["cause"] == "enough"

    @pytest.mark.parametrize("kind", ["address", "session"])
    def test_others(self, gateway: Fixture, kind: str) -> None:
        """
        A trace follows an address, or a session that goes on.
        """
        gateway.dial(b"alice")
        gateway.dial(b"bob", address=AWAY)
        _, bob = gateway.world.sessions
        client = gateway.trace(**{kind: AWAY if kind == "address" else bob.identifier})
        for session in gateway.world.sessions:
            session.hangUp("enough")
        gateway.world.run(1)
        ends = [one.data["caller"] for one in gateway.read(client) if one.name == "end"]
        assert ends == [AWAY]

    def test_byTunnel(self, gateway: Fixture) -> None:
        """
        A trace can follow the calls by one tunnel alone; each line has the tunnel.
        """
        other, client = (gateway.trace(user="alice", tunnel=one) for one in ("sstp", "pptp"))
        gateway.dial(b"alice")
        assert gateway.read(other) == []
        assert {one.data["tunnel"] for one in gateway.read(client)} == {"pptp"}

    def test_end(self, gateway: Fixture) -> None:
        """
        A trace ends after its time, and leaves nothing.
        """
        client = gateway.trace(user="alice", **{"for": 20})
        gateway.dial(b"alice")
        gateway.asking.clock.advance(19)
        early = client.isOver
        gateway.asking.clock.advance(1)
        gateway.read(client)
        assert (early, client.isOver) == (False, True)
        (attempt,) = gateway.world.attempts
        assert attempt.followers == ()

    def test_hangingUp(self, gateway: Fixture) -> None:
        """
        A client that hangs up is followed no more.
        """
        client = gateway.trace(address=HOME)
        gateway.dial(b"alice")
        (attempt,) = gateway.world.attempts
        assert len(attempt.followers) == 1
        client.hangUp()
        assert [one.followers for one in gateway.world.attempts] == [()]

    def test_slowReader(self, gateway: Fixture) -> None:
        """
        What a client doesn't read in time is lost, and counted.
        """
        client = gateway.trace(user="alice")
        gateway.dial(b"alice")
        count = len(gateway.read(client))
        client.producer.pauseProducing()
        (attempt,) = gateway.world.attempts
        for _ in range(EVENTS + 7):
            attempt.frame(True, 0xC021, b"\x09\x01\x00\x08\x00\x00\x00\x00")
        client.producer.resumeProducing()
        *frames, gap = gateway.read(client)[count:]
        assert (gap.name, gap.data["lost"]) == ("gap", 7)
        assert len(frames) == EVENTS

    def test_nobody(self, gateway: Fixture) -> None:
        """
        A trace of everybody isn't possible, and it lasts an hour at most.
        """
        ask = gateway.asking.ask
        assert ask("GET", "/trace").status == 400
        assert ask("GET", "/trace", user="alice", address=HOME).status == 400
        assert ask("GET", "/trace", user="alice", **{"for": 3601}).status == 400

    def test_document(self, gateway: Fixture) -> None:
        """
        The document names the parameters as they are sent.
        """
        validate(gateway.asking.document)
        operation = gateway.asking.document["paths"]["/api/v1/trace"]["get"]
        parameters = {one["name"]: one["description"] for one in operation["parameters"]}
        assert all(parameters[name] for name in ("user", "address", "session", "tunnel", "for"))
        assert operation["x-role"] == "operator"
