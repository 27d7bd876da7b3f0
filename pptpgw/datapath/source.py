"""
The addresses that a peer may send packets from.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pptpgw.datapath.interface import DeliverPacket
from pptpgw.datapath.route import RouteTable
from pptpgw.interfaces import Attachment

_FIRST_HALF = 0xFFFFFFFFFFFFFFFF << 64


class Sources:
    """
    The addresses that a peer may send from. These are the addresses of its attachment, without
    those that another peer has, as its own or in a narrower network. If the attachment leads to a
    network in this process and names no addresses, all are permitted.
    """

    __slots__ = ("_networks", "_routes")

    def __init__(
        self,
        attachment: Attachment,
        family: type[IPv4Network | IPv6Network],
        routes: RouteTable[DeliverPacket] | None,
    ) -> None:
        """
        @param routes: the routes of the data path; None if it doesn't route this network.
        """
        self._routes = routes
        self._networks: tuple[tuple[int, int], ...] | None = None
        if attachment.addresses or attachment.receive is None:
            self._networks = tuple(
                (int(network.network_address), int(network.netmask))
                for network in attachment.addresses
                if isinstance(network, family)
            )

    def permit(self, address: bytes, peer: DeliverPacket) -> bool:
        """
        Return whether the peer may send from C{address}.

        @param peer: the target of this peer's routes.
        """
        if self._networks is None:
            return True
        number = int.from_bytes(address, "big")
        # Every packet of a peer that is a router comes here, and a generator would take twice as
        # long.
        for prefix, mask in self._networks:
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
        if self._networks is not None and len(self._networks) == 1:
            ((prefix, mask),) = self._networks
            if mask == 0xFFFFFFFF:
                return prefix.to_bytes(4, "big")
        return None

    def half(self) -> bytes:
        """
        Return the first half of the first IPv6 network if that is a /64; otherwise nothing.
        """
        if self._networks:
            prefix, mask = self._networks[0]
            if mask == _FIRST_HALF:
                return (prefix >> 64).to_bytes(8, "big")
        return b""
