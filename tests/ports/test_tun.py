"""
Tests for L{pptpgw.ports.tun}, with a device in memory. test_gre uses the real one.
"""

from __future__ import annotations

import errno
import os
from typing import cast

import pytest
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure

from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import DeliverPacket
from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.ports.tun import BATCH, DEVICE, RealDeviceSystem, TUNPort, fastest


class MemorySystem:
    """
    A TUN device that reads from a list and records what is written.
    """

    def __init__(self) -> None:
        self.arrived: list[bytes | OSError] = []
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
        assert (descriptor, request) == (55, 0x400454CA)
        if self.ioctlError is not None:
            raise self.ioctlError
        # IFF_TUN and IFF_NO_PI.
        assert argument[16:18] == b"\x01\x10"
        return argument[:16].replace(b"%d", b"7\x00") + argument[16:]

    def dup2(self, descriptor: int, other: int, inheritable: bool) -> int:
        raise AssertionError("the real one is met in a namespace")

    def read(self, descriptor: int, size: int) -> bytes:
        assert descriptor == 55
        if not self.arrived:
            raise BlockingIOError
        first = self.arrived.pop(0)
        if isinstance(first, OSError):
            raise first
        return first[:size]

    def writer(self, descriptor: int) -> DeliverPacket:
        assert descriptor == 55
        return self.written.append

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
        path.port.receive = lambda packet: path.port.stop()
        path.system.arrived += [b"one", b"two"]
        path.port.doRead()
        assert path.system.arrived == [b"two"]

    def test_writes(self, path: Fixture) -> None:
        path.port.write(b"packet")
        assert path.system.written == [b"packet"]

    def test_writesWhileClosed(self, path: Fixture) -> None:
        path.port.stop()
        with pytest.raises(OSError):
            path.port.write(b"packet")
        with pytest.raises(OSError):
            Fixture().port.write(b"packet")

    @pytest.mark.parametrize("system", {RealDeviceSystem, fastest})
    def test_writer(self, system: type[RealDeviceSystem]) -> None:
        """
        Packets are written by the machine's own writer over a pipe, in Python and in C where that
        is built.
        """
        far, near = os.pipe()
        write = system().writer(near)
        write(b"packet")
        assert os.read(far, 100) == b"packet"
        os.close(near)
        with pytest.raises(OSError):
            write(b"packet")
        with pytest.raises(TypeError):
            write(cast(bytes, "packet"))
        os.close(far)

    def test_nobodyReceives(self) -> None:
        system = MemorySystem()
        counters = Counters()
        port = TUNPort(cast(IReactorFDSet, Fixture()), "pptp0", counters, system=system)
        port.startReading()
        system.arrived += [b"packet"]
        port.doRead()
        assert counters.discards == {"no network is served": 1}
