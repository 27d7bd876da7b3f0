"""
Tests for L{pptpgw.sessions.seenclaims}.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from pptpgw.auth.protocols import CHAP, PAP
from pptpgw.interfaces import Negotiated, ProxyClaim
from pptpgw.sessions import seenclaims
from pptpgw.sessions.seenclaims import SeenClaims
from pptpgw.testing import makeClaim


def told(number: int) -> Negotiated:
    claim = ProxyClaim(0xC223, b"\x05", b"alice", 1, bytes((number,)) * 16, bytes(16))
    return Negotiated(b"a", b"b", b"c", claim)


def test_once() -> None:
    """
    A claim is taken once, whatever name and identifier it comes with; LCP always is.
    """
    seen = SeenClaims()
    claim = ProxyClaim.of(makeClaim(CHAP))
    first = Negotiated(b"a", b"b", b"c", claim)
    assert seen.unseen(first) == first
    for again in (claim, replace(claim, name=b"bob", identifier=7)):
        assert seen.unseen(replace(first, claim=again)) == Negotiated(b"a", b"b", b"c")
    assert len(seen) == 1


def test_whatIsNotRemembered() -> None:
    """
    A password is the same each time, and no claim is none.
    """
    seen = SeenClaims()
    for one in (None, Negotiated(b"a"), Negotiated(claim=ProxyClaim.of(makeClaim(PAP)))):
        assert seen.unseen(one) == seen.unseen(one) == one
    assert len(seen) == 0


def test_theLimit(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The latest claims are remembered; one that is repeated counts as the latest.
    """
    monkeypatch.setattr(seenclaims, "REMEMBERED", 2)
    seen = SeenClaims()
    for number in (1, 2, 1, 3):
        seen.unseen(told(number))
    assert len(seen) == 2
    assert seen.unseen(told(1)) != told(1)
    assert seen.unseen(told(2)) == told(2)
