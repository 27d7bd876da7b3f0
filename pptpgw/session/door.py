"""
Who may connect: how many control connections there may be at a time.

The rules:

 - Connections are counted in all, from each address, and, as long as they have sent no whole
   message, apart.
 - Where there are too many in all, the newest gets the place of a connection on which no caller has
   proven who it is; where there are too many silent ones, that of a silent one. The rules of
   L{pptpgw.session.places} say which, or that the newest is refused.

L{Door} only counts: the connection that must go is closed by whoever asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

from pptpgw.session.places import Known, Places

TOO_MANY = "too many control connections"
TOO_MANY_FROM_ONE = "too many control connections from one host"
TOO_MANY_SILENT = "too many control connections without a message"

C = TypeVar("C")
"""
A connection, whatever stands for it.
"""


class Door(Generic[C]):
    """
    The connections of now, counted.
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
        @param seconds: the time, for durations.
        @param known: the addresses whose connections' places are kept.
        @param isProven: whether one has, or had, a caller who has proven who it is.
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
        Why one more from C{host} can't be let in, empty where it can; and the connection that must
        be closed for it, if any. L{closed} need not be called for that one.
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
        One more, from C{host}.
        """
        self._connections[connection] = host
        self._hosts[host] += 1
        self._unproven.add(connection, host)
        self._silent.add(connection, host)

    def heard(self, connection: C) -> None:
        """
        A whole message came; harmless the second time.
        """
        self._silent.remove(connection)

    def closed(self, connection: C) -> None:
        """
        It is gone; harmless the second time.
        """
        host = self._connections.pop(connection, None)
        if host is not None:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
            self._unproven.remove(connection)
            self._silent.remove(connection)
