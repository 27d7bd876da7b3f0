"""
Tests that the audit, the rows of the store, scripts and the capture follow a reload.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock

from pptpgw.config.configuration import parse
from pptpgw.config.environment import Environment
from pptpgw.config.section import HooksSection
from pptpgw.datapath.framed import FramedChannel
from pptpgw.datapath.plugin import PortDataPath
from pptpgw.datapath.recording import Recording
from pptpgw.datapath.wire.pcapng import RECEIVED
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import TunnelKind
from pptpgw.ports import hooks
from pptpgw.ports.hooks import Hooks
from pptpgw.ports.queue import Queue
from pptpgw.sessions.ledger import Ledger
from pptpgw.sessions.registry import Registry
from pptpgw.testing import makeSession, resultOf
from tests.datapath.test_framed import Sender
from tests.datapath.test_python import Owner
from tests.reload.world import World, shows


def part(world: World, name: str) -> Any:
    """
    A service of the gateway by its name.
    """
    (found,) = (one for one in world.service.services if one.name == name)
    return found


def settle(world: World, condition: Callable[[], bool]) -> None:
    """
    Wait until what threads do has come true.
    """
    deadline = monotonic() + 10
    while not condition():
        assert monotonic() < deadline
        world.run(0.1)


def events(path: Path) -> list[tuple[str, str]]:
    """
    The events in the file of an audit, each with its user.
    """
    lines = map(json.loads, path.read_text().splitlines())
    return [(one["event"], one.get("user", "")) for one in lines]


@shows("[audit] file")
def test_auditFile(tmp_path: Path) -> None:
    """
    The events of the current session go to the new file; a file may begin and end too.
    """
    world = World()
    file: Any = part(world, "the audit's file")
    file.privilegedStartService()
    file.startService()
    first, second = tmp_path / "first", tmp_path / "second"
    old = resultOf(world.call())
    world.reload(f'[audit]\nfile = "{first}"')
    resultOf(world.call("bob"))
    world.reload(f'[audit]\nfile = "{second}"')
    old.hangUp("enough")
    world.run(5)
    world.reload()
    resultOf(world.call("carol"))
    world.reload(f'[audit]\nfile = "{first}"')
    stopped = file.stopService()
    settle(world, lambda: stopped.called)
    settle(world, lambda: "ended" in second.read_text())
    assert events(first) == [("started", "bob"), ("opened", "bob")]
    assert events(second) == [("closed", "alice"), ("ended", "alice")]


def test_aFileThatCannotBeOpenedChangesNothing(tmp_path: Path) -> None:
    """
    What was opened before it is closed again.
    """
    world = World()
    file: Any = part(world, "the audit's file")
    file.privilegedStartService()
    file.startService()
    text = '[limits]\nmax-sessions = 1\n[link]\nname = "gate"\n'
    with pytest.raises(ConfigurationError, match="No such file"):
        world.reload(f'{text}[audit]\nfile = "/nonexistent/audit"')
    assert world.service.configuration == parse("", "before")
    outcome = world.service.lastReload
    assert outcome is not None and outcome.reloaded is None
    assert "/nonexistent/audit" in outcome.error
    for name in ("alice", "bob"):
        resultOf(world.call(name))


class Rows:
    """
    A store that takes every row.
    """

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def endSessions(self, *arguments: object) -> Deferred[Any]:
        return succeed(())

    def sessionChanged(self, record: Any) -> Deferred[None]:
        self.rows.append(record)
        return succeed(None)


@shows("[audit] interim")
def test_rows() -> None:
    """
    The row of the current session is brought up to date at the new interval, under the new name.
    """
    clock, store = MemoryReactorClock(), Rows()
    anything: Any = store
    ledger = Ledger(clock, anything, Queue(clock, "[audit] spool", "", 1 << 20), "old", 300.0)
    ledger.open()
    ledger.start()
    ledger.sessionStarted(makeSession())
    clock.advance(5)
    ledger.follow(parse('[link]\nname = "new"\n[audit]\ninterim = 10', "x")).apply()
    clock.advance(11)
    assert [one.gateway for one in store.rows] == ["old", "new"]


class Runs:
    """
    The scripts that are run.
    """

    def __init__(self) -> None:
        self.began: list[tuple[str, float]] = []

    def run(self, reactor: Any, path: str, deadline: float, session: str) -> Any:
        """
        See L{pptpgw.ports.script.Run}, which never ends here.
        """
        self.began.append((path, deadline))
        made = type("Run", (), {"start": lambda *arguments: None, "kill": lambda self: None})()
        made.over = Deferred()
        return made


@shows(
    "[hooks] auth-up",
    "[hooks] auth-down",
    "[hooks] ip-up",
    "[hooks] ip-down",
    "[hooks] ipv6-up",
    "[hooks] ipv6-down",
    "[hooks] deadline",
    "[hooks] processes",
)
def test_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A gateway without scripts begins to run some, also for the current session, and ends that.
    """
    runs = Runs()
    monkeypatch.setattr(hooks, "Run", runs.run)
    monkeypatch.setattr(hooks, "check", lambda path: None)
    names = [f"{kind}-{way}" for kind in ("auth", "ip", "ipv6") for way in ("up", "down")]
    scripts = "\n".join(f'{name} = "/s/{name}"' for name in names)
    world = World()
    old = resultOf(world.call())
    world.reload(f"[hooks]\n{scripts}\ndeadline = 7\nprocesses = 3")
    (hooked,) = (one for one in world.service.sessions.observers if isinstance(one, Hooks))
    assert hooked.stopSeconds == 19
    old.hangUp("enough")
    world.run(5)
    resultOf(world.call("bob"))
    # Each session runs one at a time, and no script here ever ends.
    assert runs.began == [("/s/ip-down", 7), ("/s/auth-up", 7)]
    for name in ("carol", "dave"):
        resultOf(world.call(name))
    assert len(runs.began) == 3
    world.reload(f"[hooks]\n{scripts}\nprocesses = 4")
    assert len(runs.began) == 4
    world.reload()
    resultOf(world.call("erin"))
    assert len(runs.began) == 4
    for number, name in enumerate(names, 100):
        kind, _, way = name.partition("-")
        one = parse(f'[hooks]\n{name} = "/s/one"\nprocesses = 100', "x")
        hooked.follow(one).apply()
        hooked._add(kind, way == "up", makeSession(number=number), (), {})
        assert runs.began[-1][0] == "/s/one"
    assert len(runs.began) == 10


def test_aScriptThatCannotBeRun() -> None:
    world = World()
    with pytest.raises(ConfigurationError, match=r"\[hooks\] ip-up: /nonexistent: No such file"):
        world.reload('[hooks]\nip-up = "/nonexistent"')
    resultOf(world.call())


@pytest.fixture
def dataPath() -> PortDataPath:
    return PortDataPath(Environment(MemoryReactorClock(), parse("", "before")))


def follow(dataPath: PortDataPath, text: str) -> None:
    """
    Have a data path follow the configuration C{text}.
    """
    environment: Any = dataPath._environment
    environment.configuration = parse(text, "after")
    assert dataPath.judge(environment) == {}
    dataPath.reload(environment)


def isCaptured(dataPath: PortDataPath) -> bool:
    """
    Whether the next call is captured.
    """
    call: Any = type(
        "Call",
        (),
        {
            "caller": "",
            "tunnel": TunnelKind("pptp", "PPTP"),
            "openChannel": lambda self, owner, host: FramedChannel(host, owner, Sender()),
        },
    )
    channel = dataPath.openChannel(call(), Owner())
    channel.close()
    return isinstance(channel, Recording)


@shows("[capture] file", "[capture] size", "[capture] files")
def test_capture(dataPath: PortDataPath, tmp_path: Path) -> None:
    """
    A capture begins with calls to come, goes on in another file, and ends.
    """
    first, second = tmp_path / "first.pcapng", tmp_path / "second.pcapng"
    assert not isCaptured(dataPath)
    follow(dataPath, f'[capture]\nfile = "{first}"\nsize = 2\nfiles = 3')
    capture, file = dataPath._capture, dataPath._file
    assert file is not None
    assert (capture.size, file._files) == (2 << 20, 3)
    assert isCaptured(dataPath)
    recorder = capture.open("alice", "pptp", dataPath.counters)
    recorder.rename("alice@192.0.2.7")
    recorder.record(RECEIVED, b"one")
    follow(dataPath, f'[capture]\nfile = "{second}"\nsize = 1\nfiles = 2')
    assert capture.size == 1 << 20
    recorder.record(RECEIVED, b"two")
    follow(dataPath, f'[capture]\nfile = "{second}"\nfiles = 7')
    file = dataPath._file
    assert file is not None and file._writer is not None
    assert (file._files, file._writer.files) == (7, 7)
    follow(dataPath, "")
    recorder.record(RECEIVED, b"three")
    assert not isCaptured(dataPath)
    world = World()
    world.clock = dataPath._environment.reactor
    settle(world, lambda: b"two" in second.read_bytes())
    for path, inside, outside in ((first, b"one", b"two"), (second, b"two", b"one")):
        octets = path.read_bytes()
        assert inside in octets and b"alice@192.0.2.7" in octets
        assert outside not in octets and b"three" not in octets


def test_aCaptureThatCannotBeWritten(dataPath: PortDataPath) -> None:
    with pytest.raises(ConfigurationError, match=r"\[capture\] file = /nonexistent/x"):
        follow(dataPath, '[capture]\nfile = "/nonexistent/x"')


@shows("[network] mss-clamp")
def test_mssClamp(dataPath: PortDataPath) -> None:
    """
    Networks that open later are served by it.
    """
    assert dataPath._mssClamp
    follow(dataPath, "[network]\nmss-clamp = false")
    assert not dataPath._mssClamp


def test_theDeviceFollowsTheMRU(dataPath: PortDataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    mtus: list[int] = []
    monkeypatch.setattr(dataPath._device.kernel, "setMTU", mtus.append)
    follow(dataPath, "[link]\nmru = 1200")
    follow(dataPath, "[link]\nmru = 1200")
    assert mtus == [1200]


def test_hooksFollowNothingElse() -> None:
    """
    The observer is there only while there is a script.
    """
    sessions = Registry(MemoryReactorClock())
    runner = Hooks(MemoryReactorClock(), HooksSection(), "pptp0", sessions)
    runner.follow(parse("[hooks]\ndeadline = 3", "x")).apply()
    assert sessions.observers == ()
