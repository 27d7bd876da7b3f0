"""
Protocol 47: a raw socket a local address.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from ipaddress import IPv4Address
from struct import Struct
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.counters import Counters
from pptpgw.datapath.edges import Receive, SendTo
from pptpgw.error import Malformed, NotPermitted
from pptpgw.wire.gre import DATA, DATA_ACKNOWLEDGEMENT, PROTOCOL_TYPE, decode
from pptpgw.wire.ppp import decodeFrame

RECEIVE_SIZE = 4096
"""
The largest IP packet that is read whole; the rest of a larger one is lost, and so is the packet.
"""

BATCH = 128
"""
Packets a wake-up, at most: about a millisecond, then timers and other descriptors have their turn.
"""

BUFFER = 4 << 20
"""
Octets that the kernel may queue each way: bursts from many peers meet in one socket.
"""

# Linux's, which the module socket leaves out.
IP_PKTINFO = 8
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_BUFFERS = ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE))

MALFORMED = "not enhanced GRE"
STRAY = "GRE of no call"

# An IP header of 20 octets and the first 12 of the GRE header; every PPTP packet has them.
_BOTH = Struct("!12xI4xIHHI")
_ONE_NUMBER = 20 + 12
_TWO_NUMBERS = 20 + 16
_DATA = DATA << 16 | PROTOCOL_TYPE
_DATA_ACKNOWLEDGEMENT = DATA_ACKNOWLEDGEMENT << 16 | PROTOCOL_TYPE

Arrival = tuple[Receive | None, int, int, bytes]
"""
Who is to be called, and with what; nobody, and the whole packet in place of the information field,
where that takes a closer look.
"""

EVERY_ADDRESS = ("", "0.0.0.0")


def receive(opened: socket.socket, channels: dict[int, Receive]) -> list[Arrival]:
    """
    Take up to L{BATCH} packets from the socket, and find the calls that they belong to.

    A packet that holds a PPP frame, whose IP header has no options, and whose peer and call id are
    in C{channels} is taken apart; any other is left whole.

    @raise OSError: nothing could be read, for another reason than that nothing is there.
    """
    arrivals: list[Arrival] = []
    try:
        for _ in range(BATCH):
            arrivals.append(_arrival(opened.recv(RECEIVE_SIZE), channels))
    except BlockingIOError:
        pass
    except OSError:
        if not arrivals:
            raise
    return arrivals


def _arrival(octets: bytes, channels: dict[int, Receive]) -> Arrival:
    """
    One packet, taken apart if it is a plain one.
    """
    if len(octets) >= _ONE_NUMBER and octets[0] == 0x45:
        source, flags, length, callID, sequence = _BOTH.unpack_from(octets)
        if flags in (_DATA, _DATA_ACKNOWLEDGEMENT):
            start = _ONE_NUMBER if flags == _DATA else _TWO_NUMBERS
            channel = channels.get(source << 16 | callID)
            if channel is not None and start + length <= len(octets):
                try:
                    return channel, sequence, *decodeFrame(octets[start : start + length])
                except Malformed:
                    pass
    return None, 0, 0, octets


def _receiveCompiled(opened: socket.socket, channels: dict[int, Receive]) -> list[Arrival]:
    """
    L{receive}, in C.
    """
    return _gre.receive(opened.fileno(), channels)


fastest = receive
implementation = "Python"

try:
    from pptpgw.ports import _gre
except ImportError:
    pass
else:
    fastest = _receiveCompiled
    implementation = "compiled"


class System(Protocol):
    """
    The part of the module C{socket} that a port uses.
    """

    def socket(self, family: int, type: int, proto: int) -> socket.socket:
        """
        See L{socket.socket}.
        """


@implementer(IReadDescriptor)
class GREPort:
    """
    One raw socket for enhanced GRE, bound to one local address or to every one.

    Demultiplexes by peer address and our call id. What belongs to nobody is counted and silently
    discarded; so is what can't be sent.

    @ivar address: the local address, dotted; empty for every address.
    @ivar counters: strays and errors, of this port alone.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        address: str,
        counters: Counters,
        system: System = socket,
        receive: Callable[[socket.socket, dict[int, Receive]], list[Arrival]] = fastest,
    ) -> None:
        self.address = "" if address in EVERY_ADDRESS else address
        self.counters = counters
        self._reactor = reactor
        self._system = system
        self._socket: socket.socket | None = None
        self._receive = receive
        self._channels: dict[int, Receive] = {}

    def startListening(self) -> None:
        """
        Open the socket and read from it.

        @raise NotPermitted: without CAP_NET_RAW.
        @raise OSError: the address isn't ours.
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
            for option, forced in _BUFFERS:
                try:
                    # Beyond the system's limit, as CAP_NET_ADMIN permits.
                    opened.setsockopt(socket.SOL_SOCKET, forced, BUFFER)
                except PermissionError:
                    opened.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            if self.address:
                opened.bind((self.address, 0))
        except OSError:
            opened.close()
            raise
        self._socket = opened
        self._reactor.addReader(self)

    def stopListening(self) -> Deferred[None]:
        """
        Close the socket; harmless the second time.
        """
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None
        return succeed(None)

    def register(self, peerAddress: str, localCallID: int, receive: Receive) -> None:
        """
        Have C{receive} called with the packets of one call.

        @raise ValueError: another call has this peer and call id.
        """
        key = int(IPv4Address(peerAddress)) << 16 | localCallID
        if key in self._channels:
            raise ValueError(f"call id {localCallID} is in use with {peerAddress}")
        self._channels[key] = receive

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        """
        Take that back; harmless the second time.
        """
        self._channels.pop(int(IPv4Address(peerAddress)) << 16 | localCallID, None)

    def sender(self, localAddress: str, peerAddress: str) -> SendTo:
        """
        What sends packets from C{localAddress} to C{peerAddress}.

        On a socket for every address the kernel chooses the source by its routes. Where that isn't
        C{localAddress}, each packet names it, which costs a third more; it is found out once, when
        the call begins.
        """
        if self._socket is None:
            raise OSError(errno.EBADF, "the GRE port isn't open")
        if self.address or self._sourceFor(peerAddress) == localAddress:
            return self._socket.sendto
        sendmsg = self._socket.sendmsg
        information = bytes(4) + IPv4Address(localAddress).packed + bytes(4)
        ancillary = [(socket.IPPROTO_IP, IP_PKTINFO, information)]

        def sendFrom(packet: bytes, address: tuple[str, int]) -> int:
            return sendmsg((packet,), ancillary, 0, address)

        return sendFrom

    def sendFailed(self, error: OSError) -> None:
        """
        A call's packet could not be sent: count it. It is never fatal; a full queue
        (ENOBUFS, EAGAIN), a size (EMSGSIZE), a firewall (EPERM) or a route can be right the next
        moment, and GRE promises nothing.
        """
        self.counters.discard(f"GRE not sent: {errno.errorcode.get(error.errno or 0, 'unknown')}")

    def _sourceFor(self, peerAddress: str) -> str:
        """
        The source address that the kernel would choose, empty where there is no route.
        """
        with self._system.socket(socket.AF_INET, socket.SOCK_DGRAM, 0) as probe:
            try:
                # Connecting a datagram socket sends nothing.
                probe.connect((peerAddress, 9))
            except OSError:
                return ""
            source: str = probe.getsockname()[0]
            return source

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
        The reactor gave the descriptor up, or is stopping.
        """
        self.stopListening()

    def doRead(self) -> None:
        """
        Take what has arrived, up to L{BATCH} packets.
        """
        opened = self._socket
        if opened is None:
            return
        try:
            arrivals = self._receive(opened, self._channels)
        except OSError as error:
            # An ICMP error about a packet of ours: some call's misfortune, no reason to stop.
            name = errno.errorcode.get(error.errno or 0, "unknown")
            self.counters.discard(f"GRE not read: {name}")
            return
        for channel, sequence, protocol, information in arrivals:
            try:
                if channel is None:
                    self._unclear(information)
                else:
                    channel(sequence, protocol, information)
            except Exception:
                self._log.failure("A call failed on a packet")

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
        channel(-1 if sequence is None else sequence, protocol, information)
