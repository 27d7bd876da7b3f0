"""
Longest-prefix lookup from a destination address to the target of its route.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeVar

Target = TypeVar("Target")

Place = tuple[int, int, int]
"""
A network: the length of its addresses in octets, the bits behind the prefix, and the prefix as a
number.
"""


class RouteTable(Generic[Target]):
    """
    Routes of both address families. Several targets may have the same network: it leads to the
    target that was added last and, when that is removed, to the one added before it.

    @ivar exact: the targets of single addresses, by the 4 or 16 octets. Nearly every session has a
        single address, which the data path looks up here without a call.
    """

    __slots__ = ("_claims", "_prefixes", "_tables", "exact")

    def __init__(self) -> None:
        self.exact: dict[bytes, Target] = {}
        # For each length of addresses in octets and number of bits behind the prefix: the targets
        # by prefix, as a number.
        self._tables: dict[tuple[int, int], dict[int, Target]] = {}
        # The same tables by the length of addresses in octets, the longest prefix first.
        self._prefixes: dict[int, list[tuple[int, dict[int, Target]]]] = {4: [], 16: []}
        # For each network with more than one target: its targets in the order in which they were
        # added.
        self._claims: dict[Place, dict[Target, None]] = {}

    def add(self, network: IPv4Network | IPv6Network, target: Target) -> None:
        """
        Add the route of C{network} to C{target}.
        """
        place = _place(network)
        current = self._current(place)
        claims = self._claims.get(place)
        if claims is not None:
            claims.pop(target, None)
            claims[target] = None
        elif current is not None and current != target:
            self._claims[place] = {current: None, target: None}
        self._lead(place, target)

    def remove(self, network: IPv4Network | IPv6Network, target: Target) -> None:
        """
        Remove the route of C{network} to C{target}, if there is one.
        """
        place = _place(network)
        claims = self._claims.get(place)
        if claims is None:
            if self._current(place) == target:
                self._forget(place)
            return
        claims.pop(target, None)
        self._lead(place, next(reversed(claims)))
        if len(claims) == 1:
            del self._claims[place]

    def lookup(self, address: bytes) -> Target | None:
        """
        Return the target that an address (4 or 16 octets) leads to; None if there is none.
        """
        target = self.exact.get(address)
        if target is not None:
            return target
        number = int.from_bytes(address, "big")
        for free, table in self._prefixes.get(len(address), ()):
            target = table.get(number >> free)
            if target is not None:
                return target
        return None

    def target(self, network: IPv4Network | IPv6Network) -> Target | None:
        """
        Return the target of exactly this network; None if it has none.
        """
        return self._current(_place(network))

    def leadsTo(self, address: bytes, target: Target) -> bool:
        """
        Return whether the narrowest network with the address (4 or 16 octets) is one of
        C{target}'s, even if it leads to a target that was added later.
        """
        size = len(address)
        number = int.from_bytes(address, "big")
        place = size, 0, number
        found = self.exact.get(address)
        if found is None:
            for free, table in self._prefixes.get(size, ()):
                found = table.get(number >> free)
                if found is not None:
                    place = size, free, number >> free
                    break
        return found == target or target in self._claims.get(place, ())

    def _current(self, place: Place) -> Target | None:
        """
        Return the target of exactly this network; None if there is none.
        """
        octets, free, prefix = place
        if free == 0:
            return self.exact.get(prefix.to_bytes(octets, "big"))
        return self._tables.get((octets, free), {}).get(prefix)

    def _lead(self, place: Place, target: Target) -> None:
        """
        Have look-ups in this network find C{target}.
        """
        octets, free, prefix = place
        if free == 0:
            self.exact[prefix.to_bytes(octets, "big")] = target
            return
        if (octets, free) not in self._tables:
            self._tables[octets, free] = {}
            self._sort()
        self._tables[octets, free][prefix] = target

    def _forget(self, place: Place) -> None:
        """
        Have look-ups in this network find nothing.
        """
        octets, free, prefix = place
        if free == 0:
            del self.exact[prefix.to_bytes(octets, "big")]
            return
        table = self._tables[octets, free]
        del table[prefix]
        if not table:
            del self._tables[octets, free]
            self._sort()

    def _sort(self) -> None:
        """
        Sort the tables for look-up, the longest prefix first.
        """
        for octets in self._prefixes:
            self._prefixes[octets] = sorted(
                ((free, table) for (size, free), table in self._tables.items() if size == octets),
                key=lambda entry: entry[0],
            )


def _place(network: IPv4Network | IPv6Network) -> Place:
    free = network.max_prefixlen - network.prefixlen
    return network.max_prefixlen // 8, free, int(network.network_address) >> free
