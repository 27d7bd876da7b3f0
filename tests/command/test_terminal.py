"""
Tests for the command C{pptpgw} as a process: at a terminal, in a pipe, and interrupted.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import Terminal

COMMAND = (sys.executable, "-m", "pptpgw.command")
CONTROL_C, END_OF_FILE = b"\x03", b"\x04"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """
    A configuration whose store has the user alice.
    """
    path = tmp_path / "pptpgw.toml"
    path.write_text(f'[accounts]\nstore = "sqlite:{tmp_path}/accounts.sqlite"\n')
    command = [*COMMAND, "user", "add", "alice", "--generate", "--config", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def users(configuration: Path) -> list[str]:
    """
    The names of the users in the store.
    """
    command = [*COMMAND, "user", "list", "--config", str(configuration)]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return [line.split()[0] for line in listed.stdout.splitlines()[1:]]


class TestPrompt:
    @pytest.mark.parametrize("prompts", [("Password of bob: ",), ("Password of bob: ", "Again: ")])
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_interrupted(
        self,
        configuration: Path,
        terminal: Terminal,
        prompts: tuple[str, ...],
        number: signal.Signals,
    ) -> None:
        """
        Ctrl-C and SIGTERM at either prompt end the command without an effect and restore the
        terminal.
        """
        process = terminal.run(*COMMAND, "user", "add", "bob", "--config", str(configuration))
        for prompt in prompts[:-1]:
            terminal.waitFor(prompt)
            terminal.type(b"secret\n")
        terminal.waitFor(prompts[-1])
        assert not terminal.echoes()
        if number is signal.SIGINT:
            terminal.type(CONTROL_C)
        else:
            process.send_signal(number)
        assert terminal.end(process) == 128 + number
        assert terminal.echoes()
        assert "Traceback" not in terminal.text
        assert users(configuration) == ["alice"]

    def test_endOfFile(self, configuration: Path, terminal: Terminal) -> None:
        process = terminal.run(*COMMAND, "user", "add", "bob", "--config", str(configuration))
        terminal.waitFor("Password of bob: ")
        terminal.type(END_OF_FILE)
        assert terminal.end(process) == 1
        assert terminal.text.strip() == (
            "pptpgw: no password was typed; nothing is changed. --stdin reads it from standard "
            "input, --generate makes one"
        )

    def test_noTerminal(self, configuration: Path) -> None:
        command = ["setsid", "--wait", *COMMAND, "user", "add", "bob", "-c", str(configuration)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1
        [said] = done.stderr.splitlines()
        assert said.startswith("pptpgw: no password was typed")

    @pytest.mark.parametrize("words", [("user", "add", "bob", "--stdin"), ("import", "-")])
    def test_standardInput(
        self, configuration: Path, terminal: Terminal, words: tuple[str, ...]
    ) -> None:
        process = terminal.run(*COMMAND, *words, "--config", str(configuration))
        # Nothing is printed before the command reads, so Linux is asked for the system call in
        # which it waits.
        waiting = Path(f"/proc/{process.pid}/wchan")
        deadline = time.monotonic() + 60
        while "tty_read" not in waiting.read_text() and "wait_woken" not in waiting.read_text():
            assert time.monotonic() < deadline, waiting.read_text()
            time.sleep(0.01)
        terminal.type(CONTROL_C)
        assert terminal.end(process) == 130
        assert "Traceback" not in terminal.text
        assert users(configuration) == ["alice"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruptedInAQuery(number: signal.Signals) -> None:
    """
    A command that is interrupted while it waits for its store has the exit status of an
    interruption.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://127.0.0.1:{server.getsockname()[1]}/accounts"
        process = subprocess.Popen(
            [*COMMAND, "user", "list", "--store", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        server.settimeout(60)
        connection, _ = server.accept()
        with connection:
            process.send_signal(number)
            shown, _ = process.communicate(timeout=60)
    assert (process.returncode, shown) == (128 + number, b"")


@pytest.mark.parametrize(
    "words",
    [
        ("user", "list"),
        ("user", "show", "alice"),
        ("profile", "list"),
        ("lockouts",),
        ("usage",),
        ("--help",),
    ],
    ids=" ".join,
)
def test_nobodyReads(configuration: Path, words: tuple[str, ...]) -> None:
    """
    A command whose pipe has lost its reader, as with C{| head}, ends silently like other programs.
    """
    reading, writing = os.pipe()
    os.close(reading)
    words = words if words == ("--help",) else (*words, "--config", str(configuration))
    done = subprocess.run([*COMMAND, *words], stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.parametrize("module", ["click", "pptpgw.command.steering"])
def test_interruptedWhileItImports(module: str) -> None:
    """
    An interrupt ends a command in silence, even while modules are imported: what every command
    needs, and what this one needs, which click imports while it parses.
    """
    program = (
        "import sys\n"
        "from pptpgw.command.__main__ import main\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "main()\n"
    )
    command = (sys.executable, "-c", program, "status")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")
