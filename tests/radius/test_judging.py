"""
Tests with claims of every kind that a FreeRADIUS judges.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from pptpgw.auth.credentials import ClaimCredentials
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP, CHAPProtocol, PAPProtocol
from pptpgw.auth.realm import AvatarID
from pptpgw.auth.rejection import Rejection
from pptpgw.config.configuration import Configuration
from pptpgw.config.environment import Environment
from pptpgw.config.kind import NoSettings
from pptpgw.counting.counters import Counters
from pptpgw.error import Refused, Unavailable
from pptpgw.interfaces import Caller, Claim
from pptpgw.ppp.algorithm import Answer
from pptpgw.ppp.wire import chap
from pptpgw.radius.build import makeClient
from pptpgw.radius.checker import RADIUSChecker
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.section import RADIUSSection
from pptpgw.radius.servers import Server
from pptpgw.tunnels.pptp.call import PPTP
from tests.radius.freeradius import PROGRAM, SECRET, FreeRADIUS
from tests.radius.served import onTheReactor

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs FreeRADIUS")

USERS = """
vera Cleartext-Password := "open sesame", NAS-Identifier == "gate", NAS-Port-Type == Virtual, \
Service-Type == Framed-User, Framed-Protocol == PPP, Calling-Station-Id == "198.51.100.7", \
Called-Station-Id == "203.0.113.1", Tunnel-Type == PPTP, Tunnel-Medium-Type == IPv4, \
Acct-Session-Id == "abc00000005", NAS-Port == 5, NAS-IP-Address == 203.0.113.1
    Framed-IP-Address = 10.1.2.3,
    Framed-Route = "192.0.2.0/24 10.1.2.3 1",
    Framed-Pool = "staff",
    Class = 0x0102ff,
    Session-Timeout = 3600,
    Idle-Timeout = 300,
    MS-Primary-DNS-Server = 192.0.2.53,
    Mikrotik-Rate-Limit = "1M/2M 3M/4M",
    Reply-Message = "Good morning"
schlüssel Cleartext-Password := "wörter"
    Framed-IP-Address = 255.255.255.254
router Cleartext-Password := "open sesame"
    Service-Type = Administrative-User
"""
CALLER = Caller("198.51.100.7", "203.0.113.1", 5, "abc00000005", PPTP)
METHODS = (PAP, CHAP, MSCHAP, MSCHAPV2)
Method = CHAPProtocol | PAPProtocol


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreeRADIUS]:
    made = FreeRADIUS(tmp_path_factory.mktemp("radius") / "server", USERS)
    made.start()
    yield made
    made.stop()


class World:
    """
    A checker that asks FreeRADIUS.
    """

    def __init__(self, server: FreeRADIUS, secret: str = SECRET, timeout: float = 6.0) -> None:
        one = Server("127.0.0.1", server.authPort, server.acctPort, secret=secret)
        radius = RADIUSSection((one,), "gate", timeout=timeout, deadline=timeout + 0.5)
        configuration = Configuration(radius=radius)
        self.counters = Counters()
        self.client: RADIUSClient = makeClient(reactor, configuration, self.counters)
        self.checker = RADIUSChecker()
        environment = Environment(reactor, configuration, radius=self.client)
        self.checker.configure(NoSettings(), environment)
        self.answer: Answer | None = None

    def claim(self, method: Method, name: str, password: str) -> ClaimCredentials:
        """
        The claim of a peer with this name and password.
        """
        if isinstance(method, PAPProtocol):
            return method.credentials(
                Claim(method, name.encode(), 3, b"", password.encode(), caller=CALLER),
                name.encode(),
            )
        asked = chap.Challenge(9, bytes(range(method.variant.challengeSize)), b"gate")
        self.answer = method.variant.answer(asked, name.encode(), password.encode())
        assert self.answer is not None
        claim = Claim(method, name.encode(), 9, asked.value, self.answer.value, caller=CALLER)
        return method.credentials(claim, name.encode())

    async def judge(self, credentials: ClaimCredentials) -> AvatarID:
        try:
            avatar = await self.checker.requestAvatarId(credentials)
        finally:
            self.client.stop()
        assert isinstance(avatar, AvatarID)
        return avatar


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.name))
@onTheReactor
async def test_theRightPassword(server: FreeRADIUS, method: Method) -> None:
    """
    The server's decision depends on what the request says about the call, and the attributes of its
    answer are applied.
    """
    world = World(server)
    credentials = world.claim(method, "vera", "open sesame")
    profile = (await world.judge(credentials)).profile
    assert profile.name == "vera"
    assert profile.addresses == (IPv4Network("10.1.2.3"),)
    assert profile.routes == (IPv4Network("192.0.2.0/24"),)
    assert (profile.pool, profile.accountingClass) == ("staff", (b"\1\2\xff",))
    assert (profile.sessionTimeout, profile.idleTimeout) == (3600, 300)
    assert [str(one) for one in profile.dns] == ["192.0.2.53"]
    assert (profile.receiveRate, profile.sendRate) == (1_000_000, 2_000_000)
    assert world.counters.discards == {}
    if not method.earnsKeys:
        assert (credentials.keys, credentials.message) == (None, b"Good morning")
        return
    assert world.answer is not None and credentials.keys is not None
    assert world.answer.check(credentials.message)
    theirs = world.answer.keys()
    assert theirs is not None
    assert theirs.send(128, False) == credentials.keys.receive(128, False)
    assert theirs.receive(128, False) == credentials.keys.send(128, False)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.name))
@onTheReactor
async def test_theWrongPassword(server: FreeRADIUS, method: Method) -> None:
    world = World(server)
    with pytest.raises(Rejection) as caught:
        await world.judge(world.claim(method, "vera", "open barley"))
    assert caught.value.error == 691
    # FreeRADIUS permits another try with the MS-CHAP methods.
    assert caught.value.retry is method.earnsKeys


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.name))
@onTheReactor
async def test_letters(server: FreeRADIUS, method: Method) -> None:
    world = World(server)
    profile = (await world.judge(world.claim(method, "schlüssel", "wörter"))).profile
    assert (profile.name, profile.addresses) == ("schlüssel", None)


@onTheReactor
async def test_anotherService(server: FreeRADIUS) -> None:
    """
    A user who may only log in to the gateway itself may not call (RFC 2865 section 5.6).
    """
    world = World(server)
    with pytest.raises(Refused, match="obeyed"):
        await world.judge(world.claim(PAP, "router", "open sesame"))


@onTheReactor
async def test_theWrongSharedSecret(server: FreeRADIUS) -> None:
    """
    FreeRADIUS discards requests with a wrong secret, and the log names possible reasons for the
    silence.
    """
    said: list[str] = []

    @implementer(ILogObserver)
    def observer(event: LogEvent) -> None:
        said.append(event.get("log_format") or "")

    world = World(server, "another secret", timeout=1.0)
    globalLogPublisher.addObserver(observer)
    try:
        with pytest.raises(Unavailable, match="no RADIUS server answered"):
            await world.judge(world.claim(PAP, "vera", "open sesame"))
    finally:
        globalLogPublisher.removeObserver(observer)
    assert [one for one in said if "is dead" in one and "another shared secret" in one]
    assert "another secret" not in " ".join(said)


@pytest.mark.parametrize("name", ["", "x" * 254])
@onTheReactor
async def test_namesThatCantBeAsked(server: FreeRADIUS, name: str) -> None:
    world = World(server)
    with pytest.raises(Refused, match="a name of"):
        await world.judge(world.claim(PAP, name, "open sesame"))


@onTheReactor
async def test_passwordsThatCantBeAsked(server: FreeRADIUS) -> None:
    world = World(server)
    with pytest.raises(Refused, match="a password of"):
        await world.judge(world.claim(PAP, "vera", "x" * 129))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
@onTheReactor
async def test_oneOfTwoEndsInMidLoad(tmp_path: Path, how: signal.Signals) -> None:
    """
    Every caller is let in when one of two servers ends while 100 callers wait and 200 more come.
    The machine of a killed server refuses packets, and a frozen server is silent.
    """
    users = 'vera Cleartext-Password := "open sesame"\n'
    servers = [FreeRADIUS(tmp_path / name, users) for name in ("one", "other")]
    for one in servers:
        one.start()
    radius = RADIUSSection(
        tuple(Server("127.0.0.1", one.authPort, one.acctPort, secret=SECRET) for one in servers),
        timeout=2.0,
        deadline=20.0,
    )
    configuration = Configuration(radius=radius)
    client = makeClient(reactor, configuration, Counters())
    checker = RADIUSChecker()
    checker.configure(NoSettings(), Environment(reactor, configuration, radius=client))
    granted: list[Any] = []
    others: list[Deferred[Any]] = []

    def call(count: int) -> list[Deferred[Any]]:
        return [
            checker.requestAvatarId(PAP.credentials(claim, b"vera")).addCallback(done)
            for _ in range(count)
        ]

    def done(avatar: Any) -> None:
        granted.append(avatar)
        if len(granted) == 40:
            servers[0].signal(how)
            others.extend(call(200))

    said: list[str] = []

    @implementer(ILogObserver)
    def observer(event: LogEvent) -> None:
        said.append(event.get("log_format") or "")

    claim = Claim(PAP, b"vera", 1, b"", b"open sesame")
    globalLogPublisher.addObserver(observer)
    try:
        await gatherResults(call(100))
        await gatherResults(others)
        assert len(granted) == 300
        assert [one for one in said if "is dead" in one]
    finally:
        globalLogPublisher.removeObserver(observer)
        client.stop()
        for one in servers:
            one.kill()
