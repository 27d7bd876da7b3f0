"""
Pseudoterminals as listening ports. A connection begins when somebody opens the other end of the
pseudoterminal, by the path of its device.
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
The time in seconds between two checks whether somebody has opened the device.
"""

RELEASE_SECONDS = 5.0
"""
The time in seconds that the other end has to close the device after we have closed a connection. If
the device is still open then, it counts as a new connection.
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
    The transport of one connection over a pseudoterminal. It doesn't close the file descriptor,
    which belongs to the port.
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
        Return the address of the device, which is the same as for L{getHost}.
        """
        return self._port.getHost()

    def getHost(self) -> DeviceAddress:
        """
        Return the address of the device.
        """
        return self._port.getHost()

    def begin(self, protocol: IProtocol) -> None:
        """
        Connect C{protocol}, and begin to read.
        """
        self.protocol = protocol
        protocol.makeConnection(self)
        if self.connected:
            FileDescriptor.startReading(self)

    def doRead(self) -> object:
        """
        See L{twisted.internet.interfaces.IReadDescriptor.doRead}.
        """
        assert self.protocol is not None
        return fdesc.readFromFD(self._descriptor, self.protocol.dataReceived)

    def writeSomeData(self, data: bytes) -> int | Exception:
        """
        See L{FileDescriptor.writeSomeData}.
        """
        written: int | Exception = fdesc.writeToFD(self._descriptor, data)
        return written

    def abortConnection(self) -> None:
        """
        End the connection at once, without sending what waits.
        """
        if self.connected:
            self.connectionLost(Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        """
        Tell the protocol and the port that the connection has ended.
        """
        FileDescriptor.connectionLost(self, reason)
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)
        self._port.connectionLost()


@implementer(IListeningPort)
class PseudoterminalPort:
    """
    A pseudoterminal whose other end others open by its path, one after another.
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

        @raise CannotListenError: the system has no more pseudoterminals.
        """
        try:
            self._descriptor, other = os.openpty()
        except OSError as error:
            raise CannotListenError("pty", "", error) from error
        try:
            self._address = DeviceAddress(os.ttyname(other))
            # Without this, octets that we send before the other end has set raw mode would be
            # echoed.
            tty.setraw(other)
        finally:
            os.close(other)
        fdesc.setNonBlocking(self._descriptor)
        self._listening = True
        self._factory.doStart()
        self._look(self._reactor.seconds())

    def stopListening(self) -> Deferred[None]:
        """
        Accept no more connections. A current one goes on.
        """
        self._timer = cancelled(self._timer)
        if self._listening:
            self._listening = False
            self._factory.doStop()
            self._closeUnused()
        return succeed(None)

    def getHost(self) -> DeviceAddress:
        """
        Return the address of the device that others open.
        """
        return self._address

    def connectionLost(self) -> None:
        """
        Wait for the next connection, since the current one has ended.
        """
        self._transport = None
        self._closeUnused()
        if self._listening:
            self._look(self._reactor.seconds() + RELEASE_SECONDS)

    def _look(self, release: float) -> None:
        """
        Check whether somebody has opened the device.

        @param release: the time from which an open device counts as a new connection, although
            nobody was seen to close it.
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
