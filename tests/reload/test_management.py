"""
Tests that the management interface follows a reload.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.web.test.requesthelper import DummyChannel, DummyRequest

from pptpgw.management.problem import Problem
from tests.reload.world import World, shows


@shows("[management] metrics-public")
def test_publicMetrics() -> None:
    """
    Whoever can connect may read the metrics while the configuration says so.
    """
    world = World()
    management: Any = world.service.management
    request: Any = DummyRequest([b"metrics"])
    request.channel = DummyChannel()
    with pytest.raises(Problem):
        management._assertMayRead(request)
    world.reload("[management]\nmetrics-public = true")
    management._assertMayRead(request)
    world.reload()
    with pytest.raises(Problem):
        management._assertMayRead(request)
