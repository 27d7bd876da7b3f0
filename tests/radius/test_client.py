from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.radius import client as module
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.packet import (
    ACCESS_REQUEST,
    ACCOUNTING_REQUEST,
    STATUS_SERVER,
    RADIUSRequest,
    Reply,
)
from pptpgw.radius.servers import Server
from pptpgw.radius.transport import Fill, RADIUSService, Unanswered
from pptpgw.radius.udp import UDPTransport
from tests.radius.wire import SECRET, Port, Wire, answer, asked

Serve = Callable[[Port, bytes], None]


def right(port: Port, octets: bytes) -> None:
    """
    Answer every request, as a healthy server does.
    """
    codes = {ACCESS_REQUEST: 2, ACCOUNTING_REQUEST: 5, STATUS_SERVER: 2}
    port.deliver(answer(octets, codes[octets[0]]))


def refusing(port: Port, octets: bytes) -> None:
    """
    Answer with ICMP, as a machine without a server does.
    """
    port.protocol.connectionRefused()


def server(port: int, **keys: Any) -> Server:
    return Server("192.0.2.1", port, 0, secret=SECRET.decode(), **keys)


class World:
    """
    A client whose servers differ in their ports.
    """

    def __init__(self, *servers: Server) -> None:
        self.wire = Wire()
        self.counters = Counters()
        self.client = RADIUSClient(
            self.wire, servers, self._transport, b"gate", 60.0, 10.0, Random(4)
        )
        self.asked: Counter[int] = Counter()

    def _transport(self, one: Server, service: RADIUSService) -> UDPTransport:
        return UDPTransport(self.wire, one, service, 6.0, self.counters, Random(5))

    def serve(self, port: int, how: Serve | None) -> None:
        """
        Answer requests to C{port} by this function from now on, or with C{None} not at all.
        """

        def count(one: Port, octets: bytes) -> None:
            self.asked[port] += octets[0] != STATUS_SERVER
            if how is not None:
                how(one, octets)

        self.wire.servers[port] = count

    def request(
        self, deadline: float = 25.0, one: Server | None = None, code: int = ACCESS_REQUEST
    ) -> tuple[Deferred[Reply], list[Any]]:
        results: list[Any] = []
        made = self.client.request(
            code, lambda request: request.add("User-Name", "vera"), deadline, one
        )
        made.addCallbacks(results.append, lambda failure: results.append(failure.value))
        return made, results

    def probes(self, port: int) -> list[bytes]:
        return [
            octets
            for one in self.wire.ports
            if one.peer == ("192.0.2.1", port)
            for octets in one.sent
            if octets[0] == STATUS_SERVER
        ]


class TestChoice:
    def test_byWeight(self) -> None:
        world = World(server(1, weight=3), server(2, weight=1), server(3, weight=0))
        for port in (1, 2, 3):
            world.serve(port, right)
        for _ in range(400):
            assert world.request()[1][0].code == 2
        assert 260 < world.asked[1] < 340
        assert world.asked[3] == 0
        assert world.asked[1] + world.asked[2] == 400

    def test_oneWithoutWeightWhereNoOtherIsLeft(self) -> None:
        world = World(server(1, weight=0), server(2))
        world.serve(1, right)
        world.serve(2, refusing)
        assert world.request()[1][0].code == 2
        assert world.asked == {2: 1, 1: 1}

    def test_oneWithoutWeightWhereTheOthersAreBusy(self) -> None:
        world = World(server(1, weight=0), server(2, maxInFlight=1))
        world.serve(1, right)
        world.serve(2, None)
        world.request()
        assert world.request()[1][0].code == 2
        assert world.asked == {2: 1, 1: 1}

    def test_theOneThatIsAskedFor(self) -> None:
        """
        A request with a State goes to the server that made the State.
        """
        first, second = server(1, weight=0), server(2)
        world = World(first, second)
        world.serve(1, right)
        world.serve(2, right)
        for _ in range(20):
            assert world.request(one=first)[1][0].server is first
        assert world.asked == {1: 20}

    def test_noServerForAccounting(self) -> None:
        world = World(server(1))
        assert world.client.serves(RADIUSService.AUTHENTICATION)
        assert not world.client.serves(RADIUSService.ACCOUNTING)
        _, results = world.request(code=ACCOUNTING_REQUEST)
        assert isinstance(results[0], Unanswered)
        assert "accounting" in str(results[0])

    def test_accountingHasItsOwnPort(self) -> None:
        world = World(Server("192.0.2.1", 1, 7, secret=SECRET.decode()))
        world.serve(7, right)
        assert world.request(code=ACCOUNTING_REQUEST)[1][0].code == 5


class TestFailover:
    def test_theNextIsAskedInItsTime(self) -> None:
        world = World(server(1), server(2, weight=0))
        world.serve(1, None)
        world.serve(2, right)
        _, results = world.request()
        world.wire.wait(5.9)
        assert not results
        world.wire.wait(0.3)
        assert results[0].code == 2
        assert world.asked == {1: 2, 2: 1}

    def test_theNextIsAskedAtOnceWhereNobodyListens(self) -> None:
        world = World(server(1), server(2, weight=0))
        world.serve(1, refusing)
        world.serve(2, right)
        assert world.request()[1][0].code == 2

    def test_theNextPacketIsAnother(self) -> None:
        """
        The request to the next server has another authenticator, as its password is hidden with
        another secret.
        """
        world = World(server(1), server(2, weight=0))
        world.serve(1, refusing)
        world.serve(2, right)
        world.request()
        first, second = world.wire.sent
        assert first[4:20] != second[4:20]

    def test_aDeadOneIsPassedOver(self) -> None:
        world = World(server(1, weight=9), server(2))
        world.serve(1, None)
        world.serve(2, right)
        first = [world.request()[1] for _ in range(10)]
        world.wire.wait(7)
        assert all(results[0].code == 2 for results in first)
        before = world.asked[1]
        for _ in range(20):
            assert world.request()[1][0].code == 2
        assert world.asked[1] == before

    def test_allDeadTheyAreAskedNonetheless(self) -> None:
        world = World(server(1))
        world.serve(1, refusing)
        assert not world.request()[1]
        world.serve(1, right)
        assert world.request()[1][0].code == 2

    def test_anotherRoundUntilTheDeadline(self) -> None:
        """
        Requests are repeated to all servers until the deadline, so that servers that restart within
        it lose none.
        """
        world = World(server(1), server(2))
        world.serve(1, refusing)
        world.serve(2, refusing)
        _, results = world.request()
        world.wire.wait(10)
        assert not results
        assert sum(world.asked.values()) <= 2 * 11
        world.serve(2, right)
        world.wire.wait(2)
        assert results[0].code == 2

    def test_theDeadlineEndsIt(self) -> None:
        world = World(server(1), server(2))
        world.serve(1, None)
        world.serve(2, None)
        _, results = world.request(deadline=20)
        world.wire.wait(19.8)
        assert not results
        world.wire.wait(0.4)
        assert isinstance(results[0], Unanswered)
        assert "within 20 s" in str(results[0])
        world.client.stop()
        assert not world.wire.getDelayedCalls()

    def test_whatCantBeFilledIsAskedOfNobody(self) -> None:
        world = World(server(1), server(2))
        failed: list[Any] = []

        def fill(request: RADIUSRequest) -> None:
            raise ValueError("no such name")

        world.client.request(ACCESS_REQUEST, fill, 25.0).addErrback(failed.append)
        assert failed[0].check(ValueError)
        assert not world.wire.sent
        assert not world.wire.getDelayedCalls()

    def test_killedInMidLoadNothingIsLost(self) -> None:
        """
        No request is lost when one of two servers dies, while 600 requests are made, 30 a second.
        """
        world = World(server(1), server(2))
        late: list[tuple[Port, bytes]] = []

        def slow(port: Port, octets: bytes) -> None:
            late.append((port, octets))

        def answerLate() -> None:
            while late:
                right(*late.pop(0))

        world.serve(1, slow)
        world.serve(2, slow)
        every: list[list[Any]] = []
        for second in range(20):
            if second == 10:
                # The server dies with requests that it hasn't answered.
                late[:] = [one for one in late if one[0].peer == ("192.0.2.1", 2)]
                world.serve(1, None)
            every += [world.request()[1] for _ in range(30)]
            world.wire.wait(0.5)
            answerLate()
            world.wire.wait(0.5)
        for _ in range(10):
            world.wire.wait(1)
            answerLate()
        assert len(every) == 600
        assert all(results and results[0].code == 2 for results in every)


class TestHealth:
    def said(self, world: World, wait: float) -> list[str]:
        events: list[str] = []

        @implementer(ILogObserver)
        def observer(event: LogEvent) -> None:
            events.append(str(event.get("log_format")))

        globalLogPublisher.addObserver(observer)
        try:
            world.wire.wait(wait)
        finally:
            globalLogPublisher.removeObserver(observer)
        return events

    def test_deathIsSaidOnceAndWhatMayBeBehindIt(self) -> None:
        world = World(server(1))
        world.serve(1, None)
        for _ in range(5):
            world.request()
        said = self.said(world, 20)
        assert len([one for one in said if "is dead" in one]) == 1
        assert "another shared secret" in said[0]

    def test_oneThatAnswersOthersIsntDead(self) -> None:
        """
        A server that leaves one request unanswered and answers others isn't declared dead.
        """
        world = World(server(1))
        world.serve(1, None)
        world.request()
        world.wire.wait(4)
        world.serve(1, right)
        world.request()
        world.serve(1, None)
        assert not [one for one in self.said(world, 3) if "is dead" in one]

    def test_oneThatAnsweredJustAfterIsDead(self) -> None:
        """
        A server that answers a request sent before its silence, and nothing after, is declared
        dead.
        """
        world = World(server(1))
        world.serve(1, None)
        world.request()
        port = world.wire.ports[0]
        world.request()
        world.wire.wait(0.5)
        port.deliver(answer(port.sent[1]))
        assert [one for one in self.said(world, 6) if "is dead" in one]

    def test_oneThatIsGoneIsDeadWhateverItSaidBefore(self) -> None:
        world = World(server(1))
        world.serve(1, right)
        world.request()
        world.serve(1, refusing)
        world.request()
        world.wire.wait(12)
        assert world.probes(1)

    def test_threeProbesBringItBack(self) -> None:
        world = World(server(1, weight=9), server(2))
        world.serve(1, refusing)
        world.serve(2, right)
        for _ in range(100):
            if not world.asked[1]:
                world.request()
        assert not world.probes(1)
        world.serve(1, right)
        world.asked.clear()
        for wanted in (1, 2, 3):
            for _ in range(20):
                world.request()
            assert world.asked[1] == 0
            world.wire.wait(11.5)
            assert len(world.probes(1)) >= wanted
        probe = asked(world.probes(1)[0])
        assert probe.verify_message_authenticator()
        assert probe["NAS-Identifier"] == ["gate"]
        for _ in range(20):
            world.request()
        assert world.asked[1] > 0
        world.wire.wait(60)
        assert len(world.probes(1)) == 3

    def test_anUnansweredProbeBeginsTheRowAnew(self) -> None:
        world = World(server(1))
        world.serve(1, refusing)
        world.request(deadline=1)
        world.wire.wait(1.2)
        for count, outcome in enumerate([right, right, refusing, right, right], 1):
            world.serve(1, outcome)
            for _ in range(200):
                if len(world.probes(1)) < count:
                    world.wire.wait(0.1)
            assert len(world.probes(1)) == count
        world.serve(1, right)
        assert [one for one in self.said(world, 12) if "answers again" in one]

    def test_anAnswerBringsItBackAtOnce(self) -> None:
        world = World(server(1))
        world.serve(1, refusing)
        world.request(deadline=1)
        world.serve(1, right)
        world.request()
        world.wire.wait(60)
        assert not world.probes(1)

    def test_withoutStatusServerItsTimeDoes(self) -> None:
        world = World(server(1, weight=9, statusServer=False), server(2))
        world.serve(1, refusing)
        world.serve(2, right)
        for _ in range(100):
            if not world.asked[1]:
                world.request()
        world.asked.clear()
        world.wire.wait(50)
        for _ in range(20):
            world.request()
        assert world.asked[1] == 0
        world.wire.wait(20)
        for _ in range(20):
            world.request()
        assert world.asked[1] > 0
        assert not world.probes(1)

    def test_probesGoOn(self) -> None:
        world = World(server(1))
        world.serve(1, None)
        world.request(deadline=7)
        world.wire.wait(100)
        assert 4 <= len(world.probes(1)) <= 10


class TestPlaces:
    def test_noServerHasMoreThanItMay(self) -> None:
        world = World(server(1, maxInFlight=3), server(2, maxInFlight=2))
        world.serve(1, None)
        world.serve(2, None)
        for _ in range(20):
            world.request()
        assert world.asked == {1: 3, 2: 2}

    def test_whoWaitsIsServedInOrder(self) -> None:
        world = World(server(1, maxInFlight=2))
        world.serve(1, None)
        every = [world.request()[1] for _ in range(9)]
        for done in range(9):
            assert [bool(results) for results in every] == [one < done for one in range(9)]
            port = world.wire.ports[0]
            port.deliver(answer(port.sent[done]))

    def test_whatOverflowsTheLiveOneWaitsForIt(self) -> None:
        """
        Requests beyond the live server's window wait for it. A dead server would cost each of them
        its whole time-out.
        """
        world = World(server(1, maxInFlight=1), server(2))
        world.serve(1, None)
        world.serve(2, refusing)
        # The first request to server 2 finds that it is dead.
        while world.asked[2] == 0:
            world.request()[0].cancel()
        world.asked.clear()
        every = [world.request()[1] for _ in range(3)]
        assert world.asked == {1: 1}
        for done in range(3):
            port = next(one for one in world.wire.ports if one.peer == ("192.0.2.1", 1))
            port.deliver(answer(port.sent[-1]))
            assert [bool(results) for results in every] == [one <= done for one in range(3)]
        assert world.asked == {1: 3}

    def test_whoWaitsGoesToOneThatComesBack(self) -> None:
        """
        A request that waits goes to a dead server that comes back, while the other one is still
        busy.
        """
        world = World(server(1, maxInFlight=1), server(2, statusServer=False))
        world.client.deadTime = 2.0
        world.serve(1, None)
        world.serve(2, refusing)
        while world.asked[2] == 0:
            world.request()[0].cancel()
        world.serve(2, right)
        busy, waiting = world.request()[1], world.request()[1]
        world.wire.wait(1)
        assert not waiting
        world.wire.wait(2)
        assert waiting[0].code == 2 and not busy

    def test_whoWaitsTooLongGivesUp(self) -> None:
        world = World(server(1, maxInFlight=1))
        world.serve(1, None)
        world.request(deadline=30)
        _, results = world.request(deadline=2)
        world.wire.wait(2.1)
        assert isinstance(results[0], Unanswered)
        assert "busy" in str(results[0])

    def test_whoGaveUpHasNoPlace(self) -> None:
        world = World(server(1, maxInFlight=1))
        world.serve(1, None)
        first, _ = world.request()
        second, results = world.request()
        _, third = world.request()
        second.cancel()
        assert isinstance(results[0], CancelledError)
        first.cancel()
        assert world.asked == {1: 2}
        port = world.wire.ports[0]
        port.deliver(answer(port.sent[1]))
        assert third[0].code == 2

    def test_whoFailsLeavesThePlaceToOthers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World(server(1, maxInFlight=1))
        world.serve(1, None)
        first, second, third, fourth = (world.request()[1] for _ in range(4))
        ask = UDPTransport.ask
        faults = [ValueError("a fault of the transport's")]

        def faulty(transport: UDPTransport, code: int, fill: Fill) -> Deferred[Reply]:
            if faults:
                raise faults.pop()
            return ask(transport, code, fill)

        monkeypatch.setattr(UDPTransport, "ask", faulty)
        port = world.wire.ports[0]
        for done, results in enumerate((first, third, fourth)):
            port.deliver(answer(port.sent[done]))
            assert results[0].code == 2
            assert isinstance(second[0], ValueError)

    def test_theQueueHasAnEnd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "LONGEST_QUEUE", 5)
        world = World(server(1, maxInFlight=1))
        world.serve(1, None)
        every = [world.request()[1] for _ in range(7)]
        assert [bool(results) for results in every] == [False] * 6 + [True]
        assert "too many" in str(every[-1][0])

    def test_manyAtOnce(self) -> None:
        """
        600 requests at once are all answered, 256 at a time.
        """
        world = World(server(1))
        world.serve(1, None)
        every = [world.request()[1] for _ in range(600)]
        assert world.asked == {1: 256}
        port = world.wire.ports[0]
        done = 0
        while done < len(port.sent):
            port.deliver(answer(port.sent[done]))
            done += 1
        assert all(results[0].code == 2 for results in every)

    def test_manyAtOnceWithNobodyThere(self) -> None:
        """
        Many requests to an absent server, each of which is refused at once and tried again, fail
        without recursion.
        """
        world = World(server(1, maxInFlight=4))
        world.serve(1, refusing)
        every = [world.request(deadline=2)[1] for _ in range(400)]
        world.wire.wait(2.2)
        assert all(isinstance(results[0], Unanswered) for results in every)


class TestStopping:
    def test_everythingFails(self) -> None:
        world = World(server(1, maxInFlight=1), server(2))
        world.serve(1, None)
        world.serve(2, refusing)
        every = [world.request()[1] for _ in range(5)]
        world.client.stop()
        assert all(isinstance(results[0], Unanswered) for results in every)
        assert not world.wire.getDelayedCalls()
        assert all(port.closed for port in world.wire.ports)
        assert isinstance(world.request()[1][0], Unanswered)

    def test_andThenItStartsAgain(self) -> None:
        world = World(server(1))
        world.serve(1, right)
        world.client.stop()
        world.client.start()
        assert world.request()[1][0].code == 2
