"""
Tests for L{pptpgw.radius.permission}.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from pptpgw.error import Malformed
from pptpgw.interfaces import TunnelKind
from pptpgw.radius.permission import permitting
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import UNKNOWN
from pptpgw.testing import CALLER
from tests.radius.test_attributes import packet

ALICE = Profile("alice")
L2TP = replace(CALLER, tunnel=TunnelKind("l2tp", "L2TP", 3, 1))
LINE = replace(CALLER, tunnel=TunnelKind("hdlc", "HDLC"))


def kind(number: int, tag: int = 0) -> bytes:
    """
    The value of a Tunnel-Type.
    """
    return bytes((tag,)) + number.to_bytes(3, "big")


PPTP, L2TP_TYPE, VLAN = kind(1), kind(3, 1), kind(13)


def permitted(*types: bytes, endpoints: tuple[bytes, ...] = ()) -> list[frozenset[str] | None]:
    """
    The tunnels that an Access-Accept permits a caller by PPTP, one by L2TP, and one on a line.
    """
    reply = packet(
        *(("Tunnel-Type", one) for one in types),
        *(("Tunnel-Server-Endpoint", one) for one in endpoints),
    )
    return [permitting(reply, ALICE, one).tunnels for one in (CALLER, L2TP, LINE)]


def test_whatIsPermitted() -> None:
    """
    Whoever calls by none of the tunnels that are named may call by none.
    """
    none = frozenset[str]()
    assert permitted() == [None, None, None]
    assert permitted(PPTP) == [{"pptp"}, none, none]
    assert permitted(L2TP_TYPE) == [none, {"l2tp"}, none]
    assert permitted(PPTP, L2TP_TYPE) == [{"pptp"}, {"l2tp"}, none]
    assert permitted(kind(99)) == [none, none, none]


def test_whatIsAboutSomethingElse() -> None:
    """
    The tunnels that a call is passed on by, and VLANs, permit and forbid nothing.
    """
    none = frozenset[str]()
    assert permitted(VLAN) == [None, None, None]
    assert permitted(L2TP_TYPE, endpoints=(b"\x01192.0.2.9",)) == [None, None, None]
    assert permitted(PPTP, endpoints=(b"192.0.2.9",)) == [None, None, None]
    assert permitted(PPTP, L2TP_TYPE, endpoints=(b"\x01lns",)) == [{"pptp"}, none, none]


def test_nobodyIsKnownToCall() -> None:
    """
    Without a caller nothing is decided; what can't be read lets nobody in.
    """
    reply = packet(("Tunnel-Type", PPTP))
    assert permitting(reply, ALICE, None) is ALICE
    assert permitting(reply, ALICE, replace(CALLER, tunnel=UNKNOWN)) is ALICE
    with pytest.raises(Malformed, match="Tunnel-Type: 3 octets"):
        permitted(b"\x00\x00\x01")
