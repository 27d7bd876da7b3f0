"""
A client as its protocols see it: packets instead of a stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface


class IPacketTransport(Interface):
    """
    A call that a client placed, as its L{IPacketProtocol} sees it.
    """

    networks: Mapping[str, Any] = Attribute(
        "The L{pptpgw.interfaces.INetworkProtocol}s that are open, by name. Each tells what was "
        "agreed: that of IPv4 has localAddress, peerAddress and dns."
    )
    authentication: str = Attribute("The protocol by which this end proved who it is; 'none'.")
    encryption: str = Attribute("What is encrypted and how, in words.")

    def mtu(network: str) -> int:
        """
        The largest packet of C{network}, which is open, that may be sent, in octets.
        """

    def sendPacket(network: str, packet: bytes) -> None:
        """
        Send one packet. While C{network} isn't open packets are counted and discarded.

        @raise KeyError: C{network} isn't among those that the endpoint negotiates.
        """

    def getHost() -> IAddress:
        """
        The address of this end of the control connection.
        """

    def getPeer() -> IAddress:
        """
        The address of the other end.
        """

    def loseConnection() -> None:
        """
        Hang up in order. Calling this again does nothing.
        """

    def abortConnection() -> None:
        """
        Hang up at once, whether the peer hears of it or not.
        """


class IPacketProtocol(Interface):
    """
    A protocol that a client's endpoint connects: what L{twisted.internet.interfaces.IProtocol} is
    for a stream.
    """

    def makeConnection(transport: IPacketTransport) -> None:
        """
        The first network protocol is open; C{transport} sends packets.
        """

    def networkOpened(network: str) -> None:
        """
        The network protocol of this name carries packets from now on.
        """

    def networkClosed(network: str) -> None:
        """
        The network protocol of this name carries packets no longer. It may open again.
        """

    def packetReceived(network: str, packet: bytes) -> None:
        """
        A packet arrived.
        """

    def connectionLost(reason: Failure) -> None:
        """
        The call is over, and all that it used is closed. Told once, after L{makeConnection}.

        @param reason: L{twisted.internet.error.ConnectionDone} where this end hung up;
            L{twisted.internet.error.ConnectionLost} where the peer doesn't answer any more, or this
            end aborted the connection (L{twisted.internet.error.ConnectionAborted});
            L{pptpgw.error.CallError} where the peer hung up or something failed, with a text that
            says what.
        """
