"""
A TAP device for tests of networks.
"""

from __future__ import annotations

from pptpgw.testing import MemoryTUN


class MemoryTAP(MemoryTUN):
    """
    A TAP device, whose kernel the test plays.

    @ivar states: C{"started"} and C{"stopped"}, in order.
    """

    fault = ""

    def __init__(self, address: bytes = bytes(6), keep: int | None = None) -> None:
        """
        @param address: the address of the kernel's interface.
        """
        super().__init__(keep)
        self.address = address
        self.states: list[str] = []
        self.receive = self._write

    def lacking(self) -> list[str]:
        return []

    def start(self) -> None:
        self.states.append("started")

    def stop(self) -> None:
        self.states.append("stopped")
