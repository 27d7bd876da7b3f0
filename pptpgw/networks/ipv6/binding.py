"""
What the DHCPv6 clients of one session hold: the bindings of RFC 8415 section 4.2.

The rules: a binding joins a client (its DUID) and one of its associations (the IAID) to one address
or prefix. It is offered first and bound when the client asks for it; one that isn't extended in
time, or was never asked for, stays as an offer, so that the same client gets the same again. There
are so many and no more: where all places are taken, the oldest offer gives way to a new client, and
what is bound gives way to none.
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
A DUID and an IAID.
"""

_RESERVED = (
    (0, 0),
    (0x02005EFFFE000000, 0x02005EFFFEFFFFFF),
    (0xFDFFFFFFFFFFFF80, 0xFDFFFFFFFFFFFFFF),
)

V = TypeVar("V", bound=IPv6Address | IPv6Network)


class _Binding(Generic[V]):
    """
    @ivar value: the address or prefix.
    @ivar bound: whether the client has asked for it; otherwise it is an offer.
    @ivar expiry: ends it, where it ends.
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
    The bindings of one session's associations of one kind.
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
        @param limit: the most that may be held at once, offers included.
        @param take: finds an address or a prefix for a client; raises L{Exhausted}.
        @param release: takes it back.
        @param changed: called when L{values} has changed, before what left it is released.
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
        What is bound.
        """
        return tuple(binding.value for binding in self._bindings.values() if binding.bound)

    def offer(self, client: Client) -> V | None:
        """
        What C{client} holds, or may have from now on; None where nothing is left for it.
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
        Let C{client} have what it was offered, or have it longer, for C{lifetime} seconds from now.
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
        What C{client} has bound.
        """
        binding = self._bindings.get(client)
        return binding.value if binding is not None and binding.bound else None

    def release(self, client: Client) -> None:
        """
        C{client} gives back what it holds.
        """
        binding = self._bindings.pop(client)
        if binding.bound:
            binding.unbind()
            self._changed()
        self._release(binding.value)

    def close(self) -> None:
        """
        The session is over: release everything; nobody is told.
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
    Addresses within one network of 64 bits, each made from the client that gets it as RFC 7943
    does, so that it gets the same again.
    """

    __slots__ = ("_declined", "_network", "_used")

    def __init__(self, network: IPv6Network) -> None:
        self._network = network
        self._used: set[IPv6Address] = set()
        self._declined = 0

    def take(self, client: Client) -> IPv6Address:
        """
        An address for C{client} that nobody else was given.
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
        Take C{address} back.
        """
        self._used.discard(address)

    def decline(self) -> None:
        """
        Somebody else uses an address that a client had: from now on, clients get others.
        """
        self._declined += 1

    def _address(self, client: Client, counter: int) -> IPv6Address | None:
        duid, iaid = client
        text = b"%b%b%b" % (duid, iaid.to_bytes(4, "big"), counter.to_bytes(8, "big"))
        identifier = int.from_bytes(sha256(text).digest()[:8], "big")
        # RFC 5453: identifiers of anycast addresses.
        if any(first <= identifier <= last for first, last in _RESERVED):
            return None
        return self._network[identifier]
