"""
Tests for L{pptpgw.management.stream}, with sources of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, cast

import pytest
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from pptpgw.management import stream
from pptpgw.management.operation import Operation, Operations, OperatorRole
from pptpgw.management.stream import DELAY, HEARTBEAT, SHARE, STALLED
from pptpgw.testing import resultOf
from tests.logged import loggedLines
from tests.management.asking import REMOTE, Asking, Streaming, dechunked


class MemorySource:
    """
    A source of what a test adds.
    """

    heartbeat = b"(beat)"

    def __init__(self) -> None:
        self.waiting: list[bytes | None] = []
        self.ready: Callable[[], object] = lambda: None
        self.begun = 0
        self.closed = 0

    def add(self, *octets: bytes | None) -> None:
        self.waiting += octets
        self.ready()

    def begin(self, ready: Callable[[], object]) -> None:
        self.begun += 1
        self.ready = ready

    def take(self) -> bytes | None:
        return self.waiting.pop(0) if self.waiting else b""

    def close(self) -> None:
        self.closed += 1


class Fixture:
    """
    A site with a stream.
    """

    def __init__(self) -> None:
        self.sources: list[MemorySource] = []
        self.asking = Asking(
            Operations(
                [
                    Operation(
                        "GET",
                        "/stream",
                        "Stream.",
                        self._open,
                        role=OperatorRole.OPERATOR,
                        stream="text/plain",
                    )
                ]
            )
        )
        self.clock = self.asking.clock
        self.timers = len(self.clock.getDelayedCalls())

    def _open(self, request: Any) -> MemorySource:
        self.sources.append(MemorySource())
        return self.sources[-1]

    def open(self) -> tuple[Streaming, MemorySource]:
        return self.asking.stream("/stream"), self.sources[-1]


@pytest.fixture
def site() -> Fixture:
    return Fixture()


def test_octets(site: Fixture) -> None:
    """
    The headers are sent at once, and octets as they come; those that come together go together.
    """
    client, source = site.open()
    assert client.octets == b""
    source.add(b"one", b"two")
    assert client.octets == b""
    site.clock.advance(DELAY)
    assert client.octets == b"onetwo"
    source.add(b"three")
    site.clock.advance(DELAY)
    assert client.octets == b"onetwothree" and not client.isOver


def test_end(site: Fixture) -> None:
    """
    The end of the source ends the answer in order, and nothing is left.
    """
    client, source = site.open()
    source.add(b"one", None)
    site.clock.advance(DELAY)
    assert client.octets == b"one" and client.isOver and source.closed == 1
    client.hangUp()
    assert source.closed == 1 and len(site.asking.streams) == 0
    assert len(site.clock.getDelayedCalls()) == site.timers


def test_hangingUp(site: Fixture) -> None:
    """
    A client that hangs up leaves nothing behind, even while something waits for it.
    """
    client, source = site.open()
    source.add(b"one")
    client.hangUp()
    assert source.closed == 1 and len(site.asking.streams) == 0
    assert len(site.clock.getDelayedCalls()) == site.timers
    source.add(b"two")
    assert len(site.clock.getDelayedCalls()) == site.timers


def test_slowReader(site: Fixture) -> None:
    """
    Nothing is taken while the connection has no room.
    """
    client, source = site.open()
    client.producer.pauseProducing()
    source.add(b"one")
    site.clock.advance(HEARTBEAT)
    assert client.octets == b"" and source.waiting == [b"one"]
    client.producer.resumeProducing()
    site.clock.advance(DELAY)
    assert client.octets == b"one"


def test_reader(site: Fixture) -> None:
    """
    A client that reads nothing for long loses its connection, and with it its place.
    """
    client, source = site.open()
    client.producer.pauseProducing()
    for _ in range(int(STALLED / HEARTBEAT)):
        assert not client.transport.disconnected
        site.clock.advance(HEARTBEAT)
    assert client.transport.disconnected
    client.hangUp()
    assert source.closed == 1


def test_heartbeat(site: Fixture) -> None:
    """
    A heartbeat is sent when nothing else is.
    """
    client, source = site.open()
    site.clock.advance(HEARTBEAT)
    assert client.octets == b"(beat)"
    site.clock.advance(HEARTBEAT / 2)
    source.add(b"one")
    site.clock.advance(HEARTBEAT / 2)
    assert client.octets == b"(beat)one"


def test_limit(site: Fixture) -> None:
    """
    An operator has only so many streams at a time; the next one is refused until one is over.
    """
    first, _ = site.open()
    for _ in range(SHARE - 1):
        site.open()
    answer = site.asking.ask("GET", "/stream")
    assert answer.status == 503 and answer.json["detail"] == "local has 16 streams open already"
    assert len(site.sources) == SHARE
    first.hangUp()
    client, _ = site.open()
    assert client.octets == b""


def test_limitOfAll(site: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    All operators together have only so many streams.
    """
    monkeypatch.setattr(stream, "STREAMS", 3)
    for _ in range(3):
        assert site.asking.streams.lacking("somebody else") == ""
        site.open()
    assert site.asking.streams.lacking("somebody else") == "3 streams are open already"
    assert site.asking.ask("GET", "/stream").status == 503


def test_stop(site: Fixture) -> None:
    """
    All streams end when the server stops.
    """
    clients = [site.open()[0] for _ in range(2)]
    site.asking.streams.stop()
    assert all(one.isOver for one in clients)
    assert [one.closed for one in site.sources] == [1, 1]


def test_fault(site: Fixture, loggedFailures: list[Failure]) -> None:
    """
    A source that raises an exception ends its stream.
    """
    client, source = site.open()
    source.waiting.append(None)
    bad: Any = lambda: 1 // 0  # noqa: E731
    source.take = bad  # type: ignore[method-assign]
    source.ready()
    site.clock.advance(DELAY)
    assert client.isOver and source.closed == 1
    (failure,) = loggedFailures
    assert failure.check(ZeroDivisionError)
    loggedFailures.clear()


def test_head(site: Fixture) -> None:
    """
    HEAD begins nothing.
    """
    answer = site.asking.raw("HEAD", "/api/v1/stream")
    assert answer.status == 200 and answer.headers["content-type"] == "text/plain"
    assert site.sources[0].begun == 0 and len(site.asking.streams) == 0


def test_roles(site: Fixture) -> None:
    """
    A stream is refused like another operation.
    """
    assert site.asking.ask("GET", "/stream", host=REMOTE).status == 401
    assert not site.sources


@pytest.mark.parametrize("change", ["token", "role", "removal", "outage"])
def test_whoMayNoLonger(site: Fixture, change: str) -> None:
    """
    A stream ends soon after its reader may not read it any more, and when that can't be found out.
    """
    store = site.asking.store
    for name in ("ann", "bob"):
        resultOf(store.addOperator(name, "operator", ""))
    tokens = [resultOf(store.addToken(name, "script")) for name in ("ann", "bob")]
    clients = [
        site.asking.stream("/stream", host=REMOTE, headers={"Authorization": f"Bearer {one}"})
        for one in tokens
    ]
    site.clock.advance(HEARTBEAT)
    assert [one.isOver for one in clients] == [False, False]
    if change == "token":
        resultOf(store.removeToken("ann", "script"))
    elif change == "role":
        resultOf(store.changeOperator("ann", role="viewer"))
    elif change == "removal":
        resultOf(store.removeOperator("ann"))
    else:
        store.database.fault = "no database"
    site.clock.advance(HEARTBEAT)
    assert [one.isOver for one in clients] == [True, change == "outage"]
    clients[1].hangUp()
    assert [one.closed for one in site.sources] == [1, 1]


def test_audit(site: Fixture) -> None:
    """
    A stream that needs a role is logged, when it begins and when it is over.
    """
    with loggedLines() as lines:
        client, source = site.open()
        assert lines == ["local: GET /api/v1/stream?: begins"]
        source.add(b"one")
        site.clock.advance(DELAY)
        client.hangUp()
    assert lines[1:] == ["local: GET /api/v1/stream?: over, 3 octets sent"]


class Reader(Protocol):
    """
    A client that reads when a test says so.
    """

    def __init__(self) -> None:
        self.octets = b""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()
        transport.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.octets += data


async def until(condition: Callable[[], bool]) -> None:
    """
    Wait for a condition.
    """
    deadline = monotonic() + 20
    while not condition():
        assert monotonic() < deadline
        await deferLater(cast(IReactorTime, reactor), 0.01)


async def test_realConnection(tmp_path: Path) -> None:
    """
    A source isn't asked while the buffers between it and its client are full, and the client is
    sent everything when it reads on.
    """
    chunk, count = 1 << 16, 200

    class Long(MemorySource):
        taken = 0

        def take(self) -> bytes | None:
            self.taken += 1
            return bytes(chunk) if self.taken <= count else None

    source, reader = Long(), Reader()
    operation = Operation("GET", "/stream", "Stream.", lambda request: source, stream="text/plain")
    asking = Asking(Operations([operation]), clock=cast(Clock, reactor))
    path = f"unix:{tmp_path}/socket"
    listening = await serverFromString(reactor, path).listen(asking.site)
    await connectProtocol(clientFromString(reactor, path), reader)
    transport: Any = reader.transport
    try:
        await until(lambda: source.taken > 0)
        # As much as the buffers hold, and no more.
        for _ in range(10):
            await deferLater(cast(IReactorTime, reactor), DELAY)
        held = source.taken
        assert held * chunk < 4 << 20
        await deferLater(cast(IReactorTime, reactor), 5 * DELAY)
        assert source.taken == held
        transport.resumeProducing()
        await until(lambda: reader.octets.endswith(b"0\r\n\r\n"))
        body = reader.octets.partition(b"\r\n\r\n")[2]
        assert len(dechunked(body)) == chunk * count
        assert source.closed == 1 and len(asking.streams) == 0
    finally:
        transport.abortConnection()
        asking.site.stopFactory()
        await maybeDeferred(listening.stopListening)
        await until(lambda: not transport.connected)
