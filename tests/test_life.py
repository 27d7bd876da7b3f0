"""
Tests for a third party's plugins that have a section of the configuration and are services: an
observer, an address pool and a checker, installed and chosen as users do it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from pptpgw import build
from pptpgw.auth.protocols import PAP
from pptpgw.config.configuration import parse
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import Claim
from pptpgw.service import GatewayService
from pptpgw.tap import Options
from pptpgw.timing.lifecycle import STOP_SECONDS
from pptpgw.tunnels.pptp.tunnel import GREPorts
from tests import distribution
from tests.distribution import Site
from tests.hostile.test_service import NoDataPath

site = pytest.fixture(distribution.site, name="site")

COMMON = """
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from pptpgw import interfaces
from pptpgw.config.kind import NAME, key, whole

events = []


class Fault(Exception):
    pass


class Living(Service):
    kind = ""
    late = None

    def privilegedStartService(self):
        events.append(("opened", self.kind))

    def startService(self):
        super().startService()
        events.append(("started", self.kind))

    def stopService(self):
        super().stopService()
        events.append(("stopped", self.kind))
        if isinstance(self.late, Exception):
            raise self.late
        return self.late
"""

OBSERVER = """
from common import *
from pptpgw.sessions.observer import SessionObserver


@dataclass(frozen=True)
class Settings:
    color: str = key(NAME, "blue")


@implementer(interfaces.ISessionObserverFactory)
class Factory:
    name = "diary"
    description = "For a test."
    settings = Settings

    def makeObserver(self, argument, settings, environment):
        return Diary(argument, settings, environment)


class Diary(Living, SessionObserver):
    kind = "observer"

    def __init__(self, *given):
        self.given = given


plugin = Factory()
"""

POOL = """
from ipaddress import IPv4Network

from common import *


@dataclass(frozen=True)
class Settings:
    last: int = key(whole(2, 250), 2)


@implementer(interfaces.IAddressPoolFactory)
class Factory:
    name = "shelf"
    description = "For a test."
    settings = Settings

    def makePool(self, argument, ranges, settings, environment):
        return Shelf(argument, settings, environment)


@implementer(interfaces.IAddressPool)
class Shelf(Living):
    kind = "pool"
    networks = (IPv4Network("10.66.0.0/24"),)

    def __init__(self, *given):
        self.given = given

    def allocate(self, subscriber, caller):
        return succeed(f"10.66.0.{self.given[1].last}")

    def release(self, address):
        pass


plugin = Factory()
"""

CHECKER = """
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.plugin import IPlugin

from common import *


@dataclass(frozen=True)
class Settings:
    word: str = key(NAME, "open")


@implementer(ICheckerFactory, IPlugin)
class Factory:
    authType = "desk"
    authHelp = "For a test."
    argStringFormat = "none"
    credentialInterfaces = (IUsernamePassword,)
    settings = Settings

    def generateChecker(self, argument):
        return Desk()


@implementer(ICredentialsChecker, interfaces.IConfigurable)
class Desk(Living):
    kind = "checker"
    name = "desk"
    settings = Settings
    credentialInterfaces = (IUsernamePassword,)

    def configure(self, settings, environment):
        self.given = ("", settings, environment)

    def requestAvatarId(self, credentials):
        if credentials.checkPassword(self.given[1].word.encode()):
            return succeed(credentials.username)
        return fail(UnauthorizedLogin())


plugin = Factory()
"""

METHOD = """
from common import *
from pptpgw.auth.credentials import PAPCredentials
from pptpgw.auth.eapmethod import EAPMethod
from pptpgw.ppp.eappeer import MethodPeer
from pptpgw.ppp.wire.eap import Method
from twisted.cred.credentials import IUsernamePassword


@dataclass(frozen=True)
class Settings:
    suit: str = key(NAME, "hearts")


class Card(EAPMethod, Living):
    kind = "method"
    name = "card"
    description = "For a test."
    number = Method(200)
    strength = 110
    judgedAs, makeCredentials, makePeer = IUsernamePassword, PAPCredentials, MethodPeer
    settings = Settings

    def configured(self, settings, environment):
        made = Card()
        made.given = ("", settings, environment)
        return made


plugin = Card()
"""

TEXT = """
[link]
authentication = ["pap"]
encryption = "off"
[ipv4]
allocator = "shelf:top"
[plugins]
observers = ["diary:page"]
[diary]
color = "green"
[shelf]
last = 77
[desk]
word = "sesame"
[radius]
accounting = false
[[radius.server]]
host = "192.0.2.1"
secret = "a secret of the tests"
"""


class House:
    """
    A gateway with these plugins, as C{--config} and C{--auth} name them.

    @ivar plugins: the plugins' objects, by their kinds.
    """

    def __init__(
        self,
        site: Site,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        text: str = TEXT,
        dropIn: bool = False,
    ) -> None:
        site.install("common", {"common.py": COMMON})
        site.install("diary", {"diary.py": OBSERVER}, "diary = diary:plugin")
        site.install("shelf", {"shelf.py": POOL}, "shelf = shelf:plugin", "pptpgw.pool")
        if dropIn:
            drop = {"desk.py": CHECKER, "twisted/plugins/drop_desk.py": "from desk import plugin"}
            site.install("desk", drop)
        else:
            site.install("desk", {"desk.py": CHECKER}, "desk = desk:plugin", "pptpgw.checker")
        file = folder / "pptpgw.toml"
        file.write_text(text)
        file.chmod(0o600)
        options = Options()
        options.parseOptions(["--config", str(file), "--auth", "desk"])
        monkeypatch.setattr(build, "makeDataPath", lambda environment: NoDataPath())
        monkeypatch.setattr(GREPorts, "start", lambda self: None)
        self.reactor = MemoryReactorClock()
        self.service = GatewayService(self.reactor, options.configuration, options.checkers)
        import common  # type: ignore[import-not-found]

        self.events: list[tuple[str, str]] = common.events
        self.plugins: dict[str, Any] = {}
        for stages in _within(self.service):
            if kind := getattr(stages, "kind", ""):
                self.plugins[kind] = stages


def _within(service: Any) -> list[Any]:
    found = [service]
    for one in service if isinstance(service, MultiService) else ():
        found += _within(one)
    return found


@pytest.mark.parametrize("dropIn", [False, True])
def test_eachHasItsSectionAndTheSameEnvironment(
    dropIn: bool, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(site, tmp_path, monkeypatch, dropIn=dropIn)
    assert set(house.plugins) == {"observer", "pool", "checker"}
    given = {kind: one.given for kind, one in house.plugins.items()}
    arguments = {kind: argument for kind, (argument, _, _) in given.items()}
    assert arguments == {"observer": "page", "pool": "top", "checker": ""}
    assert given["observer"][1].color == "green"
    assert given["pool"][1].last == 77
    assert given["checker"][1].word == "sesame"
    (environment,) = {id(one): one for _, _, one in given.values()}.values()
    assert environment.radius is house.service.radius is not None
    assert environment.configuration.plugins.observers == ("diary:page",)
    assert environment.sessions is house.service.sessions is house.service.gateway.sessions
    granted: list[Any] = []
    house.service.gateway.context.authenticate(Claim(PAP, b"alice", 1, b"", b"sesame")).addCallback(
        granted.append
    )
    assert granted[0].name == "alice"
    assert site.warnings == []


def test_theyLiveWithTheGateway(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    """
    The plugins are started in the order checker, pool, observer, and stopped in reverse, each when
    the one before has stopped. They are started again with the gateway.
    """
    house = House(site, tmp_path, monkeypatch)
    order = ["checker", "pool", "observer"]
    late = house.plugins["observer"].late = Deferred()
    for _ in range(2):
        house.events.clear()
        house.service.startService()
        assert house.events == [(event, kind) for event in ("opened", "started") for kind in order]
        house.events.clear()
        ended: list[object] = []
        house.service.stopService().addCallback(ended.append)
        if not late.called:
            assert house.events == [("stopped", "observer")] and not ended
            late.callback(None)
            house.plugins["observer"].late = None
        assert house.events == [("stopped", kind) for kind in reversed(order)]
        assert ended == [None]
    assert not [line for line in log if "did not stop" in line]


def test_oneThatFailsOrHangsKeepsNoOtherFromStopping(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loggedFailures: list[Failure],
    log: list[str],
) -> None:
    house = House(site, tmp_path, monkeypatch)
    house.service.startService()
    house.events.clear()
    house.plugins["observer"].late = Deferred()
    house.plugins["pool"].late = ValueError("it can't")
    ended: list[object] = []
    house.service.stopService().addCallback(ended.append)
    house.reactor.advance(STOP_SECONDS - 1)
    assert house.events == [("stopped", "observer")]
    house.reactor.advance(1)
    assert house.events == [("stopped", kind) for kind in ("observer", "pool", "checker")]
    assert ended == [None]
    (line,) = [line for line in log if "did not stop in" in line]
    assert "Diary did not stop in 12 s" in line
    assert [one.type for one in loggedFailures] == [ValueError]
    loggedFailures.clear()


def test_oneThatDoesNotStart(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Everything that was started before a plugin that fails to start is stopped again.
    """
    house = House(site, tmp_path, monkeypatch)

    def broken() -> None:
        raise ConfigurationError("there is no ink")

    house.plugins["observer"].privilegedStartService = broken
    with pytest.raises(ConfigurationError, match="no ink"):
        house.service.startService()
    assert not house.service.running
    assert house.reactor.tcpServers == []
    assert house.events[-2:] == [("stopped", "pool"), ("stopped", "checker")]


def test_methodsOfEAP(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An EAP method may have a section, gets the environment, and is started and stopped.
    """
    site.install("card", {"card.py": METHOD}, "card = card:plugin", "pptpgw.eap")
    text = TEXT.replace('["pap"]', '["eap"]')
    text += '[eap]\nmethods = ["card"]\n[eap.card]\nsuit = "spades"\n'
    house = House(site, tmp_path, monkeypatch, text)
    _, settings, environment = house.plugins["method"].given
    assert settings.suit == "spades"
    assert environment is house.plugins["checker"].given[2]
    house.service.startService()
    assert ("opened", "method") in house.events and ("started", "method") in house.events
    house.service.stopService()
    assert house.events[-2:] == [("stopped", "method"), ("stopped", "checker")]


def test_oneThatTheProgramStarts(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A plugin that already has a parent service is started and stopped by that alone.
    """
    house = House(site, tmp_path, monkeypatch)
    diary = type(house.plugins["observer"])("", None, None)
    parent: Any = MultiService()
    diary.setServiceParent(parent)
    house.service.startService()
    house.events.clear()
    service = GatewayService(MemoryReactorClock(), parse("", "test"), [], [diary])
    service.startService()
    service.stopService()
    assert house.events == []


def test_faultsOfSections(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The keys of plugins' sections are checked like the gateway's own.
    """
    House(site, tmp_path, monkeypatch)
    for text, why in (
        ("[diary]\ncolour = 7", r"unknown key colour in \[diary\]: did you mean color"),
        ("[shelf]\nlast = 1", r"\[shelf\] last = 1: must be"),
        ("[desk]\nword = 1", r"\[desk\] word = 1: must be"),
        ("[dairy]", r"unknown section \[dairy\]: did you mean diary"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            parse(text, "test")


def test_sectionsOfNobodyThatIsChosen(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    text = '[diary]\ncolor = "red"\n[shelf]\nlast = 3\n[ipv6]\ndhcp = false\n[bridge]\n[desk]\n'
    house = House(site, tmp_path, monkeypatch, text)
    house.service.startService()
    house.reactor.advance(0)
    lines = [line for line in log if "stands in the configuration" in line]
    assert lines == [
        f"[{name}] stands in the configuration, but {choice} doesn't name {name}"
        for name, choice in (
            ("diary", "[plugins] observers"),
            ("shelf", "[ipv4] allocator"),
            ("ipv6", "[network] protocols"),
        )
    ]


def test_twoOfOneName(site: Site) -> None:
    """
    Two plugins of one name can't share a section.
    """
    site.install("common", {"common.py": COMMON})
    site.install("diary", {"diary.py": OBSERVER}, "diary = diary:plugin")
    text = POOL.replace('"shelf"', '"diary"')
    site.install("shelf", {"shelf.py": text}, "diary = shelf:plugin", "pptpgw.pool")
    chosen = '[ipv4]\nallocator = "diary"\n[plugins]\nobservers = ["diary"]\n'
    with pytest.raises(ConfigurationError, match="two plugins that are called diary"):
        GatewayService(MemoryReactorClock(), parse(f"{chosen}[diary]\nlast = 9", "test"), [])
    GatewayService(MemoryReactorClock(), parse(chosen, "test"), [])
