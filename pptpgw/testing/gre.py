"""
A gateway and its callers in one process whose packets go through GRE and the data path in Python,
so that they are encrypted, checked and routed as they are outside of tests.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from twisted.internet.task import Clock

from pptpgw.datapath.interface import CountDropped, ReceiveFrames, SendAll, SendPacket
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import Malformed
from pptpgw.ppp.wire import ppp
from pptpgw.testing.memory import DELAY
from pptpgw.testing.world import World
from pptpgw.timing.lapse import Lapse
from pptpgw.tunnels.pptp.channels import GREChannels
from pptpgw.tunnels.pptp.port.raw import sendEach
from pptpgw.tunnels.pptp.window import ACKNOWLEDGE_TIME
from pptpgw.tunnels.pptp.wire.gre import decode

# The bit in the first octet of a GRE header that says there is a sequence number (RFC 2637).
_NUMBERED = 0x10


class MemoryWire:
    """
    The network between the GRE ports of some hosts. Packets arrive L{DELAY} seconds after they were
    sent.

    @ivar ports: the port of each host, by its address; a test may remove one.
    @ivar carried: how many frames it took to each address; packets that only acknowledge aren't
        counted.
    @ivar harm: the random numbers that decide which packets are lost, doubled and delayed; None for
        no harm.
    @ivar tap: called with source, destination, protocol number and information of each frame.
    """

    harm: Random | None = None
    tap: Callable[[str, str, int, bytes], None] | None = None

    def __init__(self, clock: Clock) -> None:
        self.ports: dict[str, MemoryGRE] = {}
        self.carried: Counter[str] = Counter()
        self.clock = clock
        self._queue: deque[tuple[str, str, bytes]] = deque()

    def send(self, source: str, destination: str, octets: bytes) -> None:
        """
        Take a packet, and deliver it unless it gets lost.
        """
        harm = self.harm.random() if self.harm is not None else 1.0
        if harm < 0.1:
            return
        if harm < 0.2:
            self._enqueue(source, destination, octets)
        if harm < 0.4:
            self.clock.callLater(harm, self._enqueue, source, destination, octets)
        else:
            self._enqueue(source, destination, octets)

    def _enqueue(self, source: str, destination: str, octets: bytes) -> None:
        if not self._queue:
            self.clock.callLater(DELAY, self._arrive)
        self._queue.append((source, destination, octets))

    def _arrive(self) -> None:
        queue, self._queue = self._queue, deque()
        for source, destination, octets in queue:
            if octets[0] & _NUMBERED:
                self.carried[destination] += 1
            if self.tap is not None and octets[0] & _NUMBERED:
                _, payload, _, _ = decode(octets)
                self.tap(source, destination, *ppp.decodeFrame(payload))
            port = self.ports.get(destination)
            if port is not None:
                port.arrived(source, octets)


class MemoryGRE:
    """
    The GRE port of one host.

    @ivar receivers: what takes the packets of each call, by the address of the peer and the call id
        of this end.
    @ivar error: raised when a packet is sent; None if packets can be sent.
    @ivar failures: the errors that this port was told of.
    @ivar acknowledging: see L{pptpgw.tunnels.pptp.channel.GRE}.
    """

    def __init__(self, wire: MemoryWire, address: str) -> None:
        self.receivers: dict[tuple[str, int], ReceiveFrames] = {}
        self.error: OSError | None = None
        self.failures: list[OSError] = []
        self.acknowledging = Lapse(wire.clock, ACKNOWLEDGE_TIME)
        self._wire = wire
        wire.ports[address] = self

    def register(
        self,
        peerAddress: str,
        localCallID: int,
        receive: ReceiveFrames,
        dropped: CountDropped | None = None,
    ) -> None:
        """
        See L{pptpgw.tunnels.pptp.channel.GRE.register}. Nothing is dropped here.

        @raise ValueError: another call has this peer and call id.
        """
        if (peerAddress, localCallID) in self.receivers:
            raise ValueError(f"call id {localCallID} is in use with {peerAddress}")
        self.receivers[peerAddress, localCallID] = receive

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        """
        See L{pptpgw.tunnels.pptp.channel.GRE.unregister}.
        """
        self.receivers.pop((peerAddress, localCallID), None)

    def sender(self, localAddress: str, peerAddress: str) -> SendPacket:
        """
        See L{pptpgw.tunnels.pptp.channel.GRE.sender}.
        """

        def send(octets: bytes) -> None:
            if self.error is not None:
                raise self.error
            self._wire.send(localAddress, peerAddress, bytes(octets))

        return send

    def allSender(self, localAddress: str, peerAddress: str) -> SendAll:
        """
        See L{pptpgw.tunnels.pptp.channel.GRE.allSender}.
        """
        return partial(sendEach, self.sender(localAddress, peerAddress))

    def sendFailed(self, error: OSError) -> None:
        """
        See L{pptpgw.tunnels.pptp.channel.GRE.sendFailed}.
        """
        assert error is self.error
        self.failures.append(error)

    def arrived(self, address: str, octets: bytes) -> None:
        """
        Deliver a packet from C{address} to its call, as L{pptpgw.tunnels.pptp.port.gre.GREPort}
        does. It is lost if there is no such call.
        """
        try:
            callID, payload, sequence, _ = decode(octets)
        except Malformed:
            return
        receive = self.receivers.get((address, callID))
        if receive is None:
            return
        protocol, information = 0, b""
        try:
            protocol, information = ppp.decodeFrame(payload)
        except Malformed:
            pass
        receive(-1 if sequence is None else sequence, protocol, [information])


class MemoryTUN:
    """
    A TUN device, whose kernel the test plays.

    @ivar receiveAll: takes packets from the kernel. The data path sets it.
    @ivar receive: takes one packet from the kernel.
    @ivar written: the packets that the kernel was given, and that are kept.
    @ivar error: raised when a packet is written; None if packets can be written.
    @ivar batches: set by the data path, and of no effect.
    """

    batches = 1
    receiveAll: Callable[[list[bytes]], object]

    def __init__(self, keep: int | None = None) -> None:
        """
        @param keep: how many of the last packets are kept; None for all.
        """
        self.written: list[bytes] = []
        self.error: OSError | None = None
        self._keep = keep
        self.receive: Callable[[bytes], object] = self._receive
        self.write: Callable[[bytes], object] = self._write
        self.writeAll: Callable[[Sequence[bytes]], int] = self._writeAll

    def _receive(self, packet: bytes) -> None:
        self.receiveAll([packet])

    def _write(self, packet: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(packet)
        if self._keep is not None:
            del self.written[: -self._keep]

    def _writeAll(self, packets: Sequence[bytes]) -> int:
        refused = 0
        for packet in packets:
            try:
                self._write(packet)
            except OSError:
                refused += 1
        return refused


class GREWorld(World):
    """
    A gateway and callers whose packets go through GRE and the data path in Python. C{network}
    carries nothing here.

    @ivar wire: the L{MemoryWire} between them.
    @ivar tun: the gateway's TUN device.
    """

    def makeWire(self) -> MemoryWire:
        """
        Make the wire between the gateway and the callers; a derived class may make another.
        """
        return MemoryWire(self.clock)

    def makeTUN(self) -> Any:
        """
        Make the gateway's TUN device: a L{MemoryTUN}, unless a derived class says otherwise.
        """
        return MemoryTUN()

    def makeDataPath(self) -> Any:
        """
        Make the gateway's data path.
        """
        self.wire = self.makeWire()
        self.tun = self.makeTUN()
        return PythonDataPath(self.clock, self.tun)

    def makeCallersDataPath(self) -> Any:
        """
        Make the data path of one caller, which has no TUN device.
        """
        return PythonDataPath(self.clock)

    def portOf(self, address: str) -> MemoryGRE:
        """
        Return the GRE port of the host at C{address}, which may be a new host.
        """
        return self.wire.ports.get(address) or MemoryGRE(self.wire, address)

    def channelsOf(self, address: str) -> GREChannels:
        """
        Give what opens the channels of the host at C{address}.
        """
        port = self.portOf(address)
        return GREChannels(lambda local: port)
