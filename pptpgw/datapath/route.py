"""
Longest-prefix lookup from a destination address to whoever leads there.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeVar

Target = TypeVar("Target")


class RouteTable(Generic[Target]):
    """
    Routes of both address families; the later of two equal ones wins.

    @ivar exact: targets of single addresses, by the 4 or 16 octets: what nearly every session has,
        for a look-up without a call.
    """

    __slots__ = ("_prefixes", "_tables", "exact")

    def __init__(self) -> None:
        self.exact: dict[bytes, Target] = {}
        # By octets of an address and bits that don't count: prefix (as a number) to target.
        self._tables: dict[tuple[int, int], dict[int, Target]] = {}
        # The same tables by octets of an address, longest prefix first.
        self._prefixes: dict[int, list[tuple[int, dict[int, Target]]]] = {4: [], 16: []}

    def add(self, network: IPv4Network | IPv6Network, target: Target) -> None:
        """
        Lead C{network} to C{target}.
        """
        octets, free, prefix = self._split(network)
        if free == 0:
            self.exact[network.network_address.packed] = target
            return
        if (octets, free) not in self._tables:
            self._tables[octets, free] = {}
            self._sort()
        self._tables[octets, free][prefix] = target

    def remove(self, network: IPv4Network | IPv6Network, target: Target) -> None:
        """
        Take back the route; harmless where it leads elsewhere by now.
        """
        octets, free, prefix = self._split(network)
        if free == 0:
            if self.exact.get(network.network_address.packed) == target:
                del self.exact[network.network_address.packed]
            return
        table = self._tables.get((octets, free), {})
        if table.get(prefix) == target:
            del table[prefix]
            if not table:
                del self._tables[octets, free]
                self._sort()

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
