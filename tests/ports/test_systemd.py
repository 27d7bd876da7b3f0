"""
Tests for L{pptpgw.ports.systemd}, with a socket in the place of systemd's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import fail
from twisted.internet.testing import MemoryReactorClock

from pptpgw.error import ConfigurationError
from pptpgw.ports.systemd import (
    AGAIN_SECONDS,
    LONGEST_STATUS,
    STATUS_SECONDS,
    Supervision,
    Supervisor,
    supervisor,
)
from pptpgw.tap import CommandService, Options
from tests.reload.world import World

SERVING = "STATUS=Takes calls; sessions: 0"


class Listener:
    """
    What systemd hears.
    """

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address.replace("@", "\0"))

    def heard(self) -> list[str]:
        """
        The messages since the last call.
        """
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{tmp_path}/notify" if request.param == "file" else f"@pptpgw-test-{os.getpid()}"


@pytest.fixture
def listener(address: str) -> Iterator[Listener]:
    made = Listener(address)
    yield made
    made.close()


class Supervised:
    """
    A gateway in memory that systemd supervises.
    """

    def __init__(self, address: str, watchdogSeconds: float | None = None) -> None:
        self.world = World()
        asked = Supervisor(address, watchdogSeconds)
        clock, service = self.world.clock, self.world.service
        self.supervision = Supervision(clock, service, asked, lambda: 77)
        self.supervision.start()

    def advance(self, seconds: float) -> None:
        self.world.clock.advance(seconds)


def test_theLifeOfAGateway(address: str, listener: Listener) -> None:
    """
    Nothing is told before the reactor runs. A reload is over when it has failed too.
    """
    one = Supervised(address)
    one.supervision.reloading()
    one.supervision.reloaded(None)
    assert listener.heard() == []
    one.advance(0)
    assert listener.heard() == [f"READY=1\n{SERVING}"]
    one.supervision.reloading()
    assert listener.heard() == ["RELOADING=1\nMONOTONIC_USEC=77"]
    failed: Any = fail(ConfigurationError("no"))
    failed.addBoth(one.supervision.reloaded)
    assert listener.heard() == [f"READY=1\n{SERVING}"]
    failed.addErrback(lambda failure: failure.trap(ConfigurationError))
    one.supervision.stopping()
    assert listener.heard() == ["STOPPING=1\nSTATUS=Stopping"]
    one.supervision.reloading()
    one.supervision.reloaded(None)
    one.supervision.stop()
    one.supervision.stop()
    assert listener.heard() == []
    assert one.world.clock.getDelayedCalls() == []


def test_theStatus(address: str, listener: Listener) -> None:
    """
    The status is told when it has changed, at most every few seconds.
    """
    one = Supervised(address)
    one.advance(0)
    listener.heard()
    one.world.call()
    for _ in range(20):
        one.advance(STATUS_SECONDS / 10)
    assert listener.heard() == ["STATUS=Takes calls; sessions: 1"]
    one.world.service.drain()
    one.advance(STATUS_SECONDS)
    assert listener.heard() == ["STATUS=Draining: takes no calls; sessions: 1"]
    one.supervision.stop()


def test_faults(address: str, listener: Listener) -> None:
    """
    The status names what is wrong, in one line that isn't too long.
    """
    one = Supervised(address)

    class Part:
        fault = "a\nb"

    part: Any = Part()
    one.world.gateway.health.append(part)
    with pytest.raises(ConfigurationError):
        one.world.reload('[hooks]\nip-up = "/nonexistent' + "x" * LONGEST_STATUS + '"')
    one.advance(0)
    (told,) = listener.heard()
    ready, status = told.split("\n")
    assert ready == "READY=1"
    assert status.startswith(
        "STATUS=Takes no calls: a\\nb; sessions: 0; the last reload failed: [hooks] ip-up: "
    )
    assert len(status) == len("STATUS=") + LONGEST_STATUS
    one.supervision.stop()


def test_theWatchdog(address: str, listener: Listener) -> None:
    """
    It is fed at half of its time, also while the gateway stops.
    """
    one = Supervised(address, 3.0)
    one.advance(0)
    assert listener.heard() == [f"READY=1\n{SERVING}", "WATCHDOG=1"]
    one.advance(1.4)
    assert listener.heard() == []
    one.advance(0.1)
    assert listener.heard() == ["WATCHDOG=1"]
    one.supervision.stopping()
    one.advance(1.5)
    assert listener.heard() == ["STOPPING=1\nSTATUS=Stopping", "WATCHDOG=1"]
    one.supervision.stop()


def test_systemdIsBusy(address: str, listener: Listener) -> None:
    """
    While systemd reads nothing, the latest message on the state waits, and others are left out.
    """
    one = Supervised(address, 0.02)
    for _ in range(2000):
        one.advance(0.01)
    one.supervision.reloading()
    one.supervision.reloaded(None)
    one.supervision.stopping()
    before = listener.heard()
    assert set(before) == {f"READY=1\n{SERVING}", "WATCHDOG=1"} and len(before) < 2000
    one.advance(0.01)
    assert listener.heard() == []
    one.advance(AGAIN_SECONDS)
    assert listener.heard()[0] == "STOPPING=1\nSTATUS=Stopping"
    one.supervision.stop()
    assert one.world.clock.getDelayedCalls() == []


def test_nobodyListens(tmp_path: Path, log: list[str]) -> None:
    """
    A socket that isn't there is logged once.
    """
    one = Supervised(f"{tmp_path}/none", 1.0)
    for _ in range(5):
        one.advance(1)
    assert log == [f"systemd can't be told anything at {tmp_path}/none: No such file or directory"]
    one.supervision.stop()


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "1"}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, None),
        ({"NOTIFY_SOCKET": "@"}, None),
        ({"NOTIFY_SOCKET": "/run/x"}, Supervisor("/run/x")),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000"}, Supervisor("@x", 3.0)),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "0"}, Supervisor("@x")),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"}, Supervisor("@x")),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}, Supervisor("@x")),
        (
            {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "9", "WATCHDOG_PID": str(os.getpid())},
            Supervisor("@x", 9e-6),
        ),
    ],
)
def test_theEnvironment(environ: dict[str, str], found: Supervisor | None) -> None:
    """
    Nothing of it is left for programs that the gateway starts.
    """
    environ["LISTEN_FDNAMES"] = "pptp"
    assert supervisor(environ) == found
    assert environ == {}


def test_whoTellsIt(
    address: str, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The process of C{twistd pptpgw} tells of the reloads that anybody asks for.
    """
    path, secrets = tmp_path / "pptpgw.toml", tmp_path / "chap-secrets"
    secrets.touch(0o600)
    path.write_text("")
    options: Any = Options()
    options.parseOptions(["--config", str(path), "--auth", f"chap-secrets:{secrets}"])
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    clock = MemoryReactorClock()
    service = CommandService(clock, options)
    assert "NOTIFY_SOCKET" not in os.environ
    supervision = service._supervision
    assert supervision is not None
    supervision.start()
    clock.advance(0)
    service.reload()
    path.write_text("[nothing]\n")
    service._readAgain()
    told = listener.heard()
    assert [one.partition("=")[0] for one in told] == ["READY", *["RELOADING", "READY"] * 2]
    assert "the last reload failed: " in told[-1] and "the last" not in told[2]
    supervision.stop()
