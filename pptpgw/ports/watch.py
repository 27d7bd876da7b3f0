"""
What the kernel announces of changes to devices, addresses, routes and nftables' tables: whoever
made something there hears when somebody else takes it away.
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
from pptpgw.ports.rtnetlink import messages

ROUTE_GROUPS = (1, 5, 7, 9, 11)
"""
rtnetlink's groups for devices, IPv4 addresses, IPv4 routes, IPv6 addresses and IPv6 routes.
"""

LINK_GROUPS = ROUTE_GROUPS[:1]

NETFILTER = 12
TABLE_GROUPS = (7,)
"""
The protocol of netfilter, and its group for nftables.
"""

BATCH = 128
"""
Announcements that are read in one turn, at most.
"""

# From linux/netlink.h.
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1

Announced = Callable[[int, int, bytes], str]
"""
Takes the type of a message, who asked for the change, and what follows the header; what it says
was taken from whoever watches, in words, or nothing.
"""


@implementer(IReadDescriptor)
class Watch:
    """
    One socket that joins groups of a netlink protocol.
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
        @param lost: called with what it says; and where messages were lost, which may have said
            anything.
        """
        self._reactor = reactor
        self._announced = announced
        self._lost = lost
        self._groups = groups
        self._protocol = protocol
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """
        Open the socket and read from it what is announced from now on; harmless the second time.
        """
        if self._socket is not None:
            return
        opened = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            self._protocol,
        )
        try:
            opened.bind((0, 0))
            for group in self._groups:
                opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except OSError as error:
            opened.close()
            # Without this part of the kernel there is nothing of ours in it that could be taken.
            self._log.warn(
                "changes by others aren't noticed, as the kernel tells nobody of them: {error}",
                error=error.strerror,
            )
            return
        self._socket = opened
        self._reactor.addReader(self)

    def stop(self) -> None:
        """
        Close it; harmless the second time.
        """
        opened, self._socket = self._socket, None
        if opened is not None:
            self._reactor.removeReader(self)
            opened.close()

    def fileno(self) -> int:
        """
        For the reactor.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        For the reactor.
        """
        return "netlink"

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor gave the descriptor up, or is stopping: open another.
        """
        if self._socket is not None:
            self.stop()
            self.start()
            self._lost("the kernel's announcements were interrupted")

    def doRead(self) -> None:
        """
        Read what was announced.
        """
        for _ in range(BATCH):
            if self._socket is None:
                return
            try:
                octets = self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError as error:
                # More was announced than there was room for, and any of it may concern us.
                name = errno.errorcode.get(error.errno or 0, "unknown")
                self._lost(f"announcements of the kernel were lost ({name})")
                return
            for kind, sender, body in messages(octets):
                lost = self._announced(kind, sender, body)
                if lost:
                    self._lost(lost)
