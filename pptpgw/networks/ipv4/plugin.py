"""
The IPv4 network plugin: the gateway's own address, and the addresses of its callers.

The rules:

 - An account's own address, pool, name servers and smaller MTU take precedence over those of the
   configuration.
 - TCP's headers are compressed on lines alone, which keep the order of frames and tell of damaged
   ones. Other tunnels lose frames without a word, or have no need to save octets.
 - Networks behind a user lead to its session (L{pptpgw.networks.routes}).
 - The configuration may change while there are sessions. New sessions get what the new one says. A
   session keeps its address to its end, even if no pool has the address any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network
from itertools import pairwise
from typing import Any, Literal

from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.config import discovery
from pptpgw.config.dial import Dial
from pptpgw.config.kind import (
    ADDRESS,
    NEW,
    POOL_NAME,
    POOL_OR_NONE,
    RANGES,
    SPECIFICATION,
    TWO_ADDRESSES,
    AddressRange,
    choice,
    isUnicast,
    key,
    restart,
)
from pptpgw.config.table import tables
from pptpgw.error import Category, ConfigurationError, PPTPGWError, Refused
from pptpgw.interfaces import (
    DEFAULT_POOL,
    Caller,
    IAddressPool,
    IAddressPoolFactory,
    IAddressPools,
    IAskingNetwork,
    ICountedPools,
    IEnvironment,
    IKernelInterface,
    INetworkFactory,
    IReadableNetwork,
    IReloadable,
    IReserving,
    ISubscriber,
    PoolFigures,
    PoolRanges,
)
from pptpgw.log import Logger
from pptpgw.networks.ipv4.ipcp import IPCP, WORDS, IPv4Settings, networkOf
from pptpgw.networks.ipv4.told import Told
from pptpgw.networks.routes import NetworksBehind
from pptpgw.sessions.pool import ownedOf
from pptpgw.sessions.profile import Profile
from pptpgw.timing.lifecycle import Stages


@dataclass(frozen=True, slots=True)
class NamedPool:
    """
    C{[[ipv4.pools]]}: a pool that accounts choose by its name.

    @ivar name: the name of the pool.
    @ivar ranges: the addresses of the pool.
    @ivar next: the pool to take from when this one is used up; empty for none.
    """

    name: str = key(POOL_NAME)
    ranges: tuple[AddressRange, ...] = key(RANGES)
    next: str = key(POOL_OR_NONE, "")


POOLS = tables("ipv4.pools", "describes a pool", NamedPool, unique=True)
"""
The kind of the key C{[[ipv4.pools]]}: a list of pools with different names.
"""


@dataclass(frozen=True, slots=True)
class IPv4Section:
    """
    C{[ipv4]}: the addresses that IPCP negotiates.

    @ivar local: the gateway's address on every link.
    @ivar pool: the addresses for callers, in the order in which they are given. It may be empty if
        every user has an address of its own.
    @ivar pools: other pools, which accounts choose by name.
    @ivar unknownPool: what happens to a caller whose account names a pool that doesn't exist:
        whether it is turned away, or gets an address of the default pool.
    @ivar allocator: the plugin that gives addresses.
    @ivar dns: at most two name servers.
    @ivar wins: at most two NetBIOS name servers.
    @ivar headerCompression: whether TCP's headers are compressed on lines where the caller wants
        it, and how.
    """

    local: IPv4Address = key(
        ADDRESS, IPv4Address("10.77.0.1"), restart("it is this end's address on every link")
    )
    pool: tuple[AddressRange, ...] = key(
        RANGES, ((IPv4Address("10.77.0.10"), IPv4Address("10.77.0.140")),), NEW
    )
    pools: tuple[NamedPool, ...] = key(POOLS, (), NEW)
    unknownPool: str = key(choice("refuse", "default"), "refuse", NEW)
    allocator: str = key(SPECIFICATION, "ranges", restart("sessions have addresses of the old one"))
    dns: tuple[IPv4Address, ...] = key(TWO_ADDRESSES, (), NEW)
    wins: tuple[IPv4Address, ...] = key(TWO_ADDRESSES, (), NEW)
    headerCompression: Literal["no", "vj"] = key(choice("no", "vj"), "no", NEW)

    def allPools(self, gateway: Iterable[IPv4Address]) -> dict[str, PoolRanges]:
        """
        Return every pool by its name, without the gateway's own addresses.
        """
        pools = {DEFAULT_POOL: PoolRanges(self.pool)}
        pools |= {one.name: PoolRanges(one.ranges, one.next) for one in self.pools}
        for address in gateway:
            for name, pool in pools.items():
                ranges = (part for run in pool.ranges for part in _without(run, address))
                pools[name] = replace(pool, ranges=tuple(ranges))
        return pools


@implementer(IReadableNetwork, IAskingNetwork, IReloadable, IReserving, ICountedPools)
class IPv4Sessions(Stages):
    """
    The IPv4 network of the gateway. See L{IReadableNetwork}. As a service, it starts and stops the
    pool, if that is a service too.

    @ivar pool: the source of callers' addresses.
    """

    control, words = IPCP.control, WORDS

    _log = Logger()

    def __init__(
        self, settings: IPv4Section, environment: IEnvironment, pool: IAddressPool
    ) -> None:
        super().__init__(environment.reactor)
        self.pool = pool
        if IService.providedBy(pool):
            IService(pool).setServiceParent(self)
        self._settings = settings
        self._environment = environment
        self._gateway = gatewaysOwn(settings, environment.addresses)
        self._pools = settings.allPools(self._gateway)
        self._behind = NetworksBehind(IPv4Network, self._gateway, 32)

    def start(self) -> None:
        """
        Give the interface the gateway's address, and route the pool's networks to it.
        """
        interface = self._environment.interface
        if interface is not None:
            interface.addAddress(IPv4Interface(self._settings.local))
            for network in self.pool.networks:
                interface.addRoute(network)

    def stop(self) -> None:
        """
        Do nothing: address and routes are removed with the interface.
        """

    def reserve(self, user: str, addresses: tuple[IPv4Network, ...] | None) -> None:
        """
        See L{IReserving.reserve}.
        """
        if IAddressPools.providedBy(self.pool):
            self.pool.reserve(user, ownedOf(addresses))

    def figures(self) -> Sequence[PoolFigures]:
        """
        See L{ICountedPools.figures}: those of the pool, if it has any.
        """
        pool = ICountedPools(self.pool, None)
        return () if pool is None else pool.figures()

    def poolOf(self, network: IPv4Network | IPv6Network) -> str:
        """
        See L{ICountedPools.poolOf}.
        """
        pool = ICountedPools(self.pool, None)
        return "" if pool is None else pool.poolOf(network)

    def judge(self, settings: IPv4Section) -> dict[str, str]:
        """
        See L{IReloadable.judge}.
        """
        _judge(settings)
        old, pools = self._settings, IAddressPools.providedBy(self.pool)
        if settings.pools and not pools:
            raise ConfigurationError(
                f'[ipv4] allocator = "{settings.allocator}" knows no other pool than its own: '
                "there can be no [[ipv4.pools]]"
            )
        if settings.pool != old.pool and not pools:
            return {"pool": f'allocator = "{old.allocator}" can\'t change its addresses'}
        return {}

    def reload(self, settings: IPv4Section) -> None:
        """
        See L{IReloadable.reload}.
        """
        self._settings = settings
        pools = settings.allPools(self._gateway)
        if pools == self._pools or not IAddressPools.providedBy(self.pool):
            return
        self._pools = pools
        before = dict.fromkeys(self.pool.networks)
        self.pool.change(pools, tuple(map(str, self._gateway)))
        interface = self._environment.interface
        if interface is not None:
            after = dict.fromkeys(self.pool.networks)
            for network in after:
                if network not in before:
                    self._addRoute(interface, network)
            for network in before:
                if network not in after:
                    interface.removeRoute(network)

    def _addRoute(self, interface: IKernelInterface, network: IPv4Network) -> None:
        """
        Route a network to the interface; log an error if the kernel refuses.
        """
        try:
            interface.addRoute(network)
        except PPTPGWError as error:
            self._log.error("{error}", error=str(error))

    def makeProtocol(self, subscriber: ISubscriber, caller: Caller) -> Deferred[IPCP]:
        """
        Make IPCP for one session, with an address for the caller. See L{INetwork.makeProtocol}.
        """
        profile: Profile = subscriber.profile
        unknown = profile.pool and profile.pool not in self._pools
        if unknown and self._settings.unknownPool == "default" and profile.addresses is None:
            self._log.warn(
                "there is no address pool {pool!a}: {user} gets an address of the default pool",
                pool=profile.pool,
                user=profile.name,
            )
            subscriber = replace(profile, pool="")
        allocated: Deferred[str] = self.pool.allocate(subscriber, caller)
        return allocated.addCallback(self._protocol, profile, caller)

    def release(self, protocol: IPCP) -> Deferred[Any] | None:
        """
        Release the session's address and networks. See L{INetwork.release}.
        """
        settings = protocol.settings
        if settings.peerAddress is None:
            # A call that we dialled.
            self._behind.release(settings.addresses)
            return None
        self._behind.release((networkOf(settings.peerAddress), *settings.addresses))
        released: Deferred[Any] | None = self.pool.release(settings.peerAddress)
        return released

    def ask(self, dial: Dial, subscriber: ISubscriber, caller: Caller) -> IPCP:
        """
        Make IPCP for a call that this gateway dialled. See L{IAskingNetwork.ask}. The other end
        gives us our address and tells its own, to which the networks of C{dial} are routed, too.
        """
        environment, profile = self._environment, subscriber.profile
        # Those that callers get addresses from, if there can be any.
        pools = self.pool.networks if environment.configuration.listen.tunnels else ()
        ends = caller.address, caller.called
        mru: int = environment.mru
        return IPCP(
            IPv4Settings(
                addresses=self._behind.give(profile, (), pools),
                mtu=min(mru, profile.mtu or mru),
                requestDNS=bool(dial.resolvFile),
                judge=Told(environment.sessions, caller.session, self._gateway, ends, pools),
            )
        )

    def _protocol(self, address: str, profile: Profile, caller: Caller) -> IPCP:
        settings, own = self._settings, networkOf(address)
        try:
            if own.network_address in self._gateway or not isUnicast(own):
                # A plugin's allocator gave the address; our own pool never gives one of the
                # gateway's.
                raise Refused(
                    f"{address} can't be a caller's address",
                    retry=False,
                    category=Category.NO_ADDRESS,
                )
            behind = self._behind.give(profile, (own,), self.pool.networks)
        except Refused:
            released = maybeDeferred(self.pool.release, address)
            released.addErrback(self._notReleased, address)
            raise
        mru: int = self._environment.mru
        return IPCP(
            IPv4Settings(
                localAddress=str(settings.local),
                peerAddress=address,
                addresses=behind,
                dns=tuple(map(str, profile.dns or settings.dns)),
                wins=tuple(map(str, profile.wins or settings.wins)),
                mtu=min(mru, profile.mtu or mru),
                compressHeaders=settings.headerCompression == "vj" and caller.tunnel.isLine,
            )
        )

    def _notReleased(self, failure: Failure, address: str) -> None:
        self._log.failure("the pools failed to take back {address}", failure, address=address)


@implementer(INetworkFactory)
class IPv4Factory:
    """
    The plugin C{ipv4}. See L{INetworkFactory}.
    """

    name = "ipv4"
    description = "IPv4 (IPCP, RFC 1332), each caller with an address from a pool"
    settings = IPv4Section

    def makeNetwork(self, settings: IPv4Section, environment: IEnvironment) -> IPv4Sessions:
        """
        See L{INetworkFactory.makeNetwork}.
        """
        name, argument = discovery.specification(settings.allocator)
        factory = discovery.find(IAddressPoolFactory, name)
        gateway = gatewaysOwn(settings, environment.addresses)
        pools = settings.allPools(gateway)
        pool = factory.makePool(
            argument, pools[DEFAULT_POOL].ranges, environment.settings(factory), environment
        )
        network = IPv4Sessions(settings, environment, pool)
        network.judge(settings)
        if IAddressPools.providedBy(pool):
            pool.change(pools, tuple(map(str, gateway)))
        return network


factory = IPv4Factory()


def gatewaysOwn(settings: IPv4Section, called: Iterable[IPv4Address]) -> tuple[IPv4Address, ...]:
    """
    Return the gateway's own addresses, which no caller can have.

    @param called: the addresses that callers dial, C{[listen] addresses}.
    """
    return tuple(dict.fromkeys((settings.local, *called)))


def _judge(settings: IPv4Section) -> None:
    """
    Check that the keys of C{settings} fit together.

    @raise ConfigurationError: the text says what is wrong.
    """
    pools = settings.allPools([settings.local])
    runs = sorted((run, name) for name, pool in pools.items() for run in pool.ranges)
    for (one, its), (other, name) in pairwise(runs):
        if other[0] <= one[1]:
            raise ConfigurationError(
                f"[[ipv4.pools]] {its} and {name} both have {other[0]}; an address belongs to one"
            )
    for name, pool in pools.items():
        seen = [name]
        while pool.next:
            if pool.next not in pools:
                raise ConfigurationError(
                    f'[[ipv4.pools]] {seen[-1]}, next = "{pool.next}": there is no such pool'
                )
            if pool.next in seen:
                raise ConfigurationError(
                    f'[[ipv4.pools]] {seen[-1]}, next = "{pool.next}": the pools go in a circle'
                )
            seen.append(pool.next)
            pool = pools[pool.next]


def _without(run: AddressRange, address: IPv4Address) -> Iterator[AddressRange]:
    first, last = run
    if not first <= address <= last:
        yield run
        return
    if first < address:
        yield first, address - 1
    if address < last:
        yield address + 1, last
