"""
The data path of one call in Python: GRE in and out, MPPE, and the PPP header between them.

What is carried here and what goes up to the link: packets of an open network protocol go to its
network; every other frame goes to the owner, except encrypted ones, and network packets in clear
where encryption is on or required. Those are counted and silently discarded.

The information field of an encrypted frame holds MPPE's header and the protocol number besides the
packet, four octets, and the peer's MRU bounds the whole: so packets are that much smaller while we
encrypt, as pppd has it.
"""

from __future__ import annotations

from struct import Struct

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.bucket import Bucket
from pptpgw.counters import Counters
from pptpgw.datapath.belief import BEYOND_NETWORKS, COMMON, canFollowGap
from pptpgw.datapath.early import Early
from pptpgw.datapath.edges import GRE
from pptpgw.datapath.mppe import Decryptor, DecryptorType, Encryptor, EncryptorType
from pptpgw.datapath.network import Network, Networks
from pptpgw.datapath.recovery import Recovery
from pptpgw.interfaces import Attachment, IChannel, IChannelOwner, MPPEParameters, Tunnel
from pptpgw.ppp.mppe import MPPE_OVERHEAD
from pptpgw.pptp.window import Window
from pptpgw.wire.gre import DATA, DATA_ACKNOWLEDGEMENT, NUMBERS, PROTOCOL_TYPE, encode

STRANGER_LIMIT = 10
"""
Frames a second, at most, of network protocols that aren't open and that the owner is told of.
"""

MALFORMED = "malformed PPP header"
IN_CLEAR = "network packet in clear"
NOT_ENCRYPTED = "not sent in clear"
NO_MPPE = "encrypted before MPPE was open"
NOT_OPEN = "network protocol not open"
NOT_SENT = "not sent by the system"

_MASK = NUMBERS - 1
_MPPE = 0x00FD
_NONE: dict[int, Network] = {}
_UNCOMPRESSED = b"\xff\x03"
_DATA = DATA << 16 | PROTOCOL_TYPE
_BOTH = DATA_ACKNOWLEDGEMENT << 16 | PROTOCOL_TYPE

# GRE header and the beginning of the PPP frame, packed in one go, by the latter's length.
_ONE_NUMBER = [Struct(f"!IHHI{size}s").pack for size in range(5)]
_TWO_NUMBERS = [Struct(f"!IHHII{size}s").pack for size in range(5)]


@implementer(IChannel)
class Channel:
    """
    See L{IChannel}.
    """

    __slots__ = (
        "_acfc",
        "_clock",
        "_closed",
        "_dataPath",
        "_decryptor",
        "_early",
        "_encryptor",
        "_gre",
        "_inClear",
        "_known",
        "_mppePrefix",
        "_networks",
        "_owner",
        "_peerCallID",
        "_pfc",
        "_recovery",
        "_required",
        "_send",
        "_strangers",
        "_tunnel",
        "_window",
        "counters",
    )

    def __init__(
        self,
        clock: IReactorTime,
        tunnel: Tunnel,
        owner: IChannelOwner,
        gre: GRE,
        dataPath: Networks,
    ) -> None:
        """
        @raise ValueError: the call's id is in use with this peer.
        """
        self.counters = Counters()
        self._clock = clock
        self._tunnel = tunnel
        self._owner = owner
        self._gre = gre
        self._dataPath = dataPath
        self._window = Window(
            clock,
            self.counters,
            self._frame,
            self._mayWait,
            self._believes,
            owner.confirmationNeeded,
            self._acknowledge,
        )
        self._send = gre.sender(tunnel.localAddress, tunnel.peerAddress)
        self._peerCallID = tunnel.peerCallID
        self._networks: dict[int, Network] = {}
        # The numbers that packets have which make sense.
        self._known = COMMON
        self._encryptor: EncryptorType | None = None
        self._decryptor: DecryptorType | None = None
        self._recovery: Recovery | None = None
        self._acfc = self._pfc = False
        self._mppePrefix = b""
        self._required = False
        # Those networks whose packets may come in clear: all, or none.
        self._inClear = self._networks
        self._closed = False
        self._strangers = Bucket(clock.seconds, (STRANGER_LIMIT, STRANGER_LIMIT))
        self._early: Early | None = Early(clock, self.counters, self.framesReceived)
        self._recompute()
        gre.register(tunnel.peerAddress, tunnel.localCallID, self._early.framesReceived)

    # From the peer.

    def _isProven(self) -> None:
        """
        Remove the limit on frames, since MPPE or a network opens.
        """
        if self._early is not None:
            self._early = None
            call = self._tunnel.peerAddress, self._tunnel.localCallID
            self._gre.unregister(*call)
            self._gre.register(*call, self.framesReceived)

    def framesReceived(self, sequence: int, protocol: int, frames: list[bytes]) -> None:
        """
        Receive PPP frames of this call with one protocol number, or 0 if they have no valid one.
        C{sequence} is the first one's number, the others follow; it is -1 for an acknowledgement
        without a frame, which proves nothing, since anybody can guess its number.
        """
        window = self._window
        network = self._inClear.get(protocol)
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

    def _frame(self, protocol: int, information: bytes) -> None:
        """
        A frame in order, of whatever kind.
        """
        network = self._inClear.get(protocol)
        if network is not None:
            network.received((information,))
        elif protocol == _MPPE:
            self._encrypted(information)
        else:
            self._other(protocol, information)

    def _mayWait(self, protocol: int) -> bool:
        """
        Whether a frame that came early may be held until its turn comes.
        """
        return protocol == _MPPE or canFollowGap(protocol, 1, self._networks, self._inClear)

    def _believes(self, protocol: int, information: bytes, gap: int, silent: bool) -> bool:
        """
        Whether a frame out of turn is believed. If so, the decryptor is ready for an encrypted one.
        """
        if silent or self._owner.confirms(protocol, information):
            if self._recovery is not None and self._decryptor is not None:
                self._recovery.passed(self._decryptor, gap)
            return True
        if protocol == _MPPE:
            return gap > 0 and self._follow(information, gap) is not None
        return canFollowGap(protocol, gap, self._networks, self._inClear)

    def _follow(self, frame: bytes, gap: int = 0) -> DecryptorType | None:
        """
        Bring the decryptor to the state in which C{frame}, before which C{gap} numbers are missing,
        is the next one, and return it; None if there is no such state.
        """
        decryptor, recovery = self._decryptor, self._recovery
        if decryptor is None or recovery is None:
            return None
        found = recovery.follow(decryptor, frame, gap)
        if found is not None:
            self._setDecryptor(found)
        return None if found is None else self._decryptor

    def _encrypted(self, frame: bytes) -> None:
        """
        An MPPE frame.
        """
        decryptor, recovery = self._decryptor, self._recovery
        if decryptor is None or recovery is None:
            self.counters.discard(NO_MPPE)
            return
        plain = decryptor.decrypt(frame)
        if isinstance(plain, int):
            found = self._follow(frame)
            plain = found.decrypt(frame) if found is not None else plain
            if isinstance(plain, int):
                return
        protocol = plain[0]
        start = 1
        if not protocol & 1 and len(plain) > 1:
            protocol = protocol << 8 | plain[1]
            start = 2
        network = self._networks.get(protocol)
        if network is not None:
            recovery.failures = 0
            network.received((plain[start:],))
        elif protocol in self._known:
            # The peer is early, or late: its key is right.
            self.counters.discard(NOT_OPEN)
        else:
            recovery.misread()

    def _other(self, protocol: int, information: bytes) -> None:
        """
        A frame in clear that is no packet of a network that may come in clear.
        """
        if protocol == 0:
            self.counters.discard(MALFORMED)
            return
        if protocol < BEYOND_NETWORKS:
            if self._inClear is not self._networks:
                self.counters.discard(IN_CLEAR)
                return
            if not self._strangers.take():
                self.counters.discard(NOT_OPEN)
                return
        self._owner.frameReceived(protocol, information)

    # To the peer.

    def transmit(self, network: Network, packet: bytes) -> None:
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
        payload = _UNCOMPRESSED + protocol.to_bytes(2, "big") + information
        self._sendOther(encode(self._peerCallID, payload, sequence, window.acknowledging()))

    def sendPacket(self, protocol: int, packet: bytes) -> None:
        """
        See L{IChannel.sendPacket}. Where the protocol isn't open the packet is counted, no more.
        """
        network = self._networks.get(protocol)
        if network is None:
            self.counters.discard(NOT_OPEN)
        else:
            network.transmit(packet)

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

    def setFraming(self, acfc: bool, pfc: bool) -> None:
        """
        See L{IChannel.setFraming}.
        """
        self._acfc = acfc
        self._pfc = pfc
        self._recompute()

    def setSendMPPE(self, parameters: MPPEParameters | None) -> None:
        """
        See L{IChannel.setSendMPPE}.

        @raise ValueError: a start key of the wrong length.
        """
        self._encryptor = None
        if parameters is not None:
            self._encryptor = Encryptor(parameters.startKey, parameters.bits, parameters.stateful)
        self._recompute()

    def setReceiveMPPE(self, parameters: MPPEParameters | None) -> None:
        """
        See L{IChannel.setReceiveMPPE}.

        @raise ValueError: a start key of the wrong length.
        """
        self._setDecryptor(None)
        if self._recovery is not None:
            self._recovery.close()
            self._recovery = None
        if parameters is not None:
            self._isProven()
            stateful = parameters.stateful
            self._setDecryptor(Decryptor(parameters.startKey, parameters.bits, stateful))
            shared = self._clock, self.counters, self._owner, self._networks.keys()
            self._recovery = Recovery(*shared, stateful)
        self._recompute()

    def resetSendMPPE(self) -> None:
        """
        See L{IChannel.resetSendMPPE}, and L{pptpgw.datapath.mppe} for what it does.
        """
        if self._encryptor is not None:
            self._encryptor.reset()

    def requireMPPE(self) -> None:
        """
        See L{IChannel.requireMPPE}.
        """
        self._required = True
        self._recompute()

    def openNetwork(self, protocol: int, attachment: Attachment) -> None:
        """
        See L{IChannel.openNetwork}. Where it is open, it is opened anew.
        """
        if self._closed:
            return
        self.closeNetwork(protocol)
        self._isProven()
        self._networks[protocol] = self._dataPath.networkOpened(self, protocol, attachment)
        self._known |= {protocol}
        self._recompute()

    def closeNetwork(self, protocol: int) -> None:
        """
        See L{IChannel.closeNetwork}.
        """
        network = self._networks.pop(protocol, None)
        if network is not None:
            network.close()
            self._dataPath.networkClosed(network)

    def close(self) -> None:
        """
        See L{IChannel.close}.
        """
        if self._closed:
            return
        self._closed = True
        self.setReceiveMPPE(None)
        self._gre.unregister(self._tunnel.peerAddress, self._tunnel.localCallID)
        self._window.close()
        for protocol in list(self._networks):
            self.closeNetwork(protocol)
        self._encryptor = self._early = None

    def _setDecryptor(self, decryptor: DecryptorType | None) -> None:
        self._decryptor = decryptor

    def _recompute(self) -> None:
        """
        What follows from framing and encryption for every packet.
        """
        begin = b"" if self._acfc else _UNCOMPRESSED
        self._mppePrefix = begin + (b"\xfd" if self._pfc else b"\x00\xfd")
        self._inClear = self._networks
        if self._required or self._decryptor is not None:
            self._inClear = _NONE
        for network in self._networks.values():
            compressed = self._pfc and network.field[0] == 0
            network.prefix = begin + (network.field[1:] if compressed else network.field)
            network.mtu = network.attachment.mtu
            if self._encryptor is not None:
                network.mtu -= MPPE_OVERHEAD
