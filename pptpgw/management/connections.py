"""
A limit on connections to the management interface, so that strangers can't take all files that the
process may open. The Unix socket has none.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.python.failure import Failure

MOST_CONNECTIONS = 256
MOST_OF_SOURCE = 64


class Connections:
    """
    The connections by TCP and TLS that are open, by the addresses at their other ends.
    """

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._open.total()

    def admits(self, address: Any) -> bool:
        """
        Return whether there may be one more connection from C{address}.
        """
        if not isinstance(address, IPv4Address | IPv6Address):
            return True
        return len(self) < MOST_CONNECTIONS and self._open[address.host] < MOST_OF_SOURCE

    def count(self, address: Any, protocol: Any) -> None:
        """
        Count a connection from C{address} until C{protocol} loses it.
        """
        if not isinstance(address, IPv4Address | IPv6Address):
            return
        host, lost = address.host, protocol.connectionLost
        self._open[host] += 1

        def connectionLost(reason: Failure) -> None:
            self._open[host] -= 1
            if not self._open[host]:
                del self._open[host]
            lost(reason)

        protocol.connectionLost = connectionLost
