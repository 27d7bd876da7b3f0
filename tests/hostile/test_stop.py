"""
Tests for the gateway's end of many sessions at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.link import Phase
from tests.hostile.callers import Caller
from tests.hostile.world import World

CALLERS = 40


def stop(world: World) -> None:
    world.gateway.stop(10)


def hangUpEach(world: World) -> None:
    for session in world.gateway.sessions:
        session.hangUp("by order")


@pytest.mark.parametrize("end", [stop, hangUpEach])
def test_aFewAreHungUpInEachTurn(
    end: Callable[[World], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A few sessions are hung up in each turn of the reactor, however many there are, and all of them
    end.
    """
    world = World()
    callers = [
        Caller(world, b"eve", [IPCP(IPv4Settings.client(lambda packet: None))])
        for _ in range(CALLERS)
    ]
    world.run(0.2)
    assert len(world.gateway.sessions) == CALLERS
    now, began = count(), world.clock.seconds()
    with monkeypatch.context() as busy:
        # Each look at the clock takes nearly a millisecond.
        busy.setattr(world.clock, "seconds", lambda: began + next(now) / 1024)
        end(world)
    phases = [line.link.phase for line in world.gateway.lines]
    assert 0 < phases.count(Phase.TERMINATE) < CALLERS / 2
    world.run(0.2)
    assert not world.gateway.lines
    for caller in callers:
        caller.drop()
    world.stop()
