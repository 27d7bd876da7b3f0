"""
The counters of the calls that the kernel carries, which are read from their devices every second.

The kernel counts control frames of the unit like packets; those are subtracted. A packet that the
filter of its device drops is counted as received.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.counting.counters import Counters
from pptpgw.log import Logger
from pptpgw.ports.linkfigures import DeviceFigures, StatisticsSocket
from pptpgw.timing.slices import inSlices
from pptpgw.timing.timer import cancelled

INTERVAL = 1.0
"""
Seconds between two readings.
"""

RECEIVE_ERROR = "the kernel refused it on reception"
SEND_ERROR = "the kernel refused to send it"


class Reader(Protocol):
    """
    The interface of L{StatisticsSocket}.
    """

    def all(self) -> Iterator[list[DeviceFigures]]:
        """
        See L{StatisticsSocket.all}.
        """

    def one(self, index: int) -> DeviceFigures | None:
        """
        See L{StatisticsSocket.one}.
        """

    def close(self) -> None:
        """
        See L{StatisticsSocket.close}.
        """


class Counted:
    """
    The counters of one call, and what its device has counted so far.

    @ivar frames: how many control frames have passed by the device, received and sent.
    @ivar octets: how many octets these have, received and sent.
    """

    __slots__ = ("_counters", "frames", "octets")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.frames = [0, 0]
        self.octets = [0, 0]

    def controlFrame(self, isSent: bool, size: int) -> None:
        """
        Note a control frame that passed by the device, with an information field of C{size} octets.
        """
        self.frames[isSent] += 1
        self.octets[isSent] += size

    def update(self, figures: DeviceFigures) -> None:
        """
        Set the counters to what the device has counted.
        """
        counters = self._counters
        received = max(0, figures.packetsReceived - self.frames[0])
        sent = max(0, figures.packetsSent - self.frames[1])
        counters.framesReceived += received - counters.packetsReceived
        counters.framesSent += sent - counters.packetsSent
        counters.packetsReceived, counters.packetsSent = received, sent
        counters.octetsReceived = max(0, figures.octetsReceived - self.octets[0])
        counters.octetsSent = max(0, figures.octetsSent - self.octets[1])
        for reason, count in (
            (RECEIVE_ERROR, figures.receiveErrors),
            (SEND_ERROR, figures.sendErrors),
        ):
            if count:
                counters.discards[reason] = count


class Figures:
    """
    The reading of the devices of all calls.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, connect: type[Reader] = StatisticsSocket) -> None:
        self._clock = clock
        self._connect = connect
        # The first reads them all, in slices; the second one at a time, also between slices.
        self._sockets: tuple[Reader, Reader] | None = None
        self._reading: Deferred[None] | None = None
        self._devices: dict[int, Counted] = {}
        self._timer: IDelayedCall | None = None

    def add(self, index: int, counted: Counted) -> None:
        """
        Read the device with the number C{index} from now on.
        """
        self._devices[index] = counted
        if self._timer is None and self._reading is None:
            self._timer = self._clock.callLater(INTERVAL, self._read)

    def remove(self, index: int) -> None:
        """
        Read the device a last time, since it is about to be removed.
        """
        self.read(index)
        self._devices.pop(index, None)
        self._rest()

    def read(self, index: int) -> None:
        """
        Read the device with the number C{index} now.
        """
        counted = self._devices.get(index)
        if counted is not None:
            try:
                figures = self._opened()[1].one(index)
            except OSError as error:
                self._log.error("a device can't be read: {error}", error=str(error))
            else:
                if figures is not None:
                    counted.update(figures)

    def stop(self) -> None:
        """
        Read no more.
        """
        self._timer = cancelled(self._timer)
        if self._reading is not None:
            self._reading.cancel()
        self._close()

    def _close(self) -> None:
        sockets, self._sockets = self._sockets, None
        for one in sockets or ():
            one.close()

    def _opened(self) -> tuple[Reader, Reader]:
        if self._sockets is None:
            self._sockets = self._connect(), self._connect()
        return self._sockets

    def _read(self) -> None:
        self._timer = None
        self._reading = inSlices(self._clock, self._steps())
        self._reading.addCallbacks(self._again, self._failed)

    def _again(self, _: object) -> None:
        self._reading = None
        if self._devices:
            self._timer = self._clock.callLater(INTERVAL, self._read)
        self._rest()

    def _rest(self) -> None:
        """
        Close the sockets if there is nothing to read.
        """
        if not self._devices and self._reading is None:
            self._timer = cancelled(self._timer)
            self._close()

    def _failed(self, failure: Failure) -> None:
        self._reading = None
        if failure.check(CancelledError) is None:
            self._log.error("devices can't be read: {why}", why=failure.getErrorMessage())
            # A reading that was broken off leaves answers unread.
            self._close()
            self._again(None)

    def _steps(self) -> Iterator[None]:
        for some in self._opened()[0].all():
            for figures in some:
                counted = self._devices.get(figures.device)
                if counted is not None:
                    counted.update(figures)
            yield
