"""
The end of a tunnel that tests of the native data path compare with its twin: a device, a data path
of either kind on it, and a channel with its port.
"""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.datapath.engine import Engine
from pptpgw.datapath.python import PythonDataPath
from pptpgw.datapath.threaded import NativeDataPath
from pptpgw.interfaces import IChannelOwner
from pptpgw.ports.devicesystem import CompiledSystem
from pptpgw.ppp.wire.ppp import CCP, LCP


class Reactor(Clock):
    """
    A clock with the methods for descriptors, which are read by hand.
    """

    def addReader(self, reader: object) -> None:
        """
        Do nothing.
        """

    def removeReader(self, reader: object) -> None:
        """
        Do nothing.
        """


def datagrams() -> tuple[socket.socket, socket.socket]:
    """
    Return two connected sockets that don't block.
    """
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for one in pair:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return pair


def isEmpty(one: socket.socket) -> bool:
    """
    Return whether nothing waits to be read.
    """
    try:
        one.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    return False


def drained(one: socket.socket) -> list[bytes]:
    """
    Read all that waits.
    """
    found = []
    while not isEmpty(one):
        found.append(one.recv(1 << 16))
    return found


class TUN:
    """
    The TUN device of a data path, which is one end of a pair. It writes like the real one.
    """

    def __init__(self, offload: bool) -> None:
        self.far, self.near = datagrams()
        system = CompiledSystem()
        self.write = system.writer(self.near.fileno(), offload)
        self.writeAll = system.allWriter(self.near.fileno(), offload)
        self.read = system.reader(self.near.fileno(), offload)
        self._written = system.reader(self.far.fileno(), offload)
        self.offload = offload
        self.batches = 1
        self.receiveAll: Callable[[list[bytes]], object] = list

    def send(self, packet: bytes) -> None:
        """
        Have the kernel send a packet to the device.
        """
        self.far.send(bytes(10 * self.offload) + packet)

    def written(self) -> list[bytes]:
        """
        Return what was written to the device, split as the kernel would.
        """
        packets: list[bytes] = []
        while found := self._written()[0]:
            packets += found
        return packets


@implementer(IChannelOwner)
class Owner:
    """
    The link of a channel, which answers an Echo-Request at once.
    """

    channel: Any

    def __init__(self) -> None:
        self.told: list[object] = []

    def frameReceived(self, protocol: int, information: bytes) -> None:
        self.told.append((protocol, information))
        if protocol == LCP:
            self.channel.sendFrame(LCP, b"answer")
        elif protocol == CCP:
            self.channel.resetSendMPPE()

    def resyncNeeded(self) -> None:
        self.told.append("resync")

    def confirmationNeeded(self) -> None:
        self.told.append("confirm")

    def confirms(self, protocol: int, information: bytes) -> bool:
        return information == b"proof"

    def channelFailed(self, reason: str) -> None:
        self.told.append(reason)


class PythonHost(PythonDataPath):
    """
    A data path in Python on a device.
    """

    def settled(self, tun: TUN) -> None:
        """
        Handle what waits at the device.
        """
        while packets := tun.read()[0]:
            self.packetsReceived(packets)


class NativeHost(NativeDataPath):
    """
    The native data path on a device.
    """

    def __init__(self, clock: Reactor, tun: TUN, threads: int = 1) -> None:
        self.engine = Engine(threads)
        self._sessions = {}
        PythonDataPath.__init__(self, clock, tun)
        self.engine.open()
        self._setTime()
        self.left = self.engine.tun((tun.near.fileno(),), tun.offload)
        self.engine.start()

    def _setTime(self) -> None:
        """
        Have the thread's time be that of the clock.
        """
        assert self.engine.threads is not None
        self.engine.threads.time(round((1000 + self.clock.seconds()) * 1e9))

    def timePassed(self) -> None:
        """
        Have the thread handle timers that have ended.
        """
        self._setTime()
        # The thread looks at its timers between two commands.
        for _ in range(2):
            self.engine.changeTUN((self.tun.near.fileno(),), self.tun.offload)

    def settled(self, tun: TUN) -> None:
        """
        Wait until the thread has handled what waited at the device, and handle what it left.
        """
        self.wait(tun.near)
        self.packetsReceived(drained(self.left))

    def wait(self, near: socket.socket) -> None:
        """
        Wait until the thread has handled what waited.
        """
        deadline = time.monotonic() + 10
        while not isEmpty(near):
            assert time.monotonic() < deadline
            time.sleep(0.0001)
        # The thread carries commands out between two batches.
        self.engine.changeTUN((self.tun.near.fileno(),), self.tun.offload)

    @property
    def tun(self) -> Any:
        """
        The device.
        """
        return self._tun


class TwinEnd(ABC):
    """
    A gateway's channel with its port and device.

    @ivar native: whether it is on the native data path; otherwise on the one in Python.
    @ivar port: the port, which subclasses make.
    @ivar channel: the channel, which subclasses make and L{join} to its owner.
    @ivar written: the packets that were passed to the kernel.
    """

    port: Any
    channel: Any

    def __init__(self, native: bool, offload: bool, threads: int = 1) -> None:
        self.native = native
        self.clock = Reactor()
        self.tun = TUN(offload)
        self.host: Any = (
            NativeHost(self.clock, self.tun, threads)
            if native
            else PythonHost(self.clock, self.tun)
        )
        self.portCounters = Counters()
        self.owner = Owner()
        self.written: list[bytes] = []

    def join(self, channel: Any) -> None:
        """
        Have C{channel} be this end's.
        """
        self.channel = self.owner.channel = channel

    @property
    @abstractmethod
    def sockets(self) -> Sequence[socket.socket]:
        """
        The port's sockets, the first of which the port reads where no thread does.
        """

    def advance(self, seconds: float) -> None:
        """
        Have time pass.
        """
        self.clock.advance(seconds)
        if self.native:
            self.host.timePassed()
        self.settle()

    def settle(self) -> None:
        """
        Have everything that waits handled.
        """
        for one in self.sockets if self.native else ():
            self.host.wait(one)
        while not isEmpty(self.port._left or self.sockets[0]):
            self.port.doRead()
            self.clock.advance(0)
        self.host.settled(self.tun)
        self.written += self.tun.written()

    def figures(self) -> dict[str, object]:
        """
        Return all figures.
        """
        if self.native:
            self.host.engine.count(self.host.counters)
        return {
            "session": self.channel.counters.asDict(),
            "path": self.host.counters.discards,
            "port": self.portCounters.discards,
        }

    def close(self) -> None:
        """
        Close everything.
        """
        self.channel.close()
        self.port.stopListening()
        if self.native:
            self.host.engine.forgetTUN()
            self.host.engine.close()
            self.host.left.close()
        for one in (self.tun.far, self.tun.near):
            one.close()
