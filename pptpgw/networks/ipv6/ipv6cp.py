"""
IPv6 and its control protocol, IPV6CP (RFC 5072).

The rules:

 - Each end has an interface identifier, eight octets that make its link-local address. Ours is
   random unless the settings name one. Its universal/local bit is zero, also in identifiers that we
   suggest; eight zeros ask the peer for an identifier.
 - A peer that asks for zeros, or for the same identifier as ours, is given another one in a Nak. If
   both are zeros, no identifier can be found, and the option is rejected (RFC 5072 section 4.1).
 - A Nak is followed, unless it names an identifier that is in use on the link or that we suggested
   to the peer: then both ends chose alike, and we choose anew.
 - A peer that rejects our identifier needn't know it. A peer whose identifier the settings demand
   gets no other; if it never asks for one it is told once.
 - IPv6-Compression-Protocol (option 2, RFC 5172) is rejected.
 - A peer whose MRU is below L{LEAST_MRU} can't have IPv6. Packets of 1280 octets must fit (RFC 8200
   section 5), encrypted ones too, because no Packet Too Big may name a smaller size.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Any, ClassVar

from pptpgw.interfaces import Attachment
from pptpgw.networks.ipv6.wire.ipv6 import MINIMUM_MTU
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.mppe import MPPE_OVERHEAD
from pptpgw.ppp.option import GiveUp, Option
from pptpgw.ppp.wire import ppp

LEAST_MRU = MINIMUM_MTU + MPPE_OVERHEAD
"""
The smallest MRU of a link that carries IPv6, in octets.
"""

# Option type (RFC 5072 section 4.1).
INTERFACE_IDENTIFIER = 1

_OCTETS = 8
_NONE = bytes(_OCTETS)
_LINK_LOCAL = bytes.fromhex("fe80000000000000")
# In the first octet: whether the rest is unique in the world.
_UNIVERSAL = 0x02


@dataclass(frozen=True, slots=True)
class IPv6Settings:
    """
    What this end has and gives.

    @ivar identifier: our interface identifier; zeros: ask the peer for one; None: a random one.
    @ivar peerIdentifier: the only one that the peer may have; None: any.
    @ivar addresses: the networks that the peer may send from and that lead to it.
    @ivar mtu: the largest packet that may be sent to the peer, in octets.
    @ivar receive: see L{Attachment}; C{permits} too.
    """

    identifier: bytes | None = None
    peerIdentifier: bytes | None = None
    addresses: tuple[IPv6Network, ...] = ()
    mtu: int = 1400
    receive: Callable[[bytes], None] | None = None
    permits: Callable[[bytes], bool] | None = None

    @classmethod
    def client(cls, receive: Callable[[bytes], None], mtu: int = 1400) -> IPv6Settings:
        """
        Those of a client: C{receive} is called with each packet.
        """
        return cls(mtu=mtu, receive=receive)


def randomIdentifier() -> bytes:
    """
    An interface identifier that nobody else will have.
    """
    first, *others = secrets.token_bytes(_OCTETS)
    # Never zeros: the last octet is odd.
    return bytes((first & ~_UNIVERSAL, *others[:-1], others[-1] | 1))


class _Identifier(Option["IPV6CP"]):
    """
    Interface-Identifier (RFC 5072 section 4.1).
    """

    __slots__ = ()

    def wanted(self, owner: IPV6CP) -> bytes | None:
        return owner.identifier

    def naked(self, owner: IPV6CP, current: bytes, suggested: bytes) -> bytes | None:
        taken = (_NONE, owner.suggested, owner.negotiator.allowed.get(INTERFACE_IDENTIFIER))
        usable = len(suggested) == _OCTETS and suggested not in taken
        owner.identifier = suggested if usable else owner.another()
        return owner.identifier

    def rejected(self, owner: IPV6CP, current: bytes) -> None:
        if current == _NONE:
            raise GiveUp("the peer gives us no interface identifier")

    def judge(self, owner: IPV6CP, value: bytes) -> bytes | None:
        demanded = owner.settings.peerIdentifier
        if demanded is not None:
            return demanded
        if value == _NONE == owner.identifier:
            return None
        if len(value) == _OCTETS and value not in (_NONE, owner.identifier):
            return value
        owner.suggested = owner.another()
        return owner.suggested

    def missing(self, owner: IPV6CP) -> bytes | None:
        # A peer that doesn't ask after that doesn't know the option (section 4.1).
        return owner.settings.peerIdentifier if owner.negotiator.naks == 0 else None

    def stalled(self, owner: IPV6CP, value: bytes) -> None:
        demanded = owner.settings.peerIdentifier
        if demanded is not None:
            raise GiveUp(
                f"the peer insists on interface identifier {value.hex()}, it may have "
                f"{demanded.hex()}"
            )


class IPV6CP(NetworkProtocol):
    """
    IPv6 on one link.

    @ivar identifier: our interface identifier, as we ask for it or have it.
    @ivar suggested: the one that our latest Configure-Nak named; empty where there was none.
    """

    __slots__ = ("identifier", "settings", "suggested")

    name = "ipv6"
    control = ppp.IPV6CP
    protocol = ppp.IPV6
    kinds: ClassVar[Mapping[int, Option[Any]]] = {INTERFACE_IDENTIFIER: _Identifier()}

    def __init__(self, settings: IPv6Settings) -> None:
        super().__init__()
        self.settings = settings
        self.suggested = b""
        self.identifier = _NONE
        self.identifier = self.another() if settings.identifier is None else settings.identifier

    def another(self) -> bytes:
        """
        An interface identifier that neither end has.
        """
        taken = (self.identifier, self.settings.peerIdentifier)
        while True:
            one = randomIdentifier()
            if one not in taken:
                return one

    # What was agreed, once Opened

    @property
    def localAddress(self) -> IPv6Address:
        """
        Our link-local address.
        """
        return IPv6Address(_LINK_LOCAL + self.identifier)

    @property
    def peerAddress(self) -> IPv6Address | None:
        """
        The peer's link-local address; None where it keeps its own to itself.
        """
        allowed = self.negotiator.allowed.get(INTERFACE_IDENTIFIER, self.settings.peerIdentifier)
        return None if allowed is None else IPv6Address(_LINK_LOCAL + allowed)

    def agreed(self) -> None:
        """
        Refuse to go on without an identifier of our own, or on a link that is too narrow.
        """
        if self.identifier == _NONE:
            raise GiveUp("the peer gives us no interface identifier")
        if self.peerMRU < LEAST_MRU:
            raise GiveUp(f"the peer receives {self.peerMRU} octets, and IPv6 needs {LEAST_MRU}")

    def attachment(self) -> Attachment:
        """
        The networks of the peer.
        """
        return Attachment(
            addresses=self.settings.addresses,
            mtu=min(self.settings.mtu, self.peerMRU),
            receive=self.settings.receive,
            permits=self.settings.permits,
        )
