"""
IPXCP, the control protocol of IPX (RFC 1552).

The rules:

 - The network number belongs to the link, and is the same for both ends. An end that asks for zero
   gets the number in a Nak. The higher number wins, unless ours is shared with other links: then
   the peer gets ours in a Nak, and if it insists, the protocol is given up and the peer told why.
 - A node number belongs to one end. A server is an end that has a node number for the peer. It
   gives the number in a Nak to a peer that asks for zero, and suggests it to a peer that doesn't
   ask. The peer may have another number if that is one node's, and nobody else has it; if the peer
   insists on a number that it can't have, the protocol is given up.
 - A client takes the numbers that the server names, and gives up without them.
 - IPX-Compression-Protocol is rejected.
 - IPX-Routing-Protocol may be in a request several times. RIP/SAP, the default, and no routing
   protocol are acknowledged; others are rejected, so that RIP/SAP is used.
 - IPX-Router-Name is information only, and is acknowledged.
 - IPX-Configuration-Complete says that its sender needs no other options than those of its request.
   It is acknowledged with the request, unless we still suggest an option. We send it if there is
   nothing that we ask the peer for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pptpgw.interfaces import Attachment
from pptpgw.networks.ipx.wire import DEFAULT_NETWORK, NO_NODE, NODE_OCTETS
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.decode.text import quoted
from pptpgw.ppp.decode.words import Words, flag, number
from pptpgw.ppp.option import GiveUp, Option
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.remedy import Remedy

# Option types (RFC 1552 section 3).
NETWORK_NUMBER = 1
NODE_NUMBER = 2
ROUTING_PROTOCOL = 4
ROUTER_NAME = 5
CONFIGURATION_COMPLETE = 6

# Values of IPX-Routing-Protocol (section 3.4).
NO_ROUTING = b"\x00\x00"
RIP_SAP = b"\x00\x02"

LONGEST_NAME = 47
"""
The most octets of a router's name.
"""

_NETWORK_OCTETS = 4
_UNNUMBERED = bytes(_NETWORK_OCTETS)


WORDS = Words(
    "IPXCP",
    {
        NETWORK_NUMBER: lambda value: (
            f"network {int.from_bytes(value, 'big'):x}" if len(value) == 4 else ""
        ),
        NODE_NUMBER: lambda value: f"node {value.hex()}" if len(value) == NODE_OCTETS else "",
        3: number("compression"),
        ROUTING_PROTOCOL: number("router proto"),
        ROUTER_NAME: lambda value: f"router name {quoted(value)}" if value else "",
        CONFIGURATION_COMPLETE: flag("complete"),
    },
)
"""
The words for IPXCP's packets.
"""


@dataclass(frozen=True, slots=True)
class IPXSettings:
    """
    The settings of IPXCP on one link; node numbers are six octets.

    @ivar network: the network number of the link; 0 to ask the peer.
    @ivar shared: whether other links have the same network number, so that the peer can't change
        it.
    @ivar node: our node number; zeros to ask the peer.
    @ivar peerNode: the node number for a peer that has none of its own; None for a client.
    @ivar name: our name as a router; empty to send none.
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
    Return whether C{node} can be the number of one node: neither zero nor, as for IEEE addresses, a
    group's.
    """
    return len(node) == NODE_OCTETS and node != NO_NODE and not node[0] & 1


def _number(value: bytes) -> int:
    """
    Return the network number in an option; 0 if it isn't a number that a network can have.
    """
    number = int.from_bytes(value, "big")
    return number if len(value) == _NETWORK_OCTETS and number < DEFAULT_NETWORK else 0


class _Network(Option["IPXCP"]):
    """
    IPX-Network-Number (RFC 1552 section 3.1): the number of the link's network.
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
            f"the peer insists on network {value.hex()}, it may have {self._ours(owner):08x}",
            Remedy.FIXED,
        )

    def _ours(self, owner: IPXCP) -> int:
        """
        Return the network number that we would use.
        """
        return _number(owner.negotiator.wanted.get(NETWORK_NUMBER, b"")) or owner.settings.network


class _Node(Option["IPXCP"]):
    """
    IPX-Node-Number (RFC 1552 section 3.2): the node number of the end that sends it.
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
        raise GiveUp(f"the peer insists on node {value.hex()}, which it can't have", Remedy.FIXED)


class _Routing(Option["IPXCP"]):
    """
    IPX-Routing-Protocol (RFC 1552 section 3.4): a protocol that the sender wants to use.
    """

    __slots__ = ()
    several = True

    def judge(self, owner: IPXCP, value: bytes) -> bytes | None:
        return value if value in (NO_ROUTING, RIP_SAP) else None


class _Name(Option["IPXCP"]):
    """
    IPX-Router-Name (RFC 1552 section 3.5): the name of the end that sends it.
    """

    __slots__ = ()

    def wanted(self, owner: IPXCP) -> bytes | None:
        return owner.settings.name.encode("ascii") or None

    def judge(self, owner: IPXCP, value: bytes) -> bytes | None:
        return value if 1 <= len(value) <= LONGEST_NAME else None


class _Complete(Option["IPXCP"]):
    """
    IPX-Configuration-Complete (RFC 1552 section 3.6), an option without a value: its sender needs
    no other options.
    """

    __slots__ = ()

    def wanted(self, owner: IPXCP) -> bytes | None:
        settings = owner.settings
        return b"" if settings.network and settings.node != NO_NODE else None

    def judge(self, owner: IPXCP, value: bytes) -> bytes | None:
        return value if not value else None


class IPXCP(NetworkProtocol):
    """
    IPX's control protocol (RFC 1552) on one link.
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
        Return whether the peer may have the node number C{node}.
        """
        given = self.settings.peerNode is not None
        return isOneNode(node) and not (given and node == self.node)

    # The result of the negotiation, valid once Opened

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
        Our node number, six octets.
        """
        return self.negotiator.granted.get(NODE_NUMBER, self.settings.node)

    @property
    def peerNode(self) -> bytes | None:
        """
        The peer's node number; None if a server doesn't tell its own.
        """
        return self.negotiator.allowed.get(NODE_NUMBER, self.settings.peerNode)

    def agreed(self) -> None:
        """
        Give up without a network number or a node number.
        """
        if not self.network:
            raise GiveUp("the peer gives us no network number")
        if self.node == NO_NODE:
            raise GiveUp("the peer gives us no node number")

    def attachment(self) -> Attachment:
        """
        Return the attachment, without addresses: the data path doesn't route IPX.
        """
        return Attachment(mtu=min(self.settings.mtu, self.peerMRU), receive=self.settings.receive)
