"""
Address pools, which give IPv4 addresses to users, and the plugins that make them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.interfaces.authentication import ISubscriber
from pptpgw.interfaces.caller import Caller
from pptpgw.interfaces.environment import IEnvironment


class IAddressPool(Interface):
    """
    A source of IPv4 addresses for subscribers.
    """

    networks = Attribute("The networks that cover the pool's addresses, a tuple of IPv4Network.")

    def allocate(subscriber: ISubscriber, caller: Caller) -> Deferred[str]:
        """
        Choose an address for this subscriber that no other session uses.

        @param caller: who calls, with the number and the identifier of the session.

        @return: fires with the address, dotted. It fails like the Deferred of
            L{pptpgw.interfaces.INetwork.makeProtocol}.
        """

    def release(address: str) -> Deferred[Any] | None:
        """
        Take back C{address}, because its session has ended.

        @return: see L{pptpgw.interfaces.INetwork.release}.
        """


DEFAULT_POOL = "default"
"""
The name of the pool of C{[ipv4] pool}, which serves users whose accounts name no pool.
"""


@dataclass(frozen=True, slots=True)
class PoolRanges:
    """
    The addresses of a pool.

    @ivar ranges: the first and the last address of each range. No address is in two pools.
    @ivar next: the name of the pool that serves when this one has no free address; empty for none.
    """

    ranges: tuple[tuple[IPv4Address, IPv4Address], ...]
    next: str = ""


class IAddressPools(IAddressPool):
    """
    An address pool that consists of named pools, which may change while it is in use.
    """

    def change(pools: Mapping[str, PoolRanges], gateway: Collection[str]) -> None:
        """
        Replace the pools. Addresses in use remain so until they are released.

        @param pools: the new pools by name, including L{DEFAULT_POOL}.
        @param gateway: the gateway's own addresses, dotted, which are given to nobody and are in no
            pool.
        """

    def reserve(user: str, addresses: Sequence[str]) -> None:
        """
        Record that the account of C{user} owns C{addresses}, dotted, so that no pool gives them to
        another user. This replaces the account's earlier reservation.
        """


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """
    How much of a pool is in use.

    @ivar name: the name of the pool, which no other pool of its network has.
    @ivar size: the number of addresses or prefixes that callers may be given.
    @ivar used: how many of them callers have.
    @ivar reserved: how many of the others belong to accounts, and are given to nobody else.
    @ivar next: the name of the pool that serves when this one is used up; empty for none.
    """

    name: str
    size: int
    used: int
    reserved: int = 0
    next: str = ""

    @property
    def free(self) -> int:
        """
        How many of them any caller may be given now.
        """
        return self.size - self.used - self.reserved


class ICountedPools(Interface):
    """
    Pools that tell how much of them is in use. A network (L{pptpgw.interfaces.INetwork}) may
    provide this, and an L{IAddressPool}, which C{[ipv4]} asks then.
    """

    def figures() -> Sequence[PoolFigures]:
        """
        Return the figures of each pool. Operators and metrics ask for them often, so they must be
        there without a search.
        """

    def poolOf(network: IPv4Network | IPv6Network) -> str:
        """
        Return the name of the pool from which a caller has C{network}, a single address or a
        prefix; empty if it is from none.
        """


class IAddressPoolFactory(IPlugin):
    """
    A plugin that makes an address pool, chosen by C{[ipv4] allocator}.
    """

    name = Attribute("The name by which the configuration chooses the pool.")
    description = Attribute("One line that says what the pool is, and its argument if any.")

    settings = Attribute("The type of its section, as for L{pptpgw.interfaces.INetworkFactory}.")

    def makePool(
        argument: str,
        ranges: Sequence[tuple[IPv4Address, IPv4Address]],
        settings: Any,
        environment: IEnvironment,
    ) -> IAddressPool:
        """
        Make the pool, without opening anything yet. A pool that provides
        L{twisted.application.service.IService} is started and stopped with the gateway.

        @param argument: the text after C{NAME:} in the configuration.
        @param ranges: the ranges of C{[ipv4] pool}, first and last addresses, for plugins that use
            them.
        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the argument can't be used; the text says why.
        """
