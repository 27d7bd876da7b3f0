"""
IPX and its control protocol, IPXCP (RFC 1552).

The rules:

 - The network number belongs to the link, and both ends have the same. Zero asks for it and gets
   it as a Nak. The higher number wins, unless ours is shared with other links: then the peer gets
   ours as a Nak, and one that insists is told why and let go.
 - A node number belongs to one end. Zero asks for one: a server (it has one for the peer) gives it
   as a Nak, and suggests it to a peer that doesn't ask. A peer may have another one as long as it
   is one node's and nobody else's. One that insists on what it can't have is let go.
 - A client takes the numbers that the server says, and can't do without.
 - IPX-Compression-Protocol is rejected.
 - IPX-Routing-Protocol may stand several times. RIP/SAP, which is what holds without it, and no
   routing protocol are acknowledged; the others are rejected, so that RIP/SAP holds.
 - IPX-Router-Name is information, and acknowledged.
 - IPX-Configuration-Complete says that the rest of a request is all that its sender wants to know.
   It is acknowledged with the request, once we have nothing to suggest either; we send it where we
   have nothing to ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pptpgw.interfaces import Attachment
from pptpgw.log import readable
from pptpgw.networks.ipx.wire import DEFAULT_NETWORK, NO_NODE, NODE_OCTETS
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.option import GiveUp, Option
from pptpgw.ppp.wire import ppp

# Option types (RFC 1552 section 3).
NETWORK_NUMBER = 1
NODE_NUMBER = 2
COMPRESSION_PROTOCOL = 3
ROUTING_PROTOCOL = 4
ROUTER_NAME = 5
CONFIGURATION_COMPLETE = 6

# Values of IPX-Routing-Protocol (section 3.4).
NO_ROUTING = b"\x00\x00"
RIP_SAP = b"\x00\x02"

LONGEST_NAME = 47
"""
Octets of a router's name.
"""

_NETWORK_OCTETS = 4
_UNNUMBERED = bytes(_NETWORK_OCTETS)


@dataclass(frozen=True, slots=True)
class IPXSettings:
    """
    What this end has and gives; nodes are six octets.

    @ivar network: the number of the link's network; 0: ask the peer.
    @ivar shared: other links have the same number, so that the peer can't change it.
    @ivar node: ours; zeros: ask the peer.
    @ivar peerNode: what a peer without a node of its own gets; None: it gives us ours.
    @ivar name: ours as a router; empty: don't tell.
    @ivar mtu: the largest packet that may be sent to the peer, in octets.
    @ivar receive: see L{Attachment}.
    """

    network: int = 0
    shared: bool = False
    node: bytes = NO_NODE
    peerNode: bytes | None = None
    name: str = ""
    mtu: int = 1400
    receive: Callable[[bytes], None] | None = None


def isOneNode(node: bytes) -> bool:
    """
    Whether this is a node number that one node can have: not zero and, as with IEEE addresses, not
    of a group.
    """
    return len(node) == NODE_OCTETS and node != NO_NODE and not node[0] & 1


def _number(value: bytes) -> int:
    """
    The network number in an option, 0 where there is none that a network can have.
    """
    number = int.from_bytes(value, "big")
    return number if len(value) == _NETWORK_OCTETS and number < DEFAULT_NETWORK else 0


class _Network(Option["IPXCP"]):
    """
    IPX-Network-Number (RFC 1552 section 3.1).
    """

    __slots__ = ()

    def wanted(self, owner: IPXCP) -> bytes | None:
        return owner.settings.network.to_bytes(_NETWORK_OCTETS, "big")

    def naked(self, owner: IPXCP, current: bytes, suggested: bytes) -> bytes | None:
        higher = _number(suggested) > _number(current)
        return suggested if higher and not owner.settings.shared else current

    def rejected(self, owner: IPXCP, current: bytes) -> None:
        if current == _UNNUMBERED:
            raise GiveUp("the peer gives us no network number")

    def judge(self, owner: IPXCP, value: bytes) -> bytes | None:
        ours = self._ours(owner)
        number = _number(value)
        if number == ours or (number > ours and not owner.settings.shared):
            return value if number else None
        return ours.to_bytes(_NETWORK_OCTETS, "big")

    def stalled(self, owner: IPXCP, value: bytes) -> None:
        raise GiveUp(
            f"the peer insists on network {value.hex()}, it may have {self._ours(owner):08x}"
        )

    def _ours(self, owner: IPXCP) -> int:
        """
        The number that we would have.
        """
        return _number(owner.negotiator.wanted.get(NETWORK_NUMBER, b"")) or owner.settings.network


class _Node(Option["IPXCP"]):
    """
    IPX-Node-Number (RFC 1552 section 3.2).
    """

    __slots__ = ()

    def wanted(self, owner: IPXCP) -> bytes | None:
        return owner.settings.node

    def naked(self, owner: IPXCP, current: bytes, suggested: bytes) -> bytes | None:
        given = isOneNode(suggested) and owner.settings.peerNode is None
        return suggested if given else current

    def rejected(self, owner: IPXCP, current: bytes) -> None:
        if current == NO_NODE:
            raise GiveUp("the peer gives us no node number")

    def judge(self, owner: IPXCP, value: bytes) -> bytes | None:
        return value if owner.mayBe(value) else owner.settings.peerNode

    def missing(self, owner: IPXCP) -> bytes | None:
        return owner.settings.peerNode

    def stalled(self, owner: IPXCP, value: bytes) -> None:
        raise GiveUp(f"the peer insists on node {value.hex()}, which it can't have")


class _Routing(Option["IPXCP"]):
    """
    IPX-Routing-Protocol (RFC 1552 section 3.4).
    """

    __slots__ = ()
    several = True

    def judge(self, owner: IPXCP, value: bytes) -> bytes | None:
        return value if value in (NO_ROUTING, RIP_SAP) else None


class _Name(Option["IPXCP"]):
    """
    IPX-Router-Name (RFC 1552 section 3.5).
    """

    __slots__ = ()

    def wanted(self, owner: IPXCP) -> bytes | None:
        return owner.settings.name.encode("ascii") or None

    def judge(self, owner: IPXCP, value: bytes) -> bytes | None:
        return value if 1 <= len(value) <= LONGEST_NAME else None


class _Complete(Option["IPXCP"]):
    """
    IPX-Configuration-Complete (RFC 1552 section 3.6).
    """

    __slots__ = ()

    def wanted(self, owner: IPXCP) -> bytes | None:
        settings = owner.settings
        return b"" if settings.network and settings.node != NO_NODE else None

    def judge(self, owner: IPXCP, value: bytes) -> bytes | None:
        return value if not value else None


class IPXCP(NetworkProtocol):
    """
    IPX on one link.
    """

    __slots__ = ("settings",)

    name = "ipx"
    control = ppp.IPXCP
    protocol = ppp.IPX
    kinds: ClassVar[Mapping[int, Option[Any]]] = {
        NETWORK_NUMBER: _Network(),
        NODE_NUMBER: _Node(),
        ROUTING_PROTOCOL: _Routing(),
        ROUTER_NAME: _Name(),
        CONFIGURATION_COMPLETE: _Complete(),
    }

    def __init__(self, settings: IPXSettings) -> None:
        super().__init__()
        self.settings = settings

    def mayBe(self, node: bytes) -> bool:
        """
        Whether the peer may have this node number.
        """
        given = self.settings.peerNode is not None
        return isOneNode(node) and not (given and node == self.node)

    # What was agreed, once Opened

    @property
    def network(self) -> int:
        """
        The network number of the link.
        """
        agreed = self.negotiator
        return max(
            self.settings.network,
            _number(agreed.granted.get(NETWORK_NUMBER, b"")),
            _number(agreed.allowed.get(NETWORK_NUMBER, b"")),
        )

    @property
    def node(self) -> bytes:
        """
        Our node number.
        """
        return self.negotiator.granted.get(NODE_NUMBER, self.settings.node)

    @property
    def peerNode(self) -> bytes | None:
        """
        The peer's; None where a server keeps its own to itself.
        """
        return self.negotiator.allowed.get(NODE_NUMBER, self.settings.peerNode)

    @property
    def peerName(self) -> str:
        """
        The peer's name as a router, fit for a log; empty where it gave none.
        """
        return readable(self.negotiator.allowed.get(ROUTER_NAME, b""))

    def agreed(self) -> None:
        """
        Refuse to go on without a network or a node number.
        """
        if not self.network:
            raise GiveUp("the peer gives us no network number")
        if self.node == NO_NODE:
            raise GiveUp("the peer gives us no node number")

    def attachment(self) -> Attachment:
        """
        IPX has no addresses that the data path knows of.
        """
        return Attachment(mtu=min(self.settings.mtu, self.peerMRU), receive=self.settings.receive)
