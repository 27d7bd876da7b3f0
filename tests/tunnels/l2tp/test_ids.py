"""
Tests for L{pptpgw.tunnels.l2tp.ids}.
"""

from __future__ import annotations

import secrets

import pytest

from pptpgw.tunnels.l2tp.ids import unused
from tests.tunnels.l2tp.joined import Wire


def test_drawnAnew(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An id is drawn from all that there are but 0, and again if it is taken.
    """
    drawn = iter((0, 6, 6, 0xFFFE))
    limits: list[int] = []

    def randbelow(limit: int) -> int:
        limits.append(limit)
        return next(drawn)

    monkeypatch.setattr(secrets, "randbelow", randbelow)
    assert unused({1, 7}) == 0xFFFF
    assert limits == [0xFFFF] * 4


def test_theyCannotBeGuessed() -> None:
    """
    The ids of connections and calls that follow each other say nothing of the next one.
    """
    wire = Wire()
    found = []
    for _ in range(8):
        call, answered, _ = wire.called()
        found += [call.connection.localID, answered.connection.localID, answered.localID]
    steps = {(one - other) % 0x10000 for one, other in zip(found[1:], found, strict=False)}
    assert len(steps) > 20
