"""
Tests for L{pptpgw.ports.script}, with real programs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogEvent, capturedLogs, formatEvent

from pptpgw.error import ConfigurationError
from pptpgw.ports.script import LINES, LONGEST, Run, check
from tests.ports.running import running


def script(folder: Path, body: str, interpreter: str = "/bin/sh") -> str:
    """
    A script with this body.
    """
    path = folder / "script"
    path.write_text(f"#!{interpreter}\n{body}\n")
    path.chmod(0o700)
    return str(path)


def run(
    path: str,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] = {},
    deadline: float = 10.0,
    after: float = 0.3,
) -> tuple[float, list[str]]:
    """
    Run a script.

    @return: how long it took, and what was logged until C{after} seconds later.
    """
    seconds = 0.0

    def begin(reactor: Any) -> Deferred[None]:
        one = Run(reactor, path, deadline)
        began = time.monotonic()

        def measure(_: None) -> Deferred[None]:
            nonlocal seconds
            seconds = time.monotonic() - began
            return deferLater(reactor, after)

        one.start(arguments, environment)
        return one.over.addCallback(measure)

    with capturedLogs() as events:
        running(begin)
    return seconds, told(events)


def told(events: Sequence[LogEvent]) -> list[str]:
    return [formatEvent(event) for event in events if Run.__module__ in str(event["log_namespace"])]


class TestRun:
    def test_argumentsAndEnvironmentAreAsTheyAreAndNothingElse(self, tmp_path: Path) -> None:
        """
        No shell reads the arguments and the environment. Standard input is empty, and the folder is
        the root.
        """
        path = script(
            tmp_path,
            "import json, os, sys\n"
            "stat = open('/proc/self/stat').read().rsplit(')', 1)[1].split()\n"
            "print(json.dumps([sys.argv[1:], dict(os.environ), sys.stdin.read(), os.getcwd(),"
            " int(stat[2]) == int(stat[3]) == os.getpid()]))",
            f"{sys.executable} -IS",
        )
        arguments = ["$(touch x)", "-rf", "", "; exit 1", "ä"]
        environment = {"PEERNAME": "`id` $HOME \\ \"'", "LC_ALL": "C.UTF-8"}
        _, (line,) = run(path, arguments, environment)
        found = json.loads(line.removeprefix(f"{path}: "))
        assert found == [arguments, environment, "", "/", True]

    def test_whatItPrintsIsLoggedLineByLine(self, tmp_path: Path) -> None:
        """
        Each line of both outputs is logged, also one without a newline, and no line can imitate
        another.
        """
        path = script(tmp_path, r"printf 'one\ntwo\rthree\033[2J\n\n'; printf four >&2")
        _, lines = run(path)
        assert sorted(lines) == sorted(
            [f"{path}: one", rf"{path}: two\rthree\x1b[2J", f"{path}: ", f"{path}: four"]
        )

    def test_soManyAndSoLongLinesAtMost(self, tmp_path: Path) -> None:
        body = f"print('x' * 100000); print('y\\n' * {LINES + 9}, end='')"
        path = script(tmp_path, body, f"{sys.executable} -IS")
        _, lines = run(path)
        assert len(lines) == LINES + 1
        assert lines[0] == f"{path}: {'x' * LONGEST}"
        assert lines[-1] == f"{path} printed 10 lines more"

    def test_aStatusOtherThanZeroIsLogged(self, tmp_path: Path) -> None:
        path = script(tmp_path, "exit 3")
        assert run(path)[1] == [f"{path} exited with status 3"]
        path = script(tmp_path, "kill -TERM $$")
        assert run(path)[1] == [f"{path} died of signal 15"]

    def test_whatIsGoneMeanwhileIsLogged(self, tmp_path: Path) -> None:
        _, lines = run(str(tmp_path / "gone"))
        assert any("No such file" in line for line in lines)


class TestDeadline:
    def test_itIsKilledWithAllThatItStarted(self, tmp_path: Path) -> None:
        path = script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; trap '' TERM; sleep 60")
        seconds, lines = run(path, deadline=1.0)
        assert 1.0 <= seconds < 2.0
        assert lines == [f"{path} is killed: it hasn't ended in 1 s"]
        child = int((tmp_path / "child").read_text())
        status = Path(f"/proc/{child}/status")
        # The process is dead, but its new parent may not have noticed yet.
        assert not status.exists() or "State:\tZ" in status.read_text()

    def test_whatItLeavesBehindIsNotWaitedFor(self, tmp_path: Path) -> None:
        """
        A process that the script leaves goes on, as with pppd, but its output isn't read for ever.
        """
        path = script(tmp_path, f"sleep 5 & echo $! > {tmp_path}/child; echo done")
        seconds, lines = run(path, after=1.3)
        assert seconds < 1.0
        assert lines == [f"{path}: done"]
        os.kill(int((tmp_path / "child").read_text()), 9)


class NoProcesses(Clock):
    def spawnProcess(self, *arguments: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")


def test_noProcessCanBeMade() -> None:
    reactor = NoProcesses()
    one = Run(reactor, "/bin/true", 10)
    fired: list[None] = []
    one.over.addCallback(fired.append)
    with capturedLogs() as events:
        one.start((), {})
    assert told(events) == ["/bin/true can't be run: Resource temporarily unavailable"]
    assert not fired
    reactor.advance(0)
    assert fired and not reactor.getDelayedCalls()
    one.kill()


class TestCheck:
    def test_whatCanBeRun(self, tmp_path: Path) -> None:
        check(script(tmp_path, "true"))

    @pytest.mark.parametrize(
        ("mode", "why"), [(0o600, "can't be executed"), (0o702, "everybody can write it")]
    )
    def test_whatCannot(self, tmp_path: Path, mode: int, why: str) -> None:
        path = Path(script(tmp_path, "true"))
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"{path}: {why}"):
            check(str(path))

    def test_whatIsNoFile(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="isn't a file"):
            check(str(tmp_path))
        with pytest.raises(ConfigurationError, match="No such file"):
            check(str(tmp_path / "missing"))

    def test_withoutSetsid(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConfigurationError, match="needs the program setsid"):
            check(script(tmp_path, "true"))
