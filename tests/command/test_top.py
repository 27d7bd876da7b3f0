"""
Tests of C{pptpgw top}, in a terminal.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.threads import deferToThread

from pptpgw.command.top import Screen, _rate
from tests.command.invocation import Command
from tests.command.test_live import live
from tests.terminal import Terminal

COMMAND = (sys.executable, "-m", "pptpgw.command", "top", "--config")


@pytest.mark.parametrize("leave", ["q", "interrupt"])
async def test_screen(configuration: Path, leave: str) -> None:
    """
    Sessions are sorted as one types; the terminal is as before in the end.
    """
    terminal = Terminal()
    async with live(configuration, b"alice", b"bob") as gateway:
        process = terminal.run(*COMMAND, str(configuration), cwd=Path(__file__).parents[2])
        for text in ("sorted by -rate_received", "10.77.0.10"):
            await deferToThread(terminal.waitFor, text, 8)
        assert not terminal.echoes()
        for order in ("user", "-user"):
            terminal.type(b"u")
            await deferToThread(terminal.waitFor, f"sorted by {order}")
        await deferToThread(terminal.waitFor, "bob")
        await deferToThread(terminal.waitFor, "alice")
        gateway.world.setUpCall(b"carol")
        await deferToThread(terminal.waitFor, "carol")
        if leave == "q":
            terminal.type(b"q")
        else:
            process.send_signal(signal.SIGINT)
        status = await deferToThread(terminal.end, process)
    assert status == (0 if leave == "q" else 130)
    assert terminal.echoes() and "Traceback" not in terminal.text
    terminal.close()


async def test_linesForPrograms(configuration: Path) -> None:
    """
    With C{--json} each look is a line, and no terminal is needed.
    """
    words = [*COMMAND, str(configuration), "--json", "--interval", "1s"]
    async with live(configuration, b"alice", b"bob"):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = [await deferToThread(process.stdout.readline) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        await deferToThread(process.wait, 20)
        process.stdout.close()
    for look in map(json.loads, lines):
        assert look["status"]["sessions"] == 2
        assert [one["user"] for one in look["sessions"]] == ["alice", "bob"]
    assert process.returncode == 130


async def test_noTerminal(pptpgw: Command, configuration: Path) -> None:
    async with live(configuration):
        done = await pptpgw("top")
    assert done.status == 2 and "top needs a terminal" in done.error


def test_keys() -> None:
    screen = Screen()
    sorts = []
    for key in ("o", "o", "u", "x"):
        screen.press(key)
        sorts.append(screen.sort)
    assert sorts == ["-rate_sent", "rate_sent", "user", "user"] and not screen.isOver
    screen.press("tq")
    assert screen.sort == "-uptime_seconds" and screen.isOver


def test_rate() -> None:
    assert [_rate(one) for one in (None, 0, 999, 64_000, 2_000_000, 1.5e9)] == [
        *("-", "0", "999", "64k", "2M", "1.5G")
    ]
