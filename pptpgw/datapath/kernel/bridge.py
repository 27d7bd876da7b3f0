"""
Frames that pass from one channel to another one, where the PPP of a call doesn't end here. Between
two channels of the kernel they pass without this process, from Linux 5.11 on.

Then the kernel counts what one of the transports carries, and the other one carries the same the
other way. It doesn't tell packets of networks from control frames, so all count as packets.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.datapath.channel import NOT_SENT
from pptpgw.datapath.kernel.host import Host
from pptpgw.datapath.passage import Passages, PassOn
from pptpgw.interfaces import IChannel, IKernelTransport
from pptpgw.ports.ppp import PPPChannel
from pptpgw.timing.timer import cancelled

INTERVAL = 1.0
"""
Seconds between two readings.
"""


class BridgeFigures:
    """
    The figures, which are read until L{end}.
    """

    def __init__(
        self,
        clock: IReactorTime,
        transport: IKernelTransport,
        counters: Counters,
        others: Counters,
    ) -> None:
        """
        @param transport: the one whose figures there are.
        @param counters: those of its channel.
        @param others: those of the other channel.
        """
        self._clock = clock
        self._transport = transport
        self._counters, self._others = counters, others
        self._before = transport.figures
        self._timer: IDelayedCall | None = clock.callLater(INTERVAL, self._look)

    def end(self) -> None:
        """
        Read them a last time.
        """
        self._timer = cancelled(self._timer)
        self._read()

    def _look(self) -> None:
        self._timer = self._clock.callLater(INTERVAL, self._look)
        self._read()

    def _read(self) -> None:
        now = self._transport.figures
        if now is None or self._before is None:
            return
        frames, octets, framesSent, octetsSent = (
            new - old for new, old in zip(now, self._before, strict=True)
        )
        self._before = now
        _add(self._counters, frames, octets, framesSent, octetsSent)
        _add(self._others, framesSent, octetsSent, frames, octets)


def _add(counters: Counters, frames: int, octets: int, framesSent: int, octetsSent: int) -> None:
    counters.framesReceived += frames
    counters.packetsReceived += frames
    counters.octetsReceived += octets
    counters.framesSent += framesSent
    counters.packetsSent += framesSent
    counters.octetsSent += octetsSent


class PassingChannel:
    """
    A channel of the kernel whose frames can pass to another channel.

    @ivar counters: see L{IChannel}.
    @ivar transport: what carries the call's frames.
    """

    __slots__ = (
        "_bridged",
        "_closed",
        "_host",
        "_passages",
        "_ppp",
        "counters",
        "transport",
    )

    counters: Counters
    transport: IKernelTransport
    _closed: bool
    _host: Host
    _ppp: PPPChannel
    # None before frames pass.
    _passages: Passages | None
    # The other channel, if the kernel passes frames to it, and the figures of both.
    _bridged: tuple[PassingChannel, BridgeFigures] | None

    def passFrames(self, receive: PassOn) -> None:
        """
        See L{IChannel.passFrames}. Without a device the kernel hands every frame over.
        """
        if not self._closed:
            self._passages = Passages(self.counters, receive)

    def sendFrames(self, protocol: int, frames: Sequence[bytes]) -> None:
        """
        See L{IChannel.sendFrames}.
        """
        passage = None if self._passages is None else self._passages.get(protocol)
        if passage is None:
            return
        counters = self.counters
        for frame in frames:
            try:
                self._ppp.send(protocol, frame)
            except OSError:
                counters.discard(NOT_SENT)
                continue
            counters.framesSent += 1
            if passage.isOfNetwork:
                counters.packetsSent += 1
                counters.octetsSent += len(frame)

    def bridge(self, other: IChannel) -> None:
        """
        See L{IBridgedChannel.bridge}. The kernel must count what one of the transports carries.
        """
        if not isinstance(other, PassingChannel) or self._closed or other._closed:
            return
        counted, others = (other, self) if self.transport.figures is None else (self, other)
        if counted.transport.figures is None:
            return
        try:
            self._ppp.bridge(other.transport.channel)
        except OSError:
            # Then frames pass through this process.
            return
        figures = BridgeFigures(
            self._host.clock, counted.transport, counted.counters, others.counters
        )
        self._bridged, other._bridged = (other, figures), (self, figures)

    def unbridge(self) -> None:
        """
        See L{IBridgedChannel.unbridge}.
        """
        if self._bridged is not None:
            other, figures = self._bridged
            self._bridged = other._bridged = None
            with suppress(OSError):
                self._ppp.unbridge()
            figures.end()
