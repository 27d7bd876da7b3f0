"""
A client's call, as its protocols see it: a connection that carries packets instead of a stream.
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
        "The L{pptpgw.interfaces.INetworkProtocol}s that are open, by name. Their attributes say "
        "what was negotiated: IPv4 has localAddress, peerAddress and dns."
    )
    authentication: str = Attribute(
        "The name of the protocol by which this end authenticated; C{none} if it didn't."
    )
    encryption: str = Attribute("How the link is encrypted, in words.")

    def mtu(network: str) -> int:
        """
        Return the largest packet of C{network}, which is open, that may be sent, in octets.
        """

    def sendPacket(network: str, packet: bytes) -> None:
        """
        Send one packet. If C{network} isn't open, the packet is counted and discarded.

        @raise KeyError: C{network} isn't one of the networks that the endpoint negotiates.
        """

    def getHost() -> IAddress:
        """
        Return the address of this end of the control connection.
        """

    def getPeer() -> IAddress:
        """
        Return the address of the other end of the control connection.
        """

    def loseConnection() -> None:
        """
        Hang up in order, which tells the peer. Calling this again does nothing.
        """

    def abortConnection() -> None:
        """
        Hang up at once, without waiting for the peer.
        """


class IPacketProtocol(Interface):
    """
    A protocol that a client's endpoint connects. It corresponds to
    L{twisted.internet.interfaces.IProtocol}, but for packets.
    """

    def makeConnection(transport: IPacketTransport) -> None:
        """
        Begin to use C{transport}, since the first network protocol is open.
        """

    def networkOpened(network: str) -> None:
        """
        The network protocol of the name C{network} carries packets from now on.
        """

    def networkClosed(network: str) -> None:
        """
        The network protocol of the name C{network} carries no packets any more. It may open again.
        """

    def packetReceived(network: str, packet: bytes) -> None:
        """
        Handle one packet of the network protocol of the name C{network}.
        """

    def connectionLost(reason: Failure) -> None:
        """
        The call is over, and everything that it used is closed. This is called once, after
        L{makeConnection}.

        @param reason: L{twisted.internet.error.ConnectionDone} if this end hung up;
            L{twisted.internet.error.ConnectionLost} if the peer doesn't answer any more;
            L{twisted.internet.error.ConnectionAborted}, which is derived from it, if this end
            aborted the connection; L{pptpgw.error.CallError} if the peer hung up or something
            failed, with a text that says what.
        """
