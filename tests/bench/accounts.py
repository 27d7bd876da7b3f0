"""
Measures what it costs to judge callers: set-ups with the embedded store and through RADIUS, 1,000
calls that arrive at once, and the accounting spool.

The processes, namespaces and set-ups are those of L{tests.bench.sessions}, with other checkers:

 - C{accounts}: 1,000 users in SQLite, in which each session has a row too.
 - C{radius}: a FreeRADIUS on the same machine, which logs everything, judges callers and takes
   accounting. If there are two CPUs it shares the caller's.

The calls come from 20 addresses, as the calls of one address are limited. The limits are the
defaults. The time of each of 1,000 set-ups at once includes the wait for all others, and for the
caller, which has as much to do as the server. Each call must end connected, or refused with a
reason. A call that hangs, or a number of sessions that differs from the gateway's, fails the run.

The spool has records of 300 octets, of 500 sessions. 100 are put in each turn of the reactor, and
answered in the next turn.

Run it as root: C{python -m tests.bench.accounts}, or by path. C{--quick} makes fewer and shorter
runs.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.namespaces import SERVER, namespaces, run
from tests.bench.sessions import (
    DESCRIPTORS,
    FIRST,
    LAST,
    LIMIT,
    PASSWORD,
    SETTLE,
    USERS,
    Both,
    serveCommands,
    show,
)

SOURCES = [f"192.0.2.{number}" for number in range(101, 121)]
AT_ONCE = 1000
WARM_UP = 20
RECORDS = 20_000
RECORD_OCTETS = 300
SPOOL_SESSIONS = 500
SPOOL_AT_ONCE = 100
KINDS = ("accounts", "radius")


def cpus() -> tuple[int, int]:
    """
    The CPU of the caller and that of the server.
    """
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def configuration(folder: Path, more: str = "") -> Path:
    """
    The server's configuration: the defaults except for the size of the pool.
    """
    path = folder / "pptpgw.toml"
    path.touch(0o600)
    path.write_text(
        f'[link]\nencryption = "require"\n[ipv4]\npool = ["{FIRST}-{LAST}"]\n'
        f'[accounts]\nstore = "sqlite:{folder}/accounts.sqlite"\nkey = "{folder}/key"\n{more}'
    )
    return path


def serve(kind: str, folder: Path) -> None:
    """
    Run the server process, with its files in C{folder}.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.logger import globalLogBeginner, textFileLogObserver
    from twisted.python.logfile import LogFile

    from pptpgw.auth.checkers import AccountsChecker
    from pptpgw.config.configuration import load
    from pptpgw.radius.checker import RADIUSChecker
    from pptpgw.service import GatewayService
    from pptpgw.store.store import Store
    from tests.radius.freeradius import SECRET, FreeRADIUS

    callers, server = cpus()
    checker: AccountsChecker | RADIUSChecker
    radius: FreeRADIUS | None = None
    if kind == "radius":
        os.sched_setaffinity(0, {callers})
        users = (f'caller{n} Cleartext-Password := "{PASSWORD}"\n' for n in range(USERS))
        radius = FreeRADIUS(folder / "radius", "".join(users))
        radius.start()
        path = configuration(
            folder,
            f'[[radius.server]]\nhost = "127.0.0.1"\nauth-port = {radius.authPort}\n'
            f'acct-port = {radius.acctPort}\nsecret = "{SECRET}"\n',
        )
        checker = RADIUSChecker()
    else:
        path = configuration(folder)
        checker = AccountsChecker(lambda accounts: Store(reactor, accounts.store, accounts.key))
    os.sched_setaffinity(0, {server})
    log = LogFile.fromFullPath(str(folder / "twistd.log"))
    globalLogBeginner.beginLoggingTo([textFileLogObserver(log)])

    async def start() -> GatewayService:
        if kind == "accounts":
            store = Store(reactor, f"sqlite:{folder}/accounts.sqlite", f"{folder}/key", create=True)
            for number in range(USERS):
                await store.addAccount(f"caller{number}", PASSWORD.encode())
            store.close()
        made = GatewayService(reactor, load(str(path)), [checker])
        made.startService()
        return made

    services: list[GatewayService] = []

    async def answer(words: list[str]) -> object:
        if words[0] == "start":
            services.append(await start())
            return None
        if words[0] == "sessions":
            return len(services[0].gateway.sessions)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    def stop() -> Deferred[Any] | None:
        if radius is not None:
            radius.kill()
        return services[0].stopService() if services else None

    trigger: Any = reactor
    trigger.addSystemEventTrigger("before", "shutdown", stop)
    serveCommands(reactor, answer)


def call() -> None:
    """
    Run the caller process. It answers C{open COUNT CONCURRENCY} with the seconds that each set-up
    took, C{storm COUNT}, which places all calls at once, with the seconds until each call's end and
    the reason of its refusal (empty for none), and C{close} with the number of sessions that it
    hung up.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

    from pptpgw.auth.protocols import MSCHAPV2
    from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
    from pptpgw.ppp.settings import Identity, LinkSettings
    from pptpgw.tunnels.pptp.client import ClientConnection, ControlClient

    endpoints = [ControlClient(reactor, SERVER, bindAddress=source) for source in SOURCES]
    settings = [
        LinkSettings(identity=Identity(f"caller{number}".encode(), PASSWORD.encode(), (MSCHAPV2,)))
        for number in range(USERS)
    ]
    connections: list[ClientConnection] = []

    def receive(packet: bytes) -> None:
        raise AssertionError("nobody sends packets")

    async def setUp(number: int) -> float:
        began = reactor.seconds()
        connection = await endpoints[number % len(endpoints)].connect()
        connections.append(connection)
        ipv4 = IPCP(IPv4Settings.client(receive))
        await connection.placeCall(settings[number % USERS], [ipv4])
        return reactor.seconds() - began

    async def some(numbers: Iterator[int], took: list[float]) -> None:
        for number in numbers:
            took.append(await setUp(number))

    async def one(number: int) -> tuple[float, str]:
        began = reactor.seconds()
        try:
            await setUp(number)
        except Exception as error:
            return reactor.seconds() - began, f"{type(error).__name__}: {error}"
        return reactor.seconds() - began, ""

    async def answer(words: list[str]) -> object:
        if words[0] == "open":
            count, concurrency = map(int, words[1:])
            took: list[float] = []
            numbers = iter(range(count))
            callers = [ensureDeferred(some(numbers, took)) for _ in range(concurrency)]
            await gatherResults(callers).addTimeout(LIMIT, reactor)
            return took
        if words[0] == "storm":
            calls = [ensureDeferred(one(number)) for number in range(int(words[1]))]
            return await gatherResults(calls).addTimeout(LIMIT, reactor)
        ended: list[Deferred[None]] = [connection.close() for connection in connections]
        await gatherResults(ended).addTimeout(LIMIT, reactor)
        connections.clear()
        return len(ended)

    os.sched_setaffinity(0, {cpus()[0]})
    serveCommands(reactor, answer)


@contextmanager
def running(kind: str) -> Iterator[Both]:
    """
    Both processes, warmed up.
    """

    def start(namespace: str, *arguments: str) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", namespace, sys.executable, __file__, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    processes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as folder, namespaces() as (near, far):
        run(*(f"ip -n {far} address add {source}/24 dev out" for source in SOURCES))
        try:
            processes += [start(near, "--serve", kind, folder), start(far, "--call")]
            both = Both(*processes)
            both.ask(processes[0], "start")
            for _ in range(WARM_UP):
                both.open(1)
                both.close()
            yield both
        finally:
            # Each process ends at the end of its input.
            for process in processes:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(30)


def setUps(kind: str, count: int, runs: int, concurrency: int) -> None:
    """
    Measure the CPU time and the time of set-ups.
    """
    costs, rates, middles, slowest = [], [], [], []
    with running(kind) as both:
        for _ in range(runs):
            begin, began = both.cpu(), time.monotonic()
            took = sorted(both.open(count, concurrency))
            seconds, end = time.monotonic() - began, both.cpu()
            costs.append((end - begin) / count * 1e3)
            rates.append(count / seconds)
            middles.append(statistics.median(took) * 1e3)
            slowest.append(took[len(took) * 99 // 100] * 1e3)
            both.close()
    print(f"{kind}, {concurrency} at a time, {runs} runs of {count}:")
    show("  CPU time of a set-up", costs, "ms")
    show("  set-ups a second", rates, "")
    show("  time of a set-up, median", middles, "ms")
    show("  time of a set-up, 99th percentile", slowest, "ms")


def storm(kind: str, count: int) -> None:
    """
    Measure the results of C{count} calls that arrive at once.
    """
    with running(kind) as both:
        begin, began = both.cpu(), time.monotonic()
        ends = both.storm(count)
        seconds, cpu = time.monotonic() - began, both.cpu() - begin
        time.sleep(SETTLE)
        connected = sorted(took for took, reason in ends if not reason)
        if len(ends) != count or both.sessions() != len(connected):
            raise RuntimeError(f"{len(ends)} of {count} ended, {both.sessions()} sessions")
        reasons = Counter(reason for _, reason in ends if reason)
        if any(not reason.partition(": ")[2] for reason in reasons):
            raise RuntimeError(f"some were refused without a reason: {reasons}")
    print(
        f"{kind}, {count} at once: {len(connected)} connected within {seconds:.1f} s, "
        f"{cpu / count * 1e3:.2f} ms of CPU each"
    )
    for reason, times in reasons.most_common():
        print(f"  {times} refused: {reason}")
    marks = (50, 90, 99, 100)
    if connected:
        each = (connected[max(0, len(connected) * mark // 100 - 1)] for mark in marks)
        names = ("p50", "p90", "p99", "max")
        print("  " + ", ".join(f"{n} {t:.2f} s" for n, t in zip(names, each, strict=True)))


def spool(count: int) -> None:
    """
    Measure how fast records are stored, sent and answered, and read again.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.internet.task import deferLater

    from pptpgw.counting.counters import Counters
    from pptpgw.ports.queue import Queue
    from pptpgw.radius.spool import Spool

    clock: Any = reactor

    def answered(octets: bytes) -> Deferred[None]:
        return deferLater(clock, 0, lambda: None)

    def silent(octets: bytes) -> Deferred[None]:
        return Deferred(lambda _: None)

    async def filled(queue: Queue, one: Spool, left: int) -> float:
        """
        Put the records, C{SPOOL_AT_ONCE} in each turn, and wait until all but C{left} are answered
        and everything is on the disk.

        @return: the seconds that this took.
        """
        began = time.monotonic()
        for number in range(count):
            if not one.put(b"%d" % (number % SPOOL_SESSIONS), bytes(RECORD_OCTETS)):
                raise RuntimeError("the spool is full")
            if not (number + 1) % SPOOL_AT_ONCE:
                await deferLater(clock, 0)
        while len(one) > left or queue.waiting:
            await deferLater(clock, 0.001)
        return time.monotonic() - began

    def made(folder: str, send: Callable[[bytes], Deferred[None]]) -> tuple[Queue, Spool]:
        queue = Queue(clock, "spool", folder, 1 << 30)
        one = Spool(clock, queue, send, Counters())
        one.start()
        return queue, one

    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    async def measure() -> None:
        print(f"accounting spool, {count} records of {RECORD_OCTETS} octets:")
        with tempfile.TemporaryDirectory() as folder:
            for name, where in (("memory", ""), ("files", folder)):
                queue, one = made(where, answered)
                begin = cpu()
                seconds = await filled(queue, one, 0)
                spent = (cpu() - begin) / count * 1e6
                await one.stop(5)
                print(
                    f"  kept in {name}, sent, answered: {count / seconds:8.0f} a second, "
                    f"{spent:.0f} us of CPU each"
                )
            queue, one = made(folder, silent)
            begin = cpu()
            seconds = await filled(queue, one, count)
            spent = (cpu() - begin) / count * 1e6
            print(
                f"  on disk while no server answers: {count / seconds:6.0f} a second, "
                f"{spent:.0f} us of CPU each"
            )
            await one.close()
            began = time.monotonic()
            queue, one = made(folder, silent)
            seconds = time.monotonic() - began
            if len(one) != count:
                raise RuntimeError(f"{len(one)} of {count} records are there")
            print(f"  taken up at the next start:    {count / seconds:8.0f} a second")
            await one.close()

    def begin() -> None:
        done: Deferred[None] = Deferred.fromCoroutine(measure())
        done.addErrback(lambda failure: failure.printTraceback())
        done.addBoth(lambda _: clock.stop())

    clock.callWhenRunning(begin)
    clock.run()


def main() -> None:
    """
    Measure, and print medians and ranges.
    """
    parser = argparse.ArgumentParser(description="set-ups by accounts and by RADIUS")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one run of each, the first shorter")
    options = parser.parse_args()
    count = 300
    if options.quick:
        options.runs, count = 1, 100
    if os.geteuid():
        sys.exit("network namespaces are made by root only")
    print(f"load average before: {os.getloadavg()[0]:.1f}", flush=True)
    for kind in KINDS:
        for concurrency in (1, 8):
            setUps(kind, count, options.runs, concurrency)
        storm(kind, AT_ONCE)
    sys.stdout.flush()
    spool(RECORDS)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("--serve", "--call"):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, most), most))
    match sys.argv[1:]:
        case ["--serve", kind, folder]:
            serve(kind, Path(folder))
        case ["--call"]:
            call()
        case _:
            main()
