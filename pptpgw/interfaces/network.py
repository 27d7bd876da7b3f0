"""
Network protocols: on one link, for the whole gateway, and those that the configuration declares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.interfaces.authentication import ISubscriber
from pptpgw.interfaces.caller import Caller
from pptpgw.interfaces.environment import IEnvironment


class HeaderCompression(NamedTuple):
    """
    The compression of TCP's headers that IPCP has agreed on (RFC 1332 section 4).

    @ivar sendSlots: how many connections the peer remembers; 0 if headers aren't compressed on
        their way to it.
    @ivar omitsSlot: whether the peer takes headers without their slot, if it is that of the packet
        before.
    @ivar receiveSlots: how many connections this end remembers; 0 if the peer doesn't compress.
    """

    sendSlots: int
    omitsSlot: bool
    receiveSlots: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """
    The network that a network protocol on one link is attached to: addresses, sizes and receivers
    of packets. How packets get there is left to the data path.

    @ivar addresses: the networks that the peer may send from, and that are routed to it.
    @ivar mtu: the largest packet, in octets, that may be sent to the peer.
    @ivar receive: for a network that is served inside this process: called with each packet (bytes)
        that arrives. None: packets go to the data path's own network.
    @ivar local: for IPv6 on the data path's own network: called with each packet that concerns the
        link alone: its source or destination is link-local, or its destination is multicast (RFC
        4291 sections 2.5.6 and 2.7). None: such packets are counted and silently discarded.
    @ivar permits: for IPv4 and IPv6: called with each packet in either direction, and returns
        whether it may pass. It isn't called for packets that concern the link alone. None permits
        all. Only if it is an L{IGate} can the kernel judge packets in its place.
    @ivar localAddress: for IPv6: our own link-local address, which the network interface of the
        call gets if it has one for itself. For IPv4: the address that the peer has given us, which
        that interface gets, or else the data path's; this machine uses it as the source of what it
        sends to C{addresses}. None: it gets none.
    @ivar headers: for IPv4 on lines: how TCP's headers are compressed; None: they aren't.
    @ivar own: for IPv6: our other addresses on the link, which that interface gets, or else the
        data path's.
    @ivar isHost: for IPv6: whether the peer is the router of the link, and this end its host.
    """

    addresses: tuple[IPv4Network | IPv6Network, ...] = ()
    mtu: int = 1400
    receive: Callable[[bytes], None] | None = None
    local: Callable[[bytes], None] | None = None
    permits: Callable[[bytes], bool] | None = None
    localAddress: IPv4Address | IPv6Address | None = None
    headers: HeaderCompression | None = None
    own: tuple[IPv6Address, ...] = ()
    isHost: bool = False


class IGate(Interface):
    """
    A C{permits} of an L{Attachment} that decides by a list of rules, which can be applied without
    calling it.
    """

    filter = Attribute(
        "The L{pptpgw.sessions.filter.Filter} that decides now; None permits every packet."
    )

    def watch(changed: Callable[[], object] | None) -> None:
        """
        Call C{changed} whenever C{filter} has changed, and nothing else any more. None: call
        nothing.
        """


Attachments = Mapping[int, Attachment]
"""
The attachments of a network protocol by the PPP protocol number of its packets. MPLS for example
has two numbers.
"""


class INetworkLink(Interface):
    """
    A link, as a network protocol that is attached to it sees it.
    """

    clock = Attribute("The L{twisted.internet.interfaces.IReactorTime} to take timers from.")
    peerMRU = Attribute("The largest information field that the peer can receive, in octets.")

    def send(protocol: int, packet: bytes) -> None:
        """
        Send a control packet of the network protocol.
        """

    def sendPacket(number: int, packet: bytes) -> None:
        """
        Send a packet of an open network protocol, with the PPP protocol number C{number}. Networks
        that are served inside this process send their packets by this method. A packet larger than
        the attachment's MTU is counted and discarded.
        """

    def networkOpened(protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Begin to carry the packets of C{protocol}, because its control protocol reached Opened.
        """

    def networkChanged(protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Replace the attachments of C{protocol}, which is open. Its addresses may have changed, for
        example.
        """

    def networkClosed(protocol: INetworkProtocol) -> None:
        """
        Stop carrying the packets of C{protocol}, because its control protocol left Opened.
        """

    def networkFinished(protocol: INetworkProtocol, reason: str) -> None:
        """
        Remove C{protocol} from the link: its control protocol gave up or was rejected, and won't
        open again by itself.
        """


class INetworkProtocol(Interface):
    """
    A network control protocol on one link. pppd calls this a protent.

    The link calls L{attach} first. When its network phase begins it calls L{open} and L{lowerUp},
    then L{received} for each packet, L{rejected} if the peer's Protocol-Reject names the protocol,
    and L{lowerDown} at the end. If the peer negotiates LCP anew, the link makes all these calls
    again.

    L{pptpgw.networks.protocol.NetworkProtocol} is an implementation to derive from.
    """

    name = Attribute("A short name, such as C{ipv4}.")
    control = Attribute("The PPP protocol number of the control protocol: 0x8021 for IPCP.")
    protocols = Attribute("The PPP protocol numbers of network packets: (0x0021,) for IPv4.")

    def attach(link: INetworkLink) -> None:
        """
        Use C{link} from now on, without sending anything yet.
        """

    def lowerUp() -> None:
        """
        The link can carry control packets of this protocol from now on.
        """

    def lowerDown() -> None:
        """
        The link carries no control packets of this protocol any more.
        """

    def open() -> None:
        """
        Negotiate as soon as L{lowerUp} has been called.
        """

    def close(reason: str) -> None:
        """
        End the protocol on this link with a Terminate-Request.

        @param reason: why, in words, for the peer and for the log.
        """

    def received(packet: bytes) -> None:
        """
        Handle a control packet from the peer: code, identifier, length and data, unchecked.
        """

    def rejected() -> None:
        """
        End the protocol on this link, because the peer doesn't know it (a Protocol-Reject came).
        """


class Agreement(NamedTuple):
    """
    What a control protocol has agreed on: the options of the two Configure-Requests that were
    acknowledged.

    @ivar control: the PPP protocol number of the control protocol.
    @ivar ours: the options that we asked for, as encoded in our request.
    @ivar peers: the options that the peer asked for.
    """

    control: int
    ours: bytes
    peers: bytes


class INegotiated(Interface):
    """
    A control protocol that tells what it has agreed on.
    L{pptpgw.networks.protocol.NetworkProtocol} provides this.
    """

    agreement: Agreement | None = Attribute("The L{Agreement}; None unless the protocol is open.")


class IDetachable(Interface):
    """
    A network control protocol that drops its references to the link, so that both are freed without
    the garbage collector. L{pptpgw.networks.protocol.NetworkProtocol} provides this.
    """

    def detach() -> None:
        """
        Drop the references. The link calls this after its last use of the protocol, and calls
        L{INetworkProtocol.attach} before it uses the protocol again.
        """


class INamingProtocol(INetworkProtocol):
    """
    A network protocol that learns name servers of the peer.
    """

    dns = Attribute("The addresses of name servers, a tuple of str, valid while it is open.")
    search = Attribute("The domains to search, a tuple of str.")


class IAddressedProtocol(INetworkProtocol):
    """
    A network control protocol that gives each end of the link an address, such as IPCP.
    """

    localAddress = Attribute("Our address, in text or of the module C{ipaddress}.")
    peerAddress = Attribute("The peer's address in the same form; None if it isn't known.")


class INetwork(Interface):
    """
    A network that the gateway serves, which all its sessions share.

    A network that also provides L{pptpgw.interfaces.ISessionObserver} is told of sessions like an
    observer.
    """

    def start() -> None:
        """
        Open devices and set addresses, while the process still has its privileges.

        @raise pptpgw.error.PPTPGWError: the text says what is wrong and what to do.
        """

    def stop() -> None:
        """
        Close everything. This is called after every session has ended. Calling it again does
        nothing.
        """

    def makeProtocol(subscriber: ISubscriber, caller: Caller) -> Deferred[Any]:
        """
        Prepare the L{INetworkProtocol} of one session, with the addresses that it gives the caller.
        The caller is told of its success only after the Deferred has fired.

        @param caller: who calls, with the number and the identifier of the session.

        @return: fires with the protocol, or with None if this session does without this network. It
            fails with L{pptpgw.error.Refused} if this caller is refused for good, with
            L{pptpgw.error.Exhausted} if there is nothing left to give, and with any other
            exception, such as L{pptpgw.error.Unavailable}, in an outage. In each case the caller is
            turned away; unless it is refused for good, it is told to dial again.
        """

    def release(protocol: Any) -> Deferred[Any] | None:
        """
        Take back C{protocol}, which L{makeProtocol} made, after its session has ended.

        @return: None, or a Deferred that fires when that is done. A gateway that stops waits for
            the Deferred, within C{[listen] drain-timeout}.
        """


class IAskingNetwork(INetwork):
    """
    A network that calls can use, too, which this gateway dials: there it asks the other end for
    what callers ask of it.
    """

    def ask(dial: Any, subscriber: ISubscriber, caller: Caller) -> Any:
        """
        Make the L{INetworkProtocol} of one dialled call. L{INetwork.release} takes it back.

        @param dial: the row of the configuration, a L{pptpgw.config.dial.Dial}.
        @param subscriber: what the session of the call may do, with the name of C{dial}.
        @param caller: the call's ends, with the number and the identifier of the session.
        @raise pptpgw.error.PPTPGWError: it can't be used for this call; the text says why.
        """


class IReadableNetwork(INetwork):
    """
    A network whose control packets can be shown in words. The options of other networks are shown
    in hexadecimal.
    """

    control = Attribute("The PPP protocol number of the control protocol: 0x8021 for IPCP.")
    words = Attribute(
        "The words for its packets, a L{pptpgw.ppp.decode.words.Words}: its name, and its options."
    )


class IReserving(Interface):
    """
    A network that reserves addresses for the accounts that own them.
    """

    def reserve(user: str, addresses: tuple[IPv4Network, ...] | None) -> None:
        """
        Reserve C{addresses} for the account of C{user}, so that no other user is given them. This
        replaces the account's earlier reservation.

        @param addresses: as L{ISubscriber.addresses}.
        """


class INetworkFactory(IPlugin):
    """
    A plugin that makes a network, chosen by C{--network} or C{[network] protocols}.
    """

    name = Attribute("The name by which the configuration chooses the network, and its section.")
    description = Attribute("One line that says what the network is, with its protocol and RFC.")
    settings = Attribute(
        "A dataclass whose attributes are rows of L{pptpgw.config.kind.key}: the keys of the "
        "section that has the plugin's name; L{pptpgw.config.kind.NoSettings} if there are none."
    )

    def makeNetwork(settings: Any, environment: IEnvironment) -> INetwork:
        """
        Make the network, without opening anything yet. A network that provides
        L{twisted.application.service.IService} is started before its L{INetwork.start} is called,
        and stopped after its L{INetwork.stop}.

        @param settings: an instance of L{settings}, as the configuration has it.
        """


class INetworkDeclarer(IPlugin):
    """
    A plugin that makes network protocols of what a file declares in C{[[network.NAME]]}, without
    their being chosen.
    """

    name = Attribute("The name of the plugin, and of its key in C{[network]}.")
    description = Attribute("One line that says what the plugin can make network protocols of.")
    settings = Attribute(
        "A dataclass with one attribute, which has the plugin's name and is a row of "
        "L{pptpgw.config.kind.key}: the value of that key."
    )

    def factories(settings: Any) -> Mapping[str, INetworkFactory]:
        """
        Return the factories of the networks that are declared, by the names of their protocols. A
        factory takes the place of a chosen one of the same name.

        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: a name can't be used; the text says why.
        """


class ISessionFiles(Interface):
    """
    A network or a data path that opens files, such as sockets, for each session.
    """

    filesPerSession = Attribute("The number of files that one session needs.")


class IPacketSession(Interface):
    """
    One session that uses a declared protocol, as an L{IPacketService} sees it.
    """

    subscriber = Attribute("The user of the session, an L{ISubscriber}.")
    mtu = Attribute("The largest packet that may be sent to the peer, in octets.")

    def send(number: int, packet: bytes) -> None:
        """
        Send a packet to the peer. Do nothing if the protocol isn't open on the session.

        @param number: one of the PPP protocol numbers that the declaration names.
        """


class IPacketService(Interface):
    """
    An object in this process that handles the packets of a declared protocol. C{to =
    "object:DOTTED.NAME"} in C{[[network.generic]]} names the object, or a callable that makes it
    when called with the reactor. Exceptions that the object raises are logged and go no further.
    """

    def sessionOpened(session: IPacketSession) -> None:
        """
        The protocol opened on C{session}, which can send from now on.
        """

    def packetReceived(session: IPacketSession, number: int, packet: bytes) -> None:
        """
        Handle a packet from the peer.

        @param number: the PPP protocol number of the packet.
        """

    def sessionClosed(session: IPacketSession) -> None:
        """
        The protocol closed on C{session}. It may open there again.
        """
