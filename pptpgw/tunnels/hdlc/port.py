"""
Pseudoterminals as ports: whoever opens the device at the other end makes a connection.
"""

from __future__ import annotations

import os
import select
import tty
from dataclasses import dataclass
from typing import Any

from twisted.internet import fdesc
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError, ConnectionAborted
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IProtocol
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.timing.timer import cancelled

LOOK_SECONDS = 0.1
"""
Seconds between two looks whether somebody has opened the device.
"""

RELEASE_SECONDS = 5.0
"""
Seconds that the other end has to close the device after a connection that we closed. If it is still
open then, that is a new connection.
"""


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """
    The address of either end of a line.

    @ivar name: the path of the device.
    """

    name: str


class Pseudoterminal(FileDescriptor):
    """
    The transport of one connection over a pseudoterminal. It leaves the file descriptor open.
    """

    def __init__(self, reactor: Any, port: PseudoterminalPort, descriptor: int) -> None:
        FileDescriptor.__init__(self, reactor)
        self.connected = 1
        self._port = port
        self._descriptor = descriptor
        self.protocol: IProtocol | None = None

    def fileno(self) -> int:
        """
        See L{twisted.internet.interfaces.IFileDescriptor}.
        """
        return self._descriptor

    def getPeer(self) -> DeviceAddress:
        """
        The device, as for L{getHost}.
        """
        return self._port.getHost()

    def getHost(self) -> DeviceAddress:
        """
        The device.
        """
        return self._port.getHost()

    def begin(self, protocol: IProtocol) -> None:
        """
        Connect C{protocol}.
        """
        self.protocol = protocol
        protocol.makeConnection(self)
        if self.connected:
            FileDescriptor.startReading(self)

    def doRead(self) -> object:
        """
        Read what there is.
        """
        assert self.protocol is not None
        return fdesc.readFromFD(self._descriptor, self.protocol.dataReceived)

    def writeSomeData(self, data: bytes) -> int | Exception:
        """
        Write what the device takes.
        """
        written: int | Exception = fdesc.writeToFD(self._descriptor, data)
        return written

    def abortConnection(self) -> None:
        """
        End the connection at once.
        """
        if self.connected:
            self.connectionLost(Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection is over.
        """
        FileDescriptor.connectionLost(self, reason)
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)
        self._port.connectionLost()


@implementer(IListeningPort)
class PseudoterminalPort:
    """
    A pseudoterminal that others open by its path, one after another.
    """

    def __init__(self, reactor: Any, factory: Factory) -> None:
        """
        @param factory: makes the protocol of each connection.
        """
        self._reactor = reactor
        self._factory = factory
        self._address = DeviceAddress("")
        self._descriptor = -1
        self._transport: Pseudoterminal | None = None
        self._timer: IDelayedCall | None = None
        self._listening = False

    def startListening(self) -> None:
        """
        Make the pseudoterminal.

        @raise CannotListenError: the system has none left.
        """
        try:
            self._descriptor, other = os.openpty()
        except OSError as error:
            raise CannotListenError("pty", "", error) from error
        try:
            self._address = DeviceAddress(os.ttyname(other))
            # Or what we send before the other end has set this would come back.
            tty.setraw(other)
        finally:
            os.close(other)
        fdesc.setNonBlocking(self._descriptor)
        self._listening = True
        self._factory.doStart()
        self._look(self._reactor.seconds())

    def stopListening(self) -> Deferred[None]:
        """
        Take no more connections. One that there is goes on.
        """
        self._timer = cancelled(self._timer)
        if self._listening:
            self._listening = False
            self._factory.doStop()
            self._closeUnused()
        return succeed(None)

    def getHost(self) -> DeviceAddress:
        """
        The path of the device to open.
        """
        return self._address

    def connectionLost(self) -> None:
        """
        The connection is over: wait for the next one.
        """
        self._transport = None
        self._closeUnused()
        if self._listening:
            self._look(self._reactor.seconds() + RELEASE_SECONDS)

    def _look(self, release: float) -> None:
        """
        Look whether somebody has opened the device.

        @param release: the time from which on it counts although nobody was seen to close it.
        """
        if self._isOpen():
            if self._reactor.seconds() >= release:
                self._timer = None
                self._begin()
                return
        else:
            release = 0.0
        self._timer = self._reactor.callLater(LOOK_SECONDS, self._look, release)

    def _isOpen(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    def _begin(self) -> None:
        self._transport = transport = Pseudoterminal(self._reactor, self, self._descriptor)
        protocol = self._factory.buildProtocol(self._address)
        if protocol is None:
            transport.abortConnection()
        else:
            transport.begin(protocol)

    def _closeUnused(self) -> None:
        if not self._listening and self._transport is None and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
