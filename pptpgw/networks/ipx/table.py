"""
What an IPX router learns from others: routes (RIP) and servers (SAP), as Novell's IPX Router
Specification (107-000029-001) has them.

The rules:

 - Whoever tells of a network first has it until he takes it back, goes, or is silent about it for
   L{LIFETIME}: nobody draws another's packets by claiming to be nearer. So it is with servers.
 - What is known is told to everybody but him from whom it comes (split horizon), one router
   farther away. At L{pptpgw.networks.ipx.wire.UNREACHABLE} it is forgotten.
 - Nobody has more than L{LIMIT} entries in a table, and no table more than L{TOTAL}.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from pptpgw.networks.ipx.wire import UNREACHABLE

LIFETIME = 180.0
"""
Seconds: three updates, which come once a minute.
"""

LIMIT = 64
TOTAL = 1024

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Teller = TypeVar("Teller", bound=Hashable)


class TableEntry(Generic[Value, Teller]):
    """
    What somebody told.

    @ivar value: what it is.
    @ivar hops: how far away it is, as told.
    @ivar teller: who told.
    @ivar expires: when it is forgotten unless it is told again.
    """

    __slots__ = ("expires", "hops", "teller", "value")

    def __init__(self, value: Value, hops: int, teller: Teller, expires: float) -> None:
        self.value = value
        self.hops = hops
        self.teller = teller
        self.expires = expires


class RoutingTable(Generic[Key, Value, Teller]):
    """
    The routes, or the servers.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the time.
        """
        self._seconds = seconds
        self._entries: dict[Key, TableEntry[Value, Teller]] = {}
        self._told: dict[Teller, int] = {}

    def learn(self, key: Key, value: Value, hops: int, teller: Teller) -> bool:
        """
        C{teller} says that C{key} is C{hops} routers away; False where that isn't taken.
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
        What is known of C{key}.
        """
        entry = self._entries.get(key)
        if entry is not None and entry.expires <= self._seconds():
            self._forget(key)
            return None
        return entry

    def forget(self, teller: Teller) -> None:
        """
        C{teller} is gone.
        """
        for key in [key for key, entry in self._entries.items() if entry.teller is teller]:
            self._forget(key)

    def tell(self, listener: Teller) -> Iterator[tuple[Key, TableEntry[Value, Teller]]]:
        """
        What is known and doesn't come from C{listener}; what is too old is forgotten on the way,
        so that a teller who is told once a minute has room for what is new.
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
