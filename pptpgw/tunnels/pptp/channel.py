"""
The channel of a PPTP call: PPP frames in GRE packets with sequence numbers (RFC 2637 section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Protocol

from pptpgw.datapath.channel import NOT_ENCRYPTED, NOT_SENT, NOTHING, Channel
from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.edges import Receive, Send
from pptpgw.interfaces import IChannel, IChannelHost, IChannelOwner
from pptpgw.ppp.mppe import MPPE_OVERHEAD
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL, MPPE
from pptpgw.tunnels.pptp.belief import canFollowGap
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.window import Window
from pptpgw.tunnels.pptp.wire.gre import DATA, DATA_ACKNOWLEDGEMENT, NUMBERS, PROTOCOL_TYPE, encode

_MASK = NUMBERS - 1
_DATA = DATA << 16 | PROTOCOL_TYPE
_BOTH = DATA_ACKNOWLEDGEMENT << 16 | PROTOCOL_TYPE

# GRE header and the beginning of the PPP frame, packed in one go, by the latter's length.
_ONE_NUMBER = [Struct(f"!IHHI{size}s").pack for size in range(5)]
_TWO_NUMBERS = [Struct(f"!IHHII{size}s").pack for size in range(5)]


class GRE(Protocol):
    """
    A GRE port.
    """

    def register(self, peerAddress: str, localCallID: int, receive: Receive) -> None:
        """
        Have C{receive} called with the packets of one call; raises ValueError where another call
        has this peer and call id.
        """

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        """
        Take that back. Calling this again does nothing.
        """

    def sender(self, localAddress: str, peerAddress: str) -> Send:
        """
        What sends packets between these addresses.
        """

    def sendFailed(self, error: OSError) -> None:
        """
        Count that the system refused a packet.
        """


class GREChannel(Channel):
    """
    The channel of one PPTP call.
    """

    __slots__ = ("_direct", "_ends", "_gre", "_peerCallID", "_send", "_window")

    def __init__(self, host: IChannelHost, owner: IChannelOwner, ends: Ends, gre: GRE) -> None:
        """
        @raise ValueError: the call's id is in use with this peer.
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

    # From the peer.

    def _unlimit(self) -> None:
        """
        See L{Channel._unlimit}.
        """
        call = self._ends.peerAddress, self._ends.localCallID
        self._gre.unregister(*call)
        self._gre.register(*call, self.framesReceived)

    def framesReceived(self, sequence: int, protocol: int, frames: list[bytes]) -> None:
        """
        Receive PPP frames of this call with one protocol number, or 0 if they have no valid one.
        C{sequence} is the first one's number, the others follow; it is -1 for an acknowledgement
        without a frame, which proves nothing, since anybody can guess its number.
        """
        window = self._window
        network = self._direct.get(protocol)
        count = len(frames)
        if network is not None and sequence == window.expected and not window.held:
            self.counters.framesReceived += count
            # Beyond the last number it equals none, and the window finds where to go on.
            window.expected = following = sequence + count
            if sequence <= window.due < following:
                window.acknowledgementDue()
            network.received(frames)
        elif sequence >= 0:
            self.counters.framesReceived += count
            # One by one, as what one does can concern the next.
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
        Whether a frame that came early may be held until its turn comes.
        """
        return protocol == MPPE or canFollowGap(protocol, 1, self._networks, self._inClear)

    def _believes(self, protocol: int, information: bytes, gap: int, silent: bool) -> bool:
        """
        Whether a frame out of turn is believed. If so, the decryptor is ready for an encrypted one.
        """
        if silent or self._owner.confirms(protocol, information):
            if self._recovery is not None and self._decryptor is not None:
                self._recovery.passed(self._decryptor, gap)
            return True
        if protocol == MPPE:
            return gap > 0 and self._follow(information, gap) is not None
        return canFollowGap(protocol, gap, self._networks, self._inClear)

    # To the peer.

    def transmit(self, network: OpenProtocol, packet: bytes) -> None:
        """
        Send one packet of C{network}, which fits.
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
        Acknowledge, with nothing to send besides.
        """
        acknowledgement = self._window.acknowledging()
        if acknowledgement is not None:
            self._sendOther(encode(self._peerCallID, acknowledgement=acknowledgement))

    def _sendOther(self, octets: bytes) -> None:
        """
        Send a GRE packet that holds no network packet.
        """
        try:
            self._send(octets)
        except OSError as error:
            self.counters.discard(NOT_SENT)
            self._gre.sendFailed(error)
        else:
            self.counters.framesSent += 1

    # From the link.

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
        # The networks whose packets in order go straight to them.
        self._direct = self._inClear if self.direct else NOTHING


class GREChannels:
    """
    Opens the channels of calls over GRE ports: L{pptpgw.tunnels.pptp.call.Channels}.
    """

    def __init__(self, portFor: Callable[[str], GRE]) -> None:
        """
        @param portFor: gives the GRE port for a local address, dotted.
        """
        self._portFor = portFor

    def open(self, call: Call, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{pptpgw.interfaces.ICall.openChannel}.
        """
        kind = dataPath.channelClass(GREChannel)
        channel: IChannel = kind(dataPath, owner, call.ends, self._portFor(call.localAddress))
        return channel
