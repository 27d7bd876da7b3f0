"""
The kernel behind a gateway in memory, and a TAP device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.task import Clock


class Kernel:
    """
    A TUN device with a kernel that forwards packets from one caller to another.

    @ivar written: the packets that the kernel received.
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
    A TAP device with no other host behind it.

    @ivar written: the frames that the device received.
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
