"""
Tests for L{pptpgw.radius.accounting}: which records are made, and when.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from pptpgw.auth.realm import SubscriberRealm
from pptpgw.config.configuration import parse
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.ports.queue import Queue
from pptpgw.radius.accounting import SETTLING, UNANSWERED, Accounting
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import Attributes
from pptpgw.radius.spool import Spool
from pptpgw.radius.transport import Unanswered
from pptpgw.service import GatewayService
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import Session
from pptpgw.testing import makeSession

NOW = 1_700_000_000
START, STOP, INTERIM, ON, OFF = 1, 2, 3, 7, 8


class Request:
    """
    The attributes of a request.
    """

    def __init__(self) -> None:
        self.values: dict[str, list[bytes]] = {}

    def add(self, name: str, value: bytes) -> None:
        self.values.setdefault(name, []).append(value)

    def addAll(self, attributes: Attributes) -> None:
        for name, value in attributes:
            self.add(name, value)

    def number(self, name: str) -> int:
        [value] = self.values[name]
        assert len(value) == 4
        return int.from_bytes(value, "big")


class World:
    """
    Accounting with a clock, and the servers that it asks.
    """

    def __init__(self, interval: float = 600.0) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.counters = Counters()
        self.asked: list[tuple[Request, Deferred[Any]]] = []
        self.accounting = Accounting(
            self.clock,
            self.ask,
            lambda send: Spool(self.clock, Queue(None, "spool", "", 1 << 20), send, self.counters),
            NAS(b"gate", (IPv4Address("192.0.2.1"),)),
            interval,
            10,
            self.counters,
            self.clock.seconds,
        )
        self.accounting.open()

    def ask(self, code: int, fill: Any, deadline: float) -> Deferred[Any]:
        assert code == 4
        request = Request()
        fill(request)
        self.asked.append((request, Deferred()))
        return self.asked[-1][1]

    def answer(self) -> Request:
        request, asked = self.asked.pop(0)
        asked.callback(None)
        return request

    def leave(self) -> Request:
        request, asked = self.asked.pop(0)
        asked.errback(Failure(Unanswered("nobody")))
        return request

    def kinds(self) -> list[int]:
        return [request.number("Acct-Status-Type") for request, _ in self.asked]

    def session(self, **profile: Any) -> Session:
        session = makeSession(
            Profile("alice", **profile),
            (1 << 32) + 7,
            identifier="run1",
            caller="198.51.100.1",
            seconds=self.clock.seconds,
            changed=self.accounting.sessionChanged,
        )
        self.accounting.sessionStarted(session)
        return session

    def open(self, session: Session) -> None:
        session.networks["ipv4"] = (IPv4Network("10.0.0.1"), IPv4Network("10.9.0.0/24"))
        protocol: Any = None
        self.accounting.protocolOpened(session, protocol)


def test_startComesWithTheFirstNetwork() -> None:
    """
    The Start is sent when the first network opens. A session without a network has no records.
    """
    world = World()
    session = world.session()
    assert world.asked == []
    world.accounting.sessionEnded(session, "never got there")
    assert world.asked == []
    session = world.session(accountingClass=(b"\x00one", b"two"))
    world.open(session)
    assert world.kinds() == [START]
    start = world.answer()
    assert start.values["Framed-IP-Address"] == [bytes((10, 0, 0, 1))]
    assert start.values["Class"] == [b"\x00one", b"two"]
    assert start.values["NAS-IP-Address"] == [bytes((192, 0, 2, 1))]
    assert start.number("NAS-Port") == 7 and start.number("Event-Timestamp") == NOW


def test_stop() -> None:
    """
    A Stop has 64-bit counters, the session's time, the code of its cause and the addresses that the
    session had.
    """
    world = World()
    session = world.session()
    world.open(session)
    session.networks["ipv6"] = (IPv6Network("2001:db8::/64"), IPv6Network("2001:db8:100::/56"))
    protocol: Any = None
    world.accounting.protocolOpened(session, protocol)
    world.answer()
    session.networks.clear()
    world.accounting.protocolClosed(session, protocol)
    world.clock.advance(1.5)
    session.counters.octetsReceived = (1 << 40) + 5
    session.counters.octetsSent = (1 << 32) - 1
    world.accounting.sessionEnded(session, Cause("idle", Termination.IDLE_TIMEOUT))
    assert world.kinds() == [STOP]
    stop = world.answer()
    assert (stop.number("Acct-Input-Octets"), stop.number("Acct-Input-Gigawords")) == (5, 256)
    assert stop.number("Acct-Output-Octets") == 0xFFFFFFFF
    assert stop.number("Acct-Output-Gigawords") == 0
    assert stop.number("Acct-Session-Time") == 1
    assert stop.number("Acct-Terminate-Cause") == 4
    assert stop.number("Acct-Delay-Time") == 0
    assert stop.values["Framed-IP-Address"] == [bytes((10, 0, 0, 1))]
    assert stop.values["Framed-IPv6-Prefix"] == [bytes.fromhex("004020010db800000000")]
    assert stop.values["Delegated-IPv6-Prefix"] == [bytes.fromhex("003820010db8010000")]
    assert not world.clock.getDelayedCalls()


def test_theEndIsAccountedForWhenTheStopIsAnswered() -> None:
    world = World()
    session = world.session()
    world.open(session)
    ended = world.accounting.sessionEnded(session, "over")
    assert ended is not None
    world.answer()
    assert world.kinds() == [STOP] and not ended.called
    world.leave()
    assert not ended.called
    world.clock.advance(2)
    world.answer()
    assert ended.called


def test_delay() -> None:
    """
    A record that is sent late has its delay, and still the time of its event.
    """
    world = World()
    world.open(world.session())
    assert world.leave().number("Acct-Delay-Time") == 0
    world.clock.advance(1.3)
    assert world.leave().number("Acct-Delay-Time") == 1
    world.clock.advance(100)
    late = world.answer()
    assert late.number("Acct-Delay-Time") == 101 and late.number("Event-Timestamp") == NOW


@pytest.mark.parametrize(
    ("interval", "profile", "least", "most"),
    [(600, None, 540, 660), (600, 120.0, 108, 132), (0, 300.0, 270, 330), (600, 5.0, 60, 60)],
)
def test_interim(interval: float, profile: float | None, least: float, most: float) -> None:
    """
    Updates are sent at the account's interval, or without one at the configuration's, with a tenth
    of jitter and at least a minute apart (RFC 2869 section 2.1).
    """
    world = World(interval)
    world.open(world.session(interim=profile))
    world.answer()
    for _ in range(3):
        [timer] = world.clock.getDelayedCalls()
        assert least <= timer.getTime() - world.clock.seconds() <= most
        world.clock.advance(timer.getTime() - world.clock.seconds())
        assert world.kinds() == [INTERIM]
        assert "Acct-Delay-Time" not in world.answer().values


def test_noInterim() -> None:
    """
    No updates are sent where neither the account nor the configuration has an interval.
    """
    world = World(0)
    world.open(world.session())
    world.answer()
    assert not world.clock.getDelayedCalls()


def test_noUpdateBeforeTheStart() -> None:
    """
    No update is sent before the Start is answered. An update without an answer isn't repeated, and
    no other is sent meanwhile.
    """
    world = World()
    session = world.session()
    world.open(session)
    world.clock.advance(700)
    assert world.kinds() == [START]
    world.answer()
    world.clock.advance(700)
    world.clock.advance(700)
    assert world.kinds() == [INTERIM]
    world.leave()
    assert world.asked == [] and world.counters.discards == {UNANSWERED: 1}
    world.clock.advance(700)
    assert world.kinds() == [INTERIM]
    world.accounting.sessionEnded(session, "over")
    assert world.kinds() == [INTERIM, STOP]


def test_changesBecomeOneUpdate() -> None:
    """
    Several changes within a moment cause one update, and the last change's interval applies from
    then on.
    """
    world = World()
    session = world.session()
    world.open(session)
    world.answer()
    for seconds in (300.0, 100.0):
        session.change(Profile("alice", interim=seconds))
        world.clock.advance(SETTLING / 2)
    world.accounting.networksChanged(session)
    world.clock.advance(SETTLING)
    assert world.kinds() == [INTERIM]
    world.answer()
    [timer] = world.clock.getDelayedCalls()
    assert 90 <= timer.getTime() - world.clock.seconds() <= 110


def test_onAndOff() -> None:
    """
    Accounting-On is sent at the start and Accounting-Off at the end, with the same identifier. The
    end waits for the answer.
    """
    world = World()
    world.accounting.start()
    on = world.answer()
    stopped = world.accounting.stop()
    ended: list[object] = []
    stopped.addCallback(ended.append)
    assert world.kinds() == [OFF] and ended == []
    off = world.answer()
    assert ended == [None]
    assert on.values["Acct-Session-Id"] == off.values["Acct-Session-Id"]
    assert on.number("Acct-Status-Type") == ON and off.number("Acct-Terminate-Cause") == 7


def test_aRecordOfAnotherVersion() -> None:
    """
    A record that can't be read, such as one of another version, is removed from the queue.
    """
    world = World()
    sent = world.accounting._send(b"?")
    assert sent.called and world.asked == []


def test_dynamicForNobody() -> None:
    """
    A dynamic authorization port without clients is a configuration error, and so is a client
    without a secret.
    """
    for text, why in (
        ('dynamic = "127.0.0.1:3799"', "nobody may send requests"),
        (
            'dynamic = "127.0.0.1:3799"\n[[radius.client]]\nhost = "192.0.2.1"',
            "secret or secret-file is missing",
        ),
    ):
        configuration = parse(f"[radius]\n{text}", "test")
        with pytest.raises(ConfigurationError, match=why):
            GatewayService(MemoryReactorClock(), configuration, Portal(SubscriberRealm(), []))
