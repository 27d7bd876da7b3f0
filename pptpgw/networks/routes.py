"""
Networks behind users: the networks that an account's routes lead to its sessions.

A network is refused if it holds an address of the gateway, overlaps the ranges that callers get
addresses from, or belongs to another user; sessions of one user may share a network. A refusal is
logged, and the session goes on without the network. A network may contain addresses and networks of
other users. These stay with the other users: a session with the larger network can't send from them
(L{pptpgw.datapath.source}).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Generic, TypeVar

from pptpgw.error import Category, Refused
from pptpgw.log import Logger
from pptpgw.sessions.profile import Profile

Address = IPv4Address | IPv6Address
N = TypeVar("N", IPv4Network, IPv6Network)


class _Owner:
    """
    The user that a network leads to.

    @ivar sessions: the number of the user's sessions that have the network.
    """

    __slots__ = ("sessions", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.sessions = 0


class NetworksBehind(Generic[N]):
    """
    The networks of one address family that lead to sessions, and the users that they belong to.
    """

    _log = Logger()

    def __init__(self, family: type[N], gateway: Collection[Address], length: int) -> None:
        """
        @param gateway: the gateway's own addresses.
        @param length: the prefix length of a session's own network, in bits.
        """
        self._family: type[N] = family
        self._gateway = tuple(gateway)
        self._length = length
        # The owner of each network, including the networks that sessions have for themselves.
        self._owners: dict[N, _Owner] = {}
        # The networks with a longer prefix than a session's own network.
        self._narrow: dict[N, None] = {}

    def give(self, profile: Profile, own: Sequence[N], pools: Iterable[N]) -> tuple[N, ...]:
        """
        Return the networks behind the user that one session of C{profile} gets.

        @param own: the networks that the session has for itself, the one of its link first.
        @param pools: the ranges that callers get addresses from.
        @raise Refused: one of C{own} leads to another user.
        """
        user = profile.name
        for network in own:
            if owner := self._other(network, user):
                raise Refused(
                    f"{network} leads to {owner}, whose network holds it",
                    retry=False,
                    category=Category.NO_ADDRESS,
                )
        for network in own:
            self._hold(network, user)
        given = []
        pools = tuple(pools)
        for route in dict.fromkeys(profile.routes):
            if not isinstance(route, self._family):
                continue
            fault = self._fault(route, user, pools)
            if fault:
                self._log.warn(
                    "{user} goes without a route for {network}: {fault}",
                    user=user,
                    network=str(route),
                    fault=fault,
                )
            else:
                self._hold(route, user)
                given.append(route)
        return tuple(given)

    def release(self, networks: Iterable[N]) -> None:
        """
        Release the networks of a session that has ended.

        @param networks: the session's own networks and those behind its user.
        """
        for network in networks:
            owner = self._owners[network]
            owner.sessions -= 1
            if not owner.sessions:
                del self._owners[network]
                self._narrow.pop(network, None)

    def _hold(self, network: N, user: str) -> None:
        owner = self._owners.get(network)
        if owner is None:
            owner = self._owners[network] = _Owner(user)
        owner.sessions += 1
        if network.prefixlen > self._length:
            self._narrow[network] = None

    def _other(self, network: N, user: str) -> str:
        """
        Return the name of another user that C{network} conflicts with; empty if there is none.

        There is a conflict if C{network} leads to the other user or lies in the network of that
        user's link, or if C{network} is a link's own and a part of it leads to the other user.
        """
        near: list[N] = [network]
        if network.prefixlen > self._length:
            near.append(network.supernet(new_prefix=self._length))
        elif network.prefixlen == self._length:
            near += [one for one in self._narrow if one.subnet_of(network)]
        for one in near:
            owner = self._owners.get(one)
            if owner is not None and owner.user != user:
                return owner.user
        return ""

    def _fault(self, network: N, user: str, pools: tuple[Any, ...]) -> str:
        """
        Return why C{network} can't lead to a session of C{user}; empty if it can.
        """
        for address in self._gateway:
            if address in network:
                return f"the gateway's own address, {address}, belongs to it"
        if any(network.overlaps(pool) for pool in pools):
            return "it overlaps what callers get addresses from"
        owner = self._other(network, user)
        return f"it leads to {owner}" if owner else ""
