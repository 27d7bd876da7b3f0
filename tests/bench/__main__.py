"""
The benchmark: C{python -m tests.bench} measures everything that this folder has, prints a table,
and writes it as JSON and as a plot.

All figures are measured in turn, several times; the table has the median, the lowest
and the highest value. The processor time is that of the server process alone, and includes the
kernel's work in it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from tests.bench import (
    console,
    fairness,
    lateness,
    packets,
    paths,
    prototype,
    scrape,
    setups,
    spool,
    tcp,
    threads,
)
from tests.bench.report import Report, machine, table, today, write
from tests.bench.row import Quotient, Trial, measure

RUNS = 3
QUICK, FULL = 180.0, 1200.0
"""
Seconds after which nothing new is measured, in a quick run and in a full one.
"""

Trials = Callable[[bool], Iterable[Trial]]


def nothing() -> Iterator[Quotient]:
    """
    Return no quotients.
    """
    return iter(())


KINDS: tuple[tuple[Trials, Callable[[], Iterator[Quotient]]], ...] = (
    (packets.trials, packets.quotients),
    (threads.trials, nothing),
    (tcp.trials, tcp.quotients),
    (prototype.trials, prototype.quotients),
    (fairness.trials, nothing),
    (setups.trials, setups.quotients),
    (lateness.trials, nothing),
    (spool.trials, nothing),
    (scrape.trials, nothing),
    (console.trials, nothing),
)
"""
What is measured, in order.
"""


def main() -> None:
    """
    Measure, and report.
    """
    parser = argparse.ArgumentParser(
        prog="tests.bench", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--only", metavar="PATTERN", default="", help="a part of a figure's name")
    parser.add_argument("--quick", action="store_true", help="one short run of each")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs of each figure ({RUNS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a plot there")
    options = parser.parse_args()
    if os.geteuid():
        sys.exit("network namespaces are made by root only")
    runs = 1 if options.quick else options.runs
    before, began = os.getloadavg()[0], time.monotonic()
    absent = {name: reason for name, reason in paths.lacking().items() if reason}
    for name, reason in absent.items():
        print(f"not measured: {name}: {reason}", file=sys.stderr)

    def over() -> bool:
        return time.monotonic() - began > (QUICK if options.quick else FULL)

    def failed(figure: str, error: Exception) -> None:
        absent[figure] = f"{type(error).__name__}: {error}"
        print(f"not measured: {figure}: {absent[figure]}", file=sys.stderr)

    def begins(figure: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {figure}", file=sys.stderr)

    trials = chain.from_iterable(trials(options.quick) for trials, _ in KINDS)
    quotients = chain.from_iterable(quotients() for _, quotients in KINDS)
    rows = measure(trials, quotients, runs, options.only, failed, begins, over)
    print(table(rows))
    load = (round(before, 1), round(os.getloadavg()[0], 1))
    report = Report(machine(), today(), load, runs, absent, tuple(rows))
    print(
        f"{report.machine}; {report.date}; load average {load[0]} before, {load[1]} after; "
        f"{runs} runs; {time.monotonic() - began:.0f} s"
    )
    if options.json:
        write(report, options.json)
    if options.svg:
        from tests.bench.plot import plot

        options.svg.write_bytes(plot(report))


if __name__ == "__main__":
    main()
