"""
What the accounting spool costs: the processor time of a record of 300 octets, of 500 sessions. 100
are put in each turn of the reactor, and answered in the next turn.

C{python -m tests.bench.spool COUNT} measures it in this process, and prints the values.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from tests.bench.process import cpu, printed, settle
from tests.bench.row import Figure, Trial

RECORD_OCTETS = 300
SESSIONS = 500
AT_ONCE = 100
WAYS = (
    "kept in memory, sent and answered",
    "kept on disk, sent and answered",
    "kept on disk while no server answers",
    "read again at the next start",
)


def spool(count: int) -> None:
    """
    Measure how fast records are stored, sent and answered, and read again, and print the values.
    """
    values: list[float] = []

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

    async def filled(queue: Queue, one: Spool, left: int) -> None:
        """
        Put the records, C{AT_ONCE} in each turn, and wait until all but C{left} are answered
        and everything is on the disk.
        """
        for number in range(count):
            if not one.put(b"%d" % (number % SESSIONS), bytes(RECORD_OCTETS)):
                raise RuntimeError("the spool is full")
            if not (number + 1) % AT_ONCE:
                await deferLater(clock, 0)
        while len(one) > left or queue.waiting:
            await deferLater(clock, 0.001)

    def made(folder: str, send: Callable[[bytes], Deferred[None]]) -> tuple[Queue, Spool]:
        queue = Queue(clock, "spool", folder, 1 << 30)
        one = Spool(clock, queue, send, Counters())
        one.start()
        return queue, one

    async def measure() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for where in ("", folder):
                queue, one = made(where, answered)
                begin = cpu()
                await filled(queue, one, 0)
                values.append((cpu() - begin) / count * 1e6)
                await one.stop(5)
            queue, one = made(folder, silent)
            begin = cpu()
            await filled(queue, one, count)
            values.append((cpu() - begin) / count * 1e6)
            await one.close()
            begin = cpu()
            queue, one = made(folder, silent)
            values.append((cpu() - begin) / count * 1e6)
            if len(one) != count:
                raise RuntimeError(f"{len(one)} of {count} records are there")
            await one.close()
        print(json.dumps(values), flush=True)

    def begin() -> None:
        done: Deferred[None] = Deferred.fromCoroutine(measure())
        done.addErrback(lambda failure: failure.printTraceback())
        done.addBoth(lambda _: clock.stop())

    clock.callWhenRunning(begin)
    clock.run()


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return the one trial.
    """
    count = 2_000 if quick else 20_000
    figures = tuple(Figure(f"accounting record {way}", "us") for way in WAYS)
    yield Trial(figures, lambda: printed("spool", count), 3)


if __name__ == "__main__":
    settle(server=True)
    spool(int(sys.argv[1]))
