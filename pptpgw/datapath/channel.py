"""
The data path of one call in Python: MPPE, and the PPP header around it. Each tunnel derives a class
from L{Channel} that sends and receives frames.

A packet of an open network protocol goes to its network. Every other frame goes to the owner, which
is the link, with two exceptions that are counted and silently discarded: encrypted frames that
aren't packets of an open protocol, and network packets in clear while encryption is on or required.

The information field of an encrypted frame holds four octets besides the packet, MPPE's header and
the protocol number, and the peer's MRU limits the whole. So while we encrypt, packets may be four
octets smaller, as with pppd.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.datapath.checks import NO_ROOM, OpenProtocol
from pptpgw.datapath.earlylimit import EarlyLimit
from pptpgw.datapath.interface import ReceiveFrames
from pptpgw.datapath.mppe import Decryptor, DecryptorType, Encryptor, EncryptorType, split
from pptpgw.datapath.passage import Passage, Passages, PassOn
from pptpgw.datapath.plausibility import BEYOND_NETWORKS, COMMON
from pptpgw.datapath.recovery import Recovery
from pptpgw.interfaces import (
    Attachment,
    CompressionParameters,
    IBundleChannel,
    IBundledChannel,
    IChannelHost,
    IChannelOwner,
    MPPEParameters,
    MultilinkParameters,
)
from pptpgw.ppp.mppe import MPPE_OVERHEAD
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL, MPPE

if TYPE_CHECKING:
    from pptpgw.datapath.compressed import Compressed

STRANGER_LIMIT = 10
"""
The most frames a second of network protocols that aren't open that are passed to the owner.
"""

MALFORMED = "malformed PPP header"
IN_CLEAR = "network packet in clear"
NOT_ENCRYPTED = "not sent in clear"
NO_MPPE = "encrypted before MPPE was open"
NOT_OPEN = "network protocol not open"
NOT_SENT = "not sent by the system"

NOTHING: dict[int, OpenProtocol] = {}


class Receivers(Protocol):
    """
    What takes frames in clear, by protocol number: open networks, or passages.
    """

    def __contains__(self, protocol: object, /) -> bool: ...
    def get(self, protocol: int, /) -> OpenProtocol | Passage | None: ...


@implementer(IBundledChannel)
class Channel(ABC):
    """
    The base class of channels. See L{pptpgw.interfaces.IChannel}.

    @ivar recorders: those that are given the frames, each a
        L{pptpgw.datapath.recording.FrameRecorder}.
    """

    __slots__ = (
        "_acfc",
        "_clock",
        "_closed",
        "_compressed",
        "_decryptor",
        "_early",
        "_encryptor",
        "_host",
        "_inClear",
        "_known",
        "_mppePrefix",
        "_networks",
        "_opened",
        "_owner",
        "_passages",
        "_pfc",
        "_recovery",
        "_required",
        "_strangers",
        "counters",
        "path",
        "recorders",
    )

    interface: ClassVar[str] = ""

    direct: ClassVar[bool] = True
    """
    Whether a tunnel may pass several packets to their network at once, without calling L{_frame}.
    """

    makeCounters: ClassVar[type[Counters]] = Counters
    """
    The type of the counters.
    """

    def __init__(self, host: IChannelHost, owner: IChannelOwner) -> None:
        """
        @param host: the data path that the channel belongs to.
        """
        self.counters = self.makeCounters()
        self.path = "python"
        self.recorders: tuple[Any, ...] = ()
        self._clock: IReactorTime = host.clock
        self._owner = owner
        self._host = host
        self._networks: dict[int, OpenProtocol] = {}
        # The networks that are open here, or in the bundle that the call is a link of.
        self._opened: Mapping[int, OpenProtocol] = self._networks
        # The protocol numbers with which the plaintext of an encrypted frame makes sense.
        self._known = COMMON
        self._encryptor: EncryptorType | None = None
        self._decryptor: DecryptorType | None = None
        self._recovery: Recovery | None = None
        self._acfc = self._pfc = False
        self._mppePrefix = b""
        self._required = False
        # The networks whose packets may come in clear: all that are open, or none.
        self._inClear: Receivers = self._networks
        # What takes frames before anything else, if PPP ends elsewhere or in a bundle.
        self._passages: Passages | None = None
        # The compression of packets, between the networks and this channel.
        self._compressed: Compressed | None = None
        self._closed = False
        self._strangers = Bucket(self._clock.seconds, (STRANGER_LIMIT, STRANGER_LIMIT))
        self._early: EarlyLimit | None = None
        self._recompute()

    def carriedHere(self, why: str) -> None:
        """
        Note why the packets pass through this process, where the data path could have chosen
        otherwise.
        """
        self.path = f"python: {why}"

    # Frames from the peer

    def _limited(self, receive: ReceiveFrames) -> ReceiveFrames:
        """
        Limit the frames that reach C{receive} until MPPE or a network opens.

        @return: what to call with frames instead, until L{_unlimit} is called.
        """
        self._early = EarlyLimit(self._clock, self.counters, receive)
        return self._early.framesReceived

    def _isProven(self) -> None:
        """
        Remove the limit on frames, since MPPE or a network opens.
        """
        if self._early is not None:
            self._early = None
            self._unlimit()

    @abstractmethod
    def _unlimit(self) -> None:
        """
        Receive frames without the limit from now on. This is called once at most.
        """

    def _frame(self, protocol: int, information: bytes) -> None:
        """
        Handle a frame in order, of any kind.
        """
        network = self._inClear.get(protocol)
        if network is not None:
            network.received((information,))
        elif protocol == MPPE:
            self._encrypted(information)
        else:
            self._other(protocol, information)

    def _follow(self, frame: bytes, gap: int = 0) -> DecryptorType | None:
        """
        Bring the decryptor to the state in which C{frame} is the next one.

        @param gap: how many of the tunnel's numbers are missing before the frame.
        @return: the decryptor in that state; None if there is no such state.
        """
        decryptor, recovery = self._decryptor, self._recovery
        if decryptor is None or recovery is None:
            return None
        found = recovery.follow(decryptor, frame, gap)
        if found is not None:
            self._setDecryptor(found)
            self.lost()
        return None if found is None else self._decryptor

    def _encrypted(self, frame: bytes) -> None:
        """
        Decrypt an MPPE frame, and pass the packet to its network.
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
        protocol, packet = split(plain)
        self._decrypted(protocol, (packet,))

    def _decrypted(self, protocol: int, packets: Sequence[bytes]) -> None:
        """
        Pass on decrypted packets of one protocol.
        """
        recovery = self._recovery
        network = self._networks.get(protocol)
        if recovery is None:
            # MPPE ended with a packet before these.
            if not self._closed:
                self.counters.discard(NO_MPPE, len(packets))
        elif network is not None:
            recovery.failures = 0
            network.received(packets)
        elif protocol in self._known:
            # The peer sends before the protocol is open here, or after it was closed: the key is
            # right.
            self.counters.discard(NOT_OPEN, len(packets))
        else:
            recovery.misread()
            if len(packets) > 1:
                self._decrypted(protocol, packets[1:])

    def _other(self, protocol: int, information: bytes) -> None:
        """
        Handle a frame in clear that isn't a packet of an open network, or may not come in clear.
        """
        if protocol == 0:
            self.counters.discard(MALFORMED)
            return
        if protocol < BEYOND_NETWORKS:
            if self._inClear is NOTHING:
                self.counters.discard(IN_CLEAR)
                return
            if not self._strangers.take():
                self.counters.discard(NOT_OPEN)
                return
        self._owner.frameReceived(protocol, information)

    def lost(self) -> None:
        """
        Note that frames from the peer were lost, for networks in which a packet may depend on the
        one before.
        """
        for network in self._networks.values():
            network.lost()

    # Frames to the peer

    def transmit(self, network: OpenProtocol | Passage, packets: Sequence[bytes]) -> None:
        """
        Send packets of C{network}, which aren't larger than its MTU.
        """
        raise NotImplementedError

    @property
    def isFull(self) -> bool:
        """
        Whether the transport has no room, so that packets are discarded.
        """
        return False

    def sendFrame(self, protocol: int, information: bytes) -> None:
        """
        See L{IBundledChannel.sendFrame}.
        """
        raise NotImplementedError

    def sendPacket(self, protocol: int, packet: bytes) -> None:
        """
        See L{IBundledChannel.sendPacket}. If the protocol isn't open the packet is counted and
        discarded.
        """
        network = self._networks.get(protocol)
        if network is None:
            self.counters.discard(NOT_OPEN)
        else:
            network.transmit((packet,))

    # Calls of the link

    def count(self) -> None:
        """
        See L{IBundledChannel.count}. What threads count is added when it is read.
        """
        return

    def setFraming(self, acfc: bool, pfc: bool, sendACCM: int = 0, receiveACCM: int = 0) -> None:
        """
        See L{IBundledChannel.setFraming}.
        """
        self._acfc = acfc
        self._pfc = pfc
        self._recompute()

    def offerMPPE(self, parameters: MPPEParameters, send: bool) -> None:
        """
        See L{IBundledChannel.offerMPPE}. Nothing is done: encryption begins when it is set.
        """
        return

    def setSendMPPE(self, parameters: MPPEParameters | None) -> None:
        """
        See L{IBundledChannel.setSendMPPE}.

        @raise ValueError: the start key has the wrong length.
        """
        self._encryptor = None
        if parameters is not None:
            self._encryptor = Encryptor(parameters.startKey, parameters.bits, parameters.stateful)
        self._recompute()

    def setReceiveMPPE(self, parameters: MPPEParameters | None) -> None:
        """
        See L{IBundledChannel.setReceiveMPPE}.

        @raise ValueError: the start key has the wrong length.
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
        See L{IBundledChannel.resetSendMPPE}; L{pptpgw.datapath.mppe} explains what a reset does.
        """
        if self._encryptor is not None:
            self._encryptor.reset()

    def requireMPPE(self) -> None:
        """
        See L{IBundledChannel.requireMPPE}.
        """
        self._required = True
        self.setCompression(None, None)
        self._recompute()

    def setCompression(
        self, send: CompressionParameters | None, receive: CompressionParameters | None
    ) -> None:
        """
        See L{IBundledChannel.setCompression}.
        """
        begins = bool(send or receive) and not (self._closed or self._required)
        compressed, self._compressed = self._compressed, None
        if compressed is not None:
            compressed.close()
        if begins:
            from pptpgw.datapath.compressed import Compressed

            shared = self._networks, self._clock, self._owner
            self._compressed = Compressed(self, *shared, send, receive)
        if begins or compressed is not None:
            self.rebind()

    def resetCompression(self, send: bool) -> None:
        """
        See L{IBundledChannel.resetCompression}.
        """
        if self._compressed is not None:
            self._compressed.reset(send)

    def decompressed(self, protocol: int, packet: bytes) -> None:
        """
        See L{pptpgw.datapath.compressed.Compressing.decompressed}.
        """
        network = self._networks.get(protocol)
        if network is not None:
            network.received((packet,))
        elif not self._closed:
            self.counters.discard(NOT_OPEN)

    def transmitCompressed(
        self, network: OpenProtocol, packet: bytes, form: OpenProtocol, frame: bytes
    ) -> None:
        """
        See L{pptpgw.datapath.compressed.Compressing.transmitCompressed}.
        """
        self.transmit(form, (frame,))

    def openNetwork(self, protocol: int, attachment: Attachment) -> None:
        """
        See L{IBundledChannel.openNetwork}. A protocol that is open already is closed first, unless
        nothing is different.
        """
        opened = self._networks.get(protocol)
        if self._closed or (opened is not None and opened.attachment == attachment):
            return
        self.closeNetwork(protocol)
        self._isProven()
        network = self._host.networkOpened(self, protocol, attachment)
        if self._compressed is not None:
            network.carriedBy(self._compressed)
        self._networks[protocol] = network
        self._networks.update(network.forms)
        self._known |= {protocol, *network.forms}
        self._recompute()

    def closeNetwork(self, protocol: int) -> None:
        """
        See L{IBundledChannel.closeNetwork}.
        """
        network = self._networks.pop(protocol, None)
        if network is not None:
            for form in network.forms:
                self._networks.pop(form, None)
            network.close()
            self._host.networkClosed(network)

    def passFrames(self, receive: PassOn) -> None:
        """
        See L{IBundledChannel.passFrames}.
        """
        if not self._closed:
            self._passages = Passages(self.counters, receive)
            self._isProven()
            self._recompute()

    def makeBundle(self, owner: IChannelOwner, parameters: MultilinkParameters) -> IBundleChannel:
        """
        See L{IBundledChannel.makeBundle}.
        """
        made: IBundleChannel = self._host.openBundle(owner, parameters)
        return made

    def joinBundle(self, passages: Passages, opened: Mapping[int, OpenProtocol]) -> None:
        """
        See L{IBundledChannel.joinBundle}.
        """
        if not self._closed:
            self._passages, self._opened = passages, opened
            self._isProven()
            self._recompute()

    def leaveBundle(self) -> None:
        """
        See L{IBundledChannel.leaveBundle}.
        """
        self._passages, self._opened = None, self._networks
        self._recompute()

    def sendFrames(self, protocol: int, frames: Sequence[bytes]) -> None:
        """
        See L{IBundledChannel.sendFrames}.
        """
        passage = None if self._passages is None else self._passages.get(protocol)
        if passage is None:
            return
        if passage.isOfNetwork:
            self.transmit(passage, frames)
            return
        for frame in frames:
            if self.isFull:
                self.counters.discard(NO_ROOM)
            else:
                self.sendFrame(protocol, frame)

    def close(self) -> None:
        """
        See L{IBundledChannel.close}.
        """
        if self._closed:
            return
        self._closed = True
        # This breaks a reference cycle.
        self._passages, self._opened = None, self._networks
        self.setCompression(None, None)
        self.setReceiveMPPE(None)
        self._disconnect()
        for protocol in list(self._networks):
            self.closeNetwork(protocol)
        self._encryptor = self._early = None

    def rebind(self) -> None:
        """
        Bind the methods again that other objects call, because the class of the channel, or what
        carries packets to it, has changed.
        """
        for network in self._networks.values():
            network.carriedBy(self._compressed or self)
        self._recompute()

    @abstractmethod
    def _disconnect(self) -> None:
        """
        Disconnect the channel from the transport, and take no more frames.
        """

    def _setDecryptor(self, decryptor: DecryptorType | None) -> None:
        self._decryptor = decryptor

    def _recompute(self) -> None:
        """
        Compute the prefixes and MTUs of packets, and which networks may receive in clear, after
        framing, encryption or the open networks have changed.
        """
        begin = b"" if self._acfc else ADDRESS_CONTROL
        self._mppePrefix = begin + (b"\xfd" if self._pfc else b"\x00\xfd")
        self._inClear = self._networks
        if self._passages is not None:
            self._inClear = self._passages
        elif self._required or self._decryptor is not None:
            self._inClear = NOTHING
        elif self._compressed is not None:
            self._inClear = self._compressed
            self._compressed.form.prefix = self._mppePrefix
        for network in self._networks.values():
            compressed = self._pfc and network.field[0] == 0
            network.prefix = begin + (network.field[1:] if compressed else network.field)
            network.mtu = network.attachment.mtu
            if self._encryptor is not None:
                network.mtu -= MPPE_OVERHEAD
