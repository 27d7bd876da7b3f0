"""
Tests for L{pptpgw.tunnels.pptp.client}: cancelling and time-outs leave nothing behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.error import CallError, Exhausted
from pptpgw.interfaces import ICall, IChannelOwner
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.testing import MemoryChannel, MemoryDataPath, MemoryNetwork
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.client import ClientConnection, ClientPorts, ControlClient
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from tests.chapsecrets import secretsIn
from tests.test_gateway import World
from tests.tunnels.pptp.port.test_control import TCP

SETTINGS = LinkSettings(identity=Identity(b"alice", b"open sesame", (MSCHAPV2,)))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(secretsIn(tmp_path))


def place(connection: ClientConnection) -> Deferred[ClientCall]:
    return connection.placeCall(SETTINGS, [IPCP(IPv4Settings.client(lambda packet: None))])


def failureOf(deferred: Deferred[ClientCall] | Deferred[ClientConnection]) -> Failure:
    """
    The failure of C{deferred}.
    """
    failures: list[Failure] = []
    deferred.addErrback(failures.append)
    (failure,) = failures
    return failure


def assertNoCall(world: World, connection: ClientConnection) -> None:
    """
    Assert that neither end has a call or a timer of one, and that the connection can have another
    call.
    """
    # Long enough even if Terminate-Requests are lost.
    world.run(15, 0.05)
    assert len(world.gateway.lines) == len(world.gateway.sessions) == 0
    assert world.pool.used == 0
    # Two timers for a silent connection, one at each end, and one for a connection without a call.
    assert len(world.clock.getDelayedCalls()) == 3
    world.network.lose = lambda frame: False
    again = place(connection)
    world.run(0.1)
    calls: list[ClientCall] = []
    again.addCallback(calls.append)
    assert calls and calls[0].protocols["ipv4"].name == "ipv4"


@pytest.mark.parametrize("milliseconds", range(16))
def test_cancelledDuringItsSetUp(world: World, milliseconds: int) -> None:
    """
    A call that is cancelled ends, whatever state its set-up has reached.
    """
    connection = world.connect()
    placed = place(connection)
    world.run(milliseconds / 1000)
    assert not placed.called
    placed.cancel()
    assert failureOf(placed).check(CancelledError)
    assertNoCall(world, connection)


def test_timeout(world: World) -> None:
    """
    A call that isn't open in time ends.
    """
    connection = world.connect(timeout=10)
    world.network.lose = lambda frame: True
    placed = place(connection)
    world.run(9.9, 0.1)
    assert len(world.gateway.lines) == 1
    world.run(0.2, 0.1)
    assert failureOf(placed).check(TimeoutError)
    assertNoCall(world, connection)


def test_moreCallsThanAConnectionMayHave(world: World) -> None:
    connection = world.connect()
    for _ in range(ConnectionSettings().maximumCalls):
        place(connection)
    assert failureOf(place(connection)).check(Exhausted)


class NoDataPath(MemoryDataPath):
    """
    A data path whose channels can't be opened.
    """

    def openChannel(self, call: ICall, owner: IChannelOwner, number: int = 0) -> MemoryChannel:
        assert isinstance(call, Call)
        raise ValueError(f"call id {call.localCallID} is in use")


def test_noChannel(world: World) -> None:
    """
    A call without a channel fails at once and says why.
    """
    connection = world.connect()
    connection._dataPath = NoDataPath(world.network)
    placed = place(connection)
    world.run(0.01)
    failure = failureOf(placed)
    assert failure.check(CallError) and "is in use" in failure.getErrorMessage()
    connection._dataPath = MemoryDataPath(world.network)
    assertNoCall(world, connection)


class Connecting:
    """
    A client endpoint whose TCP connection is open and whose gateway sends nothing.
    """

    def __init__(self) -> None:
        make: Any = TCP
        self.reactor: Any = MemoryReactorClock()
        path = MemoryDataPath(MemoryNetwork(self.reactor))
        ports = ClientPorts(path, CallIDs(self.reactor), None)
        endpoint = ControlClient(self.reactor, "192.0.2.1", ports=ports, timeout=5)
        self.connected = endpoint.connect()
        here, there = IPv4Address("TCP", "192.0.2.7", 4000), IPv4Address("TCP", "192.0.2.1", 1723)
        self.transport = make(hostAddress=here, peerAddress=there)
        protocol = self.reactor.tcpClients[0][2].buildProtocol(there)
        assert protocol is not None
        self.protocol = protocol
        self.protocol.makeConnection(self.transport)
        assert self.transport.value()

    def assertClosed(self) -> None:
        """
        Assert that the TCP connection is closed, by force if need be, and that nothing is left.
        """
        assert self.transport.disconnecting and not self.transport.disconnected
        self.reactor.advance(ConnectionSettings().closeTimeout)
        assert self.transport.disconnected
        self.protocol.connectionLost(Failure(ConnectionDone()))
        assert not self.reactor.getDelayedCalls()


def test_cancelledDuringTheHandshake() -> None:
    connecting = Connecting()
    connecting.connected.cancel()
    assert failureOf(connecting.connected).check(CancelledError)
    connecting.assertClosed()


def test_timeoutDuringTheHandshake() -> None:
    """
    The endpoint's time-out is for the TCP connection and the handshake together.
    """
    connecting = Connecting()
    connecting.reactor.advance(4.9)
    assert not connecting.transport.disconnecting
    connecting.reactor.advance(0.1)
    assert failureOf(connecting.connected).check(TimeoutError)
    connecting.assertClosed()
