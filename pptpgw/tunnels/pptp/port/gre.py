"""
GRE, IP protocol 47: for each local address two raw sockets, one that reads and one that keeps the
kernel from sending ICMP errors.

Linux answers a packet that no raw socket accepts with ICMP 'protocol unreachable', on which
pptp-linux hangs up. Since 6.18 at the latest a socket whose queue is full doesn't accept packets in
that sense. The second socket accepts every packet and has a filter that keeps none, so its queue is
never full.
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
from pptpgw.datapath.edges import Receive, Send
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
Octets that the kernel may queue each way: bursts from many peers meet in one socket.
"""

# Linux's, which the module socket leaves out.
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_BUFFERS = ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE))
_SO_ATTACH_FILTER = 26
# A classic BPF program, BPF_RET of 0 octets: the kernel keeps nothing of a packet.
_KEEP_NOTHING = Struct("HBBI").pack(0x06, 0, 0, 0)
# The kernel's struct sock_fprog: how many instructions, and where they are.
_PROGRAM = Struct("HP")

MALFORMED = "not enhanced GRE"
STRAY = "GRE of no call"

EVERY_ADDRESS = ("", "0.0.0.0")


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
    What packets of a call are found by: peer address and call id as one number of 48 bits.
    """
    return int.from_bytes(socket.inet_aton(peerAddress), "big") << 16 | localCallID


def _enlarge(opened: socket.socket) -> None:
    """
    Let the kernel queue L{BUFFER} octets each way for a socket.
    """
    for option, forced in _BUFFERS:
        try:
            # CAP_NET_ADMIN permits more than the system's limit.
            opened.setsockopt(socket.SOL_SOCKET, forced, BUFFER)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, option, BUFFER)


def _silence(opened: socket.socket) -> None:
    """
    Attach the filter that keeps nothing to a socket.
    """
    program = array("B", _KEEP_NOTHING)
    address, _ = program.buffer_info()
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _PROGRAM.pack(1, address))


@implementer(IReadDescriptor, IHealth)
class GREPort:
    """
    The raw sockets for enhanced GRE, bound to one local address or to every one.

    Packets are given to calls by peer address and our call id. Packets that belong to no call, and
    packets that can't be sent, are counted and silently discarded.

    @ivar address: the local address, dotted; empty for every address.
    @ivar counters: strays and errors, of this port alone.
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
        self.address = "" if address in EVERY_ADDRESS else address
        self.counters = counters
        self._reactor = reactor
        self._system = system
        self._socket: socket.socket | None = None
        self._silencer: socket.socket | None = None
        self._raw = raw
        self._channels: dict[int, Receive] = {}
        # Packets that were read, and wait for the timer.
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
        Open both sockets and read from the first.

        @raise NotPermitted: the process lacks CAP_NET_RAW.
        @raise OSError: the address isn't one of this machine's.
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
        Open a non-blocking raw socket. C{prepare} is called with it before it is bound.
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

    def register(self, peerAddress: str, localCallID: int, receive: Receive) -> None:
        """
        Have C{receive} called with the packets of one call.

        @raise ValueError: another call has this peer and call id.
        """
        key = _key(peerAddress, localCallID)
        if key in self._channels:
            raise ValueError(f"call id {localCallID} is in use with {peerAddress}")
        self._channels[key] = receive

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        """
        Take that back. Calling this again does nothing.
        """
        self._channels.pop(_key(peerAddress, localCallID), None)

    def sender(self, localAddress: str, peerAddress: str) -> Send:
        """
        What sends packets from C{localAddress} to C{peerAddress}, while the port is open.

        @raise OSError: it isn't.
        """
        if self._socket is None:
            raise OSError(errno.EBADF, "the GRE port isn't open")
        return self._raw.sender(
            self._socket, socket.inet_aton(localAddress), socket.inet_aton(peerAddress)
        )

    def sendFailed(self, error: OSError) -> None:
        """
        A call's packet could not be sent: count it. It is never fatal; a full queue
        (ENOBUFS, EAGAIN), a size (EMSGSIZE), a firewall (EPERM) or a route can be right the next
        moment, and GRE promises nothing.
        """
        self.counters.discard(f"GRE not sent: {errno.errorcode.get(error.errno or 0, 'unknown')}")

    def fileno(self) -> int:
        """
        For the reactor.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        For the reactor.
        """
        return "GRE"

    def connectionLost(self, reason: Failure) -> None:
        """
        Note that the reactor gave the descriptor up, or is stopping. The socket stays open until it
        is opened again or until L{stopListening}, since calls still send by its number.
        """
        self._reactor.removeReader(self)
        self._upkeep.lost("it failed")

    def doRead(self) -> None:
        """
        Read up to L{pptpgw.tunnels.pptp.port.raw.BATCH} packets, unless earlier ones still wait for
        calls.
        """
        opened = self._socket
        if opened is None or self._waiting:
            return
        try:
            runs = self._raw.receive(opened, self._channels)
        except OSError as error:
            # An ICMP error about a packet of ours: some call's misfortune, no reason to stop.
            name = errno.errorcode.get(error.errno or 0, "unknown")
            self.counters.discard(f"GRE not read: {name}")
            if error.errno == errno.ECONNABORTED:
                # Other code has closed the descriptor.
                self._upkeep.lost("it was closed by somebody else")
            return
        self._give(runs)

    def _goOn(self) -> None:
        """
        Give calls the packets that were left for this turn.
        """
        self._next = None
        runs, self._waiting = self._waiting, []
        self._give(runs)

    def _give(self, runs: list[Run]) -> None:
        """
        Give calls as many packets as fit in one slice, and the rest in the next turn.
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
                # A packet that ends a link takes as long as hundreds of others.
                self._waiting = runs[place:]
                self._next = self._reactor.callLater(0, self._goOn)
                return

    def _restore(self) -> None:
        """
        Open the socket again, with the same number, by which calls send.
        """
        if self._socket is not None:
            opened = self._open(_enlarge)
            self._reactor.removeReader(self)
            os.dup2(opened.fileno(), self._socket.fileno(), inheritable=False)
            opened.close()
            self._reactor.addReader(self)

    def _unclear(self, octets: bytes) -> None:
        """
        A packet that is no plain frame of a known call: an acknowledgement alone, one whose IP
        header has options, a frame that makes no sense, or one to count.
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
