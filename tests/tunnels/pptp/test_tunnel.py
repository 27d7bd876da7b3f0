"""
Tests for L{pptpgw.tunnels.pptp.tunnel}: the plugin, and where it listens.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from twisted.internet import reactor as globalReactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.config import discovery
from pptpgw.config.section import ListenSection
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    ICall,
    ICallTaker,
    IHealth,
    IPreparable,
    ITunnel,
    ITunnelEnvironment,
    ITunnelFactory,
    Refusal,
)
from pptpgw.testing import makeTunnelEnvironment
from pptpgw.tunnels.pptp.tunnel import GREPorts, PPTPSettings, PPTPTunnel
from pptpgw.tunnels.pptp.wire.message import (
    OutgoingCallRequest,
    StartControlConnectionRequest,
    encode,
)

reactor: Any = globalReactor
HELLO = encode(StartControlConnectionRequest())


@implementer(ICallTaker)
class Taker:
    """
    A gateway that refuses every call as busy.
    """

    def __init__(self) -> None:
        self.callers: list[tuple[str, str]] = []
        self.asked: Deferred[None] = Deferred()

    def callRequested(self, call: ICall) -> None:
        self.callers.append((call.caller, call.called))
        call.refuse(Refusal.BUSY)
        self.asked.callback(None)


class World:
    """
    A PPTP tunnel without GRE.
    """

    def __init__(self, clock: Any, listen: ListenSection | None = None, **settings: Any) -> None:
        self.calls = Taker()
        self.environment = makeTunnelEnvironment(self.calls, listen, clock)
        self.counters = self.environment.counters
        factory = discovery.find(ITunnelFactory, "pptp")
        self.tunnel = factory.makeTunnel(PPTPSettings(**settings), self.environment)
        assert isinstance(self.tunnel, PPTPTunnel)


@pytest.fixture(autouse=True)
def withoutGRE(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """
    Replace the starting and stopping of the GRE ports, and record both.
    """
    told: list[str] = []
    monkeypatch.setattr(GREPorts, "start", lambda self: told.append("start"))
    monkeypatch.setattr(GREPorts, "stop", lambda self: told.append("stop"))
    return told


class Client(Protocol):
    """
    A client that sends what a test gives it and keeps what it receives.
    """

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


async def connected(port: int) -> Any:
    client: Any = await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(
        Factory.forProtocol(Client)
    )
    return client


def test_interfaces() -> None:
    world = World(MemoryReactorClock())
    assert verifyObject(ITunnelFactory, discovery.find(ITunnelFactory, "pptp"))
    assert verifyObject(ITunnelEnvironment, world.environment)
    assert verifyObject(ICallTaker, world.calls)
    for interface in (ITunnel, IPreparable, IHealth):
        assert verifyObject(interface, world.tunnel)


def test_whereItListens(withoutGRE: list[str]) -> None:
    """
    The tunnel listens at the port of each address until it is stopped. GRE stops after the control
    connections.
    """
    listen = ListenSection(addresses=(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")))
    clock = MemoryReactorClock()
    world = World(clock, listen, port=1000)
    assert world.tunnel.places == ("192.0.2.1, 192.0.2.2, port 1000",)
    assert clock.tcpServers == [] and withoutGRE == []
    world.tunnel.start()
    assert [(one[0], one[3]) for one in clock.tcpServers] == [
        (1000, "192.0.2.1"),
        (1000, "192.0.2.2"),
    ]
    assert all(one[2] >= 1000 for one in clock.tcpServers)
    world.tunnel.stopListening()
    assert withoutGRE == ["start"]
    world.tunnel.stop()
    world.tunnel.stop()
    assert withoutGRE[:2] == ["start", "stop"]


def test_anAddressThatIsNotOurs() -> None:
    listen = ListenSection(addresses=(IPv4Address("198.51.100.77"),))
    (fault,) = IPreparable(World(MemoryReactorClock(), listen).tunnel).lacking()
    assert fault.startswith("[listen] addresses: 198.51.100.77: ")


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("nonsense:1723", "nonsense"),
        ("tcp:port", "port"),
        ("tcp:1723:prt=2", "prt"),
    ],
)
def test_anEndpointThatIsNone(endpoint: str, why: str) -> None:
    """
    An invalid endpoint is an error when the tunnel is made, so that a check of the configuration
    finds it.
    """
    with pytest.raises(ConfigurationError) as caught:
        World(MemoryReactorClock(), endpoints=(endpoint,))
    assert str(caught.value).startswith(f"[pptp] endpoints: {endpoint}: ")
    assert why in str(caught.value)


@pytest.mark.parametrize("named", [False, True], ids=["port", "endpoint"])
def test_aPortThatIsTaken(named: bool) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    number = taken.getsockname()[1]
    if named:
        endpoint = f"tcp:{number}:interface=127.0.0.1"
        world = World(reactor, endpoints=(endpoint,))
        words = f"can't listen on {endpoint}: Address already in use"
    else:
        world = World(reactor, ListenSection(addresses=(IPv4Address("127.0.0.1"),)), port=number)
        words = f"can't listen on 127.0.0.1, TCP port {number}: Address already in use"
    with pytest.raises(ConfigurationError, match=words):
        world.tunnel.start()
    world.tunnel.stop()
    taken.close()


def served(
    clients: tuple[IPv4Network, ...], octets: bytes, then: Callable[[World, Any], Any]
) -> Deferred[None]:
    """
    Have a proxy on loopback connect to the tunnel and send C{octets}.
    """

    async def run() -> None:
        listen = ListenSection(clients=clients)
        world = World(reactor, listen, endpoints=("haproxy:tcp:0:interface=127.0.0.1",))
        tunnel: Any = world.tunnel
        tunnel.start()
        assert tunnel.places == ("haproxy:tcp:0:interface=127.0.0.1",)
        client = await connected(tunnel.port)
        client.transport.write(octets)
        await then(world, client)
        client.transport.loseConnection()
        await client.lost
        await tunnel.stop()

    return Deferred.fromCoroutine(run())


PROXIED = b"PROXY TCP4 192.0.2.77 192.0.2.1 4000 1723\r\n"
LOOPBACK = IPv4Network("127.0.0.0/8")


def test_behindAProxy() -> Deferred[None]:
    """
    Behind a proxy, the caller is the address that the PROXY header gives, and the called address is
    the header's too.
    """

    async def then(world: World, client: Any) -> None:
        await world.calls.asked
        assert world.calls.callers == [("192.0.2.77", "192.0.2.1")]

    request = encode(OutgoingCallRequest(callID=5, window=3))
    return served((), PROXIED + HELLO + request, then)


def test_clientsOfAProxyNeedPermissionToo() -> Deferred[None]:
    async def then(world: World, client: Any) -> None:
        await client.lost
        client.lost = Deferred()
        client.lost.callback(None)
        assert world.counters.discards["control connection from a client that isn't permitted"] == 1
        assert world.calls.callers == []

    return served((LOOPBACK,), PROXIED + HELLO, then)
