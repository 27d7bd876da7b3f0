"""
Tests that each key says what a reload does with it, and that what it says is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.config import discovery
from pptpgw.config import kind as plugin
from pptpgw.config.configuration import SECTIONS, Configuration, parse, placeOf, sectionName
from pptpgw.config.environment import Environment, Plugged
from pptpgw.config.kind import NoSettings
from pptpgw.config.reload import Plan
from pptpgw.config.table import Key, keysOf
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import Drain, Effect, IReloadable, IServiceObserver, ReloadOutcome
from pptpgw.sessions.observer import SessionObserver
from pptpgw.testing import resultOf
from tests.reload.world import World, shown

ROOT = Path(__file__).parents[2]


def sections() -> Iterator[tuple[str, type]]:
    """
    Iterate over the types of all sections of ours, each with its name in the file.
    """
    yield from SECTIONS.items()
    for kind in discovery.KINDS:
        plugins: Any = discovery.installed(kind)
        for one in plugins.values():
            settings = getattr(one, "settings", NoSettings)
            ours = settings.__module__.startswith("pptpgw.") and fields(settings)
            if ours and settings not in SECTIONS.values():
                yield placeOf(sectionName(one)), settings


KEYS: list[tuple[str, Key]] = [
    (f"[{name}] {key.name}", key)
    for name, section in sections()
    for key in keysOf(section).values()
]


@pytest.mark.parametrize(("name", "key"), KEYS, ids=[name for name, _ in KEYS])
def test_everyKeySaysWhatAReloadDoes(name: str, key: Key) -> None:
    """
    A key that needs a restart says why.
    """
    assert key.applies is not None
    assert bool(key.applies.reason) is (key.applies.effect is Effect.RESTART)


def test_everyKeyThatIsAppliedIsShownToBe() -> None:
    """
    A test in this folder shows that the gateway behaves by the new value.
    """
    for path in Path(__file__).parent.glob("test_*.py"):
        import_module(f"tests.reload.{path.stem}")
    applied = {
        name
        for name, key in KEYS
        if key.applies is not None and key.applies.effect is not Effect.RESTART
    }
    assert shown == applied


def test_whatNeedsARestartIsKept() -> None:
    """
    Each such key is named with its reason, and its old value stays in force.
    """
    world = World()
    new = parse(
        '[listen]\ntunnels = ["hdlc"]\n[network]\ninterface = "other0"\n[pptp]\nport = 1\n', "new"
    )
    reloaded = resultOf(world.service.reload(new))
    assert reloaded.applied == ()
    assert [(one.name, one.reason) for one in reloaded.kept] == [
        ("[listen] tunnels", "their ports are opened at the start"),
        ("[network] interface", "the device has its name from the start"),
        ("[pptp] port", "the port is open"),
    ]
    assert reloaded.sections == ("listen", "network", "pptp")
    configuration = world.service.configuration
    assert (configuration.listen, configuration.network) == (
        Configuration().listen,
        Configuration().network,
    )
    assert configuration.sections["pptp"].port == 1723
    # The file still says otherwise.
    assert world.service.wouldChange(new) == reloaded


def test_whatWouldChange() -> None:
    """
    Nothing does.
    """
    world = World()
    new = parse("[limits]\nmax-sessions = 1\nsession-timeout = 9\n[link]\nmru = 1300", "new")
    would = world.service.wouldChange(new)
    assert {one.name: one.effect for one in would.changes} == {
        "[link] mru": Effect.NEW,
        "[limits] max-sessions": Effect.NEW,
        "[limits] session-timeout": Effect.LIVE,
    }
    assert world.service.configuration == Configuration()
    assert world.gateway.offers.general.mru == 1400
    assert world.service.lastReload is None
    for name in ("alice", "bob"):
        resultOf(world.call(name))
    assert resultOf(world.service.reload(new)) == would


def test_theExampleMarksWhatNeedsARestart() -> None:
    """
    C{tap/pptpgw.toml} has the word behind these keys, and behind no others.
    """
    marked, section = set(), ""
    for line in (ROOT / "tap" / "pptpgw.toml").read_text().splitlines():
        found = re.fullmatch(r"#?\[([a-z0-9.-]+)\]", line)
        section = found[1] if found is not None else section
        if line.endswith("  # restart"):
            marked.add(f"[{section}] {line.lstrip('#').partition(' = ')[0]}")
    needed = {
        name
        for name, key in KEYS
        if key.applies is not None and key.applies.effect is Effect.RESTART
    }
    assert marked == needed


def test_sectionsThatHaveNoEffect(log: list[str]) -> None:
    """
    They are named while the file has them.
    """
    world = World()
    world.reload("[ipv6]\ndhcp = false")
    warning = "[ipv6] stands in the configuration, but [network] protocols doesn't name ipv6"
    assert log[-1] == warning
    world.reload("")
    assert log[-1] == "the configuration was read again; for calls to come: [ipv6] dhcp"
    assert world.service.configuration == Configuration()


@implementer(IServiceObserver)
class Observer(SessionObserver):
    """
    Notes the outcomes of reloads.
    """

    def __init__(self) -> None:
        self.outcomes: list[ReloadOutcome] = []

    def reloaded(self, outcome: ReloadOutcome) -> None:
        self.outcomes.append(outcome)

    def drainChanged(self, drain: Drain | None, drained: bool) -> None:
        raise AssertionError("nothing is drained")


def test_theOutcomeIsTold(log: list[str]) -> None:
    observer = Observer()
    world = World(observers=[observer])
    done = world.reload("[limits]\nmax-sessions = 1\nvolume = 5\n[link]\nmru = 1300")
    with pytest.raises(ConfigurationError):
        world.reload('[hooks]\nip-up = "/nonexistent"')
    first, second = observer.outcomes
    assert (first.reloaded, first.error) == (done, "")
    assert second.reloaded is None and "/nonexistent" in second.error
    assert world.service.lastReload is second
    assert log[-2:] == [
        "the configuration was read again; for calls to come and current sessions: "
        "[limits] volume; for calls to come: [link] mru, [limits] max-sessions",
        f"the configuration is unchanged: {second.error}",
    ]


def test_anErrorOfAPlugin(monkeypatch: pytest.MonkeyPatch, loggedFailures: list[Any]) -> None:
    """
    One that fails to judge its section keeps everything as it was; the outcome says so.
    """
    world = World()

    def fails(settings: object) -> None:
        raise ZeroDivisionError("a mistake")

    network: Any = world.service.networks["ipv4"]
    monkeypatch.setattr(network, "judge", fails)
    with pytest.raises(ZeroDivisionError):
        world.reload("[limits]\nmax-sessions = 1")
    outcome = world.service.lastReload
    assert outcome is not None and outcome.error == "ZeroDivisionError: a mistake"
    assert world.service.configuration == Configuration()
    assert len(loggedFailures) == 1
    loggedFailures.clear()


def test_anObserverThatReloads() -> None:
    """
    A reload that is asked for within another one is made after it.
    """
    world = World()
    results: list[Any] = []

    class Again(Observer):
        def reloaded(self, outcome: ReloadOutcome) -> None:
            super().reloaded(outcome)
            if len(self.outcomes) == 1:
                asked: Deferred[Any] = world.service.reload(parse("[link]\nmru = 1200", "x"))
                asked.addCallback(results.append)

    observer = Again()
    world.service.sessions.addObserver(observer)
    world.reload("[link]\nmru = 1300")
    assert len(results) == 1
    assert world.service.configuration.link.mru == 1200
    assert len(observer.outcomes) == 2


@dataclass(frozen=True)
class Section:
    """
    The section of another package's plugin.
    """

    size: int = plugin.key(plugin.whole(0, 9), 1)
    place: int = plugin.key(plugin.whole(0, 9), 1)


class Factory:
    name = "other"
    settings = Section


class Still:
    """
    A plugin's object that doesn't follow its section.
    """


@implementer(IReloadable)
class Following:
    """
    One that does, but for the key C{place}.
    """

    def __init__(self) -> None:
        self.told: list[Section] = []

    def judge(self, settings: Section) -> dict[str, str]:
        if not settings.size:
            raise ConfigurationError("[other] size = 0: too small")
        return {"place": "it is open"} if settings.place != 1 else {}

    def reload(self, settings: Section) -> None:
        self.told.append(settings)


def changed(part: object, size: int) -> Plan:
    """
    The plan for a section with another size and place.
    """
    environment = Environment(Clock(), Configuration(sections={"other": Section()}))
    new = Configuration(sections={"other": Section(size, 3)})
    return Plan(environment, new, (), [Plugged(Factory(), part)], {})


def test_anotherPackagesPlugin() -> None:
    """
    Its keys apply to calls to come if it follows, except those that it objects to.
    """
    still = changed(Still(), 2).reloaded.changes
    assert [one.reason for one in still] == ["other reads its section at the start only"] * 2
    part = Following()
    plan = changed(part, 2)
    assert part.told == []
    size, place = plan.reloaded.changes
    assert (size.effect, place.effect, place.reason) == (Effect.NEW, Effect.RESTART, "it is open")
    plan.apply()
    assert part.told == [Section(2, 1)]
    with pytest.raises(ConfigurationError, match="too small"):
        changed(part, 0)
