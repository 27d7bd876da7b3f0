"""
Tests for L{pptpgw.ports.poll}, with a real reactor.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.ports.poll import serveFew


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
