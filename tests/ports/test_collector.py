"""
Tests for L{pptpgw.ports.collector}, and for which processes have a collector.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from pptpgw import service, tap
from pptpgw.ports import collector
from pptpgw.ports.collector import COUNTED, INTERVAL, STEP, Collector


class Thing:
    """
    An object that can be in a cycle.
    """

    def __init__(self) -> None:
        self.other: object = None


@pytest.fixture
def clock() -> Iterator[Clock]:
    """
    The clock of a collector. At the end the objects of the tests are frozen again.
    """
    before = gc.get_threshold()
    yield Clock()
    gc.set_threshold(*before)
    gc.collect()
    gc.freeze()


def test_whatIsThereIsFrozenAndUnfrozen(clock: Clock) -> None:
    """
    The objects that exist when the reactor starts are frozen until the end.
    """
    gc.unfreeze()
    before = gc.get_threshold()
    one = Collector(clock)
    one.startService()
    assert gc.get_freeze_count() == 0
    clock.advance(0)
    assert gc.get_freeze_count() > STEP
    assert gc.get_threshold() != before
    one.stopService()
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, before)
    assert clock.getDelayedCalls() == []


def test_steps(clock: Clock) -> None:
    """
    New objects are frozen a few at a time, and those that have become garbage meanwhile aren't.
    """
    one = Collector(clock)
    one.startService()
    clock.advance(0)
    first = gc.get_freeze_count()
    kept: list[list[object]] = [[] for _ in range(STEP // 2)]
    clock.advance(INTERVAL)
    assert gc.get_freeze_count() - first < STEP // 2
    kept += [[] for _ in range(STEP)]
    thing = Thing()
    thing.other = thing
    gone = weakref.ref(thing)
    del thing
    clock.advance(INTERVAL)
    assert gc.get_freeze_count() - first >= len(kept)
    assert gone() is None
    one.stopService()


def test_newObjectsWhileOldOnesAreFreed(clock: Clock) -> None:
    """
    New objects are frozen even if old ones were freed and the number of objects hasn't grown.
    """
    old: list[list[object]] = [[] for _ in range(2 * STEP)]
    one = Collector(clock)
    one.startService()
    clock.advance(0)
    kept: list[list[object]] = []
    for _ in range(2 * STEP):
        old.pop()
        kept.append([])
    assert len(gc.get_objects(0)) > STEP
    clock.pump([INTERVAL] * COUNTED)
    assert len(gc.get_objects(0)) < STEP
    one.stopService()


@pytest.mark.parametrize("kind", [service.GatewayService, tap.CommandService])
async def test_whoHasOne(
    kind: type[service.GatewayService], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The process of C{twistd pptpgw} has a collector, and an application that embeds the gateway
    hasn't.
    """
    started: list[Collector] = []
    monkeypatch.setattr(collector.Collector, "startService", lambda self: started.append(self))
    for name in ("privilegedStartService", "_announce"):
        monkeypatch.setattr(service.GatewayService, name, lambda self: None)
    options = tap.Options()
    made = tap.makeService(options)
    if kind is service.GatewayService:
        made = service.GatewayService(made._reactor, options.configuration, options.checkers)
    made.startService()
    assert len(started) == (kind is tap.CommandService)
    await made.stopService()
