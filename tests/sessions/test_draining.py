"""
Tests for L{pptpgw.sessions.draining}, with a gateway and its callers in memory.
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.python.filepath import FilePath
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.error import CallError
from pptpgw.interfaces import Drain, IServiceObserver, ReloadOutcome
from pptpgw.sessions.draining import Draining
from pptpgw.testing import SessionRecorder, World, resultOf
from tests.chapsecrets import secretsIn


@implementer(IServiceObserver)
class Observer(SessionRecorder):
    """
    An observer that records drains too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.drains: list[tuple[Drain | None, bool]] = []

    def reloaded(self, outcome: ReloadOutcome) -> None:
        raise AssertionError("nothing is reloaded")

    def drainChanged(self, drain: Drain | None, drained: bool) -> None:
        self.drains.append((drain, drained))


class Drained(World):
    """
    A gateway that can be drained, with one caller.
    """

    def __init__(self, secrets: FilePath[str]) -> None:
        self.observer = Observer()
        super().__init__(checkers=[ChapSecretsChecker(secrets)], observers=[self.observer])
        self.finished: list[float] = []
        self.draining = Draining(
            self.clock,
            self.gateway,
            self.gateway.context.now,
            lambda: self.finished.append(self.clock.seconds()),
        )
        self.call = self.setUpCall()

    def begin(self, deadline: float | None = None, stop: bool = False) -> list[bool]:
        """
        Begin a drain.

        @return: a list that gets the result of the drain.
        """
        results: list[bool] = []
        waits: Deferred[bool] = self.draining.begin(deadline, stop)
        waits.addCallback(results.append)
        self.run(0.1)
        return results


@pytest.fixture
def world(tmp_path: object) -> Drained:
    return Drained(secretsIn(tmp_path, "alice * sesame *"))


def test_aNewCallIsRefusedAndTheOldOneGoesOn(world: Drained, log: list[str]) -> None:
    """
    A new call during a drain is refused as busy, so that clients dial again or elsewhere, and the
    old call goes on.
    """
    ended = world.begin()
    placed = world.placeCall(world.connect())
    world.run(0.2)
    with pytest.raises(CallError, match="busy"):
        resultOf(placed)
    assert "draining: no call is taken any more; calls left: 1; they go on" in log
    assert any("call refused: the gateway is drained" in line for line in log)
    world.run(3600, 1.0)
    assert len(world.gateway.sessions) == 1
    assert (ended, world.draining.drained) == ([], False)
    assert world.finished == []


def test_itIsOverWhenTheLastCallHasEnded(world: Drained, log: list[str]) -> None:
    ended = world.begin(stop=True)
    drain = world.draining.drain
    assert drain is not None
    assert world.clock.seconds() - drain.since < 1
    assert (drain.deadline, drain.stop) == (None, True)
    world.call.hangUp("enough")
    world.run(10)
    assert ended == [True]
    assert world.draining.drained
    assert len(world.finished) == 1
    assert log[-1] == "drained: no call is left"
    verifyObject(IServiceObserver, world.observer)
    assert [drained for _, drained in world.observer.drains] == [False, True]


def test_withoutAStopTheGatewayStays(world: Drained) -> None:
    world.call.hangUp("enough")
    world.run(10)
    assert world.begin() == [True]
    assert (world.draining.drained, world.finished) == (True, [])


def test_anEmptyGatewayStopsInALaterTurn(world: Drained) -> None:
    """
    A gateway without callers stops in a later turn of the reactor, so that the operator who asked
    for the drain still gets an answer.
    """
    world.call.hangUp("enough")
    world.run(10)
    world.draining.begin(None, True)
    assert world.finished == []
    world.run(0.01)
    assert len(world.finished) == 1


def test_theDeadlineEndsWhatIsLeft(world: Drained, log: list[str]) -> None:
    """
    The calls that are left at the deadline are ended in order: the peer is told, and the session's
    cause names the drain.
    """
    ended = world.begin(60.0, True)
    world.run(58, 1.0)
    assert len(world.gateway.sessions) == 1
    world.run(10, 0.1)
    assert ended == [True]
    assert [cause for _, cause, _ in world.observer.ended] == [
        "the gateway is drained, and the deadline has passed"
    ]
    assert "the drain's deadline has passed; calls that are ended: 1" in log
    assert len(world.finished) == 1


def test_undrained(world: Drained) -> None:
    """
    A cancelled drain has no deadline any more: calls are taken again, and the gateway doesn't stop.
    """
    ended = world.begin(60.0, True)
    world.draining.end()
    world.draining.end()
    assert ended == [False]
    assert world.draining.drain is None
    world.setUpCall()
    world.run(120, 1.0)
    assert len(world.gateway.sessions) == 2
    assert world.finished == []
    assert [drain is None for drain, _ in world.observer.drains] == [False, True]


def test_drainedAgain(world: Drained) -> None:
    """
    A second drain has a deadline of its own, and both that wait are answered.
    """
    first = world.begin(60.0, True)
    second = world.begin(3600.0)
    world.run(120, 1.0)
    assert len(world.gateway.sessions) == 1
    world.call.hangUp("enough")
    world.run(10)
    assert (first, second) == ([True], [True])
    assert world.finished == []


def test_anUndrainedGatewayIsNotDrainedWhenItsCallsEnd(world: Drained) -> None:
    world.begin(stop=True)
    world.draining.end()
    world.call.hangUp("enough")
    world.run(10)
    assert (world.draining.drained, world.finished) == (False, [])
