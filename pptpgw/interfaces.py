"""
Every interface that a plugin implements or is given.

Values that cross these interfaces (L{Tunnel}, L{Attachment}, L{MPPEParameters}) stand here too, so
that a plugin needs this module alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface


@dataclass(frozen=True, slots=True)
class Tunnel:
    """
    The two ends of one call's GRE tunnel (RFC 2637 section 4.1).

    @ivar localAddress: our IPv4 address, dotted.
    @ivar peerAddress: the peer's IPv4 address, dotted.
    @ivar localCallID: the call id in the GRE packets that we receive.
    @ivar peerCallID: the call id to put into those that we send.
    @ivar peerWindow: the peer's receive window in packets, 0 where it named none.
    """

    localAddress: str
    peerAddress: str
    localCallID: int
    peerCallID: int
    peerWindow: int = 0


@dataclass(frozen=True, slots=True)
class MPPEParameters:
    """
    What one direction of MPPE needs (RFC 3078, RFC 3079).

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
    What a network protocol is joined to, not how to reach it.

    @ivar addresses: the networks that the peer may send from and that lead to it.
    @ivar mtu: the largest packet, in octets, that may be sent to the peer.
    @ivar receive: for a network served inside this process: called with each packet (bytes) that
        arrives, instead of the data path's own network.
    """

    addresses: tuple[IPv4Network | IPv6Network, ...] = ()
    mtu: int = 1400
    receive: Callable[[bytes], None] | None = None


class IChannelOwner(Interface):
    """
    What a data path tells the link whose frames it carries.
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

    def channelFailed(reason: str) -> None:
        """
        The channel can't be saved (coherency errors past the threshold): the link must end.
        """


class IChannel(Interface):
    """
    The data path of one call.
    """

    counters = Attribute("The L{pptpgw.counters.Counters} of this call.")

    def sendFrame(protocol: int, information: bytes) -> None:
        """
        Send a control frame, in clear, its address, control and protocol fields uncompressed.
        """

    def sendPacket(protocol: int, packet: bytes) -> None:
        """
        Send a network packet of a protocol that is open, encrypted where that is on: how a network
        that is served inside this process sends.
        """

    def setFraming(acfc: bool, pfc: bool) -> None:
        """
        Compress the address and control fields (acfc), the protocol field (pfc) of packets sent.
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
        Stop carrying C{protocol}; harmless where it isn't open.
        """

    def close() -> None:
        """
        The call is over: forget everything. Harmless the second time.
        """


class IDataPath(Interface):
    """
    The way that packets go, for the whole gateway.
    """

    counters = Attribute("The L{pptpgw.counters.Counters} of what belongs to no call.")

    def openChannel(tunnel: Tunnel, owner: IChannelOwner) -> IChannel:
        """
        Begin to carry the frames of a call that is set up.
        """


class INetworkLink(Interface):
    """
    What a link gives a network protocol that is attached to it.
    """

    clock = Attribute("The L{twisted.internet.interfaces.IReactorTime} to take timers from.")
    peerMRU = Attribute("The largest information field, in octets, that the peer takes.")

    def send(protocol: int, packet: bytes) -> None:
        """
        Send a control packet of the network protocol.
        """

    def networkOpened(protocol: INetworkProtocol, attachment: Attachment) -> None:
        """
        The control protocol reached Opened: let its packets through.
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
    One network control protocol on one link: what pppd calls a protent.

    The link calls, in this order: attach; open and lowerUp when its network phase begins; received
    for each packet; rejected where the peer's Protocol-Reject names it; close and lowerDown at the
    end.
    """

    name = Attribute("A short name, as in C{ipv4}.")
    control = Attribute("The PPP protocol number of the control protocol, 0x8021 for IPCP.")
    protocol = Attribute("The PPP protocol number of its packets, 0x0021 for IPv4.")

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


class IAddressPool(Interface):
    """
    Where addresses for subscribers come from.
    """

    def allocate(subscriber: ISubscriber) -> Deferred[str]:
        """
        An address (dotted) for this subscriber, not in use by another; fails with
        L{pptpgw.error.Exhausted} or L{pptpgw.error.Refused}.
        """

    def release(address: str) -> None:
        """
        The session that had C{address} is over.
        """


class ISessionObserver(Interface):
    """
    Somebody who is told what happens to sessions. What it raises is logged and goes no further.
    """

    def sessionStarted(session: object) -> None:
        """
        A caller was authenticated.
        """

    def protocolOpened(session: object, protocol: INetworkProtocol) -> None:
        """
        A network protocol opened.
        """

    def protocolClosed(session: object, protocol: INetworkProtocol) -> None:
        """
        A network protocol closed.
        """

    def sessionEnded(session: object, cause: str) -> None:
        """
        The session is over.
        """
