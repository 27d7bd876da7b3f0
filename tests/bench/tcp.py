"""
TCP through the whole gateway: iperf3 between the callers' namespace, where our own client has a TUN
device, and the host inside. Up is from the caller.

The client, in Python like the gateway's own path, and both ends of iperf3 share the processor that
isn't the server's, and limit what passes; what is measured is therefore not the speed, but the
speed divided by the part of a processor that the server process used for it.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

from tests.bench import paths
from tests.bench.both import running
from tests.bench.namespaces import BEYOND, Namespaces, lose
from tests.bench.process import cpus
from tests.bench.row import Figure, Trial

DIRECTIONS = ("up", "down")
TUN = "bench2"
LOST = 1
MTU = 1400


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


def rate(
    path: str, direction: str, encrypted: bool, seconds: float, lost: float = 0
) -> tuple[float, float]:
    """
    Run iperf3 once.

    @param lost: how many percent of the packets from the caller are lost.
    @return: Gb/s for each processor of the server, and Gb/s.
    """
    encryption = "require" if encrypted else "off"
    with running(path, sections={"link": {"encryption": encryption}}, warmUp=0) as both:
        caller = both.callers(encryption, TUN)
        caller.ask("dial")
        if lost:
            lose(both.made.gateway, "out", lost)
        begin, octets, took = iperf(both.made, direction, seconds, both.cpu)
        used = both.cpu() - begin
    return octets * 8e-9 / used, octets * 8e-9 / took


def title(path: str, direction: str, encrypted: bool) -> str:
    """
    Return the name of a figure.
    """
    return f"TCP {path} {direction} {'MPPE' if encrypted else 'plain'}"


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return all trials.
    """
    seconds = 1 if quick else 3
    for path in paths.possible():
        if path == paths.TWINS:
            continue
        for encrypted in (False, True):
            for direction in DIRECTIONS:
                name = title(path, direction, encrypted)
                figures = (
                    Figure(name, "Gb/s a core"),
                    Figure(f"{name}, speed", "Gb/s"),
                )

                def one(
                    path: str = path, direction: str = direction, encrypted: bool = encrypted
                ) -> tuple[float, float]:
                    return rate(path, direction, encrypted, seconds)

                yield Trial(figures, one)
        name = f"{title(path, 'up', True)}, {LOST} % lost"

        def lossy(path: str = path) -> tuple[float, float]:
            return rate(path, "up", True, seconds, LOST)

        yield Trial((Figure(name, "Gb/s a core"), Figure(f"{name}, speed", "Gb/s")), lossy)
