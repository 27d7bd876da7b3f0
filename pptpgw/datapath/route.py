"""
Longest-prefix lookup from a destination address to whoever leads there.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeVar

Target = TypeVar("Target")


class RouteTable(Generic[Target]):
    """
    Routes of both address families. Several targets may claim one network: it leads to the one that
    was added last, and when that is removed, to the one that was added before it.

    @ivar exact: targets of single addresses, by the 4 or 16 octets: what nearly every session has,
        for a look-up without a call.
    """

    __slots__ = ("_claims", "_prefixes", "_tables", "exact")

    def __init__(self) -> None:
        self.exact: dict[bytes, Target] = {}
        # By octets of an address and bits that don't count: prefix (as a number) to target.
        self._tables: dict[tuple[int, int], dict[int, Target]] = {}
        # The same tables by octets of an address, longest prefix first.
        self._prefixes: dict[int, list[tuple[int, dict[int, Target]]]] = {4: [], 16: []}
        # Every target of the networks that more than one claims, in the order of adding; a network
        # by octets of an address, bits that don't count, and prefix.
        self._claims: dict[tuple[int, int, int], dict[Target, None]] = {}

    def add(self, network: IPv4Network | IPv6Network, target: Target) -> None:
        """
        Lead C{network} to C{target}.
        """
        current = self._current(network)
        place = self._split(network)
        claims = self._claims.get(place)
        if claims is not None:
            claims.pop(target, None)
            claims[target] = None
        elif current is not None and current != target:
            self._claims[place] = {current: None, target: None}
        self._lead(network, target)

    def remove(self, network: IPv4Network | IPv6Network, target: Target) -> None:
        """
        Take back the route to C{target}; harmless where there is none.
        """
        place = self._split(network)
        claims = self._claims.get(place)
        if claims is None:
            if self._current(network) == target:
                self._forget(network)
            return
        claims.pop(target, None)
        self._lead(network, next(reversed(claims)))
        if len(claims) == 1:
            del self._claims[place]

    def lookup(self, address: bytes) -> Target | None:
        """
        Where the address (4 or 16 octets) leads, or None.
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

    def leadsTo(self, address: bytes, target: Target) -> bool:
        """
        Whether the narrowest network that holds the address (4 or 16 octets) leads to C{target}, or
        would if nobody had claimed it later.
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

    def _current(self, network: IPv4Network | IPv6Network) -> Target | None:
        """
        Where exactly this network leads.
        """
        octets, free, prefix = self._split(network)
        if free == 0:
            return self.exact.get(network.network_address.packed)
        return self._tables.get((octets, free), {}).get(prefix)

    def _lead(self, network: IPv4Network | IPv6Network, target: Target) -> None:
        """
        Have look-ups in this network find C{target}.
        """
        octets, free, prefix = self._split(network)
        if free == 0:
            self.exact[network.network_address.packed] = target
            return
        if (octets, free) not in self._tables:
            self._tables[octets, free] = {}
            self._sort()
        self._tables[octets, free][prefix] = target

    def _forget(self, network: IPv4Network | IPv6Network) -> None:
        """
        Have look-ups in this network find nothing.
        """
        octets, free, prefix = self._split(network)
        if free == 0:
            del self.exact[network.network_address.packed]
            return
        table = self._tables[octets, free]
        del table[prefix]
        if not table:
            del self._tables[octets, free]
            self._sort()

    def _split(self, network: IPv4Network | IPv6Network) -> tuple[int, int, int]:
        """
        Octets of an address, bits that don't count, and the prefix as a number.
        """
        free = network.max_prefixlen - network.prefixlen
        return network.max_prefixlen // 8, free, int(network.network_address) >> free

    def _sort(self) -> None:
        """
        Put the tables in the order of look-up.
        """
        for octets in self._prefixes:
            self._prefixes[octets] = sorted(
                ((free, table) for (size, free), table in self._tables.items() if size == octets),
                key=lambda entry: entry[0],
            )
