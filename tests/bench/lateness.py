"""
How late the reactor of the server process is while thousands of sessions come and go. Packets,
other timers and callers wait for as long as it is late.

 - set-ups of all sessions, eight at a time, half of them with addresses outside of the pools, as
   accounts may have them;
 - a reload that removes the pool of the other half, whose sessions go on;
 - hang-ups of all sessions by the server, on one command;
 - the end of all callers together: they are killed while the server process stands still, so that
   it finds the end of every connection at once;
 - the stop of the server with all sessions.

The processor time that the process used between two ticks is measured too, as a process may be late
without a fault of its own on a machine with other work.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.bench import paths
from tests.bench.both import Both, Sections, configure, running
from tests.bench.gateway import RELOADED
from tests.bench.row import Figure, Trial

LARGEST, COMMON = 50.0, 10.0
"""
The targets in milliseconds: of the largest lateness, and of the 99.9th percentile.
"""

PHASES = ("set-ups", "a reload", "hang-ups by the server", "callers gone together", "the stop")
ELSEWHERE: Sections = {
    "datapath": paths.configured(paths.PYTHON),
    "ipv4": {"pool": ("10.78.0.10-10.78.255.250",)},
}


def _phases(both: Both, folder: Path, count: int) -> Iterator[dict[str, float]]:
    def began(command: str) -> dict[str, float]:
        both.server.ask("begin")
        found: dict[str, float] = both.server.ask(command)
        return found

    both.server.ask("begin")
    both.open(count, 8)
    yield both.server.ask("late")
    configure(folder, ELSEWHERE, count, owners=True, name=RELOADED)
    yield began("reload")
    yield began("hangUp")
    # The control connections still exist, and would all be idle for too long at the same moment.
    both.close()
    both.open(count, 8)
    yield both.vanish()
    both.open(count, 8)
    yield began("stop")


def lateness(count: int) -> list[float]:
    """
    Return the largest lateness, the 99.9th percentile and the largest processor time between two
    ticks, in milliseconds, of each phase.
    """
    values = []
    with running(users=count, owners=True, warmUp=1) as both:
        for found in _phases(both, both.folder, count):
            values += [found["late"], found["late999"], found["busy"]]
    return values


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return the one trial.
    """
    count = 300 if quick else 10_000
    figures: list[Figure] = []
    for phase in PHASES:
        name = f"late with {count} sessions, {phase}"
        figures += [
            Figure(f"{name}, most", "ms", LARGEST),
            Figure(f"{name}, p99.9", "ms", COMMON),
            Figure(f"{name}, most CPU", "ms"),
        ]
    yield Trial(tuple(figures), lambda: lateness(count), 1)
