"""
Tests for L{pptpgw.tunnels.hdlc.dialler}: calls are passed on over lines.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from pptpgw.error import CallError
from pptpgw.interfaces import Forward, ICall, IDiallingCall, Negotiated
from pptpgw.testing import resultOf
from pptpgw.tunnels.hdlc.dialler import Dialler
from tests.tunnels.l2tp.joined import CallOwner

LINE = Forward("hdlc", "serial:/dev/ttyS9:115200")


class Caller:
    """
    A call whose caller asks for a number.
    """

    def __init__(self, number: str) -> None:
        self.number = number
        alsoProvides(self, IDiallingCall)


class World:
    """
    A dialler with one line.

    @ivar described: the strings that described lines.
    @ivar connecting: fires when the line is open.
    """

    def __init__(self, chat: str = "") -> None:
        self.clock = Clock()
        self.described: list[str] = []
        self.connecting: Deferred[Any] = Deferred()
        self.transport: Any = StringTransport()
        self.owner = CallOwner()
        self.dialler = Dialler(self.clock, chat, 0, self._open)
        self._factory: Any = None

    def _open(self, reactor: object, description: str) -> Any:
        self.described.append(description)
        return self

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        self._factory = factory
        return self.connecting

    def opened(self) -> Any:
        """
        Open the line.
        """
        protocol: Any = self._factory.buildProtocol(None)
        protocol.makeConnection(self.transport)
        self.connecting.callback(protocol)
        return protocol

    def place(self, number: str = "") -> Deferred[ICall]:
        caller: Any = Caller(number)
        return self.dialler.place(LINE, Negotiated(), caller, self.owner)


def test_aLine() -> None:
    """
    A call begins when the line is open, and ends with the line.
    """
    world = World()
    placed = world.place("555")
    assert world.described == ["serial:/dev/ttyS9:115200"] and not placed.called
    protocol = world.opened()
    call: Any = resultOf(placed)
    assert call.tunnel.name == "hdlc"
    protocol.connectionLost(Failure(ConnectionRefusedError()))
    assert len(world.owner.heard) == 1
    world.dialler.stop()


def test_dialled() -> None:
    """
    A modem is told to dial the number that the caller asks for, and PPP begins when it says that it
    is connected.
    """
    world = World(r"ABORT BUSY '' 'ATDT\T' CONNECT")
    placed = world.place("+49.30")
    protocol = world.opened()
    assert world.transport.value() == b"ATDT+49.30\r" and not placed.called
    protocol.dataReceived(b"CONNECT 33600\r\n")
    resultOf(placed)
    busy = World(r"ABORT BUSY '' 'ATDT\T' CONNECT")
    placed = busy.place("1")
    busy.opened().dataReceived(b"BUSY\r\n")
    with pytest.raises(CallError, match="BUSY"):
        resultOf(placed)


@pytest.mark.parametrize("number", ["555;ATZ", "1\r", "5 5", "A" * 65])
def test_noNumber(number: str) -> None:
    """
    What a modem might take for a command is never dialled.
    """
    world = World()
    with pytest.raises(CallError, match="is no telephone number"):
        world.place(number)
    assert world.described == []


def test_fails() -> None:
    world = World()
    placed = world.place()
    world.connecting.errback(OSError(5, "Input/output error"))
    with pytest.raises(CallError, match="Input/output error"):
        resultOf(placed)


def test_noLine() -> None:
    """
    An endpoint that is no description of a line costs only the call.
    """
    dialler = Dialler(Clock(), "", 0)
    nobody: Any = Caller("")
    for endpoint in ("192.0.2.9", "tcp:x"):
        with pytest.raises(CallError, match="describes no line"):
            dialler.place(Forward("hdlc", endpoint), Negotiated(), nobody, CallOwner())


def test_cancelled() -> None:
    """
    A call that is given up leaves the line alone, before and after it is open.
    """
    world = World()
    placed = world.place()
    placed.cancel()
    with pytest.raises(CancelledError):
        resultOf(placed)
    assert isinstance(world.connecting.result, Failure) or world.connecting.called
