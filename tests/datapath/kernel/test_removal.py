"""
Tests for L{pptpgw.datapath.kernel.removal}.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Any

from twisted.internet.task import Clock

from pptpgw.datapath.kernel.removal import BATCH, LEAVING, Removal
from pptpgw.ports.rtnetlink import removeGroup, setLink


class Kernel:
    """
    A socket for requests to the kernel.
    """

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []
        self.error: OSError | None = None
        self.closed = Event()

    def ask(self, requests: Sequence[bytes]) -> list[int]:
        self.asked.append([*requests])
        if self.error is not None:
            raise self.error
        return [0] * len(requests)

    def close(self) -> None:
        self.closed.set()


class Fixture:
    """
    A thread that is busy until L{release}.
    """

    def __init__(self) -> None:
        self.kernel = Kernel()
        kernel: Any = self.kernel
        self.removal = Removal(kernel)
        self.closed: list[int] = []
        self._busy, self._released = Event(), Event()
        self.removal.put(0, (self._busy.set, self._released.wait))
        assert self._busy.wait(10)

    def put(self, index: int) -> None:
        self.removal.put(index, (lambda: self.closed.append(index),) * 2)

    def release(self) -> None:
        """
        Have everything done.
        """
        self.removal.stop(Clock())
        self._released.set()
        assert self.kernel.closed.wait(10)


def leaving(*indexes: int) -> list[bytes]:
    """
    Return the requests by which devices are removed together.
    """
    return [*(setLink(index, group=LEAVING) for index in indexes), removeGroup(LEAVING)]


def test_batches() -> None:
    """
    Devices whose calls end while others are removed are removed together, as many as may be at
    once, and then the files of each call are closed.
    """
    fixture = Fixture()
    count = BATCH + 2
    for index in range(1, count + 1):
        fixture.put(index)
    fixture.release()
    assert fixture.kernel.asked == [
        leaving(*range(1, BATCH + 1)),
        leaving(BATCH + 1, BATCH + 2),
    ]
    assert fixture.closed == [one for one in range(1, count + 1) for _ in range(2)]


def test_one() -> None:
    """
    A single device is removed by closing its file, and a call without one has only files.
    """
    fixture = Fixture()
    fixture.put(0)
    fixture.put(7)
    fixture.release()
    assert fixture.kernel.asked == [] and fixture.closed == [0, 0, 7, 7]


def test_theKernelRefuses() -> None:
    """
    The files are closed all the same, which removes the devices.
    """
    fixture = Fixture()
    fixture.kernel.error = OSError(105, "No buffer space available")
    fixture.put(1)
    fixture.put(2)
    fixture.release()
    assert fixture.closed == [1, 1, 2, 2]


def test_afterTheEnd() -> None:
    """
    Files of a call that ends after L{Removal.stop} are closed at once.
    """
    fixture = Fixture()
    fixture.release()
    fixture.put(3)
    assert fixture.closed == [3, 3]
