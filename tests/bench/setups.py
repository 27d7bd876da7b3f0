"""
What sessions cost the server process: processor time to set them up, how long calls wait that come
at once, memory while they are idle, and the start of the gateway.

Each session has a connection of its own, so a set-up by PPTP consists of TCP, the control
connection, the call, LCP, MS-CHAPv2, CCP with MPPE-128, and IPCP up to Opened. By L2TP it begins
with UDP and a control connection, over a line with TCP, and by SSTP with TCP, TLS and HTTP, and has
no CCP. What TLS takes of it is what connections with TLS cost more than those without, neither of
which say anything. Hanging up isn't part of a set-up. The time of a set-up is measured by the
caller, and includes the caller's own work; that of calls at once includes the wait for all others,
of which as many are being set up at a time as one process of callers can
(L{tests.bench.caller.AT_ONCE}).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from tests.bench import paths, tunnels
from tests.bench.both import RADIUS, SECRETS, SETTLE, STORE, Both, configure, running
from tests.bench.namespaces import namespaces
from tests.bench.process import cpus
from tests.bench.row import Figure, Quotient, Trial
from tests.radius.freeradius import PROGRAM

TARGETS = {(SECRETS, 1): 0.6, (SECRETS, 8): 0.45, (STORE, 1): 0.9, (STORE, 8): 0.7}
"""
Milliseconds of processor time for a set-up, by the judge and how many are made at a time.
"""

STORMS = {1_000: 0.8, 10_000: 10.0}
"""
Seconds until the last one of so many calls at once is up.
"""

AT_A_TIME = (1, 8)
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
        used, took, _ = measured(both, count, concurrency)
    return used, statistics.median(took) * 1e3, percentile(took, 99) * 1e3


def measured(both: Both, count: int, concurrency: int) -> tuple[float, list[float], float]:
    """
    Set sessions up, and hang them up.

    @return: the milliseconds of processor time of a set-up, the seconds that each took, and how
        many were made in a second.
    """
    began, begin = time.monotonic(), both.cpu()
    took = both.open(count, concurrency)
    used, lasted = both.cpu() - begin, time.monotonic() - began
    both.close()
    return used / count * 1e3, took, count / lasted


def byTunnel(tunnel: str, path: str, count: int) -> list[float]:
    """
    Return the milliseconds of processor time of a set-up by a tunnel, and how many are made in a
    second: one at a time, and eight at a time. The last value is the milliseconds of TLS, if the
    tunnel is SSTP.
    """
    values = []
    with running(path, tunnel=tunnel) as both:
        for concurrency in AT_A_TIME:
            used, _, speed = measured(both, count, concurrency)
            values += [used, speed]
        if tunnel == tunnels.SSTP:
            silent, greeting = (_greetings(both, count, tls) for tls in (0, 1))
            values.append((greeting - silent) / count * 1e3)
        both.open(1)
        if both.paths() != [path]:
            raise RuntimeError(f"calls by {tunnel} are carried by {both.paths()}")
    return values


def _greetings(both: Both, count: int, tls: int) -> float:
    """
    Return the seconds of processor time of connections with or without TLS that say nothing.
    """
    begin = both.cpu()
    both.caller.ask(f"greet {count} {tls}")
    return both.cpu() - begin


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
    judges = [SECRETS]
    if not quick:
        judges += [STORE] + [RADIUS] * (PROGRAM is not None)
    for path in able:
        if path == paths.TWINS:
            continue
        for auth in judges:
            for concurrency in AT_A_TIME:
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

                yield Trial(figures, one, 100 if auth == SECRETS else 2)
            for number, target in STORMS.items():
                if number > (1_000 if auth != SECRETS or quick else 10_000):
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

                yield Trial(each, many, 2 if number == 1_000 and auth == SECRETS else 1)
        sessions = 300 if quick else 1_000

        def memory(path: str = path, sessions: int = sessions) -> tuple[float]:
            return idle(path, sessions)

        yield Trial((Figure(f"memory {path} of an idle session", "KiB"),), memory, 2)
    for tunnel, path in byTunnels():
        run = partial(byTunnel, tunnel, path, count)
        yield Trial(tuple(_figures(tunnel, path)), run, 2)
    yield Trial((Figure("start CPU until it listens", "s", START),), start)


def byTunnels(able: Iterable[str] | None = None) -> Iterator[tuple[str, str]]:
    """
    Return the tunnels by which sessions are set up, each with the data paths.

    @param able: as for L{tunnels.carried}.
    """
    yield from dict.fromkeys((tunnel, path) for tunnel, path, _ in tunnels.carried(able))


def title(tunnel: str, path: str, concurrency: int) -> str:
    """
    Return the name of set-ups by a tunnel, which callers' passwords of a file judge.
    """
    return f"set-up by {tunnel} {path} {concurrency} at a time"


def _figures(tunnel: str, path: str) -> Iterator[Figure]:
    for concurrency in AT_A_TIME:
        name = title(tunnel, path, concurrency)
        yield Figure(f"{name}, CPU", "ms")
        yield Figure(f"{name}, made", "a second")
    if tunnel == tunnels.SSTP:
        yield Figure(tls(path), "ms")


def tls(path: str) -> str:
    """
    Return the name of the figure of TLS.
    """
    return f"set-up by {tunnels.SSTP} {path}, CPU of TLS"


def quotients() -> Iterator[Quotient]:
    """
    Return what is compared: set-ups by other tunnels with those by PPTP.
    """
    for tunnel, path in byTunnels():
        for concurrency in AT_A_TIME if tunnel != tunnels.PPTP else ():
            names = [f"{title(one, path, concurrency)}, CPU" for one in (tunnel, tunnels.PPTP)]
            yield Quotient(Figure(f"{names[0]} / {tunnels.PPTP}", "times"), *names)
