"""
What every network control protocol shares: a control protocol between its own options and a link.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.interfaces import Attachment, Attachments, INetworkLink, INetworkProtocol
from pptpgw.ppp.control import ControlProtocol


@implementer(INetworkProtocol)
class NetworkProtocol(ControlProtocol, ABC):
    """
    One network control protocol on one link.

    A subclass names itself (C{name}, C{control}, C{protocol}), lists its C{kinds} of option, and
    says in L{attachment} what was agreed. One whose packets have several protocol numbers names
    them all in C{protocols}.
    """

    __slots__ = ("link",)

    def __init__(self) -> None:
        """
        Belong to no link yet: a control protocol it is from L{attach} on.
        """

    def attach(self, link: INetworkLink) -> None:
        """
        Belong to C{link}.
        """
        self.link = link
        clock: IReactorTime = link.clock
        ControlProtocol.__init__(self, clock, link.send, self)

    @property
    def protocols(self) -> tuple[int, ...]:
        """
        The PPP protocol numbers of its packets.
        """
        return (self.protocol,)

    def beginning(self) -> None:
        """
        Learn how large a packet may be.
        """
        self.peerMRU = self.link.peerMRU

    @abstractmethod
    def attachment(self) -> Attachment:
        """
        What the network is, once Opened.
        """

    def attachments(self) -> Attachments:
        """
        The same for each of C{protocols}.
        """
        attachment = self.attachment()
        return dict.fromkeys(self.protocols, attachment)

    def sendPacket(self, packet: bytes) -> None:
        """
        Send a packet of the network to the peer; it is counted and discarded while this isn't open.
        """
        self.link.sendPacket(self.protocol, packet)

    # Its own layer (ppp.layer.Layer), to pass it on to the link

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Let packets through.
        """
        self.link.networkOpened(self, self.attachments())

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Stop them.
        """
        self.link.networkClosed(self)

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        """
        Say that it is over.
        """
        self.link.networkFinished(self, reason)
