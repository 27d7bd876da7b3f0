"""
Tests that a reload changes the calls that the gateway dials.
"""

from __future__ import annotations

from pathlib import Path

from tests.dialling.test_service import Sites
from tests.reload.world import shows


@shows("[dial] dial")
def test_calls(tmp_path: Path) -> None:
    """
    A call that comes is placed, one that changes is placed anew, one that goes ends, and one that
    stays isn't touched.
    """
    sites = Sites(tmp_path)
    sites.start()
    (first,) = sites.south.gateway.sessions
    sites.reload(sites.configuration())
    sites.run(1)
    (same,) = sites.south.gateway.sessions
    assert same is first
    sites.reload(sites.configuration('filter = "web"\n'))
    sites.run(8, 0.01)
    (changed,) = sites.south.gateway.sessions
    assert changed is not first and changed.profile.filter == "web"
    head, _, _ = sites.configuration().partition("[[dial]]")
    sites.reload(head)
    sites.run(1)
    assert not sites.dialling.dials and not list(sites.south.gateway.sessions)
    assert not list(sites.dialling)
    sites.reload(sites.configuration())
    sites.run(1)
    assert sites.state == "UP"
    sites.stop()
