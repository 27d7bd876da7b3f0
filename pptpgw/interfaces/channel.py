"""
The channel of one call: where the data path and the link meet.
"""

from __future__ import annotations

from zope.interface import Attribute, Interface

from pptpgw.interfaces.keys import MPPEParameters
from pptpgw.interfaces.network import Attachment


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
            frames are escaped (L{pptpgw.interfaces.ICall.accm} isn't None).
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
