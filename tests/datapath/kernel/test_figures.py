"""
Tests for L{pptpgw.datapath.kernel.figures}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.datapath.kernel.figures import (
    INTERVAL,
    RECEIVE_ERROR,
    SEND_ERROR,
    Counted,
    Figures,
)
from pptpgw.ports.linkfigures import DeviceFigures, StatisticsSocket
from tests.logged import loggedLines


class Devices:
    """
    The figures that the kernel tells.
    """

    def __init__(self) -> None:
        self.figures: dict[int, DeviceFigures] = {}
        self.error: OSError | None = None
        self.open = 0

    def connect(self) -> Devices:
        self.open += 1
        return self

    def all(self) -> Iterator[list[DeviceFigures]]:
        if self.error is not None:
            raise self.error
        for one in list(self.figures.values()):
            yield [one]

    def one(self, index: int) -> DeviceFigures | None:
        if self.error is not None:
            raise self.error
        return self.figures.get(index)

    def close(self) -> None:
        self.open -= 1

    def set(self, index: int, *figures: int) -> None:
        self.figures[index] = DeviceFigures(index, *figures)


class Fixture:
    def __init__(self) -> None:
        self.clock = Clock()
        self.devices = Devices()
        connect: Any = self.devices.connect
        self.figures = Figures(self.clock, connect)
        self.counters = Counters()
        self.counted = Counted(self.counters)

    @property
    def packets(self) -> tuple[int, int, int, int]:
        one = self.counters
        return one.packetsReceived, one.packetsSent, one.octetsReceived, one.octetsSent


@pytest.fixture
def world() -> Fixture:
    return Fixture()


def test_everySecond(world: Fixture) -> None:
    """
    Figures beyond 32 bits are taken over. Frames of the unit aren't packets, but frames all the
    same.
    """
    large = 1 << 40
    world.figures.add(5, world.counted)
    world.counted.controlFrame(False, 10)
    world.counted.controlFrame(True, 20)
    world.counters.framesReceived, world.counters.framesSent = 4, 3
    world.devices.set(4, 9, 9, 9, 9, 9, 9)
    world.devices.set(5, 7, 6, large + 10, large + 20, 0, 0)
    world.clock.advance(INTERVAL)
    assert world.packets == (6, 5, large, large)
    assert (world.counters.framesReceived, world.counters.framesSent) == (10, 8)
    assert world.counters.discards == {}
    world.devices.set(5, 8, 6, large + 11, large + 20, 2, 3)
    world.clock.advance(INTERVAL)
    assert world.packets == (7, 5, large + 1, large)
    assert world.counters.framesReceived == 11
    assert world.counters.discards == {RECEIVE_ERROR: 2, SEND_ERROR: 3}


def test_lastReading(world: Fixture) -> None:
    """
    A device is read when it is about to be removed, and then no more.
    """
    world.figures.add(5, world.counted)
    world.devices.set(5, 1, 2, 3, 4, 0, 0)
    world.figures.remove(5)
    assert world.packets == (1, 2, 3, 4)
    world.devices.set(5, 9, 9, 9, 9, 0, 0)
    world.clock.advance(INTERVAL)
    assert world.packets == (1, 2, 3, 4)
    assert world.clock.getDelayedCalls() == []
    assert world.devices.open == 0, "nothing is open without devices"
    world.figures.remove(5)
    world.figures.stop()
    assert world.devices.open == 0


def test_oneReading(world: Fixture) -> None:
    """
    A device is read when somebody needs its figures now, and goes on being read.
    """
    world.figures.add(5, world.counted)
    world.devices.set(5, 1, 2, 3, 4, 0, 0)
    world.figures.read(5)
    assert world.packets == (1, 2, 3, 4)
    world.figures.read(6)
    world.devices.set(5, 5, 6, 7, 8, 0, 0)
    world.clock.advance(INTERVAL)
    assert world.packets == (5, 6, 7, 8)
    world.figures.stop()
    assert world.devices.open == 0


def test_aDeviceThatIsGone(world: Fixture) -> None:
    world.figures.add(5, world.counted)
    world.figures.remove(5)
    assert world.packets == (0, 0, 0, 0)


def test_errors(world: Fixture) -> None:
    """
    A reading that fails is logged, and repeated by other sockets.
    """
    world.figures.add(5, world.counted)
    world.devices.set(5, 1, 2, 3, 4, 0, 0)
    world.devices.error = OSError(105, "No buffer space available")
    with loggedLines() as lines:
        world.clock.advance(INTERVAL)
    assert "No buffer space" in lines[0] and world.devices.open == 0
    world.devices.error = None
    world.clock.advance(INTERVAL)
    assert world.packets == (1, 2, 3, 4)
    world.devices.error = OSError(9, "Bad file descriptor")
    with loggedLines() as lines:
        world.figures.remove(5)
    assert "Bad file descriptor" in lines[0]


def test_kernel() -> None:
    """
    This machine's loopback device is among the figures.
    """
    socket = StatisticsSocket()
    try:
        found = {one.device: one for some in socket.all() for one in some}
        assert 1 in found
        one = socket.one(1)
        assert one is not None and one.octetsSent >= found[1].octetsSent
        assert socket.one(0x7FFFFFF0) is None
    finally:
        socket.close()
