"""
IPV6CP on a call that this gateway dialled, with what lives as long as the link: the host's side of
Neighbor Discovery, and the DHCPv6 client that asks for a prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Network

from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import Attachment, INamingProtocol
from pptpgw.networks.ipv6.dhcpv6client import DHCPv6Client, Wishes
from pptpgw.networks.ipv6.host import IPv6Host
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings
from pptpgw.networks.ipv6.site import Site
from pptpgw.ppp.control import ControlProtocol


@implementer(INamingProtocol)
class DialledIPV6CP(IPV6CP):
    """
    IPV6CP on a dialled call.

    @ivar host: our side of the link while the protocol is open; None otherwise.
    """

    __slots__ = ("_counters", "_duid", "_gateways", "_site", "_wishes", "host")

    def __init__(
        self,
        settings: IPv6Settings,
        duid: bytes,
        wishes: Wishes,
        site: Site,
        gateways: Sequence[IPv6Network],
        counters: Counters,
    ) -> None:
        """
        @param settings: settings with the networks that are reached by the call.
        @param duid: how DHCPv6 servers know us.
        @param wishes: what is asked for by DHCPv6; nothing if it has neither prefix nor address.
        @param site: is given the prefixes.
        @param gateways: the networks that the gateway has, in which no address is taken.
        @param counters: counts what is discarded.
        """
        super().__init__(settings)
        self.host: IPv6Host | None = None
        self._duid = duid
        self._wishes = wishes
        self._site = site
        self._gateways = gateways
        self._counters = counters

    @property
    def dns(self) -> tuple[str, ...]:
        """
        The name servers that the other end names, by DHCPv6 and its advertisements.
        """
        host = self.host
        if host is None:
            return ()
        servers = (*(host.dhcp.dns if host.dhcp is not None else ()), *host.dns)
        return tuple(dict.fromkeys(map(str, servers)))

    @property
    def search(self) -> tuple[str, ...]:
        """
        The domains that the other end names.
        """
        host = self.host
        if host is None:
            return ()
        domains = (*(host.dhcp.search if host.dhcp is not None else ()), *host.search)
        return tuple(dict.fromkeys(domains))

    def attachment(self) -> Attachment:
        """
        Return the attachment: the networks that are reached by the call, and our addresses.
        """
        host = self.host
        assert host is not None
        leased = host.dhcp.addresses if host.dhcp is not None else ()
        return Attachment(
            addresses=self.settings.addresses,
            mtu=min(self.settings.mtu, self.peerMRU),
            local=host.received,
            localAddress=self.localAddress,
            own=tuple(
                one
                for one in dict.fromkeys((*host.addresses, *leased))
                if not any(one in network for network in self._gateways)
            ),
            isHost=True,
        )

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Open the data path for packets, and begin to ask.
        """
        clock = self.link.clock
        self.host = host = IPv6Host(
            clock, self.localAddress, self.sendPacket, self._changed, self._counters
        )
        if self._wishes.prefix or self._wishes.address:
            host.dhcp = DHCPv6Client(
                clock,
                self._duid,
                self._wishes,
                host.sendToServers,
                self._changed,
                self._counters,
            )
        super().layerUp(protocol)
        host.start()
        if host.dhcp is not None:
            host.dhcp.start()

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Give back what the other end gave, and close the data path.
        """
        host, self.host = self.host, None
        self._site.use(())
        if host is not None:
            host.stop()
            if host.dhcp is not None:
                host.dhcp.stop()
        super().layerDown(protocol)

    def _changed(self) -> None:
        """
        Follow what the other end has told.
        """
        if self.host is None or not self.opened:
            return
        if self.host.dhcp is not None:
            self._site.use(self.host.dhcp.prefixes)
        self.link.networkChanged(self, self.attachments())
