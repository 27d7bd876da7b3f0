"""
The system calls for TUN and TAP devices: in C if the extension can be used
(L{pptpgw.ports.compiled}), otherwise in Python. C{fastest} is the class in use.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from pptpgw.datapath.interface import DeliverAll, DeliverPacket
from pptpgw.ports.compiled import fits
from pptpgw.ports.filesystem import FileSystem, RealFileSystem

READ_SIZE = 4096
"""
The largest packet in octets that is read whole. The interface's MTU must not be larger.
"""

BATCH = 128
"""
The packets after which no more are read in one turn of the reactor. They take about a millisecond,
then timers and other descriptors are served. The last read may make some more packets (up to 1,024
where segments are tiny).
"""

_TUNSETOFFLOAD = 0x400454D0

ReadPackets = Callable[[], tuple[list[bytes], int]]
"""
A function that returns the packets that have arrived, about L{BATCH} at most, and how many frames
were discarded because their header doesn't describe them. It raises OSError if the first one can't
be read; that nothing has arrived is no error.
"""


class DeviceSystem(FileSystem, Protocol):
    """
    The system calls that a L{TUNPort} uses.

    @ivar offload: whether C{reader} and the writers may be asked for segmentation offload: each
        packet of the device has the header of IFF_VNET_HDR then.
    """

    offload: bool

    def setOffload(self, descriptor: int, flags: int) -> None:
        """
        Set what the kernel may leave to the reader of a TUN device; raise OSError.
        """

    def dup2(self, descriptor: int, other: int, inheritable: bool) -> int:
        """
        See L{os.dup2}.
        """

    def reader(self, descriptor: int, offload: bool) -> ReadPackets:
        """
        Return a function that reads packets from C{descriptor}.
        """

    def writer(self, descriptor: int, offload: bool) -> DeliverPacket:
        """
        Return a function that writes a packet to C{descriptor}; the function raises OSError.
        """

    def allWriter(self, descriptor: int, offload: bool) -> DeliverAll:
        """
        Return a function that writes packets to C{descriptor}. It tries to write each of them, even
        if others are refused.
        """


class RealDeviceSystem(RealFileSystem):
    """
    The L{DeviceSystem} of this machine, in Python. It has no offload.
    """

    offload = False
    dup2 = staticmethod(os.dup2)

    def setOffload(self, descriptor: int, flags: int) -> None:
        """
        See L{DeviceSystem.setOffload}.
        """
        fcntl.ioctl(descriptor, _TUNSETOFFLOAD, flags)

    def reader(self, descriptor: int, offload: bool) -> ReadPackets:
        """
        See L{DeviceSystem.reader}.
        """
        return partial(_read, descriptor)

    def writer(self, descriptor: int, offload: bool) -> DeliverPacket:
        """
        See L{DeviceSystem.writer}.
        """
        return partial(os.write, descriptor)

    def allWriter(self, descriptor: int, offload: bool) -> DeliverAll:
        """
        See L{DeviceSystem.allWriter}.
        """
        return partial(_writeEach, descriptor)


def _read(descriptor: int) -> tuple[list[bytes], int]:
    packets: list[bytes] = []
    try:
        for _ in range(BATCH):
            packets.append(os.read(descriptor, READ_SIZE))
    except BlockingIOError:
        pass
    except OSError:
        if not packets:
            raise
    return packets, 0


def _writeEach(descriptor: int, packets: Sequence[bytes]) -> int:
    refused = 0
    for packet in packets:
        try:
            os.write(descriptor, packet)
        except OSError:
            refused += 1
    return refused


class CompiledSystem(RealDeviceSystem):
    """
    The L{DeviceSystem} of this machine, which reads and writes packets in C.
    """

    offload = True

    def reader(self, descriptor: int, offload: bool) -> ReadPackets:
        """
        See L{DeviceSystem.reader}.
        """
        return _tun.reader(descriptor, offload)

    def writer(self, descriptor: int, offload: bool) -> DeliverPacket:
        """
        See L{DeviceSystem.writer}.
        """
        return _tun.writer(descriptor, offload)

    def allWriter(self, descriptor: int, offload: bool) -> DeliverAll:
        """
        See L{DeviceSystem.allWriter}.
        """
        return _tun.allWriter(descriptor, offload)


fastest: type[RealDeviceSystem] = RealDeviceSystem

try:
    from pptpgw.ports import _tun
except ImportError:
    pass
else:
    if fits(_tun):
        fastest = CompiledSystem
