"""
Tests for L{pptpgw.ports.listening}.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from pptpgw.error import ConfigurationError
from pptpgw.ports.listening import Listening, endpointFromString
from tests.ports.running import running


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


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_aPassedSocket(family: socket.AddressFamily, tmp_path: Path) -> None:
    """
    The program that has passed a socket still listens on it when the gateway has closed it.
    """
    with socket.socket(family) as passed, socket.socket(family) as caller:
        passed.bind(f"{tmp_path}/passed" if family == socket.AF_UNIX else ("127.0.0.1", 0))
        passed.listen()

        def openAndClose(reactor: Any) -> Deferred[Any]:
            listening = Listening()
            # The endpoint closes what it is given.
            endpoint = AdoptedStreamServerEndpoint(reactor, os.dup(passed.fileno()), family)
            assert listening.open(endpoint, Factory()) == ""
            return listening.close()

        running(openAndClose)
        for one in (caller, passed):
            one.settimeout(10)
        caller.connect(passed.getsockname())
        passed.accept()[0].close()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("wire:4000", "wire"),
        ("tcp:port", "port"),
        ("tcp:4000:prt=2", "prt"),
        ("ssl:4000:privateKey=/nowhere/key.pem", "No such file"),
    ],
)
def test_endpointsThatAreNone(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        endpointFromString(reactor, "wires", text)
    assert str(raised.value).startswith(f"[wires] endpoints: {text}: ")
    assert why in str(raised.value)


@pytest.mark.parametrize("which", ["index=0", "name=wire"])
def test_socketsThatArentPassed(which: str) -> None:
    """
    A socket of systemd may be named where it isn't passed, such as to C{--check-config}; only
    listening fails.
    """
    endpoint = endpointFromString(reactor, "wires", f"systemd:domain=INET:{which}")
    why = "systemd has passed no such socket (LISTEN_FDS, LISTEN_FDNAMES)"
    assert Listening().open(endpoint, Factory()) == why
