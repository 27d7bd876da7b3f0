"""
Networks behind users: what an account's routes lead to a session.

A network isn't given that holds the gateway's own address, overlaps what callers get addresses
from, or is another user's; sessions of one user may share one. What isn't given is logged, and the
session goes on without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Generic, TypeVar

from pptpgw.log import Logger
from pptpgw.profile import Profile

N = TypeVar("N", IPv4Network, IPv6Network)


class NetworksBehind(Generic[N]):
    """
    Those of one address family.
    """

    _log = Logger()

    def __init__(self, family: type[N], local: IPv4Address | IPv6Address) -> None:
        """
        @param local: the gateway's own address.
        """
        self._family: type[N] = family
        self._local = local
        # Whose each is, and how many sessions have it.
        self._owners: dict[N, str] = {}
        self._sharing: Counter[N] = Counter()

    def give(self, profile: Profile, pools: Iterable[N]) -> tuple[N, ...]:
        """
        The networks for one session of C{profile}.

        @param pools: what callers get addresses from.
        """
        given = []
        pools = tuple(pools)
        for network in dict.fromkeys(profile.routes):
            if not isinstance(network, self._family):
                continue
            fault = self._fault(network, profile.name, pools)
            if fault:
                self._log.warn(
                    "{user} goes without a route for {network}: {fault}",
                    user=profile.name,
                    network=str(network),
                    fault=fault,
                )
            else:
                self._owners[network] = profile.name
                self._sharing[network] += 1
                given.append(network)
        return tuple(given)

    def release(self, networks: Iterable[N]) -> None:
        """
        A session that had C{networks} is over.
        """
        for network in networks:
            self._sharing[network] -= 1
            if not self._sharing[network]:
                del self._sharing[network], self._owners[network]

    def _fault(self, network: N, user: str, pools: tuple[Any, ...]) -> str:
        """
        Why C{network} can't lead to a session of C{user}; empty: it can.
        """
        if self._local in network:
            return f"the gateway's own address, {self._local}, belongs to it"
        if any(network.overlaps(pool) for pool in pools):
            return "it overlaps what callers get addresses from"
        owner = self._owners.get(network, user)
        return "" if owner == user else f"it leads to {owner}"
