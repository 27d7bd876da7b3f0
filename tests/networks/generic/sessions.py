"""
Sessions of a declared protocol, played by hand.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.interfaces import Attachments, INetworkLink, INetworkProtocol
from pptpgw.networks.generic.control import GenericProtocol
from pptpgw.networks.generic.declaration import HUB, Declaration, Destination
from pptpgw.networks.generic.plugin import GenericNetwork
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.profile import Profile
from pptpgw.testing import CALLER


def declare(*data: int, to: Destination = HUB) -> Declaration:
    """
    A protocol without options.
    """
    return Declaration("controller", 0x80C3, data or (0x00C3,), to)


@implementer(INetworkLink)
class Session:
    """
    One session with a declared protocol: its link, and the peer.

    @ivar received: what the peer got, packets with their protocol numbers.
    """

    def __init__(self, network: GenericNetwork, name: str = "alice") -> None:
        self.clock = Clock()
        self.peerMRU = 1400
        self.received: list[tuple[int, bytes]] = []
        self.sent: list[bytes] = []
        self.attachments: Attachments = {}
        made: list[GenericProtocol | None] = []
        network.makeProtocol(Profile(name), CALLER).addCallback(made.append)
        protocol = made[0]
        assert protocol is not None
        self.protocol = protocol
        protocol.attach(self)
        protocol.open()
        protocol.lowerUp()

    def open(self) -> None:
        """
        Agree to everything.
        """
        self.protocol.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1))
        request = [packet for packet in self.sent if packet[0] == ppp.CONFIGURE_REQUEST][-1]
        self.protocol.received(ppp.encodePacket(ppp.CONFIGURE_ACK, request[1], request[4:]))

    def close(self) -> None:
        """
        Terminate, as the peer.
        """
        self.protocol.received(ppp.encodePacket(ppp.TERMINATE_REQUEST, 9))

    def deliver(self, packet: bytes, number: int = 0x00C3) -> None:
        """
        A packet of the peer's arrives.
        """
        receive = self.attachments[number].receive
        assert receive is not None
        receive(packet)

    # INetworkLink

    def send(self, protocol: int, packet: bytes) -> None:
        self.sent.append(packet)

    def sendPacket(self, number: int, packet: bytes) -> None:
        self.received.append((number, packet))

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        self.attachments = attachments

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        raise AssertionError("nothing changes here")

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        self.attachments = {}

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        """
        Of no account.
        """


def opened(network: GenericNetwork, name: str = "alice") -> Session:
    """
    A session on which the protocol is open.
    """
    session = Session(network, name)
    session.open()
    return session
