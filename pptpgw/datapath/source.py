"""
The addresses that a peer may send packets from.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pptpgw.datapath.interface import Peer
from pptpgw.datapath.route import RouteTable
from pptpgw.interfaces import Attachment

_FIRST_HALF = 0xFFFFFFFFFFFFFFFF << 64


class Sources:
    """
    The addresses that a peer may send from. These are the addresses of its attachment, without
    those that another peer has, as its own or in a narrower network. If the attachment leads to a
    network in this process and names no addresses, all are permitted.

    @ivar networks: the networks, each with its first address and its mask as numbers; None if all
        addresses are permitted.
    """

    __slots__ = ("_routes", "networks")

    def __init__(
        self,
        attachment: Attachment,
        family: type[IPv4Network | IPv6Network],
        routes: RouteTable[Peer] | None,
    ) -> None:
        """
        @param routes: the routes of the data path; None if it doesn't route this network.
        """
        self._routes = routes
        self.networks: tuple[tuple[int, int], ...] | None = None
        if attachment.addresses or attachment.receive is None:
            self.networks = tuple(
                (int(network.network_address), int(network.netmask))
                for network in attachment.addresses
                if isinstance(network, family)
            )

    def permit(self, address: bytes, peer: Peer) -> bool:
        """
        Return whether the peer may send from C{address}.

        @param peer: the peer, as the target of its routes.
        """
        if self.networks is None:
            return True
        number = int.from_bytes(address, "big")
        # Every packet of a peer that is a router comes here, and a generator would take twice as
        # long.
        for prefix, mask in self.networks:
            if number & mask == prefix:
                break
        else:
            return False
        return self._routes is None or self._routes.leadsTo(address, peer)

    def single(self) -> bytes | None:
        """
        Return the only IPv4 address that the peer may send from; None if there isn't exactly one.
        The source of a packet that is too short doesn't equal None either.
        """
        if self.networks is not None and len(self.networks) == 1:
            ((prefix, mask),) = self.networks
            if mask == 0xFFFFFFFF:
                return prefix.to_bytes(4, "big")
        return None

    def half(self) -> bytes:
        """
        Return the first half of the first IPv6 network if that is a /64; otherwise nothing.
        """
        if self.networks:
            prefix, mask = self.networks[0]
            if mask == _FIRST_HALF:
                return (prefix >> 64).to_bytes(8, "big")
        return b""
