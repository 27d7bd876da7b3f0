"""
GRE ports (IP protocol 47). Each local address has two raw sockets: one that is read, and one that
keeps the kernel from sending ICMP errors.

Linux answers a packet that no raw socket accepts by an ICMP message 'protocol unreachable', upon
which pptp-linux hangs up. Since 6.18 at the latest a socket whose queue is full doesn't accept
packets in that sense. The second socket accepts every packet, but has a filter that keeps none, so
its queue is never full.
"""

from __future__ import annotations

import errno
import os
import socket
from array import array
from collections.abc import Callable
from struct import Struct
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import ReceiveFrames, SendPacket
from pptpgw.error import Malformed, NotPermitted
from pptpgw.interfaces import IHealth
from pptpgw.log import Logger
from pptpgw.ports.upkeep import Upkeep
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.timing.slices import SECONDS
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.pptp.port.raw import Raw, Run, fastest
from pptpgw.tunnels.pptp.wire.gre import decode

BUFFER = 4 << 20
"""
The number of octets that the kernel may queue in each direction, since bursts from many peers meet
in one socket.
"""

# Linux's socket options that the module socket doesn't have.
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_BUFFERS = ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE))
_SO_ATTACH_FILTER = 26
# A classic BPF program, BPF_RET of 0 octets, by which the kernel keeps nothing of a packet.
_KEEP_NOTHING = Struct("HBBI").pack(0x06, 0, 0, 0)
# The kernel's struct sock_fprog: the number of instructions and their address.
_PROGRAM = Struct("HP")

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


def _enlarge(opened: socket.socket) -> None:
    """
    Let the kernel queue L{BUFFER} octets in each direction for a socket.
    """
    for option, forced in _BUFFERS:
        try:
            # CAP_NET_ADMIN permits more than the system's limit.
            opened.setsockopt(socket.SOL_SOCKET, forced, BUFFER)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, option, BUFFER)


def _silence(opened: socket.socket) -> None:
    """
    Attach the filter that keeps no packet to a socket.
    """
    program = array("B", _KEEP_NOTHING)
    address, _ = program.buffer_info()
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _PROGRAM.pack(1, address))


@implementer(IReadDescriptor, IHealth)
class GREPort:
    """
    The raw sockets for enhanced GRE, bound to one local address or to all of them.

    Packets are passed to calls by peer address and our call id. Packets that belong to no call, and
    packets that can't be sent, are counted and silently discarded.

    @ivar address: the local address, dotted; empty for every address.
    @ivar counters: counts the stray packets and errors of this port.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        address: str,
        counters: Counters,
        system: SocketSystem = socket,
        raw: Raw = fastest,
    ) -> None:
        self.address = "" if address in _ANY_ADDRESS else address
        self.counters = counters
        self._reactor = reactor
        self._system = system
        self._socket: socket.socket | None = None
        self._silencer: socket.socket | None = None
        self._raw = raw
        self._channels: dict[int, ReceiveFrames] = {}
        # Packets that were read, and are passed on in a later turn of the reactor.
        self._waiting: list[Run] = []
        self._next: IDelayedCall | None = None
        what = f"the socket for GRE at {address or 'every address'}"
        self._upkeep = Upkeep(reactor, lambda: what, self._restore)

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self._upkeep.fault

    def startListening(self) -> None:
        """
        Open both sockets, and begin to read from the first one.

        @raise NotPermitted: the process lacks CAP_NET_RAW.
        @raise OSError: the address isn't one of this machine.
        """
        self._socket = self._open(_enlarge)
        try:
            self._silencer = self._open(_silence)
        except (OSError, NotPermitted):
            self._socket.close()
            self._socket = None
            raise
        self._reactor.addReader(self)

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
        self._upkeep.stop()
        self._waiting = []
        self._next = cancelled(self._next)
        if self._socket is not None and self._silencer is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._silencer.close()
            self._socket = self._silencer = None
        return succeed(None)

    def register(self, peerAddress: str, localCallID: int, receive: ReceiveFrames) -> None:
        """
        See L{pptpgw.tunnels.pptp.channel.GRE.register}.

        @raise ValueError: another call has this peer and call id.
        """
        key = _key(peerAddress, localCallID)
        if key in self._channels:
            raise ValueError(f"call id {localCallID} is in use with {peerAddress}")
        self._channels[key] = receive

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        """
        See L{pptpgw.tunnels.pptp.channel.GRE.unregister}.
        """
        self._channels.pop(_key(peerAddress, localCallID), None)

    def sender(self, localAddress: str, peerAddress: str) -> SendPacket:
        """
        Return a function that sends packets from C{localAddress} to C{peerAddress} while the port
        is open.

        @raise OSError: the port isn't open.
        """
        if self._socket is None:
            raise OSError(errno.EBADF, "the GRE port isn't open")
        return self._raw.sender(
            self._socket, socket.inet_aton(localAddress), socket.inet_aton(peerAddress)
        )

    def sendFailed(self, error: OSError) -> None:
        """
        Count that a packet of a call could not be sent. Such an error is never fatal: a full queue
        (ENOBUFS, EAGAIN), a size (EMSGSIZE), a firewall (EPERM) or a missing route may be right the
        next moment, and GRE may lose packets anyway.
        """
        self.counters.discard(f"GRE not sent: {errno.errorcode.get(error.errno or 0, 'unknown')}")

    def fileno(self) -> int:
        """
        See L{twisted.internet.interfaces.IFileDescriptor.fileno}.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        See L{twisted.internet.interfaces.ILoggingContext.logPrefix}.
        """
        return "GRE"

    def connectionLost(self, reason: Failure) -> None:
        """
        Note that the reactor has given up the descriptor, or is stopping. The socket stays open
        until it is replaced or L{stopListening} is called, since calls still send by its number.
        """
        self._reactor.removeReader(self)
        self._upkeep.lost("it failed")

    def doRead(self) -> None:
        """
        Read up to L{pptpgw.tunnels.pptp.port.raw.BATCH} packets, unless earlier ones still wait to
        be passed on.
        """
        opened = self._socket
        if opened is None or self._waiting:
            return
        try:
            runs = self._raw.receive(opened, self._channels)
        except OSError as error:
            # This is an ICMP error about a packet of one of the calls, which is no reason to stop.
            name = errno.errorcode.get(error.errno or 0, "unknown")
            self.counters.discard(f"GRE not read: {name}")
            if error.errno == errno.ECONNABORTED:
                # Other code has closed the descriptor.
                self._upkeep.lost("it was closed by somebody else")
            return
        self._give(runs)

    def _goOn(self) -> None:
        """
        Pass on the packets that were left for this turn.
        """
        self._next = None
        runs, self._waiting = self._waiting, []
        self._give(runs)

    def _give(self, runs: list[Run]) -> None:
        """
        Pass as many packets to calls as fit in one slice, and the rest in the next turn.
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
                self._waiting = runs[place:]
                self._next = self._reactor.callLater(0, self._goOn)
                return

    def _restore(self) -> None:
        """
        Replace the socket by a new one with the same number, by which calls send.
        """
        if self._socket is not None:
            opened = self._open(_enlarge)
            self._reactor.removeReader(self)
            os.dup2(opened.fileno(), self._socket.fileno(), inheritable=False)
            opened.close()
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
