"""
Linux' own L2TP (the kernel module l2tp_ppp): a socket of the family PPPoX carries the frames of one
call, and is a channel of the kernel's PPP.

The kernel takes the data messages of a control connection from a UDP socket that is connected to
the peer, and has the address and port of the socket for all peers. It looks at no tunnel id, so the
calls of one control connection have the socket for a peer's address and port to themselves.

The kernel leaves what it doesn't carry to be read from that socket: control messages, data messages
of calls that it doesn't know, and those that are shorter than 14 octets. What was in the queue of
the socket for all peers before is read from there.

The kernel keeps data messages with sequence numbers for L{REORDER} milliseconds if one before them
is missing. After that it discards what has waited too long, and goes on.
"""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from struct import Struct
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import CallError, Malformed, NotPermitted
from pptpgw.interfaces import KernelFigures
from pptpgw.ports.pppox import FAMILY, L2TP, channelOf, connect, openPPPoX
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.tunnels.l2tp.carriage import Address, Carriage, IL2TPTransport
from pptpgw.tunnels.l2tp.ids import SessionIDs

REORDER = 20
"""
The milliseconds for which the kernel waits for a data message.
"""

UNSAFE = "there is no table of nftables that keeps others from ending MPPE in the kernel"
"""
Why a call can't have MPPE in the kernel: see L{pptpgw.tunnels.l2tp.port.withheld}.
"""

# The kernel's struct sockaddr_pppol2tp: family, protocol, process, descriptor of the UDP socket,
# the peer's struct sockaddr_in, our ids of tunnel and session, and the peer's.
_ADDRESS = Struct("=HIiiH2s4s8x4H")

# From linux/if_pppol2tp.h and linux/l2tp.h: the level of socket options, the options, and the
# request for the figures of a session, of which one is the number of data messages received.
_LEVEL = 273
_SEND_NUMBERS, _IS_LNS, _REORDER = 3, 4, 5
_GET_FIGURES = 0x80487436
_FIGURES = Struct("=HHI8Q")
# The octets of L2TP's and PPP's headers without optional fields.
_HEADERS = 10


def _address(ends: SessionIDs, descriptor: int, peer: Address) -> bytes:
    host, port = socket.inet_aton(peer[0]), peer[1].to_bytes(2, "big")
    ids = ends.tunnel, ends.call, ends.peerTunnel, ends.peerCall
    return _ADDRESS.pack(FAMILY, L2TP, 0, descriptor, socket.AF_INET, port, host, *ids)


@implementer(IL2TPTransport)
class KernelSession:
    """
    The socket of one call. See L{IL2TPTransport}.
    """

    compresses = False

    def __init__(
        self,
        carriage: Carriage,
        descriptor: int,
        mayEncrypt: bool,
        receive: Callable[[int, bytes], None],
        released: Callable[[], object],
    ) -> None:
        """
        @param descriptor: the UDP socket.
        @param mayEncrypt: whether the call may have MPPE.
        @param receive: see L{pptpgw.interfaces.IKernelCall.openTransport}.
        @param released: called when the socket is closed, in any thread.
        @raise pptpgw.error.NotPermitted: the kernel has no L2TP.
        @raise OSError: the kernel refuses.
        """
        self.setACCM = carriage.tellACCM
        self._mayEncrypt = mayEncrypt
        self._receive = receive
        self._released = released
        self._socket = openPPPoX(L2TP)
        try:
            connect(self._socket, _address(carriage.ends, descriptor, carriage.connection.peer))
            # The LNS alone decides whether there are sequence numbers.
            self._socket.setsockopt(_LEVEL, _IS_LNS, not carriage.isLAC)
            self._socket.setsockopt(_LEVEL, _REORDER, REORDER)
            self.channel = channelOf(self._socket)
        except OSError:
            self._socket.close()
            raise

    @property
    def framesReceived(self) -> int:
        """
        See L{IL2TPTransport.framesReceived}.
        """
        figures = self.figures
        return 0 if figures is None else figures.framesReceived

    @property
    def figures(self) -> KernelFigures | None:
        """
        See L{pptpgw.interfaces.IKernelTransport.figures}. The kernel counts the octets of whole
        messages; their headers are taken to be as long as ours.
        """
        try:
            answer = fcntl.ioctl(self._socket, _GET_FIGURES, bytes(_FIGURES.size))
        except (OSError, ValueError):
            return None
        _, _, _, sent, octetsSent, _, received, octets, *_ = _FIGURES.unpack(answer)
        return KernelFigures(
            received,
            max(0, octets - received * _HEADERS),
            sent,
            max(0, octetsSent - sent * _HEADERS),
        )

    def numbered(self) -> None:
        """
        See L{IL2TPTransport.numbered}.
        """
        with suppress(OSError):
            # Somebody else may have removed the tunnel from the kernel: then nothing passes.
            self._socket.setsockopt(_LEVEL, _SEND_NUMBERS, 1)

    def received(self, frame: bytes, sequence: int = -1) -> None:
        """
        Take a frame that the kernel left, or that came before the kernel carried the call.
        """
        try:
            protocol, information = decodeFrame(frame)
        except Malformed:
            protocol, information = 0, frame
        self._receive(protocol, information)

    def receivedAll(self, frames: Sequence[bytes]) -> None:
        """
        Take frames as L{received} does.
        """
        for frame in frames:
            self.received(frame)

    def requireEncryption(self) -> None:
        """
        See L{pptpgw.interfaces.IKernelTransport.requireEncryption}. That is left to the filter of
        the device.

        @raise NotPermitted: the call may not have MPPE here.
        """
        if not self._mayEncrypt:
            raise NotPermitted(UNSAFE)

    def close(self) -> None:
        """
        See L{pptpgw.interfaces.IKernelTransport.close}.
        """
        self._socket.close()
        self._released()


@implementer(IReadDescriptor)
class KernelTunnel:
    """
    A control connection as the kernel knows it.

    @ivar tunnelID: the id that we assigned to the control connection.
    @ivar calls: our ids of the calls that the kernel carries.
    @ivar hasEnded: whether the control connection has ended.
    """

    def __init__(
        self,
        reactor: Any,
        carriage: Carriage,
        opened: socket.socket,
        read: Callable[[socket.socket], object],
    ) -> None:
        """
        @param carriage: that of the first call.
        @param opened: the UDP socket, which is closed with this object.
        @param read: reads what has arrived by that socket.
        @raise pptpgw.error.NotPermitted: the kernel has no L2TP.
        @raise OSError: the kernel refuses.
        """
        self.tunnelID = carriage.ends.tunnel
        self.calls: set[int] = set()
        self.hasEnded = False
        self._reactor = reactor
        self._udp = opened
        self._read = read
        self._management = openPPPoX(L2TP)
        try:
            itself = carriage.ends._replace(call=0, peerCall=0)
            connect(self._management, _address(itself, opened.fileno(), carriage.connection.peer))
        except OSError:
            self._management.close()
            raise
        reactor.addReader(self)

    def open(
        self,
        carriage: Carriage,
        mayEncrypt: bool,
        receive: Callable[[int, bytes], None],
        released: Callable[[], object],
    ) -> KernelSession:
        """
        Have the kernel carry the frames of a call: see L{KernelSession}.
        """
        session = KernelSession(carriage, self.fileno(), mayEncrypt, receive, released)
        self.calls.add(carriage.ends.call)
        return session

    def close(self) -> None:
        """
        Close the sockets, after those of all calls.
        """
        self._reactor.removeReader(self)
        self._read(self._udp)
        self._management.close()
        self._udp.close()

    # IReadDescriptor

    def fileno(self) -> int:
        """
        See L{twisted.internet.interfaces.IFileDescriptor.fileno}.
        """
        return self._udp.fileno()

    def logPrefix(self) -> str:
        """
        See L{twisted.internet.interfaces.ILoggingContext.logPrefix}.
        """
        return "L2TP"

    def doRead(self) -> None:
        """
        Read what the kernel has left.
        """
        self._read(self._udp)

    def connectionLost(self, reason: Failure) -> None:
        """
        Go on after an ICMP error from the peer's host, for which the reactor gives up the socket.
        """
        self._reactor.removeReader(self)
        if self._udp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._reactor.addReader(self)


class KernelTunnels:
    """
    The control connections of one port that the kernel knows.
    """

    def __init__(
        self,
        reactor: Any,
        openUDP: Callable[[str, Address], socket.socket],
        read: Callable[[socket.socket], object],
    ) -> None:
        """
        @param openUDP: opens a UDP socket at the port's number and at the local address that is
            given, which is connected to a peer.
        @param read: reads what has arrived by such a socket.
        """
        self._reactor = reactor
        self._openUDP = openUDP
        self._read = read
        self._tunnels: dict[Address, KernelTunnel] = {}

    def __bool__(self) -> bool:
        return bool(self._tunnels)

    def carries(self, peer: Address, callID: int) -> bool:
        """
        Return whether data messages from C{peer} with our id C{callID} are the kernel's.
        """
        tunnel = self._tunnels.get(peer)
        return tunnel is not None and callID in tunnel.calls

    def open(
        self,
        carriage: Carriage,
        mayEncrypt: bool,
        receive: Callable[[int, bytes], None],
        released: Callable[[], object],
    ) -> KernelSession:
        """
        Have the kernel carry the frames of a call.

        @param mayEncrypt: whether the call may have MPPE.
        @param released: called when the kernel doesn't carry them any more.
        @raise CallError: the kernel carries calls of another control connection with this peer.
        @raise pptpgw.error.NotPermitted: the kernel has no L2TP.
        @raise OSError: the kernel refuses.
        """
        peer = carriage.connection.peer
        tunnel = self._tunnels.get(peer)
        if tunnel is None:
            tunnel = self._tunnels[peer] = self._make(carriage)
        elif tunnel.tunnelID != carriage.ends.tunnel or tunnel.hasEnded:
            raise CallError(f"the kernel carries another control connection with {peer[0]}")
        later, ended = self._reactor.callFromThread, (peer, carriage.ends.call, released)
        over = partial(later, self._released, *ended)
        return tunnel.open(carriage, mayEncrypt, receive, over)

    def ended(self, peer: Address, tunnelID: int) -> None:
        """
        Note that a control connection has ended. The sockets of its calls may still be open.
        """
        tunnel = self._tunnels.get(peer)
        if tunnel is not None and tunnel.tunnelID == tunnelID:
            tunnel.hasEnded = True
            self._rest(peer)

    def stop(self) -> None:
        """
        Close the sockets of all peers, by which the kernel carried their calls.
        """
        tunnels, self._tunnels = self._tunnels, {}
        for tunnel in tunnels.values():
            tunnel.close()

    def _make(self, carriage: Carriage) -> KernelTunnel:
        opened = self._openUDP(carriage.connection.localAddress, carriage.connection.peer)
        try:
            return KernelTunnel(self._reactor, carriage, opened, self._read)
        except BaseException:
            opened.close()
            raise

    def _released(self, peer: Address, callID: int, released: Callable[[], object]) -> None:
        released()
        tunnel = self._tunnels.get(peer)
        if tunnel is not None:
            tunnel.calls.discard(callID)
            self._rest(peer)

    def _rest(self, peer: Address) -> None:
        """
        Close the sockets of a control connection that has ended, after those of its calls.
        """
        tunnel = self._tunnels[peer]
        if tunnel.hasEnded and not tunnel.calls:
            del self._tunnels[peer]
            tunnel.close()
