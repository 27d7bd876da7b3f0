"""
Tests for L{pptpgw.management.events} and L{pptpgw.management.eventlog}.
"""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate

from pptpgw.interfaces import Attack, Change, Drain, Effect, Reloaded, ReloadOutcome
from pptpgw.management.eventlog import EventLog
from pptpgw.management.events import Events, Witness
from pptpgw.management.operation import Operations
from tests.management.asking import Asking, SentEvent, Streaming
from tests.management.managed import STARTED, Managed

SIZE = 20


class Radius:
    """
    The part of a RADIUS client that is looked at.
    """

    def __init__(self) -> None:
        self.isWell = True

    @property
    def alive(self) -> dict[tuple[str, str], bool]:
        return {("192.0.2.9", "authentication"): self.isWell}


class Fixture:
    """
    A gateway whose events are kept, and the site that sends them.
    """

    def __init__(self) -> None:
        self.world = Managed("[limits]\nmax-failures = 2")
        self.log = EventLog(SIZE, "run")
        clock = self.world.clock
        self.witness = Witness(clock, self.world, self.log, lambda: STARTED + clock.seconds())
        self.world.sessions.addObserver(self.witness)
        self.asking = Asking(Operations(Events(self.log).operations()))

    def open(self, **query: Any) -> Streaming:
        return self.asking.stream("/events", **query)

    def read(self, client: Streaming) -> list[SentEvent]:
        return client.read(self.asking.clock)

    def kinds(self, client: Streaming) -> list[str]:
        return [one.name for one in self.read(client)]

    def note(self, count: int) -> None:
        for _ in range(count):
            self.witness.drainChanged(None, False)


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


def test_session(gateway: Fixture) -> None:
    """
    A session's start, its open protocol, a change of its limits and its end are told with figures.
    """
    client = gateway.open()
    gateway.world.setUpCall(b"alice")
    (session,) = gateway.world.sessions
    session.change(session.profile)
    session.hangUp("enough")
    gateway.world.run(0.1)
    events = gateway.read(client)
    assert [one.name for one in events] == [
        "session-started",
        "session-changed",
        "session-changed",
        "session-changed",
        "session-ended",
    ]
    assert [one.identifier for one in events] == [f"run-{number}" for number in range(1, 6)]
    assert all(one.data["session_id"] == session.identifier for one in events)
    assert all(one.data["user"] == "alice" for one in events)
    assert all(one.data["time"] > STARTED for one in events)
    assert events[0].data["authentication"] == "mschapv2"
    assert [one.data["change"] for one in events[1:4]] == ["opened", "limits", "closed"]
    # What it was then, not what it is now.
    assert events[1].data["networks"] == {"ipv4": ["10.77.0.10"]}
    assert events[3].data["networks"] == {}
    ended = events[4].data
    assert (ended["cause"], ended["code"]) == ("enough", 10)
    assert ended["octets_received"] == session.counters.octetsReceived


def test_refusals(gateway: Fixture) -> None:
    """
    Refused callers and lockouts are told, with reasons.
    """
    client = gateway.open(kind="*-*")
    for _ in range(2):
        gateway.world.placeCall(gateway.world.connect(), password=b"wrong").addErrback(lambda _: 0)
        gateway.world.run(3)
    events = gateway.read(client)
    refused = [one.data for one in events if one.name == "caller-refused"]
    assert refused[0]["user"] == "alice" and refused[0]["reason"]
    (lockout,) = [one.data for one in events if one.name == "lockout-began"]
    assert (lockout["of"], lockout["subject"], lockout["failures"]) == ("user", "alice", 2)


def test_manyRefusals(gateway: Fixture) -> None:
    """
    Strangers who are refused all the time don't drive the other events out.
    """
    client = gateway.open()
    gateway.note(1)
    for number in range(500):
        gateway.witness.callerRefused("192.0.2.2", f"user{number}", "pap", "why", "sstp")
    assert gateway.log.next == 202
    gateway.world.clock.advance(1)
    gateway.witness.callerRefused("192.0.2.2", "last", "pap", "why", "sstp")
    last = gateway.read(client)[-1].data
    assert (last["user"], last["omitted"]) == ("last", 300)


def test_attacks(gateway: Fixture) -> None:
    """
    Attacks are told, but no more of them and of refusals than strangers may cause.
    """
    client = gateway.open(kind="call-attacked")
    attack = Attack("run-1", "alice", "192.0.2.8", "sstp", "a false binding")
    gateway.world.sessions.attacked(attack)
    (event,) = gateway.read(client)
    told = {name: value for name, value in event.data.items() if name != "time"}
    assert told == {
        "kind": "call-attacked",
        "session_id": "run-1",
        "user": "alice",
        "caller": "192.0.2.8",
        "tunnel": "sstp",
        "reason": "a false binding",
        "omitted": 0,
    }
    for _ in range(500):
        gateway.witness.attacked(attack)
    assert gateway.log.next == 201
    gateway.world.clock.advance(1)
    gateway.witness.callerRefused("192.0.2.2", "last", "pap", "why", "sstp")
    gateway.witness.attacked(attack)
    refused, attacked = gateway.read(gateway.open(last=2))
    assert (refused.data["omitted"], attacked.data["omitted"]) == (301, 0)


def test_byTunnel(gateway: Fixture) -> None:
    """
    A client is told of the calls by the tunnels that it asks for, and of nothing without a tunnel.
    """
    client = gateway.open(tunnel="pptp")
    gateway.note(1)
    gateway.world.setUpCall(b"alice")
    gateway.witness.callerRefused("192.0.2.2", "bob", "pap", "why", "sstp")
    gateway.witness.callerRefused("192.0.2.2", "bob", "pap", "why", "pptp")
    gateway.witness.attacked(Attack("", "", "192.0.2.8", "sstp", "a false binding"))
    assert gateway.kinds(client) == ["session-started", "session-changed", "caller-refused"]


def test_wholeGateway(gateway: Fixture) -> None:
    """
    Reloads and drains are told.
    """
    client = gateway.open()
    changes = Change("ipv4", "pool", Effect.NEW), Change("pptp", "port", Effect.RESTART, "port")
    gateway.world.sessions.reloaded(ReloadOutcome(5.0, Reloaded(changes)))
    gateway.world.sessions.reloaded(ReloadOutcome(6.0, error="bad"))
    gateway.world.sessions.drainChanged(Drain(7.0, 9.0), True)
    gateway.world.sessions.drainChanged(None, False)
    done, failed, drained, undrained = gateway.read(client)
    assert done.data["applied"] == ["[ipv4] pool"] and done.data["kept"] == ["[pptp] port"]
    assert (failed.data["applied"], failed.data["error"]) == ([], "bad")
    assert drained.data["drain"] == {"since": 7.0, "deadline": 9.0, "stop": False, "drained": True}
    assert undrained.data["drain"] is None


def test_looking(gateway: Fixture) -> None:
    """
    Faults and RADIUS servers that change are told once.
    """
    client = gateway.open()
    radius: Any = Radius()
    gateway.world.radius = radius
    gateway.witness.look()
    assert gateway.read(client) == []
    radius.isWell = False
    faulty: Any = type("Faulty", (), {"fault": "the port is gone"})()
    gateway.world.gateway.health.append(faulty)
    for _ in range(2):
        gateway.witness.look()
    fault, down = gateway.read(client)
    assert fault.data["faults"] == ["the port is gone"]
    assert (down.data["server"], down.data["service"]) == ("192.0.2.9", "authentication")
    assert down.data["alive"] is False
    radius.isWell = True
    gateway.world.gateway.health.pop()
    gateway.witness.look()
    assert [one.data.get("alive") for one in gateway.read(client)[2:]] == [None, True]


class TestPlace:
    """
    Tests for where a stream begins.
    """

    def test_new(self, gateway: Fixture) -> None:
        """
        A client that names no event is sent those to come.
        """
        gateway.note(3)
        client = gateway.open()
        assert gateway.read(client) == []
        gateway.note(1)
        assert [one.identifier for one in gateway.read(client)] == ["run-4"]

    def test_last(self, gateway: Fixture) -> None:
        """
        A client may ask for the last events.
        """
        gateway.note(3)
        events = gateway.read(gateway.open(last=2))
        assert [one.identifier for one in events] == ["run-2", "run-3"]

    def test_comingBack(self, gateway: Fixture) -> None:
        """
        A client that names an event is sent what follows it.
        """
        gateway.note(5)
        events = gateway.read(gateway.open(after="run-3"))
        assert [one.identifier for one in events] == ["run-4", "run-5"]

    def test_header(self, gateway: Fixture) -> None:
        """
        A browser names the event in a header.
        """
        gateway.note(5)
        events = gateway.read(gateway.asking.stream("/events", "run-4"))
        assert [one.identifier for one in events] == ["run-5"]

    def test_tooOld(self, gateway: Fixture) -> None:
        """
        A client that comes back too late is told how many events are lost.
        """
        gateway.note(SIZE + 5)
        gap, *rest = gateway.read(gateway.open(after="run-2"))
        assert (gap.name, gap.data["lost"]) == ("gap", 3)
        assert [one.identifier for one in rest] == [f"run-{number}" for number in range(6, 26)]
        # Coming back after the gap doesn't miss anything either.
        events = gateway.read(gateway.open(after=gap.identifier))
        assert events == rest

    @pytest.mark.parametrize("after", ["other-1", "run-9", "run", "run-", "run-x", f"run-{10**99}"])
    def test_unknown(self, gateway: Fixture, after: str) -> None:
        """
        An identifier of another run, or none at all, is a gap of unknown size.
        """
        gateway.note(2)
        gap, *rest = gateway.read(gateway.open(after=after))
        assert (gap.name, gap.data["lost"]) == ("gap", None)
        assert [one.identifier for one in rest] == ["run-1", "run-2"]


def test_filters(gateway: Fixture) -> None:
    """
    Events are filtered by kind and user.
    """
    ends = gateway.open(kind="session-ended")
    bobs = gateway.open(user="B*")
    for name in (b"alice", b"bob"):
        gateway.world.setUpCall(name)
    for session in gateway.world.sessions:
        session.hangUp("enough")
    gateway.world.run(0.1)
    assert gateway.kinds(ends) == ["session-ended"] * 2
    assert {one.data["user"] for one in gateway.read(bobs)} == {"bob"}
    assert len(gateway.read(bobs)) == 4


def test_slowReader(gateway: Fixture) -> None:
    """
    A client that doesn't read for too long is told of a gap, and nothing is kept for it.
    """
    client = gateway.open()
    client.producer.pauseProducing()
    gateway.note(3 * SIZE)
    client.producer.resumeProducing()
    gap, *rest = gateway.read(client)
    assert gap.data["lost"] == 2 * SIZE
    assert len(rest) == SIZE


def test_encodedOnce(gateway: Fixture) -> None:
    """
    Nothing is made of an event while nobody listens, and it is made once for all who do.
    """
    made: list[int] = []
    make = gateway.witness.drainChanged

    def count() -> Any:
        made.append(1)
        return entry()

    make(None, False)
    entry: Any = gateway.log._entries[1].make  # type: ignore[union-attr]
    gateway.log._entries[1].make = count  # type: ignore[union-attr]
    assert not made
    clients = [gateway.open(last=1) for _ in range(3)]
    assert [gateway.kinds(one) for one in clients] == [["drain-changed"]] * 3
    assert made == [1]


def test_hangingUp(gateway: Fixture) -> None:
    """
    A client that hangs up is forgotten.
    """
    client = gateway.open()
    client.hangUp()
    assert not gateway.log._listeners


def test_strangeName(gateway: Fixture) -> None:
    """
    A name that isn't valid UTF-8 doesn't end the stream.
    """
    client = gateway.open()
    gateway.witness.callerRefused("192.0.2.2", "a\udcff\n\ndata: x", "pap", "why", "sstp")
    gateway.note(1)
    refused, _ = gateway.read(client)
    assert refused.data["user"] == "a?\n\ndata: x"


def test_document(gateway: Fixture) -> None:
    """
    The document describes the data of every kind of event.
    """
    validate(gateway.asking.document)
    operation = gateway.asking.document["paths"]["/api/v1/events"]["get"]
    content = operation["responses"]["200"]["content"]["text/event-stream"]
    kinds = content["x-data-schema"]["discriminator"]["mapping"]
    assert {"session-ended", "gap", "reloaded"} < set(kinds)
