"""
Tests for L{pptpgw.radius.dynamic}: what requests change, who may send them, and when.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.radius import dynamic as module
from pptpgw.radius.dynamic import DynamicPort
from pptpgw.radius.packet import (
    COA_ACK,
    COA_NAK,
    COA_REQUEST,
    DISCONNECT_ACK,
    DISCONNECT_REQUEST,
)
from pptpgw.radius.signature import requestAuthenticator
from pptpgw.sessions.profile import Profile
from tests.radius.authorized import HOST, SECRET, WINDOW, World, assertDiscarded, refused

# Changes.


def test_change() -> None:
    """
    A change sets the limits and filters of a live session and leaves the rest of its profile.
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
    assert next(iter(world.sessions)).profile == Profile(
        "alice",
        sessionTimeout=100.0,
        idleTimeout=50.0,
        interim=120.0,
        filter="slow",
        receiveRate=1_000_000,
        sendRate=2_000_000,
        accountingClass=(b"class 1",),
    )


def test_anUnknownFilter() -> None:
    """
    A change to an unknown filter is refused as a whole (RFC 5176 section 3.5).
    """
    world = World()
    reply = world.change(
        ("Acct-Session-Id", "run1"), ("Session-Timeout", 100), ("Filter-Id", "office")
    )
    assert refused(reply, COA_NAK) == 407
    assert world.changes == []


# Clients.


def test_fromElsewhere() -> None:
    """
    A client that isn't listed gets no answer, even if it knows the secret.
    """
    world = World()
    packet = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1"))
    assert world.send(packet, "192.0.2.10") is None
    assertDiscarded(world, "from nobody who may")


@pytest.mark.parametrize("code", [1, 2, 4, 11, 12, 41, 42, 44, 45, 255])
def test_otherCodes(code: int) -> None:
    """
    A packet with another code gets no answer, even with a valid signature.
    """
    world = World()
    octets = bytes((code, 1, 0, 20))
    octets += requestAuthenticator(octets + bytes(16), SECRET)
    assert world.rules.received(octets, HOST, 4000) is None
    assertDiscarded(world, "no request")


@given(octets=st.binary(max_size=200), sign=st.booleans(), code=st.sampled_from([40, 43]))
def test_anyOctets(octets: bytes, sign: bool, code: int) -> None:
    """
    No octets raise an exception, even with a valid signature.
    """
    world = World(timestamps=False)
    if sign:
        packet = bytes((code, 1)) + (20 + len(octets)).to_bytes(2, "big") + bytes(16) + octets
        vector = requestAuthenticator(packet, SECRET)
        octets = packet[:4] + vector + octets
    world.rules.received(octets, HOST, 4000)


@pytest.mark.parametrize("length", [0, 1, 19])
def test_short(length: int) -> None:
    """
    A packet shorter than a header is malformed.
    """
    world = World()
    assert world.rules.received(bytes(length), HOST, 4000) is None
    assertDiscarded(world, "malformed")


def test_padding() -> None:
    """
    Octets beyond the packet's length are padding and are ignored (RFC 2865 section 3).
    """
    world = World()
    octets = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1")).RequestPacket()
    assert world.rules.received(octets + bytes(10), HOST, 4000) is not None


# Time.


@pytest.mark.parametrize("when", [-WINDOW - 1, WINDOW + 1, None])
def test_stale(when: float | None) -> None:
    """
    A request that is too old, dated in the future or undated gets no answer (section 6.3).
    """
    world = World()
    assert world.disconnect(("Acct-Session-Id", "run1"), when=when) is None
    assertDiscarded(world, "no Event-Timestamp" if when is None else "stale, or a clock is wrong")


@pytest.mark.parametrize("when", [-WINDOW, WINDOW])
def test_justInTime(when: float) -> None:
    """
    A request at either end of the permitted time is answered.
    """
    assert World().disconnect(("Acct-Session-Id", "run1"), when=when) is not None


def test_withoutTimestamps() -> None:
    """
    Where undated requests are allowed, the date of a dated one must still be right.
    """
    world = World(timestamps=False)
    assert world.disconnect(("Acct-Session-Id", "run1"), when=None) is not None
    assert world.disconnect(("Acct-Session-Id", "run1"), when=-WINDOW - 1) is None


def test_duplicate() -> None:
    """
    A repeated request from the same port gets the same answer, octet by octet, and has no second
    effect.
    """
    world = World()
    octets = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1")).RequestPacket()
    first = world.rules.received(octets, HOST, 4000)
    for session in world.sessions:
        world.sessions.sessionEnded(session, "enough", session.user, lambda: None)
    world.clock.advance(30)
    assert world.rules.received(octets, HOST, 4000) == first is not None
    assert len(world.hungUp) == 1


def test_replay() -> None:
    """
    The same request from another port gets no answer. When the first one is forgotten it is too
    old.
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
    When the memory for requests is full, new ones get no answer, and none is forgotten for them.
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
    A flood of forged requests is counted in full and logged now and then.
    """
    world = World()
    for _ in range(500):
        assert world.disconnect(("Acct-Session-Id", "run1"), secret=b"wrong") is None
    assert len(log) == 3
    assert sum(world.counters.discards.values()) == 500


def test_secretsAreNotShown(log: list[str]) -> None:
    """
    No log line and no representation has the secret.
    """
    world = World()
    world.disconnect(("Acct-Session-Id", "run1"))
    world.disconnect(("Acct-Session-Id", "run9"))
    world.disconnect(("Acct-Session-Id", "run1"), secret=b"wrong")
    assert len(log) == 3
    assert not any("secret of" in line for line in (*log, repr(world.rules)))


def test_port() -> None:
    """
    The port answers its clients and nobody else.
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
