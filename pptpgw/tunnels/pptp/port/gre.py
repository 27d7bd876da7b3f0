"""
GRE ports (IP protocol 47). Each local address has two raw sockets: one that is read, and one that
keeps the kernel from sending ICMP errors. Packets of calls that the kernel carries aren't read, by
their call ids.

Linux answers a packet that no raw socket accepts by an ICMP message 'protocol unreachable', upon
which pptp-linux hangs up. Since 6.18 at the latest a socket whose queue is full doesn't accept
packets in that sense. The second socket accepts every packet, but has a filter that keeps none, so
its queue is never full.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed

from pptpgw.counting.counters import Counters
from pptpgw.datapath.fair import FULL
from pptpgw.datapath.interface import CountDropped, Reader, ReceiveFrames, SendAll, SendPacket
from pptpgw.error import Malformed, NotPermitted
from pptpgw.log import Logger
from pptpgw.ports.bpf import NOTHING
from pptpgw.ports.buffers import enlarge
from pptpgw.ports.descriptors import putSocket
from pptpgw.ports.poll import serveFirst
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.timing.lapse import Lapse
from pptpgw.timing.slices import SECONDS
from pptpgw.tunnels.port import ThreadedPort
from pptpgw.tunnels.pptp.port import filter
from pptpgw.tunnels.pptp.port.raw import Raw, Receiver, Run, fastest
from pptpgw.tunnels.pptp.window import ACKNOWLEDGE_TIME
from pptpgw.tunnels.pptp.wire.gre import decode

BUFFER = 4 << 20
"""
The number of octets that the kernel may queue in each direction, since bursts from many peers meet
in one socket.
"""

MALFORMED = "not enhanced GRE"
STRAY = "GRE of no call"

_ANY_ADDRESS = ("", "0.0.0.0")


class SocketSystem(Protocol):
    """
    The part of the module C{socket} that a port uses.
    """

    def socket(self, family: int, type: int, proto: int) -> socket.socket:
        """
        See L{socket.socket}.
        """


def _key(peerAddress: str, localCallID: int) -> int:
    """
    Return the number of 48 bits by which packets of a call are found: peer address and call id.
    """
    return int.from_bytes(socket.inet_aton(peerAddress), "big") << 16 | localCallID


def _prepare(number: int, count: int, opened: socket.socket) -> None:
    """
    Prepare one of several sockets that are read.
    """
    enlarge(opened, BUFFER)
    filter.share(number, count).attach(opened)


class GREPort(ThreadedPort):
    """
    The raw sockets for enhanced GRE, bound to one local address or to all of them.

    Packets are passed to calls by peer address and our call id. Packets that belong to no call, and
    packets that can't be sent, are counted and silently discarded.

    @ivar address: the local address, dotted; empty for every address.
    @ivar counters: counts the stray packets and errors of this port.
    @ivar acknowledging: calls functions after L{ACKNOWLEDGE_TIME}.
    """

    carrier = "GRE"

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        address: str,
        counters: Counters,
        system: SocketSystem = socket,
        raw: Raw = fastest,
    ) -> None:
        super().__init__(reactor, address or "every address")
        self.address = "" if address in _ANY_ADDRESS else address
        self.counters = counters
        self.acknowledging = Lapse(reactor, ACKNOWLEDGE_TIME)
        self._system = system
        self._silencer: socket.socket | None = None
        self._raw = raw
        self._receiver: Receiver | None = None
        self._channels: dict[int, ReceiveFrames] = {}
        self._dropped: dict[int, CountDropped] = {}
        # Packets whose turn it was, and that are passed on in a later turn of the reactor.
        self._late: list[Run] = []

    def startListening(self) -> None:
        """
        Open both sockets, and begin to read from the first one.

        @raise NotPermitted: the process lacks CAP_NET_RAW.
        @raise OSError: the address isn't one of this machine.
        """
        self._socket = self._open(partial(_prepare, 0, 1))
        try:
            self._silencer = self._open(NOTHING.attach)
        except (OSError, NotPermitted):
            self._socket.close()
            self._socket = None
            raise
        self._receiver = self._raw.receiver(self._socket)
        self._reactor.addReader(self)
        serveFirst(self._reactor, self)

    def _open(self, prepare: Callable[[socket.socket], None]) -> socket.socket:
        """
        Open a non-blocking raw socket.

        @param prepare: called with the socket before it is bound.
        @raise NotPermitted: the process lacks CAP_NET_RAW.
        @raise OSError: the socket can't be bound.
        """
        try:
            opened = self._system.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE)
        except PermissionError as error:
            raise NotPermitted(
                "a raw socket for GRE (IP protocol 47) needs CAP_NET_RAW: run as root, or grant "
                "it, as AmbientCapabilities=CAP_NET_RAW in a systemd unit does"
            ) from error
        try:
            opened.setblocking(False)
            prepare(opened)
            if self.address:
                opened.bind((self.address, 0))
        except OSError:
            opened.close()
            raise
        return opened

    def stopListening(self) -> Deferred[None]:
        """
        Close the sockets, after all calls have ended. Calling this again does nothing.
        """
        self._late = []
        self._receiver = None
        self._close()
        silencer, self._silencer = self._silencer, None
        if silencer is not None:
            silencer.close()
        return succeed(None)

    def readBy(self, reader: Reader) -> int:
        """
        Have threads read this port from now on, each by a socket of its own. What they leave is
        handled here.

        @return: the port's place among those that the threads read.
        @raise OSError: the port isn't open, or the threads have no place for it.
        """
        if self._socket is None:
            raise OSError(errno.EBADF, "the GRE port isn't open")
        if self._left is None:
            others = self._shared(self._socket, reader.readers)
            try:
                left = self._watchedBy(reader, self._socket, others)
            except OSError:
                self._unshare(self._socket, others)
                raise
            self._receiver = self._raw.receiver(left)
        return self._place

    def _shared(self, first: socket.socket, count: int) -> list[socket.socket]:
        """
        Return the sockets after the first one, of which there is one for each thread, or none if
        there can't be more.
        """
        others: list[socket.socket] = []
        try:
            # Until the others are there, their packets are lost, rather than received twice.
            filter.share(0, count).attach(first)
            for number in range(1, count):
                others.append(self._open(partial(_prepare, number, count)))
        except (OSError, NotPermitted) as error:
            self._log.warn("One thread alone reads GRE: {error}", error=str(error))
            self._unshare(first, others)
            return []
        return others

    def _unshare(self, first: socket.socket, others: list[socket.socket]) -> None:
        """
        Have one socket again that receives all packets.
        """
        for one in others:
            one.close()
        filter.share(0, 1).attach(first)

    def register(
        self,
        peerAddress: str,
        localCallID: int,
        receive: ReceiveFrames,
        dropped: CountDropped | None = None,
    ) -> None:
        """
        See L{pptpgw.tunnels.pptp.channel.GRE.register}.

        @raise ValueError: another call has this peer and call id.
        """
        key = _key(peerAddress, localCallID)
        if key in self._channels:
            raise ValueError(f"call id {localCallID} is in use with {peerAddress}")
        self._channels[key] = receive
        if dropped is not None:
            self._dropped[key] = dropped

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        """
        See L{pptpgw.tunnels.pptp.channel.GRE.unregister}.
        """
        key = _key(peerAddress, localCallID)
        self._channels.pop(key, None)
        self._dropped.pop(key, None)

    def sender(self, localAddress: str, peerAddress: str) -> SendPacket:
        """
        Return a function that sends a packet from C{localAddress} to C{peerAddress} while the port
        is open.

        @raise OSError: the port isn't open.
        """
        return self._raw.sender(*self._between(localAddress, peerAddress))

    def allSender(self, localAddress: str, peerAddress: str) -> SendAll:
        """
        Return a function that sends packets, as L{sender} does for one.

        @raise OSError: the port isn't open.
        """
        return self._raw.allSender(*self._between(localAddress, peerAddress))

    def _between(self, localAddress: str, peerAddress: str) -> tuple[socket.socket, bytes, bytes]:
        if self._socket is None:
            raise OSError(errno.EBADF, "the GRE port isn't open")
        return self._socket, socket.inet_aton(localAddress), socket.inet_aton(peerAddress)

    def sendFailed(self, error: OSError) -> None:
        """
        Count that a packet of a call could not be sent. Such an error is never fatal: a full queue
        (ENOBUFS, EAGAIN), a size (EMSGSIZE), a firewall (EPERM) or a missing route may be right the
        next moment, and GRE may lose packets anyway.
        """
        self.counters.discard(f"GRE not sent: {errno.errorcode.get(error.errno or 0, 'unknown')}")

    def _turn(self) -> None:
        """
        Read packets into their lanes, so that those of one call don't keep others out of the
        socket; pass on about a millisecond of those whose turn it is, and go on in the next turn of
        the reactor if packets are left.
        """
        self._next = None
        receiver = self._receiver
        if receiver is None:
            return
        self._read(receiver)
        runs, self._late = self._late, []
        self._give(runs or receiver.take(self._channels))
        if self._receiver is not None and (self._late or receiver.waiting):
            self._next = self._reactor.callLater(0, self._turn)

    def _read(self, receiver: Receiver) -> None:
        try:
            dropped = receiver.read(self._channels)
        except OSError as error:
            # This is an ICMP error about a packet of one of the calls, which is no reason to stop.
            name = errno.errorcode.get(error.errno or 0, "unknown")
            self.counters.discard(f"GRE not read: {name}")
            if error.errno == errno.ECONNABORTED:
                # Other code has closed the descriptor.
                self._upkeep.lost("it was closed by somebody else")
            return
        for key, count in dropped.items():
            tell = self._dropped.get(key)
            if tell is None:
                self.counters.discard(FULL, count)
            else:
                tell(count)

    def _give(self, runs: list[Run]) -> None:
        """
        Pass as many packets to calls as fit in one slice, and keep the rest for the next turn.
        """
        seconds = self._reactor.seconds
        end = seconds() + SECONDS
        for place, (channel, sequence, protocol, frames) in enumerate(runs, 1):
            try:
                if channel is None:
                    self._unclear(frames[0])
                else:
                    channel(sequence, protocol, frames)
            except Exception:
                self._log.failure("A call failed on a packet")
            if seconds() > end and place < len(runs):
                # Handling a packet that ends a link takes as long as hundreds of others.
                self._late = runs[place:]
                return

    def _restore(self) -> None:
        """
        Replace the sockets by new ones with the same numbers, by which calls send.
        """
        if self._socket is not None:
            self._reactor.removeReader(self)
            sockets = (self._socket, *self._others)
            for number, one in enumerate(sockets):
                opened = self._open(partial(_prepare, number, len(sockets)))
                putSocket(opened, one.fileno())
            self._reactor.addReader(self)

    def _unclear(self, octets: bytes) -> None:
        """
        Handle a packet that C{receive} didn't parse: an acknowledgement alone, a packet whose IP
        header has options, an invalid frame, or a packet that is only counted.
        """
        header = (octets[0] & 0x0F) * 4 if octets else 0
        try:
            callID, payload, sequence, _ = decode(octets[header:])
        except Malformed:
            self.counters.discard(MALFORMED)
            return
        source = int.from_bytes(octets[12:16], "big")
        channel = self._channels.get(source << 16 | callID)
        if channel is None:
            self.counters.discard(STRAY)
            return
        protocol, information = 0, b""
        try:
            protocol, information = decodeFrame(payload)
        except Malformed:
            pass
        channel(-1 if sequence is None else sequence, protocol, [information])
