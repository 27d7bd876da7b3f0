"""
What sessions cost the server process: processor time to set them up, how long calls wait that come
at once, memory while they are idle, and the start of the gateway.

Each session has a control connection of its own, so a set-up consists of TCP, the control
connection, the call, LCP, MS-CHAPv2, CCP with MPPE-128, and IPCP up to Opened. Hanging up isn't
part of it. The time of a set-up is measured by the caller, and includes the caller's own work; that
of calls at once includes the wait for all others, of which as many are being set up at a time as
one process of callers can (L{tests.bench.caller.AT_ONCE}).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import paths
from tests.bench.both import RADIUS, SECRETS, SETTLE, STORE, configure, running
from tests.bench.namespaces import namespaces
from tests.bench.process import cpus
from tests.bench.row import Figure, Trial
from tests.radius.freeradius import PROGRAM

TARGETS = {(SECRETS, 1): 0.6, (SECRETS, 8): 0.45, (STORE, 1): 0.9, (STORE, 8): 0.7}
"""
Milliseconds of processor time for a set-up, by the judge and how many are made at a time.
"""

STORMS = {1_000: 0.8, 10_000: 10.0}
"""
Seconds until the last one of so many calls at once is up.
"""

START = 0.5
SOURCES = 20
LISTENING = ":06BB"
"""
TCP port 1723 in C{/proc/net/tcp}.
"""


def percentile(values: list[float], share: float) -> float:
    """
    Return the value that this share of all values, in percent, doesn't exceed.
    """
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * share // 100) - 1)]


def setUps(path: str, auth: str, count: int, concurrency: int) -> tuple[float, ...]:
    """
    Return the milliseconds of processor time of a set-up, and the milliseconds that the middle one
    and all but a hundredth took.
    """
    with running(path, auth) as both:
        begin = both.cpu()
        took = both.open(count, concurrency)
        used = both.cpu() - begin
        both.close()
    return used / count * 1e3, statistics.median(took) * 1e3, percentile(took, 99) * 1e3


def storm(path: str, auth: str, count: int) -> tuple[float, ...]:
    """
    Place calls at once.

    @return: the seconds until half of them, all but a hundredth and all were up, and the
        milliseconds of processor time of each.
    """
    with running(path, auth, sources=SOURCES) as both:
        begin = both.cpu()
        ends: list[tuple[float, str]] = both.caller.ask(f"storm {count}")
        used = both.cpu() - begin
        time.sleep(SETTLE)
        refused = [reason for _, reason in ends if reason]
        if refused or len(ends) != count or both.sessions() != count:
            raise RuntimeError(f"{len(refused)} of {count} were refused: {refused[:1]}")
    took = [seconds for seconds, _ in ends]
    return statistics.median(took), percentile(took, 99), max(took), used / count * 1e3


def idle(path: str, count: int) -> tuple[float]:
    """
    Return the KiB of memory of each of C{count} idle sessions.
    """
    with running(path) as both:
        before = both.memory()
        both.open(count, 4)
        time.sleep(SETTLE)
        return ((both.memory() - before) / count / 1024,)


def start() -> tuple[float]:
    """
    Return the seconds of processor time until C{twistd pptpgw} listens.
    """
    with tempfile.TemporaryDirectory() as name, namespaces() as made:
        configure(Path(name), {})
        twistd = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "pptpgw"]
        twistd += ["--config", f"{name}/pptpgw.toml", "--auth", f"chap-secrets:{name}/chap-secrets"]
        command = ["nsenter", f"--net=/run/netns/{made.gateway}", "taskset", "-c", str(cpus()[1])]
        # As after an installation: only the first start compiles modules.
        environment = os.environ.copy()
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with open(f"{name}/log", "wb") as log:
            process = subprocess.Popen([*command, *twistd], stdout=log, stderr=log, env=environment)
        table = Path(f"/proc/{process.pid}/net/tcp")
        deadline = time.monotonic() + 30
        while LISTENING not in table.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(Path(f"{name}/log").read_text())
            time.sleep(0.002)
        process.kill()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        return (usage.ru_utime + usage.ru_stime,)


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return all trials.
    """
    count = 100 if quick else 300
    able = paths.possible()
    judges = [SECRETS, STORE] + [RADIUS] * (PROGRAM is not None)
    for path in able:
        if path == paths.TWINS:
            continue
        for auth in judges:
            for concurrency in (1, 8):
                name = f"set-up {path} {auth} {concurrency} at a time"
                target = TARGETS.get((auth, concurrency))
                figures = (
                    Figure(f"{name}, CPU", "ms", target),
                    Figure(f"{name}, p50", "ms"),
                    Figure(f"{name}, p99", "ms"),
                )

                def one(
                    path: str = path, auth: str = auth, concurrency: int = concurrency
                ) -> tuple[float, ...]:
                    return setUps(path, auth, count, concurrency)

                yield Trial(figures, one)
            for number, target in STORMS.items():
                if number > (1_000 if auth != SECRETS or quick else 10_000) or (
                    quick and auth == RADIUS
                ):
                    continue
                name = f"{number} calls at once {path} {auth}"
                each = (
                    Figure(f"{name}, p50", "s"),
                    Figure(f"{name}, p99", "s"),
                    Figure(f"{name}, max", "s", target),
                    Figure(f"{name}, CPU of each", "ms"),
                )

                def many(
                    path: str = path, auth: str = auth, number: int = number
                ) -> tuple[float, ...]:
                    return storm(path, auth, number)

                yield Trial(each, many, 3 if number == 1_000 else 1)
        sessions = 300 if quick else 1_000

        def memory(path: str = path, sessions: int = sessions) -> tuple[float]:
            return idle(path, sessions)

        yield Trial((Figure(f"memory {path} of an idle session", "KiB"),), memory, 2)
    yield Trial((Figure("start CPU until it listens", "s", START),), start)
