"""
The data path of one call in Python: MPPE, and the PPP header around it. How frames travel is a
matter of the tunnel, which derives its class of channels from L{Channel}.

What is carried here and what goes up to the link: packets of an open network protocol go to its
network; every other frame goes to the owner, except encrypted ones, and network packets in clear
where encryption is on or required. Those are counted and silently discarded.

The information field of an encrypted frame holds MPPE's header and the protocol number besides the
packet, four octets, and the peer's MRU bounds the whole: so packets are that much smaller while we
encrypt, as pppd has it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.datapath.belief import BEYOND_NETWORKS, COMMON
from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.early import Early
from pptpgw.datapath.edges import Receive
from pptpgw.datapath.mppe import Decryptor, DecryptorType, Encryptor, EncryptorType
from pptpgw.datapath.recovery import Recovery
from pptpgw.interfaces import Attachment, IChannel, IChannelHost, IChannelOwner, MPPEParameters
from pptpgw.ppp.mppe import MPPE_OVERHEAD

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

MPPE = 0x00FD
UNCOMPRESSED = b"\xff\x03"
NOTHING: dict[int, OpenProtocol] = {}


@implementer(IChannel)
class Channel(ABC):
    """
    See L{IChannel}.
    """

    __slots__ = (
        "_acfc",
        "_clock",
        "_closed",
        "_decryptor",
        "_early",
        "_encryptor",
        "_host",
        "_inClear",
        "_known",
        "_mppePrefix",
        "_networks",
        "_owner",
        "_pfc",
        "_recovery",
        "_required",
        "_strangers",
        "counters",
    )

    direct: ClassVar[bool] = True
    """
    Whether packets may go to their network in another way than by L{_frame}, several at once.
    """

    def __init__(self, host: IChannelHost, owner: IChannelOwner) -> None:
        """
        @param host: the data path that it belongs to.
        """
        self.counters = Counters()
        self._clock: IReactorTime = host.clock
        self._owner = owner
        self._host = host
        self._networks: dict[int, OpenProtocol] = {}
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
        self._strangers = Bucket(self._clock.seconds, (STRANGER_LIMIT, STRANGER_LIMIT))
        self._early: Early | None = None
        self._recompute()

    # From the peer.

    def _limited(self, receive: Receive) -> Receive:
        """
        Limit the frames that come to C{receive} until MPPE or a network opens.

        @return: what takes frames until then: until L{_unlimit} is called.
        """
        self._early = Early(self._clock, self.counters, receive)
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
        Take frames without a limit from now on. This is called once at most.
        """

    def _frame(self, protocol: int, information: bytes) -> None:
        """
        A frame in order, of whatever kind.
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

    def transmit(self, network: OpenProtocol, packet: bytes) -> None:
        """
        Send one packet of C{network}, which fits.
        """
        raise NotImplementedError

    def sendFrame(self, protocol: int, information: bytes) -> None:
        """
        See L{IChannel.sendFrame}.
        """
        raise NotImplementedError

    def sendPacket(self, protocol: int, packet: bytes) -> None:
        """
        See L{IChannel.sendPacket}. Where the protocol isn't open the packet is counted, no more.
        """
        network = self._networks.get(protocol)
        if network is None:
            self.counters.discard(NOT_OPEN)
        else:
            network.transmit(packet)

    # From the link.

    def setFraming(self, acfc: bool, pfc: bool, sendACCM: int = 0, receiveACCM: int = 0) -> None:
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
        self._networks[protocol] = self._host.networkOpened(self, protocol, attachment)
        self._known |= {protocol}
        self._recompute()

    def closeNetwork(self, protocol: int) -> None:
        """
        See L{IChannel.closeNetwork}.
        """
        network = self._networks.pop(protocol, None)
        if network is not None:
            network.close()
            self._host.networkClosed(network)

    def close(self) -> None:
        """
        See L{IChannel.close}.
        """
        if self._closed:
            return
        self._closed = True
        self.setReceiveMPPE(None)
        self._disconnect()
        for protocol in list(self._networks):
            self.closeNetwork(protocol)
        self._encryptor = self._early = None

    @abstractmethod
    def _disconnect(self) -> None:
        """
        Take no more frames.
        """

    def _setDecryptor(self, decryptor: DecryptorType | None) -> None:
        self._decryptor = decryptor

    def _recompute(self) -> None:
        """
        What follows from framing and encryption for every packet.
        """
        begin = b"" if self._acfc else UNCOMPRESSED
        self._mppePrefix = begin + (b"\xfd" if self._pfc else b"\x00\xfd")
        self._inClear = self._networks
        if self._required or self._decryptor is not None:
            self._inClear = NOTHING
        for network in self._networks.values():
            compressed = self._pfc and network.field[0] == 0
            network.prefix = begin + (network.field[1:] if compressed else network.field)
            network.mtu = network.attachment.mtu
            if self._encryptor is not None:
                network.mtu -= MPPE_OVERHEAD
