"""
Tests for L{pptpgw.networks.ethernet.port}, with a kernel in memory and with the real one.
"""

from __future__ import annotations

import os
import re
from typing import Any, cast

import pytest

from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.networks.ethernet.port import BridgePort
from tests.ports.kernel import MemoryKernel
from tests.ports.namespace import Readers, inNamespace


class MemoryTUN:
    """
    A fake of a kernel with TAP devices.
    """

    offload = True

    def __init__(self) -> None:
        self.opened = 0

    def open(self, path: str, flags: int) -> int:
        self.opened += 1
        return 7

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        flags = int.from_bytes(argument[16:18], "little")
        assert flags & 0xF == 2, "not a TAP device"
        return argument

    def dup2(self, descriptor: int, other: int, inheritable: bool) -> int:
        return other

    def setOffload(self, descriptor: int, flags: int) -> None:
        raise AssertionError("a TAP device has no offload")

    def reader(self, descriptor: int, offload: bool) -> Any:
        assert not offload

    def writer(self, descriptor: int, offload: bool) -> Any:
        assert not offload

    def allWriter(self, descriptor: int, offload: bool) -> Any:
        assert not offload

    def close(self, descriptor: int) -> None:
        self.opened -= 1


def made(kernel: MemoryKernel, bridge: str) -> tuple[BridgePort, MemoryTUN]:
    """
    A port, and the fake of its devices.
    """
    devices = MemoryTUN()
    reactor = cast(Any, Readers())
    port = BridgePort(reactor, "tap0", 1380, bridge, Counters(), devices, kernel)
    return port, devices


def test_withoutABridge() -> None:
    """
    Without a bridge the device gets its MTU and is brought up, and nothing else.
    """
    kernel = MemoryKernel()
    port, devices = made(kernel, "")
    port.start()
    assert kernel.requests == ["link set 6 mtu 1380", "link set 6 up"]
    port.stop()
    port.stop()
    assert len(kernel.requests) == 2
    assert (devices.opened, kernel.opened) == (0, 0)


def test_joinsABridge() -> None:
    """
    A device that joins a bridge gets an address that the bridge won't adopt, and leaves the bridge
    at the end.
    """
    kernel = MemoryKernel()
    port, devices = made(kernel, "br0")
    port.start()
    addressed, joined = kernel.requests[2:]
    assert re.fullmatch("link set 6 address fe(:[0-9a-f]{2}){5}", addressed)
    assert joined == "link set 6 master 9"
    port.stop()
    assert kernel.requests[4:] == ["link set 6 master 0"]
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
    A missing bridge raises an error that says what to do, and nothing stays open.
    """
    kernel = MemoryKernel()
    port, devices = made(kernel, bridge)
    with pytest.raises(ConfigurationError, match=text):
        port.start()
    assert (devices.opened, kernel.opened) == (0, 0)


def test_whatAStartWouldLack() -> None:
    """
    C{lacking} reports the same fault as a start would, without making or leaving anything open.
    """
    for bridge, text in (
        ("br0", ""),
        ("", ""),
        ("br9", "no such interface"),
        ("eth0", "no bridge"),
    ):
        kernel = MemoryKernel()
        port, devices = made(kernel, bridge)
        lacking = list(port.lacking())
        assert [text in one for one in lacking] == ([True] if text else [])
        assert (devices.opened, kernel.opened, kernel.requests) == (0, 0, [])


def test_aKernelThatCantBeAsked() -> None:
    def fails() -> MemoryKernel:
        raise OSError(1, "Operation not permitted")

    port, _ = made(MemoryKernel(), "br0")
    port._netlink = fails
    assert list(port.lacking()) == [
        '[bridge] bridge = "br0": the kernel says Operation not permitted'
    ]


@pytest.mark.parametrize("refuse", ["mtu", "up", "address", "master"])
def test_refused(refuse: str) -> None:
    """
    Nothing stays open when the kernel refuses any of the requests.
    """
    kernel = MemoryKernel(refuse)
    port, devices = made(kernel, "br0")
    with pytest.raises(NotPermitted, match="CAP_NET_ADMIN"):
        port.start()
    assert (devices.opened, kernel.opened) == (0, 0)


def test_realKernel() -> None:
    """
    A bridge works with the real kernel, in a namespace of L{tests.ports.namespace}, and no
    descriptor is left open.
    """
    before = len(os.listdir("/proc/self/fd"))
    inNamespace("bridge")
    assert len(os.listdir("/proc/self/fd")) == before
