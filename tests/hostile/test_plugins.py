"""
Tests with a third party's plugins that fail. Their failures affect only themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.interfaces import (
    Attachment,
    INetwork,
    INetworkProtocol,
    ISessionObserver,
    ISubscriber,
)
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.exchange import VERIFICATION_SECONDS
from tests.hostile.callers import KINDS, Caller, Honest
from tests.hostile.limits import assertGivenBack, living, rest
from tests.hostile.world import World


class Fault(Exception):
    """
    The exception that the plugins here raise.
    """


class FaultyProtocol(NetworkProtocol):
    """
    A protocol that raises in one of its methods.
    """

    name = "faulty"
    control = 0x80F1
    protocol = 0x00F1

    def __init__(self, at: str = "") -> None:
        super().__init__()
        self.at = at
        self.got: list[bytes] = []

    def _may(self, what: str) -> None:
        if what == self.at:
            raise Fault(what)

    def attach(self, link: Any) -> None:
        super().attach(link)
        self._may("attach")

    def open(self) -> None:
        super().open()
        self._may("open")

    def lowerUp(self) -> None:
        self._may("lowerUp")
        super().lowerUp()

    def lowerDown(self) -> None:
        self._may("lowerDown")
        super().lowerDown()

    def detach(self) -> None:
        super().detach()
        self._may("detach")

    def received(self, packet: bytes) -> None:
        self._may("received")
        super().received(packet)

    def rejected(self) -> None:
        self._may("rejected")
        super().rejected()

    def layerUp(self, protocol: Any) -> None:
        super().layerUp(protocol)
        self._may("layerUp")

    def layerDown(self, protocol: Any) -> None:
        self._may("layerDown")
        super().layerDown(protocol)

    def layerFinished(self, protocol: Any, reason: str) -> None:
        super().layerFinished(protocol, reason)
        self._may("layerFinished")

    def attachment(self) -> Attachment:
        self._may("attachment")
        return Attachment(receive=self._packet)

    def _packet(self, packet: bytes) -> None:
        self.got.append(packet)
        self._may("packet")


@implementer(INetwork)
class FaultyNetwork:
    """
    A network that raises where it is told to, or takes its time.

    @ivar answers: the results of C{makeProtocol}, in turn, with C{None} for a protocol at once.
    """

    def __init__(self, at: str = "", answers: list[Any] | None = None) -> None:
        self.at = at
        self.answers = answers
        self.released: list[Any] = []

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def makeProtocol(self, subscriber: ISubscriber, caller: Any) -> Deferred[Any]:
        if self.at == "makeProtocol":
            raise Fault("makeProtocol")
        if self.answers is not None:
            answer: Deferred[Any] = self.answers.pop(0)
            return answer
        return succeed(FaultyProtocol(self.at))

    def release(self, protocol: Any) -> None:
        self.released.append(protocol)
        if self.at == "release":
            raise Fault("release")


def client(user: bytes, world: World) -> Caller:
    """
    A caller with every protocol, including the faulty one.
    """
    ends = [kind(world.clock).ends[0] for kind in KINDS]
    caller = Caller(world, user, [FaultyProtocol(), *ends])
    world.run(0.1)
    return caller


@pytest.fixture
def worlds() -> Iterator[list[World]]:
    """
    The worlds that are stopped at the end.
    """
    made: list[World] = []
    yield made
    for world in made:
        world.stop()


def made(worlds: list[World], *arguments: Any, **options: Any) -> World:
    """
    A world that is stopped at the end of the test.
    """
    world = World(*arguments, **options)
    worlds.append(world)
    return world


def takeFaults(world: World, loggedFailures: list[Failure]) -> int:
    """
    How many faults were logged since this was last called. Nothing else may have been logged.
    """
    faults = len(loggedFailures)
    for failure in loggedFailures:
        assert failure.check(Fault), failure.getTraceback()
    loggedFailures.clear()
    world.failures.clear()
    return faults


def networksOf(world: World, user: str) -> set[str]:
    """
    The open networks of a user's session.
    """
    (session,) = [one for one in world.gateway.sessions if one.user == user]
    return set(session.networks)


@pytest.mark.parametrize(
    "at",
    (
        "attach",
        "open",
        "lowerUp",
        "received",
        "layerUp",
        "attachment",
        "layerDown",
        "lowerDown",
        "detach",
        "release",
        "packet",
    ),
)
def test_aProtocolThatRaises(at: str, worlds: list[World], loggedFailures: list[Failure]) -> None:
    """
    A protocol that raises is ended, or loses a packet. The session's other protocols open and carry
    packets, and everything is given back at the end.
    """
    network = FaultyNetwork(at)
    world = made(worlds, more=[network])
    honest = Honest(world)
    honest.assertServed()
    loggedFailures.clear()
    world.failures.clear()
    before, alive = rest(world), living()
    caller = client(b"mallory", world)
    everything = set(world.networks)
    lasts = at in ("layerDown", "lowerDown", "detach", "release", "packet")
    assert networksOf(world, "mallory") - {"faulty"} == everything
    assert ("faulty" in networksOf(world, "mallory")) is lasts
    for number in range(3):
        caller.send(0x00F1, b"%d" % number)
    world.run(0.01)
    honest.assertServed()
    caller.hangUp()
    world.rest(8)
    assert not caller.isThere()
    caller.drop()
    assert network.released
    network.released.clear()
    assert takeFaults(world, loggedFailures) > 0
    del caller
    world.rest(1)
    honest.assertServed()
    world.rest(1)
    assertGivenBack(world, before, alive)


@pytest.mark.parametrize("at", ("rejected", "layerFinished"))
def test_aProtocolThatRaisesAsItIsRejected(
    at: str, worlds: list[World], loggedFailures: list[Failure]
) -> None:
    """
    A protocol is ended by a peer's Protocol-Reject even if it raises when it is told of that.
    """
    world = made(worlds, more=[FaultyNetwork(at)])
    Honest(world).assertServed()
    assert takeFaults(world, loggedFailures) == 2
    assert networksOf(world, "alice") == set(world.networks)


def test_aNetworkThatRefusesEverybody(worlds: list[World], loggedFailures: list[Failure]) -> None:
    """
    A caller is refused if a network's C{makeProtocol} raises, and the other networks take back what
    they gave.
    """
    world = made(worlds, more=[FaultyNetwork("makeProtocol")])
    before, alive = rest(world), living()
    caller = client(b"mallory", world)
    world.rest(10)
    assert not caller.isThere()
    caller.drop()
    assert takeFaults(world, loggedFailures) == 1
    del caller
    world.rest(1)
    assertGivenBack(world, before, alive)


@pytest.mark.parametrize("setupTimeout", (10.0, 60.0))
def test_aNetworkThatNeverAnswers(setupTimeout: float, worlds: list[World]) -> None:
    """
    A login that waits for a network ends in time. Everything that the other networks gave is given
    back at once, and a protocol that the network makes later goes back to it.
    """
    late: Deferred[Any] = Deferred()
    network = FaultyNetwork(answers=[late])
    world = made(worlds, more=[network], setupTimeout=setupTimeout)
    before, alive = rest(world), living()
    caller = client(b"mallory", world)
    world.rest(min(setupTimeout, VERIFICATION_SECONDS) - 1)
    assert caller.isThere()
    world.rest(10)
    assert not caller.isThere()
    caller.drop()
    del caller
    world.rest(1)
    assertGivenBack(world, before, alive)
    world.rest(100)
    protocol = FaultyProtocol()
    late.callback(protocol)
    assert network.released == [protocol]
    world.assertNoFailure()


def test_aNetworkThatFailsTooLate(worlds: list[World]) -> None:
    """
    A network's failure after its caller has gone has no effect.
    """
    late: Deferred[Any] = Deferred()
    world = made(worlds, more=[FaultyNetwork(answers=[late])])
    caller = client(b"mallory", world)
    caller.drop()
    world.rest(1)
    assert not caller.isThere()
    late.errback(Fault())
    world.assertNoFailure()


def test_aNetworkThatTakesItsTime(worlds: list[World]) -> None:
    """
    A network that answers before the login ends is served like the others, and a second caller
    doesn't wait for it.
    """
    late: Deferred[Any] = Deferred()
    network = FaultyNetwork(answers=[late, succeed(FaultyProtocol())])
    world = made(worlds, more=[network])
    slow = client(b"mallory", world)
    quick = client(b"eve", world)
    assert networksOf(world, "eve") == {"faulty", *world.networks}
    world.rest(20)
    late.callback(FaultyProtocol())
    world.run(0.2)
    assert networksOf(world, "mallory") == {"faulty", *world.networks}
    assert network.released == []
    world.assertNoFailure()
    assert slow.isThere() and quick.isThere()


def test_anAnswerWhileLCPBeganAnew(worlds: list[World]) -> None:
    """
    A caller may negotiate LCP anew and authenticate again while a network is at work. The protocol
    of the first attempt goes back, and that of the second is used.
    """
    first: Deferred[Any] = Deferred()
    second = FaultyProtocol()
    network = FaultyNetwork(answers=[first, succeed(second)])
    world = made(worlds, more=[network])
    caller = client(b"mallory", world)
    caller.call.link.lcp.lowerDown()
    caller.call.link.lcp.lowerUp()
    world.run(0.2)
    assert networksOf(world, "mallory") == {"faulty", *world.networks}
    forgotten = FaultyProtocol()
    first.callback(forgotten)
    assert network.released == [forgotten]
    assert networksOf(world, "mallory") == {"faulty", *world.networks}
    world.assertNoFailure()


@implementer(ISessionObserver)
class FaultyObserver:
    """
    An observer that raises at every event.
    """

    def __getattr__(self, name: str) -> Any:
        def told(*arguments: object) -> None:
            raise Fault(name)

        return told


def test_anObserverThatRaises(worlds: list[World], loggedFailures: list[Failure]) -> None:
    """
    Callers are served in spite of an observer that raises, and nothing is left at the end.
    """
    world = made(worlds, observers=[FaultyObserver()])
    before, alive = rest(world), living()
    honest = Honest(world)
    honest.assertServed()
    for caller in honest.callers:
        caller.hangUp()
    world.rest(8)
    for caller in honest.callers:
        caller.drop()
    assert takeFaults(world, loggedFailures) >= 2 * (2 + 2 * len(KINDS))
    del honest, caller
    world.rest(1)
    assertGivenBack(world, before, alive)


def test_theProtocolsOfOthers() -> None:
    """
    The faulty plugins have exactly the methods that their interfaces demand.
    """
    assert INetworkProtocol.implementedBy(FaultyProtocol)
