"""
Every interface that a plugin implements or is given.

The values that cross these interfaces (L{TunnelKind}, L{Attachment}, L{Claim}) are defined here
too. Base classes for plugins are in other modules, such as L{pptpgw.ncp.base} and
L{pptpgw.session.observer}.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.cred.credentials import ICredentials
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.naming import accountName, folded, nameOf

if TYPE_CHECKING:
    from pptpgw.wire import eap


@dataclass(frozen=True, slots=True)
class TunnelKind:
    """
    The names of a kind of tunnel.

    @ivar name: the name of its plugin, which is also that of its section: C{pptp}.
    @ivar title: the name in texts for people, and in RADIUS's Connect-Info: C{PPTP}.
    @ivar type: RADIUS's Tunnel-Type (RFC 2868 section 3.1), 1 for PPTP; 0 if RADIUS has no number
        for it: then no attribute of a tunnel is sent.
    @ivar medium: RADIUS's Tunnel-Medium-Type (RFC 2868 section 3.2), 1 for IPv4.
    @ivar portType: RADIUS's NAS-Port-Type (RFC 2865 section 5.41), 5 for Virtual, 0 for Async.
    """

    name: str
    title: str
    type: int = 0
    medium: int = 0
    portType: int = 5


class Refusal(Enum):
    """
    Why the gateway refuses a call, in terms that every tunnel has codes of its own for.
    """

    BUSY = "busy"
    """
    There is no room now, or something is out of order: the caller may dial again.
    """

    FORBIDDEN = "not permitted"
    """
    This caller may not call.
    """

    STOPPING = "the gateway is stopping"
    """
    The gateway takes no calls any more.
    """


@dataclass(frozen=True, slots=True)
class MPPEParameters:
    """
    The parameters of MPPE in one direction (RFC 3078, RFC 3079).

    @ivar startKey: the start key of this direction: 8 octets for 40 and 56 bits, 16 for 128.
    @ivar bits: 40, 56 or 128.
    @ivar stateful: rekey at each flagged packet only, rather than for every packet.
    """

    startKey: bytes = field(repr=False)
    bits: int
    stateful: bool = False


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


class IChannelOwner(Interface):
    """
    The methods by which a data path calls the link whose frames it carries.
    """

    def frameReceived(protocol: int, information: bytes) -> None:
        """
        A frame arrived that the data path doesn't carry itself: a control frame, or one of a
        network protocol that isn't open.
        """

    def resyncNeeded() -> None:
        """
        Decryption of a stateful MPPE stream lost its place: a CCP Reset-Request is due.
        """

    def confirmationNeeded() -> None:
        """
        Ask the peer, if possible, for a frame that L{confirms}, because frames came with sequence
        numbers that can't be believed.
        """

    def confirms(protocol: int, information: bytes) -> bool:
        """
        Whether a frame answers L{confirmationNeeded}, so that only the peer can have sent it. The
        frame is also delivered by L{frameReceived}.
        """

    def channelFailed(reason: str) -> None:
        """
        The channel failed for good, with too many coherency errors: the link must end.
        """


class IChannel(Interface):
    """
    The data path of one call.
    """

    counters = Attribute("The L{pptpgw.counting.counters.Counters} of this call.")

    def sendFrame(protocol: int, information: bytes) -> None:
        """
        Send a control frame, in clear, its address, control and protocol fields uncompressed.
        """

    def sendPacket(protocol: int, packet: bytes) -> None:
        """
        Send a network packet of an open protocol, encrypted if encryption is on. Networks that are
        served inside this process send by this.
        """

    def setFraming(acfc: bool, pfc: bool, sendACCM: int = 0, receiveACCM: int = 0) -> None:
        """
        Frame packets as LCP has negotiated. Control frames aren't compressed all the same.

        @param acfc: whether to compress the address and control fields of packets sent.
        @param pfc: whether to compress the protocol field of packets sent.
        @param sendACCM: the Async-Control-Character-Map (RFC 1662 section 7.1) of what is sent: bit
            n stands for the control character n, which must be escaped. It is of use only where
            frames are escaped (L{ICall.accm} isn't None).
        @param receiveACCM: the same map for what is received: the peer escapes these characters, so
            that unescaped ones were inserted on the way.
        """

    def setSendMPPE(parameters: MPPEParameters | None) -> None:
        """
        Encrypt what is sent from now on, or no longer.
        """

    def setReceiveMPPE(parameters: MPPEParameters | None) -> None:
        """
        Decrypt what is received from now on, or no longer.
        """

    def resetSendMPPE() -> None:
        """
        The peer sent a Reset-Request: begin again, and flag the next packet (RFC 3078 section 4.2).
        """

    def requireMPPE() -> None:
        """
        From now on no network packet passes in a direction whose MPPE isn't set.
        """

    def openNetwork(protocol: int, attachment: Attachment) -> None:
        """
        Carry packets of the network protocol C{protocol} to and from what C{attachment} describes.
        """

    def closeNetwork(protocol: int) -> None:
        """
        Stop carrying C{protocol}, if it is open.
        """

    def close() -> None:
        """
        Forget everything, since the call is over. Calling this again does nothing.
        """


class IKernelInterface(Interface):
    """
    The interface by which a data path's own network reaches the kernel of this machine.
    """

    name = Attribute("Its name, as C{ip link} shows it.")

    def addAddress(address: IPv4Interface | IPv6Interface) -> None:
        """
        Give the interface an address, which is removed with it.

        @raise pptpgw.error.PPTPGWError: the kernel refuses; the text says why.
        """

    def addRoute(network: IPv4Network | IPv6Network) -> None:
        """
        Route C{network} to the interface, unless a wider route leads there already. Each call is
        undone by one call of L{removeRoute}, or with the interface.

        @raise pptpgw.error.PPTPGWError: the kernel refuses; the text says why.
        """

    def removeRoute(network: IPv4Network | IPv6Network) -> None:
        """
        Undo one call of L{addRoute}, if there was one.
        """


class ICallOwner(Interface):
    """
    The owner of a call, which is told what becomes of it.
    """

    def callEstablished(call: ICall) -> None:
        """
        The call can carry frames. It may have been told so by L{ICall.accept} itself.
        """

    def callEnded(call: ICall, cause: str) -> None:
        """
        The call is over. This is called exactly once for each call that was accepted or placed.

        @param cause: why; L{pptpgw.cause.codeOf} gives its code, which is C{PORT_PREEMPTED} only
            where the tunnel itself ended the call to make room for a newer caller.
        """


class ICall(Interface):
    """
    A call that a tunnel offers to the gateway, or that it has placed.
    """

    tunnel = Attribute("What the tunnel is called, a L{TunnelKind}.")
    caller = Attribute("The address of the end that calls, in text: dotted, for IPv4.")
    called = Attribute("The address of the end that is called, in text.")
    headStart = Attribute(
        "Seconds that LCP waits for the peer's first frame before it sends its own; 0 for none."
    )
    encrypted = Attribute(
        "Whether the tunnel encrypts already: then [link] encryption is satisfied without MPPE."
    )
    accm = Attribute(
        "For a tunnel that escapes control characters in frames: those that LCP asks the peer to "
        "escape, an Async-Control-Character-Map (RFC 1662 section 7.1); otherwise None."
    )
    silence = Attribute(
        "What may be wrong if no frame has come from the peer since the call was established, in "
        "words for the log; empty if nothing can be said."
    )

    def accept(owner: ICallOwner) -> None:
        """
        Take a call that was offered. If it has ended meanwhile, C{owner} is told so at once.
        """

    def refuse(reason: Refusal) -> None:
        """
        Turn down a call that was offered. This does nothing if the call has ended.
        """

    def hangUp(cause: str) -> None:
        """
        End the call. This does nothing if the call is over or ending.

        @param cause: why; L{pptpgw.cause.codeOf} gives its code, from which the tunnel chooses
            codes of its own.
        """

    def authenticated(grant: Grant) -> None:
        """
        Take note that the caller has proved who it is, at the beginning of its session.
        """

    def openChannel(owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        Begin to carry frames through this process, for a data path in Python.

        @raise pptpgw.error.PPTPGWError: the tunnel has no port for this call; the text says why.
        @raise ValueError: another call has the same addresses and identifiers.
        """


class ICallTaker(Interface):
    """
    The gateway as a tunnel sees it.
    """

    def callRequested(call: ICall) -> None:
        """
        Decide on a call that was offered: accept or refuse it, now or later.
        """


class ITunnelEnvironment(Interface):
    """
    The gateway as a tunnel plugin sees it.
    """

    reactor = Attribute("The reactor.")
    listen = Attribute("What all tunnels share, the section [listen]: L{pptpgw.section.Listen}.")
    calls = Attribute("The L{ICallTaker} that calls are offered to.")
    counters = Attribute("The L{pptpgw.counting.counters.Counters} of what belongs to no call.")
    quota = Attribute("The L{pptpgw.log.Quota} of lines of the log that peers can cause.")
    known = Attribute(
        "The addresses from which somebody has logged in lately, a "
        "L{pptpgw.session.places.Known}: a tunnel that limits connections keeps theirs."
    )
    environment = Attribute("The L{IEnvironment} that plugins of every kind are given.")


class ITunnel(Interface):
    """
    One tunnel protocol of the gateway: it listens, and offers calls. It may also provide
    L{IPreparable} and L{IHealth}.
    """

    places = Attribute("Where it listens, a tuple of texts for the log.")

    def start() -> None:
        """
        Open the ports, while the process has its privileges.

        @raise pptpgw.error.PPTPGWError: the text says what is wrong and what to do.
        """

    def stopListening() -> Deferred[Any]:
        """
        Take no more connections; those that there are stay. Calling this again does nothing.

        @return: fires when the ports are closed.
        """

    def stop() -> Deferred[Any]:
        """
        Close everything, after every call has ended, or a start has failed halfway. Calling this
        again does nothing.

        @return: fires when everything is closed.
        """


class ITunnelFactory(IPlugin):
    """
    A plugin that makes a tunnel, chosen by C{[listen] tunnels}.
    """

    name = Attribute("What it is chosen by, and its section of the configuration: C{pptp}.")
    description = Attribute("One line on what it is, with its RFC.")
    settings = Attribute(
        "A dataclass whose attributes are rows of L{pptpgw.kind.key}: the keys of its section."
    )

    def makeTunnel(settings: Any, environment: ITunnelEnvironment) -> ITunnel:
        """
        Make the tunnel; nothing is opened yet.

        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the settings can't be used; the text says why.
        """


class IChannelHost(Interface):
    """
    A data path in Python as the channels on it see it.
    """

    clock = Attribute("The L{twisted.internet.interfaces.IReactorTime} to take timers from.")

    def channelClass(plain: type[Any]) -> type[Any]:
        """
        The class to make a channel of: C{plain}, a L{pptpgw.datapath.channel.Channel}, or one
        derived from it that records frames.
        """

    def networkOpened(channel: Any, protocol: int, attachment: Attachment) -> Any:
        """
        Make the L{pptpgw.datapath.network.Network} of a protocol that opens, with its routes.
        """

    def networkClosed(network: Any) -> None:
        """
        Take back the routes of a network.
        """


class IFrameSender(Interface):
    """
    A transport of PPP frames without sequence numbers, below a
    L{pptpgw.datapath.framed.FramedChannel}: of a serial line, or of a tunnel over TCP. It gives
    each frame that comes to that channel's C{received}.
    """

    full = Attribute(
        "Whether so much waits to be sent that network packets are discarded. Control frames are "
        "sent all the same."
    )

    def send(frame: bytes) -> None:
        """
        Send a frame: address, control, protocol and information, each as it is to appear.

        @raise OSError: the system refuses it; the frame is counted as not sent.
        """

    def setACCM(send: int, receive: int) -> None:
        """
        Use these Async-Control-Character-Maps: see L{IChannel.setFraming}. LCP's own frames are
        sent with every control character escaped whatever the map is (RFC 1662 section 7.1).
        """

    def disconnected() -> None:
        """
        The channel is closed: give it no more frames.
        """


class IDataPath(Interface):
    """
    The data path of the whole gateway, which carries packets between calls and networks.

    A data path that also provides L{ISessionObserver} is told of sessions, as observers are.
    """

    counters = Attribute("The L{pptpgw.counting.counters.Counters} of what belongs to no call.")
    interface = Attribute("The L{IKernelInterface}; None where no kernel takes part.")

    def start() -> None:
        """
        Open the devices and sockets that it needs, while the process has its privileges.

        @raise pptpgw.error.PPTPGWError: the text says what is wrong and what to do.
        """

    def stop() -> Deferred[None] | None:
        """
        Close everything, after every call has ended. Calling this again does nothing.

        @return: None, or a Deferred that fires when everything is closed.
        """

    def openChannel(call: ICall, owner: IChannelOwner) -> IChannel:
        """
        Begin to carry the frames of a call that is set up, or about to be. A data path in Python
        asks the call for its channel (L{ICall.openChannel}); another one looks at what the call is.

        @raise pptpgw.error.PPTPGWError: it can't carry the frames of this call.
        """


class IHealth(Interface):
    """
    Provided by a data path, network or observer that may lose something it needs while the gateway
    runs, such as a device that another program deletes.
    """

    fault = Attribute(
        "Why it can't serve at present, in words, for the log; empty if it can. The gateway takes "
        "no calls while this isn't empty."
    )


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

    L{pptpgw.ncp.base.NetworkProtocol} is an implementation to derive from.
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


class ISubscriber(Interface):
    """
    The avatar of a caller who has been authenticated (twisted.cred).
    """

    name = Attribute("The user's name, str.")
    addresses = Attribute(
        "The addresses that the user may have, a tuple of IPv4Network, the first one meant for it; "
        "None: any from the pool."
    )
    profile = Attribute("The whole of what its account allows, a L{pptpgw.profile.Profile}.")


class IEnvironment(Interface):
    """
    The gateway as its plugins see it. All plugins of one gateway are given the same environment.
    """

    reactor = Attribute("The reactor, with a monotonic clock.")
    configuration = Attribute("The whole L{pptpgw.config.Configuration}.")
    counters = Attribute("The L{pptpgw.counting.counters.Counters} of what belongs to no session.")
    sessions = Attribute(
        "The current sessions, an iterable of L{pptpgw.session.session.Session} with a length."
    )
    radius = Attribute(
        "The L{pptpgw.radius.client.RADIUSClient} that asks the servers of C{[radius]}; None if "
        "there are none."
    )
    store = Attribute(
        "The L{pptpgw.store.interface.IStore} that keeps sessions: C{[audit] store}, or that of "
        "the first checker which has one; None if there is none, and until the checkers are "
        "configured."
    )
    mru = Attribute("The largest packet, in octets, that may be sent to a caller: [link] mru.")
    interface = Attribute(
        "The data path's L{IKernelInterface}; None if it has none, and until the data path is made."
    )
    filters = Attribute("The L{pptpgw.session.gate.Filters} that accounts may name.")
    addresses = Attribute(
        "The addresses that callers dial, a tuple of IPv4Address: [listen] addresses."
    )

    def settings(plugin: Any) -> Any:
        """
        Give the section of C{plugin}, which has attributes C{name} and C{settings}: an instance of
        its C{settings}, with the defaults if the file has no such section. This is for a plugin
        that chooses other plugins, as IPv4 chooses an address pool.

        @raise pptpgw.error.ConfigurationError: a plugin of another kind has the section.
        """


class INetwork(Interface):
    """
    One network that the gateway serves, which its sessions share.

    A network that also provides L{ISessionObserver} is told of sessions, as observers are.
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


class IPreparable(Interface):
    """
    A network, data path or session observer that can say in advance whether it could start.
    C{--check-config} asks it.
    """

    def lacking() -> Iterable[str]:
        """
        Say what is missing for a start, one line each, which names the configuration key and says
        what to do. This changes nothing, and leaves nothing open.
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
        "A dataclass whose attributes are rows of L{pptpgw.kind.key}: the keys of its section, "
        "which has the name of the plugin; L{pptpgw.kind.NoSettings} if there are none."
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


class IAddressPool(Interface):
    """
    A source of IPv4 addresses for subscribers.
    """

    networks = Attribute("The networks that cover its addresses, a tuple of IPv4Network.")

    def allocate(subscriber: ISubscriber, caller: Caller) -> Deferred[str]:
        """
        Give an address to this subscriber that no other session uses.

        @param caller: who calls, with the number and the identifier of the session.

        @return: fires with the address, dotted; fails as L{INetwork.makeProtocol} does.
        """

    def release(address: str) -> Deferred[Any] | None:
        """
        Take back C{address}, after its session has ended.

        @return: see L{INetwork.release}.
        """


DEFAULT_POOL = "default"
"""
The name of the pool for users whose accounts name none: C{[ipv4] pool}.
"""


@dataclass(frozen=True, slots=True)
class PoolRanges:
    """
    The addresses of a pool.

    @ivar ranges: the first and the last address of each run of addresses; no two pools share one.
    @ivar next: the name of the pool to take from when this one is used up; empty for none.
    """

    ranges: tuple[tuple[IPv4Address, IPv4Address], ...]
    next: str = ""


class IAddressPools(IAddressPool):
    """
    An address pool that knows pools by name, and whose pools may change.
    """

    def change(pools: Mapping[str, PoolRanges], gateway: Collection[str]) -> None:
        """
        Replace the pools. Addresses that are in use stay so until they are released.

        @param pools: the new pools by name, L{DEFAULT_POOL} among them.
        @param gateway: the gateway's own addresses, dotted, which are never given. The pools have
            none of them.
        """

    def reserve(user: str, addresses: Sequence[str]) -> None:
        """
        Record that the account of C{user} owns C{addresses}, dotted, so that no pool gives them to
        another user. They replace those that it owned before.
        """


class IReloadable(Interface):
    """
    A network whose section of the configuration may change while it runs.
    """

    def judge(settings: Any) -> None:
        """
        Say whether C{settings} can be used, and change nothing.

        @raise pptpgw.error.ConfigurationError: they can't; the text says why.
        """

    def reload(settings: Any) -> Sequence[str]:
        """
        Apply C{settings}, of the same type as before; sessions stay.

        @return: the keys, as the file names them, whose changes need a restart.
        """


class IAddressPoolFactory(IPlugin):
    """
    A plugin that makes an address pool, chosen by C{[ipv4] allocator}.
    """

    name = Attribute("What it is chosen by.")
    description = Attribute("One line on what it is, and on its argument where it takes one.")

    settings = Attribute("The type of its section, as for L{INetworkFactory}.")

    def makePool(
        argument: str,
        ranges: Sequence[tuple[IPv4Address, IPv4Address]],
        settings: Any,
        environment: IEnvironment,
    ) -> IAddressPool:
        """
        Make the pool; it must not open anything yet. A pool that provides
        L{twisted.application.service.IService} is started and stopped with the gateway.

        @param argument: what stands behind C{NAME:} in the configuration.
        @param ranges: those of C{[ipv4] pool}, first and last addresses, for pools that take them.
        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the argument is of no use; the text says why.
        """


class ISessionObserver(Interface):
    """
    An observer of sessions. Exceptions that it raises are logged and go no further.

    L{pptpgw.session.observer.SessionObserver} is an implementation to derive from.
    """

    def sessionStarted(session: Any) -> None:
        """
        A caller was authenticated.
        """

    def protocolOpened(session: Any, protocol: INetworkProtocol) -> None:
        """
        A network protocol opened.
        """

    def protocolClosed(session: Any, protocol: INetworkProtocol) -> None:
        """
        A network protocol closed.
        """

    def networksChanged(session: Any) -> None:
        """
        The networks of an open network protocol changed: a prefix was delegated, for example.
        """

    def sessionChanged(session: Any) -> None:
        """
        The session has another C{profile}, since an operator or a server changed it.
        """

    def sessionEnded(session: Any, cause: str) -> Deferred[Any] | None:
        """
        The session is over; L{pptpgw.cause.codeOf} gives the code of the cause.

        @return: None, or a Deferred that fires when the end is accounted for. The addresses of the
            session aren't given again before that, or before
            L{pptpgw.session.ending.REPORT_SECONDS} have passed.
        """

    def callerRefused(caller: str, name: str, method: str, reason: str) -> None:
        """
        A caller at the address C{caller} was turned away.

        @param name: the user that it claimed to be; empty if the call itself was refused.
        @param method: the authentication protocol; empty if the call itself was refused.
        """

    def lockedOut(kind: str, subject: str, failures: int, until: float) -> None:
        """
        A lockout begins: no claim for the user C{subject}, or from the address C{subject}, is
        believed until it ends.

        @param kind: C{"user"} or C{"source"}.
        @param failures: the number of false claims.
        @param until: the end of the lockout, in seconds since 1970.
        """


class ISessionObserverFactory(IPlugin):
    """
    A plugin that makes a session observer, chosen by C{[plugins] observers}.
    """

    name = Attribute("What it is chosen by.")
    description = Attribute("One line on what it is, and on its argument where it takes one.")

    settings = Attribute("The type of its section, as for L{INetworkFactory}.")

    def makeObserver(argument: str, settings: Any, environment: IEnvironment) -> ISessionObserver:
        """
        Make the observer; nothing is opened yet. An observer that provides
        L{twisted.application.service.IService} is started and stopped with the gateway.

        @param argument: what stands behind C{NAME:} in the configuration.
        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the argument is of no use; the text says why.
        """


class IDataPathFactory(IPlugin):
    """
    A plugin that makes the data path, chosen by C{[plugins] data-path}.
    """

    name = Attribute("What it is chosen by.")
    description = Attribute("One line on what it is, and on its argument where it takes one.")

    settings = Attribute("The type of its section, as for L{INetworkFactory}.")

    def makeDataPath(argument: str, settings: Any, environment: IEnvironment) -> IDataPath:
        """
        Make the data path; nothing is opened yet. A data path that provides
        L{twisted.application.service.IService} is started before its L{IDataPath.start} is called,
        and stopped after its L{IDataPath.stop}.

        @param argument: what stands behind C{NAME:} in the configuration.
        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the argument is of no use; the text says why.
        """


class IKeys(Interface):
    """
    The MPPE keys that an authentication earned, as this end sees them.
    """

    bits = Attribute("The lengths that there are keys for, of 40, 56 and 128.")

    def send(bits: int, stateful: bool) -> MPPEParameters:
        """
        The parameters for packets that this end encrypts.
        """

    def receive(bits: int, stateful: bool) -> MPPEParameters:
        """
        The parameters for packets that this end decrypts.
        """


@dataclass(frozen=True, slots=True)
class Caller:
    """
    The caller that makes a claim.

    @ivar address: the address, in text, that it calls from.
    @ivar called: the address that it called.
    @ivar port: the number of its session, if it gets one.
    @ivar session: the identifier of that session.
    @ivar tunnel: the tunnel that it came by.
    """

    address: str
    called: str
    port: int
    session: str
    tunnel: TunnelKind


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A peer's claim to be the user C{name}. A protocol whose claims need more derives a class from
    this one.

    @ivar method: the protocol that carried it.
    @ivar identifier: the identifier of the exchange's packet.
    @ivar challenge: the challenge that we sent; empty if the peer begins.
    @ivar response: the peer's answer: a password, or the value field of a CHAP Response.
    @ivar caller: the caller, if known. Exchanges leave it out, and the line adds it.
    @cvar domain: whether a Windows domain may stand before a name.
    @cvar relayed: whether a server converses with the peer through us. C{name} is then only the
        name that the peer gave first, and judging the claim takes as long as the peer does.
    """

    domain: ClassVar[bool] = True
    relayed: ClassVar[bool] = False

    method: IAuthenticationProtocol
    name: bytes
    identifier: int
    challenge: bytes = field(repr=False)
    response: bytes = field(repr=False)
    caller: Caller | None = field(default=None, kw_only=True)

    @property
    def account(self) -> bytes:
        """
        C{name} without the Windows domain that may stand before it.
        """
        return accountName(self.name) if self.domain else self.name

    def identity(self, name: str | None = None) -> str:
        """
        The identity of the user, which is the same for all names of one user.

        @param name: the name that the checker found the claim true for; None for C{self.name}.
        """
        octets = self.name
        if name is not None and name not in (nameOf(octets), nameOf(self.account)):
            octets = name.encode("utf-8", "surrogateescape")
        return folded(octets, self.domain)


@dataclass(frozen=True, slots=True)
class Grant:
    """
    The verdict that a claim is true.

    @ivar name: the user's name as the authenticator knows it.
    @ivar message: what the peer is told with its success; C{S=...} of MS-CHAPv2 begins it.
    @ivar keys: the keys earned, or None.
    @ivar subscriber: the L{ISubscriber}.
    """

    name: str
    message: bytes
    keys: IKeys | None
    subscriber: object


class IConfigurable(Interface):
    """
    A credentials checker with a section of the configuration, or one that needs the environment.

    The factory of a checker with a section has the same C{settings}. A checker that provides
    L{twisted.application.service.IService} is started and stopped with the gateway, configurable or
    not.
    """

    name = Attribute("The C{authType} of its factory, and the name of its section.")
    settings = Attribute("The type of its section, as for L{INetworkFactory}.")

    def configure(settings: Any, environment: IEnvironment) -> None:
        """
        Take the settings and the environment. This is called before any claim is checked.

        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.PPTPGWError: they can't be used; the text says why.
        """


class IClaimCredentials(ICredentials):
    """
    A claim as twisted.cred judges it: the L{ICredentials} of the kind that the checkers look for
    (C{IUsernamePassword}, C{IUsernameHashedPassword}), with the results of a successful check.

    L{pptpgw.auth.credentials.ClaimCredentials} is an implementation to derive from.
    """

    username = Attribute("The name of the account to check against, bytes.")
    message = Attribute("Once found true: L{Grant.message}.")
    keys = Attribute("Once found true: L{Grant.keys}.")


class ICertifiedName(IClaimCredentials):
    """
    The name in a certificate whose chain, times and possession of the key have been verified
    already (RFC 5216 section 5.3). A checker only decides whether there is such an account, and
    whether it may be used.
    """

    certificate = Attribute("The certificate, bytes in DER.")


class IChangedPassword(IClaimCredentials):
    """
    A caller's request to change its password, which has expired (RFC 2759 section 7).

    A checker that accepts the credentials has changed the password. Such a checker fails with
    L{pptpgw.auth.rejection.Rejection} and the error L{pptpgw.error.PASSWORD_EXPIRED} for a right
    password that has expired: that asks the caller for the new one.
    """

    def changed(oldHash: bytes) -> bytes | None:
        """
        The new password, in UTF-16 little-endian, which may be empty; None if the caller doesn't
        know the old and the new one.

        @param oldHash: the NT hash of the old password.
        """


class IEAPCredentials(IClaimCredentials):
    """
    A caller that speaks EAP, for a checker that lets a server judge it (a pass-through
    authenticator, RFC 3748 section 2.3, such as RFC 3579 describes for RADIUS).

    Before it accepts the credentials, the checker sets C{keys} to the keys that the conversation
    earned, an L{IKeys}, or leaves it None. It refuses them like all credentials; the caller is sent
    an EAP Failure then, which the checker needn't pass on.
    """

    response = Attribute("The caller's first EAP Response for the server: its identity.")

    def converse(request: bytes) -> Deferred[bytes]:
        """
        Send an EAP Request of the server's, of any method, to the caller unchanged. Only one at a
        time is allowed.

        @return: fires with the caller's EAP Response, unchanged. It fails if the caller is silent,
            if the link ends, or if C{request} is no EAP Request of at most 1500 octets. Cancelling
            it ends the conversation.
        """


class IVerdicts(Interface):
    """
    The owner of the authenticator's side of an exchange, which is told the results.
    """

    def granted(grant: Grant) -> None:
        """
        The peer's claim is true, but the peer hasn't been told yet: prepare its session. Raising
        L{pptpgw.error.Refused} refuses the peer after all, and for good.
        """

    def authenticated(grant: Grant) -> None:
        """
        The peer has been told, for the first time.
        """

    def refused(reason: str) -> None:
        """
        The exchange failed for good. The peer has been told; or it didn't answer; or nobody can
        judge its claim now, which the exchange doesn't tell it.
        """


class IPeerResults(Interface):
    """
    The owner of the peer's side of an exchange, which is told the results.
    """

    def proven(keys: IKeys | None) -> None:
        """
        The authenticator has accepted us. This is called once, with the keys that were earned.
        """

    def refused(reason: str) -> None:
        """
        The authenticator has refused us, is silent, or failed to authenticate itself.
        """


class IExchange(Interface):
    """
    One end of an authentication protocol on one link, for as long as LCP stays open. Where both
    ends prove themselves by one protocol there are two on a link, and each gets every packet.
    """

    def start() -> None:
        """
        LCP is open: send the first packet, or wait for the peer's.
        """

    def received(packet: bytes) -> None:
        """
        Handle the information field of a frame with the protocol's number. No input raises an
        exception; unexpected packets are silently discarded.
        """

    def stop() -> None:
        """
        The link needs no authentication any more: cancel everything, tell nobody.
        """


class IAuthenticatorExchange(IExchange):
    """
    The authenticator's end.
    """

    def repeat() -> None:
        """
        Tell the peer its success once more, since it seems not to have heard of it; unless peers of
        this protocol ask again by themselves.
        """


class IAuthenticationProtocol(IPlugin):
    """
    A plugin that authenticates peers, chosen by C{[link] authentication}: a PPP authentication
    protocol, or one of the algorithms of such a protocol. It has no state; a link's is in its
    exchanges, for which L{pptpgw.ppp.exchange} has classes to derive from.

    A protocol of several round trips, such as EAP (RFC 3748), is one of these as well. Its exchange
    may call C{authenticate} as often as something has to be judged, each claim by itself; it tells
    C{granted} at the first success that the peer is to hear of, and C{authenticated} however many
    packets later the peer knows. If the checker must ask the peer for more (a RADIUS server's
    Access-Challenge), the protocol's claims are of a class of its own, whose L{credentials} let the
    checker send a request to the peer and wait for the response, all within one login. Such a claim
    is L{Claim.relayed}, and may take longer than L{pptpgw.session.lockout.JUDGING_SECONDS}, which
    is for claims that a checker judges alone.
    """

    name = Attribute("What it is chosen by: C{mschapv2}.")
    description = Attribute("One line on what it is, with its RFC.")
    number = Attribute("The PPP protocol number of its packets: 0xC223 for every CHAP.")
    algorithm = Attribute(
        "The data of the LCP Authentication-Protocol option, behind the number (RFC 1661 section "
        "6.2): b'\\x81' for MS-CHAPv2, empty for PAP."
    )
    earnsKeys = Attribute("Whether success earns keys for MPPE.")
    strength = Attribute(
        "Stronger protocols are offered first: a password in clear has 100, a hash 200, MS-CHAP "
        "300, and MS-CHAPv2, where both ends authenticate, 400."
    )

    def makeAuthenticator(
        clock: IReactorTime,
        send: Callable[[bytes], None],
        name: bytes,
        authenticate: Callable[[Claim], Deferred[Grant]],
        verdicts: IVerdicts,
        rechallenge: float,
    ) -> IAuthenticatorExchange:
        """
        Make the exchange by which the peer authenticates to us.

        @param send: sends a packet of L{number}, at most 1020 octets (RFC 3748 section 3.1).
        @param name: our name, never empty.
        @param authenticate: judges a claim; fails with L{pptpgw.error.Refused}, or with
            L{pptpgw.error.Unavailable} if that can't be done.
        @param rechallenge: seconds until an authenticated peer is challenged again, if the protocol
            can do that; 0 for never.
        """

    def makePeer(
        clock: IReactorTime,
        send: Callable[[bytes], None],
        name: bytes,
        password: bytes,
        results: IPeerResults,
    ) -> IExchange:
        """
        Make the exchange by which we authenticate to the peer.

        @param send: as for L{makeAuthenticator}.
        """

    def credentials(claim: Claim, username: bytes) -> IClaimCredentials:
        """
        Make credentials of a claim of this protocol's, for any checker that judges their kind.

        @param username: the account to check against; C{claim.name}, or that without its Windows
            domain.
        """


@dataclass(frozen=True, slots=True)
class EAPClaim(Claim):
    """
    A claim that a peer makes by a method of EAP.

    @ivar within: the method, which makes the credentials.
    """

    within: IEAPMethod


class IEAPConversation(Interface):
    """
    The authenticator's end of EAP on one link, as a method sees it.
    """

    protocol = Attribute("The L{IAuthenticationProtocol} for claims: EAP.")
    name = Attribute("Our name, bytes, never empty.")
    identity = Attribute("The peer's answer to the Identity Request, bytes, as it came.")
    username = Attribute(
        "The name in L{identity}, without the options that may stand behind a zero octet (RFC 3748 "
        "section 5.1)."
    )
    identifier = Attribute("The identifier of the last Request.")
    mayRetry = Attribute("Whether a peer that isn't believed may be given another try.")

    def random(size: int) -> bytes:
        """
        Octets for a challenge.
        """

    async def ask(method: eap.Method, content: bytes = b"") -> eap.Response:
        """
        Send a Request of at most 1020 octets, and wait for the Response to it, which is of the same
        method. Losses and repetitions are taken care of.

        @raise pptpgw.error.Refused: the peer is silent, or was asked too often.
        @raise Exception: the peer wants another method instead. The method must not catch this.
        """

    def relay(request: bytes) -> Deferred[bytes]:
        """
        Send somebody else's Request as it is.

        @return: see L{IEAPCredentials.converse}.
        """

    async def judge(claim: Claim) -> Grant:
        """
        Have C{claim} judged. The link is told of a grant, and prepares the session.

        @raise pptpgw.error.Refused: the claim is false, or the link can't serve the peer.
        @raise Exception: nobody can judge it now. The method must not catch this.
        """


class IEAPPeer(Interface):
    """
    One run of a method, the peer's end.

    L{pptpgw.ppp.eappeer.MethodPeer} is an implementation to derive from.
    """

    done = Attribute("Whether the method has nothing left to say, so that a Success may come.")
    failure = Attribute("What is known of why a Failure will come, in words; empty: nothing.")

    def answer(request: eap.Request) -> bytes:
        """
        The content of the Response to a Request of this method. A Request that comes again isn't
        seen here.

        @raise pptpgw.error.Malformed: C{request} can't be understood; it is silently discarded.
        @raise pptpgw.error.Refused: the authenticator isn't who it should be, or turned us down.
        """

    def keys() -> IKeys | None:
        """
        The keys that a Success earns.
        """


class IEAPMethod(IPlugin):
    """
    A plugin that authenticates peers within EAP (RFC 3748), chosen by C{[eap] methods}. It has no
    state; that of a conversation is in the coroutine and in L{IEAPPeer}.

    L{pptpgw.auth.eapmethod.EAPMethod} is an implementation to derive from.
    """

    name = Attribute("What it is chosen by: C{tls}.")
    description = Attribute("One line on what it is, with its RFC.")
    number = Attribute(
        "Its Type, a L{pptpgw.wire.eap.Method}; None: every Type, since somebody else judges."
    )
    earnsKeys = Attribute("Whether success earns keys for MPPE, or may do so.")
    strength = Attribute(
        "As L{IAuthenticationProtocol.strength}. EAP is offered as its strongest method demands; "
        "the order of the methods is that of C{[eap] methods}."
    )
    judgedAs = Attribute("The kind of credentials, an interface, that a checker must know.")
    settings = Attribute(
        "A dataclass whose attributes are rows of L{pptpgw.kind.key}: the keys of its section, "
        "C{[eap.NAME]}; or L{pptpgw.section.EAP}, for a method that goes by the keys of C{[eap]}."
    )

    def lacking(settings: Any) -> str:
        """
        Say why the method can't be used with C{settings}; empty if it can. The reason ends a line
        of the log.
        """

    def configured(settings: Any, environment: IEnvironment) -> IEAPMethod:
        """
        Make the method with C{settings}, an instance of L{settings}, and read the files that they
        name. A method that provides L{twisted.application.service.IService} is started and stopped
        with the gateway.

        @raise pptpgw.error.ConfigurationError: they can't be used; the text says why.
        """

    async def authenticate(conversation: IEAPConversation) -> Grant:
        """
        Have the peer prove itself: ask it, have a claim judged, and give the grant.

        @raise pptpgw.error.Refused: it didn't.
        @raise pptpgw.error.Malformed: its answer can't be read, which ends the exchange too.
        """

    def begin(name: bytes, password: bytes) -> IEAPPeer:
        """
        Begin the peer's end, where we are C{name} and know C{password}.

        @raise pptpgw.error.Refused: we can't prove ourselves by this method.
        """

    def credentials(claim: Any, username: bytes) -> IClaimCredentials:
        """
        Make credentials, of the kind L{judgedAs}, of a claim of this method's.

        @param claim: the L{EAPClaim}.
        @param username: see L{IAuthenticationProtocol.credentials}.
        """


class IConfiguredProtocol(IAuthenticationProtocol):
    """
    An authentication protocol with a section of the configuration.
    """

    settings = Attribute("The type of its section, as for L{INetworkFactory}.")
    methods = Attribute(
        "The plugins that the protocol consists of, such as EAP's methods; those that are services "
        "are started and stopped with the gateway."
    )

    def configured(
        settings: Any, environment: IEnvironment, judged: Container[type[Interface]]
    ) -> IAuthenticationProtocol:
        """
        Make the protocol with C{settings}, and read the files that they name. A protocol that
        provides L{twisted.application.service.IService} is started and stopped with the gateway.

        @param settings: an instance of L{settings}, as the configuration has it.
        @param judged: the kinds of credentials that there is a checker for.
        @raise pptpgw.error.ConfigurationError: it can't be used; the text says why.
        """
