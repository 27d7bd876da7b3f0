"""
Tests of the queues of a device that threads read, each in a network namespace of its own: see
L{tests.ports.namespace}.
"""

from __future__ import annotations

import socket
import sys
import time
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from pptpgw.counting.counters import Counters
from pptpgw.datapath.engine import Engine
from pptpgw.datapath.python import NO_ROUTE
from pptpgw.datapath.threaded import ThreadedDevice
from pptpgw.error import ConfigurationError
from pptpgw.ports.tun import DEVICE
from tests.ports.namespace import GATEWAY, Readers, ip

THREADS, FLOWS = 3, 60


def _started(name: str) -> tuple[Engine, ThreadedDevice]:
    engine = Engine(THREADS)
    engine.open()
    reactor: Any = Readers()
    device = ThreadedDevice(engine, reactor, name, 1400, Counters())
    device.start()
    engine.start()
    device.kernel.addAddress(IPv4Interface(GATEWAY))
    device.kernel.addRoute(IPv4Network("10.78.0.0/24"))
    return engine, device


def _passes(engine: Engine) -> bool:
    """
    Send packets of many connections to the device, which lead nowhere from there.

    @return: whether the threads have read all.
    """
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    counters = Counters()
    deadline = time.monotonic() + 5
    for number in range(FLOWS):
        udp.sendto(b"octets", ("10.78.0.1", 1000 + number))
    while counters.discards.get(NO_ROUTE, 0) < FLOWS and time.monotonic() < deadline:
        time.sleep(0.01)
        engine.count(counters)
    udp.close()
    return counters.discards.get(NO_ROUTE, 0) >= FLOWS


def _opened() -> int:
    """
    Return how many descriptors of TUN devices this process has.
    """
    folder = Path("/proc/self/fd")
    return sum(one.is_symlink() and str(one.readlink()) == DEVICE for one in folder.iterdir())


def _end(engine: Engine, device: ThreadedDevice) -> None:
    assert _opened() == len(device._descriptors)
    device.stop()
    assert _opened() == 0
    engine.close()


def several() -> None:
    """
    Each thread has a queue, also after the device was deleted and made again.
    """
    engine, device = _started("many%d")
    assert device.name == "many0" and len(device._descriptors) == THREADS
    for _ in range(2):
        assert "multi_queue" in ip("-details link show dev many0")
        assert _passes(engine)
        before = device._descriptors
        ip("link del many0")
        device._restore()
        assert device._descriptors == before
        device.kernel.addRoute(IPv4Network("10.78.0.0/24"))
    assert _passes(engine)
    _end(engine, device)
    assert "many0" not in ip("link show")


def taken() -> None:
    """
    A device that another program has open isn't shared, one that nobody has open is.
    """
    engine, device = _started("mine")
    other = ThreadedDevice(engine, device._reactor, "mine", 1400, Counters())
    with pytest.raises(ConfigurationError, match="mine is in use by another program"):
        other.start()
    assert _opened() == THREADS
    _end(engine, device)
    ip("tuntap add dev kept mode tun multi_queue")
    for _ in range(2):
        engine, device = _started("kept")
        assert len(device._descriptors) == THREADS
        assert _passes(engine)
        _end(engine, device)
    assert "kept" in ip("link show")


def single() -> None:
    """
    A device that exists, and has one queue, is used as it is.
    """
    ip("tuntap add dev one mode tun")
    engine, device = _started("one")
    assert len(device._descriptors) == 1
    assert _passes(engine)
    _end(engine, device)
    assert "multi_queue" not in ip("-details link show dev one")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
