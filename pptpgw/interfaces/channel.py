"""
The channel of one call, by which the link and the data path exchange frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from zope.interface import Attribute, Interface

from pptpgw.interfaces.keys import MPPEParameters
from pptpgw.interfaces.network import Attachment


class CompressionParameters(NamedTuple):
    """
    The compression of packets in one direction.

    @ivar method: C{deflate} (RFC 1979) or C{mppc} (RFC 2118).
    @ivar window: for Deflate: the logarithm of how many octets the receiver remembers.
    @ivar longest: how many octets may come of one frame at most.
    """

    method: str
    window: int
    longest: int


class IChannelOwner(Interface):
    """
    The link whose frames a channel carries, as the data path sees it.
    """

    def frameReceived(protocol: int, information: bytes) -> None:
        """
        Handle a frame that the data path doesn't carry itself: a control frame, or one of a network
        protocol that isn't open.
        """

    def resyncNeeded() -> None:
        """
        Send a CCP Reset-Request, because decryption of a stateful MPPE stream lost its place (RFC
        3078 section 4.2), or decompression.
        """

    def confirmationNeeded() -> None:
        """
        Ask the peer, if possible, for a frame that L{confirms} recognises. Frames came with
        sequence numbers that can't be believed, and such a frame shows which are the peer's.
        """

    def confirms(protocol: int, information: bytes) -> bool:
        """
        Return whether a frame is the answer to L{confirmationNeeded}, which only the peer can have
        sent. The frame is also delivered by L{frameReceived}.
        """

    def channelFailed(reason: str) -> None:
        """
        End the link: the channel failed for good, with too many coherency errors.
        """


class IChannel(Interface):
    """
    The data path of one call, as its link sees it.
    """

    counters = Attribute("The L{pptpgw.counting.counters.Counters} of the call.")
    interface = Attribute(
        "The name of the network interface that the call has for itself; empty if it has none, as "
        "where calls share one, and before its first network protocol opens."
    )
    path = Attribute(
        "What carries the packets, and why: C{kernel}, C{native} or C{python}, with the reason "
        "after a colon where the data path could have chosen otherwise."
    )

    def count() -> None:
        """
        Bring L{counters} up to date, where others than this process count.
        """

    def sendFrame(protocol: int, information: bytes) -> None:
        """
        Send a control frame in clear, without compressing its address, control and protocol fields.
        """

    def sendPacket(protocol: int, packet: bytes) -> None:
        """
        Send a packet of an open network protocol, encrypted if encryption is on. Networks that are
        served inside this process send their packets by this method.
        """

    def setFraming(acfc: bool, pfc: bool, sendACCM: int = 0, receiveACCM: int = 0) -> None:
        """
        Frame packets as LCP has negotiated. The header fields of control frames are never
        compressed.

        @param acfc: whether to compress the address and control fields of packets sent.
        @param pfc: whether to compress the protocol field of packets sent.
        @param sendACCM: the Async-Control-Character-Map (RFC 1662 section 7.1) of what is sent: bit
            n stands for the control character n, which must be escaped. It matters only to tunnels
            that escape frames (L{pptpgw.interfaces.ICall.accm} isn't None).
        @param receiveACCM: the same map for what is received. The peer escapes these characters; an
            unescaped one was inserted on the way, and is dropped.
        """

    def offerMPPE(parameters: MPPEParameters, send: bool) -> None:
        """
        Prepare MPPE for one direction, with what a Configure-Request asks for: ours, which is about
        to be sent, for what we receive; or the peer's, which is about to be acknowledged, for what
        we send. A channel within the kernel begins with the Configure-Ack that follows, others with
        L{setSendMPPE} and L{setReceiveMPPE}.

        @param send: whether the direction is to the peer.
        """

    def setSendMPPE(parameters: MPPEParameters | None) -> None:
        """
        Encrypt packets that are sent from now on. None ends this: packets are then sent in clear,
        or discarded if L{requireMPPE} was called.
        """

    def setReceiveMPPE(parameters: MPPEParameters | None) -> None:
        """
        Decrypt packets that are received from now on. None ends this.
        """

    def resetSendMPPE() -> None:
        """
        Initialise the encryption anew and set the flushed bit of the next packet, because the peer
        sent a Reset-Request (RFC 3078 section 4.2).
        """

    def requireMPPE() -> None:
        """
        Discard, from now on, every network packet in a direction for which MPPE isn't set. This
        ends compression.
        """

    def setCompression(
        send: CompressionParameters | None, receive: CompressionParameters | None
    ) -> None:
        """
        Compress packets that are sent from now on, and take compressed packets. None: not in that
        direction. Nothing is compressed where MPPE is required.

        @raise pptpgw.error.NotCarried: this data path can't.
        """

    def resetCompression(send: bool) -> None:
        """
        Begin compression in one direction anew, because the peer sent a Reset-Request, or a
        Reset-Ack.

        @param send: whether the direction is to the peer.
        """

    def openNetwork(protocol: int, attachment: Attachment) -> None:
        """
        Carry packets with the protocol number C{protocol} to and from the network that
        C{attachment} describes, in place of the one before if it is open already.

        @raise pptpgw.error.NotCarried: this data path can't; what was open before still is.
        """

    def closeNetwork(protocol: int) -> None:
        """
        Stop carrying packets with the protocol number C{protocol}. Do nothing if none are carried.
        """

    def passFrames(receive: Callable[[int, Sequence[bytes]], object]) -> None:
        """
        From now on give every frame to C{receive} as it comes, since PPP ends elsewhere. No network
        is open, and none is opened any more.

        @param receive: called with the protocol number and the information fields of frames. It is
            L{sendFrames} of another channel.
        """

    def sendFrames(protocol: int, frames: Sequence[bytes]) -> None:
        """
        Send frames of any protocol as they are, after L{passFrames}. What the transport has no room
        for is counted and discarded.

        @param frames: the information field of each.
        """

    def close() -> None:
        """
        Release everything that the channel holds, since the call is over. Calling this again does
        nothing.
        """


class IBridgedChannel(IChannel):
    """
    A channel whose frames may pass to and from another one outside of this process.
    """

    def bridge(other: IChannel) -> None:
        """
        Have frames pass so from now on, if that is possible, in place of L{IChannel.passFrames},
        which was called for both channels before. Figures are brought up to date now and then, and
        those of packets have frames of every protocol.
        """

    def unbridge() -> None:
        """
        Undo L{bridge}: frames pass through this process again. Do nothing if they do.
        """


class MultilinkParameters(NamedTuple):
    """
    What the links of a bundle have agreed on (RFC 1990).

    @ivar mrru: the largest information field that we receive in fragments, in octets.
    @ivar sendShort: whether the sequence numbers that we send have the short form.
    @ivar receiveShort: whether those that we receive have it.
    """

    mrru: int
    sendShort: bool = False
    receiveShort: bool = False


class IBundledChannel(IChannel):
    """
    The channel of a call that can be a link of a bundle.
    """

    isFull = Attribute("Whether the transport has no room, so that packets are discarded.")

    def makeBundle(owner: IChannelOwner, parameters: MultilinkParameters) -> IBundleChannel:
        """
        Make the channel of a bundle, which has no link yet.

        @param owner: what stands for the link of the bundle.
        """

    def joinBundle(passages: Any, opened: Mapping[int, Any]) -> None:
        """
        Have frames pass to a bundle from now on.

        @param passages: takes them: the L{pptpgw.datapath.passage.Passages}.
        @param opened: the networks that are open in the bundle, by protocol number.
        """

    def leaveBundle() -> None:
        """
        Undo L{joinBundle}.
        """


class IBundleChannel(IChannel):
    """
    The channel of a bundle, which sends its frames in fragments by the channels of its links, and
    takes theirs.
    """

    def addLink(channel: IBundledChannel, mru: int) -> None:
        """
        Have the frames of C{channel} pass to the bundle, but for those of its LCP and its
        authentication, and send by it.

        @param mru: the largest information field that it sends, in octets.
        """

    def removeLink(channel: IBundledChannel) -> None:
        """
        Undo L{addLink}.
        """


class IFrameSender(Interface):
    """
    A transport of PPP frames without sequence numbers, such as a serial line or a tunnel over TCP.
    It stands below a L{pptpgw.datapath.framed.FramedChannel}, and gives each received frame to that
    channel's C{received}.
    """

    full = Attribute(
        "Whether so much waits to be sent that network packets are discarded. Control frames are "
        "sent all the same."
    )

    def send(frame: bytes) -> None:
        """
        Send a frame that begins with the address, control and protocol fields in their final form.

        @raise OSError: the system refuses the frame, which the channel then counts as not sent.
        """

    def setACCM(send: int, receive: int) -> None:
        """
        Use these Async-Control-Character-Maps, which L{IChannel.setFraming} describes. In LCP's own
        frames every control character is escaped, whatever the map is (RFC 1662 section 7.1).
        """

    def disconnected() -> None:
        """
        Give the channel no more frames, since it is closed.
        """
