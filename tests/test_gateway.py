"""
Tests for L{pptpgw.gateway} and L{pptpgw.client}: callers and a gateway in memory, from the control
connection to packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw import testing
from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.error import CallError, PPTPGWError, Unavailable
from pptpgw.interfaces import (
    Caller,
    IAuthenticationProtocol,
    ICallOwner,
    ICallTaker,
    IHealth,
    INetwork,
    ISession,
    ISubscriber,
)
from pptpgw.log import INTERVAL, LEFT_OUT, PER_SOURCE, Logger
from pptpgw.networks.ipv4 import plugin as network
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.wire import ppp
from pptpgw.ppp.wire.ppp import IPV4
from pptpgw.sessions.line import SILENCE_SECONDS
from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.pool import AddressPool
from pptpgw.testing import (
    MemoryTransport,
    answering,
    resultOf,
)
from pptpgw.tunnels.pptp.call import Call
from pptpgw.tunnels.pptp.client import ClientConnection
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import Side
from pptpgw.tunnels.pptp.wire.message import (
    CallClearRequest,
    OutgoingCallRequest,
    StartControlConnectionRequest,
    encode,
)
from tests.chapsecrets import secretsIn
from tests.logged import loggedLines

SERVER = "192.0.2.1"
SECRETS = """
alice * "open sesame" *
bob * builder 10.77.9.9
carol * singer 10.99.0.1 10.99.0.2
nobody * secret -
dave * secret 192.0.2.8/29
erin * secret !10.77.0.10 *
gate * secret 10.77.0.1
"""


class Broken(testing.SessionRecorder):
    """
    An observer that raises.
    """

    def sessionStarted(self, session: object) -> None:
        Logger("pptpgw.test").info("about to break")
        raise ValueError("broken observer")


class World(testing.World):
    """
    A gateway, and callers where they are needed.
    """

    def __init__(self, secrets: FilePath[str], clock: Clock | None = None, **options: Any) -> None:
        self.pool = AddressPool([(IPv4Address("10.77.0.10"), IPv4Address("10.77.0.12"))])
        self.observer = testing.SessionRecorder()
        settings = {"methods": (MSCHAPV2, MSCHAP, CHAP, PAP), "name": b"gateway"} | options
        super().__init__("", [ChapSecretsChecker(secrets)], [self.observer], clock, **settings)
        self.log: list[str] = []

    def makeNetworks(self) -> dict[str, INetwork]:
        section = network.IPv4Section()
        return {"ipv4": network.IPv4Sessions(section, self.environment, self.pool)}

    def call(
        self,
        connection: ClientConnection,
        name: bytes = b"alice",
        password: bytes = b"open sesame",
        packets: list[bytes] | None = None,
        methods: tuple[IAuthenticationProtocol, ...] = (MSCHAPV2,),
        **options: Any,
    ) -> Deferred[ClientCall]:
        received = packets if packets is not None else []
        ipv4 = IPCP(IPv4Settings.client(received.append))
        placed = self.placeCall(connection, name, password, [ipv4], methods, **options)
        self.run(0.1)
        return placed


def ipv4(call: ClientCall) -> IPCP:
    protocol = call.protocols["ipv4"]
    assert isinstance(protocol, IPCP)
    return protocol


def failureOf(deferred: Deferred[ClientCall]) -> str:
    """
    The cause for which C{deferred} failed.
    """
    causes: list[str] = []
    deferred.addErrback(
        lambda failure: causes.append(str(failure.trap(CallError) and failure.value))
    )
    assert causes, "the call has not failed"
    return causes[0]


@pytest.fixture
def secrets(tmp_path: object) -> FilePath[str]:
    """
    A chap-secrets file.
    """
    return secretsIn(tmp_path, SECRETS)


@pytest.fixture
def world(secrets: FilePath[str]) -> Iterator[World]:
    """
    A gateway whose log is kept. No timer may be left at the end.
    """
    world = World(secrets)
    with loggedLines() as world.log:
        yield world


def test_call(world: World) -> None:
    """
    A call is set up, its packets arrive, and its end gives everything back.
    """
    connection = world.connect()
    packets: list[bytes] = []
    call = resultOf(world.call(connection, packets=packets))
    assert (ipv4(call).localAddress, ipv4(call).peerAddress) == ("10.77.0.10", "10.77.0.1")
    (session,) = world.gateway.sessions
    assert (session.user, session.caller) == ("alice", "192.0.2.7")
    assert session.authentication == "mschapv2"
    assert session.encryption == "MPPE 128 bit stateless"
    assert session.networks == {"ipv4": (IPv4Network("10.77.0.10"),)}
    world.dataPath.channels[0].sendPacket(IPV4, b"to the caller")
    ipv4(call).sendPacket(b"to the gateway")
    world.run(0.01)
    assert packets == [b"to the caller"]
    assert session.counters.octetsReceived == len(b"to the gateway")
    ended: list[str] = []
    call.hangUp("enough").addCallback(ended.append)
    world.run(5, 0.01)
    assert ended == ["enough"]
    assert not world.gateway.lines and not world.gateway.sessions
    assert world.pool.used == 0 and len(world.callIDs) == 0
    assert world.observer.told == [
        ("started", "alice"),
        ("opened", "alice"),
        ("closed", "alice"),
        ("ended", "alice"),
    ]
    assert world.gateway.counters.sum().octetsReceived == len(b"to the gateway")


def test_theDataPathCannotCarryACall(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A call that the data path can't carry is refused, the log says why, and nothing is left of it.
    """
    open_ = world.dataPath.openChannel

    def openChannel(call: Any, owner: Any, number: int = 0) -> Any:
        # The caller's end is opened without a session's number.
        if number:
            raise Unavailable("the kernel has no PPTP")
        return open_(call, owner)

    monkeypatch.setattr(world.dataPath, "openChannel", openChannel)
    assert failureOf(world.call(world.connect()))
    assert any("the kernel has no PPTP" in line for line in world.log)
    assert not world.gateway.lines and len(world.callIDs) == 0
    (attempt,) = world.gateway.attempts
    assert "the kernel has no PPTP" in str(attempt.cause)


def test_severalCallsOnOneConnection(world: World) -> None:
    """
    Two calls on one control connection have their own addresses, and one survives the other's end.
    """
    connection = world.connect()
    first = resultOf(world.call(connection))
    second = resultOf(world.call(connection))
    assert {ipv4(first).localAddress, ipv4(second).localAddress} == {"10.77.0.10", "10.77.0.11"}
    first.hangUp()
    world.run(5, 0.01)
    assert [one.networks["ipv4"] for one in world.gateway.sessions] == [
        (IPv4Network(ipv4(second).localAddress),)
    ]


def test_connectionLost(world: World) -> None:
    """
    The loss of the TCP connection ends its calls at once.
    """
    connection = world.connect()
    resultOf(world.call(connection))
    (line,) = world.gateway.lines
    assert isinstance(line.call, Call)
    line.call.connection.connectionLost("Connection was closed cleanly.")
    assert not world.gateway.lines and world.pool.used == 0


def test_ownAddress(world: World) -> None:
    """
    A user gets the address on its line of the secrets file, or the free one of several.
    """
    connection = world.connect()
    assert ipv4(resultOf(world.call(connection, b"bob", b"builder"))).localAddress == "10.77.9.9"
    assert ipv4(resultOf(world.call(connection, b"carol", b"singer"))).localAddress == "10.99.0.1"
    assert ipv4(resultOf(world.call(connection, b"carol", b"singer"))).localAddress == "10.99.0.2"
    failed = world.call(connection, b"carol", b"singer")
    world.run(10, 0.01)
    failureOf(failed)
    assert any("10.99.0.1, 10.99.0.2 already in use" in line for line in world.log)


def test_networksOfAddresses(world: World) -> None:
    """
    A line may name a network, or all addresses but some. The gateway's own address is given to
    nobody.
    """
    connection = world.connect()
    for name, address in ((b"dave", "192.0.2.9"), (b"dave", "192.0.2.10"), (b"erin", "10.77.0.11")):
        assert ipv4(resultOf(world.call(connection, name, b"secret"))).localAddress == address
    failed = world.call(connection, b"gate", b"secret")
    world.run(10, 0.01)
    failureOf(failed)
    assert any("10.77.0.1 can't be a caller's address" in line for line in world.log)


def test_noAddressAllowed(world: World) -> None:
    """
    A user whose line permits no address is refused.
    """
    failed = world.call(world.connect(), b"nobody", b"secret")
    world.run(10, 0.01)
    failureOf(failed)
    assert any("the account allows no address" in line for line in world.log)


class SlowPool(AddressPool):
    """
    A pool that takes its time to release an address.
    """

    def __init__(self) -> None:
        super().__init__([(IPv4Address("10.77.0.10"), IPv4Address("10.77.0.12"))])
        self.releases: list[Deferred[None]] = []

    def release(self, address: str) -> Any:
        super().release(address)
        self.releases.append(Deferred())
        return self.releases[-1]


@pytest.mark.parametrize("outcome", ["done", "failed", "hung"])
def test_stopWaitsForThePool(
    world: World, outcome: str, loggedFailures: list[Failure], log: list[str]
) -> None:
    """
    A stop waits until the pool has released everything, or can't, but not for ever.
    """
    pool = SlowPool()
    (ipv4,) = world.networks.values()
    assert isinstance(ipv4, network.IPv4Sessions)
    ipv4.pool = pool
    resultOf(world.call(world.connect()))
    stopped: list[object] = []
    world.gateway.stop(5).addCallback(stopped.append)
    world.run(1)
    assert not world.gateway.lines and not stopped
    (release,) = pool.releases
    if outcome == "done":
        release.callback(None)
    elif outcome == "failed":
        release.errback(PPTPGWError("the pool is dead"))
        assert [str(one.value) for one in loggedFailures] == ["the pool is dead"]
        loggedFailures.clear()
    else:
        world.run(4.1, 0.01)
        assert any("have yet to take back 1 network protocols" in line for line in log)
    assert stopped


def test_aPoolIsToldWhoCalls(world: World) -> None:
    """
    The caller that the pool is told of has the identifier of the session to be.
    """
    told: list[tuple[str, Caller]] = []
    allocate = world.pool.allocate

    def telling(subscriber: ISubscriber, caller: Caller) -> Deferred[str]:
        told.append((subscriber.name, caller))
        return allocate(subscriber, caller)

    setattr(world.pool, "allocate", telling)
    resultOf(world.call(world.connect()))
    (session,) = world.gateway.sessions
    ((name, caller),) = told
    assert (name, caller.session, caller.port) == ("alice", session.identifier, session.number)
    assert (caller.address, caller.called) == (session.caller, session.called)


def test_poolUsedUp(world: World) -> None:
    """
    The fourth caller of a pool with three addresses is refused, and an address is given again after
    its session.
    """
    connection = world.connect()
    calls = [resultOf(world.call(connection)) for _ in range(3)]
    failed = world.call(connection)
    world.run(10, 0.01)
    failureOf(failed)
    assert any("the address pool is used up" in line for line in world.log)
    freed = ipv4(calls[1]).localAddress
    calls[1].hangUp()
    world.run(5, 0.01)
    assert ipv4(resultOf(world.call(connection))).localAddress == freed


def test_sessionFor(world: World) -> None:
    """
    A session is found by its caller's address as long as the session lasts.
    """
    connection = world.connect()
    call = resultOf(world.call(connection))
    address = ipv4(call).localAddress
    session = world.gateway.sessions.sessionFor(address)
    assert session is not None and session.user == "alice"
    assert world.gateway.sessions.sessionFor("10.77.0.99") is None
    assert world.gateway.sessions.sessionFor("fe80::1") is None
    with pytest.raises(ValueError):
        world.gateway.sessions.sessionFor("nowhere")
    with pytest.warns(DeprecationWarning, match="ISessions.sessionFor"):
        found = world.gateway.sessionFor(address)
    assert found is not None and found.identifier == session.identifier
    call.hangUp()
    world.run(5, 0.01)
    assert world.gateway.sessions.sessionFor(address) is None


def test_aNetworkThatFails(world: World, loggedFailures: list[Failure]) -> None:
    """
    A network that fails makes the gateway refuse the caller, and everything that others gave is
    given back. A network that has nothing for the caller is no hindrance.
    """

    @implementer(INetwork)
    class Network:
        def __init__(self, answer: Deferred[None]) -> None:
            self.answer = answer

        def start(self) -> None:
            raise AssertionError("started already")

        stop = start

        def makeProtocol(self, subscriber: ISubscriber, caller: Caller) -> Deferred[None]:
            return self.answer

        def release(self, protocol: object) -> None:
            raise AssertionError("nothing was made")

    connection = world.connect()
    world.networks["other"] = Network(succeed(None))
    assert ipv4(resultOf(world.call(connection))).localAddress == "10.77.0.10"
    world.networks["other"] = Network(fail(ValueError("broken network")))
    failed = world.call(connection)
    world.run(10, 0.01)
    failureOf(failed)
    assert any("broken network" in line for line in world.log)
    assert world.pool.used == 1
    assert [failure.type for failure in loggedFailures] == [ValueError]
    loggedFailures.clear()


def test_wrongPassword(world: World) -> None:
    """
    A wrong password and an unknown user fail alike and leave nothing behind.
    """
    connection = world.connect()
    causes = []
    for name, password in ((b"alice", b"wrong"), (b"mallory", b"wrong")):
        failed = world.call(connection, name, password)
        world.run(10, 0.01)
        causes.append(failureOf(failed))
    assert causes[0] == causes[1]
    assert not world.gateway.lines and world.pool.used == 0
    assert not world.observer.told


def test_refusalsAreLogged(world: World) -> None:
    """
    The log has the name, the method and the reason of a refusal. A name can neither forge a line
    nor fill the log.
    """
    connection = world.connect()
    world.call(connection, b"alice", b"wrong").addErrback(lambda failure: None)
    world.call(connection, b"a\nb\x1b\xff" + b"x" * 200, b"").addErrback(lambda failure: None)
    world.run(10, 0.01)
    refused = [line for line in world.log if "is refused" in line]
    assert refused[0].endswith(
        "] 192.0.2.7: 'alice' is refused, by mschapv2: no such user or wrong password"
    )
    assert "] 192.0.2.7: 'a\\nb\\x1b\\ufffdxx" in refused[1] and len(refused[1]) < 180


def test_linesCarryTheSession(world: World) -> None:
    """
    Every line about a call begins with the identifier of its session.
    """
    connection = world.connect()
    calling = resultOf(world.call(connection))
    (session,) = world.gateway.sessions
    session.change(replace(session.profile, sessionTimeout=60.0))
    calling.hangUp()
    world.run(1)
    mine = [line for line in world.log if "control connection" not in line]
    assert [line.startswith(f"[{session.identifier}] ") for line in mine] == [True] * 3


def test_aStormOfCalls(world: World) -> None:
    """
    The number of log lines that one caller can cause is limited, and omitted lines are counted. The
    caller makes 64 KiB of calls that begin and end, some of them refused.
    """
    placed = b"".join(
        encode(OutgoingCallRequest(callID=one)) + encode(CallClearRequest(callID=one))
        for one in range(350)
    )
    sent = StartControlConnectionRequest(
        framingCapabilities=3,
        bearerCapabilities=3,
        firmwareRevision=1,
        hostName=b"storm",
        vendorName=b"",
    )
    connection = ControlConnection(
        world.clock,
        ConnectionSettings(),
        world.callIDs,
        answering(world.gateway),
        Side.RECEIVER,
        SERVER,
        "192.0.2.66",
    )
    connection.connectionMade(MemoryTransport(world.clock))
    connection.dataReceived(encode(sent) + placed)
    connection.connectionLost("gone")
    assert len(world.log) == PER_SOURCE[1]
    world.run(INTERVAL + 1, 0.5)
    omitted = world.gateway.counters.sum().discards[LEFT_OUT]
    calls, connections = world.log[int(PER_SOURCE[1]) :]
    assert calls.startswith(f"{omitted - 1} more lines on calls without a session were left out")
    assert connections.startswith("1 more lines on control connections were left out")
    assert omitted + PER_SOURCE[1] == 352


def test_encryptionThatWasOnIsNotGoneWithout(secrets: FilePath[str], log: list[str]) -> None:
    """
    The session of a caller that negotiates LCP anew and then no CCP ends with the reason, where
    encryption is only preferred, as its channel would carry nothing.
    """
    world = World(secrets, encryption="prefer")
    call = resultOf(world.call(world.connect(), encryption="prefer"))
    (session,) = world.gateway.sessions
    assert session.encryption == "MPPE 128 bit stateless"
    world.network.lose = lambda frame: frame[0] == ppp.CCP
    call.link.lcp.lowerDown()
    call.link.lcp.lowerUp()
    world.run(50, 0.01)
    assert not world.gateway.sessions
    assert any("ended after" in line and "encryption ended: " in line for line in log)


@pytest.mark.parametrize("end", ["hang up", "negotiate anew", "wait"])
def test_onlyWhoWaitsForAVerdictIsRefused(world: World, end: str) -> None:
    """
    A caller that hangs up or negotiates LCP anew before the verdict isn't reported as refused. One
    that waits for the verdict in vain is, with the reason.
    """
    judging: list[Deferred[Any]] = []

    def authenticate(claim: object) -> Deferred[Any]:
        judging.append(Deferred())
        return judging[-1]

    world.gateway.context = replace(world.gateway.context, authenticate=authenticate)
    failed = world.call(world.connect())
    (line,) = world.gateway.lines
    assert len(judging) == 1
    if end == "hang up":
        assert isinstance(line.call, Call)
        line.call.connection.connectionLost("Connection was closed cleanly.")
    elif end == "negotiate anew":
        line.link.frameReceived(ppp.LCP, ppp.encodePacket(ppp.CONFIGURE_REQUEST, 99, b""))
    else:
        world.run(31, 0.01)
    assert judging[0].called
    reasons = ["there was no verdict in time"] if end == "wait" else []
    assert [(name, reason) for _, name, _, reason, _ in world.observer.refused] == [
        ("alice", reason) for reason in reasons
    ]
    world.gateway.stop(0)
    world.run(1, 0.01)
    failed.addErrback(lambda failure: None)


def test_interfaces(world: World) -> None:
    """
    The gateway and its lines provide their interfaces.
    """
    assert verifyObject(ICallTaker, world.gateway)
    resultOf(world.call(world.connect()))
    (line,) = world.gateway.lines
    assert verifyObject(ICallOwner, line)


def test_noGRE(world: World) -> None:
    """
    A call whose GRE packets never arrive causes a warning, and ends with that as its cause.
    """
    connection = world.connect()
    world.network.lose = lambda frame: True
    failed = world.call(connection)
    world.run(SILENCE_SECONDS + 1, 0.1)
    text = "no GRE from 192.0.2.7 since the call was set up: is protocol 47 blocked between us?"
    assert world.log[-1].endswith(f"] {text}")
    world.run(120, 0.5)
    failed.addErrback(lambda failure: None)
    assert not world.gateway.lines
    assert any("ended without a session" in line and text in line for line in world.log)


def test_stop(world: World) -> None:
    """
    C{stop} ends every call in order, within its time, and takes no new calls.
    """
    connection = world.connect()
    calls = [resultOf(world.call(connection)) for _ in range(3)]
    stopped: list[None] = []
    world.gateway.stop(5).addCallback(stopped.append)
    assert not stopped
    world.run(1, 0.01)
    assert stopped == [None]
    for call in calls:
        causes: list[str] = []
        call.ended.addCallback(causes.append)
        assert "the gateway is stopping" in causes[0]
    failed = world.call(connection)
    world.run(1, 0.01)
    assert "refused" in failureOf(failed)


def test_stopDoesNotWaitForTheDead(world: World) -> None:
    """
    A caller that is gone doesn't delay the stop beyond its limit.
    """
    resultOf(world.call(world.connect()))
    world.network.lose = lambda frame: True
    stopped: list[None] = []
    world.gateway.stop(2).addCallback(stopped.append)
    world.run(1.9, 0.1)
    assert not stopped
    world.run(0.3, 0.1)
    assert stopped == [None] and not world.gateway.lines


def test_stopWithoutCallers(world: World) -> None:
    """
    C{stop} is done at once when there are no callers.
    """
    stopped: list[None] = []
    world.gateway.stop(2).addCallback(stopped.append)
    assert stopped == [None]


def test_brokenObserver(world: World, loggedFailures: list[Failure]) -> None:
    """
    An observer's exception is logged, and harms neither the session nor other observers. What the
    observer logs has the session's identifier too.
    """
    world.gateway.sessions.removeObserver(world.observer)
    for observer in (Broken(), world.observer):
        world.gateway.sessions.addObserver(observer)
    resultOf(world.call(world.connect()))
    assert ("opened", "alice") in world.observer.told
    (session,) = world.gateway.sessions
    mine = [line for line in world.log if line.startswith(f"[{session.identifier}] ")]
    assert "about to break" in mine[0] and "session observer" in mine[1]
    assert [str(failure.value) for failure in loggedFailures] == ["broken observer"]
    loggedFailures.clear()


def test_anObserverThatIsOutOfOrder(world: World) -> None:
    """
    No call is taken while an observer has lost what it needs, even if it was added later.
    """

    @implementer(IHealth)
    class Faulty(SessionObserver):
        fault = "the disk is full"

    faulty = Faulty()
    connection = world.connect()
    world.gateway.sessions.addObserver(faulty)
    assert "refused" in failureOf(world.call(connection))
    assert any("call refused: the disk is full" in line for line in world.log)
    world.gateway.sessions.removeObserver(faulty)
    resultOf(world.call(connection))


@pytest.mark.parametrize("way", ["hang up", "cut"])
def test_anObserverThatEndsASessionAtItsStart(world: World, way: str) -> None:
    """
    A session that an observer ends at its start ends like any other: observers are told, and
    everything is given back.
    """

    class Ending(SessionObserver):
        def sessionStarted(self, session: ISession) -> None:
            if way == "hang up":
                session.hangUp("not today")
            else:
                (line,) = world.gateway.lines
                assert isinstance(line.call, Call)
                line.call.connection.connectionLost("Connection was closed cleanly.")

    world.gateway.sessions.addObserver(Ending())
    world.call(world.connect()).addErrback(lambda failure: None)
    world.run(10, 0.01)
    assert world.observer.told == [("started", "alice"), ("ended", "alice")]
    assert not world.gateway.sessions and not world.gateway.lines and world.pool.used == 0


def test_passwordsAreNotLogged(world: World) -> None:
    """
    No line of the log, and no representation, shows a password.
    """
    connection = world.connect()
    call = resultOf(world.call(connection))
    shown = [*world.log, repr(call.link.settings), repr(world.gateway.sessions)]
    assert not [line for line in shown if "sesame" in line]


def test_rechallenge(secrets: FilePath[str]) -> None:
    """
    A caller that is challenged during its session keeps its session and its address.
    """
    world = World(secrets, rechallenge=30)
    call = resultOf(world.call(world.connect()))
    world.run(70, 0.1)
    assert [session.user for session in world.gateway.sessions] == ["alice"]
    assert world.pool.used == 1
    assert ipv4(call).localAddress == "10.77.0.10"


def test_hangUpSession(world: World) -> None:
    """
    A program can end a session with a cause.
    """
    call = resultOf(world.call(world.connect()))
    (session,) = world.gateway.sessions
    session.hangUp("the operator wants it so")
    world.run(1, 0.01)
    causes: list[str] = []
    call.ended.addCallback(causes.append)
    assert "the operator wants it so" in causes[0]
