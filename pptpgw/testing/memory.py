"""
Fakes for tests of plugins and programs: a gateway and its callers in one process, without sockets,
on a clock that the test advances.

L{MemoryNetwork} takes the place of the Internet: its data paths carry frames between the calls that
know each other's call ids, after L{DELAY}, and lose those that the test chooses. L{joined} makes
the TCP connection between two control connections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.datapath.openipv6 import isLocal
from pptpgw.datapath.plausibility import BEYOND_NETWORKS
from pptpgw.gateway import Gateway
from pptpgw.interfaces import (
    Attachment,
    CompressionParameters,
    ICall,
    IChannel,
    IChannelOwner,
    IDataPath,
    IKernelInterface,
    MPPEParameters,
)
from pptpgw.networks.wire.ip import IPV6_HEADER
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.tunnel import Answering

Frame = tuple[int, bytes]
DELAY = 0.001
"""
The time in seconds that everything takes to the other end.
"""


class MemoryNetwork:
    """
    A network that connects data paths.

    @ivar lose: called with each frame (protocol, information) of every end; the frame is lost if it
        returns True.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lose: Callable[[Frame], bool] = lambda frame: False
        self._channels: dict[tuple[str, str, int], MemoryChannel] = {}

    def join(self, channel: MemoryChannel) -> None:
        """
        Deliver frames to C{channel} from now on.
        """
        ends = channel.ends
        self._channels[ends.localAddress, ends.peerAddress, ends.localCallID] = channel

    def leave(self, channel: MemoryChannel) -> None:
        """
        Deliver no more frames to C{channel}.
        """
        ends = channel.ends
        self._channels.pop((ends.localAddress, ends.peerAddress, ends.localCallID), None)

    def carry(self, ends: Ends, protocol: int, information: bytes) -> None:
        """
        Deliver a frame to the other one of C{ends} after L{DELAY}, unless it gets lost.
        """
        if not self.lose((protocol, information)):
            self.clock.callLater(DELAY, self._deliver, ends, protocol, information)

    def _deliver(self, ends: Ends, protocol: int, information: bytes) -> None:
        other = self._channels.get((ends.peerAddress, ends.localAddress, ends.peerCallID))
        if other is not None:
            other.received(protocol, information)


@implementer(IChannel)
class MemoryChannel:
    """
    An L{IChannel} that encrypts nothing, and records how it is used.

    @ivar sent: every frame and packet that was sent.
    @ivar networks: the attachments of open protocols, by protocol number.
    @ivar offers: the parameters of each L{offerMPPE}.
    @ivar sendMPPE: the last parameters of L{setSendMPPE}, or None.
    @ivar receiveMPPE: the last parameters of L{setReceiveMPPE}, or None.
    @ivar required: whether L{requireMPPE} was called.
    @ivar resets: how often L{resetSendMPPE} was called.
    @ivar compression: the last parameters of L{setCompression}.
    @ivar compressionResets: the directions of each L{resetCompression}.
    @ivar framing: the last parameters of L{setFraming}: two compressions and two maps of control
        characters.
    @ivar lose: called with each frame (protocol, information) of this end; the frame is lost if it
        returns True.
    """

    def __init__(self, network: MemoryNetwork, ends: Ends, owner: IChannelOwner) -> None:
        self.counters = Counters()
        self.interface = ""
        self.path = "memory"
        self.ends = ends
        self.sent: list[Frame] = []
        self.networks: dict[int, Attachment] = {}
        self.offers: list[tuple[MPPEParameters, bool]] = []
        self.sendMPPE: MPPEParameters | None = None
        self.receiveMPPE: MPPEParameters | None = None
        self.required = False
        self.resets = 0
        self.compression: tuple[CompressionParameters | None, ...] = (None, None)
        self.compressionResets: list[bool] = []
        self.framing = (False, False, 0, 0)
        self._pass: Callable[[int, Sequence[bytes]], object] | None = None
        self.lose: Callable[[Frame], bool] = lambda frame: False
        self._network = network
        self._owner = owner
        network.join(self)

    def received(self, protocol: int, information: bytes) -> None:
        """
        Pass a frame from the other end to the open network, or else to the owner.
        """
        self.counters.framesReceived += 1
        if self._pass is not None:
            if protocol < BEYOND_NETWORKS:
                self.counters.packetsReceived += 1
                self.counters.octetsReceived += len(information)
            self._pass(protocol, (information,))
            return
        attachment = self.networks.get(protocol)
        if attachment is None:
            self._owner.frameReceived(protocol, information)
            return
        self.counters.packetsReceived += 1
        self.counters.octetsReceived += len(information)
        if attachment.receive is not None:
            attachment.receive(information)
        elif attachment.local is not None:
            isWhole = len(information) >= IPV6_HEADER
            if isWhole and isLocal(information):
                attachment.local(information)

    def count(self) -> None:
        """
        See L{IChannel.count}. All is counted here.
        """

    def sendFrame(self, protocol: int, information: bytes) -> None:
        """
        See L{IChannel.sendFrame}.
        """
        self.counters.framesSent += 1
        self.sent.append((protocol, information))
        if not self.lose((protocol, information)):
            self._network.carry(self.ends, protocol, information)

    def sendPacket(self, protocol: int, packet: bytes) -> None:
        """
        See L{IChannel.sendPacket}.
        """
        self.counters.packetsSent += 1
        self.counters.octetsSent += len(packet)
        self.sendFrame(protocol, packet)

    def passFrames(self, receive: Callable[[int, Sequence[bytes]], object]) -> None:
        """
        See L{IChannel.passFrames}.
        """
        self._pass = receive

    def sendFrames(self, protocol: int, frames: Sequence[bytes]) -> None:
        """
        See L{IChannel.sendFrames}.
        """
        for frame in frames:
            (self.sendPacket if protocol < BEYOND_NETWORKS else self.sendFrame)(protocol, frame)

    def setFraming(self, acfc: bool, pfc: bool, sendACCM: int = 0, receiveACCM: int = 0) -> None:
        """
        See L{IChannel.setFraming}.
        """
        self.framing = (acfc, pfc, sendACCM, receiveACCM)

    def offerMPPE(self, parameters: MPPEParameters, send: bool) -> None:
        """
        See L{IChannel.offerMPPE}.
        """
        self.offers.append((parameters, send))

    def setSendMPPE(self, parameters: MPPEParameters | None) -> None:
        """
        See L{IChannel.setSendMPPE}.
        """
        self.sendMPPE = parameters

    def setReceiveMPPE(self, parameters: MPPEParameters | None) -> None:
        """
        See L{IChannel.setReceiveMPPE}.
        """
        self.receiveMPPE = parameters

    def resetSendMPPE(self) -> None:
        """
        See L{IChannel.resetSendMPPE}.
        """
        self.resets += 1

    def requireMPPE(self) -> None:
        """
        See L{IChannel.requireMPPE}.
        """
        self.required = True

    def setCompression(
        self, send: CompressionParameters | None, receive: CompressionParameters | None
    ) -> None:
        """
        See L{IChannel.setCompression}.
        """
        self.compression = (send, receive)

    def resetCompression(self, send: bool) -> None:
        """
        See L{IChannel.resetCompression}.
        """
        self.compressionResets.append(send)

    def openNetwork(self, protocol: int, attachment: Attachment) -> None:
        """
        See L{IChannel.openNetwork}.
        """
        self.networks[protocol] = attachment

    def closeNetwork(self, protocol: int) -> None:
        """
        See L{IChannel.closeNetwork}.
        """
        self.networks.pop(protocol, None)

    def close(self) -> None:
        """
        See L{IChannel.close}.
        """
        self._pass = None
        self.networks.clear()
        self._network.leave(self)


@implementer(IDataPath)
class MemoryDataPath:
    """
    An L{IDataPath} on a L{MemoryNetwork}.

    @ivar channels: every channel that was opened, including closed ones.
    """

    def __init__(self, network: MemoryNetwork) -> None:
        self.counters = Counters()
        self.interface = None
        self.path = "memory"
        self.channels: list[MemoryChannel] = []
        self._network = network

    def start(self) -> None:
        """
        See L{IDataPath.start}. There is nothing to open.
        """

    def stop(self) -> None:
        """
        See L{IDataPath.stop}. There is nothing to close.
        """

    def openChannel(self, call: ICall, owner: IChannelOwner, number: int = 0) -> MemoryChannel:
        """
        See L{IDataPath.openChannel}. Only PPTP calls are supported.
        """
        assert isinstance(call, Call)
        channel = MemoryChannel(self._network, call.ends, owner)
        self.channels.append(channel)
        return channel


class MemoryTransport:
    """
    One end of a TCP connection between two control connections.

    @ivar written: all octets that were written.
    @ivar closed: whether this end has closed the connection.
    """

    def __init__(self, clock: Clock) -> None:
        self.written = b""
        self.closed = False
        self._clock = clock
        self._here: ControlConnection | None = None
        self._there: ControlConnection | None = None

    def join(self, here: ControlConnection, there: ControlConnection) -> None:
        """
        Set the control connection of this end, and that of the other end.
        """
        self._here = here
        self._there = there

    def write(self, octets: bytes) -> None:
        """
        Deliver C{octets} to the other end after L{DELAY}, unless the connection is closed.
        """
        self.written += octets
        if self._there is not None and not self.closed:
            self._clock.callLater(DELAY, self._there.dataReceived, octets)

    def loseConnection(self) -> None:
        """
        Close the connection, and tell both control connections after L{DELAY}.
        """
        if not self.closed:
            self.closed = True
            for end in (self._here, self._there):
                if end is not None:
                    self._clock.callLater(DELAY, end.connectionLost, "the connection was closed")

    abortConnection = loseConnection


def answering(gateway: Gateway, concentrators: Sequence[IPv4Network] = ()) -> Answering:
    """
    Make the owner of control connections that offers their calls to C{gateway}.

    @param concentrators: the networks of the PACs that may offer incoming calls.
    """
    owner = Answering(gateway, gateway.quota, gateway.attempts)
    owner.concentrators = tuple(concentrators)
    return owner


def joined(clock: Clock, one: ControlConnection, other: ControlConnection) -> None:
    """
    Connect two control connections, one in each role.
    """
    for here, there in ((one, other), (other, one)):
        transport = MemoryTransport(clock)
        transport.join(here, there)
        here.connectionMade(transport)


@implementer(IKernelInterface)
class MemoryInterface:
    """
    The interface of a data path, which records what the networks do with it.

    @ivar told: the changes in order: C{"address 192.0.2.1/32"}, C{"route 10.77.0.0/24"} or
        C{"no route 10.77.0.0/24"}.
    """

    name = "pptp0"

    def __init__(self) -> None:
        self.told: list[str] = []

    def addAddress(self, address: IPv4Interface | IPv6Interface) -> None:
        """
        See L{IKernelInterface.addAddress}.
        """
        self.told.append(f"address {address}")

    def removeAddress(self, address: IPv4Interface | IPv6Interface) -> None:
        """
        See L{IKernelInterface.removeAddress}.
        """
        self.told.append(f"no address {address}")

    def addRoute(
        self, network: IPv4Network | IPv6Network, source: IPv4Address | None = None
    ) -> None:
        """
        See L{IKernelInterface.addRoute}.
        """
        self.told.append(f"route {network}" + (f" from {source}" if source else ""))

    def removeRoute(self, network: IPv4Network | IPv6Network) -> None:
        """
        See L{IKernelInterface.removeRoute}.
        """
        self.told.append(f"no route {network}")
