"""
The operations of pools: how much of each is in use, and who has which address or prefix.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from msgspec import Struct

from pptpgw.interfaces import ICountedPools, IGatewayService, ISession, PoolFigures
from pptpgw.management.operation import Operation, OperationRequest
from pptpgw.management.page import Columns, Page, page
from pptpgw.management.sessions import textOf


class PoolView(Struct, frozen=True):
    """
    A pool of addresses or prefixes.

    @ivar network: the network protocol.
    @ivar name: the name of the pool.
    @ivar size: the number of addresses or prefixes that callers may be given.
    @ivar used: how many of them callers have.
    @ivar reserved: how many of the others belong to accounts, and are given to nobody else.
    @ivar free: how many of them any caller may be given now.
    @ivar next: the name of the pool that serves when this one is used up; empty for none.
    """

    network: str
    name: str
    size: int
    used: int
    reserved: int
    free: int
    next: str


class PoolFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which pools are chosen.

    @ivar network: the network protocol.
    @ivar name: the name of the pool.
    """

    network: str | None = None
    name: str | None = None


class AddressView(Struct, frozen=True):
    """
    An address, prefix or network that a session has.

    @ivar address: the address, without a length, or the prefix or network.
    @ivar network: the network protocol.
    @ivar pool: the name of the pool that it is from; empty if it is from none.
    @ivar user: the name of the user.
    @ivar session_id: the identifier of the session.
    """

    address: str
    network: str
    pool: str
    user: str
    session_id: str


class AddressFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which addresses are chosen.

    @ivar address: the address, prefix or network.
    @ivar network: the network protocol.
    @ivar pool: the name of the pool that it is from.
    @ivar user: the name of the user.
    @ivar session_id: the identifier of the session.
    """

    address: str | None = None
    network: str | None = None
    pool: str | None = None
    user: str | None = None
    session_id: str | None = None


class _Pool(NamedTuple):
    network: str
    figures: PoolFigures


class _Held(NamedTuple):
    """
    What a session has of one network protocol.
    """

    session: ISession
    name: str
    network: IPv4Network | IPv6Network


_COLUMNS: Columns[_Pool] = {
    "network": lambda one: one.network,
    "name": lambda one: one.figures.name,
    "size": lambda one: one.figures.size,
    "used": lambda one: one.figures.used,
    "reserved": lambda one: one.figures.reserved,
    "free": lambda one: one.figures.free,
    "next": lambda one: one.figures.next,
}


class Pools:
    """
    Answers the requests for pools.
    """

    def __init__(self, gateway: IGatewayService) -> None:
        self._gateway = gateway
        self._columns: Columns[_Held] = {
            "address": lambda one: textOf(one.network),
            "network": lambda one: one.name,
            "pool": self._poolOf,
            "user": lambda one: one.session.user,
            "session_id": lambda one: one.session.identifier,
        }

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET",
            "/pools",
            "List pools of addresses and prefixes.",
            self._list,
            Page[PoolView],
            query=PoolFilter,
            paged=True,
        )
        yield Operation(
            "GET",
            "/addresses",
            "List who has which address, prefix or network.",
            self._held,
            Page[AddressView],
            query=AddressFilter,
            paged=True,
        )

    async def _list(self, request: OperationRequest) -> Page[PoolView]:
        return await page(self._pools(), request, _COLUMNS, _view)

    async def _held(self, request: OperationRequest) -> Page[AddressView]:
        return await page(self._all(), request, self._columns, self._heldView, lasts=True)

    def _pools(self) -> Iterator[_Pool]:
        for name, network in self._gateway.networks.items():
            for figures in ICountedPools(network).figures() if _isCounted(network) else ():
                yield _Pool(name, figures)

    def _all(self) -> Iterator[_Held]:
        """
        Iterate over what the current sessions have. They may end meanwhile.
        """
        for session in self._gateway.sessions:
            for name, networks in tuple(session.networks.items()):
                for network in networks:
                    yield _Held(session, name, network)

    def _poolOf(self, held: _Held) -> str:
        network = self._gateway.networks.get(held.name)
        return ICountedPools(network).poolOf(held.network) if _isCounted(network) else ""

    def _heldView(self, held: _Held) -> AddressView:
        return AddressView(
            textOf(held.network),
            held.name,
            self._poolOf(held),
            held.session.user,
            held.session.identifier,
        )


def _isCounted(network: object) -> bool:
    return ICountedPools.providedBy(network)


def _view(pool: _Pool) -> PoolView:
    one = pool.figures
    return PoolView(pool.network, one.name, one.size, one.used, one.reserved, one.free, one.next)
