"""
The channel of one call whose packets the kernel carries: control frames come and go here, and the
kernel's PPP, its MPPE and a network device of the call's own do the rest.

The device is made when the call's network phase begins, so strangers cause none. It has no address:
packets for the peer are routed to it, and it lets only those from the peer's own networks pass.

What restricts never waits for the kernel to be told of it:

 - A network protocol is dropped in both directions until it opens, and until MPPE is on if MPPE is
   required.
 - The session's filter is a program in the kernel, which is replaced when it changes; in turn, if
   those of thousands of sessions change in one moment.
 - Once MPPE is required, packets in clear from the peer are dropped, which the kernel's PPP would
   take: before it sees them, where the transport has a filter, and by the filter of the device.
 - The kernel's PPP never sees what would make it send in clear: the packets of CCP by which a peer
   begins anew, or ends. Anybody can send them in the peer's name.
 - If the kernel refuses something, nothing passes any more, and the call ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.datapath.channel import MALFORMED, NOT_SENT
from pptpgw.datapath.checks import NOT_DELIVERED
from pptpgw.datapath.kernel.bridge import PassingChannel
from pptpgw.datapath.kernel.figures import Counted
from pptpgw.datapath.kernel.host import Host
from pptpgw.datapath.kernel.judging import judging
from pptpgw.datapath.kernel.passing import passing
from pptpgw.datapath.resync import Resync
from pptpgw.error import NotCarried, PPTPGWError
from pptpgw.interfaces import (
    Attachment,
    CompressionParameters,
    IBridgedChannel,
    IChannelOwner,
    IGate,
    IKernelCall,
    IKernelTransport,
    MPPEParameters,
)
from pptpgw.log import Logger
from pptpgw.networks.ipv6.wire.ipv6 import MINIMUM_MTU
from pptpgw.ports.bpf import Assembled, TooLarge
from pptpgw.ports.ppp import (
    CCP_OPEN,
    CCP_UP,
    COMPRESS_PROTOCOL,
    COMPRESSION_ENDS,
    DECOMPRESSION_FATAL,
    DROP,
    MUST_COMPRESS,
    PASS,
    PPPFile,
    PPPUnit,
)
from pptpgw.ppp.mppe import MPPE_OVERHEAD
from pptpgw.ppp.wire.ppp import (
    CCP,
    IPV4,
    IPV6,
    MPPE,
    RESET_ACK,
)

CARRIED = {IPV4: "ipv4", IPV6: "ipv6"}
"""
The numbers of the network protocols that the kernel carries, with the names of their networks.
"""

# The codes of CCP's packets at which the kernel stops encrypting. Those in clear come by the
# transport.
_ENDS = tuple(bytes((code,)) for code in COMPRESSION_ENDS)
# The one at which it decrypts again after an error.
_RESET = bytes((RESET_ACK,))
_OTHERWISE = '[datapath] path = "python" carries it'
# The lowest protocol number of frames that pass by the channel, and not by the unit.
_OF_CHANNEL = 0xC000


@implementer(IBridgedChannel)
class KernelChannel(PassingChannel):
    """
    See L{IBridgedChannel}.

    @ivar counted: the counters, and what the device has counted.
    @ivar number: the number that the session has or will have.
    @ivar transport: what carries the call's frames.
    @ivar unit: the device and its PPP; None before the network phase.
    """

    path = "kernel"

    __slots__ = (
        "_attachments",
        "_failed",
        "_gate",
        "_isSending",
        "_owner",
        "_required",
        "_resync",
        "counted",
        "number",
        "unit",
    )

    _log = Logger()

    def __init__(
        self, host: Host, call: IKernelCall, owner: IChannelOwner, number: int = 0
    ) -> None:
        """
        @raise pptpgw.error.PPTPGWError: the kernel can't carry the call's frames.
        @raise OSError: the kernel refuses.
        """
        self._host = host
        self._owner = owner
        self.number = number
        self.transport: IKernelTransport = call.openTransport(self.frameReceived)
        self.counters = Counters()
        self.counted = Counted(self.counters)
        self.unit: PPPUnit | None = None
        self._attachments: dict[int, Attachment] = {}
        self._gate: IGate | None = None
        self._passages = self._bridged = None
        self._required = self._isSending = self._failed = self._closed = False
        self._resync = Resync(host.clock, owner)
        try:
            self._ppp = host.openPPP(self.transport.channel, self.frameReceived)
        except BaseException:
            self.transport.close()
            raise

    @property
    def interface(self) -> str:
        """
        See L{IChannel.interface}: the name of the call's device.
        """
        return "" if self.unit is None else self.unit.name

    # Frames

    def unitReceived(self, protocol: int, information: bytes) -> None:
        """
        Handle a frame that came by the device, and that the kernel counts as a packet.
        """
        self.counted.controlFrame(False, len(information))
        code = information[:1] if protocol == CCP else b""
        if code == _RESET:
            self._resync.succeeded()
        if self._required and code in _ENDS:
            # It came encrypted, and the kernel encrypts no more.
            self._isSending = False
            self._setModes()
            self._owner.channelFailed("the peer would have encryption end")
            return
        self.frameReceived(protocol, information)

    def frameReceived(self, protocol: int, information: bytes) -> None:
        """
        Handle a frame that the kernel doesn't carry itself.
        """
        if self._closed:
            return
        self.counters.framesReceived += 1
        passage = None if self._passages is None else self._passages.get(protocol)
        if passage is not None:
            passage.received((information,))
        elif protocol == MPPE:
            # The kernel couldn't decrypt it, and decrypts nothing before it sees a Reset-Ack.
            if self.unit is not None and self.unit.state & DECOMPRESSION_FATAL:
                self._owner.channelFailed("the kernel's MPPE has failed")
            else:
                self._resync.request()
        elif protocol:
            self._owner.frameReceived(protocol, information)
        else:
            self.counters.discard(MALFORMED)

    def count(self) -> None:
        """
        See L{IChannel.count}.
        """
        if self.unit is not None and not self._closed:
            self._host.count(self.unit)

    def sendFrame(self, protocol: int, information: bytes) -> None:
        """
        See L{IChannel.sendFrame}.
        """
        if self._closed:
            return
        ofUnit = protocol < _OF_CHANNEL
        carrier: PPPFile | None = None if ofUnit else self._ppp
        if ofUnit:
            with self._guarded():
                carrier = self._device()
        if carrier is None:
            return
        try:
            carrier.send(protocol, information)
            if ofUnit:
                self.counted.controlFrame(True, len(information))
        except OSError:
            self.counters.discard(NOT_SENT)
        else:
            self.counters.framesSent += 1

    def sendPacket(self, protocol: int, packet: bytes) -> None:
        """
        See L{IChannel.sendPacket}.
        """
        if self.unit is None or protocol not in self._attachments or not self._passes:
            self.counters.discard(NOT_DELIVERED)
            return
        try:
            self.unit.send(protocol, packet)
        except OSError:
            self.counters.discard(NOT_SENT)

    def _device(self) -> PPPUnit:
        """
        Return the unit, which is made at the first call. It carries no network packets yet.
        """
        if self.unit is None:
            self.unit = unit = self._host.openUnit(self.number, self.counted, self.unitReceived)
            for protocol in CARRIED:
                unit.setMode(protocol, DROP)
            self._ppp.connect(unit)
        return self.unit

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """
        Let nothing pass, and end the call soon, if the kernel refuses what is done within.
        """
        try:
            yield
        except (OSError, PPTPGWError) as error:
            if self._failed or self._closed:
                return
            self._failed = True
            # The kernel may refuse this, too: then it has refused every packet before.
            with suppress(OSError):
                self._setModes()
            self._host.clock.callLater(0, self._giveUp, f"the kernel's data path: {error}")

    def _giveUp(self, reason: str) -> None:
        if not self._closed:
            self._log.error("{interface}: {reason}", interface=self.interface, reason=reason)
            self._owner.channelFailed(reason)

    # Calls of the link

    def setFraming(self, acfc: bool, pfc: bool, sendACCM: int = 0, receiveACCM: int = 0) -> None:
        """
        See L{IChannel.setFraming}. Address and control are never left out, since the kernel would
        do so in some packets of LCP too (RFC 1661 section 6.6).
        """
        self.transport.setACCM(sendACCM, receiveACCM)
        if self.transport.compresses:
            with self._guarded():
                self._ppp.setFlags(COMPRESS_PROTOCOL if pfc else 0)

    def offerMPPE(self, parameters: MPPEParameters, send: bool) -> None:
        """
        See L{IChannel.offerMPPE}.
        """
        with self._guarded():
            unit = self._device()
            unit.setMPPE(parameters, send)
            unit.setFlags(on=CCP_OPEN, off=CCP_UP)

    def setSendMPPE(self, parameters: MPPEParameters | None) -> None:
        """
        See L{IChannel.setSendMPPE}. The kernel has the keys by L{offerMPPE}.
        """
        self._isSending = parameters is not None
        if self.unit is None or self._closed:
            return
        with self._guarded():
            if parameters is not None:
                self.unit.setFlags(on=CCP_UP | MUST_COMPRESS)
            self._setModes()
            if self._attachments:
                self._host.setMTU(self.unit, self._mtu)

    def setReceiveMPPE(self, parameters: MPPEParameters | None) -> None:
        """
        See L{IChannel.setReceiveMPPE}. The kernel has the keys by L{offerMPPE}.
        """
        if parameters is not None:
            with self._guarded():
                self.transport.requireEncryption()

    def resetSendMPPE(self) -> None:
        """
        See L{IChannel.resetSendMPPE}. Nothing is done: every packet of stateless MPPE is flushed.
        """

    def setCompression(
        self, send: CompressionParameters | None, receive: CompressionParameters | None
    ) -> None:
        """
        See L{IChannel.setCompression}.
        """
        if send or receive:
            raise NotCarried(f"the kernel's calls aren't compressed; {_OTHERWISE}")

    def resetCompression(self, send: bool) -> None:
        """
        See L{IChannel.resetCompression}. Nothing is done, as nothing is compressed.
        """

    def requireMPPE(self) -> None:
        """
        See L{IChannel.requireMPPE}.
        """
        self._required = True
        with self._guarded():
            self.transport.requireEncryption()
            self._setModes()
            if self._attachments:
                self._device().setFilter(self._filter(self._attachments))

    def openNetwork(self, protocol: int, attachment: Attachment) -> None:
        """
        See L{IChannel.openNetwork}.

        @raise NotCarried: the kernel doesn't carry the protocol, the network is in this process, or
            the filter isn't for the kernel.
        """
        if self._closed:
            return
        attachments = {**self._attachments, protocol: attachment}
        program = self._filter(attachments)
        before = self._attachments.get(protocol)
        with self._guarded():
            unit = self._device()
            self._attachments = attachments
            if attachment.permits is not None:
                self._gate = IGate(attachment.permits)
                self._gate.watch(self._filterChanged)
            unit.setFilter(program)
            self._host.networkOpened(unit, attachment, self._mtu, before)
            self._setModes()

    def _filter(self, attachments: Mapping[int, Attachment]) -> Assembled:
        """
        Return the program that lets packets of C{attachments} pass.

        @raise NotCarried: there is none.
        """
        for protocol, one in attachments.items():
            if protocol not in CARRIED or one.receive is not None:
                raise NotCarried(
                    f"the kernel doesn't carry protocol 0x{protocol:04x}; {_OTHERWISE}"
                )
        (gate, *others) = {one.permits for one in attachments.values()}
        if others or not (gate is None or IGate.providedBy(gate)):
            raise NotCarried(f"the kernel filters packets by rules alone; {_OTHERWISE}")
        filter = None if gate is None else IGate(gate).filter
        try:
            return Assembled(passing(attachments, self._required), judging(filter))
        except TooLarge as error:
            raise NotCarried(f"the filter is {error}; {_OTHERWISE}") from error

    def _filterChanged(self) -> None:
        """
        Judge by the gate's rules as they are now. If the kernel can't, nothing passes.
        """
        self._host.inTurn(self._setFilter)

    def _setFilter(self) -> None:
        if self._attachments:
            with self._guarded():
                self._device().setFilter(self._filter(self._attachments))

    def closeNetwork(self, protocol: int) -> None:
        """
        See L{IChannel.closeNetwork}.
        """
        attachment = self._attachments.pop(protocol, None)
        if attachment is None:
            return
        if not self._attachments and self._gate is not None:
            self._gate.watch(None)
            self._gate = None
        with self._guarded():
            self._setModes()
            if self.unit is not None:
                self._host.networkClosed(self.unit, attachment)

    def close(self) -> None:
        """
        See L{IChannel.close}.
        """
        if self._closed:
            return
        self.unbridge()
        self._passages = None
        for protocol in tuple(self._attachments):
            self.closeNetwork(protocol)
        self._closed = True
        files = [] if self.unit is None else [self.unit.close()]
        files += [self._ppp.close(), self.transport.close]
        self._host.channelClosed(self.unit, files)

    @property
    def _mtu(self) -> int:
        """
        The MTU of the device: the smallest of the networks', less what MPPE adds. With IPv6 it is
        never smaller than IPv6 needs, since the kernel would end IPv6 on the device.
        """
        mtu = min(attachment.mtu for attachment in self._attachments.values())
        if self._isSending:
            mtu -= MPPE_OVERHEAD
        return max(mtu, MINIMUM_MTU) if IPV6 in self._attachments else mtu

    @property
    def _passes(self) -> bool:
        """
        Whether network packets may pass: MPPE is on, or isn't required.
        """
        return (self._isSending or not self._required) and not self._failed

    def _setModes(self) -> None:
        """
        Let the packets of open networks pass, unless MPPE is required and isn't on.
        """
        if self.unit is None:
            return
        for protocol in CARRIED:
            mode = PASS if self._passes and protocol in self._attachments else DROP
            self.unit.setMode(protocol, mode)
