"""
Tests of a gateway that systemd has started, as far as the process can tell.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.test_twistd import FOREGROUND
from tests.integration.world import SECRETS, Client, Program, World
from tests.lab.server import Sections, toml

COMMAND = str(Path(sys.executable).parent / "pptpgw")
SERVES = "answers on every address, port 1723"
TO_THE_JOURNAL = """
import os, sys
found = os.fstat(1)
os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
os.execv(sys.argv[1], sys.argv[1:])
"""
"""
A program that runs another one, whose standard output is the journal, as it believes.
"""
PASSING = """
import os, socket, sys
passed = [socket.create_server(("", 1723))]
for path in sys.argv[1:3]:
    passed.append(socket.socket(socket.AF_UNIX))
    passed[-1].bind(path)
    passed[-1].listen()
for number, one in enumerate(passed, 3):
    os.dup2(one.fileno(), number + 20)
for number in range(3, 3 + len(passed)):
    os.dup2(number + 20, number)
    os.close(number + 20)
    os.set_inheritable(number, True)
names = "pptp:lines:management"
os.environ.update(LISTEN_FDS="3", LISTEN_FDNAMES=names, LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
"""
"""
A program that runs another one with opened ports, as systemd does: PPTP's, and two Unix sockets at
the paths that are its first arguments.
"""


class Supervised:
    """
    The socket that systemd would listen on, and the folder and programs of a test.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.file = folder / "pptpgw.toml"
        secrets = folder / "chap-secrets"
        secrets.touch(0o600)
        secrets.write_text(SECRETS)
        self._base: dict[str, dict[str, object]] = {
            "auth": {"checkers": [f"chap-secrets:{secrets}"]},
            "management": {"endpoints": [f"unix:{folder}/management.sock:mode=600"]},
        }
        self._address = f"{folder}/notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._address)
        self._socket.settimeout(20)

    def write(self, **sections: dict[str, object]) -> None:
        """
        Write the configuration, with C{sections} besides what the gateway needs here.
        """
        whole: Sections = {**self._base, **sections}
        self.file.write_text(toml(whole))

    def start(self, *before: str, **environ: str) -> Program:
        """
        Start the gateway by the command C{before}.
        """
        named = {"NOTIFY_SOCKET": self._address, **environ}
        command = (*before, *FOREGROUND, "--config", str(self.file))
        words = ["env", *(f"{name}={value}" for name, value in named.items()), *command]
        return Program(self.world.gateway, self.folder / "twistd.log", *words)

    def hears(self, text: str) -> None:
        """
        Wait for a message that begins with C{text}.
        """
        deadline = time.monotonic() + 20
        while not self._socket.recv(65536).decode().startswith(text):
            assert time.monotonic() < deadline, text

    def reload(self) -> int:
        """
        Do what the unit's C{ExecReload} does.
        """
        command = self.world.gateway.command(COMMAND, "reload", "--config", str(self.file))
        return subprocess.run(command, capture_output=True, timeout=30).returncode

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def supervised(world: World, tmp_path: Path) -> Iterator[Supervised]:
    made = Supervised(world, tmp_path)
    yield made
    made.close()


def test_itsLife(supervised: Supervised, client: Callable[[], Client]) -> None:
    """
    The gateway is ready when it takes calls, feeds its watchdog, tells of reloads, whose command
    fails when they do, and of its end.
    """
    supervised.write()
    program = supervised.start(WATCHDOG_USEC="400000")
    supervised.hears("READY=1\nSTATUS=Takes calls; sessions: 0")
    caller = client()
    caller.dial()
    supervised.hears("WATCHDOG=1")
    supervised.hears("WATCHDOG=1")
    supervised.hears("STATUS=Takes calls; sessions: 1")
    supervised.write(limits={"max-sessions": 5})
    assert supervised.reload() == 0
    supervised.hears("RELOADING=1\nMONOTONIC_USEC=")
    supervised.hears("READY=1\nSTATUS=Takes calls; sessions: 1")
    supervised.write(hooks={"ip-up": "/nonexistent"})
    assert supervised.reload() == 1
    supervised.hears("RELOADING=1\nMONOTONIC_USEC=")
    supervised.hears("READY=1\nSTATUS=Takes calls; sessions: 1; the last reload failed: ")
    assert program.interrupt(signal.SIGTERM) == -signal.SIGTERM
    supervised.hears("STOPPING=1\n")
    assert "Traceback" not in program.text


def test_prioritiesInTheJournal(supervised: Supervised) -> None:
    """
    Every line begins with its priority, and a warning has that of a warning.
    """
    supervised.write()
    program = supervised.start(sys.executable, "-c", TO_THE_JOURNAL)
    program.waitFor(SERVES)
    os.kill(program.pid, signal.SIGUSR1)
    program.waitFor(r"(?m)^<4>.*SIGUSR1 does nothing")
    program.interrupt()
    lines = program.text.splitlines()
    assert [one for one in lines if not one.startswith(("<6>", "<4>"))] == []
    assert [one[:3] for one in lines if SERVES in one] == ["<6>"]


def test_sockets(supervised: Supervised, client: Callable[[], Client]) -> None:
    """
    Calls, lines and operators arrive at the sockets that systemd has opened.
    """
    lines, management = supervised.folder / "lines", supervised.folder / "passed"
    supervised.write(
        listen={"tunnels": ["pptp", "hdlc"]},
        pptp={"endpoints": ["systemd:domain=INET:index=0"]},
        hdlc={"endpoints": ["systemd:domain=UNIX:name=lines"]},
        management={"endpoints": ["systemd:domain=UNIX:index=2"]},
    )
    program = supervised.start(sys.executable, "-c", PASSING, str(lines), str(management))
    program.waitFor("answers on systemd:domain=INET:index=0, ")
    caller = client()
    assert caller.ask("ping", caller.dial()["number"]) == {}
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(lines))
        # The gateway's first LCP frame.
        assert line.recv(1).startswith(b"~")
    with socket.socket(socket.AF_UNIX) as operator:
        operator.settimeout(20)
        operator.connect(str(management))
        operator.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert operator.recv(12) == b"HTTP/1.1 200"
    caller.ask("close")
    assert program.interrupt() == -signal.SIGINT
