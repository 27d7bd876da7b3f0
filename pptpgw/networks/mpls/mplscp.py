"""
MPLS and its control protocol, MPLSCP (RFC 3032 section 4).

The rules:

 - There is nothing to negotiate: no option is defined (section 4.4), every one is rejected.
 - Once it is open labelled packets travel under two protocol numbers (section 4.3), those of
   unicast and of multicast; RFC 5332 makes the latter those whose label their sender assigned.
 - A labelled packet may be as large as the information field: the label stack is part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pptpgw.interfaces import Attachment, Attachments
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.wire import ppp


@dataclass(frozen=True, slots=True)
class MPLSSettings:
    """
    Where labelled packets go.

    @ivar receive: called with each unicast packet from the peer, its label stack first.
    @ivar receiveMulticast: the same for multicast.
    @ivar mtu: the largest packet that may be sent to the peer, in octets, its label stack included.
    """

    receive: Callable[[bytes], None]
    receiveMulticast: Callable[[bytes], None]
    mtu: int = 1400


class MPLSCP(NetworkProtocol):
    """
    Labelled packets on one link.
    """

    __slots__ = ("settings",)

    name = "mpls"
    control = ppp.MPLSCP
    protocol = ppp.MPLS
    protocols = (ppp.MPLS, ppp.MPLS_MULTICAST)

    def __init__(self, settings: MPLSSettings) -> None:
        super().__init__()
        self.settings = settings

    def attachment(self) -> Attachment:
        """
        That of unicast.
        """
        return Attachment(mtu=min(self.settings.mtu, self.peerMRU), receive=self.settings.receive)

    def attachments(self) -> Attachments:
        """
        Unicast and multicast, which may be as large.
        """
        unicast = self.attachment()
        multicast = replace(unicast, receive=self.settings.receiveMulticast)
        return {ppp.MPLS: unicast, ppp.MPLS_MULTICAST: multicast}

    def sendMulticast(self, packet: bytes) -> None:
        """
        Send a multicast packet to the peer, as L{NetworkProtocol.sendPacket} does a unicast one.
        """
        self.link.sendPacket(ppp.MPLS_MULTICAST, packet)
