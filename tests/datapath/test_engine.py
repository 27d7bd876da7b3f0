"""
Tests for L{pptpgw.datapath.engine} and L{pptpgw.datapath.threaded}, what
L{tests.tunnels.pptp.test_native} doesn't see.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from pptpgw.config.configuration import parse
from pptpgw.config.environment import Environment
from pptpgw.config.kind import NoSettings
from pptpgw.counting.counters import Counters
from pptpgw.datapath import engine, threaded
from pptpgw.datapath.engine import Engine, LiveCounters
from pptpgw.datapath.threaded import NativeDataPath
from pptpgw.error import ConfigurationError
from tests.ports.namespace import inNamespace


class Session:
    """
    A session with figures.
    """

    def __init__(self) -> None:
        self.waiting: tuple[int, ...] | None = None

    def figures(self) -> tuple[int, ...] | None:
        found, self.waiting = self.waiting, None
        return found


class TestCounters:
    def test_readingAddsWhatTheThreadCounted(self) -> None:
        counters, session = LiveCounters(), Session()
        followed: Any = session
        counters.follow(followed)
        session.waiting = (1, 2, 3, 4, 5, 6, 0, 7, 0, 0, 0, 0, 0)
        assert counters.packetsReceived == 2 and counters.octetsSent == 6
        assert counters.discards == {"not taken by the network": 7}
        counters.framesReceived += 10
        session.waiting = (1, 0, 0, 0, 0, 0, 1, 0, 1, 2, 0, 0, 0)
        assert counters.asDict()["framesReceived"] == 12
        total = Counters()
        total.add(counters)
        assert counters.discards["queue full"] == 2
        assert total.packetsSent == 5 and sum(total.discards.values()) == 11
        session.waiting = (0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        counters.follow(None)
        session.waiting = (0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        assert counters.packetsReceived == 3


def test_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    environment: Any = Environment(MemoryReactorClock(), parse("", "test"))
    with pytest.raises(ConfigurationError, match="takes no argument"):
        threaded.factory.makeDataPath("x", NoSettings(), environment)
    monkeypatch.setattr(engine, "makeThreads", None)
    with pytest.raises(ConfigurationError, match=r'isn\'t compiled; "python" is possible'):
        threaded.factory.makeDataPath("", NoSettings(), environment)
    assert NativeDataPath(environment).path == "python: the thread in C isn't compiled"


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    There are as many threads as are wished for, or one for each processor that this process may
    use.
    """
    environment: Any = Environment(MemoryReactorClock(), parse("[datapath]\nthreads = 5", "test"))
    expected = 1 if engine.lacking() else 5
    assert NativeDataPath(environment).engine.readers == expected
    for count, most in ((1, 1), (3, 3), (200, 64)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, count=count: set(range(count)))
        assert threaded.threads(0) == most
    with pytest.raises(ConfigurationError, match="threads"):
        parse("[datapath]\nthreads = 65", "test")


@pytest.mark.skipif(bool(engine.lacking()), reason="it isn't compiled")
class TestEngine:
    def test_withoutAThread(self) -> None:
        """
        Before it is open and after it was closed there is no session, and no port is read.
        """
        made = Engine()
        for _ in range(2):
            with pytest.raises(OSError, match="doesn't run"):
                made.watch((0,), None)  # type: ignore[arg-type]
            with pytest.raises(OSError, match="doesn't run"):
                made.session(0, "192.0.2.1", 1, ("192.0.2.2", 0), 2)
            made.forgetTUN()
            made.count(Counters())
            made.open()
            made.start()
            made.close()
            made.close()

    def test_ports(self) -> None:
        """
        There are places for some ports, and a place that was left is taken again.
        """
        made = Engine()
        made.open()
        made.start()
        failed: list[int] = []

        class Watcher:
            carrier = "GRE"

            def readFailed(self, error: int) -> None:
                failed.append(error)

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        watched = []
        with pytest.raises(OSError, match="no memory"):
            while True:
                watched.append(made.watch((theirs.fileno(),), Watcher()))
        assert [place for place, _ in watched] == list(range(32))
        made.forget(3)
        watched[3][1].close()
        place, left = made.watch((theirs.fileno(),), Watcher())
        assert place == 3
        left.close()
        for place, left in watched:
            made.forget(place)
            left.close()
        made.close()
        ours.close()
        theirs.close()
        assert not failed

    def test_arguments(self) -> None:
        """
        Wrong arguments of the compiled module raise exceptions.
        """
        from pptpgw.datapath import _native

        thread = _native.Engine()
        with pytest.raises(TypeError):
            _native.Session()
        for arguments in ((33, bytes(4)), (0, bytes(5)), (129, bytes(16))):
            with pytest.raises(ValueError, match="no network"):
                thread.unroute(*arguments)
        with pytest.raises(TypeError):
            thread.route(0, bytes(4), "session")  # type: ignore[arg-type]
        for wrong in (
            (99, bytes(4), 0, bytes(4), 1, 2),
            (0, bytes(3), 0, bytes(4), 1, 2),
            (0, bytes(4), 1 << 16, bytes(4), 1, 2),
            (0, bytes(4), 0, bytes(4), 1 << 16, 2),
        ):
            with pytest.raises(ValueError, match="session"):
                thread.session(*wrong)
        session = thread.session(0, bytes(4), 0, bytes(4), 1, 2)
        with pytest.raises(ValueError, match="4 octets"):
            session.frame(bytes(5), True)
        with pytest.raises(ValueError, match="network"):
            session.network(2, 1400, True, True, b"", bytes(32))
        with pytest.raises(ValueError, match="network"):
            session.network(0, 1400, True, True, b"", b"")
        with pytest.raises(ValueError, match="state"):
            session.give((0,) * 14, False, b"x", b"")
        with pytest.raises(ValueError, match="numbers"):
            session.give((0,) * 4, False, b"", b"")
        with pytest.raises(OverflowError):
            session.give((-1,) * 14, False, b"", b"")
        with pytest.raises(TypeError):
            thread.time("now")  # type: ignore[arg-type]
        session.close()
        session.close()
        with pytest.raises(ValueError, match="closed"):
            session.take()
        assert session.figures() is None
        with pytest.raises(OSError):
            thread.forget(1 << 20)
        for count in (0, 65):
            with pytest.raises(ValueError, match="64 threads"):
                _native.Engine(count)
        with pytest.raises(ValueError, match="more descriptors"):
            thread.watch(_native.GRE, (0, 0), 0)
        with pytest.raises(ValueError, match="no descriptor"):
            thread.watch(_native.GRE, (), 0)
        with pytest.raises(ValueError, match="no tunnel"):
            thread.watch(2, (0,), 0)
        with pytest.raises(TypeError):
            thread.tun(("0",), False, 0)  # type: ignore[arg-type]

    def test_precedence(self) -> None:
        """
        The threads are nicer than Python's own.
        """
        own = os.getpriority(os.PRIO_PROCESS, 0)
        before = set(os.listdir("/proc/self/task"))
        made = Engine(2)
        made.open()
        made.start()
        try:
            added = [int(one) for one in set(os.listdir("/proc/self/task")) - before]

            def nicer() -> list[int]:
                return [os.getpriority(os.PRIO_PROCESS, one) - own for one in added]

            deadline = time.monotonic() + 30
            while nicer() != [5, 5] and time.monotonic() < deadline:
                time.sleep(0.001)
            assert nicer() == [5, 5] and os.getpriority(os.PRIO_PROCESS, 0) == own
        finally:
            made.close()

    @pytest.mark.parametrize("name", ["several", "single", "taken"])
    def test_queues(self, name: str) -> None:
        inNamespace(name, module="tests.datapath.queues")

    def test_events(self) -> None:
        """
        An error that no reading reports is told to the ports.
        """
        made = Engine()
        counters = Counters()
        failed: list[int] = []

        class Thread:
            def events(self) -> list[tuple[int, int, int]]:
                return [(0, errno.EBADF, 2), (1, errno.EIO, 1), (3, errno.EIO, 1), (5, 0, 3)]

        class Watcher:
            carrier = "GRE"

            def readFailed(self, error: int) -> None:
                failed.append(error)

        thread: Any = Thread()
        made.threads = thread
        made._watchers[0] = Watcher()
        made.count(counters)
        assert failed == [errno.EBADF] and counters.discards == {
            "GRE not read: EBADF": 2,
            "L2TP not read: EIO": 1,
            "TUN not read: EIO": 1,
            "no session has the destination": 3,
        }
