"""
Tests for L{pptpgw.ports.tun}, with a device in memory. test_gre uses the real one.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import cast

import pytest
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure

from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import DeliverAll, DeliverPacket
from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.ports.devicesystem import BATCH, ReadPackets
from pptpgw.ports.tun import DEVICE, MALFORMED, TUNPort


class MemorySystem:
    """
    A TUN device that reads from a list and records what is written.
    """

    offload = True

    def __init__(self) -> None:
        self.arrived: list[bytes | OSError] = []
        self.malformed = 0
        self.hasOffload = True
        self.refused = 0
        self.offloads: list[int] = []
        self.asked: list[int] = []
        self.written: list[bytes] = []
        self.openError: OSError | None = None
        self.ioctlError: OSError | None = None
        self.isOpen = False

    def open(self, path: str, flags: int) -> int:
        assert path == DEVICE
        if self.openError is not None:
            raise self.openError
        self.isOpen = True
        return 55

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        assert descriptor == 55
        if request == 0x400454D8:
            assert argument == (10).to_bytes(4, sys.byteorder)
            return argument
        assert request == 0x400454CA
        flags = int.from_bytes(argument[16:18], sys.byteorder)
        self.asked.append(flags)
        if self.ioctlError is not None:
            raise self.ioctlError
        if flags & 0x4000 and not self.hasOffload:
            raise OSError(errno.EINVAL, "an unknown flag")
        # IFF_TUN and IFF_NO_PI.
        assert flags & ~0x4000 == 0x1001
        return argument[:16].replace(b"%d", b"7\x00") + argument[16:]

    def dup2(self, descriptor: int, other: int, inheritable: bool) -> int:
        raise AssertionError("the real one is met in a namespace")

    def setOffload(self, descriptor: int, flags: int) -> None:
        assert descriptor == 55
        if flags & self.refused:
            raise OSError(errno.EINVAL, "an unknown flag")
        self.offloads.append(flags)

    def reader(self, descriptor: int, offload: bool) -> ReadPackets:
        assert (descriptor, offload) == (55, self.hasOffload)
        return self.read

    def read(self) -> tuple[list[bytes], int]:
        packets: list[bytes] = []
        while self.arrived and len(packets) < BATCH:
            if isinstance(first := self.arrived.pop(0), OSError):
                raise first
            packets.append(first)
        malformed, self.malformed = self.malformed, 0
        return packets, malformed

    def writer(self, descriptor: int, offload: bool) -> DeliverPacket:
        assert (descriptor, offload) == (55, self.hasOffload)
        return self.written.append

    def allWriter(self, descriptor: int, offload: bool) -> DeliverAll:
        assert (descriptor, offload) == (55, self.hasOffload)

        def writeAll(packets: Sequence[bytes]) -> int:
            self.written += packets
            return 0

        return writeAll

    def close(self, descriptor: int) -> None:
        assert self.isOpen
        self.isOpen = False


class Fixture:
    """
    A port with a device in memory.
    """

    def __init__(self, name: str = "pptp%d") -> None:
        self.readers: list[object] = []
        self.system = MemorySystem()
        self.counters = Counters()
        self.received: list[bytes] = []
        self.port = TUNPort(
            cast(IReactorFDSet, self), name, self.counters, self.received.append, self.system
        )

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        # Like a reactor's, this ignores a reader that isn't there.
        self.readers[:] = [other for other in self.readers if other is not reader]


@pytest.fixture
def path() -> Fixture:
    opened = Fixture()
    opened.port.startReading()
    return opened


class TestLife:
    """
    Tests for opening and closing.
    """

    def test_opensAndCloses(self, path: Fixture) -> None:
        assert path.port.name == "pptp7"
        assert path.port.fileno() == 55
        assert path.readers == [path.port]
        path.port.stop()
        path.port.stop()
        assert not path.system.isOpen
        assert path.readers == []
        assert path.port.fileno() == -1

    def test_connectionLost(self, path: Fixture) -> None:
        path.port.connectionLost(Failure(Exception("the device was deleted")))
        assert path.readers == []
        # Sessions still write to the device's descriptor.
        assert path.system.isOpen
        path.port.stop()
        assert not path.system.isOpen

    @pytest.mark.parametrize("name", ["", "a" * 16, "a/b", "a b", "ü" * 8])
    def test_name(self, name: str) -> None:
        with pytest.raises(ConfigurationError):
            Fixture(name)

    def test_noDevice(self) -> None:
        path = Fixture()
        path.system.openError = FileNotFoundError(errno.ENOENT, "No such file or directory")
        with pytest.raises(NotPermitted, match="module tun"):
            path.port.startReading()

    @pytest.mark.parametrize(
        ("code", "error", "text"),
        [
            (errno.EPERM, NotPermitted, "CAP_NET_ADMIN"),
            (errno.EBUSY, ConfigurationError, "another program"),
            (errno.EINVAL, ConfigurationError, "another kind of device"),
        ],
    )
    def test_refused(self, code: int, error: type[Exception], text: str) -> None:
        path = Fixture()
        path.system.ioctlError = OSError(code, "no")
        with pytest.raises(error, match=text):
            path.port.startReading()
        assert not path.system.isOpen
        assert path.readers == []


class TestOffload:
    """
    Tests for asking the kernel for offload.
    """

    @pytest.mark.parametrize(
        ("refused", "offloads"), [(0, [0x6F]), (0x60, [0x0F]), (0x01, [0]), (0x08, [0])]
    )
    def test_whatTheKernelHas(self, refused: int, offloads: list[int]) -> None:
        path = Fixture()
        path.system.refused = refused
        path.port.startReading()
        assert path.system.asked == [0x5001]
        assert path.system.offloads == offloads
        # The device may stay, for a program that knows nothing of offload.
        path.port.stop()
        assert path.system.offloads == [*offloads, 0]

    def test_without(self) -> None:
        path = Fixture()
        path.system.hasOffload = False
        path.port.startReading()
        assert path.system.asked == [0x5001, 0x1001]
        path.port.stop()
        assert path.system.offloads == []


class TestPackets:
    """
    Tests for packets in both directions.
    """

    def test_reads(self, path: Fixture) -> None:
        path.system.arrived += [b"one", b"two"]
        path.port.doRead()
        assert path.received == [b"one", b"two"]

    def test_noMoreThanABatch(self, path: Fixture) -> None:
        path.system.arrived += [b"x"] * (BATCH + 1)
        path.port.doRead()
        assert len(path.received) == BATCH
        path.port.doRead()
        assert len(path.received) == BATCH + 1

    def test_errors(self, path: Fixture) -> None:
        path.system.arrived += [OSError(errno.EIO, "down"), b"one"]
        path.port.doRead()
        path.port.doRead()
        assert path.received == [b"one"]
        assert path.counters.discards == {"TUN not read: EIO": 1}

    def test_aReceiverThatFails(self, path: Fixture, loggedFailures: list[Failure]) -> None:
        def fail(packet: bytes) -> None:
            path.received.append(packet)
            raise ZeroDivisionError

        path.port.receive = fail
        path.system.arrived += [b"one", b"two"]
        path.port.doRead()
        assert path.received == [b"one", b"two"]
        assert [failure.type for failure in loggedFailures] == [ZeroDivisionError] * 2
        loggedFailures.clear()

    def test_closedWhileReading(self, path: Fixture) -> None:
        def receive(packet: bytes) -> None:
            path.received.append(packet)
            path.port.stop()

        path.port.receive = receive
        path.system.arrived += [b"one", b"two"]
        path.port.doRead()
        assert path.received == [b"one"]

    def test_severalBatches(self, path: Fixture) -> None:
        """
        What reads several batches at once gets them in one list, also those before an error.
        """
        lists: list[list[bytes]] = []
        path.port.receiveAll = lists.append
        path.port.batches = 2
        path.system.arrived += [b"x"] * (2 * BATCH + 1)
        path.port.doRead()
        path.port.doRead()
        path.system.arrived += [*[b"x"] * BATCH, OSError(errno.EIO, "down")]
        path.port.doRead()
        assert list(map(len, lists)) == [2 * BATCH, 1, BATCH]
        assert path.counters.discards == {"TUN not read: EIO": 1}

    def test_allAtOnce(self, path: Fixture, loggedFailures: list[Failure]) -> None:
        batches: list[list[bytes]] = []

        def receiveAll(packets: list[bytes]) -> None:
            batches.append(packets)
            raise ZeroDivisionError

        path.port.receiveAll = receiveAll
        path.system.arrived += [b"one", b"two"]
        path.port.doRead()
        path.port.doRead()
        assert (batches, path.received) == ([[b"one", b"two"]], [])
        assert [failure.type for failure in loggedFailures] == [ZeroDivisionError]
        loggedFailures.clear()

    def test_malformed(self, path: Fixture) -> None:
        path.system.malformed = 2
        path.port.doRead()
        assert path.counters.discards == {MALFORMED: 2}

    def test_writes(self, path: Fixture) -> None:
        path.port.write(b"packet")
        assert path.port.writeAll([b"one", b"two"]) == 0
        assert path.system.written == [b"packet", b"one", b"two"]

    def test_writesWhileClosed(self, path: Fixture) -> None:
        path.port.stop()
        for port in (path.port, Fixture().port):
            with pytest.raises(OSError):
                port.write(b"packet")
            assert port.writeAll([b"one", b"two"]) == 2

    def test_nobodyReceives(self) -> None:
        system = MemorySystem()
        counters = Counters()
        port = TUNPort(cast(IReactorFDSet, Fixture()), "pptp0", counters, system=system)
        port.startReading()
        system.arrived += [b"packet"]
        port.doRead()
        assert counters.discards == {"no network is served": 1}
