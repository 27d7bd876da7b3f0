"""
Fixtures of stores, in both databases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from pptpgw.store.store import Store
from tests.postgresql import Server

NOW = 1_700_000_000.0


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """
    A PostgreSQL server.
    """
    made = Server()
    yield made
    made.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """
    The URL of a database in which there is no store yet.
    """
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/accounts.sqlite"
    server: Server = request.getfixturevalue("server")
    return server.fresh()


MakeStore = Callable[..., Store]


@pytest.fixture
def makeStore(tmp_path: Path) -> Iterator[MakeStore]:
    """
    A function that makes stores, all with the same key.
    """
    made: list[Store] = []

    def make(url: str, **others: Any) -> Store:
        arguments: dict[str, Any] = {"create": True, "now": lambda: NOW, **others}
        made.append(Store(reactor, url, str(tmp_path / "key"), **arguments))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(url: str, makeStore: MakeStore) -> Store:
    """
    An empty store.
    """
    return makeStore(url)
