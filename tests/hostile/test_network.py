"""
Tests with a network between the callers and the gateway that loses, doubles and delays packets.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.hostile.callers import CONTROLS, Honest
from tests.hostile.limits import assertGivenBack, assertWithinLimits, living, rest
from tests.hostile.world import World


@pytest.mark.parametrize("seed", range(4))
def test_harm(seed: int) -> None:
    """
    Every protocol is open and carries packets when the network is sound again. That is before one
    has sent its last Configure-Request, the tenth, after 27 seconds.
    """
    world = World("require" if seed % 2 else "off")
    before, alive = rest(world), living()
    world.wire.harm = Random(seed)
    honest = Honest(world)
    world.run(24, 0.01)
    assertWithinLimits(world, 2)
    world.wire.harm = None
    world.run(10, 0.01)
    for caller in honest.callers:
        assert len(caller.session.networks) == len(CONTROLS)
    honest.assertServed()
    world.wire.harm = Random(seed)
    for caller in honest.callers:
        caller.hangUp()
    world.run(20, 0.01)
    assert not world.gateway.lines
    for caller in honest.callers:
        caller.drop()
    world.assertNoFailure()
    del honest, caller
    world.rest(1)
    assertGivenBack(world, before, alive)
    world.stop()
