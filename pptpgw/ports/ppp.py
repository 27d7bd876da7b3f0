"""
Linux' own PPP (C{/dev/ppp}): a channel, which carries the frames of one call, and a unit, which is
the network device above it.

A channel hands over frames of LCP and of authentication, and those of every other protocol while it
has no unit. A unit hands over the frames of network control protocols and CCP. Frames are read and
written as protocol number and information. Network packets pass between the channel and the device
within the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable
from struct import Struct, pack
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorFDSet

from pptpgw.error import Malformed, NotPermitted
from pptpgw.interfaces import MPPEParameters
from pptpgw.ports.bpf import Assembled
from pptpgw.ports.filesystem import FileSystem, RealFileSystem
from pptpgw.ports.reader import Reader
from pptpgw.ppp.wire.ppp import (
    CONFIGURE_REQUEST,
    TERMINATE_ACK,
    TERMINATE_REQUEST,
    decodeFrame,
)

DEVICE = "/dev/ppp"

COMPRESS_PROTOCOL = 0x01
"""
The flag of a channel that leaves out the first octet of protocol fields where that is permitted
(PFC).
"""

CCP_OPEN = 0x40
"""
The flag of a unit that watches the Configure-Acks of CCP, and begins to compress and to decompress
with them.
"""

CCP_UP = 0x80
"""
The flag of a unit whose CCP is open.
"""

MUST_COMPRESS = 0x00400000
"""
The flag of a unit that sends no packet in clear while it compresses.
"""

DECOMPRESSION_FATAL = 0x00800000
"""
The bit of a unit's flags, as they are read, that tells that MPPE failed for good.
"""

COMPRESSION_ENDS = (CONFIGURE_REQUEST, TERMINATE_REQUEST, TERMINATE_ACK)
"""
The codes of CCP's packets from the peer at which a unit stops to compress, and so to encrypt.
"""

PASS, DROP = 0, 1
"""
What becomes of the packets of a network protocol, C{NPMODE_PASS} and C{NPMODE_DROP}.
"""

READ_SIZE = 4096
BATCH = 32
"""
The most frames that are read from a channel or a unit in one turn of the reactor.
"""

# From linux/ppp-ioctl.h.
_GET_FLAGS = 0x8004745A
_SET_FLAGS = 0x40047459
_SET_MRU = 0x40047452
_SET_COMPRESSION = 0x4010744D
_ATTACH_CHANNEL = 0x40047438
_CONNECT = 0x4004743A
_BRIDGE = 0x40047435
_UNBRIDGE = 0x7434
_NEW_UNIT = 0xC004743E
_SET_MODE = 0x4008744B
_SET_FILTER = 0x40107447

# The option of MPPE in CCP, whose four octets of bits the kernel expects before the key (RFC 3078
# section 2.1).
_MPPE_OPTION = Struct("!BBI")
_MPPE_BITS = {128: 0x40, 56: 0x80, 40: 0x20}
_STATELESS = 0x01000000
_KEY_SIZE = 16


class PPPSystem(FileSystem, Protocol):
    """
    The system calls that channels and units use.
    """

    def read(self, descriptor: int, size: int) -> bytes:
        """
        See L{os.read}.
        """

    def write(self, descriptor: int, octets: bytes) -> int:
        """
        See L{os.write}.
        """

    def index(self, name: str) -> int:
        """
        See L{socket.if_nametoindex}.
        """


class RealPPPSystem(RealFileSystem):
    """
    The L{PPPSystem} of this machine.
    """

    read = staticmethod(os.read)
    write = staticmethod(os.write)
    index = staticmethod(socket.if_nametoindex)


ReceiveFrame = Callable[[int, bytes], object]
"""
A function that is called with each frame: its protocol number and information field.
"""


class PPPFile(Reader):
    """
    An open C{/dev/ppp}, from which frames are read: what a channel and a unit have in common.
    """

    kind = "PPP"

    def __init__(self, reactor: IReactorFDSet, receive: ReceiveFrame, system: PPPSystem) -> None:
        """
        @raise NotPermitted: the kernel has no PPP, or the process lacks CAP_NET_ADMIN.
        """
        super().__init__(reactor)
        self._receive = receive
        self._system = system
        try:
            self._descriptor = system.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NotPermitted(
                f"{DEVICE} can't be opened ({error.strerror}): the kernel module ppp_generic must "
                "be loaded, it needs CAP_NET_ADMIN, and in a container the device must be granted"
            ) from error

    def send(self, protocol: int, information: bytes) -> None:
        """
        Send a frame.

        @raise OSError: the kernel refuses the frame.
        """
        self._system.write(self._descriptor, protocol.to_bytes(2, "big") + information)

    def close(self) -> Callable[[], None]:
        """
        Read no more. The function that is returned closes the descriptor; for a unit it takes
        milliseconds, since the kernel removes the device meanwhile, and may run in a thread.
        """
        self._reactor.removeReader(self)
        descriptor, self._descriptor = self._descriptor, -1
        return lambda: self._system.close(descriptor)

    def fileno(self) -> int:
        """
        See L{twisted.internet.interfaces.IFileDescriptor.fileno}.
        """
        return self._descriptor

    def doRead(self) -> None:
        """
        Read frames, up to L{BATCH}, and pass them on.
        """
        for _ in range(BATCH):
            if self._descriptor < 0:
                return
            try:
                octets = self._system.read(self._descriptor, READ_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                # The other end of the file is gone: its call is about to end.
                if error.errno in (errno.EIO, errno.ENXIO):
                    self._reactor.removeReader(self)
                return
            try:
                protocol, information = decodeFrame(octets)
            except Malformed:
                protocol, information = 0, octets
            self._receive(protocol, information)

    def _control(self, request: int, argument: bytes) -> bytes:
        return self._system.ioctl(self._descriptor, request, argument)


class PPPChannel(PPPFile):
    """
    A channel of the kernel.
    """

    def __init__(
        self, reactor: IReactorFDSet, index: int, receive: ReceiveFrame, system: PPPSystem
    ) -> None:
        """
        @param index: the kernel's number of the channel.
        @raise NotPermitted: the kernel has no PPP, or the process lacks CAP_NET_ADMIN.
        @raise OSError: there is no channel of this number.
        """
        super().__init__(reactor, receive, system)
        try:
            self._control(_ATTACH_CHANNEL, pack("=i", index))
        except OSError:
            self._system.close(self._descriptor)
            raise
        reactor.addReader(self)

    def setFlags(self, flags: int) -> None:
        """
        Set the flags to C{flags}.

        @raise OSError: the kernel refuses.
        """
        self._control(_SET_FLAGS, pack("=i", flags))

    def connect(self, unit: PPPUnit) -> None:
        """
        Carry the packets of C{unit}.

        @raise OSError: the kernel refuses.
        """
        self._control(_CONNECT, pack("=i", unit.number))

    def bridge(self, index: int) -> None:
        """
        Have the kernel pass frames to and from another channel, which like this one has no unit.

        @param index: the kernel's number of that channel.
        @raise OSError: the kernel refuses, or is older than Linux 5.11.
        """
        self._control(_BRIDGE, pack("=i", index))

    def unbridge(self) -> None:
        """
        Undo L{bridge}, for both channels.

        @raise OSError: the kernel refuses.
        """
        self._control(_UNBRIDGE, bytes(4))


class PPPUnit(PPPFile):
    """
    A unit of the kernel, and its device.

    @ivar number: the number of the unit.
    @ivar name: the name of its device, C{ppp} with the number.
    @ivar index: the number of its device.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        numbers: UnitNumbers,
        wanted: int,
        mru: int,
        receive: ReceiveFrame,
        system: PPPSystem,
    ) -> None:
        """
        @param wanted: the number that the unit is to have; see L{UnitNumbers}.
        @param mru: the largest packet that the peer may send, in octets.
        @raise NotPermitted: the kernel has no PPP, or the process lacks CAP_NET_ADMIN.
        @raise OSError: the kernel refuses.
        """
        super().__init__(reactor, receive, system)
        self._flags = 0
        try:
            self.number = numbers.take(wanted, self._make)
            self._control(_SET_MRU, pack("=i", mru))
            self.name = f"ppp{self.number}"
            self.index = system.index(self.name)
        except OSError:
            self._system.close(self._descriptor)
            raise
        reactor.addReader(self)

    def _make(self, number: int) -> None:
        self._control(_NEW_UNIT, pack("=i", number))

    @property
    def state(self) -> int:
        """
        The flags of the unit as they are now, with those that the kernel sets.
        """
        value: int = Struct("=I").unpack(self._control(_GET_FLAGS, bytes(4)))[0]
        return value

    def setFlags(self, on: int = 0, off: int = 0) -> None:
        """
        Set the flags C{on}, and clear the flags C{off}.

        @raise OSError: the kernel refuses.
        """
        self._flags = self._flags & ~off | on
        self._control(_SET_FLAGS, pack("=i", self._flags))

    def setMode(self, protocol: int, mode: int) -> None:
        """
        Let packets of a network protocol pass (L{PASS}), or drop them in both directions (L{DROP}).

        @raise OSError: the kernel doesn't know the protocol.
        """
        self._control(_SET_MODE, pack("=ii", protocol, mode))

    def setMPPE(self, parameters: MPPEParameters, send: bool) -> None:
        """
        Give the kernel the start key for one direction, of stateless MPPE. It is used from the
        Configure-Ack for that direction on, while the flag L{CCP_OPEN} is set.

        @param send: whether the key is for packets that we send.
        @raise NotPermitted: the kernel lacks MPPE.
        """
        bits = _MPPE_BITS[parameters.bits] | _STATELESS
        octets = _MPPE_OPTION.pack(18, 6, bits) + parameters.startKey.ljust(_KEY_SIZE, b"\0")
        buffer = ctypes.create_string_buffer(octets, len(octets))
        argument = pack("PIi", ctypes.addressof(buffer), len(octets), int(send))
        try:
            self._control(_SET_COMPRESSION, argument)
        except OSError as error:
            raise NotPermitted(
                f"the kernel has no MPPE ({error.strerror}): the module ppp_mppe must be loaded"
            ) from error
        finally:
            ctypes.memset(buffer, 0, len(octets))

    def setFilter(self, program: Assembled) -> None:
        """
        Let only those network packets pass, in both directions, that C{program} keeps.

        The program sees a PPP header of four octets before each packet, in which the first octet is
        0 for a received packet and 1 for one that is sent.

        @raise OSError: the kernel has no filters, or refuses this one.
        """
        self._control(_SET_FILTER, program.argument)


class UnitNumbers:
    """
    The numbers of units. Each session has the unit of its own number, unless another program of
    this machine has that; then it has the next one above. No number is given twice as long as each
    is wanted once: the name of a device isn't used again, even if not everybody has been told yet
    that its session has ended.
    """

    def __init__(self) -> None:
        # Those that were given although another one was wanted, and that may be wanted yet.
        self._moved: set[int] = set()

    def take(self, wanted: int, make: Callable[[int], Any]) -> int:
        """
        Call C{make} with numbers from C{wanted} on until one is free, and return that number.

        @param make: raises OSError with C{EEXIST} if another unit of this machine has the number.
        @raise OSError: C{make} failed.
        """
        number = wanted
        while True:
            if number not in self._moved:
                try:
                    make(number)
                except FileExistsError:
                    pass
                else:
                    break
            number += 1
        self._moved.discard(wanted)
        if number != wanted:
            self._moved.add(number)
        return number
