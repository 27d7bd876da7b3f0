"""
The IPv4 addresses that subscribers are given.

The rules:

 - A user whose account names single addresses gets the first of them that is free, whether or not a
   pool contains it. The account owns these addresses: from then on, or from L{AddressPool.reserve},
   no pool gives them to other users. Owners are recorded only for addresses of the pools, which
   limits the memory that they take. If two accounts name the same address, the later one owns it.
   Addresses that are added to a pool have no owners until the owners call or are reserved again.
 - A user whose account names networks gets the first free address of a pool that lies in one of
   them. If the pools and the networks have no address in common, the user gets the first free host
   address of the networks. Such an account owns no address.
 - The gateway's own addresses are never given.
 - Every other user gets an address from the pool that the account names, or from the default pool;
   when that pool is used up, from the one that is configured to come next, and so on.
 - No address is given twice before it is released. The address that has been free longest is given
   first, so that one caller's traffic doesn't reach the next caller by mistake.
 - Pools may change while they are used: a session keeps its address even if no pool contains it any
   more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network, summarize_address_range

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from pptpgw.config.kind import NoSettings, assertNoArgument, hostsOf
from pptpgw.error import Category, Exhausted, Refused
from pptpgw.interfaces import (
    DEFAULT_POOL,
    Caller,
    IAddressPoolFactory,
    IAddressPools,
    ICountedPools,
    IEnvironment,
    ISubscriber,
    PoolFigures,
    PoolRanges,
)
from pptpgw.sessions.remedy import Remedy

Range = tuple[IPv4Address, IPv4Address]


class _Pool:
    """
    One pool: the addresses that were never given, and those that were released, in the order of
    their release.
    """

    def __init__(self, pool: PoolRanges, freed: Iterable[str] = ()) -> None:
        self.ranges = pool.ranges
        self.size = sum(int(last) - int(first) + 1 for first, last in pool.ranges)
        # How many addresses are in use, and how many others accounts own.
        self.used = self.reserved = 0
        # The same addresses as numbers, which compare faster.
        self._bounds = [(int(first), int(last)) for first, last in pool.ranges]
        self.next = pool.next
        self.freed = OrderedDict.fromkeys(one for one in freed if one in self)
        self.fresh = self._enumerate()

    def __contains__(self, address: str) -> bool:
        # This is called for every address when the pools change.
        a, b, c, d = map(int, address.split("."))
        wanted = a << 24 | b << 16 | c << 8 | d
        return any(first <= wanted <= last for first, last in self._bounds)

    def take(self, used: set[str], owners: Mapping[str, str], user: str) -> str | None:
        """
        Return the next address that is not among C{used} and has no other owner than C{user}; None
        if there is none.
        """
        for address in self.fresh:
            if address in self.freed or address in used:
                continue
            if owners.get(address, user) == user:
                return address
            # Keep the address of another owner: the owner may give it up one day.
            self.freed[address] = None
        for _ in range(len(self.freed)):
            address = next(iter(self.freed))
            if address not in used and owners.get(address, user) == user:
                del self.freed[address]
                return address
            # Put the address behind the others, so that the next search doesn't meet it first.
            self.freed.move_to_end(address)
        return None

    def _enumerate(self) -> Iterator[str]:
        for first, last in self.ranges:
            for number in range(int(first), int(last) + 1):
                yield str(IPv4Address(number))


@implementer(IAddressPools, ICountedPools)
class AddressPool:
    """
    The addresses of the default pool and of named pools.

    @ivar networks: the pools as the fewest networks that cover each range and nothing else.
    """

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        """
        @param ranges: the ranges of the default pool, both ends included.
        """
        self._gateway: frozenset[str] = frozenset()
        self._used: set[str] = set()
        self._owners: dict[str, str] = {}
        # The addresses that each owner has.
        self._owned: dict[str, set[str]] = {}
        self._have({DEFAULT_POOL: _Pool(PoolRanges(tuple(ranges)))})

    @property
    def used(self) -> int:
        """
        The number of addresses that are in use.
        """
        return len(self._used)

    def __contains__(self, address: str) -> bool:
        return self._poolWith(address) is not None

    def change(self, pools: Mapping[str, PoolRanges], gateway: Collection[str]) -> None:
        """
        See L{IAddressPools.change}.
        """
        self._gateway = frozenset(gateway)
        freed = [address for pool in self._pools.values() for address in pool.freed]
        self._have({name: _Pool(pool, freed) for name, pool in pools.items()})

    def reserve(self, user: str, addresses: Iterable[str]) -> None:
        """
        See L{IAddressPools.reserve}.
        """
        for address in tuple(self._owned.get(user, ())):
            self._disown(address)
        for address in addresses:
            pool = self._poolWith(address)
            if pool is not None:
                self._disown(address)
                self._owners[address] = user
                self._owned.setdefault(user, set()).add(address)
                pool.reserved += address not in self._used

    def allocate(self, subscriber: ISubscriber, caller: Caller) -> Deferred[str]:
        """
        See L{IAddressPool.allocate}. Fails with L{Exhausted} if no address is free, and with
        L{Refused} if the account allows none or names a pool that doesn't exist.
        """
        name: str = subscriber.name
        networks = subscriber.addresses
        own = ownedOf(networks)
        if own or name in self._owned:
            self.reserve(name, own)
        try:
            if networks is None:
                address = self._fromPools(name, subscriber.profile.pool or DEFAULT_POOL)
            else:
                address = self._fromNetworks(name, networks)
        except (Exhausted, Refused) as error:
            return fail(error)
        self._used.add(address)
        pool = self._poolWith(address)
        if pool is not None:
            pool.used += 1
            pool.reserved -= address in self._owners
        return succeed(address)

    def release(self, address: str) -> None:
        """
        See L{IAddressPool.release}: make C{address} free, as the last one to be given again.
        """
        if address in self._used:
            self._used.remove(address)
            pool = self._poolWith(address)
            if pool is not None:
                # The address may stand there already, from an earlier release.
                pool.freed.pop(address, None)
                pool.freed[address] = None
                pool.used -= 1
                pool.reserved += address in self._owners

    def figures(self) -> list[PoolFigures]:
        """
        See L{ICountedPools.figures}.
        """
        return [
            PoolFigures(name, pool.size, pool.used, pool.reserved, pool.next)
            for name, pool in self._pools.items()
        ]

    def poolOf(self, network: IPv4Network | IPv6Network) -> str:
        """
        See L{ICountedPools.poolOf}.
        """
        if network.prefixlen == network.max_prefixlen:
            address = str(network.network_address)
            for name, pool in self._pools.items():
                if address in pool:
                    return name
        return ""

    def _have(self, pools: dict[str, _Pool]) -> None:
        self._pools = pools
        self.networks: tuple[IPv4Network, ...] = tuple(
            network
            for pool in pools.values()
            for first, last in pool.ranges
            for network in summarize_address_range(first, last)
        )
        for address in self._used:
            pool = self._poolWith(address)
            if pool is not None:
                pool.used += 1
        for address in tuple(self._owners):
            pool = self._poolWith(address)
            if pool is None:
                self._forget(address)
            else:
                pool.reserved += address not in self._used

    def _poolWith(self, address: str) -> _Pool | None:
        """
        Return the pool that contains C{address}; None if there is none.
        """
        for pool in self._pools.values():
            if address in pool:
                return pool
        return None

    def _disown(self, address: str) -> None:
        """
        Forget the owner of C{address}, if it has one.
        """
        if address in self._owners:
            self._forget(address)
            pool = self._poolWith(address)
            if pool is not None:
                pool.reserved -= address not in self._used

    def _forget(self, address: str) -> None:
        user = self._owners.pop(address)
        own = self._owned[user]
        own.remove(address)
        if not own:
            del self._owned[user]

    def _fromPools(self, user: str, name: str) -> str:
        """
        Return an address from the pool C{name} or one that comes after it.

        @raise Exhausted: all these pools are used up.
        @raise Refused: there is no such pool.
        """
        tried: list[str] = []
        while name and name not in tried:
            pool = self._pools.get(name)
            if pool is None:
                raise Refused(
                    f"there is no address pool {name!a}",
                    retry=False,
                    category=Category.NO_ADDRESS,
                    remedy=Remedy.POOL,
                )
            address = pool.take(self._used, self._owners, user)
            if address is not None:
                return address
            tried.append(name)
            name = pool.next
        if tried == [DEFAULT_POOL]:
            raise Exhausted("the address pool is used up", Category.NO_ADDRESS)
        raise Exhausted(f"the address pools {', '.join(tried)} are used up", Category.NO_ADDRESS)

    def _fromNetworks(self, user: str, networks: Sequence[IPv4Network]) -> str:
        """
        Return a free address of C{networks}, which the account names.

        @raise Refused: the account names none, or none of them is free.
        """
        for number in self._candidates(networks):
            address = str(IPv4Address(number))
            unused = address not in self._used and address not in self._gateway
            if unused and self._owners.get(address, user) == user:
                return address
        if not networks:
            raise Refused(
                "the account allows no address", retry=False, category=Category.NO_ADDRESS
            )
        shown = ", ".join(str(one).removesuffix("/32") for one in networks)
        why = "is the gateway's own address" if shown in self._gateway else "already in use"
        raise Refused(f"{shown} {why}", retry=False, category=Category.NO_ADDRESS)

    def _candidates(self, networks: Sequence[IPv4Network]) -> Iterator[int]:
        """
        Return the addresses, as numbers, that a session of an account with C{networks} may get, in
        the order in which they are tried.
        """
        runs = [hostsOf(network) for network in networks]
        if not ownedOf(networks):
            inPools = [
                (max(first, network[0]), min(last, network[-1]))
                for network in networks
                for pool in self._pools.values()
                for first, last in pool.ranges
                if first <= network[-1] and network[0] <= last
            ]
            runs = inPools or runs
        for first, last in runs:
            yield from range(int(first), int(last) + 1)


def ownedOf(networks: Sequence[IPv4Network] | None) -> list[str]:
    """
    Return the addresses, dotted, that an account with C{networks} owns: those networks if all of
    them are single addresses, otherwise none.
    """
    if networks is None or any(one.prefixlen < one.max_prefixlen for one in networks):
        return []
    return [str(one.network_address) for one in networks]


@implementer(IAddressPoolFactory)
class AddressPoolFactory:
    """
    See L{IAddressPoolFactory}.
    """

    name = "ranges"
    settings = NoSettings
    description = "The addresses of [ipv4] pool and pools, or the account's own; no argument."

    def makePool(
        self,
        argument: str,
        ranges: Sequence[Range],
        settings: NoSettings,
        environment: IEnvironment,
    ) -> AddressPool:
        """
        See L{IAddressPoolFactory.makePool}.
        """
        assertNoArgument("[ipv4] allocator", self.name, argument)
        return AddressPool(ranges)


factory = AddressPoolFactory()
