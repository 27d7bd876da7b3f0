"""
Tests for L{pptpgw.service} that need no privileges. The others are in tests/integration.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from twisted.application.service import MultiService
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.filepath import FilePath
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

from pptpgw.auth.chain import CheckerChain, makeChecker
from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.judging import offersOf
from pptpgw.auth.protocols import PAP
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.build import networkFactories
from pptpgw.config.configuration import Configuration, parse
from pptpgw.config.environment import Environment
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Claim,
    ICertifiedName,
    IGatewayService,
    ISessionObserver,
    ITunnel,
)
from pptpgw.networks.ipv4.plugin import IPv4Section
from pptpgw.ppp import mschap
from pptpgw.ppp.settings import LinkSettings
from pptpgw.radius.checker import RADIUSChecker
from pptpgw.service import GatewayService
from pptpgw.tunnels.pptp.tunnel import GREPorts, ISharedGRE


def test_selfTest(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A missing cryptographic primitive is named before anything is opened.
    """
    monkeypatch.setattr(mschap, "selfTest", lambda: ("MD4", "DES"))
    gateway = GatewayService(MemoryReactorClock(), Configuration(), Portal(SubscriberRealm(), []))
    with pytest.raises(ConfigurationError, match="lacks MD4, DES"):
        gateway.privilegedStartService()


def test_whatManagementSees() -> None:
    """
    The service provides L{IGatewayService}, also before it runs.
    """
    service = GatewayService(MemoryReactorClock(), Configuration(), Portal(SubscriberRealm(), []))
    verifyObject(IGatewayService, service)
    assert service.started is None
    assert (list(service.lines), list(service.faults), service.drained) == ([], [], False)
    with pytest.raises(ConfigurationError, match="no configuration file to read again"):
        service.wouldChange()


def test_sectionsInForce() -> None:
    """
    The sections of plugins in use are there, and say of each key what a reload does with it.
    """
    service = GatewayService(MemoryReactorClock(), Configuration(), Portal(SubscriberRealm(), []))
    sections = {one.name: one for one in service.sections}
    assert {"listen", "limits", "ipv4", "pptp"} <= set(sections)
    assert sections["ipv4"].values == IPv4Section()
    assert {one.factory.name for one in service.plugged} >= {"ipv4", "pptp", "auto"}
    text = """
        [limits]
        max-sessions = 5
        [ipv4]
        dns = ["192.0.2.1"]
        local = "10.0.0.1"
        [pptp]
        port = 7
        [auth]
        checkers = ["accounts"]
    """
    changes = service.wouldChange(parse(text, "x")).changes
    assert len(changes) == 5
    for change in changes:
        applies = sections[change.section].applies[change.key]
        assert (applies.effect, applies.reason) == (change.effect, change.reason)


def test_aDrainEndsWithTheRun() -> None:
    """
    A service that is drained, stops then, and is started again takes calls.
    """
    reactor = MemoryReactorClock()
    service = GatewayService(reactor, Configuration(), Portal(SubscriberRealm(), []))
    for one in list(service.services):
        one.disownServiceParent()
    service.startService()
    ended: list[bool] = []
    service.drain(stop=True).addCallback(ended.append)
    assert service.running
    reactor.advance(0.1)
    assert (ended, service.drained, bool(service.running)) == ([True], True, False)
    service.startService()
    assert (service.draining, service.drained) == (None, False)


def test_twoInOneParent() -> None:
    """
    A program may have several gateways.
    """
    parent = MultiService()
    for _ in range(2):
        portal = Portal(SubscriberRealm(), [])
        service: Any = GatewayService(MemoryReactorClock(), Configuration(), portal)
        service.setServiceParent(parent)
    assert len(parent.services) == 2


class TestUsers:
    """
    Tests for the checkers of callers.
    """

    def secrets(self, folder: Path, name: str, text: str) -> ChapSecretsChecker:
        path = FilePath(str(folder)).child(name)
        path.setContent(text.encode())
        path.chmod(0o600)
        return ChapSecretsChecker(path)

    @pytest.mark.parametrize("given", ["checkers", "a portal"])
    def test_checkersAreTheConfigurations(self, tmp_path: Path, given: str) -> None:
        """
        The checkers use C{[link] name} as the name of the gateway, whoever made them.
        """
        checker = self.secrets(tmp_path, "secrets", "alice gate open-sesame *")
        users: dict[str, Portal | list[ICredentialsChecker]] = {
            "checkers": [checker],
            "a portal": Portal(SubscriberRealm(), [checker]),
        }
        configuration = parse('[link]\nname = "gate"', "test")
        service = GatewayService(MemoryReactorClock(), configuration, users[given])
        assert subscriber(service, b"alice", b"open-sesame") == "alice"

    def test_severalAreAskedInTheirOrder(self, tmp_path: Path) -> None:
        checkers = [
            self.secrets(tmp_path, "one", "alice * one 10.77.0.77"),
            self.secrets(tmp_path, "other", "alice * one *\nbob * other *"),
        ]
        service = GatewayService(MemoryReactorClock(), Configuration(), checkers)
        for name, password in ((b"alice", b"one"), (b"bob", b"other")):
            assert subscriber(service, name, password) == name.decode()
        assert subscriber(service, b"bob", b"one") is None

    @pytest.mark.parametrize("isPortal", [False, True])
    def test_textOfTheCommandLine(self, isPortal: bool) -> None:
        """
        The names and passwords of Twisted's C{memory:} checker, which are text, are compared with
        the octets that callers send.
        """
        checkers = [makeChecker("memory:zo\xeb:caf\xe9")]
        users = Portal(SubscriberRealm(), checkers) if isPortal else checkers
        service = GatewayService(MemoryReactorClock(), Configuration(), users)
        assert subscriber(service, "zo\xeb".encode(), "caf\xe9".encode()) == "zo\xeb"

    def test_aPortalIsAskedAsItIs(self, tmp_path: Path) -> None:
        """
        A portal's checkers for other credentials are configured too, and those inside another
        checker aren't.
        """
        within = self.secrets(tmp_path, "within", "alice * one *")
        portal = Portal(SubscriberRealm(), [CheckerChain([within])])
        other = self.secrets(tmp_path, "other", "alice * one *")
        portal.registerChecker(other, ICertifiedName)
        configuration = parse('[link]\nname = "gate"', "test")
        service = GatewayService(MemoryReactorClock(), configuration, portal)
        assert subscriber(service, b"alice", b"one") == "alice"
        assert other.serverName == b"gate"
        assert within.serverName != b"gate"

    def test_configurationsOfNoUse(self) -> None:
        with pytest.raises(ConfigurationError, match="names no server"):
            GatewayService(MemoryReactorClock(), Configuration(), [RADIUSChecker()])


def subscriber(service: GatewayService, name: bytes, password: bytes) -> str | None:
    """
    The user to whom a claim by PAP is granted.
    """
    names: list[str | None] = []
    judged = service.gateway.context.authenticate(Claim(PAP, name, 1, b"", password))
    judged.addCallbacks(lambda grant: names.append(grant.name), lambda failure: names.append(None))
    return names[0]


def test_observersAreVerified() -> None:
    """
    An observer without all methods is refused when it is added.
    """

    class Lacking:
        def sessionStarted(self, session: object) -> None: ...

    observer: Any = Lacking()
    directlyProvides(observer, ISessionObserver)
    with pytest.raises(ConfigurationError) as caught:
        GatewayService(MemoryReactorClock(), Configuration(), [], [observer])
    for method in ("callerRefused", "lockedOut", "sessionEnded"):
        assert method in str(caught.value)


def test_offers() -> None:
    """
    Every key of the section reaches the link's settings.
    """
    settings = offersOf(
        Environment(
            Clock(),
            parse(
                """
            [link]
            authentication = ["pap", "mschapv2"]
            name = "here"
            rechallenge = 60
            encryption = "prefer"
            encryption-bits = [40, 128]
            encryption-stateful = true
            mru = 1300
            echo-interval = 7
            echo-failures = 5
            setup-timeout = 20
            """,
                "test",
            ),
        )
    ).general
    assert [method.name for method in settings.methods] == ["mschapv2", "pap"]
    assert (settings.name, settings.rechallenge) == (b"here", 60)
    assert (settings.encryption, settings.bits, settings.stateful) == ("prefer", (128, 40), True)
    assert (settings.mru, settings.setupTimeout) == (1300, 20)
    assert (settings.echoInterval, settings.echoFailures) == (7, 5)


def test_networkFactories() -> None:
    """
    Declared protocols are served besides those that the configuration names. One that is declared
    and named is served as declared.
    """
    configuration = parse(
        """
        [network]
        protocols = ["ipv4", "appletalk", "xns"]
        [[network.generic]]
        name = "controller"
        control = 0x80c3
        data = 0x00c3
        [[network.generic]]
        name = "appletalk"
        description = "as declared"
        [[network.generic]]
        name = "vines"
        """,
        "test",
    )
    factories = networkFactories(Environment(Clock(), configuration))
    assert list(factories) == ["ipv4", "appletalk", "xns", "controller", "vines"]
    assert factories["appletalk"].description == "as declared"
    service = GatewayService(MemoryReactorClock(), configuration, Portal(SubscriberRealm(), []))
    assert list(service.networks) == list(factories)


def test_aDeclarationCalledAsAPlugin() -> None:
    """
    A declaration can't have the name of a network protocol that is a plugin.
    """
    configuration = parse(
        '[[network.generic]]\nname = "ipv4"\ncontrol = 0x80c3\ndata = 0x00c3', "test"
    )
    with pytest.raises(ConfigurationError) as caught:
        networkFactories(Environment(Clock(), configuration))
    assert str(caught.value) == (
        '[[network.generic]] name = "ipv4": must not be that of a network protocol that is '
        "installed"
    )


@implementer(ISharedGRE)
class Sharing:
    """
    A tunnel of a third party's that shares its GRE ports.
    """

    port = 1724

    def __init__(self) -> None:
        self.gre = GREPorts(Clock(), (), Counters())


class TestClientEndpoint:
    """
    Tests for a gateway that calls itself.
    """

    def service(self, text: str = "") -> GatewayService:
        return GatewayService(MemoryReactorClock(), parse(text, "test"), [])

    def test_whoeverMadeTheTunnel(self) -> None:
        service = self.service()
        service.tunnels = {"pptp": cast(ITunnel, Sharing())}
        endpoint = service.clientEndpoint("127.0.0.1", LinkSettings())
        assert endpoint.client.address == IPv4Address("TCP", "127.0.0.1", 1724)

    def test_theTunnelHasAnotherName(self) -> None:
        service = self.service()
        with pytest.warns(DeprecationWarning, match=r"use .*GatewayService\.tunnels"):
            assert service.pptp is service.tunnels["pptp"]

    def test_withoutPPTP(self) -> None:
        service = self.service('[listen]\ntunnels = ["hdlc"]')
        with pytest.raises(ConfigurationError, match=r'needs "pptp" in \[listen\] tunnels'):
            service.clientEndpoint("127.0.0.1", LinkSettings())


def test_filesOfSessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The limit of open files has room for all connections, and for the sockets that their sessions
    have in two of these networks.
    """
    text = "[listen]\nmax-connections = 100\n" + "".join(
        f'[[network.generic]]\nname = "{name}"\nto = "{to}"\n'
        for name, to in (("xns", "hub"), ("osi", "unix:/run/osi"), ("vines", "udp:127.0.0.1:9"))
    )
    service = GatewayService(MemoryReactorClock(), parse(text, "test"), [])
    wanted: list[int] = []

    def allow(files: int) -> int:
        wanted.append(files)
        raise ConfigurationError("no more is opened")

    monkeypatch.setattr("pptpgw.service.allowDescriptors", allow)
    with pytest.raises(ConfigurationError, match="no more"):
        service.privilegedStartService()
    assert wanted == [100 * 3 + 64]
