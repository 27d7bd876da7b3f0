"""
A soak: sets up one session after another on a running gateway, and measures how its memory, its
open files and its timers grow.

Run it as root: C{python -m tests.fuzz.soak COUNT}, or C{make soak COUNT=20000}.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from statistics import linear_regression

from tests.bench.both import SETTLE, running

BATCH = 200
CONCURRENCY = 4
LIMITS = {"memory": 256.0, "files": 0.005, "timers": 0.005}
"""
The most that a set-up may add in the second half: octets of resident memory, files, timers. Call
ids rest for a minute after their call, and so fill their table in the first half.
"""


def slope(figures: Sequence[tuple[int, int]]) -> float:
    """
    How much a set-up adds to a figure, measured in the second half.
    """
    half = figures[len(figures) // 2 :]
    return linear_regression([at for at, _ in half], [figure for _, figure in half]).slope


def soak(count: int) -> bool:
    """
    Set up C{count} sessions.

    @return: whether nothing grew beyond its limit.
    """
    measured: dict[str, list[tuple[int, int]]] = {name: [] for name in LIMITS}
    with running() as both:
        for done in range(0, count, BATCH):
            both.open(BATCH, CONCURRENCY)
            both.close()
            figures = both.figures()
            for name, figure in figures.items():
                measured[name].append((done + BATCH, figure))
            if done % (10 * BATCH) == 0:
                print(f"{done + BATCH} set-ups: {figures}", flush=True)
        time.sleep(SETTLE)
        print(f"at rest: {both.figures()}", flush=True)
    sound = True
    for name, limit in LIMITS.items():
        grows = slope(measured[name])
        sound &= grows <= limit
        print(f"{name}: {grows:+.4f} a set-up, at most {limit:g} is allowed")
    return sound


if __name__ == "__main__":
    sys.exit(not soak(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
