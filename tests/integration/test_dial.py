"""
Tests for calls between two sites that one gateway of ours dials to another one, over wires.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.sites import Sites
from tests.integration.world import World


@pytest.fixture
def sites(world: World, tmp_path: Path) -> Iterator[Sites]:
    made = Sites(world, tmp_path)
    yield made
    made.remove()


def test_siteToSite(sites: Sites) -> None:
    """
    The hosts of both sites reach each other by a call that the southern gateway has dialled, and
    the gateways themselves, too: the southern one from the address that it was given.
    """
    north = sites.answer()
    south = sites.dial({})
    south.waitFor("north to 203.0.113.1: ipv4 .* open")
    sites.ping("south", "-s", "1300")
    sites.ping("north")
    sites.south.run("ping", "-c", "1", "-W", "2", "10.1.0.2")
    (session,) = north.sessions().values()
    assert session["addresses"] == ["10.77.0.10/32", "10.2.0.0/24"]
    (session,) = south.sessions().values()
    assert session["addresses"] == ["10.77.0.1/32", "10.1.0.0/24"]
    assert session["encryption"] == "MPPE 128 bit stateless"
