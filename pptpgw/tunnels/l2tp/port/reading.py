"""
Reading the datagrams of a port, from a UDP socket or as threads of the data path leave them, and
what each one belongs to.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from struct import Struct

from pptpgw.ports.udpsockets import IP_PKTINFO, UDP_GRO
from pptpgw.tunnels.l2tp.carriage import Address

LARGEST = 65535
"""
The most octets that are read at once: a datagram, or several that the kernel has joined.
"""

CONTROL, SHORT = 1 << 32, -1
"""
What is added to the tunnel id of a control message, and what stands for a datagram that is too
short for one: see L{keyOf}.
"""

PLAIN, PLAIN_OCTETS = 0x02, 6
"""
The flags of data messages without optional fields, and the length of their header.
"""

Ancillary = list[tuple[int, int, bytes]]

Read = tuple[Sequence[bytes], Address, Ancillary]
"""
Datagrams of one peer, the peer, and the ancillary data of all.
"""

# The ids of a call, in a data message without and with a length field.
_FIRST, _LATER = Struct("!2xI"), Struct("!4xI")
# The headers of IP and UDP that threads leave datagrams with, and what is in them: the peer's
# address, the local one, and the peer's port.
_HEADERS, _ENDS = 28, Struct("!12x4s4sH")
_SIZE = Struct("=i")


def fromSocket(opened: socket.socket) -> Read:
    """
    Read from a UDP socket what the kernel has as one message.

    @raise OSError: nothing waits, or the system refuses.
    """
    octets, ancillary, _, peer = opened.recvmsg(LARGEST, 64)
    for level, kind, value in ancillary:
        if kind == UDP_GRO and level == socket.IPPROTO_UDP:
            size = _SIZE.unpack(value)[0]
            parts = range(0, len(octets), size)
            return [octets[begin : begin + size] for begin in parts], peer, ancillary
    return (octets,), peer, ancillary


def fromThreads(opened: socket.socket) -> Read:
    """
    Read a datagram that threads have left, behind headers of IP and UDP.

    @raise OSError: nothing waits.
    """
    octets = opened.recv(LARGEST + _HEADERS)
    source, local, port = _ENDS.unpack_from(octets)
    ancillary = pktinfo(socket.inet_ntoa(local))
    return (octets[_HEADERS:],), (socket.inet_ntoa(source), port), ancillary


def pktinfo(localAddress: str) -> Ancillary:
    """
    Return the ancillary data that give a datagram its source address; none for every address.
    """
    if localAddress in ("", "0.0.0.0"):
        return []
    source = socket.inet_aton(localAddress)
    return [(socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + source + bytes(4))]


def localOf(ancillary: Ancillary) -> str:
    """
    Return the local address that a datagram was sent to, dotted; empty if it isn't known.
    """
    for level, kind, value in ancillary:
        if kind == IP_PKTINFO and level == socket.IPPROTO_IP:
            return socket.inet_ntoa(value[4:8])
    return ""


def keyOf(octets: bytes) -> int:
    """
    Return the number by which the call, or the connection, of a datagram is found; L{SHORT} if it
    is too short for one.
    """
    if len(octets) < PLAIN_OCTETS + 2 * (octets[:1] >= b"\x40"):
        return SHORT
    first = octets[0]
    if first >= 0x80:
        return CONTROL | octets[4] << 8 | octets[5]
    found: int = (_LATER if first & 0x40 else _FIRST).unpack_from(octets)[0]
    return found
