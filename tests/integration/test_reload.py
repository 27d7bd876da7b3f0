"""
Tests of a gateway that C{twistd} runs, which reads its configuration again and is drained while
callers use it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.world import SECRETS, Client, World
from tests.lab.forked import Forked
from tests.lab.server import TWISTD, toml

SERVES = "answers on every address, port 1723"


class Configured(Forked):
    """
    The gateway, and the file of its configuration.
    """

    def __init__(self, world: World, folder: Path, **sections: dict[str, object]) -> None:
        self.file, self.socket = folder / "pptpgw.toml", folder / "management.sock"
        secrets = folder / "chap-secrets"
        secrets.touch(0o600)
        secrets.write_text(SECRETS)
        self._base: dict[str, dict[str, object]] = {
            "auth": {"checkers": [f"chap-secrets:{secrets}"]},
            "management": {"endpoints": [f"unix:{self.socket}:mode=600"]},
        }
        self.write(**sections)
        words = ["--nodaemon", "--pidfile=", "pptpgw", "--config", str(self.file)]
        super().__init__(world.gateway, TWISTD, words, folder / "twistd.log")
        self.waitFor(SERVES)

    def write(self, **sections: dict[str, object]) -> None:
        """
        Write the file, with C{sections} besides what the gateway needs here.
        """
        self.file.write_text(toml({**self._base, **sections}))

    def ask(self, method: str, path: str, **body: object) -> Any:
        """
        Send a request to the management interface, and return what the answer says.
        """
        octets = json.dumps(body).encode() if body else b""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(self.socket))
            connection.sendall(
                f"{method} /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(octets)}\r\n\r\n".encode()
                + octets
            )
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, content = answer.partition(b"\r\n\r\n")
        assert head.split()[1] in (b"200", b"204"), answer
        return json.loads(content) if content else None


@pytest.fixture
def gateway(world: World, tmp_path: Path) -> Iterator[Configured]:
    program = Configured(world, tmp_path)
    yield program
    if program.running:
        program.interrupt(signal.SIGTERM)


def test_aReload(gateway: Configured, client: Callable[[], Client]) -> None:
    """
    Calls go on, and follow the limits that the file has now. What needs a restart is logged with
    the reason. A file that can't be used changes nothing.
    """
    caller = client()
    first = caller.dial()
    gateway.write(
        limits={"max-sessions": 1}, pptp={"port": 1724}, audit={"file": "/nonexistent/audit"}
    )
    os.kill(gateway.pid, signal.SIGHUP)
    gateway.waitFor("the configuration is unchanged: /nonexistent/audit: No such file")
    assert caller.ask("ping", first["number"]) == {}
    gateway.write(limits={"max-sessions": 1}, pptp={"port": 1724})
    os.kill(gateway.pid, signal.SIGHUP)
    gateway.waitFor(r"for calls to come: \[limits\] max-sessions")
    gateway.waitFor(r"\[pptp\] port needs a restart: the port is open")
    assert "error" in client().ask("call", "alice", "open sesame", 1400)
    assert caller.ask("ping", first["number"]) == {}
    gateway.write(limits={"session-timeout": 1})
    os.kill(gateway.pid, signal.SIGHUP)
    gateway.waitFor("the session's time is over")
    caller.ask("ended", first["number"])


def test_managedLater(world: World, tmp_path: Path) -> None:
    """
    A gateway that nobody could manage is managed once its file names an endpoint. A file with one
    that can't be used changes nothing.
    """
    gateway = Configured(world, tmp_path, management={"endpoints": []})
    try:
        gateway.write(management={"endpoints": ["unix:/proc/nowhere/socket"]})
        os.kill(gateway.pid, signal.SIGHUP)
        gateway.waitFor("the configuration is unchanged: .*/proc/nowhere/socket can't be opened")
        gateway.write()
        os.kill(gateway.pid, signal.SIGHUP)
        gateway.waitFor("the configuration was read again")
        assert gateway.ask("GET", "log") == {"level": "debug"}
    finally:
        gateway.interrupt(signal.SIGTERM)
    assert "Traceback" not in gateway.text


def test_aDrain(gateway: Configured, client: Callable[[], Client]) -> None:
    """
    No call is taken, the current one goes on, and when it ends the process does.
    """
    caller = client()
    call = caller.dial()
    gateway.ask("PUT", "drain", stop=True)
    gateway.waitFor(
        "no call is taken any more; calls left: 1; they go on, and then the gateway stops"
    )
    assert "error" in client().ask("call", "alice", "open sesame", 1400)
    assert caller.ask("ping", call["number"]) == {}
    gateway.ask("DELETE", "drain")
    gateway.waitFor("calls are taken again")
    other = client()
    second = other.dial()
    gateway.ask("PUT", "drain", stop=True, deadline_seconds=60)
    caller.ask("hangUp", call["number"])
    assert other.ask("ping", second["number"]) == {}
    other.ask("hangUp", second["number"])
    assert gateway.wait() == 0
    gateway.waitFor("drained: no call is left")
    assert "Traceback" not in gateway.text
