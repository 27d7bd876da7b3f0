"""
Tests for L{pptpgw.networks.generic.datagram}, with services at real sockets.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.networks.generic.datagram import MALFORMED, NOT_SENT, STRANGER
from pptpgw.networks.generic.declaration import Destination
from pptpgw.networks.generic.plugin import GenericNetwork
from pptpgw.testing import DrivenLink, makeEnvironment
from tests.networks.generic.ends import declare, opened


@pytest.fixture(scope="module")
def reactor() -> Iterator[Any]:
    """
    A reactor that the test turns.
    """
    reactor = EPollReactor()
    yield reactor
    for descriptor in reactor.removeAll():
        descriptor.connectionLost(None)


class World:
    """
    The network of one declaration, and its sessions.
    """

    def __init__(self, reactor: Any, to: Destination, *data: int) -> None:
        self.reactor = reactor
        self.counters = Counters()
        environment = makeEnvironment(clock=reactor, counters=self.counters)
        self.network = GenericNetwork(declare(*data, to=to), environment)
        self.network.start()
        self.sessions: list[DrivenLink[Any]] = []

    def open(self) -> DrivenLink[Any]:
        session = opened(self.network)
        self.sessions.append(session)
        return session

    def turn(self) -> None:
        """
        Turn the reactor until sent datagrams have arrived.
        """
        for _ in range(3):
            self.reactor.iterate(0)

    def close(self) -> None:
        for session in self.sessions:
            session.terminate()
        self.turn()


def unixService(path: Path) -> socket.socket:
    """
    A service at a Unix socket.
    """
    service = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    service.bind(str(path))
    service.settimeout(5)
    return service


def udpService(family: int = socket.AF_INET, host: str = "127.0.0.1") -> socket.socket:
    """
    A service at a UDP port of the loopback interface.
    """
    service = socket.socket(family, socket.SOCK_DGRAM)
    service.bind((host, 0))
    service.settimeout(5)
    return service


class Kind:
    """
    What the tests must know about each kind of service.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        if name == "unix":
            self.service = unixService(folder / "service")
            self.to = Destination("unix", str(folder / "service"))
            self.stranger = unixService(folder / "stranger")
        else:
            family, host = socket.AF_INET, "127.0.0.1"
            if name == "udp6":
                family, host = socket.AF_INET6, "::1"
            self.service = udpService(family, host)
            self.to = Destination("udp", host, self.service.getsockname()[1])
            self.stranger = udpService(family, host)

    def address(self, session: Any) -> Any:
        """
        The address to which a stranger would send.
        """
        if self.name == "udp4":
            return ("127.0.0.1", session[1])
        return session


@pytest.fixture(params=["unix", "udp4", "udp6"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    kind = Kind(request.param, tmp_path)
    yield kind
    kind.service.close()
    kind.stranger.close()


class TestService:
    def test_eachSessionItsOwnAddress(self, reactor: Any, kind: Kind) -> None:
        """
        A service tells sessions apart by the source addresses of their packets, and answers a
        session by sending to its address.
        """
        world = World(reactor, kind.to)
        sessions = [world.open() for _ in range(3)]
        addresses = []
        for index, session in enumerate(sessions):
            session.deliver(b"from %d" % index)
            packet, address = kind.service.recvfrom(2048)
            assert packet == b"from %d" % index
            addresses.append(address)
        assert len(set(addresses)) == 3
        for index in (2, 0, 1):
            kind.service.sendto(b"to %d" % index, addresses[index])
        world.turn()
        for index, session in enumerate(sessions):
            assert session.packets == [(0x00C3, b"to %d" % index)]
        world.close()
        assert world.counters.discards == {}

    def test_severalNumbers(self, reactor: Any, kind: Kind) -> None:
        """
        A packet of a protocol with several numbers has its number before it. An answer without a
        number is discarded.
        """
        world = World(reactor, kind.to, 0x00C3, 0x02C3)
        session = world.open()
        session.deliver(b"packet", 0x02C3)
        datagram, address = kind.service.recvfrom(2048)
        assert datagram == b"\x02\xc3packet"
        for answer in (b"\x00\xc3yes", b"\x02\xc3", b"\x00\x21no", b"\x02", b""):
            kind.service.sendto(answer, address)
        world.turn()
        assert session.packets == [(0x00C3, b"yes"), (0x02C3, b"")]
        world.close()
        assert world.counters.discards == {MALFORMED: 3}

    def test_strangers(self, reactor: Any, kind: Kind) -> None:
        """
        A session takes packets from its service alone.
        """
        world = World(reactor, kind.to)
        session = world.open()
        session.deliver(b"hello")
        _, address = kind.service.recvfrom(2048)
        kind.stranger.sendto(b"evil", kind.address(address))
        kind.service.sendto(b"good", address)
        world.turn()
        assert session.packets == [(0x00C3, b"good")]
        world.close()
        assert world.counters.discards == {STRANGER: 1}

    def test_aSessionThatClosedIsGone(self, reactor: Any, kind: Kind) -> None:
        """
        A session's socket closes with its protocol, and a protocol that opens again has another
        socket.
        """
        world = World(reactor, kind.to)
        session = world.open()
        session.deliver(b"hello")
        _, address = kind.service.recvfrom(2048)
        session.terminate()
        world.turn()
        if kind.name == "unix":
            with pytest.raises(ConnectionRefusedError):
                kind.service.sendto(b"late", address)
        session.clock.advance(10)
        session.agree()
        session.deliver(b"again")
        packet, other = kind.service.recvfrom(2048)
        assert packet == b"again"
        if kind.name == "unix":
            assert other != address
        kind.service.sendto(b"welcome", other)
        world.turn()
        assert session.packets == [(0x00C3, b"welcome")]
        world.close()


class TestAbsence:
    def test_aServiceThatComesLater(self, reactor: Any, tmp_path: Path, log: list[str]) -> None:
        """
        Packets to an absent service are counted and logged once. A service that appears, or appears
        again, gets the packets that follow.
        """
        path = tmp_path / "service"
        world = World(reactor, Destination("unix", str(path)))
        session = world.open()
        for _ in range(3):
            session.deliver(b"lost")
        assert world.counters.discards == {NOT_SENT: 3}
        missing = f"controller: nobody takes its packets at unix:{path}: No such file or directory"
        assert log == [missing]
        service = unixService(path)
        session.deliver(b"there")
        assert service.recv(2048) == b"there"
        assert log[1:] == [f"controller: unix:{path} takes its packets"]
        service.close()
        session.deliver(b"lost")
        assert "Connection refused" in log[-1]
        path.unlink()
        service = unixService(path)
        session.deliver(b"back")
        assert service.recv(2048) == b"back"
        service.close()
        world.close()
        assert world.counters.discards == {NOT_SENT: 4}

    def test_aServiceThatIsTooSlow(self, reactor: Any, tmp_path: Path, log: list[str]) -> None:
        """
        Packets beyond a slow service's queue are counted and dropped, and nothing waits for the
        service.
        """
        path = tmp_path / "service"
        service = unixService(path)
        world = World(reactor, Destination("unix", str(path)))
        session = world.open()
        sent = 0
        while not world.counters.discards:
            session.deliver(b"packet")
            sent += 1
            assert sent < 100000
        assert log == [f"controller: nobody takes its packets at unix:{path}: it is too slow"]
        for _ in range(sent - 1):
            assert service.recv(2048) == b"packet"
        session.deliver(b"next")
        assert service.recv(2048) == b"next"
        service.close()
        world.close()

    def test_nobodyAtTheUDPPort(self, reactor: Any) -> None:
        """
        Packets to a UDP port without a listener are lost as in a network, without another effect.
        """
        service = udpService()
        to = Destination("udp", "127.0.0.1", service.getsockname()[1])
        service.close()
        world = World(reactor, to)
        session = world.open()
        for _ in range(3):
            session.deliver(b"lost")
            world.turn()
        assert session.attachments
        world.close()

    def test_noRoute(self, log: list[str]) -> None:
        """
        A packet to an unreachable address is lost and counted.
        """

        class Port:
            def write(self, packet: bytes, address: object) -> None:
                raise OSError(101, "Network is unreachable")

            def stopListening(self) -> None:
                log.append("closed")

        class Reactor(Clock):
            def listenUDP(self, *arguments: object, maxPacketSize: int) -> Port:
                return Port()

        world = World(Reactor(), Destination("udp", "192.0.2.1", 9))
        session = world.open()
        session.deliver(b"lost")
        assert world.counters.discards == {NOT_SENT: 1}
        session.terminate()
        assert log == [
            "controller: nobody takes its packets at udp:192.0.2.1:9: Network is unreachable",
            "closed",
        ]

    def test_noSocket(self, log: list[str]) -> None:
        """
        A session goes without the protocol where no socket can be opened, and the reason is
        reported.
        """

        class Reactor(Clock):
            def listenUDP(self, *arguments: object, maxPacketSize: int) -> object:
                raise CannotListenError("", 0, OSError(24, "Too many open files"))

        world = World(Reactor(), Destination("udp", "192.0.2.1", 9))
        session = world.open()
        assert session.attachments == {}
        assert session.sent[-1].endswith(b"there is no socket for its packets")
        assert world.counters.discards == {NOT_SENT: 1}
        assert "Too many open files" in log[0]
