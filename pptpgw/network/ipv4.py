"""
IPv4 for the whole gateway: its own address, and the addresses of its callers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw import plugin
from pptpgw.interfaces import (
    IAddressPool,
    IAddressPoolFactory,
    INetwork,
    INetworkEnvironment,
    INetworkFactory,
    ISubscriber,
)
from pptpgw.kind import (
    ADDRESS,
    RANGES,
    SPECIFICATION,
    TWO_ADDRESSES,
    AddressRange,
    key,
)
from pptpgw.ncp.ipv4 import IPCP, IPv4Settings


@dataclass(frozen=True, slots=True)
class IPv4:
    """
    C{[ipv4]}: the addresses that IPCP deals in.

    @ivar local: the gateway's end of every link.
    @ivar pool: what callers are given, in this order, C{local} never among it; may be empty where
        every user has an address of their own.
    @ivar allocator: the plugin that gives them.
    @ivar dns: at most two name servers.
    @ivar wins: at most two NetBIOS name servers.
    """

    local: IPv4Address = key(ADDRESS, IPv4Address("10.77.0.1"))
    pool: tuple[AddressRange, ...] = key(
        RANGES, ((IPv4Address("10.77.0.10"), IPv4Address("10.77.0.140")),)
    )
    allocator: str = key(SPECIFICATION, "ranges")
    dns: tuple[IPv4Address, ...] = key(TWO_ADDRESSES, ())
    wins: tuple[IPv4Address, ...] = key(TWO_ADDRESSES, ())


@implementer(INetwork)
class IPv4Network:
    """
    See L{INetwork}.

    @ivar pool: where the callers' addresses come from.
    """

    def __init__(
        self, settings: IPv4, environment: INetworkEnvironment, pool: IAddressPool
    ) -> None:
        self.pool = pool
        self._environment = environment
        self._local = settings.local
        self._localAddress = str(settings.local)
        self._dns = tuple(map(str, settings.dns))
        self._wins = tuple(map(str, settings.wins))

    def start(self) -> None:
        """
        Give the interface our address, and lead the pool to it.
        """
        interface = self._environment.interface
        if interface is not None:
            interface.addAddress(IPv4Interface(self._local))
            for network in self.pool.networks:
                interface.addRoute(network)

    def stop(self) -> None:
        """
        Address and routes go with the interface.
        """

    def makeProtocol(self, subscriber: ISubscriber) -> Deferred[IPCP]:
        """
        Find an address for C{subscriber}.
        """
        allocated: Deferred[str] = self.pool.allocate(subscriber)
        return allocated.addCallback(self._protocol)

    def release(self, protocol: IPCP) -> None:
        """
        Take the address back.
        """
        address = protocol.settings.peerAddress
        assert address is not None
        self.pool.release(address)

    def _protocol(self, address: str) -> IPCP:
        return IPCP(
            IPv4Settings(
                localAddress=self._localAddress,
                peerAddress=address,
                dns=self._dns,
                wins=self._wins,
                mtu=self._environment.mru,
            )
        )


@implementer(INetworkFactory)
class IPv4Factory:
    """
    See L{INetworkFactory}.
    """

    name = "ipv4"
    description = "IPv4 (IPCP, RFC 1332), each caller with an address from a pool"
    settings = IPv4

    def makeNetwork(self, settings: IPv4, environment: INetworkEnvironment) -> IPv4Network:
        """
        See L{INetworkFactory.makeNetwork}.
        """
        ranges = [part for run in settings.pool for part in _without(run, settings.local)]
        name, argument = plugin.specification(settings.allocator)
        factory = plugin.find(IAddressPoolFactory, name)
        pool = factory.makePool(argument, ranges, environment.reactor)
        return IPv4Network(settings, environment, pool)


def _without(run: AddressRange, address: IPv4Address) -> Iterator[AddressRange]:
    first, last = run
    if not first <= address <= last:
        yield run
        return
    if first < address:
        yield first, address - 1
    if address < last:
        yield address + 1, last
