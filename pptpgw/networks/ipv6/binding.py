"""
The bindings of one session's DHCPv6 clients (RFC 8415 section 4.2).

A binding associates one address or prefix with a client (its DUID) and one of its identity
associations (the IAID). It begins as an offer and is bound when the client requests it. An offer
that isn't requested, and a binding whose lifetime ends, stay as offers, so that the same client
gets the same address or prefix again. The number of bindings is limited: at the limit a new client
gets the place of the oldest offer, but never that of a bound one.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.error import Exhausted
from pptpgw.networks.ipv6.wire.dhcpv6 import INFINITY
from pptpgw.timing.timer import cancelled

Client = tuple[bytes, int]
"""
A client's DUID and the IAID of one of its associations.
"""

_RESERVED = (
    (0, 0),
    (0x02005EFFFE000000, 0x02005EFFFEFFFFFF),
    (0xFDFFFFFFFFFFFF80, 0xFDFFFFFFFFFFFFFF),
)

V = TypeVar("V", bound=IPv6Address | IPv6Network)


class _Binding(Generic[V]):
    """
    One binding or offer.

    @ivar value: the address or prefix.
    @ivar bound: whether the client has requested it; otherwise it is an offer.
    @ivar expiry: the timer that ends the binding; None while it is an offer, or bound without end.
    """

    __slots__ = ("bound", "expiry", "value")

    def __init__(self, value: V) -> None:
        self.value = value
        self.bound = False
        self.expiry: IDelayedCall | None = None

    def unbind(self) -> None:
        self.bound = False
        self.expiry = cancelled(self.expiry)


class Bindings(Generic[V]):
    """
    The bindings of one session for one kind of association.
    """

    __slots__ = ("_bindings", "_changed", "_clock", "_limit", "_release", "_take")

    def __init__(
        self,
        clock: IReactorTime,
        limit: int,
        take: Callable[[Client], V],
        release: Callable[[V], None],
        changed: Callable[[], None],
    ) -> None:
        """
        @param limit: the most bindings at once, offers included.
        @param take: finds an address or a prefix for a client; raises L{Exhausted}.
        @param release: takes an address or a prefix back.
        @param changed: called when L{values} has changed, before values that it has lost are
            released.
        """
        self._clock = clock
        self._limit = limit
        self._take = take
        self._release = release
        self._changed = changed
        self._bindings: dict[Client, _Binding[V]] = {}

    @property
    def values(self) -> tuple[V, ...]:
        """
        The addresses or prefixes that are bound.
        """
        return tuple(binding.value for binding in self._bindings.values() if binding.bound)

    def offer(self, client: Client) -> V | None:
        """
        Return the address or prefix that C{client} holds, or a new offer; None if nothing is left
        for it.
        """
        if binding := self._bindings.get(client):
            return binding.value
        if len(self._bindings) >= self._limit and not self._dropOffer():
            return None
        try:
            value = self._take(client)
        except Exhausted:
            return None
        self._bindings[client] = _Binding(value)
        return value

    def bind(self, client: Client, lifetime: int) -> None:
        """
        Bind what C{client} was offered, or extend its binding, for C{lifetime} seconds from now.
        """
        binding = self._bindings[client]
        new = not binding.bound
        binding.unbind()
        binding.bound = True
        if lifetime != INFINITY:
            binding.expiry = self._clock.callLater(lifetime, self._expired, binding)
        if new:
            self._changed()

    def bound(self, client: Client) -> V | None:
        """
        Return the address or prefix that C{client} has bound; None if there is none.
        """
        binding = self._bindings.get(client)
        return binding.value if binding is not None and binding.bound else None

    def release(self, client: Client) -> None:
        """
        Remove the binding or offer of C{client}, and release its address or prefix.
        """
        binding = self._bindings.pop(client)
        if binding.bound:
            binding.unbind()
            self._changed()
        self._release(binding.value)

    def close(self) -> None:
        """
        Release everything, without a call of C{changed}, because the session is over.
        """
        while self._bindings:
            _, binding = self._bindings.popitem()
            binding.unbind()
            self._release(binding.value)

    def _dropOffer(self) -> bool:
        for client, binding in self._bindings.items():
            if not binding.bound:
                self.release(client)
                return True
        return False

    def _expired(self, binding: _Binding[V]) -> None:
        binding.unbind()
        self._changed()


class AddressSource:
    """
    A source of addresses within one /64. Each is derived from the client that gets it (RFC 7943),
    so that a client gets the same address again.
    """

    __slots__ = ("_declined", "_network", "_used")

    def __init__(self, network: IPv6Network) -> None:
        self._network = network
        self._used: set[IPv6Address] = set()
        self._declined = 0

    def take(self, client: Client) -> IPv6Address:
        """
        Return an address for C{client} that no other client has.
        """
        counter = self._declined
        while True:
            address = self._address(client, counter)
            if address is not None and address not in self._used:
                self._used.add(address)
                return address
            counter += 1

    def release(self, address: IPv6Address) -> None:
        """
        Make C{address} free again.
        """
        self._used.discard(address)

    def decline(self) -> None:
        """
        Derive other addresses from now on, because a client found that its address is in use
        elsewhere.
        """
        self._declined += 1

    def _address(self, client: Client, counter: int) -> IPv6Address | None:
        duid, iaid = client
        text = b"%b%b%b" % (duid, iaid.to_bytes(4, "big"), counter.to_bytes(8, "big"))
        identifier = int.from_bytes(sha256(text).digest()[:8], "big")
        # RFC 5453 reserves some interface identifiers, such as those of anycast addresses.
        if any(first <= identifier <= last for first, last in _RESERVED):
            return None
        return self._network[identifier]
