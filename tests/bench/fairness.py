"""
What others notice of a session that floods: pings of another session, set-ups of new ones, and the
share of a second flood.

The flood is of MPPE packets of 1400 octets, as fast as one process can make them (up), or of
datagrams of that size from the host inside towards one session (down). Floods have one processor
together, the server has the other one. The callers that are measured have a real-time priority
before the floods, so that only the gateway makes them wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from tests.bench import paths
from tests.bench.both import Both, running
from tests.bench.namespaces import drop
from tests.bench.process import Worker
from tests.bench.row import Figure, Trial
from tests.bench.setups import percentile

OCTETS = 1400 - 4
PING, SETUP, JAIN = 5.0, 20.0, 0.99
"""
The targets: milliseconds for all pings and set-ups but a hundredth, and the least evenness of two
floods.
"""

BEGIN = 0.3


def jain(shares: Sequence[float]) -> float:
    """
    Return Jain's index of shares: 1 if they are equal, and one divided by their number if one has
    everything.
    """
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def disturbed(path: str, direction: str, pings: int, seconds: float) -> tuple[float, ...]:
    """
    Measure others while one session floods.

    @param seconds: how long set-ups are made, one after the other.
    @return: milliseconds of pings (half of them, all but a hundredth), the percentage that is lost,
        and milliseconds of set-ups (all but a hundredth).
    """
    with running(path) as both:
        drop(both.made.inside, "beyond")
        flooding = both.callers()
        flooded = flooding.ask("dial")
        both.caller.ask("dial")
        both.caller.ask("urgent")
        load = None
        try:
            if direction == "up":
                flooding.send(f"flood {OCTETS}")
            elif direction == "down":
                load = Worker(both.made.inside, "load", "udp", flooded, OCTETS - 28, "apart")
            time.sleep(BEGIN)
            answers = both.caller.ask(f"ping {pings}")
            took = both.caller.ask(f"during {seconds}")
        finally:
            if load is not None:
                load.kill()
    came = [one for one in answers if one is not None]
    if not came:
        raise RuntimeError("no ping was answered")
    lost = 100 * (len(answers) - len(came)) / len(answers)
    return percentile(came, 50), percentile(came, 99), lost, percentile(took, 99) * 1e3


def _received(both: Both) -> list[int]:
    found: list[int] = both.server.ask("received")
    return found


def shares(path: str, seconds: float) -> tuple[float]:
    """
    Return how evenly two floods are served.
    """
    with running(path) as both:
        drop(both.made.inside, "beyond")
        floods = [both.callers() for _ in range(2)]
        for one in floods:
            one.ask("dial")
        for one in floods:
            one.send(f"flood {OCTETS}")
        time.sleep(BEGIN)
        before = _received(both)
        time.sleep(seconds)
        return (jain([b - a for a, b in zip(before, _received(both), strict=True)]),)


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return all trials.
    """
    pings, seconds = (150, 2.0) if quick else (300, 6.0)
    for path in paths.possible():
        if path == paths.TWINS or (quick and path == paths.PYTHON):
            continue
        for direction in ("up", "down") if quick else ("none", "up", "down"):
            flood = "without a flood" if direction == "none" else f"under a flood {direction}"
            figures = (
                Figure(f"ping {path} {flood}, p50", "ms"),
                Figure(f"ping {path} {flood}, p99", "ms", PING),
                Figure(f"ping {path} {flood}, lost", "%", 0.0),
                Figure(f"set-up {path} {flood}, p99", "ms", SETUP),
            )

            def one(path: str = path, direction: str = direction) -> tuple[float, ...]:
                return disturbed(path, direction, pings, seconds)

            yield Trial(figures, one, 1 if direction == "none" else 2)

        def both(path: str = path) -> tuple[float]:
            return shares(path, seconds / 2)

        yield Trial((Figure(f"evenness {path} of two floods", "", JAIN, True),), both, 2)
