"""
Addresses for subscribers.

The rules: a user whose account names single addresses gets the first of them that is free, whether
or not the pool holds it; every other user gets one from the pool that no account's session has.
The address that has been free longest is given first, so that a caller's traffic doesn't reach the
next caller by mistake.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, summarize_address_range
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from pptpgw.error import ConfigurationError, Exhausted, Refused
from pptpgw.interfaces import IAddressPool, IAddressPoolFactory, ISubscriber

Range = tuple[IPv4Address, IPv4Address]


@implementer(IAddressPool)
class AddressPool:
    """
    The addresses of some ranges, both ends included.
    """

    def __init__(self, ranges: Iterable[Range]) -> None:
        self._ranges = tuple(ranges)
        self._fresh = self._enumerate()
        self._freed: deque[str] = deque()
        self._used: set[str] = set()

    @property
    def networks(self) -> tuple[IPv4Network, ...]:
        """
        The pool as the fewest networks that cover it and nothing else.
        """
        return tuple(
            network
            for first, last in self._ranges
            for network in summarize_address_range(first, last)
        )

    @property
    def used(self) -> int:
        """
        How many addresses are in use.
        """
        return len(self._used)

    def __contains__(self, address: str) -> bool:
        wanted = IPv4Address(address)
        return any(first <= wanted <= last for first, last in self._ranges)

    def allocate(self, subscriber: ISubscriber) -> Deferred[str]:
        """
        An address for C{subscriber}; fails with L{Exhausted} where none is free, with L{Refused}
        where the account allows none.
        """
        address = None
        if subscriber.addresses is None:
            address = self._next()
            if address is None:
                return fail(Exhausted("the address pool is used up"))
        else:
            own = [str(n.network_address) for n in subscriber.addresses if n.prefixlen == 32]
            if not own:
                return fail(Refused("the account allows no address", retry=False))
            address = next((one for one in own if one not in self._used), None)
            if address is None:
                return fail(Refused(f"{', '.join(own)} already in use", retry=False))
        self._used.add(address)
        return succeed(address)

    def release(self, address: str) -> None:
        """
        Take C{address} back.
        """
        if address in self._used:
            self._used.remove(address)
            if address in self:
                self._freed.append(address)

    def _next(self) -> str | None:
        for address in self._fresh:
            if address not in self._used:
                return address
        # One that an account has taken meanwhile comes back with its release.
        while self._freed:
            address = self._freed.popleft()
            if address not in self._used:
                return address
        return None

    def _enumerate(self) -> Iterator[str]:
        for first, last in self._ranges:
            for number in range(int(first), int(last) + 1):
                yield str(IPv4Address(number))


@implementer(IAddressPoolFactory)
class AddressPoolFactory:
    """
    See L{IAddressPoolFactory}.
    """

    name = "ranges"
    description = "The addresses of [ipv4] pool, or the account's own; it takes no argument."

    def makePool(self, argument: str, ranges: Sequence[Range], reactor: Any) -> AddressPool:
        """
        See L{IAddressPoolFactory.makePool}.
        """
        if argument:
            raise ConfigurationError(
                f'[ipv4] allocator = "ranges:{argument}": it takes no argument'
            )
        return AddressPool(ranges)
