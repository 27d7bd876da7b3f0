"""
Tests for L{pptpgw.sessions.remedy}: each remedy is given for a call that really fails or ends, and
none is there that no call leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Network
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from pptpgw.auth.eap import EAPProtocol
from pptpgw.auth.eapmethod import MD5
from pptpgw.auth.protocols import CHAP, PAP
from pptpgw.auth.rejection import Rejection
from pptpgw.config.section import ListenSection
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import PASSWORD_EXPIRED, Unavailable
from pptpgw.interfaces import Forward, IAttempt, Outcome, TunnelKind
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings
from pptpgw.ppp import ccp
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.diagnosis import adviceOn
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.remedy import Remedy
from pptpgw.testing import PASSWORD, GREWorld, World, makeTunnelEnvironment
from pptpgw.tunnels.entrance import Entrance
from pptpgw.tunnels.hdlc import wire
from pptpgw.tunnels.hdlc.tunnel import HDLCFactory, HDLCSettings
from pptpgw.tunnels.l2tp.connections import ControlConnections
from pptpgw.tunnels.l2tp.networkserver import NetworkServer
from pptpgw.tunnels.l2tp.secrets import trusting
from pptpgw.tunnels.l2tp.settings import ControlSettings
from tests.dialling.test_service import Sites
from tests.sessions.legs import Forwarder
from tests.sessions.test_bound import THERE, BoundWorld
from tests.sessions.test_diagnosis import CAROL, Checker, Gateway
from tests.tunnels.l2tp.joined import Wire
from tests.tunnels.pptp.test_incoming import incomingCall
from tests.tunnels.sstp.joined import SSTPGateway

Case = Callable[[], IAttempt]
CASES: list[tuple[Remedy, Case]] = []


def leadsTo(remedy: Remedy) -> Callable[[Case], Case]:
    """
    Return a decorator of functions that make an attempt with C{remedy}.
    """

    def add(case: Case) -> Case:
        CASES.append((remedy, case))
        return case

    return add


def over(gateway: World) -> IAttempt:
    """
    Return the newest attempt that is over.
    """
    going = (Outcome.SETTING_UP, Outcome.UP)
    return next(one for one in gateway.gateway.attempts if one.outcome not in going)


def called(
    text: str = "", checker: dict[str, Any] | None = None, lost: Sequence[int] = (), **options: Any
) -> IAttempt:
    """
    Have carol call once.

    @param lost: the numbers of the protocols whose frames get lost.
    """
    gateway = Gateway(text, Checker(**checker or {}))
    gateway.network.lose = lambda frame: frame[0] in lost
    gateway.call(**options)
    return over(gateway)


def raising(error: Exception) -> IAttempt:
    """
    Have carol call a gateway whose checker raises C{error}.
    """
    checker = Checker()

    def requestAvatarId(credentials: Any) -> Deferred[Any]:
        raise error

    checker.requestAvatarId = requestAvatarId  # type: ignore[method-assign]
    gateway = Gateway(checker=checker)
    gateway.call()
    return over(gateway)


class Lines(Gateway):
    """
    A gateway whose data path carries calls of every tunnel.
    """

    def makeDataPath(self) -> PythonDataPath:
        return PythonDataPath(self.clock)


class Line:
    """
    A line to the gateway, on which the caller's frames are written by hand.
    """

    def __init__(self) -> None:
        self.gateway = Lines()
        environment = makeTunnelEnvironment(self.gateway.gateway, clock=self.gateway.clock)
        protocol: Any = HDLCFactory(HDLCSettings(), environment).buildProtocol(None)
        protocol.makeConnection(StringTransport())
        self.protocol = protocol

    def send(self, *packets: bytes) -> Line:
        for packet in packets:
            self.protocol.dataReceived(wire.FLAG + wire.encode(b"\xff\x03\xc0\x21" + packet))
        return self

    def over(self, seconds: float = 60) -> IAttempt:
        self.gateway.run(seconds, 0.05)
        return over(self.gateway)


# Before a call.


def turnedAway(**listen: Any) -> tuple[Entrance[Any], Callable[[], IAttempt]]:
    """
    Make the entrance of a tunnel, and a function that returns the last attempt there.
    """
    gateway: Any = None
    environment = makeTunnelEnvironment(gateway, ListenSection(**listen))
    entrance: Entrance[Any] = Entrance(environment, TunnelKind("wire", "Wire"), "wire")
    return entrance, lambda: next(iter(environment.attempts))


@leadsTo(Remedy.CLIENTS)
def _() -> IAttempt:
    entrance, last = turnedAway(clients=(IPv4Network("192.0.2.0/24"),))
    assert not entrance.admits("198.51.100.7")
    return last()


@leadsTo(Remedy.LIMIT)
def _() -> IAttempt:
    entrance, last = turnedAway(maxConnectionsPerHost=1)
    entrance.opened(object(), "192.0.2.7")
    assert not entrance.admits("192.0.2.7")
    return last()


@leadsTo(Remedy.STOPPING)
def _() -> IAttempt:
    entrance, last = turnedAway()
    entrance.stop()
    assert not entrance.admits("192.0.2.7")
    return last()


@leadsTo(Remedy.LIMIT)
def _() -> IAttempt:
    gateway = Gateway("[limits]\nmax-sessions-per-source = 1")
    gateway.call()
    gateway.call()
    return over(gateway)


@leadsTo(Remedy.LIMIT)
def _() -> IAttempt:
    gateway = Gateway("[limits]\nmax-setups-per-source = 1")
    gateway.network.lose = lambda frame: True
    gateway.placeCall(gateway.connect()).addErrback(lambda failure: None)
    gateway.run(0.1)
    gateway.placeCall(gateway.connect()).addErrback(lambda failure: None)
    gateway.run(0.1)
    return over(gateway)


@leadsTo(Remedy.PAP_CLIENTS)
def _() -> IAttempt:
    link = '[link]\nauthentication = ["pap"]\nencryption = "off"\n'
    return called(link + '[limits]\npap-clients = ["198.51.100.0/24"]', methods=(PAP,))


@leadsTo(Remedy.DRAINED)
def _() -> IAttempt:
    gateway = Gateway()
    gateway.gateway.drain(lambda: None)
    gateway.call()
    return over(gateway)


@leadsTo(Remedy.STOPPING)
def _() -> IAttempt:
    gateway = Gateway()
    gateway.call()
    gateway.stop()
    return over(gateway)


@leadsTo(Remedy.DISPLACED)
def _() -> IAttempt:
    gateway = Gateway("[limits]\nmax-setups-per-source = 1")
    gateway.network.lose = lambda frame: frame[0] == ppp.CHAP
    for _ in range(2):
        gateway.placeCall(gateway.connect()).addErrback(lambda failure: None)
        gateway.run(20, 0.1)
    return over(gateway)


@leadsTo(Remedy.NOT_PPTP)
def _() -> IAttempt:
    gateway = Gateway()
    end = gateway.makeGatewaysEnd("192.0.2.7")
    end.connectionMade(StringTransport())
    end.dataReceived(b"GET / HTTP/1.1\r\nHost: vpn.example.net\r\n\r\n")
    return over(gateway)


@leadsTo(Remedy.NOTHING_SAID)
def _() -> IAttempt:
    gateway = Gateway()
    gateway.makeGatewaysEnd("192.0.2.7").connectionMade(StringTransport())
    gateway.run(60, 0.1)
    return over(gateway)


@leadsTo(Remedy.NO_CALL)
def _() -> IAttempt:
    gateway = Gateway()
    gateway.connect()
    gateway.run(20, 0.1)
    return over(gateway)


@leadsTo(Remedy.NOT_A_CONCENTRATOR)
def _() -> IAttempt:
    gateway = Gateway()
    incomingCall(gateway)
    gateway.run(1)
    return over(gateway)


@leadsTo(Remedy.SECRET)
def _() -> IAttempt:
    gateway: Any = None
    environment = makeTunnelEnvironment(gateway)
    answering = NetworkServer(environment)
    answering.accepts = True
    ends = [ControlSettings(trust=trusting(secret)) for secret in (b"sesame", b"guess")]
    wire = Wire(lns=ends[0], lac=ends[1])
    lns = wire.lns
    lns.connections = ControlConnections(wire.clock, ends[0], lns.counters, lns, answering)
    wire.lac.dial()
    wire.run(40)
    return next(iter(environment.attempts))


# The carrier and LCP.


@leadsTo(Remedy.GRE)
def _() -> IAttempt:
    gateway = Gateway()
    gateway.network.lose = lambda frame: True
    gateway.call()
    return over(gateway)


@leadsTo(Remedy.LINE)
def _() -> IAttempt:
    return Line().over()


@leadsTo(Remedy.ONE_WAY)
def _() -> IAttempt:
    gateway = Gateway()

    def lose(frame: tuple[int, bytes]) -> bool:
        # Everything that the gateway sends.
        sent = gateway.dataPath.channels[0].sent if gateway.dataPath.channels else []
        return any(frame[1] is information for _, information in sent)

    gateway.network.lose = lose
    gateway.call()
    return over(gateway)


@leadsTo(Remedy.METHOD)
def _() -> IAttempt:
    return called(methods=(PAP,), encryption="prefer")


@leadsTo(Remedy.METHOD)
def _() -> IAttempt:
    return called(methods=(), encryption="prefer")


@leadsTo(Remedy.NO_PPP)
def _() -> IAttempt:
    # A Code-Reject of Configure-Request.
    return Line().send(b"\x07\x01\x00\x08\x01\x01\x00\x04").over()


@leadsTo(Remedy.GAVE_UP)
def _() -> IAttempt:
    # A Configure-Request, and a Terminate-Request.
    return Line().send(b"\x01\x01\x00\x04", b"\x05\x02\x00\x04").over()


@leadsTo(Remedy.GAVE_UP)
def _() -> IAttempt:
    line = Line().send(b"\x01\x01\x00\x04")
    line.protocol.connectionLost(Failure(connectionDone))
    return line.over()


# Authentication.


@leadsTo(Remedy.OUTAGE)
def _() -> IAttempt:
    return raising(Unavailable("the database doesn't answer"))


@leadsTo(Remedy.PASSWORD)
def _() -> IAttempt:
    return raising(UnauthorizedLogin())


@leadsTo(Remedy.LOCKOUT)
def _() -> IAttempt:
    gateway = Gateway("[limits]\nmax-failures = 1\nlockout = 3600")
    gateway.call(b"wrong")
    gateway.call()
    return over(gateway)


@leadsTo(Remedy.EXPIRED)
def _() -> IAttempt:
    return raising(Rejection(PASSWORD_EXPIRED))


@leadsTo(Remedy.ACCOUNT)
def _() -> IAttempt:
    return raising(Rejection(647))


@leadsTo(Remedy.CHECKER)
def _() -> IAttempt:
    return raising(UnhandledCredentials())


@leadsTo(Remedy.NO_ANSWER)
def _() -> IAttempt:
    gateway = Gateway()
    # The client's Terminate-Request gets lost too.
    gateway.network.lose = lambda frame: frame[0] == ppp.CHAP or frame[1][:1] == b"\x05"
    gateway.call()
    return over(gateway)


@leadsTo(Remedy.EAP)
def _() -> IAttempt:
    text = '[link]\nauthentication = ["eap"]\n[eap]\nmethods = ["mschapv2"]'
    return called(text, methods=(EAPProtocol((MD5,)),), encryption="prefer")


@leadsTo(Remedy.UNBELIEVED)
def _() -> IAttempt:
    checker = Checker()
    checker.requestAvatarId = lambda credentials: Deferred()  # type: ignore[method-assign]
    gateway = Gateway(checker=checker)
    connection = gateway.connect()
    gateway.placeCall(connection, b"carol").addErrback(lambda failure: None)
    gateway.run(1)
    connection.close()
    gateway.run(1)
    return over(gateway)


@leadsTo(Remedy.BINDING)
def _() -> IAttempt:
    gateway = SSTPGateway(Checker())
    gateway.call(b"the certificate of a proxy", b"carol", PASSWORD)
    return next(iter(gateway.gateway.attempts))


# What the account allows.


@leadsTo(Remedy.SESSIONS)
def _() -> IAttempt:
    gateway = Gateway("[limits]\nmax-sessions-per-user = 1")
    gateway.call()
    gateway.call(source="192.0.2.8")
    return over(gateway)


@leadsTo(Remedy.HOURS)
def _() -> IAttempt:
    return called(checker={"profile": Profile("carol", hours="Mo 00:00-00:01")})


@leadsTo(Remedy.SOURCES)
def _() -> IAttempt:
    profile = Profile("carol", sources=(IPv4Network("198.51.100.0/24"),))
    return called(checker={"profile": profile})


@leadsTo(Remedy.TUNNEL)
def _() -> IAttempt:
    return called(checker={"profile": Profile("carol", tunnels=frozenset(("sstp",)))})


@leadsTo(Remedy.ADDRESSES)
def _() -> IAttempt:
    gateway = Gateway('[ipv4]\npool = ["10.77.0.10-10.77.0.10"]')
    gateway.call()
    gateway.call(source="192.0.2.8")
    return over(gateway)


@leadsTo(Remedy.POOL)
def _() -> IAttempt:
    return called(checker={"profile": Profile("carol", pool="north")})


@leadsTo(Remedy.FILTER)
def _() -> IAttempt:
    return called(checker={"profile": Profile("carol", filter="strict")})


@leadsTo(Remedy.PROTOCOLS)
def _() -> IAttempt:
    return called(checker={"profile": Profile("carol", protocols=frozenset({"ipv6"}))})


# Encryption and networks.


@leadsTo(Remedy.NO_KEYS)
def _() -> IAttempt:
    text = '[link]\nauthentication = ["chap"]\nencryption = "prefer"'
    profile = Profile("carol", encryption="require")
    return called(text, {"profile": profile}, methods=(CHAP,), encryption="prefer")


@leadsTo(Remedy.NO_BITS)
def _() -> IAttempt:
    return called(checker={"profile": Profile("carol", bits=(40,))})


@leadsTo(Remedy.BITS)
def _() -> IAttempt:
    return called(bits=(40,), encryption="require")


@leadsTo(Remedy.STATEFUL)
def _() -> IAttempt:
    gateway = Gateway()
    request = b"\x01\x01\x00\x0a\x12\x06" + ccp.mppeOption(128, stateful=True)
    connection = gateway.connect()
    gateway.placeCall(connection, b"carol", encryption="require").addErrback(lambda failure: None)

    def insist(frame: tuple[int, bytes]) -> bool:
        # In place of each frame of CCP that the client sends.
        channel = gateway.dataPath.channels[0]
        fromClient = frame[0] == ppp.CCP and not any(frame[1] is one for _, one in channel.sent)
        if fromClient:
            gateway.clock.callLater(0.01, channel.received, ppp.CCP, request)
        return fromClient

    gateway.network.lose = insist
    gateway.run(60, 0.02)
    return over(gateway)


@leadsTo(Remedy.ENCRYPTION)
def _() -> IAttempt:
    return called(encryption="off")


@leadsTo(Remedy.FIXED)
def _() -> IAttempt:
    return called(protocols=[IPCP(IPv4Settings("10.99.0.1", "10.77.0.1"))])


IPV6 = '[network]\nprotocols = ["ipv6"]\n[ipv6]\nprefixes = "2001:db8::/56"'


@leadsTo(Remedy.MRU)
def _() -> IAttempt:
    return called(IPV6, protocols=[IPV6CP(IPv6Settings(b"\0\0\0\0\0\0\0\2"))], mru=1000)


@leadsTo(Remedy.NO_NETWORK)
def _() -> IAttempt:
    return called(protocols=[IPV6CP(IPv6Settings(b"\0\0\0\0\0\0\0\2"))])


@leadsTo(Remedy.SLOW)
def _() -> IAttempt:
    return called("[link]\nsetup-timeout = 5", lost=[ppp.IPCP])


# Calls that are passed on.


@leadsTo(Remedy.DESTINATION)
def _() -> IAttempt:
    return called(checker={"profile": Profile("carol", forward="nowhere")})


@leadsTo(Remedy.UNAPPLIED)
def _() -> IAttempt:
    ends = (Forward("leg", "203.0.113.1"),)
    return called(checker={"profile": Profile("carol", forwards=ends, sendRate=1)})


@leadsTo(Remedy.BOUND)
def _() -> IAttempt:
    world = BoundWorld(Profile("alice", forwards=(Forward("leg", THERE),)), believed="")
    world.reach()
    world.run(10, 0.1)
    return over(world)


@leadsTo(Remedy.NOT_PASSED)
def _() -> IAttempt:
    gateway = Gateway(checker=Checker(Profile("carol", forwards=(Forward("leg", "203.0.113.1"),))))
    gateway.gateway.context.forwarding.forwarders = {"leg": Forwarder(gateway.clock)}
    gateway.call()
    return over(gateway)


@leadsTo(Remedy.NOT_BELIEVED)
def _() -> IAttempt:
    with TemporaryDirectory() as folder:
        sites = Sites(Path(folder))
        sites.write("password", "wrong")
        sites.reload(sites.configuration())
        sites.start()
        return next(iter(sites.south.gateway.attempts))


# Sessions that have ended.


@leadsTo(Remedy.VANISHED)
def _() -> IAttempt:
    gateway = Gateway()
    gateway.call()
    gateway.network.lose = lambda frame: True
    gateway.run(300, 0.5)
    return over(gateway)


@leadsTo(Remedy.LINKS)
def _() -> IAttempt:
    gateway = GREGateway("[link]\nmultilink = true\n[limits]\nmax-links = 1")
    for _ in range(2):
        gateway.call(mrru=1600, endpoint=b"\x01carol")
    return over(gateway)


@leadsTo(Remedy.QUALITY)
def _() -> IAttempt:
    gateway = Gateway("[link]\nquality-reports = 1\nquality-loss = 5")
    gateway.call(qualityReports=1)
    turns = count()
    gateway.network.lose = lambda frame: next(turns) % 4 == 0
    gateway.run(60, 0.5)
    return over(gateway)


class GREGateway(Gateway, GREWorld):
    """
    A gateway whose packets go through GRE, so that its links may be those of bundles.
    """


def ended(text: str, octets: int = 0, profile: Profile = CAROL) -> IAttempt:
    """
    Have a session of carol's come to the limit that C{text} or her profile has.
    """
    gateway = Gateway(text, Checker(profile))
    gateway.call()
    for session in gateway.gateway.sessions:
        session.counters.octetsReceived += octets
    gateway.run(600, 0.5)
    return over(gateway)


@leadsTo(Remedy.IDLE)
def _() -> IAttempt:
    return ended("[limits]\nidle-timeout = 200")


@leadsTo(Remedy.TIME)
def _() -> IAttempt:
    return ended("[limits]\nsession-timeout = 200")


@leadsTo(Remedy.VOLUME)
def _() -> IAttempt:
    return ended("[limits]\nvolume = 1000000", 2_000_000)


@leadsTo(Remedy.HOURS_OVER)
def _() -> IAttempt:
    now = datetime.fromtimestamp(0)
    hours = f"{now:%H:%M}-{now + timedelta(minutes=2):%H:%M}"
    return ended("", profile=Profile("carol", hours=hours))


@leadsTo(Remedy.REPLACED)
def _() -> IAttempt:
    gateway = Gateway('[limits]\nmax-sessions-per-user = 1\nper-user = "replace"')
    gateway.call()
    gateway.call(source="192.0.2.8")
    return over(gateway)


@pytest.mark.parametrize(
    ("remedy", "case"), CASES, ids=[f"{remedy.name}-{i}" for i, (remedy, _) in enumerate(CASES)]
)
def test_theCallsThatLeadToIt(remedy: Remedy, case: Case) -> None:
    attempt = case()
    assert (attempt.cause, adviceOn(attempt)) == (attempt.cause, remedy.value)


def test_someCallLeadsToEach() -> None:
    assert {remedy for remedy, _ in CASES} == set(Remedy)
