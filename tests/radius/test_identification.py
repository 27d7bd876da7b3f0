"""
Tests for L{pptpgw.radius.identification}: which sessions a request means, and which requests are
refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pptpgw.interfaces import Stations
from pptpgw.radius.packet import (
    COA_ACK,
    COA_NAK,
    COA_REQUEST,
    DISCONNECT_ACK,
    DISCONNECT_NAK,
    DISCONNECT_REQUEST,
)
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.sessions.registry import Registry
from pptpgw.sessions.session import Session
from tests.radius.authorized import World, refused


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
    A session is found by every attribute that its accounting has, and all sessions that match are
    ended.
    """
    world = World()
    reply = world.disconnect(*attributes)
    assert reply is not None and reply.code == DISCONNECT_ACK
    assert [identifier for identifier, _ in world.hungUp] == expected
    assert {codeOf(cause) for _, cause in world.hungUp} == {Termination.ADMIN_RESET}


def test_aNumber() -> None:
    """
    A session whose accounting has the number that calls is found by it, and no more by the address
    of the access concentrator.
    """
    world = World()
    session: Any = world.sessions.withIdentifier("run1")
    session.stations = Stations("030123")
    reply = world.disconnect(("Calling-Station-Id", session.caller))
    assert refused(reply, DISCONNECT_NAK) == 503
    reply = world.disconnect(("Calling-Station-Id", "030123"))
    assert reply is not None and reply.code == DISCONNECT_ACK
    assert [identifier for identifier, _ in world.hungUp] == ["run1"]


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
    A request that can't be obeyed is refused with an Error-Cause (RFC 5176 section 3.5) and has no
    effect.
    """
    world = World()
    assert refused(world.disconnect(*attributes), DISCONNECT_NAK) == cause
    world.assertNothingDone()


def test_aVendorsAttributeThatNobodyKnows() -> None:
    """
    A vendor's attribute that isn't in the dictionary is refused like any unknown one (section 2.3).
    """
    world = World()
    packet = world.request(DISCONNECT_REQUEST, ("Acct-Session-Id", "run1"))
    packet[(9999, 1)] = [b"x"]
    assert refused(world.send(packet), DISCONNECT_NAK) == 401
    world.assertNothingDone()


def test_changeOfSeveral() -> None:
    """
    A change applies to all sessions that match. The Class in it is the new value, not an
    identification.
    """
    world = World()
    reply = world.change(("User-Name", "alice"), ("Class", b"new"))
    assert reply is not None and reply.code == COA_ACK
    assert world.changes == ["run1", "run2"]
    assert [one.profile.accountingClass for one in world.sessions] == [
        (b"new",),
        (b"new",),
        (b"class 3",),
    ]


def test_oneIsLookedUp(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The identifier of a session leads to it without a look at the others.
    """
    world = World()

    def iterate(self: object) -> Iterator[Session]:
        raise AssertionError("all sessions are looked at")

    monkeypatch.setattr(Registry, "__iter__", iterate)
    reply = world.disconnect(("Acct-Session-Id", "run2"), ("User-Name", "alice"))
    assert reply is not None and reply.code == DISCONNECT_ACK
    assert [identifier for identifier, _ in world.hungUp] == ["run2"]
    reply = world.disconnect(("Acct-Session-Id", "run2"), ("User-Name", "bob"))
    assert refused(reply, DISCONNECT_NAK) == 503


@pytest.mark.parametrize(
    ("attributes", "cause"),
    [
        ([("Session-Timeout", 100)], 402),
        ([("Acct-Session-Id", "run1")], 402),
        ([("Acct-Session-Id", "run9"), ("Session-Timeout", 100)], 503),
        ([("Acct-Session-Id", "run1"), ("Filter-Id", "x"), ("Framed-MTU", 1000)], 401),
        ([("Acct-Session-Id", "run1"), ("Mikrotik-Rate-Limit", "fast")], 407),
        ([("Acct-Session-Id", "run1"), ("Filter-Id", "web\n")], 407),
        ([("Acct-Session-Id", "run1"), ("Session-Timeout", 9), ("Session-Timeout", 8)], 407),
        ([("Acct-Session-Id", "run1"), ("Session-Timeout", 9), ("Service-Type", 17)], 405),
    ],
)
def test_refusedChange(attributes: list[tuple[str, Any]], cause: int) -> None:
    """
    A change is applied as a whole or not at all (section 2.3).
    """
    world = World()
    assert refused(world.change(*attributes), COA_NAK) == cause
    world.assertNothingDone()


def test_aValueOfTheWrongLength() -> None:
    """
    A Session-Timeout of three octets is refused as an invalid value.
    """
    world = World()
    packet = world.request(COA_REQUEST, ("Acct-Session-Id", "run1"))
    packet[27] = [b"abc"]
    assert refused(world.send(packet), COA_NAK) == 407
    world.assertNothingDone()
