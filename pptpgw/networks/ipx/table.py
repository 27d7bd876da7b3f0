"""
The tables of routes (RIP) and of servers (SAP) that an IPX router learns from others, after
Novell's IPX Router Specification (107-000029-001).

The rules:

 - A route belongs to the teller that told it first, until that teller withdraws it, leaves, or
   doesn't repeat it for L{LIFETIME}. So nobody can draw packets by claiming to be nearer. The same
   is true of servers.
 - An entry is told to everybody but its teller (split horizon), as one router farther away. An
   entry that would be L{pptpgw.networks.ipx.wire.UNREACHABLE} routers away is forgotten.
 - Nobody may tell more than L{LIMIT} entries of a table, and no table has more than L{TOTAL}.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from pptpgw.networks.ipx.wire import UNREACHABLE

LIFETIME = 180.0
"""
Seconds until an entry that isn't repeated is forgotten: three updates, which come once a minute.
"""

LIMIT = 64
TOTAL = 1024

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Teller = TypeVar("Teller", bound=Hashable)


class TableEntry(Generic[Value, Teller]):
    """
    A route or a server, as it was told.

    @ivar value: the ticks to a network, or the address of a server.
    @ivar hops: the number of routers to it, as told.
    @ivar teller: who told it.
    @ivar expires: the time when it is forgotten unless it is told again.
    """

    __slots__ = ("expires", "hops", "teller", "value")

    def __init__(self, value: Value, hops: int, teller: Teller, expires: float) -> None:
        self.value = value
        self.hops = hops
        self.teller = teller
        self.expires = expires


class RoutingTable(Generic[Key, Value, Teller]):
    """
    A table of routes, by network, or of servers, by type and name.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: returns the time in seconds.
        """
        self._seconds = seconds
        self._entries: dict[Key, TableEntry[Value, Teller]] = {}
        self._told: dict[Teller, int] = {}

    def learn(self, key: Key, value: Value, hops: int, teller: Teller) -> bool:
        """
        Learn that C{teller} says that C{key} is C{hops} routers away. Return False if this isn't
        accepted.
        """
        entry = self.find(key)
        if entry is not None and entry.teller is not teller:
            return False
        if hops >= UNREACHABLE - 1:
            if entry is not None:
                self._forget(key)
            return True
        expires = self._seconds() + LIFETIME
        if entry is not None:
            entry.value, entry.hops, entry.expires = value, hops, expires
            return True
        if self._told.get(teller, 0) >= LIMIT or len(self._entries) >= TOTAL:
            return False
        self._entries[key] = TableEntry(value, hops, teller, expires)
        self._told[teller] = self._told.get(teller, 0) + 1
        return True

    def find(self, key: Key) -> TableEntry[Value, Teller] | None:
        """
        Return the entry for C{key}; None if there is none.
        """
        entry = self._entries.get(key)
        if entry is not None and entry.expires <= self._seconds():
            self._forget(key)
            return None
        return entry

    def forget(self, teller: Teller) -> None:
        """
        Forget all entries of C{teller}, which has left.
        """
        for key in [key for key, entry in self._entries.items() if entry.teller is teller]:
            self._forget(key)

    def tell(self, listener: Teller) -> Iterator[tuple[Key, TableEntry[Value, Teller]]]:
        """
        Return the entries to tell C{listener}: those of other tellers.

        Entries that are out of date are removed on the way. C{listener} is told once a minute, so
        this makes room for new ones.
        """
        for key in tuple(self._entries):
            entry = self.find(key)
            if entry is not None and entry.teller is not listener:
                yield key, entry

    def _forget(self, key: Key) -> None:
        teller = self._entries.pop(key).teller
        left = self._told[teller] - 1
        if left:
            self._told[teller] = left
        else:
            del self._told[teller]
