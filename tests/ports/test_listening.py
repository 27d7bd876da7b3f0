"""
Tests for L{pptpgw.ports.listening}.
"""

from __future__ import annotations

import pytest
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from pptpgw.error import ConfigurationError
from pptpgw.ports.listening import Listening, endpointFromString


def test_ports() -> None:
    """
    The ports are open until they are closed, which can be done again.
    """
    memory = MemoryReactorClock()
    listening = Listening()
    assert listening.open(TCP4ServerEndpoint(memory, 4000), Factory()) == ""
    assert len(listening.ports) == 1
    closed: list[object] = []
    for _ in range(2):
        listening.close().addCallback(closed.append)
    assert len(closed) == 2 and listening.ports == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("wire:4000", "wire"),
        ("tcp:port", "port"),
        ("tcp:4000:prt=2", "prt"),
        ("systemd:domain=INET:index=0", "systemd has passed no such socket"),
        ("systemd:domain=INET:name=wire", "systemd has passed no such socket"),
        ("ssl:4000:privateKey=/nowhere/key.pem", "No such file"),
    ],
)
def test_endpointsThatAreNone(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        endpointFromString(reactor, "wires", text)
    assert str(raised.value).startswith(f"[wires] endpoints: {text}: ")
    assert why in str(raised.value)
