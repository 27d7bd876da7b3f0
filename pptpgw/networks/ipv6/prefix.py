"""
IPv6 prefixes for subscribers, cut from larger ones.

The rules:

 - Every prefix of a pool has the same length.
 - Prefixes that were never given are given first, in order. Then comes the one that has been free
   longest, so that traffic for one caller doesn't reach the next one by mistake. If L{RESTING}
   prefixes that were given before are free, one of them is given even if others were never given: a
   pool can have more prefixes than there is memory for.
 - While an account's own prefix, of any length, is in use, no prefix that overlaps it is given.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network
from typing import Protocol

from pptpgw.error import Category, Exhausted

RESTING = 1024
"""
The most free prefixes that are remembered as given before.
"""


class Prefixes(Protocol):
    """
    A source of prefixes.
    """

    def allocate(self) -> IPv6Network:
        """
        Return a prefix that nobody has.

        @raise Exhausted: there is none.
        """

    def release(self, prefix: IPv6Network) -> None:
        """
        Make C{prefix} free again, if it is in use.
        """


class PrefixPool:
    """
    The prefixes of one length in some networks; they are computed when they are needed.

    @ivar networks: the networks that the prefixes are cut from.
    @ivar length: the length of the prefixes in bits.
    @ivar size: the number of the prefixes.
    @ivar taken: how many of them can't be given, because they or a part of them are in use.
    """

    def __init__(self, networks: Iterable[IPv6Network], length: int) -> None:
        """
        @param networks: networks that don't overlap.
        @raise ValueError: a network is too small for a prefix of this length.
        """
        self.networks = tuple(networks)
        self.length = length
        for network in self.networks:
            if not network.prefixlen <= length <= network.max_prefixlen:
                raise ValueError(f"{network} has no prefixes of {length} bits")
        self.size = sum(1 << length - one.prefixlen for one in self.networks)
        self.taken = 0
        self._fresh = self._enumerate(self.networks)
        self._freed: OrderedDict[IPv6Network, None] = OrderedDict()
        # The prefixes in use, by their length in bits.
        self._used: dict[int, set[IPv6Network]] = {}
        # The same prefixes as numbers, sorted, to find those within a larger one.
        self._places: dict[int, list[int]] = {}
        # Prefixes that were skipped because a larger prefix around them was in use.
        self._passed: dict[IPv6Network, Iterator[IPv6Network]] = {}

    @property
    def used(self) -> int:
        """
        The number of prefixes in use.
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
            raise Exhausted(
                f"all IPv6 prefixes of {self.length} bits are in use", Category.NO_ADDRESS
            )
        self._freed.pop(prefix, None)
        self._use(prefix)
        return prefix

    def take(self, prefix: IPv6Network) -> bool:
        """
        Mark C{prefix}, of any length and from any network, as in use. Return False if a part of it
        is in use already.
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
        self.taken -= self._blocked(prefix)
        if length < self.length:
            # Prefixes within this one were skipped while it was in use.
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

    def _blocked(self, prefix: IPv6Network) -> int:
        """
        Return how many prefixes of the pool can be given only while C{prefix} is not in use.
        """
        if prefix.prefixlen <= self.length:
            return sum(
                1 << self.length - max(prefix.prefixlen, one.prefixlen)
                for one in self.networks
                if one.overlaps(prefix)
            )
        whole = prefix.supernet(new_prefix=self.length)
        return int(any(whole.subnet_of(one) for one in self.networks) and self._isFree(whole))

    def _use(self, prefix: IPv6Network) -> None:
        self.taken += self._blocked(prefix)
        self._used.setdefault(prefix.prefixlen, set()).add(prefix)
        insort(self._places.setdefault(prefix.prefixlen, []), int(prefix.network_address))

    def _unused(self) -> IPv6Network | None:
        """
        Return the next prefix that was never given and is free; None if there is none.
        """
        for passed in tuple(self._passed):
            for prefix in self._passed[passed]:
                if prefix not in self._freed:
                    return prefix
            del self._passed[passed]
        return next((prefix for prefix in self._fresh if prefix not in self._freed), None)

    def _rested(self) -> IPv6Network | None:
        """
        Return the prefix that has been free longest; None if there is none.
        """
        for _ in range(len(self._freed)):
            prefix = next(iter(self._freed))
            if self._isFree(prefix):
                return prefix
            self._freed.move_to_end(prefix)
        return None

    def _enumerate(self, networks: Iterable[IPv6Network]) -> Iterator[IPv6Network]:
        """
        Return the free prefixes in C{networks}, in order. If a prefix lies in a larger one that is
        in use, the rest of the larger one is skipped.
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
        Return a larger prefix in use that C{prefix} lies in; None if there is none.
        """
        for length, used in self._used.items():
            if length < prefix.prefixlen:
                wide = prefix.supernet(new_prefix=length)
                if wide in used:
                    return wide
        return None


class OwnPrefix:
    """
    The source of an account's own prefix, which one session at a time may have.
    """

    def __init__(self, prefix: IPv6Network, pools: Iterable[PrefixPool]) -> None:
        """
        @param pools: the pools that must not give parts of the prefix while it is in use.
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
                raise Exhausted(f"{self._prefix} is in use", Category.NO_ADDRESS)
        return self._prefix

    def release(self, prefix: IPv6Network) -> None:
        """
        See L{Prefixes.release}.
        """
        for pool in self._pools:
            pool.release(prefix)
