"""
Tests that a reload changes where calls to come are passed on to.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from pptpgw.config.configuration import parse
from pptpgw.error import CallError, ConfigurationError
from pptpgw.testing import resultOf
from tests.reload.world import World, shows
from tests.sessions.legs import Forwarder, LegDataPath

DESTINATION = """
[[forwarding.destination]]
name = "isp"
tunnel = "leg"
endpoints = ["203.0.113.1"]
realms = ["isp.example"]
"""


def makeWorld() -> tuple[World, Forwarder]:
    """
    Make a gateway, and its tunnel that places calls.
    """
    world = World()
    dataPath = LegDataPath(world.network)
    world.gateway.context = replace(world.gateway.context, dataPath=dataPath)
    forwarder = Forwarder(world.clock)
    world.gateway.context.forwarding.forwarders = {"leg": forwarder}
    return world, forwarder


@shows("[forwarding] destination")
def test_destinations() -> None:
    """
    A destination that comes holds for calls to come; one that goes leaves the calls that were
    passed there alone.
    """
    world, forwarder = makeWorld()
    forwarder.peers["203.0.113.1"] = None
    resultOf(world.call("alice@isp.example"))
    world.reload(DESTINATION)
    world.call("bob@isp.example").addErrback(lambda failure: None)
    assert forwarder.tried == ["203.0.113.1"]
    world.reload()
    resultOf(world.call("carol@isp.example"))
    assert forwarder.tried == ["203.0.113.1"]
    assert [one.encryption for one in world.gateway.sessions].count("passed on") == 1


@shows("[forwarding] timeout")
def test_timeout() -> None:
    world, forwarder = makeWorld()
    forwarder.silent.add("203.0.113.1")
    for seconds in (9, 2):
        world.reload(f"[forwarding]\ntimeout = {seconds}" + DESTINATION)
        began = world.clock.seconds()
        placed = world.placeCall(world.connect(), b"alice@isp.example")
        forwarder.cancelled.clear()
        for _ in range(2000):
            if not forwarder.cancelled:
                world.run(0.01)
        assert seconds < world.clock.seconds() - began < seconds + 1
        world.run(1)
        with pytest.raises(CallError):
            resultOf(placed)


def test_aTunnelThatPlacesNoCalls() -> None:
    """
    A destination by a tunnel that places no calls is refused at the reload, and at the start.
    """
    world, _ = makeWorld()
    text = DESTINATION.replace('"leg"', '"sstp"')
    with pytest.raises(ConfigurationError, match="'sstp' is none of"):
        resultOf(world.service.reload(parse(text, "after")))
    with pytest.raises(ConfigurationError, match="'sstp' is none of"):
        World(text)
