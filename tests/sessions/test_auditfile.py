"""
Tests for L{pptpgw.sessions.auditfile}, and for the observers that keep records.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from pptpgw.auth.checkers import AccountsChecker
from pptpgw.build import GatewayParts, build
from pptpgw.config.configuration import parse
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import ISessionObserver
from pptpgw.ports.hooks import Hooks
from pptpgw.sessions.audit import Audit
from pptpgw.sessions.ledger import Ledger
from pptpgw.store.store import Store
from pptpgw.timing.lifecycle import Stages

NAMES = ("the audit's file", "reports of ended sessions")


def built(text: str = "", *checkers: ICredentialsChecker) -> GatewayParts:
    """
    The parts of a gateway with this configuration.
    """
    return build(MemoryReactorClock(), parse(text, "test"), checkers)


def kinds(found: GatewayParts) -> list[type[ISessionObserver]]:
    """
    The classes of the observers that keep records.
    """
    observers = found.gateway.sessions.observers
    return [type(one) for one in observers if isinstance(one, Audit | Ledger | Hooks)]


def services(found: GatewayParts) -> Stages:
    """
    The services of the records alone.
    """
    stages = Stages(MemoryReactorClock())
    for service in found.services:
        if service.name in NAMES:
            service.setServiceParent(stages)
    return stages


def test_byDefaultNothingIsKept() -> None:
    found = built()
    assert kinds(found) == []
    stages = services(found)
    stages.privilegedStartService()
    stages.stopService()


def test_whatTheConfigurationNames(tmp_path: Path) -> None:
    found = built(
        f"""
        [audit]
        file = "{tmp_path}/audit"
        store = "sqlite:{tmp_path}/sessions.sqlite"
        [hooks]
        ip-down = "/bin/true"
        """
    )
    assert kinds(found) == [Audit, Ledger, Hooks]
    stages = services(found)
    stages.privilegedStartService()
    assert (tmp_path / "audit").exists()
    stages.stopService()


def test_theStoreOfTheAccountsKeepsSessionsToo(tmp_path: Path) -> None:
    reactor = MemoryReactorClock()
    store = Store(reactor, f"sqlite:{tmp_path}/accounts.sqlite", "", create=True)
    checker = AccountsChecker(lambda settings: store)
    assert kinds(built("", checker)) == [Ledger]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[audit]\nfile = "/nonexistent/audit"', "/nonexistent/audit: No such file"),
        ('[hooks]\nip-up = "/nonexistent/ip-up"', r"\[hooks\] ip-up: /nonexistent/ip-up: No such"),
        ('[hooks]\nauth-down = "/etc/passwd"', r"\[hooks\] auth-down: .*can't be executed"),
    ],
)
def test_whatCannotBeUsedIsAnErrorAtTheStart(
    text: str, why: str, loggedFailures: list[Failure]
) -> None:
    found = built(text)
    with pytest.raises(ConfigurationError, match=why):
        services(found).privilegedStartService()
    assert [fault for one in found.preparable for fault in one.lacking()] != []
    assert not loggedFailures
