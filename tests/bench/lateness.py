"""
Measures how late the reactor of the server process is while thousands of sessions come and go.

The server process, the caller process and the set-ups are those of L{tests.bench.sessions}. A timer
of the server process is due every five milliseconds. Packets, other timers and callers wait for as
long as it is late. The largest lateness and the 99.9th percentile are shown for

 - set-ups of all sessions, eight at a time, half of them with addresses outside of the pools, as
   accounts may have them;
 - a reload that removes the pool of the other half, whose sessions go on;
 - hang-ups of all sessions by the server, on one command;
 - the end of all callers together: they are killed while the server process stands still, so that
   it finds the end of every connection at once;
 - the stop of the server with all sessions.

The CPU time that the process used between two ticks is shown too, as a process may be late without
a fault of its own on a machine with other work.

Run it as root: C{python -m tests.bench.lateness}, or by path. C{--sessions N} makes fewer sessions.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import sessions
from tests.bench.namespaces import namespaces

TICK = 0.005
LARGEST, COMMON = 50.0, 10.0
"""
The targets in milliseconds: of the largest lateness, and of the 99.9th percentile.
"""

FILES = 32768
PATIENCE = 600.0
"""
Seconds that one phase may take.
"""


class Ticks:
    """
    A timer that records how late it is.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.begin()
        self._next()

    def begin(self) -> None:
        """
        Forget the earlier ticks.
        """
        self._late: list[float] = []
        self._busy: list[float] = []
        self._due = time.monotonic() + TICK
        self._cpu = time.process_time()

    def report(self) -> dict[str, float]:
        """
        The lateness since L{begin}, in milliseconds.
        """
        found = {"ticks": float(len(self._late))}
        for name, values in (("late", self._late), ("busy", self._busy)):
            ordered = sorted(values) or [0.0]
            found[name] = ordered[-1] * 1e3
            found[f"{name}999"] = ordered[(len(ordered) - 1) * 999 // 1000] * 1e3
        return found

    def _next(self) -> None:
        self._due = time.monotonic() + TICK
        self._cpu = time.process_time()
        self._reactor.callLater(TICK, self._tick)

    def _tick(self) -> None:
        self._late.append(max(0.0, time.monotonic() - self._due))
        self._busy.append(time.process_time() - self._cpu)
        self._next()


def serve(folder: Path) -> None:
    """
    Run the server process as the command line does, with its files in C{folder}.
    """
    from twisted.internet import reactor
    from twisted.internet.base import ReactorBase
    from twisted.internet.task import deferLater
    from twisted.logger import globalLogBeginner, textFileLogObserver
    from twisted.python import usage
    from twisted.python.filepath import FilePath
    from twisted.python.logfile import LogFile

    from pptpgw.tap import CommandService, Options

    assert isinstance(reactor, ReactorBase)
    log = LogFile.fromFullPath(str(folder / "twistd.log"))
    globalLogBeginner.beginLoggingTo([textFileLogObserver(log)])
    options = Options()
    usage.Options.parseOptions(
        options,
        [
            *("--config", FilePath(str(folder / "pptpgw.toml")).path),
            *("--auth", f"chap-secrets:{folder}/chap-secrets"),
        ],
    )
    service = CommandService(reactor, options)
    service.startService()
    ticks = Ticks(reactor)

    async def gone(most: int) -> None:
        while len(service.gateway.lines) > most:
            await deferLater(reactor, 0.05, lambda: None)

    async def answer(words: list[str]) -> object:
        if words[0] == "sessions":
            return len(service.gateway.sessions)
        if words[0] == "begin":
            ticks.begin()
            return None
        if words[0] == "reload":
            configure(folder, 0, pool=False)
            service.reload(options.load())
            await deferLater(reactor, 2, lambda: None)
        elif words[0] == "hangUp":
            for session in service.gateway.sessions:
                session.hangUp("by order")
            await gone(0)
        elif words[0] == "vanish":
            # The process stands still until L{Stage.vanish} lets it go on.
            os.kill(os.getpid(), signal.SIGSTOP)
            ticks.begin()
            await gone(0)
        elif words[0] == "stop":
            await service.stopService()
        await deferLater(reactor, 0.2, lambda: None)
        return ticks.report()

    sessions.serveCommands(reactor, answer)


def configure(folder: Path, users: int, pool: bool = True) -> None:
    """
    Write the server's files. Every other user has an address of its own.
    """
    if users:
        secrets = folder / "chap-secrets"
        secrets.touch(0o600)
        with secrets.open("w") as file:
            for number in range(users):
                own = f"10.80.{number >> 8}.{number & 255}" if number % 2 else "*"
                file.write(f'caller{number} * "{sessions.PASSWORD}" {own}\n')
    run = "10.77.0.10-10.77.255.250" if pool else "10.78.0.10-10.78.255.250"
    (folder / "pptpgw.toml").write_text(
        "[listen]\n"
        "max-connections = 32768\n"
        "max-connections-per-host = 32768\n"
        "drain-timeout = 60\n"
        "[link]\n"
        'encryption = "require"\n'
        "[ipv4]\n"
        f'pool = ["{run}"]\n'
    )


class Stage(sessions.Both):
    """
    A server process, and a caller process that can be replaced.
    """

    def __init__(self, near: str, far: str, folder: Path, users: int) -> None:
        self._far = far
        self._users = users
        super().__init__(self._start(near, "--serve", str(folder)), self._call())

    def _start(self, namespace: str, *arguments: str) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", namespace, sys.executable, __file__, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _call(self) -> subprocess.Popen[str]:
        return self._start(self._far, "--call", str(self._users))

    def server(self, command: str) -> Any:
        """
        Send a command to the server process.
        """
        return self.ask(self._server, command)

    def vanish(self) -> Any:
        """
        Kill the caller process while the server process stands still, so that the server learns of
        all ends at once. The next callers are in a new process.
        """
        pid = self._server.pid
        assert self._server.stdin is not None and self._server.stdout is not None
        print("vanish", file=self._server.stdin, flush=True)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)
        self._caller.kill()
        self._caller.wait()
        time.sleep(1)
        os.kill(pid, signal.SIGCONT)
        self._caller = self._call()
        return json.loads(self._server.stdout.readline())

    def end(self) -> None:
        """
        End both processes.
        """
        for process in (self._server, self._caller):
            process.kill()
            process.wait()


@contextmanager
def stage(users: int) -> Iterator[Stage]:
    """
    Both processes, with files for C{users} users.
    """
    # The files are in memory, as others who use a disk delay the writing of logs to it.
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shared) as folder, namespaces() as (near, far):
        configure(Path(folder), users)
        made = Stage(near, far, Path(folder), users)
        try:
            made.sessions()
            yield made
        finally:
            made.end()


def show(what: str, found: dict[str, float]) -> None:
    """
    Print a row.
    """
    print(
        f"{what:28}{found['late']:9.1f}{found['late999']:9.1f}{found['busy']:9.1f}"
        f"{found['busy999']:9.1f}{found['ticks']:9.0f}",
        flush=True,
    )


def main() -> None:
    """
    Measure, and print a table.
    """
    parser = argparse.ArgumentParser(description="lateness of the loop")
    parser.add_argument("--sessions", type=int, default=10000)
    options = parser.parse_args()
    count: int = options.sessions
    if os.geteuid():
        sys.exit("network namespaces are made by root only")
    print(f"{count} sessions; load average before: {os.getloadavg()[0]:.1f}")
    print(f"{'milliseconds':28}{'late':>9}{'p99.9':>9}{'CPU':>9}{'p99.9':>9}{'ticks':>9}")
    with stage(count) as made:

        def phase(what: str, command: str) -> None:
            made.server("begin")
            show(what, made.server(command))

        def setUps(what: str) -> None:
            made.server("begin")
            made.open(count, 8)
            show(what, made.server("report"))

        setUps("set-ups")
        phase("a pool removed by a reload", "reload")
        phase("hang-ups by the server", "hangUp")
        # The control connections still exist, and would all be idle for too long at the same
        # moment.
        made.close()
        setUps("set-ups again")
        show("all callers gone together", made.vanish())
        setUps("set-ups once more")
        phase("the stop", "stop")
    print(f"targets: largest {LARGEST:g} ms, p99.9 {COMMON:g} ms")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("--serve", "--call"):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most), most))
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[-1] if sys.argv[1] == "--serve" else cpus[0]})
    sessions.LIMIT = PATIENCE
    match sys.argv[1:]:
        case ["--serve", folder]:
            serve(Path(folder))
        case ["--call", users]:
            sessions.USERS = int(users)
            sessions.call()
        case _:
            main()
