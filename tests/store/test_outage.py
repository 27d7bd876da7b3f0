"""
Tests of a gateway whose store is away, with a real PostgreSQL server and callers in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from twisted.internet import reactor as globalReactor
from twisted.internet.task import deferLater

from pptpgw.auth.checkers import AccountsChecker
from pptpgw.config.section import LimitsSection
from pptpgw.ppp.exchange import OUTAGE
from pptpgw.ppp.wire import chap, ppp
from pptpgw.sessions.line import Line
from tests.limited import Placed, World
from tests.postgresql import Server
from tests.store.conftest import MakeStore

reactor: Any = globalReactor
SESSIONS = 20
RECHALLENGE = 0.5
Outage = Callable[[Server], Any]


@contextmanager
def away(server: Server) -> Any:
    """
    Stop the server, and start it again at the end.
    """
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def locked(server: Server) -> Any:
    """
    Hold a lock on the tables of users, like a transaction that doesn't end.
    """
    with psycopg.connect(server.url) as connection:
        tables = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'users'")
        for (schema,) in tables.fetchall():
            connection.execute(f"LOCK TABLE {schema}.users IN ACCESS EXCLUSIVE MODE".encode())
        yield


async def until(done: Callable[[], object], timeout: float = 30.0) -> None:
    """
    Wait until C{done} is true.
    """
    for _ in range(int(timeout / 0.02)):
        if done():
            return
        await deferLater(reactor, 0.02, lambda: None)
    raise AssertionError("it never came true")


async def call(world: World, address: str) -> Placed:
    """
    Place a call on a connection of its own.
    """
    connection = world.dial(address)
    await until(lambda: connection.opened.called)
    return world.place(connection, b"alice")


def challenges(line: Line) -> list[bytes]:
    """
    The Challenges that a caller was sent.
    """
    channel: Any = line.channel
    frames = [information for protocol, information in channel.sent if protocol == ppp.CHAP]
    return [one for one in frames if one[0] == chap.Challenge.CODE]


@pytest.mark.parametrize("outage", [away, locked])
async def test_sessionsStayAndCallersHearIt(
    outage: Outage, server: Server, makeStore: MakeStore, log: list[str]
) -> None:
    """
    During an outage the sessions whose callers are challenged again all stay. A new caller is told
    to dial again, not that the password is wrong, and is let in afterwards. The log has two lines
    about it.
    """
    store = makeStore(server.fresh())
    await store.addAccount("alice", b"alice")
    world = World(
        LimitsSection(), reactor, AccountsChecker(lambda _: store), rechallenge=RECHALLENGE
    )
    placed = [await call(world, f"192.0.2.{number}") for number in range(10, 10 + SESSIONS)]
    await until(lambda: all(one.call for one in placed))
    sessions = list(world.gateway.sessions)
    asked = {line: len(challenges(line)) for line in world.gateway.lines}
    with outage(server):
        failed = await call(world, "192.0.2.100")
        await until(lambda: failed.failure)
        await until(lambda: all(len(challenges(line)) > asked[line] + 1 for line in asked))
    assert failed.failure == f"the peer terminated LCP: {OUTAGE}"
    assert [name for _, name, *_ in world.observer.refused] == ["alice"]
    again = await call(world, "192.0.2.101")
    await until(lambda: again.call or again.failure)
    assert again.call is not None, again.failure
    assert set(sessions) < set(world.gateway.sessions) and not world.observer.ended
    await world.gateway.stop(5)
    world.gateway.context.refusals.stop()
    told = [line for line in log if "outage" in line]
    assert len(told) == 2 and "postgresql://" in told[0], told
    assert "claims were turned away" in told[1]
