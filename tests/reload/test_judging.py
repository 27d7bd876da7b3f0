"""
Tests that callers are judged, and prove themselves, as the last reload says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.python.filepath import FilePath
from zope.interface import alsoProvides, implementer

from pptpgw.auth import judging
from pptpgw.auth.chain import makeNamed
from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.eap import EAPProtocol
from pptpgw.auth.eaptls import TLSMethod, makeContext
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.config.configuration import Configuration
from pptpgw.config.kind import NoSettings
from pptpgw.config.section import AuthSection, LinkSection, PluginsSection
from pptpgw.error import CallError, ConfigurationError
from pptpgw.interfaces import IConfigurable, IConfiguredProtocol, IReloadable
from pptpgw.sessions.lockout import JUDGING_SECONDS
from pptpgw.testing import PASSWORD, resultOf
from tests.certificates import SERVER, Authority
from tests.reload.world import Users, World, shows


def secrets(folder: Path, name: str, user: str) -> str:
    """
    Write a file of secrets with one user, and return the name of its checker.
    """
    path = folder / name
    path.touch(0o600)
    path.write_text(f"{user} * {PASSWORD.decode()} *\n")
    return f"chap-secrets:{path}"


def named(*names: str) -> str:
    """
    A configuration that names these checkers.
    """
    return f"[auth]\ncheckers = {list(names)}".replace("'", '"')


@shows("[auth] checkers")
def test_otherCheckers(tmp_path: Path) -> None:
    """
    A checker that is named again stays the same. The current session goes on without its checker.
    """
    first, second = secrets(tmp_path, "a", "alice"), secrets(tmp_path, "b", "bob")
    world = World(named(first), users=[makeNamed(first)])
    resultOf(world.call("alice"))
    with pytest.raises(CallError):
        resultOf(world.call("bob"))
    (old,) = world.service._parts.judging.checkers
    world.reload(named(second, first))
    resultOf(world.call("bob"))
    assert world.service._parts.judging.checkers[1] is old
    world.reload(named(second))
    with pytest.raises(CallError):
        resultOf(world.call("alice"))
    assert [one.user for one in world.service.sessions] == ["alice", "bob"]


def test_checkersThatCannotBeUsed(tmp_path: Path) -> None:
    first = secrets(tmp_path, "a", "alice")
    world = World(named(first), users=[makeNamed(first)])
    for names, why in (
        ((), "nobody could log in"),
        ((f"chap-secrets:{tmp_path}/none",), "No such file"),
        (("nobody",), 'no credentials checker is called "nobody"'),
    ):
        with pytest.raises(ConfigurationError, match=why):
            world.reload(named(*names))
    resultOf(world.call("alice"))


def test_theProgramsOwnCheckers(tmp_path: Path) -> None:
    """
    They can't be replaced by what a file names.
    """
    world = World()
    (change,) = world.service.wouldChange(Configuration(auth=AuthSection(("accounts",)))).kept
    assert change.name == "[auth] checkers"
    assert change.reason == "the program that runs the gateway has chosen the checkers"


@implementer(IConfigurable, IReloadable)
class Serving(Users, Service):
    """
    A checker that is a service, and that notes its life.
    """

    name = "serving"
    settings = PluginsSection

    def __init__(self, called: str, told: list[str]) -> None:
        super().__init__()
        self._called, self._told = called, told

    def configure(self, settings: Any, environment: Any) -> None:
        self._told.append(f"{self._called} configured")

    def judge(self, settings: Any) -> dict[str, str]:
        return {}

    def reload(self, settings: Any) -> None:
        self._told.append(f"{self._called} reloaded")

    def startService(self) -> None:
        Service.startService(self)
        self._told.append(f"{self._called} started")

    def stopService(self) -> Deferred[None]:
        Service.stopService(self)
        self._told.append(f"{self._called} stopped")
        return succeed(None)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    def given(told: list[str]) -> None:
        monkeypatch.setattr(judging, "makeNamed", lambda name: Serving(name, told))

    return given


def test_aCheckerThatIsAService(make: Callable[[list[str]], None]) -> None:
    """
    A new one is started before it is asked, and the old one is stopped when it can't be asked any
    more. One that stays is told of the reload.
    """
    told: list[str] = []
    make(told)
    world = World(named("one"), users=[Serving("one", told)])
    services = world.service._parts.judging.services
    services.privilegedStartService()
    services.startService()
    assert told == ["one configured", "one started"]
    told.clear()
    world.reload(named("one", "two"))
    assert told == ["two configured", "two started", "two reloaded", "one reloaded"]
    told.clear()
    world.reload(named("two"))
    resultOf(world.call())
    assert told == ["two reloaded"]
    world.rest(JUDGING_SECONDS)
    assert told == ["two reloaded", "one stopped"]
    world.reload(named("three"))
    told.clear()
    resultOf(services.stopService())
    assert sorted(told) == ["three stopped", "two stopped"]
    assert not world.service._parts.judging._retired


def test_aServiceThatCannotStart(
    make: Callable[[list[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The other new ones are stopped again, and the old ones judge.
    """
    told: list[str] = []
    make(told)
    world = World(named("one"), users=[Serving("one", told)])
    services = world.service._parts.judging.services
    services.privilegedStartService()
    services.startService()
    start = Serving.startService

    def fails(self: Serving) -> None:
        if self._called == "bad":
            raise ConfigurationError("it can't be reached")
        start(self)

    monkeypatch.setattr(Serving, "startService", fails)
    before = list(services.services)
    with pytest.raises(ConfigurationError, match="can't be reached"):
        world.reload(named("good", "bad"))
    assert "good stopped" in told
    assert list(services.services) == before
    resultOf(world.call())


def test_theNameOfTheGateway(tmp_path: Path) -> None:
    """
    It selects lines of a file of secrets.
    """
    path = FilePath(str(tmp_path)).child("secrets")
    path.setContent(b"alice gate sesame *\n")
    path.chmod(0o600)
    world = World(users=[ChapSecretsChecker(path)])
    with pytest.raises(CallError):
        resultOf(world.call())
    world.service._parts.judging._names = None
    reloaded = resultOf(world.service.reload(Configuration(link=LinkSection(name="gate"))))
    assert [one.name for one in reloaded.applied] == ["[link] name"]
    resultOf(world.call())


class Lasting(Service):
    """
    An authentication protocol that is a service, made anew for each configuration.
    """

    settings = NoSettings

    def __init__(self, told: list[str]) -> None:
        self._told = told
        self.methods = ()
        for name in ("number", "algorithm", "earnsKeys", "strength", "makeAuthenticator"):
            setattr(self, name, getattr(MSCHAPV2, name))
        self.name, self.description = "mschapv2", "one that lives"
        self.credentials = MSCHAPV2.credentials
        protocol: Any = self
        alsoProvides(protocol, IConfiguredProtocol)

    def configured(self, settings: Any, environment: Any, judged: Any) -> Lasting:
        return Lasting(self._told)

    def stopService(self) -> None:
        Service.stopService(self)
        self._told.append("stopped")


def test_aProtocolThatLinksStillUse(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It lives as long as one of the links that began with it, since the peer may negotiate anew.
    """
    told: list[str] = []
    monkeypatch.setattr(LinkSection, "methods", lambda section: (Lasting(told),))
    world = World()
    services = world.service._parts.judging.services
    services.privilegedStartService()
    services.startService()
    call = resultOf(world.call())
    world.reload("[link]\nmru = 1300")
    world.rest(3 * JUDGING_SECONDS)
    assert told == []
    call.hangUp("enough")
    world.rest(2 * JUDGING_SECONDS)
    assert told == ["stopped"]


@shows("[eap] certificate", "[eap] key", "[eap] ca", "[eap] identity", "[eap] methods")
def test_certificates(tmp_path: Path) -> None:
    """
    Certificates, keys and authorities are read again, whether their paths have changed or not.
    """
    for name in ("ours", "others"):
        (tmp_path / name).mkdir()
    ours = Authority(tmp_path / "ours")
    certificate, key = ours.issue("gateway", SERVER)
    mine, myKey = ours.issue("bob")
    files = [tmp_path / name for name in ("certificate", "key", "ca")]

    def use(certificate: Path, key: Path, ca: Path) -> None:
        for path, source in zip(files, (certificate, key, ca), strict=True):
            path.touch(0o600)
            path.write_bytes(source.read_bytes())

    use(certificate, key, ours.certificate)
    text = (
        '[link]\nauthentication = ["eap", "mschapv2"]\n[eap]\nmethods = ["tls"]\n'
        f'certificate = "{files[0]}"\nkey = "{files[1]}"\nca = "{files[2]}"\n'
    )
    context = makeContext(str(mine), str(myKey), str(ours.certificate), isServer=False)
    client = EAPProtocol((TLSMethod(context),))
    world = World()
    world.reload(text)
    resultOf(world.call("whoever", methods=(client,)))
    (session,) = world.service.sessions
    assert session.user == "bob"
    others = Authority(tmp_path / "others")
    other, otherKey = others.issue("gateway", SERVER)
    use(other, otherKey, others.certificate)
    resultOf(world.call("whoever", methods=(client,)))
    assert not world.reload(text).changes
    with pytest.raises(CallError):
        resultOf(world.call("whoever", methods=(client,)))
    files[0].write_text("damaged")
    before = world.gateway.offers
    with pytest.raises(ConfigurationError):
        world.reload(text)
    assert world.gateway.offers is before
    use(certificate, key, ours.certificate)
    world.reload(text + 'identity = "email"\n')
    with pytest.raises(CallError):
        # The certificate has no such name.
        resultOf(world.call("whoever", methods=(client,)))
