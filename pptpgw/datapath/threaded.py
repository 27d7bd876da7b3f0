"""
The data path plugin C{native}: threads in C, outside of the interpreter, carry the IPv4 and IPv6
packets of calls between tunnels and the TUN device, if they know the tunnel: PPTP's GRE and L2TP.

Each thread has a socket of its own for each port, which gets the packets of some calls, and a queue
of the TUN device, by which the kernel sends the packets of a connection whose packets that thread
has written there.

A thread handles what is ordinary: packets of tunnels from addresses that the peer may send from, in
order or after a while, and packets of the TUN device for its sessions. It leaves everything else to
the channels in Python, by sockets from which the ports read as if they read their own: control
frames, packets after long gaps, those of other networks and of filters, and everything of calls
that it doesn't know. Python makes all decisions, and owns a session's state while it makes one.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.config.kind import NoSettings, assertNoArgument
from pptpgw.counting.counters import Counters
from pptpgw.datapath.checks import Carrier, OpenProtocol
from pptpgw.datapath.engine import NATIVE, Engine, lacking
from pptpgw.datapath.interface import Peer
from pptpgw.datapath.plugin import PortDataPath
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import Attachment, IDataPathFactory, IEnvironment
from pptpgw.ports.device import Device
from pptpgw.ports.rtnetlink import RequestSocket
from pptpgw.ports.tun import IFF_MULTI_QUEUE
from pptpgw.timing.timer import cancelled

if TYPE_CHECKING:
    from pptpgw.datapath._native import Session

MOST = 64
"""
The most threads that the C has room for.
"""

INTERVAL = 1.0
"""
Seconds between two looks at what the thread has counted for no session.
"""


class ThreadedDevice(Device):
    """
    A TUN device that threads read, where there are any: each has a queue of the device. Python
    reads what they leave.
    """

    def __init__(self, engine: Engine, *arguments: Any) -> None:
        """
        @param arguments: those of L{Device}.
        """
        super().__init__(*arguments)
        self._engine = engine
        self._left: socket.socket | None = None
        # The descriptors of the queues after the first one, and whether one of these is opened.
        self._others: list[int] = []
        self._joins = False
        if engine.readers > 1:
            self._kind |= IFF_MULTI_QUEUE

    def _attach(self, descriptor: int) -> bytes:
        """
        See L{pptpgw.ports.tun.TUNPort._attach}. A device that exists may have one queue only; one
        with several isn't shared with another program, although the kernel permits it.
        """
        offload = self._offload
        if self._kind & IFF_MULTI_QUEUE and not self._joins and _isOpen(self.name):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        try:
            return super()._attach(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._kind & IFF_MULTI_QUEUE:
                raise
        self._kind &= ~IFF_MULTI_QUEUE
        self._offload = offload
        return super()._attach(descriptor)

    def _openOthers(self) -> None:
        """
        Open a queue for each thread but the first one.

        @raise pptpgw.error.PPTPGWError: that failed.
        """
        with self._joining():
            while self._kind & IFF_MULTI_QUEUE and len(self._others) < self._engine.readers - 1:
                self._others.append(self._open())

    @contextmanager
    def _joining(self) -> Iterator[None]:
        """
        Open more queues of the device, as long as the context lasts.
        """
        self._joins = True
        try:
            yield
        finally:
            self._joins = False

    def _closeOthers(self) -> None:
        while self._others:
            self._system.close(self._others.pop())

    @property
    def _descriptors(self) -> tuple[int, ...]:
        """
        The descriptors of all queues.
        """
        return (self._descriptor, *self._others)

    def startReading(self) -> None:
        """
        See L{pptpgw.ports.tun.TUNPort.startReading}.
        """
        super().startReading()
        if self._engine.threads is not None:
            self._reactor.removeReader(self)
            try:
                self._openOthers()
            except BaseException:
                self.stop()
                raise
            self._left = self._engine.tun(self._descriptors, self._offload)
            self._read = self._system.reader(self._left.fileno(), False)
            self._reactor.addReader(self)

    def reopen(self) -> None:
        """
        See L{pptpgw.ports.tun.TUNPort.reopen}.
        """
        super().reopen()
        if not self._kind & IFF_MULTI_QUEUE:
            self._closeOthers()
        with self._joining():
            for other in self._others:
                self._renew(other)
        self._engine.changeTUN(self._descriptors, self._offload)

    def stop(self) -> Deferred[None]:
        """
        See L{Device.stop}.
        """
        if self._left is not None:
            self._reactor.removeReader(self)
            self._engine.forgetTUN()
            self._left.close()
            self._left = None
        self._closeOthers()
        return super().stop()

    def fileno(self) -> int:
        """
        See L{pptpgw.ports.tun.TUNPort.fileno}.
        """
        return super().fileno() if self._left is None else self._left.fileno()


def _isOpen(name: str) -> bool:
    """
    Return whether a program has the TUN device C{name} open.
    """
    kernel = RequestSocket()
    try:
        link = kernel.link(name)
    finally:
        kernel.close()
    return link is not None and link.kind == "tun" and link.carrier


class NativeDataPath(PortDataPath):
    """
    The data path with the threads, or in Python alone if they aren't compiled.

    @ivar engine: the threads.
    """

    def __init__(self, environment: IEnvironment) -> None:
        configuration: Configuration = environment.configuration
        self.engine = Engine(threads(configuration.datapath.threads) if self._wantsThreads() else 1)
        # The sessions of the threads, by the targets of their routes.
        self._sessions: dict[Peer, Session] = {}
        self._timer: IDelayedCall | None = None
        super().__init__(environment)

    def _makeDevice(self, counters: Counters) -> Device:
        """
        See L{PortDataPath._makeDevice}.
        """
        configuration: Configuration = self._environment.configuration
        name, mtu = configuration.network.interface, configuration.link.largest
        return ThreadedDevice(self.engine, self._environment.reactor, name, mtu, counters)

    @property
    def path(self) -> str:
        """
        See L{pptpgw.interfaces.IDataPath.path}.
        """
        return ownPath(self._environment.configuration)

    def _wantsThreads(self) -> bool:
        """
        Return whether there are threads.
        """
        return not lacking()

    def start(self) -> None:
        """
        See L{PortDataPath.start}.
        """
        if self._wantsThreads():
            self.engine.open()
        try:
            super().start()
            self.engine.start()
        except BaseException:
            self.engine.close()
            raise
        if self.engine.threads is not None:
            self._timer = self._environment.reactor.callLater(INTERVAL, self._count)

    def stop(self) -> Deferred[None] | None:
        """
        See L{PortDataPath.stop}.
        """
        self._timer = cancelled(self._timer)
        done = super().stop()
        self.engine.count(self.counters)
        self.engine.close()
        return done

    def _count(self) -> None:
        self._timer = self._environment.reactor.callLater(INTERVAL, self._count)
        self.engine.count(self.counters)

    def networkOpened(
        self, channel: Carrier, protocol: int, attachment: Attachment
    ) -> OpenProtocol:
        """
        See L{PortDataPath.networkOpened}. The thread gets the routes too.
        """
        network = super().networkOpened(channel, protocol, attachment)
        if attachment.receive is None:
            session = getattr(channel, "session", None)
            if session is not None:
                self._sessions[network] = session
            self._lead(attachment)
        return network

    def networkClosed(self, network: OpenProtocol) -> None:
        """
        See L{PortDataPath.networkClosed}.
        """
        super().networkClosed(network)
        if network.attachment.receive is None:
            self._lead(network.attachment)
            self._sessions.pop(network, None)

    def _lead(self, attachment: Attachment) -> None:
        """
        Have the thread's routes of an attachment lead where Python's do.
        """
        for network in attachment.addresses:
            target = self._routes.target(network)
            if target is None:
                self.engine.leadNowhere(network)
            else:
                self.engine.lead(network, self._sessions.get(target))


def threads(number: int) -> int:
    """
    Return how many threads there are, given C{[datapath] threads}.
    """
    return number or min(len(os.sched_getaffinity(0)), MOST)


def ownPath(configuration: Configuration) -> str:
    """
    Return what carries the packets of calls on the native data path, if the threads know their
    tunnel. See L{pptpgw.interfaces.IChannel.path}.
    """
    if why := lacking():
        return f"python: {why}"
    if configuration.capture.file:
        return "python: [capture] file is set"
    return NATIVE


@implementer(IDataPathFactory)
class NativeDataPathFactory:
    """
    The plugin C{native}. See L{IDataPathFactory}.
    """

    name = NATIVE
    settings = NoSettings
    description = "By threads outside of the interpreter where they can, otherwise as python."

    def makeDataPath(
        self, argument: str, settings: NoSettings, environment: IEnvironment
    ) -> NativeDataPath:
        """
        See L{IDataPathFactory.makeDataPath}.
        """
        assertNoArgument("[datapath] path", NATIVE, argument)
        if why := lacking():
            raise ConfigurationError(f'[datapath] path = "{NATIVE}": {why}; "python" is possible')
        return NativeDataPath(environment)


factory = NativeDataPathFactory()
