"""
Tests for L{pptpgw.management.health}.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from pptpgw.management.api import assertRole
from pptpgw.management.health import (
    KEPT,
    STORE_SECONDS,
    HealthPage,
    Readiness,
    ReadinessPage,
)
from pptpgw.management.operation import Operations, OperatorRole
from pptpgw.store.error import StoreError
from tests.management.asking import REMOTE, Answer, Asking
from tests.management.managed import Managed


class Store:
    """
    A store that answers as the test wants.
    """

    def __init__(self) -> None:
        self.answer: Deferred[Any] | None = None
        self.error: StoreError | None = None
        self.asked = 0

    def attempts(self, kind: str, subject: str) -> Deferred[Any]:
        self.asked += 1
        if self.error is not None:
            return fail(self.error)
        return succeed(None) if self.answer is None else self.answer


class Servers:
    """
    RADIUS servers of which one or none lives.
    """

    lives = True

    def reaches(self, service: object) -> bool:
        return self.lives


class Tunnel:
    """
    A tunnel that listens.
    """

    places: tuple[str, ...] = ("192.0.2.1:1723",)


class Fixture:
    """
    A gateway and its pages.
    """

    def __init__(self) -> None:
        self.world = Managed()
        self.store, self.servers, self.tunnel = Store(), Servers(), Tunnel()
        self.world.stores = (self.store,)
        self.world.radius = self.servers
        self.world.tunnels["pptp"] = self.tunnel
        readiness = Readiness(self.world.clock, self.world)
        pages = {b"healthz": HealthPage(), b"readyz": ReadinessPage(readiness, self._assertViewer)}
        self.asking = Asking(Operations(()), pages)

    async def _assertViewer(self, request: Any) -> None:
        assertRole(await self.asking.operating.access.operatorOf(request), OperatorRole.VIEWER)

    def ready(self, **options: Any) -> Answer:
        """
        Ask whether the gateway serves, when nothing is remembered any more.
        """
        self.world.run(KEPT)
        return self.asking.raw("GET", "/readyz", **options)


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


def test_alive(gateway: Fixture) -> None:
    """
    A gateway that doesn't serve lives, and tells everybody.
    """
    gateway.world.drain()
    gateway.world.started = None
    answer = gateway.asking.raw("GET", "/healthz", host=REMOTE)
    assert (answer.status, answer.json) == (200, {"state": "alive"})
    assert gateway.asking.raw("HEAD", "/healthz").octets == b""
    assert gateway.asking.raw("POST", "/healthz").status == 405


def test_ready(gateway: Fixture) -> None:
    """
    A gateway that serves says so to everybody.
    """
    for host in ({}, {"host": REMOTE}):
        answer = gateway.ready(**host)
        assert (answer.status, answer.json) == (200, {"state": "ready"})
    assert gateway.asking.raw("DELETE", "/readyz").status == 405


def drained(gateway: Fixture) -> None:
    gateway.world.drain()


def stopped(gateway: Fixture) -> None:
    gateway.world.started = None


def deaf(gateway: Fixture) -> None:
    gateway.tunnel.places = ()


def faulty(gateway: Fixture) -> None:
    fault: Any = type("", (), {"fault": "the TUN is gone"})()
    gateway.world.gateway.health.append(fault)


def withoutServer(gateway: Fixture) -> None:
    gateway.servers.lives = False


def withoutStore(gateway: Fixture) -> None:
    gateway.store.error = StoreError("the disk is gone")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (drained, "the gateway is drained"),
        (stopped, "the gateway doesn't run"),
        (deaf, "pptp listens nowhere"),
        (faulty, "the TUN is gone"),
        (withoutServer, "no RADIUS server answers"),
        (withoutStore, "the store doesn't answer: the disk is gone"),
    ],
)
def test_notReady(gateway: Fixture, harm: Any, reason: str) -> None:
    """
    Why a gateway doesn't serve is said to those who may see its state, and to nobody else.
    """
    harm(gateway)
    answer = gateway.ready()
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["reasons"] == [reason] and answer.json["detail"] == reason
    answer = gateway.asking.raw("GET", "/readyz", host=REMOTE)
    assert answer.status == 503 and answer.json["reasons"] == []
    assert reason not in answer.octets.decode()


def test_theStoreIsAskedSeldom(gateway: Fixture) -> None:
    """
    Whether the store answers is remembered for some seconds.
    """
    for _ in range(3):
        gateway.asking.raw("GET", "/readyz")
    assert gateway.store.asked == 1
    gateway.ready()
    assert gateway.store.asked == 2


def test_aStoreThatNeverAnswers(gateway: Fixture) -> None:
    """
    Those who ask while the store is silent share one question, which has a limit in time.
    """
    gateway.store.answer = Deferred()
    readiness = Readiness(gateway.world.clock, gateway.world)
    told: list[list[str]] = []
    for _ in range(3):
        readiness.reasons().addCallback(told.append)
    gateway.world.run(STORE_SECONDS - 0.1)
    assert not told and gateway.store.asked == 1
    gateway.world.run(0.2)
    assert len(told) == 3 and all("the store doesn't answer" in one for (one,) in told)
    assert not gateway.world.clock.getDelayedCalls()
