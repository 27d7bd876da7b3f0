"""
What reading the metrics costs a gateway with thousands of sessions.

The gateway and its sessions are in memory, in one process: callers, links, MS-CHAPv2, MPPE and IPCP
are real, and there is no network. Another process reads C{/metrics} over TCP again and again, as
Prometheus does. Measured are

 - the time from the request to the whole answer, as the other process measures it;
 - the CPU time of this process for one answer;
 - how late a timer of the reactor is meanwhile (L{tests.bench.gateway.Ticks}): packets and other
   timers wait as long. The CPU time between two ticks shows how much of that is this process's
   own; the callers' ends of all links are part of it.

C{python -m tests.bench.scrape SESSIONS} measures it in this process, and prints the values.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.bench.process import printed, settle
from tests.bench.row import Figure, Trial

SETTLE, IDLE = 3.0, 5.0
SCRAPES = 10
BATCH = 100
TEXT = """
[management]
endpoints = ["tcp:{port}:interface=127.0.0.1"]
metrics-public = true
[ipv4]
pool = ["10.64.0.10-10.64.255.250"]
[limits]
max-setups = 0
attempts = 100
max-setups-per-source = 0
"""
READER = """
import sys, time, urllib.request
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    begun = time.monotonic()
    octets = urllib.request.urlopen(sys.argv[1]).read()
    print(time.monotonic() - begun, len(octets), flush=True)
    time.sleep(1.1)
"""


class Reader(ProcessProtocol):
    """
    The process that reads the metrics, once it is told to by a line.

    @ivar done: fires with what it has printed.
    """

    transport: Any

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._said = b""

    def outReceived(self, data: bytes) -> None:
        """
        Keep what it prints.
        """
        self._said += data

    def processEnded(self, reason: Failure) -> None:
        """
        Pass on what it has printed.
        """
        self.done.callback(self._said)


async def fill(world: Any, count: int) -> None:
    """
    Set C{count} sessions up.
    """
    number = 0
    # On a busy machine a call may fail; another one takes its place.
    while len(world.sessions) < count:
        numbers = range(number, number + min(BATCH, count - len(world.sessions)))
        number = numbers.stop
        callers = [world.dial(str(IPv4Address("198.18.0.1") + one)) for one in numbers]
        await deferLater(world.clock, 0.1)
        await DeferredList(
            [
                world.placeCall(caller, b"user%d" % one)
                for caller, one in zip(callers, numbers, strict=True)
            ],
            consumeErrors=True,
        )
    for session in world.sessions:
        session.counters.octetsReceived = session.number * 1000
        session.counters.discard("duplicate", session.number)
        session.counters.discard("no MPPE yet")


def scrape(count: int) -> None:
    """
    Set C{count} sessions up, have the metrics read, and print what it cost.
    """
    from twisted.internet import reactor

    from pptpgw.clock import steady
    from pptpgw.management.service import ManagementService
    from pptpgw.ports.collector import Collector
    from tests.bench.gateway import Ticks
    from tests.management.managed import Managed
    from tests.radius.freeradius import freePort

    loop: Any = steady(reactor)
    port = freePort()
    world = Managed(TEXT.format(port=port), clock=loop)
    service: Any = ManagementService(loop, world.configuration.management, world)
    service.privilegedStartService()
    service.startService()
    Collector(loop).startService()
    # Made before there are sessions: a fork of a large process disturbs it for seconds.
    reader = Reader()
    url = f"http://127.0.0.1:{port}/metrics"
    command = [sys.executable, "-c", READER, url, str(SCRAPES)]
    loop.spawnProcess(reader, sys.executable, command)

    async def measure() -> None:
        await fill(world, count)
        await deferLater(loop, SETTLE)
        ticks = Ticks(loop)
        cpu = time.process_time()
        await deferLater(loop, IDLE)
        alone, idle = ticks.report(), (time.process_time() - cpu) / IDLE
        ticks.begin()
        cpu, since = time.process_time(), time.monotonic()
        reader.transport.write(b"\n")
        said = await reader.done
        read, lasted = ticks.report(), time.monotonic() - since
        used = time.process_time() - cpu - idle * lasted
        answers = [line.split() for line in said.decode().splitlines()]
        took = sorted(float(seconds) for seconds, _ in answers)
        middle, most = 1e3 * took[len(took) // 2], 1e3 * took[-1]
        print(json.dumps([middle, most, 1e3 * used / SCRAPES, alone["late"], read["late"]]))
        await service.stopService()

    from twisted.internet.defer import ensureDeferred

    running: Any = reactor
    running.callWhenRunning(
        lambda: (
            ensureDeferred(measure())
            .addErrback(lambda failure: failure.printTraceback())
            .addBoth(lambda _: running.stop())
        )
    )
    running.run()


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return the one trial.
    """
    count = 300 if quick else 10_000
    name = f"metrics of {count} sessions"
    figures = (
        Figure(f"{name}, an answer, p50", "ms"),
        Figure(f"{name}, an answer, most", "ms"),
        Figure(f"{name}, CPU of an answer", "ms"),
        Figure(f"{name}, late while nobody reads", "ms"),
        Figure(f"{name}, late while they are read", "ms"),
    )
    yield Trial(figures, lambda: printed("scrape", count), 1)


if __name__ == "__main__":
    settle(server=True)
    scrape(int(sys.argv[1]))
