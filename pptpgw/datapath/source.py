"""
Where a peer's packets may come from.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pptpgw.datapath.edges import Deliver
from pptpgw.datapath.route import RouteTable
from pptpgw.interfaces import Attachment

_FIRST_HALF = 0xFFFFFFFFFFFFFFFF << 64


class Sources:
    """
    The addresses that a peer may send from: those of its attachment, without those that another
    peer has, as its own or in a narrower network. An attachment to a network in this process that
    names no addresses permits all.
    """

    __slots__ = ("_networks", "_routes")

    def __init__(
        self,
        attachment: Attachment,
        family: type[IPv4Network | IPv6Network],
        routes: RouteTable[Deliver] | None,
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

    def permit(self, address: bytes, peer: Deliver) -> bool:
        """
        Whether a packet may come from C{address}.

        @param peer: the target of this peer's routes.
        """
        if self._networks is None:
            return True
        number = int.from_bytes(address, "big")
        # Every packet of a router's comes here, and a generator would cost twice as much.
        for prefix, mask in self._networks:
            if number & mask == prefix:
                break
        else:
            return False
        return self._routes is None or self._routes.leadsTo(address, peer)

    def single(self) -> bytes | None:
        """
        The only IPv4 address that there is, or None, which no octets equal: a packet that is too
        short has no source either.
        """
        if self._networks is not None and len(self._networks) == 1:
            ((prefix, mask),) = self._networks
            if mask == 0xFFFFFFFF:
                return prefix.to_bytes(4, "big")
        return None

    def half(self) -> bytes:
        """
        The first half of the first IPv6 network, if that half is what counts, or nothing.
        """
        if self._networks:
            prefix, mask = self._networks[0]
            if mask == _FIRST_HALF:
                return (prefix >> 64).to_bytes(8, "big")
        return b""
