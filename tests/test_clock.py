"""
Tests of L{pptpgw.clock}; tests/lab/test_clock.py sets the machine's clock under a gateway.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet import reactor as installed
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.task import Clock

from pptpgw.auth.realm import SubscriberRealm
from pptpgw.clock import steady
from pptpgw.config import Configuration
from pptpgw.service import GatewayService

reactor: Any = installed


def test_aReactor() -> None:
    """
    It is the reactor in all but its clock.
    """
    made = steady(reactor)
    assert made.seconds is monotonic
    assert made.callLater == reactor.callLater
    assert made.listenTCP == reactor.listenTCP
    assert IReactorTime.providedBy(made) and IReactorTCP.providedBy(made)
    assert steady(made) is made


def test_aClockOfItsOwn() -> None:
    """
    What isn't the time of day is left alone, as the clocks of tests.
    """
    clock = Clock()
    assert steady(clock) is clock


def test_theGateway() -> None:
    """
    All of the gateway has the steady clock.
    """
    service = GatewayService(reactor, Configuration(), Portal(SubscriberRealm(), []))
    assert service.gateway.clock.seconds is monotonic
