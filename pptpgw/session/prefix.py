"""
IPv6 prefixes for subscribers, cut from larger ones.

The rules: every prefix of a pool has the same length; those that were never given go first, in
order, then the one that has been free longest, so that a caller's traffic doesn't reach the next
caller by mistake. Where L{RESTING} are free that were given, these go first all the same: a pool
can have more prefixes than there is room to remember.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network

from pptpgw.error import Exhausted

RESTING = 1024
"""
How many prefixes that were given back may rest before the first of them is given again.
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
        self._fresh = self._enumerate()
        self._freed: deque[IPv6Network] = deque()
        self._used: set[IPv6Network] = set()

    @property
    def used(self) -> int:
        """
        How many prefixes are in use.
        """
        return len(self._used)

    def allocate(self) -> IPv6Network:
        """
        A prefix that nobody has.

        @raise Exhausted: all of them are in use.
        """
        prefix = next(self._fresh, None) if len(self._freed) < RESTING else None
        if prefix is None:
            if not self._freed:
                raise Exhausted(f"all IPv6 prefixes of {self.length} bits are in use")
            prefix = self._freed.popleft()
        self._used.add(prefix)
        return prefix

    def release(self, prefix: IPv6Network) -> None:
        """
        Take C{prefix} back; harmless where it isn't in use.
        """
        if prefix in self._used:
            self._used.remove(prefix)
            self._freed.append(prefix)

    def _enumerate(self) -> Iterator[IPv6Network]:
        for network in self.networks:
            yield from network.subnets(new_prefix=self.length)
