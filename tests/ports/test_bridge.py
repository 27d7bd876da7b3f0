"""
Tests for L{pptpgw.ports.bridge}: over a kernel in memory, and the real one.
"""

from __future__ import annotations

import errno
import os
from typing import Any, cast

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from pptpgw.counters import Counters
from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.ports.bridge import BridgePort
from tests.ports.namespace import Readers, inNamespace

INDEXES = {"tap0": 5, "br0": 9, "eth0": 3}


class MemoryTUN:
    """
    A kernel with TAP devices.
    """

    def __init__(self) -> None:
        self.opened = 0

    def open(self, path: str, flags: int) -> int:
        self.opened += 1
        return 7

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        flags = int.from_bytes(argument[16:18], "little")
        assert flags & 0xF == 2, "not a TAP device"
        return argument

    def read(self, descriptor: int, size: int) -> bytes:
        raise BlockingIOError

    def writer(self, descriptor: int) -> Any:
        return lambda packet: None

    def close(self, descriptor: int) -> None:
        self.opened -= 1


class Link:
    """
    An answer about an interface.
    """

    def __init__(self, kind: str | None) -> None:
        self.kind = kind

    def get_nested(self, *names: str) -> str | None:
        assert names == ("IFLA_LINKINFO", "IFLA_INFO_KIND")
        return self.kind


class MemoryKernel:
    """
    Keeps what it is told, and refuses one request.
    """

    def __init__(self, refuse: str = "") -> None:
        self.requests: list[dict[str, object]] = []
        self.refuse = refuse
        self.opened = 0

    def __call__(self) -> MemoryKernel:
        self.opened += 1
        return self

    def link_lookup(self, *, ifname: str) -> list[int]:
        return [INDEXES[ifname]] if ifname in INDEXES else []

    def link(self, command: str, **arguments: object) -> object:
        if command == "get":
            return [Link("bridge" if arguments["index"] == INDEXES["br0"] else None)]
        if self.refuse in arguments:
            raise NetlinkError(errno.EPERM, "refused")
        self.requests.append(arguments)
        return None

    def addr(self, command: str, **arguments: object) -> None:
        raise AssertionError("a TAP device needs no address")

    def route(self, command: str, **arguments: object) -> None:
        raise AssertionError("a TAP device needs no route")

    def close(self) -> None:
        self.opened -= 1


def made(kernel: MemoryKernel, bridge: str) -> tuple[BridgePort, MemoryTUN]:
    """
    A port, and the devices there are.
    """
    devices = MemoryTUN()
    reactor = cast(Any, Readers())
    port = BridgePort(reactor, "tap0", 1380, bridge, Counters(), devices, kernel)
    return port, devices


def test_withoutABridge() -> None:
    """
    MTU, and up; no more.
    """
    kernel = MemoryKernel()
    port, devices = made(kernel, "")
    port.start()
    assert kernel.requests == [{"index": 5, "mtu": 1380}, {"index": 5, "state": "up"}]
    port.stop()
    port.stop()
    assert len(kernel.requests) == 2
    assert (devices.opened, kernel.opened) == (0, 0)


def test_joinsABridge() -> None:
    """
    With an address that the bridge won't take for its own; in the end it leaves it.
    """
    kernel = MemoryKernel()
    port, devices = made(kernel, "br0")
    port.start()
    addressed, joined = kernel.requests[2:]
    assert str(addressed["address"]).startswith("fe:")
    assert len(str(addressed["address"])) == 17
    assert joined == {"index": 5, "master": 9}
    port.stop()
    assert kernel.requests[4:] == [{"index": 5, "master": 0}]
    assert (devices.opened, kernel.opened) == (0, 0)


@pytest.mark.parametrize(
    ("bridge", "text"),
    [
        ("br7", r'\[bridge\] bridge = "br7": there is no such interface.*ip link add br7 type bri'),
        ("eth0", r'\[bridge\] bridge = "eth0": that interface is no bridge'),
    ],
)
def test_noBridge(bridge: str, text: str) -> None:
    """
    What to do is said, and nothing stays open.
    """
    kernel = MemoryKernel()
    port, devices = made(kernel, bridge)
    with pytest.raises(ConfigurationError, match=text):
        port.start()
    assert (devices.opened, kernel.opened) == (0, 0)


@pytest.mark.parametrize("refuse", ["mtu", "state", "address", "master"])
def test_refused(refuse: str) -> None:
    """
    Whatever the kernel refuses, nothing stays open.
    """
    kernel = MemoryKernel(refuse)
    port, devices = made(kernel, "br0")
    with pytest.raises(NotPermitted, match="CAP_NET_ADMIN"):
        port.start()
    assert (devices.opened, kernel.opened) == (0, 0)


def test_realKernel() -> None:
    """
    In a namespace: see L{tests.ports.namespace}.
    """
    before = len(os.listdir("/proc/self/fd"))
    inNamespace("bridge")
    assert len(os.listdir("/proc/self/fd")) == before
