"""
Tests of L{pptpgw.records}.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.cred.portal import Portal
from twisted.internet.testing import MemoryReactorClock

from pptpgw.auth.accounts import AccountsChecker
from pptpgw.auth.chain import CheckerChain
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.config import parse
from pptpgw.error import ConfigurationError
from pptpgw.ports.hooks import Hooks
from pptpgw.records import Records
from pptpgw.session.audit import Audit
from pptpgw.session.ledger import Ledger
from pptpgw.store.store import Store


def records(text: str = "", portal: Portal | None = None) -> Records:
    """
    Those of a configuration.
    """
    return Records(
        MemoryReactorClock(), parse(text, "test"), portal or Portal(SubscriberRealm(), [])
    )


def kinds(found: Records) -> list[type]:
    return [type(one) for one in found.observers]


def test_byDefaultNothingIsKept(tmp_path: Path) -> None:
    found = records()
    assert kinds(found) == []
    found.open()
    found.start()
    assert found.stop().called
    found.close()


def test_whatTheConfigurationNames(tmp_path: Path) -> None:
    found = records(
        f"""
        [audit]
        file = "{tmp_path}/audit"
        store = "sqlite:{tmp_path}/sessions.sqlite"
        [hooks]
        ip-down = "/bin/true"
        """
    )
    assert kinds(found) == [Audit, Ledger, Hooks]
    found.open()
    assert (tmp_path / "audit").exists()
    found.close()


def test_theStoreOfTheAccountsKeepsSessionsToo(tmp_path: Path) -> None:
    reactor = MemoryReactorClock()
    store = Store(reactor, f"sqlite:{tmp_path}/accounts.sqlite", "", create=True)
    checker = AccountsChecker(lambda settings: store)
    portal = Portal(SubscriberRealm(), [CheckerChain([checker])])
    assert kinds(records("", portal)) == [Ledger]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[audit]\nfile = "/nonexistent/audit"', "/nonexistent/audit: No such file"),
        ('[hooks]\nip-up = "/nonexistent/ip-up"', r"\[hooks\] ip-up: /nonexistent/ip-up: No such"),
        ('[hooks]\nauth-down = "/etc/passwd"', r"\[hooks\] auth-down: .*can't be executed"),
    ],
)
def test_whatCannotBeUsedIsAnErrorAtTheStart(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        records(text).open()
