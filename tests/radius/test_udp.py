from __future__ import annotations

from random import Random
from typing import Any

import pytest
from twisted.internet import reactor as globalReactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.radius.packet import (
    ACCESS_REQUEST,
    ACCOUNTING_REQUEST,
    STATUS_SERVER,
    RADIUSRequest,
    Reply,
)
from pptpgw.radius.servers import Server
from pptpgw.radius.transport import Gone, RADIUSService, Unanswered
from pptpgw.radius.udp import UDPTransport
from tests.radius.wire import SECRET, Port, Wire, answer


def fill(request: RADIUSRequest) -> None:
    request.add("User-Name", "vera")


class World:
    """
    A transport whose server the test plays.
    """

    def __init__(
        self, service: RADIUSService = RADIUSService.AUTHENTICATION, **server: Any
    ) -> None:
        self.wire = Wire()
        self.counters = Counters()
        self.transport = UDPTransport(
            self.wire,
            Server("192.0.2.1", secret=SECRET.decode(), **server),
            service,
            6.0,
            self.counters,
            Random(1),
        )

    def ask(self, code: int = ACCESS_REQUEST) -> tuple[Deferred[Reply], list[Any]]:
        results: list[Any] = []
        asked = self.transport.ask(code, fill)
        asked.addCallbacks(results.append, lambda failure: results.append(failure.value))
        return asked, results

    @property
    def discards(self) -> dict[str, int]:
        return self.counters.discards


class TestAsking:
    def test_aReplyEndsIt(self) -> None:
        world = World()
        _, results = world.ask()
        world.wire.ports[0].deliver(answer(world.wire.sent[0], Class=b"x"))
        assert results[0].octets("Class") == [b"x"]
        assert world.transport.heard == 0
        world.wire.wait(60)
        assert len(world.wire.sent) == 1
        assert not world.wire.getDelayedCalls()

    @pytest.mark.parametrize(
        ("service", "port"),
        [(RADIUSService.AUTHENTICATION, 1812), (RADIUSService.ACCOUNTING, 1813)],
    )
    def test_whereTo(self, service: RADIUSService, port: int) -> None:
        world = World(service)
        world.ask()
        assert world.wire.ports[0].peer == ("192.0.2.1", port)

    def test_itIsSentAgainAsItWas(self) -> None:
        world = World()
        _, results = world.ask()
        world.wire.wait(5)
        assert len(world.wire.sent) == 2
        assert len(set(world.wire.sent)) == 1
        assert not results

    def test_aReplyToTheSecondTransmissionCounts(self) -> None:
        world = World()
        _, results = world.ask()
        world.wire.wait(3)
        world.wire.ports[0].deliver(answer(world.wire.sent[1]))
        assert results[0].code == 2

    def test_silenceEndsItInTime(self) -> None:
        world = World()
        _, results = world.ask()
        world.wire.wait(5.9)
        assert not results
        world.wire.wait(0.3)
        assert isinstance(results[0], Unanswered)
        assert "192.0.2.1, port 1812" in str(results[0])
        assert world.transport.heard is None
        assert world.transport.free == 256

    def test_aStatusServerPacketIsNeverRepeated(self) -> None:
        world = World()
        _, results = world.ask(STATUS_SERVER)
        world.wire.wait(6.1)
        assert len(world.wire.sent) == 1
        assert isinstance(results[0], Unanswered)

    def test_cancellingFreesItsPlace(self) -> None:
        world = World()
        asked, results = world.ask()
        asked.cancel()
        assert isinstance(results[0], CancelledError)
        assert world.transport.free == 256
        assert not world.wire.getDelayedCalls()
        world.wire.ports[0].deliver(answer(world.wire.sent[0]))
        assert world.discards == {"RADIUS: reply that nobody waits for": 1}

    def test_whatCantBeFilledFails(self) -> None:
        world = World()

        def broken(request: RADIUSRequest) -> None:
            request.add("User-Name", bytes(300))

        failed: list[Any] = []
        world.transport.ask(ACCESS_REQUEST, broken).addErrback(failed.append)
        assert failed[0].check(ValueError)
        assert world.transport.free == 256

    def test_whatDoesntFitIntoAPacketFailsAndFreesItsPlace(self) -> None:
        world = World()
        failed: list[Any] = []
        asked = world.transport.ask(ACCESS_REQUEST, lambda one: one.addLong("Class", bytes(4096)))
        asked.addErrback(failed.append)
        assert failed[0].check(ValueError)
        assert world.transport.free == 256
        assert not world.wire.getDelayedCalls()

    @pytest.mark.parametrize("error", [OSError(101, "unreachable"), MessageLengthError()])
    def test_whatTheKernelWontTakeIsSentAgain(
        self, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = World()

        def write(port: Port, octets: bytes, address: None) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(Port, "write", write)
            _, results = world.ask()
        assert world.discards == {"RADIUS: request not sent": 1}
        world.wire.wait(3)
        world.wire.ports[0].deliver(answer(world.wire.sent[0]))
        assert results[0].code == 2

    def test_noPortToAskFromIsNoAnswer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World()

        def listen(*_: object, **__: object) -> None:
            raise CannotListenError("", 0, OSError(24, "too many"))

        monkeypatch.setattr(world.wire, "open", listen)
        _, results = world.ask()
        assert isinstance(results[0], Unanswered)

    def test_nobodyThere(self) -> None:
        """
        ICMP's refusal makes the requests on that port fail at once.
        """
        world = World()
        results = [world.ask()[1] for _ in range(3)]
        world.wire.ports[0].protocol.connectionRefused()
        assert all(isinstance(one[0], Unanswered) for one in results)
        assert "nobody listens" in str(results[0][0])
        assert not world.wire.getDelayedCalls()

    async def test_nobodyThereOnThisMachine(self) -> None:
        """
        The port stays the same in spite of the kernel's errors, and Twisted logs one line about it.
        """
        reactor: Any = globalReactor
        taken = reactor.listenUDP(0, DatagramProtocol(), "127.0.0.1")
        number = taken.getHost().port
        await taken.stopListening()
        server = Server("127.0.0.1", authPort=number, secret=SECRET.decode())
        transport = UDPTransport(
            reactor, server, RADIUSService.AUTHENTICATION, 6.0, Counters(), Random(1)
        )
        lines: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        try:
            for _ in range(5):
                with pytest.raises(Gone, match="nobody listens"):
                    await transport.ask(ACCESS_REQUEST, fill)
        finally:
            globalLogPublisher.removeObserver(observe)
            transport.stop()
        assert [line.partition(" starting")[0] for line in lines] == [
            f"RADIUS 127.0.0.1, port {number}"
        ]

    async def test_noWayThere(self) -> None:
        """
        The request goes to another server where the kernel has no route or doesn't let us send, and
        the port is closed.
        """
        reactor: Any = globalReactor
        before = set(reactor.getReaders())
        # An address to which an ordinary socket may not send.
        server = Server("255.255.255.255", secret=SECRET.decode())
        transport = UDPTransport(
            reactor, server, RADIUSService.AUTHENTICATION, 6.0, Counters(), Random(1)
        )
        with pytest.raises(Unanswered, match="Permission denied"):
            await transport.ask(ACCESS_REQUEST, fill)
        await deferLater(reactor, 0, lambda: None)
        assert set(reactor.getReaders()) == before

    def test_stopping(self) -> None:
        world = World()
        _, results = world.ask()
        world.transport.stop()
        assert isinstance(results[0], Unanswered)
        assert world.wire.ports[0].closed
        world.ask()
        assert not world.wire.ports[1].closed


class TestDiscards:
    """
    Tests for packets that aren't the answer. They change nothing, and the answer may still come.
    """

    def check(self, world: World, results: list[Any], reason: str) -> None:
        assert world.discards == {f"RADIUS: {reason}": 1}
        assert not results
        assert world.transport.heard is None
        world.wire.ports[0].deliver(answer(world.wire.sent[0]))
        assert results[0].code == 2

    @pytest.mark.parametrize("length", [2, 19, 20, 30])
    def test_truncated(self, length: int) -> None:
        world = World()
        _, results = world.ask()
        world.wire.ports[0].deliver(answer(world.wire.sent[0])[:length])
        self.check(world, results, "malformed reply")

    @pytest.mark.parametrize("octets", [b"", b"\2"])
    def test_nothing(self, octets: bytes) -> None:
        world = World()
        _, results = world.ask()
        world.wire.ports[0].deliver(octets)
        self.check(world, results, "reply that nobody waits for")

    def test_anotherIdentifier(self) -> None:
        world = World()
        _, results = world.ask()
        octets = bytearray(answer(world.wire.sent[0]))
        octets[1] ^= 1
        world.wire.ports[0].deliver(bytes(octets))
        self.check(world, results, "reply that nobody waits for")

    def test_ourOwnRequestComesBack(self) -> None:
        world = World()
        _, results = world.ask()
        world.wire.ports[0].deliver(world.wire.sent[0])
        self.check(world, results, "malformed reply")

    def test_withoutMessageAuthenticator(self) -> None:
        world = World()
        _, results = world.ask()
        octets = answer(world.wire.sent[0], message_authenticator=False)
        world.wire.ports[0].deliver(octets)
        self.check(world, results, "reply, no Message-Authenticator")

    def test_anotherSecretIsSaidInTheLogButNotForEveryReply(self) -> None:
        world = World()
        _, results = world.ask()
        reply = answer(world.wire.sent[0])
        forged = reply[:4] + bytes(16) + reply[20:]
        said: list[str] = []

        @implementer(ILogObserver)
        def observer(event: LogEvent) -> None:
            said.append(formatEvent(event))

        globalLogPublisher.addObserver(observer)
        try:
            for _ in range(1000):
                world.wire.ports[0].deliver(forged)
        finally:
            globalLogPublisher.removeObserver(observer)
        assert 1 <= len(said) <= 3
        assert "the shared secret isn't the same at both ends" in said[0]
        assert world.discards == {"RADIUS: reply, an authenticator is wrong": 1000}
        world.wire.ports[0].deliver(reply)
        assert results[0].code == 2

    def test_anUnsignedReplyIsExplained(self, log: list[str]) -> None:
        """
        The log names possible reasons for an unsigned reply, and what to do about each.
        """
        world = World()
        world.ask()
        reply = answer(world.wire.sent[0], message_authenticator=False)
        world.wire.ports[0].deliver(reply)
        (line,) = log
        for said in ("FreeRADIUS", "update it", "require-message-authenticator = false", "tls"):
            assert said in line

    def test_aReplyToAnotherRequest(self) -> None:
        """
        A reply whose authenticator is another request's is discarded, even if its identifier fits.
        """
        world = World()
        _, first = world.ask()
        _, second = world.ask()
        octets = bytearray(answer(world.wire.sent[0]))
        octets[1] = world.wire.sent[1][1]
        world.wire.ports[0].deliver(bytes(octets))
        assert not first and not second

    def test_aSecondReply(self) -> None:
        world = World()
        world.ask()
        reply = answer(world.wire.sent[0])
        world.wire.ports[0].deliver(reply)
        world.wire.ports[0].deliver(reply)
        assert world.discards == {"RADIUS: reply that nobody waits for": 1}


class TestIdentifiers:
    def test_moreThanAPortHasTakeAnotherPort(self) -> None:
        world = World(maxInFlight=600)
        every = [world.ask() for _ in range(600)]
        assert [len(port.sent) for port in world.wire.ports] == [256, 256, 88]
        for port in world.wire.ports:
            assert len({octets[1] for octets in port.sent}) == len(port.sent)
        assert world.transport.free == 0
        for port in world.wire.ports:
            for octets in tuple(port.sent):
                port.deliver(answer(octets))
        assert all(results[0].code == 2 for _, results in every)
        assert world.transport.free == 600

    def test_theOneFreeForLongestIsTaken(self) -> None:
        world = World()
        for _ in range(300):
            asked, _ = world.ask()
            asked.addErrback(lambda _: None)
            asked.cancel()
        identifiers = [octets[1] for octets in world.wire.sent]
        assert len(set(identifiers[:256])) == 256
        assert identifiers[256:] == identifiers[:44]

    def test_accountingToo(self) -> None:
        world = World(RADIUSService.ACCOUNTING)
        _, results = world.ask(ACCOUNTING_REQUEST)
        world.wire.ports[0].deliver(answer(world.wire.sent[0], 5))
        assert results[0].code == 5
