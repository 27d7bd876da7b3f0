"""
UDP ports, by which all messages of L2TP come and go.

One port serves all control connections and calls at a local address. Where threads of the data path
read it, each has a socket of its own, and what they leave comes to this port. For each peer whose
calls the kernel carries there is one more socket. Datagrams wait in a lane for each call and each
connection (L{pptpgw.datapath.fair}), since in the socket all share one queue. Control messages of
strangers wait apart from these, and few of them are handled in one turn of the reactor.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from pptpgw.counting.counters import Counters
from pptpgw.datapath.fair import READ
from pptpgw.datapath.interface import Reader
from pptpgw.error import CallError, NotPermitted
from pptpgw.log import Logger
from pptpgw.ports.poll import serveFirst
from pptpgw.ports.udpsockets import (
    IP_PKTINFO,
    DatagramWriter,
    openUDP,
    renewUDP,
    shareUDP,
    unshareUDP,
)
from pptpgw.tunnels.l2tp.carriage import Address, Carriage, FrameTaker
from pptpgw.tunnels.l2tp.port.kernel import UNSAFE, KernelSession, KernelTunnels
from pptpgw.tunnels.l2tp.port.reading import Read, fromSocket, fromThreads, localOf, pktinfo
from pptpgw.tunnels.l2tp.port.turns import PortConnections, Turns
from pptpgw.tunnels.port import ThreadedPort

BUFFER = 4 << 20
"""
The number of octets that the kernel may queue in each direction, since bursts from many peers meet
in one socket.
"""

SMALL_BUFFER = 1 << 17
"""
The same for the socket of one peer, from which little is read.
"""

_ANY_ADDRESS = ("", "0.0.0.0")


class L2TPPort(ThreadedPort):
    """
    A UDP port for L2TP, bound to one local address or to all of them.

    Datagrams that belong to no call, and those that can't be sent, are counted and silently
    discarded.

    @ivar address: the local address, dotted; empty for every address.
    @ivar withholds: returns whether packets of CCP are withheld from the kernel
        (L{pptpgw.tunnels.l2tp.port.withheld}).
    @ivar mayEncrypt: returns whether calls may be offered MPPE.
    """

    _log = Logger()

    carrier = "L2TP"

    def __init__(self, reactor: Any, address: str, number: int, counters: Counters) -> None:
        """
        @param number: the port's number; 0 for one that the system chooses.
        @param counters: counts stray datagrams and errors.
        """
        super().__init__(reactor, address or "every address")
        self.address = "" if address in _ANY_ADDRESS else address
        self.withholds: Callable[[], bool] = lambda: False
        self.mayEncrypt: Callable[[], bool] = lambda: True
        self._number = number
        self._counters = counters
        self._calls: dict[int, tuple[Address, FrameTaker]] = {}
        # How many calls with a peer have the same id, since each is of another control connection.
        self._ids: Counter[tuple[Address, int]] = Counter()
        self._kernel = KernelTunnels(reactor, self._openConnected, self._readAlso)
        self._turns = Turns(reactor.seconds, self._calls, counters)

    @property
    def connections(self) -> PortConnections:
        """
        The control connections of the port, which are set before it is opened.
        """
        return self._turns.connections

    @connections.setter
    def connections(self, connections: PortConnections) -> None:
        self._turns.connections = connections

    @property
    def number(self) -> int:
        """
        The number of the port.
        """
        return self._number

    def startListening(self) -> None:
        """
        Open the port.

        @raise OSError: the address isn't one of this machine, or another program has the port.
        """
        self._socket = openUDP(self.address, self._number, BUFFER, joined=True)
        self._number = self._socket.getsockname()[1]
        self._reactor.addReader(self)
        serveFirst(self._reactor, self)

    def stopListening(self) -> None:
        """
        Close the port, after all calls have ended. Calling this again does nothing.
        """
        self._close()
        self._kernel.stop()

    def readBy(self, reader: Reader) -> int:
        """
        Have threads read this port from now on, each by a socket of its own. What they leave is
        handled here.

        @return: the port's place among those that the threads read.
        @raise OSError: the port isn't open, or the threads have no place for it.
        """
        if self._socket is None:
            raise OSError(errno.EBADF, "the UDP port isn't open")
        if self._left is None:
            # The kernel numbers the sockets of one address and port in the order in which they were
            # opened, and those for one peer may not come before those of the threads.
            count = 1 if self.address and self._kernel else reader.readers
            others = self._shared(self._socket, count)
            try:
                self._watchedBy(reader, self._socket, others)
            except OSError:
                unshareUDP((self._socket, *others))
                raise
        return self._place

    def _shared(self, first: socket.socket, count: int) -> list[socket.socket]:
        """
        Return the sockets after the first one, of which there is one for each thread, or none if
        there can't be more.
        """
        try:
            return shareUDP(first, self.address, count, BUFFER)
        except OSError as error:
            self._log.warn("One thread alone reads L2TP: {error}", error=str(error))
            return shareUDP(first, self.address, 1, BUFFER)

    # pptpgw.tunnels.l2tp.connections.ControlPort

    def register(self, ids: tuple[int, int], peer: Address, taker: FrameTaker) -> None:
        """
        See L{pptpgw.tunnels.l2tp.carriage.DataPort.register}.
        """
        if ids[0] << 16 | ids[1] in self._calls:
            raise ValueError(f"the ids {ids} are in use")
        if self._kernel.carries(peer, ids[1]):
            raise CallError(f"the kernel carries another call {ids[1]} with {peer[0]}")
        self._add(ids, peer, taker)

    def unregister(self, ids: tuple[int, int]) -> None:
        """
        See L{pptpgw.tunnels.l2tp.carriage.DataPort.unregister}.
        """
        found = self._calls.pop(ids[0] << 16 | ids[1], None)
        if found is not None:
            self._ids[found[0], ids[1]] -= 1
            if not self._ids[found[0], ids[1]]:
                del self._ids[found[0], ids[1]]

    def openTransport(
        self, carriage: Carriage, encrypted: bool, receive: Callable[[int, bytes], None]
    ) -> KernelSession:
        """
        See L{pptpgw.tunnels.l2tp.carriage.DataPort.openTransport}.

        @raise NotPermitted: the kernel can't carry MPPE as it should, which the call may have.
        """
        mayEncrypt = encrypted or self.withholds()
        if not mayEncrypt and self.mayEncrypt():
            raise NotPermitted(UNSAFE)
        ends, peer = carriage.ends, carriage.connection.peer
        if (peer, ends.call) in self._ids:
            raise CallError(f"this process carries another call {ends.call} with {peer[0]}")
        ids = ends.tunnel, ends.call
        session = self._kernel.open(carriage, mayEncrypt, receive, partial(self.unregister, ids))
        self._add(ids, peer, session)
        return session

    def writer(self, localAddress: str, peer: Address) -> DatagramWriter:
        """
        See L{pptpgw.tunnels.l2tp.carriage.DataPort.writer}.
        """
        if self._socket is None:
            raise OSError(errno.EBADF, "the UDP port isn't open")
        ancillary = pktinfo("" if self.address else localAddress)
        return DatagramWriter(self._socket, ancillary, peer, self._reactor.seconds)

    def send(self, localAddress: str, peer: Address, octets: bytes) -> None:
        """
        See L{pptpgw.tunnels.l2tp.connections.ControlPort.send}.
        """
        if self._socket is None:
            return
        try:
            self._socket.sendmsg((octets,), pktinfo("" if self.address else localAddress), 0, peer)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "unknown")
            self._counters.discard(f"L2TP not sent: {name}")

    def _add(self, ids: tuple[int, int], peer: Address, taker: FrameTaker) -> None:
        self._calls[ids[0] << 16 | ids[1]] = peer, taker
        self._ids[peer, ids[1]] += 1

    def ended(self, peer: Address, tunnelID: int) -> None:
        """
        See L{pptpgw.tunnels.l2tp.connections.ControlPort.ended}.
        """
        self._kernel.ended(peer, tunnelID)

    def _turn(self) -> None:
        self._next = None
        if self._socket is not None:
            if self._left is None:
                self._read(self._socket, fromSocket)
            else:
                self._read(self._left, fromThreads)
            self._handle()

    def _readAlso(self, opened: socket.socket) -> None:
        """
        Read what has arrived by a socket that is connected to one peer, and pass it on as
        L{ThreadedPort.doRead} does.
        """
        if self._socket is not None:
            self._read(opened, fromSocket)
            if self._next is None:
                self._handle()

    def _handle(self) -> None:
        self._turns.give()
        if self._socket is not None and self._turns.waiting:
            self._next = self._reactor.callLater(0, self._turn)

    def _read(self, opened: socket.socket, read: Callable[[socket.socket], Read]) -> None:
        """
        Read datagrams into their lanes, so that those of one call don't keep others out of the
        socket.

        @param read: reads some from C{opened}.
        """
        left = READ
        while left > 0:
            try:
                datagrams, peer, ancillary = read(opened)
            except BlockingIOError:
                break
            except OSError as error:
                name = errno.errorcode.get(error.errno or 0, "unknown")
                self._counters.discard(f"L2TP not read: {name}")
                if error.errno == errno.ECONNABORTED and opened is self._socket:
                    # Other code has closed the descriptor.
                    self._upkeep.lost("it was closed by somebody else")
                break
            left -= len(datagrams)
            local = self.address or localOf(ancillary)
            for octets in datagrams:
                self._turns.add(octets, peer, local)
        self._turns.count()

    def _openConnected(self, localAddress: str, peer: Address) -> socket.socket:
        """
        Open a socket for one peer. Until it is connected, datagrams of others may come to it too.

        @raise OSError: the kernel refuses.
        """
        for one in (self._socket, *self._others):
            if one is not None:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened = openUDP(self.address or localAddress, self._number, SMALL_BUFFER, shares=True)
        try:
            if not self.address:
                opened.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            opened.connect(peer)
        except OSError:
            opened.close()
            raise
        return opened

    def _restore(self) -> None:
        """
        Replace the sockets by new ones with the same numbers, by which calls send. Those for one
        peer are given up, since the new ones must come before them.
        """
        if self._socket is not None:
            self._kernel.stop()
            self._reactor.removeReader(self)
            sockets = self._socket, *self._others
            released = None if self._reader is None else self._reader.sync
            renewUDP(sockets, self.address, self._number, BUFFER, released)
            self._reactor.addReader(self)
