"""
What holds for all tests of RADIUS.
"""

from __future__ import annotations

import pytest

from pptpgw.radius import udp
from tests.radius.wire import connected


@pytest.fixture(autouse=True)
def wires(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A L{Wire} has ports of its own.
    """
    monkeypatch.setattr(udp, "connectedUDP", connected)
