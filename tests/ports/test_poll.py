"""
Tests for L{pptpgw.ports.poll}, with a real reactor.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.ports.poll import acceptFew, serveFew, serveFirst


@implementer(IReadDescriptor)
class Reader:
    """
    A socket with something to read.
    """

    def __init__(self, served: list[int]) -> None:
        self.here, there = socket.socketpair()
        there.send(b"!")
        there.close()
        self._served = served

    def fileno(self) -> int:
        return self.here.fileno()

    def logPrefix(self) -> str:
        return "reader"

    def connectionLost(self, reason: Failure) -> None:
        raise AssertionError("nobody closed it")

    def doRead(self) -> None:
        self.here.recv(1)
        self._served.append(self.fileno())


def test_fewInOneTurn() -> None:
    """
    Each of many readers is served, a few in each turn, and none twice before all were served once.
    """
    reactor: Any = EPollReactor()
    serveFew(reactor, 4)
    serveFew(reactor, 4)
    served: list[int] = []
    readers = [Reader(served) for _ in range(40)]
    for reader in readers:
        reactor.addReader(reader)
    for turn in range(1, 11):
        reactor.doIteration(0)
        assert len(served) <= 4 * turn
    for _ in range(5):
        reactor.doIteration(0)
    assert {reader.fileno() for reader in readers} <= set(served)
    for reader in readers:
        reactor.removeReader(reader)
        reader.here.close()


def test_anotherReactor() -> None:
    """
    A reactor without such a poller isn't changed.
    """
    serveFew(Clock())
    serveFirst(Clock(), Reader([]))


def test_first() -> None:
    """
    A reader that is served first is served in each turn, once, however many others are ready.
    """
    reactor: Any = EPollReactor()
    serveFew(reactor, 4)
    served: list[int] = []
    first, *readers = [Reader(served) for _ in range(41)]
    closed = Reader(served)
    closed.here.close()
    for reader in readers:
        reactor.addReader(reader)
    for one in (first, closed):
        serveFirst(reactor, one)
    reactor.addReader(first)
    for turn in range(1, 11):
        reactor.doIteration(0)
        assert served.count(first.fileno()) == turn
        assert len(served) <= 5 * turn
    while not {reader.fileno() for reader in readers} <= set(served):
        reactor.doIteration(0)
        turn += 1
        assert turn < 20
    reactor.removeReader(first)
    served.clear()
    reactor.doIteration(0)
    assert first.fileno() not in served
    for reader in readers:
        reactor.removeReader(reader)
        reader.here.close()
    first.here.close()


def test_firstAlone() -> None:
    """
    A reader that is served first is served once in a turn in which nothing else is ready.
    """
    reactor: Any = EPollReactor()
    serveFew(reactor, 1)
    served: list[int] = []
    first = Reader(served)
    reactor.addReader(first)
    serveFirst(reactor, first)
    reactor.doIteration(0)
    assert served == [first.fileno()]
    reactor.removeReader(first)
    first.here.close()


def test_aFirstReaderThatFails() -> None:
    """
    A reader that is served first and raises is given up and told, as any other one.
    """

    class Failing(Reader):
        lost: Failure | None = None

        def doRead(self) -> None:
            raise ValueError("broken")

        def connectionLost(self, reason: Failure) -> None:
            self.lost = reason

    reactor: Any = EPollReactor()
    serveFew(reactor)
    served: list[int] = []
    failing, other = Failing(served), Reader(served)
    for reader in (failing, other):
        reactor.addReader(reader)
        serveFirst(reactor, reader)
    for turn in range(1, 3):
        reactor.doIteration(0)
        assert served == [other.fileno()] * turn
    assert failing.lost is not None and failing.lost.check(ValueError)
    reactor.removeReader(other)
    for reader in (failing, other):
        reader.here.close()


def test_accepting() -> None:
    """
    A TCP port accepts few connections in one turn, even if more are waiting each time. Other ports
    stay as they are.
    """
    reactor: Any = EPollReactor()
    factory: Any = Factory()
    factory.noisy = False
    made: list[object] = []
    factory.buildProtocol = made.append
    port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
    acceptFew(port, 3)
    here = port.getHost()
    waiting = [socket.create_connection((here.host, here.port)) for _ in range(20)]
    for turn in range(1, 8):
        reactor.doIteration(1)
        assert len(made) == min(3 * turn, 20)
    for one in waiting:
        one.close()
    port.connectionLost(Failure(ConnectionDone()))
    other: Any = object()
    acceptFew(other)
