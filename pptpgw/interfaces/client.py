"""
Clients of gateways: a call as its protocols see it, a connection that carries packets instead of a
stream, and the clients of each tunnel, which place the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

from pptpgw.interfaces.network import INetworkProtocol


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


@dataclass(frozen=True, slots=True)
class ClientStage:
    """
    A stage of a call that a client places.

    @ivar name: the name, as in C{TLS}.
    @ivar advice: what to do about a call that got no further than to this stage, in words.
    """

    name: str
    advice: str


class IClientConnection(Interface):
    """
    A connection to a gateway that a client has opened, on which it places calls.
    """

    gone: Deferred[None] = Attribute("Fires when everything of the connection is closed.")

    def call(settings: Any, protocols: Sequence[INetworkProtocol], listener: Any = None) -> Any:
        """
        Place a call, and return it before anything is known of it.

        @param settings: the L{pptpgw.ppp.settings.LinkSettings} of its link.
        @param protocols: the network protocols to negotiate, which belong to this call alone.
        @param listener: the L{pptpgw.ppp.client.NetworkListener} of the call; None for none.
        @return: the L{pptpgw.ppp.client.ClientCall}. Its link doesn't begin before this returns.
        @raise pptpgw.error.PPTPGWError: the connection is closed, or has as many calls as it can.
        """

    def close() -> Deferred[None]:
        """
        End every call and the connection, in order.

        @return: fires when the peer has agreed, or was given up.
        """

    def abort(reason: str) -> None:
        """
        End every call and close the connection, without waiting for the peer.
        """

    def getHost() -> IAddress:
        """
        Return the address of this end.
        """

    def getPeer() -> IAddress:
        """
        Return the address of the other end.
        """


class ITunnelClient(Interface):
    """
    A client that opens connections to one gateway by one tunnel.
    """

    clock = Attribute("The L{twisted.internet.interfaces.IReactorTime} that gives the time.")
    address = Attribute(
        "Where the gateway is, an L{twisted.internet.interfaces.IAddress}; None for a line."
    )

    def connect(reached: Callable[[str], object] = lambda stage: None) -> Deferred[Any]:
        """
        Open a connection.

        @param reached: called with the name of each L{ClientStage} that is passed, at once or
            while there is a call. Stages that end when the link of a call begins may be left out.
        @return: fires with the L{IClientConnection} when calls can be placed on it. It fails with
            L{pptpgw.error.CallError}, with L{pptpgw.error.NotPermitted} if this process may not
            open what it needs, with an error of Twisted's endpoints, and after the client's timeout
            with L{twisted.internet.defer.TimeoutError}. The timeout, and cancelling, close
            everything that was opened.
        """


class ITunnelClientFactory(IPlugin):
    """
    A plugin that makes the clients of one tunnel.
    """

    name = Attribute("The name of the tunnel, with which endpoint strings begin.")
    description = Attribute("One line that says what stands behind the name.")
    options = Attribute(
        "A dataclass whose attributes are rows of L{pptpgw.config.kind.key}, each with a default: "
        "the other parts of an endpoint string, all of which are texts."
    )
    stages: Sequence[ClientStage] = Attribute(
        "The stages that a call passes before LCP, in their order. The last one is what carries "
        "frames: it is passed when a frame has come that answers one of ours."
    )
    laterStages: Sequence[ClientStage] = Attribute("Those between authentication and encryption.")

    def makeClient(
        reactor: Any, place: Sequence[str], options: Any, timeout: float
    ) -> ITunnelClient:
        """
        Make a client.

        @param place: the parts of an endpoint string that have no name: where the gateway is.
        @param options: an instance of C{options}.
        @param timeout: seconds until a connection must be open.
        @raise pptpgw.error.ConfigurationError: the place or the options can't be used.
        """
