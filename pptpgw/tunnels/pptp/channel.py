"""
The channel of a PPTP call, which carries PPP frames in GRE packets with sequence numbers (RFC 2637
section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import ClassVar, Protocol

from pptpgw.datapath.channel import NOT_ENCRYPTED, NOT_SENT, NOTHING, Channel, Receivers
from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.fair import FULL
from pptpgw.datapath.interface import CountDropped, ReceiveFrames, SendAll, SendPacket
from pptpgw.datapath.passage import Passage
from pptpgw.interfaces import IChannelHost, IChannelOwner
from pptpgw.ppp.mppe import MPPE_OVERHEAD
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL, MPPE
from pptpgw.timing.lapse import Lapse
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


TellACCM = Callable[[int, int], None]
"""
A function that takes the Async-Control-Character-Maps of what is sent and of what is received.
"""


class GRE(Protocol):
    """
    The interface of a GRE port.

    @ivar acknowledging: calls functions after L{ACKNOWLEDGE_TIME}.
    """

    acknowledging: Lapse

    def register(
        self,
        peerAddress: str,
        localCallID: int,
        receive: ReceiveFrames,
        dropped: CountDropped | None = None,
    ) -> None:
        """
        Call C{receive} with the packets of one call from now on.

        @param dropped: called with how many packets of the call were dropped because too many
            waited; None if the port counts them.
        @raise ValueError: another call has this peer and call id.
        """

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        """
        Undo L{register}. Calling this again does nothing.
        """

    def sender(self, localAddress: str, peerAddress: str) -> SendPacket:
        """
        Return a function that sends a packet between these addresses.
        """

    def allSender(self, localAddress: str, peerAddress: str) -> SendAll:
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

    __slots__ = (
        "_direct",
        "_ends",
        "_gre",
        "_peerCallID",
        "_send",
        "_sendAll",
        "_tellACCM",
        "_window",
    )

    makeWindow: ClassVar[type[Window]] = Window
    """
    The type of the window.
    """

    def __init__(
        self,
        host: IChannelHost,
        owner: IChannelOwner,
        ends: Ends,
        gre: GRE,
        tellACCM: TellACCM | None = None,
    ) -> None:
        """
        @param tellACCM: tells the peer which characters LCP has agreed to escape.
        @raise ValueError: another call has the same call id with this peer.
        """
        self._ends = ends
        self._gre = gre
        self._tellACCM = tellACCM
        self._peerCallID = ends.peerCallID
        super().__init__(host, owner)
        self._window = self.makeWindow(
            self._clock,
            self.counters,
            self._frame,
            self._mayWait,
            self._believes,
            owner.confirmationNeeded,
            self._acknowledge,
            gre.acknowledging,
        )
        self._send = gre.sender(ends.localAddress, ends.peerAddress)
        self._sendAll = gre.allSender(ends.localAddress, ends.peerAddress)
        limited = self._limited(self.framesReceived)
        gre.register(ends.peerAddress, ends.localCallID, limited, self.framesDropped)

    # From the peer

    def _unlimit(self) -> None:
        """
        See L{Channel._unlimit}.
        """
        call = self._ends.peerAddress, self._ends.localCallID
        self._gre.unregister(*call)
        self._gre.register(*call, self.framesReceived, self.framesDropped)

    def framesDropped(self, count: int) -> None:
        """
        Count packets that arrived, but were dropped because too many waited.
        """
        self.counters.discard(FULL, count)
        self._window.dropped += count

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
            if count > 1 and protocol == MPPE:
                begin = self._runReceived(sequence, frames)
                frames = frames[begin:]
                sequence += begin
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

    def _runReceived(self, sequence: int, frames: list[bytes]) -> int:
        """
        Handle MPPE frames at once as far as they are in order and the next ones of the decryptor.

        @param sequence: the first frame's sequence number.
        @return: how many frames were handled.
        """
        window = self._window
        decryptor = self._decryptor
        if decryptor is None or sequence != window.expected or window.held:
            return 0
        runs = decryptor.decryptRun(frames)
        count = sum(len(packets) for _, packets in runs)
        if count:
            window.expected = following = sequence + count
            if sequence <= window.due < following:
                window.acknowledgementDue()
        for protocol, packets in runs:
            self._decrypted(protocol, packets)
        return count

    def _mayWait(self, protocol: int) -> bool:
        """
        Return whether a frame that came early may be held until its turn comes.
        """
        return protocol == MPPE or canFollowGap(protocol, 1, self._opened, self._inClear)

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
        if protocol == MPPE and self._decryptor is not None:
            return gap > 0 and self._follow(information, gap) is not None
        return canFollowGap(protocol, gap, self._opened, self._inClear)

    # To the peer

    def transmit(self, network: OpenProtocol | Passage, packets: Sequence[bytes]) -> None:
        """
        See L{Channel.transmit}.
        """
        encryptor = self._encryptor
        counters = self.counters
        if encryptor is None:
            if self._required:
                counters.discard(NOT_ENCRYPTED, len(packets))
                return
            prefix = network.prefix
            overhead = len(prefix)
        else:
            prefix = self._mppePrefix
            overhead = len(prefix) + MPPE_OVERHEAD
        window = self._window
        sequence = window.sending
        window.sending = sequence + len(packets) & _MASK
        callID, field = self._peerCallID, network.field
        pack = _ONE_NUMBER[len(prefix)]
        expected = window.expected
        octets = 0
        frames = []
        for packet in packets:
            size = len(packet)
            octets += size
            if expected == window.acknowledged:
                header = pack(_DATA, overhead + size, callID, sequence, prefix)
            else:
                window.acknowledged = expected
                header = _TWO_NUMBERS[len(prefix)](
                    _BOTH, overhead + size, callID, sequence, expected - 1 & _MASK, prefix
                )
            sequence = sequence + 1 & _MASK
            if encryptor is None:
                frames.append(header + packet)
            else:
                frames.append(encryptor.encrypt(header, field, packet))
        count = len(frames)
        for place, error in self._sendAll(frames):
            counters.discard(NOT_SENT)
            self._gre.sendFailed(error)
            count -= 1
            octets -= len(packets[place])
        counters.framesSent += count
        counters.packetsSent += count
        counters.octetsSent += octets

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
        octets = encode(self._peerCallID, payload, sequence, window.acknowledging())
        if self._sendOther(octets):
            self.counters.framesSent += 1

    def _acknowledge(self) -> None:
        """
        Send an acknowledgement without a frame, if one is due.
        """
        acknowledgement = self._window.acknowledging()
        if acknowledgement is not None:
            self._sendOther(encode(self._peerCallID, acknowledgement=acknowledgement))

    def _sendOther(self, octets: bytes) -> bool:
        """
        Send a GRE packet that doesn't contain a network packet.

        @return: whether the system has sent it.
        """
        try:
            self._send(octets)
        except OSError as error:
            self.counters.discard(NOT_SENT)
            self._gre.sendFailed(error)
            return False
        return True

    # From the link

    def rebind(self) -> None:
        """
        See L{Channel.rebind}.
        """
        self._window.deliverTo(self._frame)
        super().rebind()

    def setFraming(self, acfc: bool, pfc: bool, sendACCM: int = 0, receiveACCM: int = 0) -> None:
        """
        See L{IChannel.setFraming}. Nothing is escaped in GRE, but a PAC may have a line.
        """
        super().setFraming(acfc, pfc)
        if self._tellACCM is not None:
            self._tellACCM(sendACCM, receiveACCM)

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
        self._direct: Receivers = self._inClear if self.direct else NOTHING
