"""
A TUN device, which exchanges IP packets with the kernel, or a TAP device, whose packets are
Ethernet frames.

A TUN device has segmentation offload (IFF_VNET_HDR) where the compiled module is in use and the
kernel has it: one system call reads or writes many segments of a TCP connection, and the kernel
handles them as one packet. Those that are read are split here, so that everybody else sees single
packets; those that are written at once are joined if they follow each other in their connection.
Elsewhere each packet takes a system call.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import DeliverAll, DeliverPacket
from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.log import Logger
from pptpgw.ports.devicesystem import BATCH, DeviceSystem, fastest
from pptpgw.ports.poll import serveFirst

DEVICE = "/dev/net/tun"

NAME_LIMIT = 15
"""
The most octets of an interface's name.
"""

MALFORMED = "malformed frame of the TUN device"

_TUNSETIFF = 0x400454CA
_TUNGETIFF = 0x800454D2
_IFF_TUN = 0x0001
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
IFF_MULTI_QUEUE = 0x0100
_REQUEST = Struct("16sH22x")
_TUNSETVNETHDRSZ = 0x400454D8
_HEADER_SIZE = Struct("i").pack(10)
# What may be left to the reader: checksums; TCP segmentation over IPv4 and IPv6, also with ECN; UDP
# segmentation over both, which the kernel has since 6.2.
_TCP_OFFLOAD = 0x01 | 0x02 | 0x04 | 0x08
_UDP_OFFLOAD = 0x20 | 0x40
# The meanings of the kernel's errors for a name.
_TAKEN = {
    errno.EBUSY: "is in use by another program, another gateway perhaps",
    errno.EINVAL: "is there already, and is another kind of device",
}


def _closed(packet: bytes) -> int:
    """
    Raise OSError: the C{write} of a device that isn't open.
    """
    raise OSError(errno.ENXIO, "the TUN device isn't open")


def _allClosed(packets: Sequence[bytes]) -> int:
    """
    Refuse all: the C{writeAll} of a device that isn't open.
    """
    return len(packets)


@implementer(IReadDescriptor)
class TUNPort:
    """
    A TUN or TAP device. It is made when it is opened, and removed when it is closed unless it
    existed before.

    @ivar name: the device's name; once it is open, the one that the kernel gave.
    @ivar receive: called with each packet that the kernel sends to the device.
    @ivar receiveAll: called with all packets that were read at once, instead of C{receive} with
        each, if it is set.
    @ivar batches: how many times L{pptpgw.ports.devicesystem.BATCH} packets are read in one turn of
        the reactor.
    @ivar write: sends a packet into the kernel; raises OSError.
    @ivar writeAll: sends packets into the kernel; returns how many it refused.
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
        self.receiveAll: Callable[[list[bytes]], object] = self._receiveEach
        self.batches = 1
        self.write: DeliverPacket = _closed
        self.writeAll: DeliverAll = _allClosed
        self.counters = counters
        self._kind = _IFF_TAP if ethernet else _IFF_TUN
        self._key = key
        self._reactor = reactor
        self._system: DeviceSystem = system or fastest()
        self._descriptor = -1
        self._offload = self._system.offload and not ethernet

    def startReading(self) -> None:
        """
        Open the device and read from it.

        @raise NotPermitted: the process lacks CAP_NET_ADMIN, or the kernel has no TUN devices.
        @raise ConfigurationError: another program uses the name.
        """
        self._descriptor = descriptor = self._open()
        self._read = self._system.reader(descriptor, self._offload)
        self.write = self._system.writer(descriptor, self._offload)
        self.writeAll = self._system.allWriter(descriptor, self._offload)
        self._reactor.addReader(self)
        serveFirst(self._reactor, self)

    def reopen(self) -> None:
        """
        Make the device again, after another program deleted it. The descriptor keeps its number,
        which sessions use to write to the device.

        @raise NotPermitted: as L{startReading} does.
        @raise ConfigurationError: as L{startReading} does.
        """
        self._reactor.removeReader(self)
        self._renew(self._descriptor)
        self._reactor.addReader(self)

    def _renew(self, descriptor: int) -> None:
        """
        Have a descriptor be one of the device again, if it isn't.
        """
        try:
            self._system.ioctl(descriptor, _TUNGETIFF, _REQUEST.pack(b"", 0))
        except OSError:
            opened = self._open()
            self._system.dup2(opened, descriptor, False)
            self._system.close(opened)

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
            answer = self._attach(descriptor)
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

    def _attach(self, descriptor: int) -> bytes:
        """
        Make the device, or attach to the one that exists, with offload if that is possible.

        @return: the kernel's answer.
        """
        request = partial(_REQUEST.pack, self.name.encode())
        kind = self._kind | _IFF_NO_PI
        ioctl = self._system.ioctl
        if self._offload:
            try:
                answer = ioctl(descriptor, _TUNSETIFF, request(kind | _IFF_VNET_HDR))
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # The kernel doesn't know the flag, or the device is of another kind.
                self._offload = False
            else:
                ioctl(descriptor, _TUNSETVNETHDRSZ, _HEADER_SIZE)
                self._leave(descriptor, _TCP_OFFLOAD | _UDP_OFFLOAD, _TCP_OFFLOAD, 0)
                return answer
        return ioctl(descriptor, _TUNSETIFF, request(kind))

    def _leave(self, descriptor: int, *choices: int) -> None:
        """
        Have the kernel leave to us what it can of these choices, the first of which is the best.
        """
        for flags in choices:
            try:
                self._system.setOffload(descriptor, flags)
            except OSError:
                continue
            return

    def stop(self) -> Deferred[None]:
        """
        Close the device, after every session has ended. Calling this again does nothing.
        """
        if self._descriptor >= 0:
            self._reactor.removeReader(self)
            if self._offload:
                # A device that stays may be opened by a program without offload.
                self._leave(self._descriptor, 0)
            self._system.close(self._descriptor)
            self._descriptor = -1
            self.write = _closed
            self.writeAll = _allClosed
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
        Read packets from the device, and pass them on.
        """
        packets: list[bytes] = []
        for _ in range(self.batches):
            try:
                some, malformed = self._read()
            except OSError as error:
                # The interface is down (EIO), for example; it can come up again.
                name = errno.errorcode.get(error.errno or 0, "unknown")
                self.counters.discard(f"TUN not read: {name}")
                break
            if malformed:
                self.counters.discard(MALFORMED, malformed)
            packets += some
            if len(some) < BATCH:
                break
        if packets:
            try:
                self.receiveAll(packets)
            except Exception:
                self._log.failure("Packets for sessions failed")

    def _receiveEach(self, packets: list[bytes]) -> None:
        """
        Pass packets on one by one, while the device is open.
        """
        descriptor = self._descriptor
        for packet in packets:
            try:
                self.receive(packet)
            except Exception:
                self._log.failure("A packet for a session failed")
            if self._descriptor != descriptor:
                return

    def _unread(self, packet: bytes) -> None:
        """
        Ignore a packet that came before C{receive} was set.
        """
        self.counters.discard("no network is served")
