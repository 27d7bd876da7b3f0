"""
The packets by which hosts ask the router of their link, and by which a router answers: Router
Solicitations and Advertisements (RFC 4861), and DHCPv6 messages. The kernel answers everything else
that concerns a link alone.

One packet socket receives them from all devices, and passes each to the router or host of its
device. The filter of a device lets only those of the other end's role in
(L{pptpgw.datapath.kernel.passing}).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pptpgw.networks.wire.ip import (
    DHCPV6_CLIENT,
    DHCPV6_SERVER,
    ICMPV6,
    IPV6_HEADER,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
    UDP,
)
from pptpgw.ports import bpf
from pptpgw.ports.bpf import Assembled
from pptpgw.ports.reader import Reader

BATCH = 32
"""
The most packets that are read in one turn of the reactor.
"""

READ_SIZE = 65536

_ETHERTYPE = 0x86DD
# From linux/filter.h and linux/if_arp.h: where a program finds out in which direction a packet
# goes, and what kind of device it is on; and the values for packets that are sent, and for PPP.
_DIRECTION, _KIND = 0xFFFFF000 + 4, 0xFFFFF000 + 28
_SENT, _PPP = 4, 512

ASKING = Assembled(
    (
        bpf.word(_DIRECTION),
        bpf.equal(_SENT, yes="drop"),
        bpf.word(_KIND),
        bpf.equal(_PPP, no="drop"),
        bpf.byte(6),
        bpf.equal(UDP, yes="udp"),
        bpf.equal(ICMPV6, no="drop"),
        bpf.byte(IPV6_HEADER),
        bpf.equal(ROUTER_SOLICITATION, yes="keep"),
        bpf.equal(ROUTER_ADVERTISEMENT, yes="keep", no="drop"),
        bpf.here("udp"),
        bpf.half(IPV6_HEADER + 2),
        bpf.equal(DHCPV6_SERVER, yes="keep"),
        bpf.equal(DHCPV6_CLIENT, no="drop"),
        bpf.here("keep"),
        bpf.result(bpf.KEEP),
        bpf.here("drop"),
        bpf.result(bpf.DROP),
    )
)
"""
Of IPv6 packets that PPP devices receive those are kept that ask a router, or answer a host.
"""

Receive = Callable[[bytes], object]


def openSocket() -> socket.socket:
    """
    Open a socket for L{ASKING}.

    @raise OSError: the process lacks CAP_NET_RAW, or the kernel has no packet sockets.
    """
    made = socket.socket(
        socket.AF_PACKET,
        socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
        socket.htons(_ETHERTYPE),
    )
    try:
        bpf.NOTHING.attach(made)
        # What came before is read and dropped.
        with suppress(BlockingIOError):
            while True:
                made.recv(1)
        ASKING.attach(made)
    except OSError:
        made.close()
        raise
    return made


class LocalPackets(Reader):
    """
    The socket, and the routers by their devices. It is open while there is a router.
    """

    kind = "IPv6 of links"

    def __init__(
        self,
        reactor: Any,
        connect: Callable[[], socket.socket] = openSocket,
        indexOf: Callable[[str], int] = socket.if_nametoindex,
    ) -> None:
        """
        @param connect: opens the socket.
        @param indexOf: returns the number of the device with a name, or raises OSError.
        """
        super().__init__(reactor)
        self._connect = connect
        self._indexOf = indexOf
        self._socket: socket.socket | None = None
        self._routers: dict[int, Receive] = {}

    def add(self, index: int, receive: Receive) -> None:
        """
        Call C{receive} with each packet of the device with the number C{index}.

        @raise OSError: the socket can't be opened.
        """
        if self._socket is None:
            self._socket = self._connect()
            self._reactor.addReader(self)
        self._routers[index] = receive

    def remove(self, index: int) -> None:
        """
        Undo L{add}, if it was called.
        """
        self._routers.pop(index, None)
        if not self._routers and self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None

    def fileno(self) -> int:
        """
        See L{twisted.internet.interfaces.IFileDescriptor.fileno}.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def doRead(self) -> None:
        """
        Read packets, up to L{BATCH}, and pass them to their routers.
        """
        for _ in range(BATCH):
            # A router may have been the last one.
            if self._socket is None:
                return
            try:
                packet, address = self._socket.recvfrom(READ_SIZE)
                index = self._indexOf(address[0])
            except BlockingIOError:
                return
            except OSError:
                # A device went down or was removed.
                continue
            receive = self._routers.get(index)
            if receive is not None:
                receive(packet)
