"""
GRE between a gateway and its callers in one process, with the data path in Python.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.task import Clock

from pptpgw import testing
from pptpgw.datapath.interface import ReceiveFrames, SendPacket
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import Malformed
from pptpgw.ppp.wire import ppp
from pptpgw.testing import DELAY
from pptpgw.tunnels.pptp.channel import GREChannels
from pptpgw.tunnels.pptp.wire.gre import decode

# The bit in the first octet of a GRE header that says there is a sequence number (RFC 2637).
_NUMBERED = 0x10


class Wire:
    """
    The network between all of them: GRE packets arrive L{DELAY} seconds after they were sent.

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
        self._clock = clock
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
            self._clock.callLater(harm, self._enqueue, source, destination, octets)
        else:
            self._enqueue(source, destination, octets)

    def _enqueue(self, source: str, destination: str, octets: bytes) -> None:
        if not self._queue:
            self._clock.callLater(DELAY, self._arrive)
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
    The GRE port of one address.
    """

    def __init__(self, wire: Wire, address: str) -> None:
        self.receivers: dict[tuple[str, int], ReceiveFrames] = {}
        self.address = address
        self._wire = wire
        wire.ports[address] = self

    def register(self, peerAddress: str, localCallID: int, receive: ReceiveFrames) -> None:
        self.receivers[peerAddress, localCallID] = receive

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        self.receivers.pop((peerAddress, localCallID), None)

    def sender(self, localAddress: str, peerAddress: str) -> SendPacket:
        wire = self._wire
        return lambda octets: wire.send(localAddress, peerAddress, bytes(octets))

    def sendFailed(self, error: OSError) -> None:
        raise error

    def arrived(self, address: str, octets: bytes) -> None:
        """
        Deliver a packet as L{pptpgw.tunnels.pptp.port.gre.GREPort} does.
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
    A TUN device that keeps what is written, unless there is an error.
    """

    receive: Callable[[bytes], object]

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.error: OSError | None = None
        self.write: Callable[[bytes], object] = self._write

    def _write(self, packet: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(packet)


class GREWorld(testing.World):
    """
    A gateway and callers whose packets go through GRE and the data path in Python.

    @ivar wire: what is between them.
    @ivar tun: the gateway's TUN device.
    """

    def makeDataPath(self) -> Any:
        self.wire = Wire(self.clock)
        self.tun = MemoryTUN()
        return PythonDataPath(self.clock, self.tun)

    def makeCallersDataPath(self) -> Any:
        return PythonDataPath(self.clock)

    def channelsOf(self, address: str) -> GREChannels:
        port = self.wire.ports.get(address) or MemoryGRE(self.wire, address)
        return GREChannels(lambda local: port)
