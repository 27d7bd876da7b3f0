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
from enum import Enum
from typing import Generic, TypeVar

from pptpgw.config.section import ListenSection
from pptpgw.sessions.places import Known, Places


class Limit(Enum):
    """
    The limits of a door, by their keys in C{[listen]}.
    """

    ALL = "max-connections"
    HOST = "max-connections-per-host"
    SILENT = "max-silent-connections"

    def reason(self, noun: str) -> str:
        """
        Return why a connection is refused when this limit is reached, for the log and the counters.

        @param noun: the tunnel's word for a connection.
        """
        return f"too many {noun}s{_WHICH[self]}"


_WHICH = {
    Limit.ALL: "",
    Limit.HOST: " from one host",
    Limit.SILENT: " without a message",
}

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
        listen: Callable[[], ListenSection],
    ) -> None:
        """
        @param seconds: returns the monotonic time, in seconds.
        @param known: the addresses for which half of the places are kept.
        @param isProven: returns whether a connection has, or had, a caller that has authenticated.
        @param listen: returns the section C{[listen]} in force, which has the limits.
        """
        self._listen = listen
        self._hosts: Counter[str] = Counter()
        self._connections: dict[C, str] = {}
        self._unproven: Places[C] = Places(seconds, known, isProven)
        self._silent: Places[C] = Places(seconds, known)

    def refusal(self, host: str) -> tuple[Limit | None, C | None]:
        """
        Find out whether there is room for a connection from C{host}.

        @return: the limit for which it must be refused, or None; and the connection that must be
            closed for it, if any. L{closed} need not be called for that one.
        """
        listen = self._listen()
        most, silent = listen.maxConnections, listen.maxSilentConnections
        if self._hosts[host] >= listen.maxConnectionsPerHost:
            return Limit.HOST, None
        if len(self._silent) >= silent:
            limit, found = Limit.SILENT, self._silent.displace(host, silent)
        elif len(self._connections) >= most:
            limit, found = Limit.ALL, self._unproven.displace(host, most)
        else:
            return None, None
        if found is None:
            return limit, None
        self.closed(found)
        return None, found

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
