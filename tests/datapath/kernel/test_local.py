"""
Tests for L{pptpgw.datapath.kernel.local}.
"""

from __future__ import annotations

import socket
from typing import cast

import pytest

from pptpgw.datapath.kernel.local import BATCH, LocalPackets
from tests.ports.namespace import inNamespace


class Sockets:
    """
    A packet socket in memory, and the reactor that reads it.

    @ivar waiting: the packets that it has received: the device and the octets of each.
    @ivar reading: what the reactor reads.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[str, bytes]] = []
        self.reading: list[object] = []
        self.opened = 0

    def __call__(self) -> socket.socket:
        self.opened += 1
        return cast(socket.socket, self)

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str]]:
        if not self.waiting:
            raise BlockingIOError
        name, packet = self.waiting.pop(0)
        if not packet:
            raise OSError(100, "Network is down")
        return packet, (name,)

    def fileno(self) -> int:
        return 9

    def close(self) -> None:
        self.opened -= 1

    def addReader(self, reader: object) -> None:
        self.reading.append(reader)

    def removeReader(self, reader: object) -> None:
        self.reading.remove(reader)


def indexOf(name: str) -> int:
    if name == "gone":
        raise OSError(19, "No such device")
    return int(name.removeprefix("ppp"))


def test_dispatch() -> None:
    """
    Each router gets the packets of its device. Errors of devices that are gone don't end reading,
    and the socket is open while there is a router.
    """
    sockets = Sockets()
    packets = LocalPackets(sockets, sockets, indexOf)
    assert packets.fileno() == -1
    one: list[bytes] = []
    two: list[bytes] = []
    packets.add(1, one.append)
    packets.add(2, two.append)
    assert sockets.opened == 1 and sockets.reading == [packets] and packets.fileno() == 9
    sockets.waiting = [
        ("ppp1", b"a"),
        ("ppp1", b""),
        ("gone", b"b"),
        ("ppp3", b"c"),
        ("ppp2", b"d"),
    ]
    packets.doRead()
    assert (one, two) == ([b"a"], [b"d"])
    packets.remove(1)
    packets.remove(1)
    assert sockets.opened == 1
    packets.remove(2)
    assert sockets.opened == 0 and sockets.reading == [] and packets.fileno() == -1


def test_batch() -> None:
    """
    A turn of the reactor reads a limited number of packets.
    """
    sockets = Sockets()
    packets = LocalPackets(sockets, sockets, indexOf)
    got: list[bytes] = []
    packets.add(1, got.append)
    sockets.waiting = [("ppp1", b"a")] * (BATCH + 1)
    packets.doRead()
    assert len(got) == BATCH


def test_aRouterThatEnds() -> None:
    """
    A router may be the last one, and end while its packets are read.
    """
    sockets = Sockets()
    packets = LocalPackets(sockets, sockets, indexOf)
    packets.add(1, lambda packet: packets.remove(1))
    sockets.waiting = [("ppp1", b"a")] * 2
    packets.doRead()
    assert sockets.opened == 0 and len(sockets.waiting) == 1


def test_refused() -> None:
    """
    If no socket can be opened there is no router.
    """

    def connect() -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    sockets = Sockets()
    packets = LocalPackets(sockets, connect, indexOf)
    with pytest.raises(PermissionError):
        packets.add(1, bytes)
    assert sockets.reading == []
    packets.remove(1)


def test_kernel() -> None:
    """
    The real kernel's packet socket passes on what hosts ask on PPP devices.
    """
    inNamespace("asking", module="tests.datapath.kernel.namespace")
