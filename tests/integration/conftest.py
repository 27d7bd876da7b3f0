"""
Fixtures of the tests that run the whole program on this machine's kernel.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.world import Client, Served, World, devices
from tests.lab.peers import Process

HERE = Path(__file__).parent


def lacking() -> str:
    """
    The reason why these tests can't run here, or an empty string.
    """
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    missing = [name for name in ("ip", "nsenter", "setpriv", "ping") if not shutil.which(name)]
    return f"needs the programs {', '.join(missing)}" if missing else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Skip the tests where they can't run.
    """
    reason = lacking()
    for item in items:
        if reason and item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def namespaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """
    The namespaces of the whole run.
    """
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.remove()


@pytest.fixture
def world(namespaces: World) -> Iterator[World]:
    """
    The namespaces, in which nothing else runs.
    """
    Process.logs.clear()
    yield namespaces
    namespaces.reset()


Serve = Callable[..., Served]


@pytest.fixture
def serve(world: World, tmp_path: Path) -> Iterator[Serve]:
    """
    A function that starts a gateway, once in a test. Its arguments are the sections of the
    configuration. At the end the gateway is interrupted, and must end in order and leave nothing
    behind.
    """
    served: list[Served] = []

    def start(auth: str | None = None, **sections: dict[str, object]) -> Served:
        served.append(Served(world, tmp_path, sections, auth))
        return served[-1]

    yield start
    for one in served:
        assert one.interrupt() == 0, one.text
        assert "Traceback" not in one.text, one.text
        assert devices(world.gateway) == one.before


@pytest.fixture
def client(world: World) -> Iterator[Callable[..., Client]]:
    """
    A function that starts a client on the caller's host. Its arguments are additional ones of
    L{Client}.
    """
    clients: list[Client] = []

    def start(*path: Path) -> Client:
        clients.append(Client(world.caller, *path))
        return clients[-1]

    yield start
    for one in clients:
        one.kill()
