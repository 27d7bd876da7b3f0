"""
Tests of L{pptpgw.service} that need no privileges; the rest stands in tests/integration.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.application.service import MultiService
from twisted.cred.portal import Portal
from twisted.internet.testing import MemoryReactorClock

from pptpgw.auth.realm import SubscriberRealm
from pptpgw.config import Configuration, parse
from pptpgw.error import ConfigurationError
from pptpgw.ppp import mschap
from pptpgw.service import GatewayService, linkSettings, networkFactories


def test_selfTest(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A primitive that is missing is named before anything is opened.
    """
    monkeypatch.setattr(mschap, "selfTest", lambda: ("MD4", "DES"))
    gateway = GatewayService(MemoryReactorClock(), Configuration(), Portal(SubscriberRealm(), []))
    with pytest.raises(ConfigurationError, match="lacks MD4, DES"):
        gateway.privilegedStartService()


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


def test_linkSettings() -> None:
    """
    Every key of the section reaches the link.
    """
    settings = linkSettings(
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
        )
    )
    assert [method.name for method in settings.methods] == ["mschapv2", "pap"]
    assert (settings.name, settings.rechallenge) == (b"here", 60)
    assert (settings.encryption, settings.bits, settings.stateful) == ("prefer", (128, 40), True)
    assert (settings.mru, settings.setupTimeout) == (1300, 20)
    assert (settings.echoInterval, settings.echoFailures) == (7, 5)


def test_networkFactories() -> None:
    """
    Declared protocols are served besides those named; one that is named and declared, as declared.
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
    factories = networkFactories(configuration)
    assert list(factories) == ["ipv4", "appletalk", "xns", "controller", "vines"]
    assert factories["appletalk"].description == "as declared"
    service = GatewayService(MemoryReactorClock(), configuration, Portal(SubscriberRealm(), []))
    assert list(service.networks) == list(factories)


def test_aDeclarationCalledAsAPlugin() -> None:
    """
    A declaration can't take the name of a network protocol that is programmed.
    """
    configuration = parse(
        '[[network.generic]]\nname = "ipv4"\ncontrol = 0x80c3\ndata = 0x00c3', "test"
    )
    with pytest.raises(ConfigurationError) as caught:
        networkFactories(configuration)
    assert str(caught.value) == (
        '[[network.generic]] name = "ipv4": must not be that of a network protocol that is '
        "installed"
    )
