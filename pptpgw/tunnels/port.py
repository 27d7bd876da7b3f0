"""
What the ports of tunnels have in common whose packets threads outside of the interpreter may read
(L{pptpgw.datapath.threaded}).

A port has one socket, and with threads one for each of them. What the threads leave to the
interpreter comes by a socket of its own.
"""

from __future__ import annotations

import os
import socket
from abc import ABC, abstractmethod
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.datapath.interface import Reader
from pptpgw.interfaces import IHealth
from pptpgw.ports.upkeep import Upkeep
from pptpgw.timing.timer import cancelled


@implementer(IReadDescriptor, IHealth)
class ThreadedPort(ABC):
    """
    A port, bound to one local address or to all of them.

    @cvar carrier: what the port carries, in words.
    """

    carrier: str

    def __init__(self, reactor: Any, place: str) -> None:
        """
        @param place: the local address, for the log.
        """
        self._reactor = reactor
        self._socket: socket.socket | None = None
        # The threads that read the sockets, if there are any: those of the threads after the first
        # one, the place of all of them there, and the socket by which packets are left to this
        # port.
        self._others: list[socket.socket] = []
        self._reader: Reader | None = None
        self._place = -1
        self._left: socket.socket | None = None
        # The turn of the reactor in which packets that wait are handled.
        self._next: IDelayedCall | None = None
        what = f"the socket for {self.carrier} at {place}"
        self._upkeep = Upkeep(reactor, lambda: what, self._restore)

    @abstractmethod
    def _restore(self) -> None:
        """
        Replace the sockets by new ones with the same numbers, by which calls send.

        @raise OSError: they can't be opened.
        """

    @abstractmethod
    def _turn(self) -> None:
        """
        Read what has arrived, and pass on the packets whose turn it is.
        """

    def _watchedBy(
        self, reader: Reader, first: socket.socket, others: list[socket.socket]
    ) -> socket.socket:
        """
        Have threads read the sockets.

        @return: the socket by which packets are left to this port.
        @raise OSError: the threads have no place for the port.
        """
        sockets = (first, *others)
        left: socket.socket
        place, left = reader.watch(tuple(one.fileno() for one in sockets), self)
        self._reactor.removeReader(self)
        self._reader, self._place, self._left, self._others = reader, place, left, others
        self._reactor.addReader(self)
        return left

    def _close(self) -> None:
        """
        Close the sockets, and handle no packets any more. Calling this again does nothing.
        """
        self._upkeep.stop()
        self._next = cancelled(self._next)
        if self._socket is None:
            return
        self._reactor.removeReader(self)
        left, self._left = self._left, None
        if self._reader is not None and left is not None:
            self._reader.forget(self._place)
            left.close()
        for one in (self._socket, *self._others):
            one.close()
        self._socket = None
        self._others = []

    def readFailed(self, error: int) -> None:
        """
        Note that the threads can't read a socket any more, with the number of an error.
        """
        self._upkeep.lost(f"it failed: {os.strerror(error)}")

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._upkeep.fault

    # IReadDescriptor

    def fileno(self) -> int:
        """
        See L{twisted.internet.interfaces.IFileDescriptor.fileno}.
        """
        read = self._left or self._socket
        return -1 if read is None else read.fileno()

    def logPrefix(self) -> str:
        """
        See L{twisted.internet.interfaces.ILoggingContext.logPrefix}.
        """
        return self.carrier

    def connectionLost(self, reason: Failure) -> None:
        """
        Note that the reactor has given up the descriptor, or is stopping. The sockets stay open
        until they are replaced or closed, since calls still send by their numbers.
        """
        self._reactor.removeReader(self)
        self._upkeep.lost("it failed")

    def doRead(self) -> None:
        """
        Read what has arrived, and pass on the packets whose turn it is, unless earlier ones do so
        in this turn of the reactor.
        """
        if self._next is None:
            self._turn()
