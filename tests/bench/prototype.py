"""
A program that does nothing but carry packets, as a measure of what the machine permits.

C{make bench PROTOTYPE=PROGRAM} measures it in turn with the native data path. C{PROGRAM -n DEVICE
-l LOCAL -p PEER} carries IPv4 between a TUN device of that name and the GRE packets of one call,
whose ids are in the environment as C{LCID} and C{PCID}; with C{-m} by stateless MPPE-128, with
L{tests.bench.load.KEY} in both directions.

TCP passes between two such programs, or between the program and a server process of
L{tests.bench.channels}, so that both have the same peer.

C{python -m tests.bench.prototype server|caller ENCRYPTED} becomes the program at one end, and with
C{MODE OCTETS SECONDS} measures and prints what L{tests.bench.channels} does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path

from pptpgw.ports.device import QUEUE
from tests.bench import paths
from tests.bench.case import GATEWAY, SUBSCRIBER, TUN, datagram
from tests.bench.channels import PATIENCE, WARM_UP
from tests.bench.load import CALL, PEER_CALL
from tests.bench.namespaces import BEYOND, PEER, SERVER, namespaces, run
from tests.bench.process import cpus, settle, used
from tests.bench.row import Figure, Quotient, Trial
from tests.bench.tcp import DIRECTIONS, MTU, iperf

SERVES, CALLS = "server", "caller"
ENDS = {
    # which end: its own address and the peer's, the ids of its call and of the peer's, and the
    # address and the route of its device
    SERVES: (SERVER, PEER, CALL, PEER_CALL, f"{GATEWAY}/24", SUBSCRIBER),
    CALLS: (PEER, SERVER, PEER_CALL, CALL, f"{SUBSCRIBER}/32", BEYOND),
}
BEGUN = 100
"""
The packets with which the load has begun for certain.
"""


def command(end: str, encrypted: bool) -> list[str]:
    """
    Return the command of the program at one end.
    """
    local, peer, call, peerCall, *_ = ENDS[end]
    words = [paths.prototype(), "-n", TUN, "-l", local, "-p", peer]
    return ["env", f"LCID={call}", f"PCID={peerCall}", *words, *(["-m"] if encrypted else [])]


def address(end: str) -> None:
    """
    Give the program's device its address, its route and a queue as long as ours, as soon as it is
    there.
    """
    *_, own, far = ENDS[end]
    deadline = time.monotonic() + PATIENCE
    while not Path(f"/sys/class/net/{TUN}").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the program makes no device {TUN}")
        time.sleep(0.01)
    run(
        f"ip address add {own} dev {TUN}",
        f"ip link set {TUN} mtu {MTU} up txqueuelen {QUEUE}",
        f"ip route replace {far} dev {TUN}",
    )


def awaitRoute(namespace: str) -> None:
    """
    Wait until the device in a namespace has a route.
    """
    deadline = time.monotonic() + PATIENCE
    words = ["ip", "-n", namespace, "route", "show", "dev", TUN]
    while not subprocess.run(words, capture_output=True, check=False).stdout:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no route by {TUN}")
        time.sleep(0.05)


def become(end: str, encrypted: bool, then: Callable[[int], object] = id) -> None:
    """
    Become the program.

    @param then: called with the program's process id, in a process of its own, when the device has
        its address.
    """
    pid = os.getpid()
    if not os.fork():
        try:
            address(end)
            then(pid)
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    words = command(end, encrypted)
    os.execvp(words[0], words)


def measure(mode: str, encrypted: bool, size: int, seconds: float, pid: int) -> None:
    """
    Measure what packets cost the program with this process id.
    """
    device = "out" if mode == "out" else "beyond"
    sent = Path(f"/sys/class/net/{device}/statistics/tx_packets")

    def figures() -> tuple[float, int]:
        return used(pid), int(sent.read_text())

    load: list[object] = ["udp", SUBSCRIBER, size - 28]
    if mode == "in":
        load = ["gre", int(encrypted), 0x0021, datagram(SUBSCRIBER, BEYOND, size).hex()]
    before, deadline = figures()[1], time.monotonic() + PATIENCE
    print(json.dumps(load), flush=True)
    while figures()[1] < before + BEGUN:
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
    time.sleep(WARM_UP)
    begin = figures()
    time.sleep(seconds)
    cpu, count = (after - earlier for earlier, after in zip(begin, figures(), strict=True))
    print(json.dumps([cpu, count, count, {}]))


def throughput(path: str, direction: str, encrypted: bool, seconds: float) -> float:
    """
    Run iperf3 once, with the program as the caller's end.

    @return: Gb/s for each processor of the server.
    """
    with namespaces() as made, ExitStack() as ended:

        def started(namespace: str, processor: int, *words: object) -> int:
            own = ["ip", "netns", "exec", namespace, "taskset", "-c", str(processor)]
            python = [sys.executable, "-m", *map(str, words)]
            process = subprocess.Popen([*own, *python], stdout=subprocess.DEVNULL)
            ended.callback(process.wait)
            ended.callback(process.kill)
            return process.pid

        load, processor = cpus()
        server: tuple[object, ...] = ("tests.bench.prototype", SERVES, int(encrypted))
        if path != paths.PROTOTYPE:
            server = ("tests.bench.channels", path, "IPv4", "serve", int(encrypted), MTU, 0, 0)
        pid = started(made.gateway, processor, *server)
        started(made.callers, load, "tests.bench.prototype", CALLS, int(encrypted))
        for namespace in (made.gateway, made.callers):
            awaitRoute(namespace)
        begin, octets, _ = iperf(made, direction, seconds, lambda: used(pid))
        return octets * 8e-9 / (used(pid) - begin)


def title(path: str, direction: str, encrypted: bool) -> str:
    """
    Return the name of a figure of TCP.
    """
    return f"TCP {path} {direction} {'MPPE' if encrypted else 'plain'}, beside the prototype"


def trials(quick: bool) -> Iterator[Trial]:
    """
    Return all trials; none without the program.
    """
    if not paths.prototype():
        return
    able = [paths.NATIVE] * (paths.NATIVE in paths.possible())
    ways = (False,) if quick else (False, True)
    for encrypted, direction, path in product(ways, DIRECTIONS, (paths.PROTOTYPE, *able)):

        def one(
            path: str = path, direction: str = direction, encrypted: bool = encrypted
        ) -> tuple[float]:
            return (throughput(path, direction, encrypted, 1 if quick else 2),)

        yield Trial((Figure(title(path, direction, encrypted), "Gb/s a core"),), one)


def quotients() -> Iterator[Quotient]:
    """
    Return what is compared: the native data path with the program.
    """
    for encrypted, direction in product((False, True), DIRECTIONS):
        native, own = (
            title(path, direction, encrypted) for path in (paths.NATIVE, paths.PROTOTYPE)
        )
        yield Quotient(Figure(f"{native} / {paths.PROTOTYPE}", "times", 1.0, True), native, own)


if __name__ == "__main__":
    end_, encrypted_, *words_ = sys.argv[1:]
    if words_:
        settle(server=True)
        mode_, size_, seconds_ = words_
        each_ = mode_, encrypted_ == "1", int(size_), float(seconds_)
        become(end_, encrypted_ == "1", partial(measure, *each_))
    become(end_, encrypted_ == "1")
