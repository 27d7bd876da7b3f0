"""
The leases of one session's DHCPv6 clients: each function takes an association from a client's
message, and returns it as it stands in the answer (RFC 8415 section 18.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import islice

from twisted.internet.interfaces import IReactorTime

from pptpgw.networks.ipv6.binding import AddressSource, Bindings, Client
from pptpgw.networks.ipv6.prefix import Prefixes
from pptpgw.networks.ipv6.wire.dhcpv6 import (
    INFINITY,
    Address,
    Association,
    Prefix,
    RenewableAssociation,
)
from pptpgw.networks.ipv6.wire.dhcpv6option import Status, StatusCode

MAX_ADDRESSES = 8
MAX_PREFIXES = 4
"""
The most prefixes that one session may have at once.
"""

MAX_WITHDRAWN = 2
"""
The most leases of one association that an answer declares to have ended.
"""

Value = IPv6Address | IPv6Network


class Leases:
    """
    The leases of one session: addresses from its own network, prefixes from the gateway's pool.
    """

    __slots__ = ("_addresses", "_network", "_preferred", "_prefixes", "_source", "_valid")

    def __init__(
        self,
        clock: IReactorTime,
        network: IPv6Network,
        pool: Prefixes,
        changed: Callable[[], None],
        preferred: int,
        valid: int,
    ) -> None:
        """
        @param network: the session's own /64.
        @param pool: the source of delegated prefixes.
        @param changed: called when L{prefixes} has changed.
        @param preferred: the preferred lifetime of leases, in seconds.
        @param valid: the valid lifetime of leases, in seconds.
        """
        self._network = network
        self._preferred = preferred
        self._valid = valid
        self._source = AddressSource(network)
        self._addresses = Bindings(
            clock, MAX_ADDRESSES, self._source.take, self._source.release, lambda: None
        )
        self._prefixes = Bindings(
            clock, MAX_PREFIXES, lambda client: pool.allocate(), pool.release, changed
        )

    @property
    def prefixes(self) -> tuple[IPv6Network, ...]:
        """
        The prefixes that are bound to clients.
        """
        return self._prefixes.values

    def belongs(self, value: Value) -> bool:
        """
        Return whether C{value} is an address of this link, or a prefix that is delegated to the
        session.
        """
        if isinstance(value, IPv6Address):
            return value in self._network
        return value in self.prefixes

    def lend(self, client: Client, association: Association, bind: bool) -> Association:
        """
        Offer C{client} an address or a prefix for C{association}.

        @param bind: whether the client has it from now on, and not only an offer.
        @return: the association for the answer: the lease, or a status that says why there is none.
        """
        if isinstance(association, RenewableAssociation):
            bindings = self._bindings(association)
            value = bindings.offer(client)
            if value is not None:
                if bind:
                    bindings.bind(client, self._valid)
                return self._granted(association, value)
        if association.kind is Prefix:
            return without(association, StatusCode.NO_PREFIX_AVAIL)
        return without(association, StatusCode.NO_ADDRS_AVAIL)

    def extend(
        self, client: Client, association: Association, withdraw: bool = False
    ) -> Association:
        """
        Extend the lease that C{client} has for C{association}.

        @param withdraw: whether to declare those leases ended that don't belong to this link, if
            the client has none here.
        @return: the association for the answer: the lease, or the status NoBinding.
        """
        if isinstance(association, RenewableAssociation):
            bindings = self._bindings(association)
            value = bindings.bound(client)
            if value is not None:
                bindings.bind(client, self._valid)
                others = [other for other in named(association) if other != value]
                return self._granted(association, value, others)
        foreign = [value for value in named(association) if withdraw and not self.belongs(value)]
        return without(association, StatusCode.NO_BINDING, foreign)

    def takeBack(self, client: Client, association: Association) -> Association | None:
        """
        Release those leases of C{client} that C{association} names.

        @return: the association for the answer, with the status NoBinding; None if the client had a
            lease.
        """
        if isinstance(association, RenewableAssociation):
            bindings = self._bindings(association)
            value = bindings.bound(client)
            if value is not None:
                if value in named(association):
                    bindings.release(client)
                return None
        return without(association, StatusCode.NO_BINDING)

    def decline(self, client: Client, association: Association) -> Association | None:
        """
        Release a lease as L{takeBack} does, because somebody else uses the address. The client gets
        another address next time.
        """
        self._source.decline()
        return self.takeBack(client, association)

    def close(self) -> None:
        """
        Release all leases, because the session is over.
        """
        self._addresses.close()
        self._prefixes.close()

    def _bindings(
        self, association: RenewableAssociation
    ) -> Bindings[IPv6Address] | Bindings[IPv6Network]:
        return self._prefixes if association.kind is Prefix else self._addresses

    def _granted(
        self, association: RenewableAssociation, value: Value, others: Iterable[Value] = ()
    ) -> Association:
        """
        Return C{association} with the lease of C{value}, and C{others} declared ended.
        """
        endless = self._preferred == INFINITY
        return replace(
            association,
            leases=(_lease(value, self._preferred, self._valid), *_withdrawn(others)),
            status=None,
            t1=INFINITY if endless else self._preferred // 2,
            t2=INFINITY if endless else self._preferred * 4 // 5,
        )


def named(association: Association) -> list[Value]:
    """
    Return the addresses or prefixes that a client names, without those of zeros, which stand for
    any.
    """
    return [
        lease.value
        for lease in association.leases
        if not (lease.value if isinstance(lease, Address) else lease.value[0]).is_unspecified
    ]


def without(
    association: Association, code: StatusCode, withdrawn: Iterable[Value] = ()
) -> Association:
    """
    Return C{association} with a status and no lease.

    @param withdrawn: addresses or prefixes that the client must no longer use.
    """
    kind = type(association)
    return kind(association.iaid, _withdrawn(withdrawn), makeStatus(code))


def makeStatus(code: StatusCode) -> Status:
    """
    Return the status option for C{code}, with a text.
    """
    return Status(code, code.name.lower().replace("_", " "))


def _lease(value: Value, preferred: int = 0, valid: int = 0) -> Address | Prefix:
    if isinstance(value, IPv6Address):
        return Address(value, preferred, valid)
    return Prefix(value, preferred, valid)


def _withdrawn(values: Iterable[Value]) -> tuple[Address | Prefix, ...]:
    return tuple(_lease(value) for value in islice(values, MAX_WITHDRAWN))
