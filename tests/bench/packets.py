"""
What a packet costs the server process, in microseconds of processor time: the user and system time,
so it includes the kernel's work in these calls, forwarding and the crossing of a veth pair.

 - in: the peer sends GRE, the server writes to the TUN or the TAP device, and the kernel forwards
   to the host inside, which drops it. The peer sends ahead only as far as acknowledgements permit,
   so that nothing is lost.
 - out: the kernel gets datagrams for the session, and the server sends GRE, which is dropped where
   the callers are.
 - across: the peer sends GRE, and the server sends GRE to the peer of another session, by way of
   what the gateway has for the protocol.

The load and the server (L{tests.bench.channels}) share one processor, so that the server always has
a queue of packets, as it has under a high load. The load's time isn't counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import product

from tests.bench import paths
from tests.bench.namespaces import drop, namespaces
from tests.bench.row import Figure, Quotient, Trial

SIZES = (64, 512, 1400)
SESSIONS = (1, 100, 1_000, 10_000)
CROWDED = (paths.PYTHON, paths.NATIVE)
OCTETS = 256
FLAT = 1.1
"""
The most that a packet may cost with many sessions, in the cost with one.
"""

ARRIVED = 0.97
"""
The least part of the packets that must get beyond the server. What is joined has one header.
"""

Key = tuple[str, bool, int]
KEYS: tuple[Key, ...] = tuple(product(("in", "out"), (False, True), SIZES))
SELDOM = (paths.TWINS, paths.HDLC)
"""
The paths that are measured once, with the smallest and the largest packets.
"""


def has(path: str, key: Key) -> bool:
    """
    Return whether packets of this kind are measured on a path.
    """
    return path not in SELDOM or key[2] in (min(SIZES), max(SIZES))


def cost(
    path: str, name: str, key: Key, seconds: float, sessions: int = 0, threads: int = 1
) -> float:
    """
    Run once.

    @return: the microseconds of processor time for each packet.
    """
    mode, encrypted, size = key

    def start(namespace: str, module: str, *arguments: object) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-m", f"tests.bench.{module}"]
        return subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True)

    with namespaces() as made:
        if mode != "out":
            drop(made.inside, "beyond")
        # The peer of many sessions doesn't read acknowledgements.
        if mode == "out" or sessions:
            drop(made.callers, "out")
        if path == paths.PROTOTYPE:
            words = ("server", int(encrypted), mode, size, seconds)
            server = start(made.gateway, "prototype", *words)
        else:
            each = (path, name, mode, int(encrypted), size, sessions, seconds, threads)
            server = start(made.gateway, "channels", *each)
        assert server.stdout is not None
        load = None
        try:
            ready = server.stdout.readline()
            if not ready:
                raise RuntimeError("the server process didn't start")
            where = made.gateway if mode == "out" or path == paths.HDLC else made.callers
            load = start(where, "load", *json.loads(ready))
            found = server.stdout.readline()
            if not found:
                raise RuntimeError("no packets came")
            used, packets, arrived, discards = json.loads(found)
        finally:
            for process in (load, server):
                if process is not None:
                    process.kill()
                    process.wait()
    if discards:
        print(f"  discards: {discards}", file=sys.stderr)
    # The packets that the server received must have passed it, or the figure is that of something
    # else.
    if not packets or (mode != "out" and arrived < packets * ARRIVED):
        raise RuntimeError(f"{arrived} of {packets} packets got beyond the server")
    return float(used / packets * 1e6)


def title(path: str, name: str, key: Key) -> str:
    """
    Return the name of a figure.
    """
    mode, encrypted, size = key
    return f"packet {path} {name} {mode} {'MPPE' if encrypted else 'plain'} {size}"


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return all trials: IPv4 on each path, over a line and in the prototype, then the other
    protocols, then many sessions.
    """
    from tests.bench.case import CASES, JOINABLE

    seconds = 0.6 if quick else 1.2
    able = paths.possible()
    beside = [paths.HDLC, *([paths.PROTOTYPE] if paths.prototype() else [])]

    def one(path: str, name: str, key: Key, most: int = 100) -> Trial:
        figure = Figure(title(path, name, key), "us")
        return Trial((figure,), lambda: (cost(path, name, key, seconds),), most)

    for key in KEYS:
        for path in (*beside, paths.NATIVE, paths.PYTHON, paths.TWINS):
            left = quick and (path == paths.TWINS or key[2] < max(SIZES))
            if path in (*able, *beside) and has(path, key) and not left:
                yield one(path, "IPv4", key, 1 if path in SELDOM else 100)
    for encrypted, path in product((False, True), (paths.NATIVE, paths.PYTHON)):
        if path in able:
            yield one(path, JOINABLE, ("in", encrypted, max(SIZES)))
    for name, case in CASES.items():
        if name in ("IPv4", JOINABLE):
            continue
        for mode, size in product(case.modes, (max(SIZES),) if quick else (64, max(SIZES))):
            yield one(able[0], name, (mode, True, size), 1)
    for count, path in product(SESSIONS, CROWDED):
        left = quick and (path == paths.PYTHON or 1 < count < max(SESSIONS))
        if path not in able or left:
            continue

        def run(path: str = path, count: int = count) -> tuple[float]:
            return (cost(path, "IPv4", ("in", True, OCTETS), max(seconds, 1.0), count),)

        yield Trial((Figure(crowd(path, count), "us"),), run, 1 if path == paths.PYTHON else 100)


def crowd(path: str, count: int) -> str:
    """
    Return the name of the figure with this number of sessions.
    """
    return f"packet {path} in MPPE {OCTETS} with {count} session{'s' * (count > 1)}"


def quotients() -> Iterator[Quotient]:
    """
    Return what is compared: the other paths with the Python data path and its compiled parts, the
    native one with the prototype, and many sessions with one.
    """
    from tests.bench.case import JOINABLE

    for key in KEYS:
        for path, other, target in (
            (paths.TWINS, paths.PYTHON, None),
            (paths.NATIVE, paths.PYTHON, None),
            (paths.NATIVE, paths.PROTOTYPE, 1.0),
            (paths.HDLC, paths.PYTHON, None),
        ):
            names = title(path, "IPv4", key), title(other, "IPv4", key)
            if has(path, key):
                yield Quotient(Figure(f"{names[0]} / {other}", "times", target), *names)
    for encrypted, path in product((False, True), (paths.NATIVE, paths.PYTHON)):
        key = "in", encrypted, max(SIZES)
        names = title(path, JOINABLE, key), title(path, "IPv4", key)
        yield Quotient(Figure(f"{names[0]} / without", "times"), *names)
    for path, count in product(CROWDED, SESSIONS[1:]):
        figure = Figure(f"{crowd(path, count)} / 1", "times", FLAT)
        yield Quotient(figure, crowd(path, count), crowd(path, 1))
