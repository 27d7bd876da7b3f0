"""
Tests for L{pptpgw.client}: what protocols are told, and that connections leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    NoProtocol,
    TimeoutError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from pptpgw.auth.protocols import CHAP
from pptpgw.client import NETWORKS, PacketProtocol, PPTPClientEndpoint
from pptpgw.error import CallError, NotPermitted
from pptpgw.interfaces import IPacketProtocol, IPacketTransport
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.wire import ppp
from pptpgw.tunnels.pptp.client import SharedPorts
from pptpgw.tunnels.pptp.port.gre import GREPort
from tests.chapsecrets import secretsIn
from tests.endpoints import HERE, THERE, Dialling, Hearing, factoryFor, program
from tests.test_gateway import SERVER

SET_UP = 17
"""
Milliseconds that a connection takes here.
"""


@pytest.fixture
def world(tmp_path: Path) -> Dialling:
    return Dialling(secretsIn(tmp_path))


def errorOf(deferred: Deferred[Any]) -> BaseException:
    """
    The exception with which C{deferred} failed.
    """
    failures: list[Any] = []
    deferred.addErrback(failures.append)
    (failure,) = failures
    error: BaseException = failure.value
    return error


def assertNothingLeft(world: Dialling, seconds: float = 15) -> None:
    """
    Assert that neither end has anything of a connection any more, after a while.
    """
    world.run(seconds, 0.05)
    assert list(world.left()) == []


def test_packets(world: Dialling) -> None:
    """
    The protocol is told of its connection, the network, packets and its own hanging up.
    """
    protocol = world.connected()
    assert protocol.told == ["made", "ipv4 opened"]
    transport = protocol.transport
    ipv4 = transport.networks["ipv4"]
    assert (ipv4.localAddress, transport.mtu("ipv4")) == ("10.77.0.10", 1400)
    assert transport.authentication == "mschapv2"
    assert transport.encryption == "MPPE 128 bit stateless"
    assert (transport.getHost(), transport.getPeer()) == (HERE, THERE)
    transport.sendPacket("ipv4", b"E to the gateway")
    (there,) = world.dataPath.channels
    there.sendPacket(ppp.IPV4, b"E from the gateway")
    world.run(0.01)
    assert there.counters.packetsReceived == 1
    assert protocol.told.pop() == ("ipv4", b"E from the gateway")
    transport.loseConnection()
    transport.loseConnection()
    world.run(0.1)
    assert protocol.told[2] == "ipv4 closed"
    (lost,) = protocol.told[3:]
    assert isinstance(lost, ConnectionDone)
    assertNothingLeft(world, 0.1)


def test_interfaces(world: Dialling) -> None:
    protocol = world.connected()
    verifyObject(IStreamClientEndpoint, world.endpoint())
    verifyObject(IPacketProtocol, protocol)
    verifyObject(IPacketTransport, protocol.transport)


@pytest.mark.parametrize("milliseconds", range(SET_UP))
def test_cancelled(world: Dialling, milliseconds: int) -> None:
    """
    A connection that is cancelled leaves nothing, whatever state it has reached.
    """
    connecting = world.connect()
    world.run(milliseconds / 1000)
    assert not connecting.called
    connecting.cancel()
    assert isinstance(errorOf(connecting), ConnectingCancelledError)
    assertNothingLeft(world, 0.1)


def losing(number: int) -> Callable[[Dialling], None]:
    """
    A function that makes the network lose the frames of one protocol.
    """

    def lose(world: Dialling) -> None:
        world.network.lose = lambda frame: frame[0] == number

    return lose


def unreachable(world: Dialling) -> None:
    world.reactor.reachable = False


def silent(world: Dialling) -> None:
    world.reactor.server = None


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (unreachable, "the connection wasn't open after 4 s"),
        (silent, "the connection wasn't open after 4 s"),
        (losing(ppp.LCP), "Establish phase"),
        (losing(ppp.CHAP), "Authenticate phase"),
        (losing(ppp.CCP), "Network phase"),
        (losing(ppp.IPCP), "Network phase"),
    ],
)
def test_timeout(fault: Callable[[Dialling], None], text: str, world: Dialling) -> None:
    """
    The time-out is for the whole connection, and the failure says how far it got.
    """
    fault(world)
    connecting = world.connect(timeout=4)
    world.run(3.9, 0.01)
    assert not connecting.called
    world.run(0.2, 0.01)
    error = errorOf(connecting)
    assert isinstance(error, TimeoutError) and text in str(error)
    assertNothingLeft(world)


def test_wrongPassword(world: Dialling) -> None:
    connecting = world.connect(password=b"open barley")
    world.run(5)
    error = errorOf(connecting)
    assert isinstance(error, CallError) and "wrong password" in str(error)
    assertNothingLeft(world)


def test_noKeys(world: Dialling) -> None:
    """
    A link that can't be encrypted as required fails.
    """
    connecting = world.connect(methods=(CHAP,))
    world.run(0.5)
    assert "isn't permitted" in str(errorOf(connecting))
    assertNothingLeft(world)


def test_aborted(world: Dialling) -> None:
    protocol = world.connected()
    world.network.lose = lambda frame: True
    protocol.transport.abortConnection()
    world.run(0.01)
    assert isinstance(protocol.told[-1], ConnectionAborted)
    assertNothingLeft(world)


def test_abortedAtOnce(world: Dialling) -> None:
    """
    A protocol that aborts as soon as it is connected is told of the connection and then of its
    loss.
    """

    class Aborting(Hearing):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.abortConnection()

    world.factory = factoryFor(Aborting)
    protocol = world.connected()
    assert protocol.told[0] == "made"
    assert isinstance(protocol.told[-1], ConnectionAborted)
    assertNothingLeft(world)


def test_gatewayHangsUp(world: Dialling) -> None:
    """
    The protocol is told why the gateway hung up.
    """
    protocol = world.connected()
    (session,) = world.gateway.sessions
    session.hangUp("the shop is closed")
    world.run(1)
    (lost,) = protocol.told[3:]
    assert isinstance(lost, CallError)
    assertNothingLeft(world)


def test_gatewayDies(world: Dialling) -> None:
    protocol = world.connected()
    (side,) = world.reactor.sides
    side.abortConnection()
    world.run(0.1)
    (lost,) = protocol.told[3:]
    assert isinstance(lost, ConnectionLost)
    assertNothingLeft(world)


def test_noProtocol(world: Dialling) -> None:
    """
    A factory may return no protocol, and the connection fails.
    """
    world.factory.buildProtocol = lambda addr: None
    connecting = world.connect()
    world.run(0.5)
    assert isinstance(errorOf(connecting), NoProtocol)
    assertNothingLeft(world, 0.1)


def test_severalNetworks(world: Dialling) -> None:
    """
    The protocol is connected when the first network opens, and a network that the gateway lacks
    doesn't open.
    """
    protocol = world.connected(networks=("ipv6", "ipv4", "ipx"))
    assert protocol.told == ["made", "ipv4 opened"]
    protocol.transport.sendPacket("ipv6", b"nowhere")
    with pytest.raises(KeyError):
        protocol.transport.sendPacket("mpls", b"")


def test_ownMaker(world: Dialling) -> None:
    """
    A program may make its own end of a network protocol.
    """
    made: list[IPCP] = []

    def make(receive: Callable[[bytes], None], mtu: int) -> IPCP:
        made.append(IPCP(IPv4Settings.client(receive, mtu=600)))
        return made[0]

    protocol = world.connected(makers={"ipv4": make})
    assert protocol.transport.networks == {"ipv4": made[0]}
    assert protocol.transport.mtu("ipv4") == 600


def test_clientService(world: Dialling) -> None:
    """
    Twisted's L{ClientService} dials again, and hangs up when it is stopped.
    """
    service = ClientService(
        world.endpoint(), world.factory, retryPolicy=lambda attempt: 2, clock=world.clock
    )
    service.startService()
    first: list[Any] = []
    service.whenConnected().addCallback(first.append)
    world.run(0.2)
    assert first[0].told == ["made", "ipv4 opened"]
    world.reactor.sides[0].abortConnection()
    world.reactor.reachable = False
    world.run(40, 0.01)
    again: list[Any] = []
    service.whenConnected().addCallback(again.append)
    assert not again
    world.reactor.reachable = True
    world.run(40, 0.01)
    assert again[0] is not first[0] and again[0].told == ["made", "ipv4 opened"]
    stopped: list[object] = []
    service.stopService().addCallback(stopped.append)
    world.run(0.1)
    assert len(stopped) == 1
    assertNothingLeft(world, 0.1)


def test_nothingAnswersTheHangUp(world: Dialling) -> None:
    """
    Hanging up ends whether the gateway answers or not.
    """
    protocol = world.connected()
    world.network.lose = lambda frame: True
    (side,) = world.reactor.sides
    side.protocol, gateway = None, side.protocol
    protocol.transport.loseConnection()
    world.run(30, 0.05)
    assert isinstance(protocol.told[-1], ConnectionDone)
    gateway.connectionLost(Failure(ConnectionLost()))
    assertNothingLeft(world)


@pytest.mark.parametrize("name", NETWORKS)
def test_everyNetwork(name: str) -> None:
    """
    Each network protocol has a maker by its name. All packets reach the protocol, and its MTU is
    the one that was asked for.
    """
    packets: list[bytes] = []
    end = NETWORKS[name](packets.append, 1300)
    assert end.name == name
    settings: Any = end.settings  # type: ignore[attr-defined]
    assert settings.mtu == 1300
    settings.receive(b"packet")
    assert packets == [b"packet"]


@pytest.mark.parametrize("milliseconds", [0, 1, 5, 12])
def test_clientServiceStopsMeanwhile(world: Dialling, milliseconds: int) -> None:
    service = ClientService(world.endpoint(), world.factory, clock=world.clock)
    service.startService()
    world.run(milliseconds / 1000)
    stopped: list[object] = []
    service.stopService().addCallback(stopped.append)
    assert len(stopped) == 1
    assertNothingLeft(world, 0.1)


class Sockets:
    """
    A replacement of opening and closing the raw sockets of GRE.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        monkeypatch.setattr(GREPort, "startListening", lambda port: self.log.append("open"))
        monkeypatch.setattr(GREPort, "stopListening", lambda port: self.log.append("close"))


def test_sharedPorts(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The raw sockets are open from the first connection to the end of the last, and can be opened
    again.
    """
    sockets = Sockets(monkeypatch)
    ports = SharedPorts(Clock())
    ports.acquire()
    ports.acquire()
    ports.release()
    assert sockets.log == ["open"]
    ports.release()
    assert sockets.log == ["open", "close"]
    ports.acquire()
    assert sockets.log == ["open", "close", "open"]


def test_notPermitted(world: Dialling, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A connection fails at once where raw sockets aren't permitted, and the error says what to do.
    """

    def refuse(port: GREPort) -> None:
        raise NotPermitted("grant it")

    monkeypatch.setattr(GREPort, "startListening", refuse)
    endpoint = PPTPClientEndpoint(world.reactor, SERVER, world.endpoint().settings)
    error = errorOf(endpoint.connect(world.factory))
    assert isinstance(error, NotPermitted) and str(error) == "grant it"
    assertNothingLeft(world, 0.1)


def test_readme() -> None:
    """
    README.md shows the same program as the module's documentation. C{tests/integration} runs it.
    """
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    assert f"```python\n{program()}```\n" in readme


def test_silentProtocol() -> None:
    """
    The base class has every method that may be called.
    """
    protocol = PacketProtocol()
    protocol.networkOpened("ipv4")
    protocol.packetReceived("ipv4", b"")
    protocol.networkClosed("ipv4")
    protocol.connectionLost()
