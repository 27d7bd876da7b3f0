"""
The check that a gateway survives a hostile caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, settings

from tests.hostile.callers import Honest, Hostile
from tests.hostile.limits import assertGivenBack, assertWithinLimits, living, rest
from tests.hostile.world import World

BOUNDED = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)


def ordeal(encryption: str, caller: Callable[[World], Hostile], steps: Iterable[Any]) -> None:
    """
    Let the caller that C{caller} makes do C{steps}. Check that nothing fails or grows, that nothing
    is left of the caller, and that other callers are served as before.
    """
    world = World(encryption)
    try:
        honest = Honest(world)
        honest.assertServed()
        before, alive = rest(world), living()
        hostile = caller(world)
        for step in steps:
            hostile.do(step)
        assertWithinLimits(world, 3)
        world.assertNoFailure()
        if hostile.caller.isThere():
            hostile.caller.hangUp()
        world.rest(8)
        assert not hostile.caller.isThere()
        hostile.caller.drop()
        del hostile
        world.run(0.01)
        honest.assertServed()
        world.assertNoFailure()
        world.rest(1)
        assertGivenBack(world, before, alive)
    finally:
        world.stop()
