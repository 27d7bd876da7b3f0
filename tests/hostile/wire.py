"""
The kernel behind a gateway in memory.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from pptpgw.testing import MemoryTUN


class Kernel(MemoryTUN):
    """
    A TUN device with a kernel that forwards packets from one caller to another.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(keep=1000)
        self._clock = clock

    def _write(self, packet: bytes) -> None:
        super()._write(packet)
        self._clock.callLater(0, self.receive, packet)
