"""
IPv6 prefixes for subscribers, cut from larger ones.

The rules: every prefix of a pool has the same length; those that were never given go first, in
order, then the one that has been free longest, so that a caller's traffic doesn't reach the next
caller by mistake. Where L{RESTING} are free that were given, these go first all the same: a pool
can have more prefixes than there is room to remember. What overlaps a prefix of any length that was
taken for an account of its own isn't given meanwhile.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network
from typing import Protocol

from pptpgw.error import Exhausted

RESTING = 1024
"""
How many prefixes that were given back may rest before the first of them is given again.
"""


class Prefixes(Protocol):
    """
    Where prefixes come from.
    """

    def allocate(self) -> IPv6Network:
        """
        A prefix that nobody has.

        @raise Exhausted: there is none.
        """

    def release(self, prefix: IPv6Network) -> None:
        """
        Take C{prefix} back, if it is in use.
        """


class PrefixPool:
    """
    The prefixes of one length in some networks, made as they are asked for.

    @ivar networks: the networks that they are cut from.
    @ivar length: in bits.
    """

    def __init__(self, networks: Iterable[IPv6Network], length: int) -> None:
        """
        @param networks: none overlaps another.
        @raise ValueError: a network is itself too small for a prefix of that length.
        """
        self.networks = tuple(networks)
        self.length = length
        for network in self.networks:
            if not network.prefixlen <= length <= network.max_prefixlen:
                raise ValueError(f"{network} has no prefixes of {length} bits")
        self._fresh = self._enumerate(self.networks)
        self._freed: OrderedDict[IPv6Network, None] = OrderedDict()
        # The prefixes in use, by their length in bits.
        self._used: dict[int, set[IPv6Network]] = {}
        # The same prefixes as numbers, sorted, to find those within a larger one.
        self._places: dict[int, list[int]] = {}
        # Prefixes that were skipped because they lie in a larger one that was in use.
        self._passed: dict[IPv6Network, Iterator[IPv6Network]] = {}

    @property
    def used(self) -> int:
        """
        How many prefixes are in use.
        """
        return sum(map(len, self._used.values()))

    def allocate(self) -> IPv6Network:
        """
        See L{Prefixes.allocate}.
        """
        prefix = self._unused() if len(self._freed) < RESTING else None
        if prefix is None:
            prefix = self._rested()
        if prefix is None:
            raise Exhausted(f"all IPv6 prefixes of {self.length} bits are in use")
        self._freed.pop(prefix, None)
        self._use(prefix)
        return prefix

    def take(self, prefix: IPv6Network) -> bool:
        """
        Have C{prefix}, of any length and of the pool or not, in use; False: some of it is already.
        """
        if not self._isFree(prefix):
            return False
        self._use(prefix)
        return True

    def release(self, prefix: IPv6Network) -> None:
        """
        See L{Prefixes.release}.
        """
        length = prefix.prefixlen
        if prefix not in self._used.get(length, ()):
            return
        self._used[length].remove(prefix)
        places = self._places[length]
        del places[bisect_left(places, int(prefix.network_address))]
        if not places:
            del self._used[length], self._places[length]
        if length < self.length:
            # Those within it were passed over.
            self._passed[prefix] = self._enumerate(
                one if one.subnet_of(prefix) else prefix
                for one in self.networks
                if one.overlaps(prefix)
            )
            return
        freed = prefix.supernet(new_prefix=self.length)
        if any(freed.subnet_of(network) for network in self.networks):
            self._freed.pop(freed, None)
            self._freed[freed] = None

    def _isFree(self, prefix: IPv6Network) -> bool:
        for length, used in self._used.items():
            if length <= prefix.prefixlen:
                if prefix.supernet(new_prefix=length) in used:
                    return False
            else:
                places = self._places[length]
                first = bisect_left(places, int(prefix.network_address))
                if first < len(places) and places[first] <= int(prefix.broadcast_address):
                    return False
        return True

    def _use(self, prefix: IPv6Network) -> None:
        self._used.setdefault(prefix.prefixlen, set()).add(prefix)
        insort(self._places.setdefault(prefix.prefixlen, []), int(prefix.network_address))

    def _unused(self) -> IPv6Network | None:
        """
        A prefix that was never given.
        """
        for passed in tuple(self._passed):
            for prefix in self._passed[passed]:
                if prefix not in self._freed:
                    return prefix
            del self._passed[passed]
        return next((prefix for prefix in self._fresh if prefix not in self._freed), None)

    def _rested(self) -> IPv6Network | None:
        """
        The prefix that has been free longest.
        """
        for _ in range(len(self._freed)):
            prefix = next(iter(self._freed))
            if self._isFree(prefix):
                return prefix
            self._freed.move_to_end(prefix)
        return None

    def _enumerate(self, networks: Iterable[IPv6Network]) -> Iterator[IPv6Network]:
        """
        The free prefixes in C{networks}, in order. When a prefix lies in a larger one that is in
        use, the rest of the larger one is skipped.
        """
        for network in networks:
            place, end = int(network[0]), int(network[-1])
            while place <= end:
                prefix = IPv6Network((place, self.length))
                wide = self._around(prefix)
                place = int((wide or prefix)[-1]) + 1
                if wide is None and self._isFree(prefix):
                    yield prefix

    def _around(self, prefix: IPv6Network) -> IPv6Network | None:
        """
        A larger prefix in use that C{prefix} lies in.
        """
        for length, used in self._used.items():
            if length < prefix.prefixlen:
                wide = prefix.supernet(new_prefix=length)
                if wide in used:
                    return wide
        return None


class OwnPrefix:
    """
    The prefix that an account has for itself: for one session at a time.
    """

    def __init__(self, prefix: IPv6Network, pools: Iterable[PrefixPool]) -> None:
        """
        @param pools: those that shall give nothing of it meanwhile.
        """
        self._prefix = prefix
        self._pools = tuple(pools)

    def allocate(self) -> IPv6Network:
        """
        See L{Prefixes.allocate}.
        """
        for count, pool in enumerate(self._pools):
            if not pool.take(self._prefix):
                for taken in self._pools[:count]:
                    taken.release(self._prefix)
                raise Exhausted(f"{self._prefix} is in use")
        return self._prefix

    def release(self, prefix: IPv6Network) -> None:
        """
        See L{Prefixes.release}.
        """
        for pool in self._pools:
            pool.release(prefix)
