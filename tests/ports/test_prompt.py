"""
Tests for L{pptpgw.ports.prompt}.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet import reactor as theReactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Port

from pptpgw.ports.prompt import PromptServer, sendAtOnce


class Reactor:
    """
    A reactor that notes who wants to write.
    """

    def __init__(self) -> None:
        self.writers: set[object] = set()
        self.addWriter = self.writers.add
        self.removeWriter = self.writers.discard

    def addReader(self, reader: object) -> None:
        """
        Do nothing.
        """

    removeReader = addReader


class Connected:
    """
    A server's end of a TCP connection, and the socket at the other end.
    """

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.peer = socket.create_connection(listening.getsockname())
            own, address = listening.accept()
        self.peer.settimeout(5)
        own.setblocking(False)
        self.reactor = Reactor()
        protocol = Protocol()
        port: Any = None
        reactor: Any = self.reactor
        self.transport = PromptServer(own, protocol, address, port, 0, reactor)
        protocol.makeConnection(self.transport)

    def close(self) -> None:
        """
        Close both ends.
        """
        self.peer.close()
        self.transport.socket.close()


@pytest.fixture
def connected() -> Iterator[Connected]:
    """
    A connection.
    """
    connected = Connected()
    yield connected
    connected.close()


def test_atOnce(connected: Connected) -> None:
    """
    What fits into the socket is sent when it is written, and the reactor isn't asked.
    """
    connected.transport.write(b"one")
    connected.transport.write(b"")
    assert connected.peer.recv(100) == b"one"
    assert not connected.reactor.writers


def test_rest(connected: Connected) -> None:
    """
    What doesn't fit is sent by and by, and what is written after it stays behind it.
    """
    octets = bytes(range(256)) * 40_000
    transport: Any = connected.transport
    connected.peer.settimeout(0.1)
    connected.transport.write(octets)
    assert connected.reactor.writers == {connected.transport}
    connected.transport.write(b"behind")
    received = bytearray()
    while len(received) < len(octets) + len(b"behind"):
        if connected.reactor.writers:
            assert transport.doWrite() is None
        # The kernel may wait for an acknowledgement before it takes more.
        with suppress(TimeoutError):
            received += connected.peer.recv(1 << 20)
    assert not connected.reactor.writers
    assert bytes(received) == octets + b"behind"
    connected.transport.write(b"again")
    assert connected.peer.recv(100) == b"again"


def test_failure(connected: Connected) -> None:
    """
    A failure is found when the reactor has the connection write, as ever.
    """
    transport: Any = connected.transport
    transport.socket.shutdown(socket.SHUT_WR)
    transport.write(b"one")
    assert connected.reactor.writers == {transport}
    assert transport.doWrite() is not None


def test_closing(connected: Connected) -> None:
    """
    Nothing is sent any more on a connection that is closed.
    """
    connected.transport.connected = False
    connected.transport.write(b"one")
    connected.transport.socket.shutdown(socket.SHUT_WR)
    assert connected.peer.recv(100) == b""
    assert not connected.reactor.writers


def test_lastWords(connected: Connected) -> None:
    """
    What is written after the connection was told to close is sent by the reactor, which closes it.
    """
    transport: Any = connected.transport
    transport.loseConnection()
    transport.write(b"last")
    assert connected.reactor.writers == {transport}
    assert transport.doWrite() is not None
    assert connected.peer.recv(100) == b"last"


def test_ports() -> None:
    """
    A TCP port makes such connections; other ports stay as they are.
    """
    port: Any = Port(0, Factory(), reactor=theReactor)
    sendAtOnce(port)
    assert port.transport is PromptServer
    other: Any = object()
    sendAtOnce(other)
