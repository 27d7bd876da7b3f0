"""
Address pools.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
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

    networks = Attribute("The networks that cover its addresses, a tuple of IPv4Network.")

    def allocate(subscriber: ISubscriber, caller: Caller) -> Deferred[str]:
        """
        Give an address to this subscriber that no other session uses.

        @param caller: who calls, with the number and the identifier of the session.

        @return: fires with the address, dotted; fails as L{pptpgw.interfaces.INetwork.makeProtocol}
            does.
        """

    def release(address: str) -> Deferred[Any] | None:
        """
        Take back C{address}, after its session has ended.

        @return: see L{pptpgw.interfaces.INetwork.release}.
        """


DEFAULT_POOL = "default"
"""
The name of the pool for users whose accounts name none: C{[ipv4] pool}.
"""


@dataclass(frozen=True, slots=True)
class PoolRanges:
    """
    The addresses of a pool.

    @ivar ranges: the first and the last address of each run of addresses; no two pools share one.
    @ivar next: the name of the pool to take from when this one is used up; empty for none.
    """

    ranges: tuple[tuple[IPv4Address, IPv4Address], ...]
    next: str = ""


class IAddressPools(IAddressPool):
    """
    An address pool that knows pools by name, and whose pools may change.
    """

    def change(pools: Mapping[str, PoolRanges], gateway: Collection[str]) -> None:
        """
        Replace the pools. Addresses that are in use stay so until they are released.

        @param pools: the new pools by name, L{DEFAULT_POOL} among them.
        @param gateway: the gateway's own addresses, dotted, which are never given. The pools have
            none of them.
        """

    def reserve(user: str, addresses: Sequence[str]) -> None:
        """
        Record that the account of C{user} owns C{addresses}, dotted, so that no pool gives them to
        another user. They replace those that it owned before.
        """


class IAddressPoolFactory(IPlugin):
    """
    A plugin that makes an address pool, chosen by C{[ipv4] allocator}.
    """

    name = Attribute("What it is chosen by.")
    description = Attribute("One line on what it is, and on its argument where it takes one.")

    settings = Attribute("The type of its section, as for L{pptpgw.interfaces.INetworkFactory}.")

    def makePool(
        argument: str,
        ranges: Sequence[tuple[IPv4Address, IPv4Address]],
        settings: Any,
        environment: IEnvironment,
    ) -> IAddressPool:
        """
        Make the pool; it must not open anything yet. A pool that provides
        L{twisted.application.service.IService} is started and stopped with the gateway.

        @param argument: what stands behind C{NAME:} in the configuration.
        @param ranges: those of C{[ipv4] pool}, first and last addresses, for pools that take them.
        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the argument is of no use; the text says why.
        """
