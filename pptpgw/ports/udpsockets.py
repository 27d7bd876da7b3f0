"""
UDP sockets of one local port. Several share it (C{SO_REUSEPORT}): each gets the datagrams of some
peers, always the same.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import cache

from pptpgw.ports import bpf
from pptpgw.ports.bpf import Assembled
from pptpgw.ports.buffers import enlarge
from pptpgw.ports.descriptors import putSocket

IP_PKTINFO, UDP_GRO = 8, 104
"""
Linux's socket options that the module socket doesn't have: for the local address of each datagram,
and for datagrams of one peer as one message.
"""

_ATTACH_REUSEPORT = 51
# Where a program finds the IP header, behind whose end it begins.
_IP = 0xFFF00000
_SOURCE = 12


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


def openUDP(address: str, number: int, buffer: int, joins: bool = False) -> socket.socket:
    """
    Open a socket that doesn't block.

    @param address: the local address, dotted; empty for every address, which each datagram then
        comes with (C{IP_PKTINFO}).
    @param number: the local port; 0 for one that the system chooses.
    @param buffer: the octets that the kernel may queue in each direction.
    @param joins: whether other sockets share the port, so that this one may too.
    @raise OSError: the address isn't one of this machine, or another program has the port.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        enlarge(opened, buffer)
        if not address:
            opened.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        if joins:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind((address, number))
    except OSError:
        opened.close()
        raise
    return opened


def shareUDP(first: socket.socket, address: str, count: int, buffer: int) -> list[socket.socket]:
    """
    Open more sockets that share the port of C{first}, and have the kernel join datagrams of one
    peer where they are read. No program of another user can share the port, and none that demands
    it for itself can open it.

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
                others.append(openUDP(address, number, buffer, joins=True))
            argument = _share(count).argument
            first.setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT, argument)
        for one in (first, *others):
            one.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
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
    first.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 0)


def renewUDP(
    sockets: Sequence[socket.socket],
    address: str,
    number: int,
    buffer: int,
    released: Callable[[], object] | None,
) -> None:
    """
    Replace sockets by new ones with the same descriptors.

    @param released: called when the descriptors are of sockets without a port, to wait until nobody
        waits for the former sockets any more; None if these don't share a port by L{shareUDP}.
    @raise OSError: that failed; they are so then.
    """
    # The kernel numbers the sockets of a port in the order in which they were opened.
    for one in sockets:
        putSocket(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), one.fileno())
    if released is not None:
        released()
    first = openUDP(address, number, buffer)
    opened = [first]
    if released is not None:
        try:
            opened += shareUDP(first, address, len(sockets), buffer)
        except OSError:
            first.close()
            raise
    for new, one in zip(opened, sockets, strict=True):
        putSocket(new, one.fileno())
