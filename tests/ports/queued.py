"""
A queue in memory in place of one on a disk.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from pptpgw.ports.queue import Queue
from pptpgw.ports.queuefile import Entry

LIMIT = 1 << 20


class MemoryQueue(Queue):
    """
    A queue in place of one on a disk. Another run finds its entries.

    @ivar entries: the entries that aren't settled.
    @ivar held: the numbers of the entries that aren't on the disk yet.
    @ivar written: the function that is called when the disk has taken changes.
    @ivar stopped: how often the queue was closed.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        super().__init__(None, "spool", "", limit)
        self.entries: dict[int, Entry] = {}
        self.held: set[int] = set()
        self.stopped = 0

    @property
    def isDurable(self) -> bool:
        return True

    def start(self, written: Callable[[], object] = lambda: None) -> dict[int, Entry]:
        self.written = written
        return dict(self.entries)

    def put(self, key: bytes, value: bytes) -> int | None:
        number = super().put(key, value)
        if number is not None:
            self.entries[number] = key, value
        return number

    def settle(self, number: int) -> None:
        super().settle(number)
        del self.entries[number]

    def isKept(self, number: int) -> bool:
        return number not in self.held

    def stop(self) -> Deferred[None]:
        self.stopped += 1
        return super().stop()
