"""
Measures what a session costs the server process: CPU time to set it up, and memory while it is
idle.

The server process is the whole gateway as C{twistd} runs it, with its real ports and its settings
of the garbage collector, a chap-secrets file, MPPE required and the log in a file. It runs in a
network namespace of its own, and our own client calls it from another one at the other end of a
veth pair. Each session has a control connection of its own, so a set-up consists of TCP, the
control connection, the call, LCP, MS-CHAPv2, CCP with MPPE-128, and IPCP up to Opened.

 - The CPU time is the user and system time of the server process from the first set-up of a run to
   the last. Hanging up isn't included, and is shown separately.
 - The memory is resident memory after a garbage collection, in a server process that has only done
   a few set-ups before, one after the other.
 - The time of a set-up is measured by the caller, from the call of C{connect} to IPCP's Opened. It
   includes the caller's own CPU time, and the wait for other work of the machine.

If there are two CPUs the server and the caller have one each.

Run it as root: C{python -m tests.bench.sessions}, or by path. C{--quick} makes fewer and shorter
runs.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.namespaces import SERVER, namespaces

FIRST, LAST = "10.77.0.10", "10.77.15.250"
USERS = 1000
PASSWORD = "correct horse"
DESCRIPTORS = 8192
LIMIT = 120.0
"""
Seconds that one command to the caller may take.
"""

SETTLE = 1.5
"""
Seconds after which the acknowledgements of a set-up are sent and its timers are over.
"""

WARM_UP = 50
MILLISECONDS = 3.0
KIBIBYTES = 40.0
"""
The targets, for one set-up and for one idle session.
"""

Answer = Callable[[list[str]], Coroutine[Any, Any, object]]


def serveCommands(reactor: Any, answer: Answer) -> None:
    """
    Answer each line of standard input with a line of JSON, until it ends.
    """
    from twisted.internet.defer import Deferred, ensureDeferred
    from twisted.internet.protocol import connectionDone
    from twisted.internet.stdio import StandardIO
    from twisted.protocols.basic import LineOnlyReceiver
    from twisted.python.failure import Failure

    class Commands(LineOnlyReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            answered: Deferred[object] = ensureDeferred(answer(line.decode().split()))
            answered.addCallbacks(self.answered, self.failed)

        def answered(self, result: object) -> None:
            assert self.transport is not None
            self.transport.write(json.dumps(result).encode() + self.delimiter)

        def failed(self, failure: Failure) -> None:
            failure.printTraceback()
            reactor.stop()

        def connectionLost(self, reason: Failure = connectionDone) -> None:
            if reactor.running:
                reactor.stop()

    reactor.callWhenRunning(StandardIO, Commands())
    reactor.run()


def memory() -> int:
    """
    Resident memory of this process, in octets.
    """
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def serve(folder: Path) -> None:
    """
    Run the server process, with its files in C{folder}.
    """
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner, textFileLogObserver
    from twisted.python.filepath import FilePath
    from twisted.python.logfile import LogFile

    from pptpgw.auth.checkers import ChapSecretsChecker
    from pptpgw.config.configuration import load
    from pptpgw.ports.collector import Collector
    from pptpgw.service import GatewayService

    log = LogFile.fromFullPath(str(folder / "twistd.log"))
    globalLogBeginner.beginLoggingTo([textFileLogObserver(log)])
    checker = ChapSecretsChecker(FilePath(str(folder / "chap-secrets")))
    loop: Any = reactor
    service = GatewayService(loop, load(str(folder / "pptpgw.toml")), [checker])
    service.startService()
    Collector(loop).startService()

    async def answer(words: list[str]) -> object:
        if words[0] == "memory":
            gc.collect()
            return memory()
        if words[0] == "sessions":
            return len(service.gateway.sessions)
        if words[0] == "figures":
            gc.collect()
            calls = service.gateway.context.clock.getDelayedCalls()
            timers = [call for call in calls if call.active()]
            files = len(os.listdir("/proc/self/fd"))
            return {"memory": memory(), "files": files, "timers": len(timers)}
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    serveCommands(loop, answer)


def call() -> None:
    """
    Run the caller process. It answers C{open COUNT CONCURRENCY} with the seconds that each set-up
    took, and C{close} with the number of sessions that it hung up.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

    from pptpgw.auth.protocols import MSCHAPV2
    from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
    from pptpgw.ppp.settings import Identity, LinkSettings
    from pptpgw.tunnels.pptp.client import ClientConnection, ControlClient

    endpoint = ControlClient(reactor, SERVER)
    settings = [
        LinkSettings(identity=Identity(f"caller{number}".encode(), PASSWORD.encode(), (MSCHAPV2,)))
        for number in range(USERS)
    ]
    connections: list[ClientConnection] = []

    def receive(packet: bytes) -> None:
        raise AssertionError("nobody sends packets")

    async def setUp() -> float:
        began = reactor.seconds()
        connection = await endpoint.connect()
        connections.append(connection)
        ipv4 = IPCP(IPv4Settings.client(receive))
        await connection.placeCall(settings[len(connections) % USERS], [ipv4])
        return reactor.seconds() - began

    async def some(numbers: Iterator[int], took: list[float]) -> None:
        for _ in numbers:
            took.append(await setUp())

    async def answer(words: list[str]) -> object:
        if words[0] == "open":
            count, concurrency = map(int, words[1:])
            took: list[float] = []
            numbers = iter(range(count))
            callers = [ensureDeferred(some(numbers, took)) for _ in range(concurrency)]
            await gatherResults(callers).addTimeout(LIMIT, reactor)
            return took
        ended: list[Deferred[None]] = [connection.close() for connection in connections]
        await gatherResults(ended).addTimeout(LIMIT, reactor)
        connections.clear()
        return len(ended)

    serveCommands(reactor, answer)


def configure(folder: Path) -> None:
    """
    Write the server's files: the defaults except for limits and the size of the pool.
    """
    secrets = folder / "chap-secrets"
    secrets.touch(0o600)
    secrets.write_text("".join(f'caller{n} * "{PASSWORD}" *\n' for n in range(USERS)))
    (folder / "pptpgw.toml").write_text(
        "[listen]\n"
        "max-connections-per-host = 4096\n"
        "[link]\n"
        'encryption = "require"\n'
        "[ipv4]\n"
        f'pool = ["{FIRST}-{LAST}"]\n'
    )


class Both:
    """
    The server process and the caller process.
    """

    def __init__(self, server: subprocess.Popen[str], caller: subprocess.Popen[str]) -> None:
        self._server = server
        self._caller = caller

    def cpu(self) -> float:
        """
        The CPU time of the server process so far, in seconds.
        """
        seconds: float = self.ask(self._server, "cpu")
        return seconds

    def memory(self) -> int:
        """
        The resident memory of the server process, in octets.
        """
        octets: int = self.ask(self._server, "memory")
        return octets

    def sessions(self) -> int:
        """
        How many sessions the server process has.
        """
        count: int = self.ask(self._server, "sessions")
        return count

    def figures(self) -> dict[str, int]:
        """
        The server process's resident memory in octets, open files, and pending calls of its
        reactor.
        """
        figures: dict[str, int] = self.ask(self._server, "figures")
        return figures

    def open(self, count: int, concurrency: int = 1) -> list[float]:
        """
        Set up C{count} more sessions, C{concurrency} at a time.

        @return: the seconds that each took.
        """
        before = self.sessions()
        took: list[float] = self.ask(self._caller, f"open {count} {concurrency}")
        if len(took) != count or self.sessions() != before + count:
            raise RuntimeError(f"{len(took)} of {count} sessions were set up")
        return took

    def close(self) -> int:
        """
        Hang up every session.

        @return: how many there were.
        """
        count: int = self.ask(self._caller, "close")
        if self.sessions():
            raise RuntimeError("a session outlived its caller")
        return count

    def storm(self, count: int) -> list[tuple[float, str]]:
        """
        Place C{count} calls at once.

        @return: the seconds until each was set up or refused, and the reasons of the refusals.
        """
        ends: list[tuple[float, str]] = self.ask(self._caller, f"storm {count}")
        return ends

    def ask(self, process: subprocess.Popen[str], command: str) -> Any:
        """
        Send a command to one of the processes, and return its answer.
        """
        assert process.stdin is not None and process.stdout is not None
        print(command, file=process.stdin, flush=True)
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"one process failed at {command!r}")
        return json.loads(answer)


@contextmanager
def running() -> Iterator[Both]:
    """
    Both processes, warmed up.
    """

    def start(namespace: str, *arguments: str) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", namespace, sys.executable, __file__, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    processes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as folder, namespaces() as (near, far):
        configure(Path(folder))
        try:
            processes.append(start(near, "--serve", folder))
            processes.append(start(far, "--call"))
            both = Both(*processes)
            # The server answers when it listens.
            both.sessions()
            for _ in range(WARM_UP):
                both.open(1)
                both.close()
            yield both
        finally:
            for process in processes:
                process.kill()
                process.wait()


def show(what: str, values: list[float], unit: str, target: float = 0.0) -> None:
    """
    Print a median with its range, and its ratio to the target if there is one.
    """
    middle = statistics.median(values)
    spread = f"{middle:.2f} ({min(values):.2f}-{max(values):.2f})"
    ratio = f"  {middle / target:.2f} of at most {target:g} {unit}" if target else ""
    print(f"{what:38}{spread:>24} {unit:8}{ratio}", flush=True)


def setUps(count: int, runs: int, concurrency: int, target: float) -> None:
    """
    Measure the CPU time and the time of set-ups.
    """
    costs, hangUps, rates, middles, slowest = [], [], [], [], []
    with running() as both:
        for _ in range(runs):
            begin = both.cpu()
            took = sorted(both.open(count, concurrency))
            end = both.cpu()
            costs.append((end - begin) / count * 1e3)
            rates.append(1e3 / costs[-1])
            middles.append(statistics.median(took) * 1e3)
            slowest.append(took[len(took) * 99 // 100] * 1e3)
            begin = both.cpu()
            both.close()
            hangUps.append((both.cpu() - begin) / count * 1e3)
    print(f"{concurrency} at a time, {runs} runs of {count}:")
    show("  CPU time of a set-up", costs, "ms", target)
    show("  set-ups a second and core", rates, "")
    show("  CPU time of hanging up", hangUps, "ms")
    show("  time of a set-up, median", middles, "ms")
    show("  time of a set-up, 99th percentile", slowest, "ms")


def idle(sessions: int, runs: int) -> None:
    """
    Measure the memory of idle sessions.
    """
    sizes = []
    for _ in range(runs):
        with running() as both:
            before = both.memory()
            both.open(sessions, 4)
            time.sleep(SETTLE)
            sizes.append((both.memory() - before) / sessions / 1024)
    print(f"{sessions} idle sessions, {runs} runs:")
    show("  resident memory of each", sizes, "KiB", KIBIBYTES)


def main() -> None:
    """
    Measure, and print medians, ranges and the ratio to each target.
    """
    parser = argparse.ArgumentParser(description="CPU time and memory of sessions")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one run of each, the first shorter")
    options = parser.parse_args()
    count = 300
    if options.quick:
        options.runs, count = 1, 100
    if os.geteuid():
        sys.exit("network namespaces are made by root only")
    from pptpgw.datapath.mppe import implementation

    # Other programs take from the caches and from the other half of a core.
    print(f"MPPE: {implementation}; load average before: {os.getloadavg()[0]:.1f}")
    setUps(count, options.runs, 1, MILLISECONDS)
    setUps(count, options.runs, 8, MILLISECONDS)
    idle(1000, min(options.runs, 3))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("--serve", "--call"):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, most), most))
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[-1] if sys.argv[1] == "--serve" else cpus[0]})
    match sys.argv[1:]:
        case ["--serve", folder]:
            serve(Path(folder))
        case ["--call"]:
            call()
        case _:
            main()
