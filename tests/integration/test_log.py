"""
Tests for the log of the whole program: its contents, and that a slow reader of it doesn't hold up
the gateway.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.test_twistd import FOREGROUND, SERVES
from tests.integration.world import ROOT, Client, World

NASTY = "eve\x1b[2J\r\0\u2028\u202e"
SHOWN = r"eve\x1b[2J\r\x00\u2028\u202e"
SECRETS = '* * "open sesame" *\n'
PIPE = 4096


class Piped:
    """
    A gateway whose output goes to a pipe that the test reads.
    """

    def __init__(self, world: World, *command: str) -> None:
        self.process = subprocess.Popen(
            world.gateway.command(*command),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        self.descriptor = self.process.stdout.fileno()
        fcntl.fcntl(self.descriptor, fcntl.F_SETPIPE_SZ, PIPE)
        self.text = ""

    def read(self, pattern: str = r"\Z(?!)", timeout: float = 20.0) -> None:
        """
        Read until something matches C{pattern}, or until the end.
        """
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.text):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.descriptor], [], [], left)[0], self.text
            octets = os.read(self.descriptor, 65536)
            if not octets:
                return
            self.text += octets.decode()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


Start = Callable[..., Piped]


@pytest.fixture
def start(world: World) -> Iterator[Start]:
    """
    A function that starts a gateway in the gateway's namespace.
    """
    started: list[Piped] = []

    def one(*command: str) -> Piped:
        started.append(Piped(world, *command))
        return started[-1]

    yield one
    for piped in started:
        piped.kill()


@pytest.fixture
def served(start: Start, tmp_path: Path) -> Piped:
    """
    C{twistd -n pptpgw}, which serves.
    """
    secrets = tmp_path / "chap-secrets"
    secrets.touch(0o600)
    secrets.write_text(SECRETS)
    piped = start(*FOREGROUND, "--auth", f"chap-secrets:{secrets}")
    piped.read(SERVES)
    return piped


def callAndHangUp(client: Client, name: str = "alice", times: int = 20) -> None:
    """
    Make calls that are served and log more than the pipe has room for.
    """
    for _ in range(times):
        call = client.dial((name, "open sesame"))
        assert client.ask("ping", call["number"]) == {}
        assert "hung up" in client.ask("hangUp", call["number"])["cause"]


def test_aLogThatNobodyReads(served: Piped, client: Callable[[], Client]) -> None:
    """
    Callers are served while nobody reads the log, and the gateway ends when it is told to.
    """
    callAndHangUp(client())
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(15) in (0, -signal.SIGTERM)
    served.read()
    assert served.text.count("alice from") < 40


def test_aLogThatIsReadAgain(served: Piped, client: Callable[[], Client]) -> None:
    """
    No line is lost that could be kept until the reader goes on, to the last one.
    """
    callAndHangUp(client(), "bob")
    served.read(r"00000014] bob from \S+: ended")
    callAndHangUp(client(), NASTY)
    served.process.send_signal(signal.SIGTERM)
    served.read()
    assert served.process.wait(15) in (0, -signal.SIGTERM)
    assert served.text.count("bob from") == 40
    assert served.text.count("\n") == len(served.text.splitlines())
    lines = served.text.splitlines()
    assert all(line.isprintable() for line in lines)
    assert sum(SHOWN in line for line in lines) == 40
    assert lines[-1].endswith("Server Shut Down.")


def test_aTryThatNobodyReads(start: Start, client: Callable[[], Client], tmp_path: Path) -> None:
    """
    C{make run} serves callers while nobody reads its output, too.
    """
    piped = start(sys.executable, "-m", "pptpgw", "--state", str(tmp_path / "state"))
    piped.read("Ctrl-C ends it")
    said = re.search(r"password (\S+):", piped.text)
    assert said
    dialling = client()
    for _ in range(30):
        call = dialling.dial(("caller", said[1]))
        dialling.ask("hangUp", call["number"])
    piped.process.send_signal(signal.SIGINT)
    assert piped.process.wait(15) == 0
    piped.read()
    assert piped.text.count("caller from") < 60
