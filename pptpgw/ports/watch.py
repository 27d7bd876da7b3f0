"""
Watching the kernel's announcements of changes to devices, addresses, routes and nftables' tables,
to notice when another program takes away what the gateway made.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.log import Logger
from pptpgw.ports.netlink import messages

ROUTE_GROUPS = (1, 5, 7, 9, 11)
"""
rtnetlink's groups for devices, IPv4 addresses, IPv4 routes, IPv6 addresses and IPv6 routes.
"""

LINK_GROUPS = ROUTE_GROUPS[:1]

NETFILTER = 12
TABLE_GROUPS = (7,)
"""
The groups of netfilter's netlink protocol that are joined: the one of nftables.
"""

BATCH = 128
"""
The most announcements that are read in one turn of the reactor.
"""

# From linux/netlink.h.
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1

Announced = Callable[[int, int, bytes], str]
"""
A function that judges an announcement. Its parameters are the type of the message, the netlink port
of the program that made the change, and the body. It returns in words what was taken away, or an
empty text.
"""


@implementer(IReadDescriptor)
class Watch:
    """
    A socket that joins groups of a netlink protocol and reads their announcements.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        announced: Announced,
        lost: Callable[[str], object],
        groups: Sequence[int] = ROUTE_GROUPS,
        protocol: int = socket.NETLINK_ROUTE,
    ) -> None:
        """
        @param announced: judges each message.
        @param lost: called with what C{announced} returned, unless that is empty; and when messages
            were lost, with words for that.
        @param groups: the numbers of the groups.
        @param protocol: the netlink protocol.
        """
        self._reactor = reactor
        self._announced = announced
        self._lost = lost
        self._groups = groups
        self._protocol = protocol
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """
        Open the socket and read announcements from now on. Calling this again does nothing.
        """
        if self._socket is not None:
            return
        try:
            opened = self._open()
        except OSError as error:
            # If the kernel lacks this part of it, nothing of ours can be taken away there.
            self._log.warn(
                "changes by other programs won't be noticed, as the kernel can't announce them: "
                "{error}",
                error=error.strerror,
            )
            return
        self._socket = opened
        self._reactor.addReader(self)

    def _open(self) -> socket.socket:
        flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        opened = socket.socket(socket.AF_NETLINK, flags, self._protocol)
        try:
            opened.bind((0, 0))
            for group in self._groups:
                opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except OSError:
            opened.close()
            raise
        return opened

    def stop(self) -> None:
        """
        Close the socket. Calling this again does nothing.
        """
        opened, self._socket = self._socket, None
        if opened is not None:
            self._reactor.removeReader(self)
            opened.close()

    def fileno(self) -> int:
        """
        See L{twisted.internet.interfaces.IFileDescriptor.fileno}.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        See L{twisted.internet.interfaces.ILoggingContext.logPrefix}.
        """
        return "netlink"

    def connectionLost(self, reason: Failure) -> None:
        """
        Open another socket, because the reactor gave the descriptor up. The reactor does so when it
        stops, too.
        """
        if self._socket is not None:
            self.stop()
            self.start()
            self._lost("the kernel's announcements were interrupted")

    def doRead(self) -> None:
        """
        Read announcements, up to L{BATCH}, and report what was taken away.
        """
        for _ in range(BATCH):
            if self._socket is None:
                return
            try:
                octets = self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError as error:
                # The socket's queue overflowed; the lost announcements may have been about our
                # things.
                name = errno.errorcode.get(error.errno or 0, "unknown")
                self._lost(f"announcements of the kernel were lost ({name})")
                return
            for kind, sender, body in messages(octets):
                lost = self._announced(kind, sender, body)
                if lost:
                    self._lost(lost)
