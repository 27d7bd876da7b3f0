"""
Tests for L{pptpgw.sessions.audit}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pptpgw.interfaces import (
    Attack,
    IAttackObserver,
    ISessionObserver,
    Operated,
    Stations,
)
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ports.linefile import LineFile
from pptpgw.sessions.audit import REFUSALS, Audit, LineObserver, allowed, timestamp
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.leftopen import LeftOpen
from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.registry import Registry
from pptpgw.sessions.session import Session
from pptpgw.store.record import SessionRecord
from pptpgw.testing import makeSession, resultOf
from pptpgw.tunnels.pptp.call import PPTP
from tests.chapsecrets import secretsIn
from tests.test_gateway import SECRETS, World, failureOf, ipv4

NOON = 951825600.25
"""
The 29th of February, 2000, 12:00:00.250 UTC.
"""


class Pages:
    """
    An audit, and the lines that it wrote.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.text = ""
        self.audit = Audit(self.clock, LineObserver(self.write), self.clock.seconds)

    def write(self, line: str) -> None:
        self.text += line

    @property
    def events(self) -> list[dict[str, Any]]:
        assert self.text == "" or self.text.endswith("\n")
        return [json.loads(line) for line in self.text.split("\n")[:-1]]


def session(
    user: str = "alice", profile: Profile | None = None, clock: Clock | None = None
) -> Session:
    """
    A session that began at L{NOON}.
    """
    return makeSession(profile or Profile(user), seconds=(clock or Clock()).seconds, since=NOON)


def test_itIsAnObserver() -> None:
    verifyObject(ISessionObserver, Pages().audit)
    verifyObject(IAttackObserver, Pages().audit)


class TestEvents:
    def test_anAttack(self) -> None:
        """
        An attack is an event of its own, and only so many are written.
        """
        pages = Pages()
        attack = Attack("cafe00000001", "alice", "192.0.2.7", "sstp", "the crypto binding")
        pages.audit.attacked(attack)
        (event,) = pages.events
        assert event == {
            "time": "1970-01-01T00:00:00.000Z",
            "event": "attacked",
            "session": "cafe00000001",
            "user": "alice",
            "source": "192.0.2.7",
            "tunnel": "sstp",
            "cause": "the crypto binding",
        }
        for _ in range(3000):
            pages.audit.attacked(attack)
        assert len(pages.events) == REFUSALS[1]

    def test_timesAreISO8601InUTC(self) -> None:
        assert timestamp(NOON) == "2000-02-29T12:00:00.250Z"
        assert timestamp(0) == "1970-01-01T00:00:00.000Z"

    def test_aSessionFromItsStartToItsEnd(self) -> None:
        pages = Pages()
        pages.clock.advance(NOON)
        one = session(clock=pages.clock)
        one.authentication = "mschapv2"
        one.tunnel = PPTP
        # Other observers are told first, so the clock has moved on a little since the start.
        pages.clock.advance(0.5)
        pages.audit.sessionStarted(one)
        pages.clock.advance(90)
        one.counters.octetsReceived, one.counters.octetsSent = 1000, 1 << 40
        one.counters.packetsReceived, one.counters.packetsSent = 10, 20
        pages.audit.sessionEnded(one, Cause("time is up", Termination.SESSION_TIMEOUT))
        common = {
            "session": "cafe00000001",
            "user": "alice",
            "source": "192.0.2.7",
            "tunnel": "pptp",
        }
        assert pages.events == [
            {
                "time": "2000-02-29T12:00:00.250Z",
                "event": "started",
                **common,
                "method": "mschapv2",
                "profile": {},
            },
            {
                "time": "2000-02-29T12:01:30.750Z",
                "event": "ended",
                **common,
                "cause": "time is up",
                "code": 5,
                "started": "2000-02-29T12:00:00.250Z",
                "duration": 90.5,
                "method": "mschapv2",
                "encryption": "not encrypted",
                "addresses": {},
                "octetsReceived": 1000,
                "octetsSent": 1 << 40,
                "packetsReceived": 10,
                "packetsSent": 20,
            },
        ]

    def test_anAccessConcentrator(self) -> None:
        """
        An event tells by which access concentrator the call came, and the numbers that it tells.
        """
        pages, one = Pages(), session()
        one.concentrator, one.stations = "pop", Stations("030123", "0190")
        pages.audit.sessionStarted(one)
        (event,) = pages.events
        assert (event["concentrator"], event["callingStation"]) == ("pop", "030123")
        assert event["calledStation"] == "0190"

    def test_aChange(self) -> None:
        pages, one = Pages(), session()
        one.profile = Profile("alice", sendRate=1_000_000, idleTimeout=60.0)
        pages.audit.sessionChanged(one)
        (event,) = pages.events
        assert event["event"] == "changed"
        assert event["profile"] == {"sendRate": 1_000_000, "idleTimeout": 60.0}

    def test_sessionsOfARunThatBrokeOff(self) -> None:
        """
        Each session of a run that was killed is ended once, whether the store, the file or both
        know it. The store's figures are used where both do.
        """
        before = Pages()
        before.clock.advance(NOON)
        for user in ("alice", "bob", "carol"):
            one = session(user, clock=before.clock)
            one.identifier = user
            before.audit.sessionStarted(one)
            if user == "carol":
                before.audit.sessionEnded(one, "enough")
        one.identifier = "alice"
        one.networks["ipv4"] = (IPv4Network("10.0.0.1"),)
        protocol: Any = IPCP(IPv4Settings.client(lambda packet: None))
        before.audit.protocolOpened(one, protocol)
        lines = ["half a line", "[]", *before.text.splitlines(), '{"event": "started"']
        records = [
            SessionRecord(
                user,
                user,
                "gate",
                "192.0.2.7",
                NOON,
                NOON + 60,
                "mschapv2",
                "MPPE",
                ("10.0.0.2/32", "2001:db8::/64"),
                1,
                2,
                3,
                4,
            )
            for user in ("bob", "carol", "dave")
        ]
        pages = Pages()
        pages.clock.advance(NOON + 100)
        pages.audit.endEarlier(LeftOpen(lines), records)
        pages.audit.endEarlier(LeftOpen(), ())
        common = {
            "time": "2000-02-29T12:01:40.250Z",
            "event": "ended",
            "source": "192.0.2.7",
            "tunnel": "",
            "started": "2000-02-29T12:00:00.250Z",
            "cause": "the gateway's run broke off",
            "code": 11,
        }
        recorded = common | {
            "duration": 60,
            "method": "mschapv2",
            "encryption": "MPPE",
            "addresses": {"ipv4": ["10.0.0.2/32"], "ipv6": ["2001:db8::/64"]},
            "octetsReceived": 1,
            "octetsSent": 2,
            "packetsReceived": 3,
            "packetsSent": 4,
        }
        known = common | {
            "method": "none",
            "encryption": "not encrypted",
            "addresses": {"ipv4": ["10.0.0.1/32"]},
        }
        assert pages.events == [
            recorded | {"session": "bob", "user": "bob"},
            recorded | {"session": "dave", "user": "dave"},
            known | {"session": "alice", "user": "alice"},
        ]

    def test_aRefusalAndALockout(self) -> None:
        pages = Pages()
        why = "no such user or wrong password"
        pages.audit.callerRefused("192.0.2.7", "mallory", "pap", why, "sstp")
        pages.audit.callerRefused("192.0.2.7", "", "", "too many calls", "sstp")
        pages.audit.lockedOut("source", "192.0.2.7", 5, 300.0)
        assert [list(event) for event in pages.events] == [
            ["time", "event", "source", "tunnel", "user", "method", "cause"],
            ["time", "event", "source", "tunnel", "cause"],
            ["time", "event", "failures", "until", "source"],
        ]
        assert pages.events[2]["until"] == "1970-01-01T00:05:00.000Z"

    def test_aStormOfRefusals(self) -> None:
        """
        Refusals beyond the rate limit aren't written, and the next event that is written says how
        many were omitted. Events of sessions aren't limited.
        """
        pages = Pages()
        for _ in range(int(REFUSALS[1]) + 7):
            pages.audit.callerRefused("192.0.2.7", "mallory", "pap", "no", "sstp")
        pages.audit.sessionStarted(session())
        assert len(pages.events) == REFUSALS[1] + 1
        pages.clock.advance(1)
        pages.audit.callerRefused("192.0.2.7", "mallory", "pap", "no", "sstp")
        pages.audit.callerRefused("192.0.2.7", "mallory", "pap", "no", "sstp")
        assert [event.get("omitted") for event in pages.events[-2:]] == [7, None]

    def test_aProfileInJSON(self) -> None:
        profile = Profile(
            "alice",
            addresses=(IPv4Network("10.77.1.7"),),
            identifier=bytes(7) + b"\1",
            protocols=frozenset(("ipv6", "ipv4")),
            accountingClass=(b"\xff\0",),
        )
        assert json.loads(json.dumps(allowed(profile))) == {
            "addresses": ["10.77.1.7/32"],
            "identifier": "0000000000000001",
            "protocols": ["ipv4", "ipv6"],
            "accountingClass": ["ff00"],
        }


class TestHostileNames:
    @given(st.text(st.characters(codec=None), max_size=80), st.text(max_size=80))
    def test_anEventIsOneLineWhateverAPeerSaysOfItself(self, name: str, cause: str) -> None:
        """
        An event is one line and can be parsed again, whatever a peer's name is: surrogates,
        newlines, separators and quotes included.
        """
        pages = Pages()
        pages.audit.callerRefused("192.0.2.7", name, "pap", cause, "sstp")
        pages.audit.sessionStarted(session(name))
        pages.audit.sessionEnded(session(name), cause)
        assert pages.text.count("\n") == 3 and len(pages.text.splitlines()) == 3
        assert pages.text.isascii()
        assert all(one >= " " or one == "\n" for one in pages.text)
        assert [event.get("user", "") for event in pages.events] == [name] * 3


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """
    A gateway in memory.
    """
    yield World(secretsIn(tmp_path, SECRETS))


class TestWithTheGateway:
    def test_aWholeSessionEqualsItsCounters(self, world: World, tmp_path: Path) -> None:
        """
        The events of a session in the file have the session's counters.
        """
        file = LineFile(str(tmp_path / "audit"))
        file.open()
        audit = Audit(world.clock, LineObserver(file.write), world.clock.seconds)
        world.gateway.sessions.addObserver(audit)
        call = resultOf(world.call(world.connect()))
        for size in (40, 400, 1400):
            ipv4(call).sendPacket(bytes(size))
        world.dataPath.channels[0].sendPacket(0x21, bytes(99))
        world.run(1)
        (living,) = world.gateway.sessions
        counters = living.counters
        call.hangUp("enough")
        world.run(5, 0.01)
        file.close()
        events = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
        assert [event["event"] for event in events] == ["started", "opened", "closed", "ended"]
        assert {event["session"] for event in events} == {living.identifier}
        assert events[0]["method"] == "mschapv2"
        assert events[1]["addresses"] == events[2]["addresses"] == ["10.77.0.10/32"]
        assert events[1]["encryption"] == "MPPE 128 bit stateless"
        ended = events[3]
        assert ended["addresses"] == {"ipv4": ["10.77.0.10/32"]}
        for figure in ("octetsReceived", "octetsSent", "packetsReceived", "packetsSent"):
            assert ended[figure] == getattr(counters, figure), figure
        assert (ended["octetsReceived"], ended["packetsReceived"]) == (1840, 3)
        assert (ended["octetsSent"], ended["packetsSent"]) == (99, 1)
        assert ended["code"] == Termination.USER_REQUEST
        assert "enough" in ended["cause"]
        assert ended["duration"] >= 1

    def test_aStoppingGateway(self, world: World) -> None:
        pages = Pages(world.clock)
        world.gateway.sessions.addObserver(pages.audit)
        resultOf(world.call(world.connect()))
        world.gateway.stop(5)
        world.run(6, 0.01)
        assert pages.events[-1]["event"] == "ended"
        assert pages.events[-1]["code"] == Termination.ADMIN_REBOOT

    def test_aWrongPassword(self, world: World) -> None:
        pages = Pages(world.clock)
        world.gateway.sessions.addObserver(pages.audit)
        failed = world.call(world.connect(), b'alice"\n{}', b"guess")
        world.run(10, 0.01)
        failureOf(failed)
        (event,) = pages.events
        assert (event["event"], event["user"]) == ("refused", 'alice"\n{}')
        assert event["source"] == "192.0.2.7"
        assert "guess" not in pages.text


class TestOperated:
    """
    Tests for the events of operators.
    """

    ACT = Operated("ann", "192.0.2.1", "DELETE /sessions", "/api/v1/sessions?user=\n*", "done")

    def test_event(self) -> None:
        """
        An event says who did what, from where, and what became of it.
        """
        pages = Pages()
        pages.clock.advance(NOON)
        pages.audit.operated(self.ACT)
        assert pages.events == [
            {
                "time": "2000-02-29T12:00:00.250Z",
                "event": "operated",
                "operator": "ann",
                "from": "192.0.2.1",
                "action": "DELETE /sessions",
                "target": "/api/v1/sessions?user=\n*",
                "outcome": "done",
            }
        ]

    def test_told(self) -> None:
        """
        The registry tells observers that want to know, and leaves out the others.
        """
        pages, registry = Pages(), Registry(Clock())
        registry.addObserver(SessionObserver())
        registry.addObserver(pages.audit)
        registry.operated(self.ACT)
        assert [one["event"] for one in pages.events] == ["operated"]

    def test_limited(self) -> None:
        """
        Strangers' logins are limited, and refused callers don't displace what operators do.
        """
        pages = Pages()
        for _ in range(int(REFUSALS[1]) + 5):
            pages.audit.callerRefused("192.0.2.1", "eve", "mschapv2", "wrong", "sstp")
        pages.audit.operated(self.ACT)
        assert pages.events[-1]["event"] == "operated" and "omitted" not in pages.events[-1]
        for _ in range(int(REFUSALS[1]) + 5):
            pages.audit.operated(self.ACT)
        pages.clock.advance(1)
        pages.audit.operated(self.ACT)
        assert pages.events[-1]["omitted"] == 6
