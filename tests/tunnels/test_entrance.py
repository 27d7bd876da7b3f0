"""
Tests for L{pptpgw.tunnels.entrance}.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from pptpgw.config.section import ListenSection
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import TunnelKind
from pptpgw.log import PER_SOURCE
from pptpgw.testing import makeTunnelEnvironment
from pptpgw.tunnels.entrance import Entrance, addressText

KIND = TunnelKind("wire", "Wire")

NEAR, FAR = "192.0.2.7", "198.51.100.7"


class Connection:
    """
    A connection that remembers what its entrance told it.
    """

    isProven = False

    def __init__(self, entrance: Entrance[Connection]) -> None:
        self.entrance = entrance
        self.told: list[str] = []

    def displace(self) -> None:
        self.told.append("displaced")

    def stop(self) -> None:
        self.told.append("stopped")


class Tunnel:
    """
    An entrance, and the connections that were let in by it.
    """

    def __init__(self, clock: Any = None, **listen: Any) -> None:
        self.clock = clock or Clock()
        calls: Any = None
        environment = makeTunnelEnvironment(calls, ListenSection(**listen), self.clock)
        self.entrance: Entrance[Connection] = Entrance(environment, KIND, "wire")
        self.discards = environment.counters.discards
        self.tally = environment.tally

    def connect(self, caller: str = NEAR) -> Connection | None:
        if not self.entrance.admits(caller):
            return None
        connection = Connection(self.entrance)
        self.entrance.opened(connection, caller)
        return connection

    def numbers(self) -> list[int]:
        """
        Return the numbers of the ports on which it listens.
        """
        hosts: list[Any] = [port.getHost() for port in self.entrance.ports]
        return [host.port for host in hosts]

    def connected(self, caller: str = NEAR) -> Connection:
        connection = self.connect(caller)
        assert connection is not None
        return connection


class TestAdmission:
    @pytest.mark.parametrize(
        ("caller", "isIn"),
        [
            ("192.0.2.15", True),
            ("192.0.2.16", False),
            (FAR, False),
            ("2001:db8::1", False),
            ("::ffff:192.0.2.15", False),
            ("/run/line", True),
            ("stdio", True),
        ],
    )
    def test_clients(self, caller: str, isIn: bool, log: list[str]) -> None:
        """
        Callers with an IP address must be in one of the networks, and other callers may connect.
        """
        tunnel = Tunnel(clients=(IPv4Network("203.0.113.0/24"), IPv4Network("192.0.2.0/28")))
        assert (tunnel.connect(caller) is not None) is isIn
        reason = "wire from a client that isn't permitted"
        assert tunnel.discards == ({} if isIn else {reason: 1})
        assert tunnel.tally.connections == ({} if isIn else {("wire", "clients"): 1})
        assert [line.partition("refused ")[2] for line in log] == (
            [] if isIn else [f"{caller}: {reason}, see [listen] clients (1 so far)"]
        )

    @pytest.mark.parametrize(
        ("limits", "reason", "key"),
        [
            ({"maxConnections": 1}, "too many wires", "max-connections"),
            (
                {"maxConnectionsPerHost": 1},
                "too many wires from one host",
                "max-connections-per-host",
            ),
            (
                {"maxSilentConnections": 1},
                "too many wires without a message",
                "max-silent-connections",
            ),
        ],
    )
    def test_limits(self, limits: dict[str, int], reason: str, key: str, log: list[str]) -> None:
        """
        A connection beyond a limit is counted and logged with the key of the limit, and the end of
        another one makes room.
        """
        tunnel = Tunnel(**limits)
        first = tunnel.connected()
        assert tunnel.connect() is None
        assert tunnel.discards == {reason: 1}
        assert [line.partition("refused ")[2] for line in log] == [
            f"{NEAR}: {reason}, see [listen] {key} (1 so far)"
        ]
        assert tunnel.entrance.connections == {first}
        tunnel.entrance.closed(first)
        assert tunnel.connect() is not None

    def test_silenceEnds(self) -> None:
        """
        A connection that has sent a message has no place among the silent ones.
        """
        tunnel = Tunnel(maxSilentConnections=1)
        for _ in range(3):
            tunnel.entrance.heard(tunnel.connected())
        tunnel.connected()
        assert tunnel.connect() is None

    def test_displacement(self) -> None:
        """
        A newer connection takes the place of one on which nobody was authenticated.
        """
        tunnel = Tunnel(maxConnections=3)
        proven, first, second = (tunnel.connected() for _ in range(3))
        proven.isProven = True
        assert tunnel.connect(FAR) is not None
        assert (proven.told, first.told, second.told) == ([], ["displaced"], [])
        assert tunnel.discards == {"wire displaced by a newer one": 1}
        # The displaced connection is gone for the limits, before its transport has noticed.
        tunnel.entrance.closed(first)
        assert len(tunnel.entrance.connections) == 3

    def test_aProxyTellsTheCaller(self) -> None:
        """
        The limits hold for the address that a proxy has told, and no longer for the proxy's.
        """
        tunnel = Tunnel(
            maxConnectionsPerHost=1,
            clients=(IPv4Network(f"{NEAR}/32"), IPv4Network("203.0.113.0/24")),
        )
        first = tunnel.connected()
        assert tunnel.entrance.renamed(first, "203.0.113.5")
        second = tunnel.connected()
        assert not tunnel.entrance.renamed(second, "203.0.113.5")
        assert not tunnel.entrance.renamed(second, FAR)
        assert tunnel.discards == {
            "too many wires from one host": 1,
            "wire from a client that isn't permitted": 1,
        }
        tunnel.entrance.closed(second)
        assert tunnel.entrance.connections == {first}

    def test_otherReasonsOfATunnel(self, log: list[str]) -> None:
        """
        A tunnel refuses callers for reasons of its own too. The quota limits all such lines.
        """
        tunnel = Tunnel()
        for _ in range(200):
            tunnel.entrance.refuse(NEAR, "wire of copper")
        assert tunnel.discards["wire of copper"] == 200
        assert len(log) == PER_SOURCE[1]
        assert log[1].endswith(f"refused {NEAR}: wire of copper (2 so far)")


class TestStopping:
    def test_everyConnectionStops(self, loggedFailures: list[Failure]) -> None:
        """
        Nobody is let in while the tunnel stops, and one connection that fails to stop doesn't keep
        the others from stopping. The tunnel has stopped when the last one is closed.
        """
        tunnel = Tunnel()
        connections = [tunnel.connected() for _ in range(3)]

        def fail() -> None:
            raise RuntimeError("stuck")

        connections[1].stop = fail  # type: ignore[method-assign]
        stopped: list[object] = []
        tunnel.entrance.stop().addCallback(stopped.append)
        assert [one.told for one in connections] == [["stopped"], [], ["stopped"]]
        assert tunnel.connect() is None
        assert tunnel.discards == {"wire while the gateway stops": 1}
        for one in connections:
            assert not stopped
            tunnel.entrance.closed(one)
        assert stopped
        (failure,) = loggedFailures
        loggedFailures.clear()
        assert failure.getErrorMessage() == "stuck"
        tunnel.entrance.start(Factory(), ())
        assert tunnel.connect() is not None

    def test_nothingToStop(self) -> None:
        tunnel = Tunnel()
        stopped: list[object] = []
        for _ in range(2):
            tunnel.entrance.stop().addCallback(stopped.append)
        assert stopped == [None, None]

    def test_empty(self) -> None:
        tunnel = Tunnel()
        told: list[None] = []
        tunnel.entrance.whenEmpty().addCallback(told.append)
        assert told == [None]
        connection = tunnel.connected()
        tunnel.entrance.whenEmpty().addCallback(told.append)
        assert told == [None]
        tunnel.entrance.closed(connection)
        assert told == [None, None]


class TestListening:
    def test_ports(self) -> None:
        """
        The ports are those of the endpoints, in order, until they are closed.
        """
        reactor = MemoryReactorClock()
        tunnel = Tunnel(reactor)
        factory = Factory()
        endpoints = [(f"port {port}", TCP4ServerEndpoint(reactor, port)) for port in (4000, 4001)]
        tunnel.entrance.start(factory, endpoints)
        assert [(one[0], one[1]) for one in reactor.tcpServers] == [
            (4000, factory),
            (4001, factory),
        ]
        assert tunnel.numbers() == [4000, 4001]
        closed: list[object] = []
        for _ in range(2):
            tunnel.entrance.stopListening().addCallback(closed.append)
        assert len(closed) == 2 and tunnel.entrance.ports == []

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (
                CannotListenError("", 4000, OSError(98, "Address already in use")),
                "port 4000: Address already in use, choose another",
            ),
            (CannotListenError("", 4000, "no such device"), "no such device, choose another"),
            (ValueError("no port"), "port 4000: no port, choose another"),
        ],
    )
    def test_aPortThatCannotBeOpened(
        self, error: Exception, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The error names the place, the cause and what to do. Ports that are open can be closed.
        """

        reactor = MemoryReactorClock()
        listenTCP: Any = reactor.listenTCP

        def listen(port: int, *arguments: Any, **options: Any) -> Any:
            if port == 4000:
                raise error
            return listenTCP(port, *arguments, **options)

        monkeypatch.setattr(reactor, "listenTCP", listen)
        tunnel = Tunnel(reactor)
        endpoints = [
            (f"port {port}", TCP4ServerEndpoint(reactor, port)) for port in (4001, 4000, 4002)
        ]
        with pytest.raises(ConfigurationError, match=f"{text}$"):
            tunnel.entrance.start(Factory(), endpoints, ", choose another")
        assert tunnel.numbers() == [4001]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (IPv4Address("TCP", NEAR, 4000), NEAR),
        (UNIXAddress("/run/line"), "/run/line"),
        (UNIXAddress(b"/run/\xff"), "/run/\\xff"),
        (UNIXAddress(None), "stdio"),
        (None, "stdio"),
    ],
)
def test_addressText(address: object, text: str) -> None:
    assert addressText(address) == text
