"""
The limits on the connections of a tunnel, by which calls come.

The rules:

 - Connections are counted in all and from each address. Silent connections, which haven't sent a
   whole message yet, are also counted separately.
 - When there are too many in all, a new connection displaces one on which no caller has
   authenticated; when there are too many silent ones, it displaces a silent one. The rules of
   L{pptpgw.sessions.places} say which one, or that the new connection is refused.

L{Door} only counts; its user closes the connection that must go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

from pptpgw.sessions.places import Known, Places

TOO_MANY = "too many control connections"
TOO_MANY_FROM_ONE = "too many control connections from one host"
TOO_MANY_SILENT = "too many control connections without a message"

C = TypeVar("C")
"""
The type that represents a connection.
"""


class Door(Generic[C]):
    """
    Counts the open connections of a tunnel.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        known: Known,
        isProven: Callable[[C], bool],
        maxConnections: int,
        maxPerHost: int,
        maxSilent: int,
    ) -> None:
        """
        @param seconds: returns the monotonic time, in seconds.
        @param known: the addresses for which half of the places are kept.
        @param isProven: returns whether a connection has, or had, a caller that has authenticated.
        """
        self._maxConnections = maxConnections
        self._maxPerHost = maxPerHost
        self._maxSilent = maxSilent
        self._hosts: Counter[str] = Counter()
        self._connections: dict[C, str] = {}
        self._unproven: Places[C] = Places(seconds, known, isProven)
        self._silent: Places[C] = Places(seconds, known)

    def refusal(self, host: str) -> tuple[str, C | None]:
        """
        Find out whether there is room for a connection from C{host}.

        @return: why it must be refused, or an empty text; and the connection that must be closed
            for it, if any. L{closed} need not be called for that one.
        """
        if self._hosts[host] >= self._maxPerHost:
            return TOO_MANY_FROM_ONE, None
        if len(self._silent) >= self._maxSilent:
            reason, found = TOO_MANY_SILENT, self._silent.displace(host, self._maxSilent)
        elif len(self._connections) >= self._maxConnections:
            reason, found = TOO_MANY, self._unproven.displace(host, self._maxConnections)
        else:
            return "", None
        if found is None:
            return reason, None
        self.closed(found)
        return "", found

    def opened(self, connection: C, host: str) -> None:
        """
        Count a new connection from C{host}.
        """
        self._connections[connection] = host
        self._hosts[host] += 1
        self._unproven.add(connection, host)
        self._silent.add(connection, host)

    def heard(self, connection: C) -> None:
        """
        Count C{connection}, which has sent a whole message, as silent no longer. Calling this again
        does nothing.
        """
        self._silent.remove(connection)

    def closed(self, connection: C) -> None:
        """
        Forget C{connection}, which is closed. Calling this again does nothing.
        """
        host = self._connections.pop(connection, None)
        if host is not None:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
            self._unproven.remove(connection)
            self._silent.remove(connection)
