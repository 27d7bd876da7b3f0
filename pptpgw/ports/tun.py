"""
A TUN device, which exchanges IP packets with the kernel, one in each system call; or a TAP device,
whose packets are Ethernet frames.
"""

from __future__ import annotations

import errno
import fcntl
import os
from functools import partial
from struct import Struct
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import DeliverPacket
from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.log import Logger
from pptpgw.ports.compiled import fits

DEVICE = "/dev/net/tun"

READ_SIZE = 4096
"""
The largest packet in octets that is read whole. The interface's MTU must not be larger.
"""

BATCH = 128
"""
The most packets that are read in one turn of the reactor. They take about a millisecond, then
timers and other descriptors are served.
"""

NAME_LIMIT = 15
"""
The most octets of an interface's name.
"""

_TUNSETIFF = 0x400454CA
_TUNGETIFF = 0x800454D2
_IFF_TUN = 0x0001
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_REQUEST = Struct("16sH22x")
# The meanings of the kernel's errors for a name.
_TAKEN = {
    errno.EBUSY: "is in use by another program, another gateway perhaps",
    errno.EINVAL: "is there already, and is another kind of device",
}


class DeviceSystem(Protocol):
    """
    The system calls that a L{TUNPort} uses, with the names and errors of the modules os and fcntl.
    """

    def open(self, path: str, flags: int) -> int:
        """
        See L{os.open}.
        """

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        """
        See L{fcntl.ioctl}.
        """

    def dup2(self, descriptor: int, other: int, inheritable: bool) -> int:
        """
        See L{os.dup2}.
        """

    def read(self, descriptor: int, size: int) -> bytes:
        """
        See L{os.read}.
        """

    def writer(self, descriptor: int) -> DeliverPacket:
        """
        Return a function that writes a packet to C{descriptor}; the function raises OSError.
        """

    def close(self, descriptor: int) -> None:
        """
        See L{os.close}.
        """


class RealDeviceSystem:
    """
    The L{DeviceSystem} of this machine.
    """

    open = staticmethod(os.open)
    dup2 = staticmethod(os.dup2)
    read = staticmethod(os.read)
    close = staticmethod(os.close)

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        """
        See L{fcntl.ioctl}.
        """
        return fcntl.ioctl(descriptor, request, argument)

    def writer(self, descriptor: int) -> DeliverPacket:
        """
        See L{DeviceSystem.writer}.
        """
        return partial(os.write, descriptor)


class CompiledSystem(RealDeviceSystem):
    """
    The L{DeviceSystem} of this machine, which writes packets in C.
    """

    def writer(self, descriptor: int) -> DeliverPacket:
        """
        See L{DeviceSystem.writer}.
        """
        return _tun.writer(descriptor)


fastest: type[RealDeviceSystem] = RealDeviceSystem

try:
    from pptpgw.ports import _tun
except ImportError:
    pass
else:
    if fits(_tun):
        fastest = CompiledSystem


def _closed(packet: bytes) -> int:
    """
    Raise OSError: the C{write} of a device that isn't open.
    """
    raise OSError(errno.ENXIO, "the TUN device isn't open")


@implementer(IReadDescriptor)
class TUNPort:
    """
    A TUN or TAP device. It is made when it is opened, and removed when it is closed unless it
    existed before.

    @ivar name: the device's name; once it is open, the one that the kernel gave.
    @ivar receive: called with each packet that the kernel sends to the device.
    @ivar write: sends a packet into the kernel; raises OSError.
    @ivar counters: counts errors of reading.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        name: str,
        counters: Counters,
        receive: DeliverPacket | None = None,
        system: DeviceSystem | None = None,
        ethernet: bool = False,
        key: str = "[network] interface",
    ) -> None:
        """
        @param name: at most 15 octets; if C{%d} is in it the kernel chooses a number.
        @param receive: may also be set later, before the first packet, as a data path does.
        @param ethernet: whether the device is a TAP device.
        @param key: the configuration's key for the device's name, for errors.
        @raise ConfigurationError: C{name} can't be the name of an interface.
        """
        if not 0 < len(name.encode()) <= NAME_LIMIT or "/" in name or any(map(str.isspace, name)):
            raise ConfigurationError(
                f"{name!r} names no interface: 1 to {NAME_LIMIT} octets, no slash, no space"
            )
        self.name = name
        self.receive: DeliverPacket = receive or self._unread
        self.write: DeliverPacket = _closed
        self.counters = counters
        self._kind = _IFF_TAP if ethernet else _IFF_TUN
        self._key = key
        self._reactor = reactor
        self._system: DeviceSystem = system or fastest()
        self._descriptor = -1

    def startReading(self) -> None:
        """
        Open the device and read from it.

        @raise NotPermitted: the process lacks CAP_NET_ADMIN, or the kernel has no TUN devices.
        @raise ConfigurationError: another program uses the name.
        """
        self._descriptor = descriptor = self._open()
        self.write = self._system.writer(descriptor)
        self._reactor.addReader(self)

    def reopen(self) -> None:
        """
        Make the device again, after another program deleted it. The descriptor keeps its number,
        which sessions use to write to the device.

        @raise NotPermitted: as L{startReading} does.
        @raise ConfigurationError: as L{startReading} does.
        """
        self._reactor.removeReader(self)
        try:
            self._system.ioctl(self._descriptor, _TUNGETIFF, _REQUEST.pack(b"", 0))
        except OSError:
            opened = self._open()
            self._system.dup2(opened, self._descriptor, False)
            self._system.close(opened)
        self._reactor.addReader(self)

    def _open(self) -> int:
        """
        Open the device, and return its descriptor.
        """
        try:
            descriptor = self._system.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NotPermitted(
                f"{DEVICE} can't be opened ({error.strerror}): the kernel module tun must be "
                "loaded, and in a container the device must be granted"
            ) from error
        try:
            request = _REQUEST.pack(self.name.encode(), self._kind | _IFF_NO_PI)
            answer = self._system.ioctl(descriptor, _TUNSETIFF, request)
        except OSError as error:
            self._system.close(descriptor)
            if error.errno in _TAKEN:
                raise ConfigurationError(
                    f"interface {self.name} {_TAKEN[error.errno]}; {self._key} names another"
                ) from error
            raise NotPermitted(
                f"interface {self.name} can't be made ({error.strerror}): it needs CAP_NET_ADMIN: "
                "run as root, or grant it, as AmbientCapabilities=CAP_NET_ADMIN in a systemd unit "
                "does"
            ) from error
        self.name = answer[:16].rstrip(b"\x00").decode()
        return descriptor

    def stop(self) -> Deferred[None]:
        """
        Close the device, after every session has ended. Calling this again does nothing.
        """
        if self._descriptor >= 0:
            self._reactor.removeReader(self)
            self._system.close(self._descriptor)
            self._descriptor = -1
            self.write = _closed
        return succeed(None)

    def fileno(self) -> int:
        """
        See L{twisted.internet.interfaces.IFileDescriptor.fileno}.
        """
        return self._descriptor

    def logPrefix(self) -> str:
        """
        See L{twisted.internet.interfaces.ILoggingContext.logPrefix}.
        """
        return "TUN"

    def connectionLost(self, reason: Failure) -> None:
        """
        Note that the reactor gave the descriptor up, because the device was deleted or the reactor
        is stopping.

        The descriptor stays open until L{stop}, or until the device is made again. Sessions keep
        writing to its number, and if that were free, their packets would go to the next file that
        is opened.
        """
        self._reactor.removeReader(self)

    def doRead(self) -> None:
        """
        Read packets from the device, up to L{BATCH}, and pass them on.
        """
        descriptor = self._descriptor
        read = self._system.read
        receive = self.receive
        for _ in range(BATCH):
            try:
                packet = read(descriptor, READ_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                # The interface is down (EIO), for example; it can come up again.
                name = errno.errorcode.get(error.errno or 0, "unknown")
                self.counters.discard(f"TUN not read: {name}")
                return
            try:
                receive(packet)
            except Exception:
                self._log.failure("A packet for a session failed")
            if self._descriptor != descriptor:
                return

    def _unread(self, packet: bytes) -> None:
        """
        Ignore a packet that came before C{receive} was set.
        """
        self.counters.discard("no network is served")
