"""
Fixtures of all tests of RADIUS.
"""

from __future__ import annotations

import pytest

from pptpgw.radius import udp
from tests.radius.wire import connected


@pytest.fixture(autouse=True)
def wires(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Give a L{Wire} its own ports in place of the system's.
    """
    monkeypatch.setattr(udp, "connectedUDP", connected)
