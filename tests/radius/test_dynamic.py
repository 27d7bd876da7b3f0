"""
Tests of L{pptpgw.radius.dynamic}: requests made by pyrad, which signs and reads them by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad.packet import CoAPacket, Packet
from twisted.internet.task import Clock

from pptpgw.cause import Termination, codeOf
from pptpgw.counters import Counters
from pptpgw.profile import Profile
from pptpgw.radius import dynamic as module
from pptpgw.radius.dynamic import DynamicAuthorization, DynamicPort
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import (
    COA_ACK,
    COA_NAK,
    COA_REQUEST,
    DISCONNECT_ACK,
    DISCONNECT_NAK,
    DISCONNECT_REQUEST,
    dictionary,
)
from pptpgw.session.session import Session

HOST, SECRET = "192.0.2.9", b"the secret of tests"
NOW = 1_700_000_000
WINDOW = 300.0


@dataclass
class World:
    """
    Three sessions, two of them alice's, and the rules.
    """

    timestamps: bool = True
    clock: Clock = field(default_factory=Clock)
    counters: Counters = field(default_factory=Counters)
    sessions: list[Session] = field(default_factory=list)
    hungUp: list[tuple[str, str]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    port: int = 4000

    def __post_init__(self) -> None:
        self.clock.advance(NOW)
        for number, user in enumerate(("alice", "alice", "bob"), 1):
            identifier = f"run{number}"
            session = Session(
                number,
                identifier,
                Profile(user, accountingClass=(b"class %d" % number,)),
                f"198.51.100.{number}",
                NOW,
                Counters(),
                lambda cause, identifier=identifier: self.hungUp.append((identifier, cause)),  # type: ignore[misc]
                lambda session: self.changes.append(session.identifier),
            )
            session.networks["ipv4"] = (IPv4Network(f"10.0.0.{number}"),)
            session.networks["ipv6"] = (
                IPv6Network(f"2001:db8:0:{number}::/64"),
                IPv6Network(f"2001:db8:{number}00::/56"),
            )
            self.sessions.append(session)
        self.rules = DynamicAuthorization(
            self.clock,
            {HOST: SECRET, "2001:db8::9": b"another"},
            NAS(b"gate", (IPv4Address("192.0.2.1"),)),
            lambda: self.sessions,
            WINDOW,
            self.timestamps,
            self.counters,
        )

    def request(
        self,
        code: int,
        *attributes: tuple[str, Any],
        secret: bytes = SECRET,
        when: float | None = 0,
        signed: bool = True,
    ) -> CoAPacket:
        """
        A request that was made C{when} seconds from now; None: it doesn't say.
        """
        packet = CoAPacket(code=code, id=7, secret=secret, dict=dictionary())
        for name, value in attributes:
            packet.AddAttribute(name, value)
        if when is not None:
            packet.AddAttribute("Event-Timestamp", int(self.clock.seconds() + when))
        if signed:
            packet.add_message_authenticator()
        return packet

    def send(self, packet: CoAPacket, host: str = HOST) -> Packet | None:
        """
        Send it; give the answer, which must be a true one.
        """
        octets = self.rules.received(packet.RequestPacket(), host, self.port)
        if octets is None:
            return None
        reply = Packet(secret=packet.secret, dict=dictionary(), packet=octets)
        assert 80 in reply and packet.VerifyReply(reply, octets)
        return reply

    def disconnect(self, *attributes: tuple[str, Any], **more: Any) -> Packet | None:
        return self.send(self.request(DISCONNECT_REQUEST, *attributes, **more))

    def change(self, *attributes: tuple[str, Any], **more: Any) -> Packet | None:
        return self.send(self.request(COA_REQUEST, *attributes, **more))

    def assertNothingDone(self) -> None:
        assert self.hungUp == [] and self.changes == []


def refused(reply: Packet | None, code: int) -> int:
    """
    The Error-Cause of a refusal.
    """
    assert reply is not None and reply.code == code
    [octets] = reply[101]
    return int.from_bytes(octets, "big")


# Which session


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ([("Acct-Session-Id", "run2")], ["run2"]),
        ([("User-Name", "bob")], ["run3"]),
        ([("User-Name", "alice")], ["run1", "run2"]),
        ([("Framed-IP-Address", "10.0.0.2")], ["run2"]),
        ([("Framed-IPv6-Prefix", "2001:db8:0:3::/64")], ["run3"]),
        ([("Delegated-IPv6-Prefix", "2001:db8:100::/56")], ["run1"]),
        ([("Calling-Station-Id", "198.51.100.1")], ["run1"]),
        ([("NAS-Port", 3)], ["run3"]),
        ([("Class", b"class 2")], ["run2"]),
        ([("User-Name", "alice"), ("Framed-IP-Address", "10.0.0.1")], ["run1"]),
        ([("Acct-Session-Id", "run1"), ("NAS-Identifier", "gate")], ["run1"]),
        ([("Acct-Session-Id", "run1"), ("NAS-IP-Address", "192.0.2.1")], ["run1"]),
    ],
)
def test_disconnect(attributes: list[tuple[str, Any]], expected: list[str]) -> None:
    """
    Every attribute that a session has in accounting finds it; all sessions that are meant end.
    """
    world = World()
    reply = world.disconnect(*attributes)
    assert reply is not None and reply.code == DISCONNECT_ACK
    assert [identifier for identifier, _ in world.hungUp] == expected
    assert {codeOf(cause) for _, cause in world.hungUp} == {Termination.ADMIN_RESET}


@pytest.mark.parametrize(
    ("attributes", "cause"),
    [
        ([("Acct-Session-Id", "run9")], 503),
        ([("User-Name", "alice"), ("Framed-IP-Address", "10.0.0.3")], 503),
        ([("Framed-IPv6-Prefix", "2001:db8:0:9::/64")], 503),
        ([], 402),
        ([("NAS-Identifier", "gate")], 402),
        ([("Acct-Session-Id", "run1"), ("NAS-Identifier", "other")], 403),
        ([("Acct-Session-Id", "run1"), ("NAS-IP-Address", "192.0.2.2")], 403),
        ([("Acct-Session-Id", "run1"), ("NAS-IPv6-Address", "2001:db8::1")], 401),
        ([("Acct-Session-Id", "run1"), ("Session-Timeout", 1)], 401),
        ([("Acct-Session-Id", "run1"), ("Framed-Pool", "other")], 401),
        ([("Acct-Session-Id", "run1"), ("Service-Type", 8)], 405),
    ],
)
def test_refusedDisconnect(attributes: list[tuple[str, Any]], cause: int) -> None:
    """
    What can't be obeyed is refused with its Error-Cause (RFC 5176 section 3.5), and nothing done.
    """
    world = World()
    assert refused(world.disconnect(*attributes), DISCONNECT_NAK) == cause
    world.assertNothingDone()


def test_aVendorsAttributeThatNobodyKnows() -> None:
    """
    One that isn't in the dictionary is refused as any other (section 2.3).
    """
    world = World()
    packet = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1"))
    packet[(9999, 1)] = [b"x"]
    assert refused(world.send(packet), DISCONNECT_NAK) == 401
    world.assertNothingDone()


# Changes


def test_change() -> None:
    """
    Limits and filters of a live session change, all else of its profile stays.
    """
    world = World()
    reply = world.change(
        ("Acct-Session-Id", "run1"),
        ("Session-Timeout", 100),
        ("Idle-Timeout", 50),
        ("Acct-Interim-Interval", 120),
        ("Filter-Id", "slow"),
        ("Mikrotik-Rate-Limit", "1M/2M"),
        ("Service-Type", 2),
    )
    assert reply is not None and reply.code == COA_ACK
    assert world.changes == ["run1"]
    assert world.sessions[0].profile == Profile(
        "alice",
        sessionTimeout=100.0,
        idleTimeout=50.0,
        interim=120.0,
        filter="slow",
        receiveRate=1_000_000,
        sendRate=2_000_000,
        accountingClass=(b"class 1",),
    )


def test_changeOfSeveral() -> None:
    """
    All sessions that are meant change; a Class in it is the new one, not a name.
    """
    world = World()
    reply = world.change(("User-Name", "alice"), ("Class", b"new"))
    assert reply is not None and reply.code == COA_ACK
    assert world.changes == ["run1", "run2"]
    assert [one.profile.accountingClass for one in world.sessions[:2]] == [(b"new",)] * 2


@pytest.mark.parametrize(
    ("attributes", "cause"),
    [
        ([("Session-Timeout", 100)], 402),
        ([("Acct-Session-Id", "run1")], 402),
        ([("Acct-Session-Id", "run9"), ("Session-Timeout", 100)], 503),
        ([("Acct-Session-Id", "run1"), ("Filter-Id", "x"), ("Framed-MTU", 1000)], 401),
        ([("Acct-Session-Id", "run1"), ("Mikrotik-Rate-Limit", "fast")], 407),
        ([("Acct-Session-Id", "run1"), ("Session-Timeout", 9), ("Service-Type", 17)], 405),
    ],
)
def test_refusedChange(attributes: list[tuple[str, Any]], cause: int) -> None:
    """
    Either everything changes or nothing (section 2.3).
    """
    world = World()
    assert refused(world.change(*attributes), COA_NAK) == cause
    world.assertNothingDone()


def test_aValueOfTheWrongLength() -> None:
    """
    A Session-Timeout of three octets is refused as a value.
    """
    world = World()
    packet = world.request(COA_REQUEST, ("Acct-Session-Id", "run1"))
    packet[27] = [b"abc"]
    assert refused(world.send(packet), COA_NAK) == 407
    world.assertNothingDone()


def test_proxyState() -> None:
    """
    Each Proxy-State comes back as it was, in order, whatever the answer (section 3.1).
    """
    world = World()
    states = [("Proxy-State", b"one"), ("Proxy-State", b"two")]
    for attributes in ([("Acct-Session-Id", "run1")], [("Acct-Session-Id", "run9")]):
        reply = world.disconnect(*attributes, *states)
        assert reply is not None and reply["Proxy-State"] == [b"one", b"two"]


def test_noRoomForTheAnswer() -> None:
    """
    So much Proxy-State that the answer would be too large is not answered.
    """
    world = World(timestamps=False)
    states = [*[("Proxy-State", bytes(250))] * 16, ("Proxy-State", bytes(40))]
    assert world.disconnect(*states, when=None, signed=False) is None
    assert world.counters.discards == {"dynamic authorization: no room for an answer": 1}


# Who asks


def assertDiscarded(world: World, reason: str) -> None:
    assert world.counters.discards == {f"dynamic authorization: {reason}": 1}
    world.assertNothingDone()


def test_fromElsewhere() -> None:
    """
    Whoever isn't in the list isn't answered, whatever it knows.
    """
    world = World()
    packet = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1"))
    assert world.send(packet, "192.0.2.10") is None
    assertDiscarded(world, "from nobody who may")


def test_forged() -> None:
    """
    Nor is who doesn't know the secret; that of another client isn't its.
    """
    for secret in (b"wrong", b"another"):
        world = World()
        assert world.disconnect(("Acct-Session-Id", "run1"), secret=secret) is None
        assertDiscarded(world, "the authenticator is wrong")


def test_forgedMessageAuthenticator() -> None:
    """
    A Message-Authenticator that is there must be right.
    """
    world = World()
    packet = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1"), signed=False)
    packet[80] = [bytes(16)]
    assert world.send(packet) is None
    assertDiscarded(world, "the Message-Authenticator is wrong")


def test_withoutMessageAuthenticator() -> None:
    """
    It may be left out: the authenticator signs the whole request.
    """
    world = World()
    assert world.disconnect(("Acct-Session-Id", "run1"), signed=False) is not None


def test_flippedBits() -> None:
    """
    No bit of a request can be changed on its way; but for the bits of the identifier and such,
    everything is signed.
    """
    world = World()
    octets = bytearray(
        world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1")).RequestPacket()
    )
    for bit in range(len(octets) * 8):
        octets[bit // 8] ^= 1 << bit % 8
        assert world.rules.received(bytes(octets), HOST, 4000) is None
        octets[bit // 8] ^= 1 << bit % 8
    world.assertNothingDone()
    assert world.rules.received(bytes(octets), HOST, 4000) is not None


@pytest.mark.parametrize("code", [1, 2, 4, 11, 12, 41, 42, 44, 45, 255])
def test_otherCodes(code: int) -> None:
    """
    What is no request is not answered, even if it is signed as one.
    """
    world = World()
    octets = bytes((code, 1, 0, 20))
    octets += module._requestAuthenticator(octets + bytes(16), SECRET)
    assert world.rules.received(octets, HOST, 4000) is None
    assertDiscarded(world, "no request")


@given(octets=st.binary(max_size=200), sign=st.booleans(), code=st.sampled_from([40, 43]))
def test_anyOctets(octets: bytes, sign: bool, code: int) -> None:
    """
    Whatever comes, from whoever knows the secret too, nothing raises.
    """
    world = World(timestamps=False)
    if sign:
        packet = bytes((code, 1)) + (20 + len(octets)).to_bytes(2, "big") + bytes(16) + octets
        vector = module._requestAuthenticator(packet, SECRET)
        octets = packet[:4] + vector + octets
    world.rules.received(octets, HOST, 4000)


@pytest.mark.parametrize("length", [0, 1, 19])
def test_short(length: int) -> None:
    """
    What has no header is malformed.
    """
    world = World()
    assert world.rules.received(bytes(length), HOST, 4000) is None
    assertDiscarded(world, "malformed")


def test_padding() -> None:
    """
    Octets behind the packet are padding (RFC 2865 section 3).
    """
    world = World()
    octets = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1")).RequestPacket()
    assert world.rules.received(octets + bytes(10), HOST, 4000) is not None


# When


@pytest.mark.parametrize("when", [-WINDOW - 1, WINDOW + 1, None])
def test_stale(when: float | None) -> None:
    """
    A request that is too old, from the future, or doesn't say, is not answered (section 6.3).
    """
    world = World()
    assert world.disconnect(("Acct-Session-Id", "run1"), when=when) is None
    assertDiscarded(world, "no Event-Timestamp" if when is None else "stale, or a clock is wrong")


@pytest.mark.parametrize("when", [-WINDOW, WINDOW])
def test_justInTime(when: float) -> None:
    """
    The window is open at both its ends.
    """
    assert World().disconnect(("Acct-Session-Id", "run1"), when=when) is not None


def test_withoutTimestamps() -> None:
    """
    Where that is allowed a request needn't say; but what it says must be true.
    """
    world = World(timestamps=False)
    assert world.disconnect(("Acct-Session-Id", "run1"), when=None) is not None
    assert world.disconnect(("Acct-Session-Id", "run1"), when=-WINDOW - 1) is None


def test_duplicate() -> None:
    """
    A request that comes again from the same port has the same answer, octet by octet, and nothing
    is done again.
    """
    world = World()
    octets = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1")).RequestPacket()
    first = world.rules.received(octets, HOST, 4000)
    world.sessions.clear()
    world.clock.advance(30)
    assert world.rules.received(octets, HOST, 4000) == first is not None
    assert len(world.hungUp) == 1


def test_replay() -> None:
    """
    The same request from another port is not answered, and when it is forgotten it is stale.
    """
    world = World()
    octets = world.request(
        COA_REQUEST, ("Acct-Session-Id", "run1"), ("Session-Timeout", 9), when=WINDOW
    ).RequestPacket()
    assert world.rules.received(octets, HOST, 4000) is not None
    for _ in range(int(3 * WINDOW)):
        assert world.rules.received(octets, HOST, 4001) is None
        world.clock.advance(1)
    assert world.changes == ["run1"]
    assert world.counters.discards == {
        "dynamic authorization: a replay": 2 * int(WINDOW) + 1,
        "dynamic authorization: stale, or a clock is wrong": int(WINDOW) - 1,
    }


def test_memoryIsBounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While as many requests are remembered as may be others are not answered, and none is forgotten
    for them.
    """
    monkeypatch.setattr(module, "REMEMBERED", 3)
    world = World()
    name = ("Acct-Session-Id", "run1")
    first = world.request(COA_REQUEST, name, ("Session-Timeout", 1)).RequestPacket()
    assert world.rules.received(first, HOST, 1) is not None
    for seconds in (2, 3):
        assert world.change(name, ("Session-Timeout", seconds)) is not None
    assert world.change(name, ("Session-Timeout", 4)) is None
    assert world.rules.received(first, HOST, 2) is None
    assert world.counters.discards == {
        "dynamic authorization: too many requests": 1,
        "dynamic authorization: a replay": 1,
    }
    world.clock.advance(2 * WINDOW + 1)
    assert world.change(name, ("Session-Timeout", 4)) is not None


def test_warningsAreFew(log: list[str]) -> None:
    """
    A flood of forged requests is counted whole and logged now and then.
    """
    world = World()
    for _ in range(500):
        assert world.disconnect(("Acct-Session-Id", "run1"), secret=b"wrong") is None
    assert len(log) == 3
    assert sum(world.counters.discards.values()) == 500


def test_secretsAreNotShown(log: list[str]) -> None:
    """
    Nothing that is logged or shown has the secret.
    """
    world = World()
    world.disconnect(("Acct-Session-Id", "run1"))
    world.disconnect(("Acct-Session-Id", "run9"))
    world.disconnect(("Acct-Session-Id", "run1"), secret=b"wrong")
    assert len(log) == 3
    assert not any("secret of" in line for line in (*log, repr(world.rules)))


def test_port() -> None:
    """
    The port answers whom it heard, and nobody else.
    """

    class Transport:
        def __init__(self) -> None:
            self.written: list[tuple[bytes, Any]] = []

        def write(self, octets: bytes, address: Any) -> None:
            self.written.append((octets, address))

    world, transport = World(), Transport()
    port = DynamicPort(world.rules)
    port.transport = transport  # type: ignore[assignment]
    packet = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1"))
    port.datagramReceived(packet.RequestPacket(), (HOST, 4000))
    port.datagramReceived(b"nothing", (HOST, 4000))
    [(octets, address)] = transport.written
    assert octets[0] == DISCONNECT_ACK and address == (HOST, 4000)
