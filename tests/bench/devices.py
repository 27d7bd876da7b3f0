"""
How long Linux takes to make and to remove the devices of its PPP, which the data path within the
kernel makes for each session, and how much memory one takes. C{make bench-peers} measures it with
1,000 devices; with more:

    tests/lab/uml-run -m 2048M -t 600 .venv/bin/python -m tests.bench.devices 10000
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet.task import Clock

from pptpgw.datapath.kernel.removal import Removal
from pptpgw.ports.bpf import KEEP, Assembled, result
from pptpgw.ports.ppp import DROP, PASS, PPPUnit, RealPPPSystem, UnitNumbers
from pptpgw.ports.pppprobe import NoReactor
from pptpgw.ports.rtnetlink import RequestSocket, setLink
from pptpgw.ppp.wire.ppp import IPV4
from tests.bench.report import table
from tests.bench.row import Figure, Trial, measure

COUNT = 1000


def available() -> int:
    """
    Return how much memory is free, in KiB.
    """
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    raise AssertionError("no MemAvailable")


def made(count: int) -> list[PPPUnit]:
    """
    Make devices that are up and have a filter.
    """
    reactor: Any = NoReactor()
    system, numbers, kernel = RealPPPSystem(), UnitNumbers(), RequestSocket()
    passing = Assembled((result(KEEP),))
    units = []
    for number in range(1, count + 1):
        unit = PPPUnit(reactor, numbers, number, 1400, lambda *_: None, system)
        unit.setMode(IPV4, DROP)
        unit.setFilter(passing)
        kernel.ask([setLink(unit.index, mtu=1400, up=True, bare=True)])
        unit.setMode(IPV4, PASS)
        units.append(unit)
    kernel.close()
    return units


def once(count: int) -> tuple[float, ...]:
    """
    Make devices and remove them in batches, and again one after the other. Return the milliseconds
    for one of them, and how many KiB each takes.
    """
    files = max(count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    before, began = available(), time.monotonic()
    units = made(count)
    took, used = time.monotonic() - began, before - available()
    removal, done = Removal(RequestSocket()), Event()
    began = time.monotonic()
    for unit in units:
        removal.put(unit.index, (unit.close(),))
    removal.put(0, (done.set,))
    done.wait()
    together = time.monotonic() - began
    removal.stop(Clock())
    units = made(count)
    began = time.monotonic()
    for unit in units:
        unit.close()()
    alone = time.monotonic() - began
    return (*(one / count * 1000 for one in (took, together, alone)), used / count)


def trials(count: int = COUNT) -> Iterator[Trial]:
    """
    Return what is measured.
    """
    name = f"devices {count}"
    figures = (
        Figure(f"{name}, making one", "ms"),
        Figure(f"{name}, removing one, in batches", "ms"),
        Figure(f"{name}, removing one, one by one", "ms"),
        Figure(f"{name}, memory of one", "KiB"),
    )
    yield Trial(figures, lambda: once(count))


def main() -> None:
    """
    Measure, once for each number of devices.
    """

    def failed(figure: str, error: Exception) -> None:
        raise error

    for word in sys.argv[1:] or [str(COUNT)]:
        print(table(measure(trials(int(word)), (), 1, "", failed)), flush=True)


if __name__ == "__main__":
    main()
