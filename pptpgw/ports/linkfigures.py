"""
What the kernel counts on network devices, read by rtnetlink(7).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from pptpgw.ports.netlink import DUMP, HEADER, READ_SIZE, REQUEST, messages
from pptpgw.ports.rtnetlink import NetlinkMessageType

_statistics = Struct("=BxxxII")
# The beginning of the kernel's struct rtnl_link_stats64: packets, octets and errors, each received
# and sent.
_figures = Struct("=6Q")
_LINK_FIGURES = 1


class DeviceFigures(NamedTuple):
    """
    What the kernel has counted on a device.

    @ivar device: the number of the device.
    """

    device: int
    packetsReceived: int
    packetsSent: int
    octetsReceived: int
    octetsSent: int
    receiveErrors: int
    sendErrors: int


def readFigures(body: bytes) -> DeviceFigures:
    """
    Decode a message about what the kernel has counted on a device.
    """
    _, index, _ = _statistics.unpack_from(body)
    return DeviceFigures(index, *_figures.unpack_from(body, _statistics.size + 4))


class StatisticsSocket:
    """
    A socket for the figures of devices.
    """

    def __init__(self) -> None:
        """
        @raise OSError: the kernel has no rtnetlink.
        """
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, 0))

    def all(self) -> Iterator[list[DeviceFigures]]:
        """
        Read the figures of all devices, some dozens at a time. Nothing else can be read until the
        last ones have been.

        @raise OSError: the kernel doesn't answer.
        """
        self._ask(0, DUMP)
        while True:
            some: list[DeviceFigures] = []
            for kind, _, body in messages(self._socket.recv(READ_SIZE, socket.MSG_DONTWAIT)):
                if kind != NetlinkMessageType.NEW_STATISTICS:
                    yield some
                    return
                some.append(readFigures(body))
            yield some

    def one(self, index: int) -> DeviceFigures | None:
        """
        Return the figures of one device; None if it doesn't exist.

        @raise OSError: the kernel doesn't answer.
        """
        self._ask(index, 0)
        for kind, _, body in messages(self._socket.recv(READ_SIZE, socket.MSG_DONTWAIT)):
            if kind == NetlinkMessageType.NEW_STATISTICS:
                return readFigures(body)
        return None

    def close(self) -> None:
        """
        Close the socket. No figures can be read any more.
        """
        self._socket.close()

    def _ask(self, index: int, flags: int) -> None:
        body = _statistics.pack(0, index, _LINK_FIGURES)
        size = HEADER.size + len(body)
        kind = NetlinkMessageType.GET_STATISTICS
        self._socket.send(HEADER.pack(size, kind, REQUEST | flags, 0, 0) + body)
