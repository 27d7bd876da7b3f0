"""
Tests for L{pptpgw.dialling.service} with two gateways in one process: the southern one dials the
northern one.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from twisted.cred.checkers import (
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernameHashedPassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError
from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.auth.eap import EAPProtocol
from pptpgw.auth.protocols import CHAP, MSCHAPV2, PAP
from pptpgw.auth.rejection import Rejection
from pptpgw.config.configuration import parse
from pptpgw.config.reload import ReloadStep
from pptpgw.dialling.service import Dialling, DialService
from pptpgw.error import PASSWORD_EXPIRED, ConfigurationError
from pptpgw.interfaces import Attachment, Direction, IChangedPassword, IDialler, Outcome
from pptpgw.ppp.mschap import ntPasswordHash
from pptpgw.ppp.settings import Identity
from pptpgw.ppp.wire.ppp import IPV4
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.testing import MemoryDataPath, answering, joined, resultOf
from pptpgw.testing.world import World
from pptpgw.tunnels.pptp.call import PPTP
from pptpgw.tunnels.pptp.concentrator import PPTPConcentrator
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import ConnectionOwner
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import Side
from tests.certificates import Authority

NORTH, SOUTH = "198.51.100.1", "203.0.113.1"
DIAL = """
[ipv4]
local = "10.78.0.1"
pool = []

[listen]
tunnels = []

[[network.filter]]
name = "web"
rules = ["permit ip from any to any"]

[[dial]]
name = "north"
tunnel = "pptp"
addresses = ["{addresses}"]
user = "south"
password-file = "{password}"
routes = ["10.1.0.0/16"]
encryption = "{encryption}"
"""


@implementer(IDialler)
class Dialler(PPTPConcentrator):
    """
    The part of a PPTP tunnel that places calls.
    """

    kind = PPTP


class Sites:
    """
    Two gateways on one network. The northern one knows the southern one.

    @ivar opened: the southern ends of the control connections between them.
    @ivar isThere: whether the northern one can be reached.
    """

    def __init__(
        self,
        folder: Path,
        more: str = "",
        encryption: str = "require",
        both: str = "",
        checker: Any = None,
    ) -> None:
        """
        @param more: more keys of C{[[dial]]}.
        @param both: the beginning of both configurations.
        @param checker: knows the southern one; None for a checker that knows its password.
        """
        self.folder = folder
        self.isThere = True
        self.opened: list[ControlConnection] = []
        self.write("password", "south wind")
        clock = Clock()
        users = [checker or InMemoryUsernamePasswordDatabaseDontUse(south=b"south wind")]
        self.north = North(both, checkers=users, clock=clock)
        self.encryption, self.both = encryption, both
        self.text = self.configuration(more)
        self.tunnels: Any = {"pptp": Dialler(clock, ConnectionSettings(), self._open)}
        self.make(self.text)

    def make(self, text: str) -> None:
        """
        Make the southern gateway.
        """
        self.south = south = South(self.north, text)
        configuration = south.environment.configuration
        self.dialling = Dialling(south.gateway.context, self.tunnels, south.networks, configuration)

    def configuration(self, more: str = "", *addresses: str) -> str:
        """
        The southern configuration.

        @param more: more keys of C{[[dial]]}.
        """
        return (
            self.both
            + DIAL.format(
                addresses='", "'.join(addresses or (NORTH,)),
                password=self.folder / "password",
                encryption=self.encryption,
            )
            + more
        )

    def write(self, name: str, text: str) -> Path:
        """
        Write a file that only its owner may read.
        """
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text)
        return path

    @property
    def dial(self) -> DialService:
        return self.dialling.dials["north"]

    @property
    def state(self) -> str:
        return self.dial.redial.state.name

    def run(self, seconds: float, step: float = 0.001) -> None:
        self.north.run(seconds, step)

    def start(self, seconds: float = 1.0) -> None:
        """
        Start the service.
        """
        self.dialling.startService()
        self.run(seconds)

    def stop(self) -> None:
        """
        Stop the service, after which nothing may be left.
        """
        stopped = self.dialling.stopService()
        self.run(10, 0.01)
        for _ in range(500):
            # A thread may be writing a file.
            if stopped.called:
                break
            sleep(0.01)
            self.run(0.1, 0.01)
        resultOf(stopped)
        self.run(120, 0.1)
        assert not self.south.gateway.lines and not self.north.gateway.lines
        assert not self.north.clock.getDelayedCalls()

    def reload(self, text: str) -> None:
        """
        Put another southern configuration in force.
        """
        step: ReloadStep = self.dialling.follow(parse(text, "test"))
        step.apply()

    def _open(
        self,
        settings: ConnectionSettings,
        owner: ConnectionOwner,
        source: str,
        peer: tuple[str, int],
    ) -> Deferred[ControlConnection]:
        if peer != (NORTH, 1723) or not self.isThere:
            return fail(ConnectionRefusedError())
        north, clock = self.north, self.north.clock
        here = ControlConnection(
            clock, settings, self.south.callIDs, owner, Side.ORIGINATOR, SOUTH, NORTH
        )
        there = ControlConnection(
            clock,
            ConnectionSettings(),
            north.callIDs,
            answering(north.gateway, ()),
            Side.RECEIVER,
            NORTH,
            SOUTH,
        )
        joined(clock, here, there)
        self.opened.append(here)
        return succeed(here)


class North(World):
    """
    The gateway that answers.
    """


class South(World):
    """
    The gateway that dials.
    """

    def __init__(self, north: World, text: str, **options: Any) -> None:
        self._north = north
        super().__init__(text, clock=north.clock, **options)

    def makeDataPath(self) -> MemoryDataPath:
        return MemoryDataPath(self._north.network)


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    return Sites(tmp_path)


def test_up(sites: Sites) -> None:
    """
    A dialled call is a session like any other, whose direction is told. The address that the other
    end gives is ours, and its own and the networks behind it lead to the session. Both ends are
    sure of each other, and the control connection ends with the call.
    """
    sites.start()
    assert sites.state == "UP"
    (session,) = sites.south.gateway.sessions
    assert (session.user, session.direction) == ("north", Direction.OUT)
    assert (session.caller, session.called) == (SOUTH, NORTH)
    assert session.other == f"to {NORTH}"
    assert (session.authentication, session.encryption) == ("mschapv2", "MPPE 128 bit stateless")
    assert [str(one) for one in session.networks["ipv4"]] == ["10.77.0.1/32", "10.1.0.0/16"]
    line = sites.dial.line
    assert line is not None
    attachment: Attachment = line.channel.networks[IPV4]  # type: ignore[attr-defined]
    assert str(attachment.localAddress) == "10.77.0.10"
    (beyond,) = sites.north.gateway.sessions
    assert (beyond.user, beyond.direction) == ("south", Direction.IN)
    (attempt,) = sites.south.gateway.attempts.find(user="north")
    assert (attempt.outcome, attempt.direction) == (Outcome.UP, Direction.OUT)
    assert sites.south.gateway.lines.dialled == 1 and sites.south.gateway.isDrained
    sites.stop()
    assert not any(one.isEstablished for one in sites.opened)


def test_again(sites: Sites) -> None:
    """
    Whichever way a call ends, another one follows, by a new control connection; nothing of the old
    ones is left.
    """
    sites.start()
    for number in range(20):
        assert sites.state == "UP", number
        (beyond,) = sites.north.gateway.sessions
        sites.run(40, 0.1)
        if number % 3 == 0:
            beyond.hangUp("enough")
        elif number % 3 == 1:
            sites.opened[-1].end("cut")
        else:
            sites.north.network.lose = lambda frame: True
            sites.run(60, 0.1)
            sites.north.network.lose = lambda frame: False
            beyond.hangUp("lost")
        sites.run(8, 0.01)
    assert len(sites.opened) >= 21
    assert len(sites.south.gateway.lines) == len(sites.north.gateway.lines) == 1
    assert sum(one.isEstablished for one in sites.opened) == 1
    sites.stop()


def test_wrongPassword(sites: Sites, caplog: pytest.LogCaptureFixture) -> None:
    """
    A wrong password is told once, and isn't tried again soon. A reload with the right one in the
    same file dials with that.
    """
    sites.write("password", "wrong")
    sites.reload(sites.configuration("echo-interval = 11"))
    sites.start(10)
    redial = sites.dial.redial
    assert redial.state.name == "WAITING" and redial.due is not None
    assert redial.due - redial._clock.seconds() > 100
    assert "E=691" in str(redial.cause) or "wrong" in str(redial.cause)
    sites.run(700, 0.1)
    assert len(sites.opened) >= 3
    (attempt, *_) = sites.south.gateway.attempts.find(user="north")
    assert attempt.outcome is Outcome.FAILED
    sites.write("password", "south wind")
    sites.reload(sites.configuration())
    sites.run(1)
    assert sites.state == "UP"
    sites.stop()


def test_nobodyThere(sites: Sites) -> None:
    """
    An end that can't be reached is dialled again; 'why' can tell the reason.
    """
    sites.isThere = False
    sites.start(60)
    (attempt, *_) = sites.south.gateway.attempts.find(user="north")
    assert attempt.outcome is Outcome.FAILED and attempt.direction is Direction.OUT
    assert "refused" in str(attempt.cause)
    sites.isThere = True
    sites.run(120, 0.1)
    assert sites.state == "UP"
    sites.stop()


def test_connectingGivenUp(tmp_path: Path) -> None:
    """
    An attempt that is given up while it connects leaves no connection behind that still tries.
    """
    sites = Sites(tmp_path, "timeout = 5")
    attempts: list[Deferred[Any]] = []

    def cancelled(one: Deferred[Any]) -> None:
        one.errback(ConnectingCancelledError(None))

    def open(*given: Any) -> Deferred[Any]:
        attempts.append(Deferred(cancelled))
        return attempts[-1]

    sites.tunnels["pptp"]._open = open
    sites.start(6)
    assert len(attempts) == 1 and attempts[0].called
    assert sites.state == "WAITING"
    sites.stop()


def test_nobodyAnswers(tmp_path: Path) -> None:
    """
    An end that takes the call and then says nothing is given up in time.
    """
    sites = Sites(tmp_path, "timeout = 5")
    sites.north.network.lose = lambda frame: True
    sites.start(5.5)
    assert sites.state in ("ENDING", "WAITING")
    sites.run(20, 0.01)
    assert len(sites.opened) >= 2
    sites.stop()


def test_bothAuthenticate(tmp_path: Path) -> None:
    """
    The other end authenticates itself, too, if it must, and with the right name and password. The
    keys are those of our own proof.
    """
    for name, isRight in (("north", True), ("north", False), ("evil", True)):
        folder = tmp_path / f"{name}{isRight}"
        folder.mkdir()
        path = folder / "peer"
        more = f'peer-name = "north"\npeer-password-file = "{path}"\n'
        path.touch(0o600)
        path.write_text("north wind")
        sites = Sites(folder, more)
        password = b"north wind" if isRight else b"another"
        identity = Identity(name.encode(), password, (MSCHAPV2,))
        offers = sites.north.gateway.offers
        offers.general = replace(offers.general, identity=identity)
        sites.start(3)
        works = isRight and name == "north"
        assert (sites.state == "UP") == works
        assert bool(list(sites.south.gateway.sessions)) == works
        if works:
            (session,) = sites.north.gateway.sessions
            assert session.encryption == "MPPE 128 bit stateless"
        sites.stop()


def test_strangers(tmp_path: Path) -> None:
    """
    An end that was called answers no challenge of a caller that it hasn't let in.
    """
    path = tmp_path / "peer"
    path.touch(0o600)
    path.write_text("north wind")
    sites = Sites(tmp_path, f'peer-name = "north"\npeer-password-file = "{path}"\n')
    sites.write("password", "wrong")
    sites.reload(sites.configuration(f'peer-name = "north"\npeer-password-file = "{path}"\n'))
    offers = sites.north.gateway.offers
    identity = Identity(b"north", b"north wind", (MSCHAPV2,))
    offers.general = replace(offers.general, identity=identity)
    sites.start(20)
    frames = [one for made in sites.north.gateway.attempts for one in made.frames if one.isSent]
    codes = {one.information[0] for one in frames if one.protocol == CHAP.number}
    assert codes == {1, 4}
    sites.stop()


def test_peerWithoutName(tmp_path: Path) -> None:
    """
    There is no session with an end that refuses to authenticate itself.
    """
    path = tmp_path / "peer"
    path.touch(0o600)
    path.write_text("north wind")
    sites = Sites(tmp_path, f'peer-name = "north"\npeer-password-file = "{path}"\n')
    sites.start(3)
    assert not list(sites.south.gateway.sessions)
    sites.stop()


@pytest.mark.parametrize("method", [CHAP, PAP])
def test_weakerMethods(tmp_path: Path, method: Any) -> None:
    """
    An end that proposes another method than ours isn't told our password.
    """
    sites = Sites(tmp_path, encryption="off")
    offers = sites.north.gateway.offers
    offers.general = replace(offers.general, methods=(method,), encryption="off")
    sites.start(20)
    assert not list(sites.south.gateway.sessions)
    frames = [one for made in sites.south.gateway.attempts for one in made.frames]
    assert not any(one.protocol == method.number for one in frames)
    sites.stop()


def test_unasked(tmp_path: Path) -> None:
    """
    There is no session with an end that doesn't ask who we are.
    """
    sites = Sites(tmp_path, encryption="off")
    offers = sites.north.gateway.offers
    offers.general = replace(offers.general, methods=(), encryption="off")
    sites.start(3)
    assert not list(sites.south.gateway.sessions)
    assert "didn't ask who we are" in str(sites.dial.redial.cause)
    sites.stop()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('tunnel = "sstp"', "wasn't there at the start"),
        ('networks = ["ipx"]', "has no 'ipx'"),
        ('filter = "none"', "there is no"),
        ('peer-name = "north"', "need each other"),
        ('methods = ["none"]', "methods"),
        ('password-file = "/nowhere"', "nowhere"),
    ],
)
def test_faults(sites: Sites, text: str, why: str) -> None:
    """
    A call that can't be placed is refused when the configuration is read.
    """
    key, _, _ = text.partition(" ")
    lines = [one for one in sites.text.splitlines() if not one.startswith(f"{key} =")]
    with pytest.raises(ConfigurationError, match=why):
        sites.dialling.follow(parse("\n".join([*lines, text]), "test"))


@pytest.mark.parametrize(
    ("local", "pool", "why"),
    [
        ("10.77.0.10", "10.99.0.10", "is this gateway's own"),
        ("10.78.0.1", "10.77.0.10", "is one of those that callers get"),
    ],
)
def test_addressesOfOthers(tmp_path: Path, local: str, pool: str, why: str) -> None:
    """
    An address that somebody has isn't taken from the other end.
    """
    sites = Sites(tmp_path)
    text = sites.text.replace('"10.78.0.1"', f'"{local}"').replace(
        "tunnels = []", 'tunnels = ["pptp"]'
    )
    sites.make(text.replace("pool = []", f'pool = ["{pool}"]'))
    sites.start(3)
    assert why in str(sites.dial.redial.cause)
    sites.stop()


def test_theirOwnAddress(tmp_path: Path) -> None:
    """
    If the other end has an address that is ours, nothing leads there, and what is behind it is
    reached all the same.
    """
    sites = Sites(tmp_path)
    sites.make(sites.text.replace('"10.78.0.1"', '"10.77.0.1"'))
    sites.start()
    (session,) = sites.south.gateway.sessions
    assert [str(one) for one in session.networks["ipv4"]] == ["10.1.0.0/16"]
    sites.stop()


def test_kicked(sites: Sites) -> None:
    """
    A session that an operator ends is dialled again; one that is taken down isn't.
    """
    sites.start()
    (session,) = sites.south.gateway.sessions
    session.hangUp(Cause("an operator", Termination.ADMIN_RESET))
    sites.run(8, 0.01)
    assert sites.state == "UP"
    down = sites.dial.end("an operator")
    sites.run(400, 0.1)
    resultOf(down)
    assert sites.state == "OFF"
    sites.dial.redial.up()
    sites.run(1)
    assert sites.state == "UP"
    sites.stop()


def test_twice(sites: Sites) -> None:
    """
    Calls of a program share the gateway with those of the configuration.
    """
    sites.start()
    plan = sites.dial.plan
    other = DialService(sites.south.gateway.context, sites.tunnels, plan)
    other.startService()
    sites.run(1)
    assert len(list(sites.south.gateway.sessions)) == 2
    stopped = other.stopService()
    sites.run(1)
    resultOf(stopped)
    sites.stop()


@implementer(ICredentialsChecker)
class Expiring:
    """
    A checker that knows one password, which has expired at first.
    """

    credentialInterfaces = (IUsernameHashedPassword, IChangedPassword)

    def __init__(self) -> None:
        self.password, self.hasExpired = b"south wind", True

    def requestAvatarId(self, credentials: Any) -> Any:
        if IChangedPassword.providedBy(credentials):
            new = credentials.changed(ntPasswordHash(self.password))
            assert new is not None
            self.password, self.hasExpired = new.decode("utf-16-le").encode(), False
        elif not credentials.checkPassword(self.password):
            return fail(UnauthorizedLogin())
        elif self.hasExpired:
            return fail(Rejection(PASSWORD_EXPIRED))
        return succeed(credentials.username)


def test_aPasswordThatHasExpired(tmp_path: Path) -> None:
    """
    An expired password is changed while the call is set up. Calls to come use the new one, which is
    in the file of the old one, too.
    """
    checker = Expiring()
    new = tmp_path / "new"
    new.touch(0o600)
    new.write_text("north wind\n")
    sites = Sites(tmp_path, f'new-password-file = "{new}"\n', checker=checker)
    sites.start()
    assert sites.state == "UP"
    assert checker.password == b"north wind"
    assert (tmp_path / "password").read_text() == "north wind\n"
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    (beyond,) = sites.north.gateway.sessions
    beyond.hangUp("enough")
    sites.run(10, 0.01)
    assert sites.state == "UP"
    sites.stop()


def test_aCertificate(tmp_path: Path) -> None:
    """
    With a certificate, EAP is EAP-TLS alone; its files need each other.
    """
    authority = Authority(tmp_path, "CA")
    certificate, key = authority.issue("south")
    more = f'methods = ["eap"]\ncertificate = "{certificate}"\ncertificate-key = "{key}"\n'
    with pytest.raises(ConfigurationError, match="need each other"):
        Sites(tmp_path, more)
    sites = Sites(tmp_path, more + f'authorities = "{authority.certificate}"\n')
    identity = sites.dial.plan.settings.identity
    assert identity is not None
    (method,) = identity.methods
    assert isinstance(method, EAPProtocol) and [one.name for one in method.methods] == ["tls"]
    missing = more.replace(str(key), "/nowhere") + f'authorities = "{authority.certificate}"\n'
    with pytest.raises(ConfigurationError, match="north: key = /nowhere: No such file"):
        Sites(tmp_path, missing)


def settled(sites: Sites, path: Path) -> list[str]:
    """
    Return the lines of the file at C{path}, without comments, once the thread has written it.
    """
    names = sites.dial._names._file
    assert names is not None
    if names._worker is not None:
        assert names._worker.wait(10)
    return [one for one in path.read_text().splitlines() if not one.startswith("#")]


def test_nameServers(tmp_path: Path) -> None:
    """
    The name servers of the other end are in a file while the call is up, whichever network has told
    them. A run that was killed has left others.
    """
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.99\n")
    more = f'resolv-file = "{path}"\nnetworks = ["ipv4", "ipv6"]\nwhen = "asked"\n'
    dns = '[ipv6]\ndns = ["2001:db8::53"]\nsearch = ["example.net"]\n'
    both = f'[network]\nprotocols = ["ipv4", "ipv6"]\n{dns}'
    sites = Sites(tmp_path, more, both=both)
    ipv4: Any = sites.north.networks["ipv4"]
    ipv4._settings = replace(ipv4._settings, dns=(IPv4Address("10.77.0.53"),))
    sites.start(0.1)
    assert settled(sites, path) == []
    sites.dial.redial.up()
    sites.run(1)
    assert sites.state == "UP"
    assert settled(sites, path) == [
        "nameserver 10.77.0.53",
        "nameserver 2001:db8::53",
        "search example.net",
    ]
    assert path.stat().st_mode & 0o777 == 0o644
    sites.dial.redial.down("enough")
    sites.run(5, 0.01)
    assert settled(sites, path) == []
    sites.stop()
