"""
How much more the threads of the native data path carry together than one of them does alone.

With a processor for each, two threads carry at most twice as many packets as one. A machine may
have too few processors to show that beside the load. So the threads share one here, and what a
packet costs them together is compared with what it costs one: if it costs as much, each of them
carries as many packets as the one alone. What two processors take from each other isn't in it, nor
what the kernel does when a packet arrives, before a thread is involved: that is a copy of the
packet's descriptor and a filter more for each thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import paths
from tests.bench.packets import OCTETS, cost
from tests.bench.row import Figure, Trial

SESSIONS = 100
FASTER = 1.8
"""
The least that two threads are wanted to carry, in what one carries.
"""


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return the trial.
    """
    if paths.NATIVE not in paths.possible():
        return
    seconds, key = 1.0 if quick else 1.5, ("in", True, OCTETS)
    what = f"packet native in MPPE {OCTETS} with {SESSIONS} sessions"

    def run() -> tuple[float, float, float]:
        one, two = (
            cost(paths.NATIVE, "IPv4", key, seconds, SESSIONS, threads) for threads in (1, 2)
        )
        return one, two, 2 * one / two

    yield Trial(
        (
            Figure(f"{what}, 1 thread", "us"),
            Figure(f"{what}, 2 threads", "us"),
            Figure("packets of 2 threads / of 1", "times", FASTER, least=True),
        ),
        run,
    )
