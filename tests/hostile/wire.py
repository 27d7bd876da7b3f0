"""
The network between a gateway in memory and its callers, and the kernel behind the gateway.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from random import Random

from twisted.internet.task import Clock

from pptpgw.datapath.edges import Receive, Send
from pptpgw.error import Malformed
from pptpgw.ppp.wire import ppp
from pptpgw.tunnels.pptp.wire.gre import decode

# The bit in the first octet of a GRE header that says there is a sequence number (RFC 2637).
_NUMBERED = 0x10
DELAY = 0.001
"""
The seconds that a packet takes.
"""


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
        self.receivers: dict[tuple[str, int], Receive] = {}
        self.address = address
        self._wire = wire
        wire.ports[address] = self

    def register(self, peerAddress: str, localCallID: int, receive: Receive) -> None:
        self.receivers[peerAddress, localCallID] = receive

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        self.receivers.pop((peerAddress, localCallID), None)

    def sender(self, localAddress: str, peerAddress: str) -> Send:
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


class Kernel:
    """
    A TUN device with a kernel that forwards packets from one caller to another.

    @ivar written: the packets that came to the kernel.
    """

    receive: Callable[[bytes], object]

    def __init__(self, clock: Clock) -> None:
        self.written: deque[bytes] = deque(maxlen=1000)
        self.write: Callable[[bytes], object] = self._write
        self._clock = clock

    def _write(self, packet: bytes) -> None:
        self.written.append(packet)
        self._clock.callLater(0, self.receive, packet)


class Device:
    """
    A TAP device with nobody else behind it.

    @ivar written: the frames that came to the device.
    """

    receive: Callable[[bytes], object]

    fault = ""

    def __init__(self) -> None:
        self.written: deque[bytes] = deque(maxlen=1000)
        self.write: Callable[[bytes], object] = self.written.append

    def lacking(self) -> list[str]:
        return []

    def start(self) -> None: ...

    def stop(self) -> None: ...
