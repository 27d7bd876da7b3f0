"""
Tests for reloads in which a part raises an exception when it is given its new section.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.python.failure import Failure

from pptpgw.config.configuration import parse
from pptpgw.config.reload import NotPutBack
from pptpgw.error import PPTPGWError
from pptpgw.networks.ipv4.plugin import IPv4Sessions
from pptpgw.testing import resultOf
from tests.reload.test_limits import refused
from tests.reload.world import World

OLD = '[ipv4]\npool = ["10.77.0.10-10.77.0.19"]\n'
NEW = '[limits]\nmax-sessions = 1\n[ipv4]\npool = ["10.78.0.10-10.78.0.19"]\n'


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, loggedFailures: list[Failure]) -> Any:
    """
    A list: IPv4's next reload fails, after it has followed, if the first element is true, the one
    after that if the second one is, and so on.
    """
    reload, fails = IPv4Sessions.reload, list[bool]()

    def follow(network: IPv4Sessions, settings: Any) -> None:
        reload(network, settings)
        if fails and fails.pop(0):
            raise RuntimeError("no way")

    monkeypatch.setattr(IPv4Sessions, "reload", follow)
    yield fails
    assert [one.type for one in loggedFailures] == [RuntimeError] * len(loggedFailures)
    loggedFailures.clear()


def addressOf(world: World, name: str) -> str:
    """
    Have a user call, and return the address that its session gets.
    """
    resultOf(world.call(name))
    (session,) = (one for one in world.service.sessions if one.user == name)
    return str(session.networks["ipv4"][0].network_address)


def test_everyPartIsPutBack(failing: list[bool], log: list[str]) -> None:
    """
    If a part fails, all parts follow the old configuration, those that had followed the new one
    among them. The reload has failed, and the next one does everything.
    """
    world = World(OLD)
    old, new = world.service.configuration, parse(NEW, "after")
    failing.append(True)
    with pytest.raises(PPTPGWError, match=r"^\[ipv4\]: RuntimeError: no way$"):
        resultOf(world.service.reload(new))
    assert log == [
        "[ipv4]: a reload failed",
        "the configuration is unchanged: [ipv4]: RuntimeError: no way",
    ]
    outcome = world.service.lastReload
    assert outcome is not None
    assert (outcome.reloaded, outcome.error) == (None, "[ipv4]: RuntimeError: no way")
    assert world.service.configuration == old
    assert [addressOf(world, name) for name in ("alice", "bob")] == ["10.77.0.10", "10.77.0.11"]
    assert [one.name for one in world.reload(NEW).applied] == [
        "[limits] max-sessions",
        "[ipv4] pool",
    ]
    assert "max-sessions" in refused(world, "carol")


def test_aPartThatCannotBePutBack(failing: list[bool], log: list[str]) -> None:
    """
    If a part fails again when it is put back, the error says so. The other parts are put back.
    """
    world = World(OLD)
    failing += [True, True]
    again = "[ipv4] can't be put back: RuntimeError: no way: restart the gateway"
    with pytest.raises(NotPutBack):
        resultOf(world.service.reload(parse(NEW, "after")))
    assert [line for line in log if line.startswith("the reload failed")] == [
        "the reload failed: [ipv4]: RuntimeError: no way",
        f"the reload failed: {again}",
    ]
    assert world.service.lastReload is not None
    assert world.service.lastReload.error == f"[ipv4]: RuntimeError: no way\n{again}"
    for name in ("alice", "bob"):
        resultOf(world.call(name))
