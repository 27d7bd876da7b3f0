"""
Network protocols: on one link, for the whole gateway, and declared ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.interfaces.authentication import ISubscriber
from pptpgw.interfaces.caller import Caller
from pptpgw.interfaces.environment import IEnvironment


@dataclass(frozen=True, slots=True)
class Attachment:
    """
    The network that a network protocol is attached to. It doesn't say how packets get there.

    @ivar addresses: the networks that the peer may send from and that lead to it.
    @ivar mtu: the largest packet, in octets, that may be sent to the peer.
    @ivar receive: for a network served inside this process: called with each packet (bytes) that
        arrives, instead of the data path's own network.
    @ivar local: for IPv6 on the data path's own network: called with each packet that concerns the
        link alone, its source or destination link-local or its destination multicast (RFC 4291
        sections 2.5.6 and 2.7); without it they are counted and silently discarded.
    @ivar permits: for IPv4 and IPv6: says whether a packet may pass, either way. It isn't called
        for packets that concern the link alone; None permits all.
    """

    addresses: tuple[IPv4Network | IPv6Network, ...] = ()
    mtu: int = 1400
    receive: Callable[[bytes], None] | None = None
    local: Callable[[bytes], None] | None = None
    permits: Callable[[bytes], bool] | None = None


Attachments = Mapping[int, Attachment]
"""
The attachments of a network protocol by the PPP protocol number of its packets. MPLS for example
has two numbers.
"""


class INetworkLink(Interface):
    """
    A link as a network protocol that is attached to it sees it.
    """

    clock = Attribute("The L{twisted.internet.interfaces.IReactorTime} to take timers from.")
    peerMRU = Attribute("The largest information field, in octets, that the peer takes.")

    def send(protocol: int, packet: bytes) -> None:
        """
        Send a control packet of the network protocol.
        """

    def sendPacket(number: int, packet: bytes) -> None:
        """
        Send a packet of an open protocol, under its PPP protocol number. Networks that are served
        inside this process send by this. A packet larger than the attachment's MTU is counted and
        discarded.
        """

    def networkOpened(protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        The control protocol reached Opened: let its packets through.
        """

    def networkChanged(protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        The attachments of a protocol that is open changed, its addresses for example.
        """

    def networkClosed(protocol: INetworkProtocol) -> None:
        """
        The control protocol left Opened: stop its packets.
        """

    def networkFinished(protocol: INetworkProtocol, reason: str) -> None:
        """
        The control protocol gave up or was turned down, and won't open again by itself.
        """


class INetworkProtocol(Interface):
    """
    One network control protocol on one link. pppd calls this a protent.

    The link calls, in this order: attach; open and lowerUp when its network phase begins; received
    for each packet; rejected where the peer's Protocol-Reject names it; close and lowerDown at the
    end. Where the peer negotiates LCP anew all of that comes again.

    L{pptpgw.networks.protocol.NetworkProtocol} is an implementation to derive from.
    """

    name = Attribute("A short name, as in C{ipv4}.")
    control = Attribute("The PPP protocol number of the control protocol, 0x8021 for IPCP.")
    protocols = Attribute("The PPP protocol numbers of its packets: (0x0021,) for IPv4.")

    def attach(link: INetworkLink) -> None:
        """
        Belong to C{link}; nothing is sent yet.
        """

    def lowerUp() -> None:
        """
        The link is ready for this protocol.
        """

    def lowerDown() -> None:
        """
        The link isn't ready any more.
        """

    def open() -> None:
        """
        Negotiate as soon as the link is ready.
        """

    def close(reason: str) -> None:
        """
        Send a Terminate-Request and stop.
        """

    def received(packet: bytes) -> None:
        """
        A control packet: code, identifier, length and data, as they came.
        """

    def rejected() -> None:
        """
        The peer doesn't know the control protocol (Protocol-Reject).
        """


class INetwork(Interface):
    """
    One network that the gateway serves, which its sessions share.

    A network that also provides L{pptpgw.interfaces.ISessionObserver} is told of sessions, as
    observers are.
    """

    def start() -> None:
        """
        Open devices and set addresses, while the process has its privileges.

        @raise pptpgw.error.PPTPGWError: the text says what is wrong and what to do.
        """

    def stop() -> None:
        """
        Close everything, after every session has ended. Calling this again does nothing.
        """

    def makeProtocol(subscriber: ISubscriber, caller: Caller) -> Deferred[Any]:
        """
        Prepare the L{INetworkProtocol} of one session, with the addresses that it gives the caller.
        The caller is told that it is let in only afterwards.

        @param caller: who calls, with the number and the identifier of the session.

        @return: fires with the protocol, or with None if this session goes without. It fails with
            L{pptpgw.error.Refused} if this caller is refused for good; with
            L{pptpgw.error.Exhausted} if there is nothing left to give; and with any other
            exception, such as L{pptpgw.error.Unavailable}, in an outage. The caller is turned away
            then, and told to dial again unless it is refused.
        """

    def release(protocol: Any) -> Deferred[Any] | None:
        """
        Take back C{protocol}, which L{makeProtocol} made, after its session has ended.

        @return: None, or a Deferred that fires when that is done. A gateway that stops waits for
            it, within C{[listen] drain-timeout}.
        """


class IReserving(Interface):
    """
    A network that keeps addresses for the accounts that own them.
    """

    def reserve(user: str, addresses: tuple[IPv4Network, ...] | None) -> None:
        """
        Keep what the account of C{user} owns of C{addresses}, so that no other user gets it. This
        replaces what was kept for it before.

        @param addresses: as L{ISubscriber.addresses}.
        """


class INetworkFactory(IPlugin):
    """
    A plugin that makes a network, chosen by C{--network} or C{[network] protocols}.
    """

    name = Attribute("What it is chosen by, and the section of the configuration: C{ipv6}.")
    description = Attribute("One line on what it is, with its control protocol and RFC.")
    settings = Attribute(
        "A dataclass whose attributes are rows of L{pptpgw.config.kind.key}: the keys of its "
        "section, "
        "which has the name of the plugin; L{pptpgw.config.kind.NoSettings} if there are none."
    )

    def makeNetwork(settings: Any, environment: IEnvironment) -> INetwork:
        """
        Make the network; nothing is opened yet. A network that provides
        L{twisted.application.service.IService} is started before its L{INetwork.start} is called,
        and stopped after its L{INetwork.stop}.

        @param settings: an instance of L{settings}, as the configuration has it.
        """


class IPacketSession(Interface):
    """
    One session with a declared protocol, as an L{IPacketService} sees it.
    """

    subscriber = Attribute("The user of the session, an L{ISubscriber}.")
    mtu = Attribute("The largest packet, in octets, that may be sent to it.")

    def send(number: int, packet: bytes) -> None:
        """
        Send a packet to the peer, under one of the declaration's protocol numbers; nothing happens
        where the session isn't open.
        """


class IPacketService(Interface):
    """
    An object in this process that takes the packets of a declared protocol: C{to =
    "object:DOTTED.NAME"} in C{[[network.generic]]} names one, or a callable that makes one, given
    the reactor. Exceptions that it raises are logged and go no further.
    """

    def sessionOpened(session: IPacketSession) -> None:
        """
        The protocol opened on a session.
        """

    def packetReceived(session: IPacketSession, number: int, packet: bytes) -> None:
        """
        The peer sent a packet, under the protocol number before it.
        """

    def sessionClosed(session: IPacketSession) -> None:
        """
        The protocol is open no longer; it may open again.
        """
