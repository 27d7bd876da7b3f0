"""
What holds for all tests of RADIUS.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.protocol import DatagramProtocol

from pptpgw.ports.datagram import connectedUDP
from pptpgw.radius import udp
from tests.radius.wire import Wire


@pytest.fixture(autouse=True)
def wires(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A L{Wire} has ports of its own.
    """

    def opened(reactor: Any, protocol: DatagramProtocol, host: str, port: int) -> None:
        if isinstance(reactor, Wire):
            reactor.open(protocol, host, port)
        else:
            connectedUDP(reactor, protocol, host, port)

    monkeypatch.setattr(udp, "connectedUDP", opened)
