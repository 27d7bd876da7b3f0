"""
IPV6CP on the link of one session, with what lives as long as the link: its router and its DHCPv6
server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Network

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import Attachment
from pptpgw.networks.ipv6.dhcpv6 import DHCPv6Server
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings
from pptpgw.networks.ipv6.router import IPv6Router
from pptpgw.networks.ipv6.wire.neighbor import RouterAdvertisement
from pptpgw.ppp.automaton import State
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.mppe import MPPE_OVERHEAD


class RoutedIPV6CP(IPV6CP):
    """
    IPV6CP on the link of one session, with the router of that link.

    @ivar prefix: the session's own /64.
    @ivar giveBack: called when the session is over.
    @ivar dhcp: the link's DHCPv6 server; None for no DHCPv6.
    """

    __slots__ = ("_advertisement", "_counters", "_router", "dhcp", "giveBack", "prefix")

    def __init__(
        self,
        settings: IPv6Settings,
        prefix: IPv6Network,
        advertisement: RouterAdvertisement,
        counters: Counters,
        giveBack: Callable[[], None],
    ) -> None:
        """
        @param settings: settings with the networks behind the user.
        @param advertisement: the router's advertisement, but for the MTU.
        @param counters: counts what is discarded.
        """
        super().__init__(settings)
        self.prefix = prefix
        self.giveBack = giveBack
        self.dhcp: DHCPv6Server | None = None
        self._advertisement = advertisement
        self._counters = counters
        self._router: IPv6Router | None = None

    def attachment(self) -> Attachment:
        """
        Return the attachment: the session's prefix, the networks behind its user and the delegated
        prefixes. Packets that concern the link alone go to the router.
        """
        delegated = self.dhcp.prefixes if self.dhcp is not None else ()
        return Attachment(
            addresses=(self.prefix, *self.settings.addresses, *delegated),
            mtu=min(self.settings.mtu, self.peerMRU),
            local=self._router.received if self._router is not None else None,
            localAddress=self.localAddress,
        )

    def delegatedChanged(self) -> None:
        """
        Have the data path route the prefixes that are delegated now. The DHCPv6 server calls this
        when they have changed.
        """
        if self.opened:
            self.link.networkChanged(self, self.attachments())

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Open the data path for packets, and begin to advertise.
        """
        # Packets of this size fit when they are encrypted, too.
        mtu = min(self.settings.mtu, self.peerMRU) - MPPE_OVERHEAD
        self._router = IPv6Router(
            self.link.clock,
            self.localAddress,
            replace(self._advertisement, mtu=mtu),
            self.sendPacket,
            self._counters,
            self.dhcp,
        )
        super().layerUp(protocol)
        self._router.start()

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Stop advertising, and close the data path. If this end closes the protocol, the peer is told
        that the router ceases.
        """
        router, self._router = self._router, None
        if router is not None:
            router.stop()
            if self.state is State.CLOSING:
                router.cease()
        super().layerDown(protocol)
