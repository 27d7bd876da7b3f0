"""
Tests for L{pptpgw.management.history}.
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from threading import Event
from time import monotonic, perf_counter, sleep
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred

from pptpgw.counting.counters import Counters, Totals
from pptpgw.counting.distribution import Distribution
from pptpgw.error import Category
from pptpgw.management.history import COLUMNS, History, Kept
from pptpgw.management.metrics.delay import BOUNDS
from pptpgw.management.operation import Operations
from pptpgw.ports.keptfile import KeptFile
from tests.logged import loggedLines
from tests.management.asking import Asking
from tests.management.managed import STARTED, Managed

LIMIT = 1 << 20


class Fixture:
    """
    A gateway whose figures are looked at when a test says so.
    """

    def __init__(self, path: Path | None = None, started: float = STARTED) -> None:
        self.world = Managed()
        self.counters = self.world.counters.own
        self.started = started
        self.delays = Distribution(BOUNDS)
        file = None if path is None else KeptFile(self.world.clock, path, LIMIT)
        self.history = History(self.world.clock, self.world, self.delays, self.now, file)
        self.history.start()
        self.asking = Asking(Operations(self.history.operations()))

    def now(self) -> float:
        return self.started + self.world.clock.seconds()

    def pass_(self, seconds: int) -> None:
        """
        Let seconds pass, in which nothing else happens.
        """
        for _ in range(seconds):
            self.world.clock.advance(1)
            self.history.sample()

    def show(self, span: str = "10m") -> Any:
        shown = self.asking.ask("GET", "/history", range=span).json
        assert {len(shown[name]) for name in COLUMNS} == {len(shown["time"])}
        return shown

    def stop(self) -> None:
        """
        Stop, and wait for the thread.
        """
        wait(self.world, self.history.stop())


def wait(world: Managed, done: Deferred[None]) -> None:
    deadline = monotonic() + 10
    while not done.called:
        assert monotonic() < deadline
        sleep(0.001)
        world.clock.advance(0.01)


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


def test_rates(gateway: Fixture) -> None:
    """
    Octets and packets are a second's, and refusals and discards are counted in their step.
    """
    gateway.pass_(1)
    assert gateway.show()["time"] == []
    gateway.counters.octetsReceived += 500
    gateway.counters.packetsSent += 7
    gateway.counters.discard("late", 3)
    gateway.counters.discard("duplicate", 2)
    gateway.world.tally.refusals["pptp", Category.BUSY] += 4
    gateway.world.tally.refused("pptp")
    gateway.pass_(2)
    shown = gateway.show()
    assert shown["step_seconds"] == 1
    assert shown["time"] == [STARTED + 2, STARTED + 3]
    assert shown["octets_received"] == [500, 0]
    assert shown["packets_sent"] == [7, 0]
    assert shown["octets_sent"] == shown["packets_received"] == [0, 0]
    assert shown["discards"] == [5, 0]
    assert shown["refusals"] == [4, 0]
    assert shown["calls"] == [1, 0]


def test_sessions(gateway: Fixture) -> None:
    """
    Sessions, their octets and the set-up times of calls are those of the gateway.
    """
    gateway.pass_(1)
    gateway.world.setUpCall(b"alice")
    gateway.pass_(1)
    gateway.pass_(1)
    shown = gateway.show()
    assert shown["sessions"] == [1, 1]
    assert shown["calls"] == [1, 0]
    first, second = shown["setup_p50_seconds"]
    assert 0 < first <= shown["setup_p95_seconds"][0] <= 0.05
    assert second is None


def test_delay(gateway: Fixture) -> None:
    """
    The worst delay of the step is shown, and nothing if there was no measurement.
    """
    gateway.pass_(1)
    for one in (0.0001, 0.3):
        gateway.delays.add(one)
    gateway.pass_(2)
    assert gateway.show()["reactor_delay_seconds"] == [0.5, None]
    assert all(one >= 0 for one in gateway.show()["cpu"])


def test_steps(gateway: Fixture) -> None:
    """
    Each series has its own step, over which it averages and counts, and its own length.
    """
    gateway.pass_(1)
    gateway.world.setUpCall(b"alice")
    gateway.pass_(30)
    for session in gateway.world.sessions:
        session.hangUp("enough")
    gateway.world.run(0.5)
    gateway.counters.octetsSent += 60_000
    gateway.pass_(29)
    minutes = gateway.show("24h")
    assert minutes["step_seconds"] == 60
    assert minutes["sessions"] == [pytest.approx(0.5, abs=0.02)]
    assert minutes["calls"] == [1]
    assert minutes["octets_sent"] == [pytest.approx(1000, rel=0.02)]
    assert gateway.show("30d")["time"] == []
    gateway.pass_(900)
    assert len(gateway.show("10m")["time"]) == 600
    assert len(gateway.show("24h")["time"]) == 16
    assert len(gateway.show("30d")["time"]) == 1
    times = gateway.show("10m")["time"]
    assert times == sorted(times) and times[-1] == pytest.approx(gateway.now(), abs=0.1)


def test_restart(tmp_path: Path) -> None:
    """
    The longest series goes on after a restart, without points that are too old or too late.
    """
    path = tmp_path / "history"
    gateway = Fixture(path)
    gateway.pass_(2701)
    gateway.stop()
    assert path.stat().st_mode & 0o777 == 0o600
    before = gateway.show("30d")
    assert len(before["time"]) == 3
    again = Fixture(path, STARTED + 5000)
    assert again.show("30d") == before
    again.pass_(901)
    again.stop()
    assert again.show("30d")["time"] == [*before["time"], STARTED + 5901]
    # The first of the points is too old a month later.
    assert len(Fixture(path, before["time"][0] + 2880 * 900).show("30d")["time"]) == 3
    # A clock that is set back.
    assert len(Fixture(path, before["time"][1]).show("30d")["time"]) == 2


def test_writtenMeanwhile(tmp_path: Path) -> None:
    """
    The file is written after each step, not only at the end.
    """
    path = tmp_path / "history"
    gateway = Fixture(path)
    gateway.pass_(901)
    deadline = monotonic() + 10
    while not path.exists():
        assert monotonic() < deadline
        sleep(0.001)
    assert msgspec.msgpack.decode(path.read_bytes(), type=Kept).columns == COLUMNS
    gateway.stop()


@pytest.mark.parametrize(
    "octets",
    [
        b"nonsense",
        msgspec.msgpack.encode(Kept(COLUMNS, b"123")),
        msgspec.msgpack.encode(Kept(COLUMNS, bytes(8))),
        msgspec.msgpack.encode(Kept(("other",), bytes(8))),
        bytes(LIMIT + 1),
    ],
)
def test_badFile(tmp_path: Path, octets: bytes) -> None:
    """
    A file that can't be used is left out, which is logged unless it isn't read at all.
    """
    path = tmp_path / "history"
    path.write_bytes(octets)
    with loggedLines() as lines:
        gateway = Fixture(path)
    assert gateway.show("30d")["time"] == []
    assert len(octets) > LIMIT or "can't be used" in lines[0]


def test_strangeValues(tmp_path: Path) -> None:
    """
    Points whose times make no sense are left out.
    """
    path = tmp_path / "history"
    points = array("d")
    for when in (float("nan"), float("inf"), STARTED - 900, STARTED - 1800, 0.0):
        points.extend([when, *[1.0] * (len(COLUMNS) - 1)])
    path.write_bytes(msgspec.msgpack.encode(Kept(COLUMNS, points.tobytes())))
    assert Fixture(path).show("30d")["time"] == [STARTED - 900]


def test_fileThatCannotBeWritten(tmp_path: Path) -> None:
    """
    A file that can't be written is logged once, and costs nothing else.
    """
    gateway = Fixture(tmp_path / "nothing" / "history")
    with loggedLines() as lines:
        gateway.pass_(1801)
        gateway.stop()
    assert [line for line in lines if "can't be written" in line] == lines[-1:]
    assert len(gateway.show("30d")["time"]) == 2


def test_parameters(gateway: Fixture) -> None:
    """
    There are three ranges, and the shortest is the default one.
    """
    assert gateway.asking.ask("GET", "/history").json["step_seconds"] == 1
    assert gateway.asking.ask("GET", "/history", range="1y").status == 400


def test_cost() -> None:
    """
    The counters of 5,000 sessions are added up within a few milliseconds.
    """
    living = [Counters() for _ in range(5000)]
    for one in living:
        one.octetsReceived = 1
        one.discards = {"late": 1, "duplicate": 1}
    totals = Totals(lambda: living, Counters())
    times = []
    for _ in range(20):
        began = perf_counter()
        traffic = totals.traffic()
        times.append(perf_counter() - began)
    assert (traffic.octetsReceived, traffic.discards) == (5000, 10_000)
    assert min(times) < 0.02


def test_aStalledDisk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When the disk has stalled, the last content is written all the same.
    """
    path, going = tmp_path / "history", Event()
    written: list[int] = []
    sync = os.fsync

    def stalled(descriptor: int) -> None:
        written.append(descriptor)
        assert going.wait(10)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", stalled)
    world = Managed()
    file = KeptFile(world.clock, path, LIMIT)
    for number in range(9):
        file.write(b"content %d" % number)
    done = file.stop()
    going.set()
    wait(world, done)
    assert path.read_bytes() == b"content 8" and len(written) <= 2
