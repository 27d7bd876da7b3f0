"""
UDP sockets of one local port. Several may share it (C{SO_REUSEPORT}): each gets the datagrams of
some peers, always the same. Datagrams of one size to one peer leave by one system call
(C{UDP_SEGMENT}).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from functools import cache
from struct import Struct

from pptpgw.ports import bpf
from pptpgw.ports.bpf import Assembled
from pptpgw.ports.buffers import enlarge
from pptpgw.ports.descriptors import putSocket

IP_PKTINFO, UDP_SEGMENT, UDP_GRO = 8, 103, 104
"""
Linux's socket options that the module socket doesn't have: for the local address of each datagram,
for a message that becomes several datagrams, and for datagrams of one peer as one message.
"""

PARTS, OCTETS = 64, 65000
"""
The most datagrams and octets of one message, as C{datagram.h} of the native data path has them.
"""

APART = 10.0
"""
Seconds for which datagrams are sent one by one after the system refused to make them of one
message, as it does if they are larger than the MTU or meet IPsec.
"""

Ancillary = Sequence[tuple[int, int, bytes]]
"""
Ancillary data of a message.
"""

_ATTACH_REUSEPORT = 51
# Where a program finds the IP header, behind whose end it begins.
_IP = 0xFFF00000
_SOURCE = 12
_SIZE = Struct("=H")
_REFUSED = (errno.EIO, errno.EINVAL, errno.EMSGSIZE)


@cache
def _share(count: int) -> Assembled:
    """
    Return a program that says which one of C{count} sockets a datagram is for: the two halves of
    the peer's address and its port are added, as C{session.c} of the native data path does it.
    """
    return Assembled(
        (
            bpf.half(_IP + _SOURCE + 2),
            bpf.toX(),
            bpf.half(_IP + _SOURCE),
            bpf.addX(),
            bpf.store(0),
            bpf.byte(_IP),
            bpf.both(0x0F),
            bpf.left(2),
            bpf.toX(),
            bpf.halfAtX(_IP),
            bpf.toX(),
            bpf.recall(0),
            bpf.addX(),
            bpf.modulo(count),
            bpf.resultA(),
        )
    )


def openUDP(
    address: str, number: int, buffer: int, shares: bool = False, joined: bool = False
) -> socket.socket:
    """
    Open a socket that doesn't block.

    @param address: the local address, dotted; empty for every address, which each datagram then
        comes with (C{IP_PKTINFO}).
    @param number: the local port; 0 for one that the system chooses.
    @param buffer: the octets that the kernel may queue in each direction.
    @param shares: whether other sockets share the port, so that this one may too.
    @param joined: whether datagrams of one peer that follow each other are read as one message,
        which a kernel before Linux 5.0 doesn't have.
    @raise OSError: the address isn't one of this machine, or another program has the port.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        enlarge(opened, buffer)
        if not address:
            opened.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        if shares:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if joined:
            _join(opened)
        opened.bind((address, number))
    except OSError:
        opened.close()
        raise
    return opened


def _join(opened: socket.socket) -> None:
    try:
        opened.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise


def shareUDP(first: socket.socket, address: str, count: int, buffer: int) -> list[socket.socket]:
    """
    Open more sockets that share the port of C{first}. From these, and it should be so with
    C{first}, datagrams are read joined. No program of another user can share the port, and none
    that demands it for itself can open it.

    @param count: how many sockets there are then.
    @return: those after the first one.
    @raise OSError: there can't be more. The first one is as it was.
    """
    others: list[socket.socket] = []
    try:
        if count > 1:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            number = first.getsockname()[1]
            while len(others) < count - 1:
                others.append(openUDP(address, number, buffer, shares=True, joined=True))
            argument = _share(count).argument
            first.setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT, argument)
    except OSError:
        unshareUDP((first, *others))
        raise
    return others


def unshareUDP(sockets: Sequence[socket.socket]) -> None:
    """
    Undo L{shareUDP}, given all sockets: close those after the first one.
    """
    first, *others = sockets
    for one in others:
        one.close()
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def renewUDP(
    sockets: Sequence[socket.socket],
    address: str,
    number: int,
    buffer: int,
    released: Callable[[], object] | None,
) -> None:
    """
    Replace sockets by new ones with the same descriptors, from which datagrams are read joined.

    @param released: called when the descriptors are of sockets without a port, to wait until nobody
        waits for the former sockets any more; None if these don't share a port by L{shareUDP}.
    @raise OSError: that failed; they are so then.
    """
    # The kernel numbers the sockets of a port in the order in which they were opened.
    for one in sockets:
        putSocket(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), one.fileno())
    if released is not None:
        released()
    first = openUDP(address, number, buffer, joined=True)
    opened = [first]
    if released is not None:
        try:
            opened += shareUDP(first, address, len(sockets), buffer)
        except OSError:
            first.close()
            raise
    for new, one in zip(opened, sockets, strict=True):
        putSocket(new, one.fileno())


class DatagramWriter:
    """
    Sends datagrams to one peer.
    """

    def __init__(
        self,
        opened: socket.socket,
        ancillary: Ancillary,
        peer: tuple[str, int],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param ancillary: ancillary data of each datagram.
        @param seconds: returns the monotonic time, in seconds.
        """
        self._sendmsg = opened.sendmsg
        self._ancillary = list(ancillary)
        self._peer = peer
        self._seconds = seconds
        # Until when datagrams are sent one by one.
        self._apart = 0.0

    def write(self, octets: bytes) -> None:
        """
        Send a datagram.

        @raise OSError: the system refuses.
        """
        self._sendmsg((octets,), self._ancillary, 0, self._peer)

    def writeAll(self, datagrams: Sequence[bytes]) -> list[tuple[int, OSError]]:
        """
        Send datagrams, those of one size that follow each other at once. The last one of these may
        be smaller.

        @return: the places and errors of those that the system refused.
        """
        failed: list[tuple[int, OSError]] = []
        begin = 0
        while begin < len(datagrams):
            end = begin + 1
            if self._seconds() >= self._apart:
                end = _ending(datagrams, begin)
            try:
                self._send(datagrams[begin:end])
            except OSError as error:
                if end - begin > 1 and error.errno in _REFUSED:
                    self._apart = self._seconds() + APART
                    continue
                failed += [(place, error) for place in range(begin, end)]
            begin = end
        return failed

    def _send(self, parts: Sequence[bytes]) -> None:
        ancillary = self._ancillary
        if len(parts) > 1:
            size = _SIZE.pack(len(parts[0]))
            ancillary = [*ancillary, (socket.IPPROTO_UDP, UDP_SEGMENT, size)]
        self._sendmsg(parts, ancillary, 0, self._peer)


def _ending(datagrams: Sequence[bytes], begin: int) -> int:
    """
    Return the place after the last datagram that fits into one message with the one at C{begin}.
    """
    size = len(datagrams[begin])
    if not size:
        return begin + 1
    most = min(len(datagrams), begin + PARTS, begin + max(1, OCTETS // size))
    for place in range(begin + 1, most):
        following = len(datagrams[place])
        if following != size:
            return place + (0 < following < size)
    return most
