"""
UDP through the whole gateway, by each tunnel: what a packet costs the server process, in
microseconds of processor time, the kernel's work in it included.

 - in: the caller, with our own client, sends packets to the host inside, where they are dropped. It
   sends ahead only as far as the server forwards them.
 - out: the kernel gets more datagrams for the session than the server can send. What isn't TCP is
   dropped where the callers are, and what is TCP is read there and discarded.

The load and the server share one processor, so that the server always has a queue of packets. The
load's time isn't counted.
"""

from __future__ import annotations

import time

from tests.bench.both import Both
from tests.bench.namespaces import drop, dropDatagrams
from tests.bench.process import Worker

WAYS = ("out", "in")
"""
The order in which they are measured: the load of C{in} doesn't end.
"""

OCTETS = 1400 - 4
"""
The largest packet that PPTP carries with MPPE.
"""

WARM_UP = 0.4


def title(tunnel: str, path: str, way: str, word: str) -> str:
    """
    Return the name of a figure.

    @param word: what encrypts packets.
    """
    return f"packet by {tunnel} {path} IPv4 {way} {word} {OCTETS}"


def cost(both: Both, caller: Worker, way: str, seconds: float) -> float:
    """
    Return the microseconds of processor time of a packet of the call that was set up last, whose
    packets the caller has by a TUN device.
    """
    load = None
    if way == "in":
        drop(both.made.inside, "beyond")
        caller.send(f"load {OCTETS} {both.server.process.pid}")
    else:
        dropDatagrams(both.made.callers, "out")
        address = caller.ask("drain")
        load = Worker(both.made.gateway, "load", "udp", address, OCTETS - 28)
    try:
        time.sleep(WARM_UP)
        begin = _figures(both, way)
        time.sleep(seconds)
        used, packets = (b - a for a, b in zip(begin, _figures(both, way), strict=True))
    finally:
        if load is not None:
            load.kill()
    if not packets:
        raise RuntimeError("no packets came")
    return used / packets * 1e6


def _figures(both: Both, way: str) -> tuple[float, float]:
    used, received, sent = both.server.ask("carried")
    return used, received if way == "in" else sent
