"""
The base class of the network control protocols.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.interfaces import (
    Attachment,
    Attachments,
    IDetachable,
    INetworkLink,
    INetworkProtocol,
)
from pptpgw.ppp.control import ControlProtocol
from pptpgw.sessions.remedy import Remedy


@implementer(INetworkProtocol, IDetachable)
class NetworkProtocol(ControlProtocol, ABC):
    """
    A network control protocol on one link.

    A subclass defines its names and numbers (C{name}, C{control}, C{protocol}) and the C{kinds} of
    its options, and returns the negotiated result from L{attachment}. A subclass whose packets have
    several protocol numbers overrides L{protocols}.
    """

    __slots__ = ("link",)

    unknown: ClassVar[Remedy | None] = Remedy.NO_NETWORK

    def __init__(self) -> None:
        """
        Do nothing yet: L{attach} initializes the control protocol, since that needs the link.
        """

    def attach(self, link: INetworkLink) -> None:
        """
        See L{INetworkProtocol.attach}.
        """
        self.link = link
        clock: IReactorTime = link.clock
        ControlProtocol.__init__(self, clock, link.send, self)

    @property
    def protocols(self) -> tuple[int, ...]:
        """
        The PPP protocol numbers of the network's packets.
        """
        return (self.protocol,)

    def beginning(self) -> None:
        """
        Take the largest packet that the peer accepts from the link, before each negotiation.
        """
        self.peerMRU = self.link.peerMRU

    @abstractmethod
    def attachment(self) -> Attachment:
        """
        Return the attachment of the network, once the protocol is Opened.
        """

    def attachments(self) -> Attachments:
        """
        Return the attachment for each number of L{protocols}; the same for all unless overridden.
        """
        attachment = self.attachment()
        return dict.fromkeys(self.protocols, attachment)

    def sendPacket(self, packet: bytes) -> None:
        """
        Send a packet of the network to the peer. While the protocol isn't open the packet is
        counted and discarded.
        """
        self.link.sendPacket(self.protocol, packet)

    # pptpgw.ppp.layer.Layer: the protocol is its own upper layer, and passes events on to the
    # link

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Have the link let packets of the network through.
        """
        self.link.networkOpened(self, self.attachments())

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Have the link stop packets of the network.
        """
        self.link.networkClosed(self)

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        """
        Tell the link that the protocol won't open again by itself.
        """
        self.link.networkFinished(self, reason)
