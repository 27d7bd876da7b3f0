"""
MPLSCP, the control protocol of MPLS (RFC 3032 section 4).

The rules:

 - There is nothing to negotiate: no option is defined (section 4.4), so every option is rejected.
 - Labelled packets have two protocol numbers (section 4.3), those of unicast and of multicast. RFC
   5332 redefines the latter for packets whose label was assigned by their sender.
 - A labelled packet, with its label stack, may be as large as the information field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pptpgw.interfaces import Attachment, Attachments
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.decode.words import Words
from pptpgw.ppp.wire import ppp

WORDS = Words("MPLSCP")
"""
The words for MPLSCP's packets, which have no options.
"""


@dataclass(frozen=True, slots=True)
class MPLSSettings:
    """
    The settings of MPLSCP on one link.

    @ivar receive: called with each unicast packet from the peer, which begins with its label stack.
    @ivar receiveMulticast: called with each multicast packet from the peer.
    @ivar mtu: the largest packet that may be sent to the peer, in octets with its label stack.
    """

    receive: Callable[[bytes], None]
    receiveMulticast: Callable[[bytes], None]
    mtu: int = 1400


class MPLSCP(NetworkProtocol):
    """
    MPLS's control protocol (RFC 3032 section 4) on one link. It has no options.
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
        Return the attachment of unicast packets.
        """
        return Attachment(mtu=min(self.settings.mtu, self.peerMRU), receive=self.settings.receive)

    def attachments(self) -> Attachments:
        """
        Return the attachments of unicast and of multicast packets, which have the same MTU.
        """
        unicast = self.attachment()
        multicast = replace(unicast, receive=self.settings.receiveMulticast)
        return {ppp.MPLS: unicast, ppp.MPLS_MULTICAST: multicast}

    def sendMulticast(self, packet: bytes) -> None:
        """
        Send a multicast packet to the peer, as L{NetworkProtocol.sendPacket} does a unicast one.
        """
        self.link.sendPacket(ppp.MPLS_MULTICAST, packet)
