"""
The channel of a PPTP call, which carries PPP frames in GRE packets with sequence numbers (RFC 2637
section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Protocol

from pptpgw.datapath.channel import NOT_ENCRYPTED, NOT_SENT, NOTHING, Channel
from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.interface import ReceiveFrames, SendPacket
from pptpgw.interfaces import IChannel, IChannelHost, IChannelOwner
from pptpgw.ppp.mppe import MPPE_OVERHEAD
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL, MPPE
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.gap import canFollowGap
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.window import Window
from pptpgw.tunnels.pptp.wire.gre import DATA, DATA_ACKNOWLEDGEMENT, NUMBERS, PROTOCOL_TYPE, encode

_MASK = NUMBERS - 1
_DATA = DATA << 16 | PROTOCOL_TYPE
_BOTH = DATA_ACKNOWLEDGEMENT << 16 | PROTOCOL_TYPE

# Functions that pack the GRE header and the beginning of the PPP frame at once, by the length of
# that beginning.
_ONE_NUMBER = [Struct(f"!IHHI{size}s").pack for size in range(5)]
_TWO_NUMBERS = [Struct(f"!IHHII{size}s").pack for size in range(5)]


class GRE(Protocol):
    """
    The interface of a GRE port.
    """

    def register(self, peerAddress: str, localCallID: int, receive: ReceiveFrames) -> None:
        """
        Call C{receive} with the packets of one call from now on.

        @raise ValueError: another call has this peer and call id.
        """

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        """
        Undo L{register}. Calling this again does nothing.
        """

    def sender(self, localAddress: str, peerAddress: str) -> SendPacket:
        """
        Return a function that sends packets between these addresses.
        """

    def sendFailed(self, error: OSError) -> None:
        """
        Count that the system refused to send a packet.
        """


class GREChannel(Channel):
    """
    The channel of one PPTP call.
    """

    __slots__ = ("_direct", "_ends", "_gre", "_peerCallID", "_send", "_window")

    def __init__(self, host: IChannelHost, owner: IChannelOwner, ends: Ends, gre: GRE) -> None:
        """
        @raise ValueError: another call has the same call id with this peer.
        """
        self._ends = ends
        self._gre = gre
        self._peerCallID = ends.peerCallID
        super().__init__(host, owner)
        self._window = Window(
            self._clock,
            self.counters,
            self._frame,
            self._mayWait,
            self._believes,
            owner.confirmationNeeded,
            self._acknowledge,
        )
        self._send = gre.sender(ends.localAddress, ends.peerAddress)
        gre.register(ends.peerAddress, ends.localCallID, self._limited(self.framesReceived))

    # From the peer

    def _unlimit(self) -> None:
        """
        See L{Channel._unlimit}.
        """
        call = self._ends.peerAddress, self._ends.localCallID
        self._gre.unregister(*call)
        self._gre.register(*call, self.framesReceived)

    def framesReceived(self, sequence: int, protocol: int, frames: list[bytes]) -> None:
        """
        Receive PPP frames of this call, with consecutive sequence numbers.

        @param sequence: the first frame's sequence number; -1 for an acknowledgement without a
            frame. Such a packet proves nothing, since anybody can guess its number.
        @param protocol: the protocol number of all frames; 0 if they have no valid one.
        @param frames: the information field of each frame.
        """
        window = self._window
        network = self._direct.get(protocol)
        count = len(frames)
        if network is not None and sequence == window.expected and not window.held:
            self.counters.framesReceived += count
            # After the last number this equals no sequence number, which the window corrects.
            window.expected = following = sequence + count
            if sequence <= window.due < following:
                window.acknowledgementDue()
            network.received(frames)
        elif sequence >= 0:
            self.counters.framesReceived += count
            # One by one, since a frame may have effects on the next one.
            for information in frames:
                if sequence != window.expected or window.held:
                    window.arrived(sequence, protocol, information)
                else:
                    window.expected = sequence + 1
                    if sequence == window.due:
                        window.acknowledgementDue()
                    self._frame(protocol, information)
                sequence += 1

    def _mayWait(self, protocol: int) -> bool:
        """
        Return whether a frame that came early may be held until its turn comes.
        """
        return protocol == MPPE or canFollowGap(protocol, 1, self._networks, self._inClear)

    def _believes(self, protocol: int, information: bytes, gap: int, silent: bool) -> bool:
        """
        Return whether a frame out of turn is believed. If so, the decryptor is prepared for an
        encrypted one.

        @param gap: how many frames are missing before it; 0 if it follows no gap.
        @param silent: whether the peer was asked in vain for a frame that can be believed.
        """
        if silent or self._owner.confirms(protocol, information):
            if self._recovery is not None and self._decryptor is not None:
                self._recovery.passed(self._decryptor, gap)
            return True
        if protocol == MPPE:
            return gap > 0 and self._follow(information, gap) is not None
        return canFollowGap(protocol, gap, self._networks, self._inClear)

    # To the peer

    def transmit(self, network: OpenProtocol, packet: bytes) -> None:
        """
        Send one packet of C{network}, which isn't larger than its MTU.
        """
        encryptor = self._encryptor
        if encryptor is None:
            if self._required:
                self.counters.discard(NOT_ENCRYPTED)
                return
            prefix = network.prefix
            length = len(prefix) + len(packet)
        else:
            prefix = self._mppePrefix
            length = len(prefix) + len(packet) + MPPE_OVERHEAD
        window = self._window
        sequence = window.sending
        window.sending = sequence + 1 & _MASK
        expected = window.expected
        if expected == window.acknowledged:
            header = _ONE_NUMBER[len(prefix)](_DATA, length, self._peerCallID, sequence, prefix)
        else:
            window.acknowledged = expected
            header = _TWO_NUMBERS[len(prefix)](
                _BOTH, length, self._peerCallID, sequence, expected - 1 & _MASK, prefix
            )
        counters = self.counters
        try:
            if encryptor is None:
                self._send(header + packet)
            else:
                self._send(encryptor.encrypt(header, network.field, packet))
        except OSError as error:
            counters.discard(NOT_SENT)
            self._gre.sendFailed(error)
            return
        counters.framesSent += 1
        counters.packetsSent += 1
        counters.octetsSent += len(packet)

    def sendFrame(self, protocol: int, information: bytes) -> None:
        """
        See L{IChannel.sendFrame}.
        """
        if self._closed:
            return
        window = self._window
        sequence = window.sending
        window.sending = sequence + 1 & _MASK
        payload = ADDRESS_CONTROL + protocol.to_bytes(2, "big") + information
        self._sendOther(encode(self._peerCallID, payload, sequence, window.acknowledging()))

    def _acknowledge(self) -> None:
        """
        Send an acknowledgement without a frame, if one is due.
        """
        acknowledgement = self._window.acknowledging()
        if acknowledgement is not None:
            self._sendOther(encode(self._peerCallID, acknowledgement=acknowledgement))

    def _sendOther(self, octets: bytes) -> None:
        """
        Send a GRE packet that doesn't contain a network packet.
        """
        try:
            self._send(octets)
        except OSError as error:
            self.counters.discard(NOT_SENT)
            self._gre.sendFailed(error)
        else:
            self.counters.framesSent += 1

    # From the link

    def rebind(self) -> None:
        """
        See L{Channel.rebind}.
        """
        self._window.deliverTo(self._frame)
        super().rebind()

    def _disconnect(self) -> None:
        """
        See L{Channel._disconnect}.
        """
        self._gre.unregister(self._ends.peerAddress, self._ends.localCallID)
        self._window.close()

    def _recompute(self) -> None:
        """
        See L{Channel._recompute}.
        """
        super()._recompute()
        # The networks to which packets in order are given directly.
        self._direct = self._inClear if self.direct else NOTHING


class GREChannels:
    """
    Opens the channels of calls over GRE ports. It implements L{pptpgw.tunnels.pptp.call.Channels}.
    """

    def __init__(self, portFor: Callable[[str], GRE]) -> None:
        """
        @param portFor: returns the GRE port for a local address, dotted.
        """
        self._portFor = portFor

    def open(self, call: Call, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{pptpgw.interfaces.ICall.openChannel}.
        """
        return GREChannel(dataPath, owner, call.ends, self._portFor(call.localAddress))
