"""
IPV6CP, the control protocol of IPv6 (RFC 5072).

The rules:

 - Each end has an interface identifier of eight octets, from which its link-local address is made.
   Ours is random unless the settings name one. The universal/local bit is zero in it and in
   identifiers that we suggest. An identifier of zeros asks the peer for one.
 - A peer that asks for zeros, or for the same identifier as ours, is given another one in a Nak. If
   both ends ask for zeros no identifier can be found, and the option is rejected (RFC 5072 section
   4.1).
 - We take the identifier of a peer's Nak, unless it is in use on the link or is the one that we
   suggested to the peer: then both ends chose alike, and we choose a new one.
 - A peer may reject our identifier. If the settings demand an identifier of the peer, it gets no
   other; a peer that never asks for one gets one Nak with it.
 - IPv6-Compression-Protocol (option 2, RFC 5172) is rejected.
 - A peer whose MRU is below L{LEAST_MRU} can't have IPv6. Packets of 1280 octets must fit (RFC 8200
   section 5), also when they are encrypted, because no Packet Too Big may name a smaller size.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Any, ClassVar

from zope.interface import implementer

from pptpgw.interfaces import Attachment, IAddressedProtocol
from pptpgw.networks.ipv6.wire.ipv6 import MINIMUM_MTU
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.decode.words import Words, named
from pptpgw.ppp.mppe import MPPE_OVERHEAD
from pptpgw.ppp.option import GiveUp, Option
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.remedy import Remedy

LEAST_MRU = MINIMUM_MTU + MPPE_OVERHEAD
"""
The smallest MRU of a link that carries IPv6, in octets.
"""

# Option type (RFC 5072 section 4.1).
INTERFACE_IDENTIFIER = 1

_OCTETS = 8
_NONE = bytes(_OCTETS)
_LINK_LOCAL = bytes.fromhex("fe80000000000000")
# The universal/local bit in the first octet: set in an identifier that is unique in the world.
_UNIVERSAL = 0x02


def _address(value: bytes) -> str:
    """
    Return the words for Interface-Identifier: the link-local address that is made from it.
    """
    if len(value) != _OCTETS:
        return ""
    return "addr fe80::" + value.hex(":", 2)


WORDS = Words("IPV6CP", {INTERFACE_IDENTIFIER: _address, 2: named("compress", {}, 2)})
"""
The words for IPV6CP's packets.
"""


@dataclass(frozen=True, slots=True)
class IPv6Settings:
    """
    The settings of IPV6CP on one link.

    @ivar identifier: our interface identifier; zeros to ask the peer for one; None for a random
        one.
    @ivar peerIdentifier: the only identifier that the peer may have; None for any.
    @ivar addresses: the networks that the peer may send from and that lead to it.
    @ivar mtu: the largest packet that may be sent to the peer, in octets.
    @ivar receive: see L{Attachment}.
    """

    identifier: bytes | None = None
    peerIdentifier: bytes | None = None
    addresses: tuple[IPv6Network, ...] = ()
    mtu: int = 1400
    receive: Callable[[bytes], None] | None = None

    @classmethod
    def client(cls, receive: Callable[[bytes], None], mtu: int = 1400) -> IPv6Settings:
        """
        Return the settings of a client.

        @param receive: called with each packet.
        """
        return cls(mtu=mtu, receive=receive)


def randomIdentifier() -> bytes:
    """
    Return a random interface identifier, never of zeros.
    """
    first, *others = secrets.token_bytes(_OCTETS)
    # The last octet is made odd, so that the identifier is never zero.
    return bytes((first & ~_UNIVERSAL, *others[:-1], others[-1] | 1))


class _Identifier(Option["IPV6CP"]):
    """
    Interface-Identifier (RFC 5072 section 4.1): that of the end that sends it.
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
        # A peer that still doesn't ask after one suggestion doesn't know the option (section 4.1).
        return owner.settings.peerIdentifier if owner.negotiator.naks == 0 else None

    def stalled(self, owner: IPV6CP, value: bytes) -> None:
        demanded = owner.settings.peerIdentifier
        if demanded is not None:
            raise GiveUp(
                f"the peer insists on interface identifier {value.hex()}, it may have "
                f"{demanded.hex()}",
                Remedy.FIXED,
            )


@implementer(IAddressedProtocol)
class IPV6CP(NetworkProtocol):
    """
    IPV6CP on one link.

    @ivar identifier: the interface identifier that we ask for or have.
    @ivar suggested: the identifier in our latest Configure-Nak; empty if there was none.
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
        Return an interface identifier that neither end has.
        """
        taken = (self.identifier, self.settings.peerIdentifier)
        while True:
            one = randomIdentifier()
            if one not in taken:
                return one

    # The result of the negotiation, valid once Opened

    @property
    def localAddress(self) -> IPv6Address:
        """
        Our link-local address.
        """
        return IPv6Address(_LINK_LOCAL + self.identifier)

    @property
    def peerAddress(self) -> IPv6Address | None:
        """
        The peer's link-local address; None if the peer doesn't tell its identifier.
        """
        allowed = self.negotiator.allowed.get(INTERFACE_IDENTIFIER, self.settings.peerIdentifier)
        return None if allowed is None else IPv6Address(_LINK_LOCAL + allowed)

    def agreed(self) -> None:
        """
        Give up if we have no identifier, or if the link is too narrow.
        """
        if self.identifier == _NONE:
            raise GiveUp("the peer gives us no interface identifier")
        if self.peerMRU < LEAST_MRU:
            text = f"the peer receives {self.peerMRU} octets, and IPv6 needs {LEAST_MRU}"
            raise GiveUp(text, Remedy.MRU)

    def attachment(self) -> Attachment:
        """
        Return the attachment: the networks of the peer.
        """
        return Attachment(
            addresses=self.settings.addresses,
            mtu=min(self.settings.mtu, self.peerMRU),
            receive=self.settings.receive,
        )
