"""
TCP through the whole gateway, by each tunnel: iperf3 between the callers' namespace, where our own
client has a TUN device, and the host inside. Up is from the caller. L{tests.bench.udp} measures the
same gateways.

The client, whose packets are carried by threads where the tunnel's can be, and both ends of iperf3
share the processor that isn't the server's, and limit what passes; what is measured is therefore
not the speed, but the speed divided by the part of a processor that the server process used for it.

Where datagrams of L2TP are sent as one message, they pass between the namespaces as one, as they do
where network adapters split and join them. They are measured besides with adapters that do neither:
there the kernel splits messages, which counts as the server's work if it sends them.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

from tests.bench import paths, tunnels, udp
from tests.bench.both import Both, running
from tests.bench.namespaces import BEYOND, Namespaces, lose, segment
from tests.bench.process import Worker, cpus
from tests.bench.row import Figure, Quotient, Trial

DIRECTIONS = ("up", "down")
TUN = "bench2"
LOST = 1
MTU = 1400
APART = "datagrams apart"
UDP = 0.75
"""
How long UDP is measured, in the time of TCP.
"""

FASTER = 1.5
"""
The least that L2TP is wanted to carry in clear on the native data path, in what PPTP carries.
"""


def iperf(
    made: Namespaces, direction: str, seconds: float, cpu: Callable[[], float]
) -> tuple[float, float, float]:
    """
    Run iperf3 between the callers' namespace and the host inside once, on the callers' processor.

    @param cpu: returns the processor time of the server.
    @return: the processor time of the server before, the octets that arrived, and the seconds that
        took.
    """

    def words(namespace: str, *options: str) -> list[str]:
        own = ["ip", "netns", "exec", namespace, "taskset", "-c", str(cpus()[0])]
        return [*own, "iperf3", *options]

    far = subprocess.Popen(words(made.inside, "-s", "-1"), stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.3)
        options = ["-c", BEYOND, "-t", str(seconds), "-J", "--connect-timeout", "3000"]
        options += ["--reverse"] if direction == "down" else []
        begin = cpu()
        done = subprocess.run(
            words(made.callers, *options), capture_output=True, text=True, timeout=seconds + 20
        )
    finally:
        far.kill()
        far.wait()
    report = json.loads(done.stdout)
    if "error" in report:
        raise RuntimeError(report["error"])
    received = report["end"]["sum_received"]
    return begin, received["bytes"], received["seconds"]


@contextmanager
def dialled(tunnel: str, path: str, word: str) -> Iterator[tuple[Both, Worker]]:
    """
    A gateway and a caller that has dialled it.

    @param word: what encrypts packets.
    @raise RuntimeError: the call has another data path.
    """
    encryption = "off" if word == tunnels.PLAIN else "require"
    given = {"link": {"encryption": encryption}}
    with running(path, sections=given, tunnel=tunnel, warmUp=0) as both:
        caller = both.callers(encryption, TUN)
        caller.ask("dial")
        if both.paths() != [path]:
            raise RuntimeError(f"calls by {tunnel} are carried by {', '.join(both.paths())}")
        yield both, caller


def rate(both: Both, direction: str, seconds: float) -> tuple[float, float]:
    """
    Run iperf3 once.

    @return: Gb/s for each processor of the server, and Gb/s.
    """
    begin, octets, took = iperf(both.made, direction, seconds, both.cpu)
    return octets * 8e-9 / (both.cpu() - begin), octets * 8e-9 / took


def rates(tunnel: str, path: str, word: str, seconds: float) -> list[float]:
    """
    Return what L{rate} does, both ways, and what UDP costs, both ways.
    """
    with dialled(tunnel, path, word) as (both, caller):
        values = [one for direction in DIRECTIONS for one in rate(both, direction, seconds)]
        return values + [udp.cost(both, caller, way, seconds * UDP) for way in udp.WAYS]


def lossy(path: str, seconds: float) -> tuple[float, float]:
    """
    Return what L{rate} does up, by PPTP with MPPE, while packets from the caller are lost.
    """
    with dialled(tunnels.PPTP, path, tunnels.MPPE) as (both, _):
        lose(both.made.gateway, "out", LOST)
        return rate(both, "up", seconds)


def apart(path: str, seconds: float) -> list[float]:
    """
    Return what L{rate} does both ways, by L2TP in clear, where all datagrams pass one by one.
    """
    with dialled(tunnels.L2TP, path, tunnels.PLAIN) as (both, _):
        for namespace in (both.made.gateway, both.made.callers):
            segment(namespace, "out")
        return [one for direction in DIRECTIONS for one in rate(both, direction, seconds)]


def title(path: str, direction: str, word: str, tunnel: str = tunnels.PPTP) -> str:
    """
    Return the name of a figure.
    """
    return f"TCP {path} {direction} {word}{tunnels.by(tunnel)}"


def _speeds(name: str) -> tuple[Figure, Figure]:
    return Figure(name, "Gb/s a core"), Figure(f"{name}, speed", "Gb/s")


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return all trials.
    """
    seconds = 1 if quick else 2
    for tunnel, path, word in tunnels.carried():
        figures: list[Figure] = []
        for direction in DIRECTIONS:
            figures += _speeds(title(path, direction, word, tunnel))
        figures += [Figure(udp.title(tunnel, path, way, word), "us") for way in udp.WAYS]
        yield Trial(tuple(figures), partial(rates, tunnel, path, word, seconds))
    if quick:
        return
    for path in dict.fromkeys(path for _, path, _ in tunnels.carried()):
        name = f"{title(path, 'up', tunnels.MPPE)}, {LOST} % lost"
        yield Trial(_speeds(name), partial(lossy, path, seconds), 2)
    if paths.NATIVE in paths.possible():
        names = (title(paths.NATIVE, one, tunnels.PLAIN, tunnels.L2TP) for one in DIRECTIONS)
        each = tuple(chain.from_iterable(_speeds(f"{name}, {APART}") for name in names))
        yield Trial(each, partial(apart, paths.NATIVE, seconds), 2)


def quotients() -> Iterator[Quotient]:
    """
    Return what is compared: other tunnels with PPTP, whose packets are encrypted where theirs are.
    """
    for tunnel, path, word in tunnels.carried():
        if tunnel == tunnels.PPTP:
            continue
        beside = tunnels.PLAIN if word == tunnels.PLAIN else tunnels.MPPE
        target = FASTER if (tunnel, path) == (tunnels.L2TP, paths.NATIVE) else None
        for direction in DIRECTIONS:
            names = title(path, direction, word, tunnel), title(path, direction, beside)
            figure = Figure(f"{names[0]} / {tunnels.PPTP}", "times", target, True)
            yield Quotient(figure, *names)
        if target:
            for direction in DIRECTIONS:
                name = f"{title(path, direction, word, tunnel)}, {APART}"
                figure = Figure(f"{name} / {tunnels.PPTP}", "times")
                yield Quotient(figure, name, title(path, direction, beside))
        for way in udp.WAYS:
            names = (
                udp.title(tunnel, path, way, word),
                udp.title(tunnels.PPTP, path, way, beside),
            )
            yield Quotient(Figure(f"{names[0]} / {tunnels.PPTP}", "times"), *names)
