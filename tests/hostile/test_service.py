"""
Tests for parts that can't be started or stopped: a third party's networks, and our own parts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw import build
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.config.configuration import Configuration, parse
from pptpgw.counting.counters import Counters
from pptpgw.gateway import Gateway
from pptpgw.interfaces import Caller, IDataPath, INetwork, ISubscriber
from pptpgw.log import PER_SOURCE
from pptpgw.ports.clockwatch import ClockWatch
from pptpgw.ports.hooks import Hooks
from pptpgw.ports.linefile import QueuedLines
from pptpgw.ports.nftables import Masquerade
from pptpgw.ports.shaper import Shaper
from pptpgw.radius.accounting import Accounting
from pptpgw.radius.client import RADIUSClient
from pptpgw.service import GatewayService
from pptpgw.sessions.ledger import Ledger
from pptpgw.sessions.refusal import Refusals
from pptpgw.timing.lifecycle import STOP_SECONDS
from pptpgw.tunnels.pptp.tunnel import GREPorts, PPTPTunnel
from pptpgw.tunnels.pptp.wire.message import StartControlConnectionRequest, encode
from tests.hostile.world import checker
from tests.tunnels.pptp.port.test_control import TCP


class Fault(Exception):
    """
    The exception that the networks here raise.
    """


@implementer(INetwork)
class FaultyNetwork:
    """
    A network that raises where it is told to.

    @ivar stops: how often it was stopped.
    """

    def __init__(self, at: str = "") -> None:
        self.at = at
        self.stops = 0

    def start(self) -> None:
        if self.at == "start":
            raise Fault

    def stop(self) -> None:
        self.stops += 1
        if self.at == "stop":
            raise Fault

    def makeProtocol(self, subscriber: ISubscriber, caller: Caller) -> Deferred[Any]:
        return succeed(None)

    def release(self, protocol: object) -> None: ...


@implementer(IDataPath)
class NoDataPath:
    """
    A data path that opens nothing.
    """

    counters = Counters()
    interface = None
    path = "nowhere"

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def openChannel(self, call: object, owner: object, number: int = 0) -> Any:
        raise Fault("nobody calls")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """
    Make gateways with other networks, and without a data path and GRE.
    """

    def use(**networks: FaultyNetwork) -> None:
        monkeypatch.setattr(build, "makeNetworks", lambda *arguments: networks)
        monkeypatch.setattr(build, "makeDataPath", lambda *arguments: NoDataPath())
        monkeypatch.setattr(GREPorts, "start", lambda self: None)

    return use


@pytest.mark.parametrize("at", ("start", "stop"))
def test_aNetworkThatDoesNotStartOrStop(
    at: str, faulty: Callable[..., None], loggedFailures: list[Failure]
) -> None:
    """
    Everything that was started is stopped, including the part that failed.
    """
    first, bad, last = FaultyNetwork(), FaultyNetwork(at), FaultyNetwork()
    faulty(first=first, faulty=bad, last=last)
    portal = Portal(SubscriberRealm(), [checker()])
    service = GatewayService(MemoryReactorClock(), Configuration(), portal)
    if at == "start":
        with pytest.raises(Fault):
            service.privilegedStartService()
        assert not loggedFailures
    else:
        service.privilegedStartService()
        service.stopService()
        (failure,) = loggedFailures
        assert failure.check(Fault)
        loggedFailures.clear()
    assert [one.stops for one in (first, bad, last)] == [1, 1, int(at == "stop")]
    service.stopService()
    assert first.stops == 1


PARTS: tuple[tuple[type, str], ...] = (
    (PPTPTunnel, "stopListening"),
    (Gateway, "stop"),
    (PPTPTunnel, "stop"),
    (Masquerade, "stop"),
    (Hooks, "stop"),
    (Ledger, "stop"),
    (Accounting, "stop"),
    (Refusals, "stop"),
    (Shaper, "stop"),
    (FaultyNetwork, "stop"),
    (QueuedLines, "close"),
    (Accounting, "close"),
    (RADIUSClient, "stop"),
    (NoDataPath, "stop"),
    (ClockWatch, "stop"),
)
"""
The parts in the order in which they are stopped, each with the method that stops it.
"""

TOGETHER = 4
"""
How many of the parts (masquerading and those that report the ends of sessions) are stopped at the
same time.
"""


def everything(
    folder: Path, faulty: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> tuple[MemoryReactorClock, GatewayService]:
    """
    A running gateway with each of L{PARTS}.
    """
    configuration = parse(
        f"""
        [audit]
        file = "{folder}/audit"
        store = "sqlite:{folder}/sessions.sqlite"
        [hooks]
        ip-up = "/bin/true"
        [network]
        masquerade = true
        [[radius.server]]
        host = "192.0.2.1"
        secret = "a secret of the tests"
        """,
        "x.toml",
    )
    for kind in (Masquerade, Ledger, Accounting):
        monkeypatch.setattr(kind, "start", lambda self: succeed(None))
    faulty(ipv4=FaultyNetwork())
    reactor = MemoryReactorClock()
    service = GatewayService(reactor, configuration, Portal(SubscriberRealm(), [checker()]))
    service.privilegedStartService()
    service.startService()
    return reactor, service


def spoil(monkeypatch: pytest.MonkeyPatch, stop: Callable[[], object]) -> list[str]:
    """
    Let every part stop by C{stop}.

    @return: the parts that were called.
    """
    called: list[str] = []

    def stopOf(name: str) -> Callable[..., object]:
        def spoiled(*arguments: object) -> object:
            called.append(name)
            return stop()

        return spoiled

    for kind, name in PARTS:
        monkeypatch.setattr(kind, name, stopOf(f"{kind.__name__}.{name}"))
    return called


def raises() -> object:
    raise Fault


def test_everyPartIsStopped(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    faulty: Callable[..., None],
    loggedFailures: list[Failure],
) -> None:
    """
    Every part is stopped, whatever the others do, and each error is logged once.
    """
    called = spoil(monkeypatch, raises)
    _, service = everything(tmp_path, faulty, monkeypatch)
    ended: list[object] = []
    service.stopService().addCallback(ended.append)
    assert called == [f"{kind.__name__}.{name}" for kind, name in PARTS]
    assert ended == [None]
    assert [failure.type for failure in loggedFailures] == [Fault] * len(PARTS)
    loggedFailures.clear()


def test_partsThatHang(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, faulty: Callable[..., None], log: list[str]
) -> None:
    """
    A part that hangs is given up after its time and its Deferred cancelled, and the stop ends.
    """
    cancelled: list[object] = []
    called = spoil(monkeypatch, lambda: Deferred(cancelled.append))
    reactor, service = everything(tmp_path, faulty, monkeypatch)
    ended: list[object] = []
    service.stopService().addCallback(ended.append)
    seconds = 0
    while not ended:
        reactor.advance(1)
        seconds += 1
    assert called == [f"{kind.__name__}.{name}" for kind, name in PARTS]
    assert len(cancelled) == len(PARTS)
    # The calls' drain-timeout is 5 s and the scripts' deadline 10 s.
    alone = len(PARTS) - TOGETHER
    assert seconds == 5 + 10 + (alone + 1) * STOP_SECONDS
    assert len([line for line in log if "did not stop in" in line]) == len(PARTS)


@pytest.mark.parametrize("privileged", (False, True))
def test_theSameServiceAgain(
    privileged: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, faulty: Callable[..., None]
) -> None:
    """
    A service that was stopped starts again, and stops again.
    """
    called = spoil(monkeypatch, lambda: None)
    reactor, service = everything(tmp_path, faulty, monkeypatch)
    for runs in (1, 2):
        assert len(reactor.tcpServers) == runs
        assert service.running
        service.stopService()
        assert called == [f"{kind.__name__}.{name}" for kind, name in PARTS] * runs
        if privileged:
            service.privilegedStartService()
        service.startService()


def test_whatWasLeftOutOfTheLogIsSaidAtTheEnd(
    monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    """
    The summary of omitted log lines includes those of the end itself, and no timer is left.
    """
    reactor = MemoryReactorClock()
    portal = Portal(SubscriberRealm(), [checker()])
    monkeypatch.setattr(build, "makeDataPath", lambda *arguments: NoDataPath())
    service = GatewayService(reactor, parse('[network]\nprotocols = ["ipx"]', "x.toml"), portal)
    service.startService()
    factory: Any = reactor.tcpServers[0][1]
    transport: Any = TCP
    number = round(PER_SOURCE[1]) + 5
    protocols = [factory.buildProtocol(IPv4Address("TCP", "192.0.2.7", 9)) for _ in range(number)]
    for protocol in protocols:
        protocol.makeConnection(transport(peerAddress=IPv4Address("TCP", "192.0.2.7", 9)))
        protocol.dataReceived(encode(StartControlConnectionRequest()))
    ended: list[object] = []
    service.stopService().addCallback(ended.append)
    for protocol in protocols:
        protocol.connectionLost()
    reactor.advance(1)
    assert ended == [None]
    (line,) = [line for line in log if "were left out" in line]
    assert f"{2 * number - PER_SOURCE[1]:.0f} more lines on control connections" in line
    assert reactor.getDelayedCalls() == []
