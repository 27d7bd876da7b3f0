"""
Queues on a disk, for tests. The test moves their clock, and their threads call it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from twisted.internet.task import Clock

from pptpgw.ports.queue import Queue

LIMIT = 1 << 24


class Threaded(Clock):
    """
    A reactor whose clock the test moves, and which threads call.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        self._calls.put(lambda: function(*arguments))

    def until(self, done: Callable[[], object]) -> None:
        """
        Let threads work until C{done} is true.
        """
        waited = threading.Event()
        for _ in range(1000):
            while not self._calls.empty():
                self._calls.get()()
            if done():
                return
            waited.wait(0.005)
        raise AssertionError("it never came true")


def opened(folder: Path, limit: int = LIMIT) -> Queue:
    one = Queue(CLOCK, "spool", str(folder), limit)
    one.start()
    return one


CLOCK = Threaded()


def stop(queue: Queue) -> None:
    stopped = queue.stop()
    CLOCK.until(lambda: stopped.called)
    assert CLOCK.getDelayedCalls() == []


def found(folder: Path) -> dict[int, bytes]:
    """
    The values that a start finds.
    """
    queue = Queue(CLOCK, "spool", str(folder), LIMIT)
    entries = queue.start()
    stop(queue)
    return {number: value for number, (_, value) in entries.items()}


def written(queue: Queue) -> None:
    CLOCK.until(lambda: not queue.waiting)


def put(queue: Queue, value: bytes, key: bytes = b"key") -> int:
    number = queue.put(key, value)
    assert number is not None
    return number
