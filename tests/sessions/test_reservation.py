"""
Tests for L{pptpgw.sessions.reservation}.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from pptpgw.networks.ipv4.plugin import IPv4Section, IPv4Sessions
from pptpgw.sessions.pool import AddressPool
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.reservation import Reservation
from pptpgw.store.error import StoreError
from pptpgw.store.record import Account
from pptpgw.testing import CALLER, makeEnvironment

ACCOUNTS = [
    Account("alice", bytes(16), own='{"address": "10.0.0.1"}'),
    Account("bob", bytes(16)),
    Account("carol", bytes(16), own='{"address": "192.0.2.0/24"}'),
    Account("dave", bytes(16), own='{"address": "no address"}'),
    Account("erin", bytes(16), inherited='{"address": "10.0.0.2"}'),
]


class Accounts:
    """
    A store that has accounts, or fails.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def accounts(self) -> Deferred[list[Account]]:
        return succeed(ACCOUNTS) if self.error is None else fail(self.error)


def reserved(error: Exception | None = None) -> AddressPool:
    """
    A pool of three addresses, in which those that accounts own are reserved.
    """
    store: Any = Accounts(error)
    pool = AddressPool([(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.3"))])
    results: list[object] = []
    environment = makeEnvironment()
    network = IPv4Sessions(IPv4Section(), environment, pool)
    Reservation(Clock(), lambda: [store], [object(), network]).reserve().addCallback(results.append)
    assert results
    return pool


def given(pool: AddressPool, user: str) -> str:
    """
    The address that C{user} gets.
    """
    results: list[str] = []
    pool.allocate(Profile(user), CALLER).addCallback(results.append)
    return results[0]


def test_whatAccountsOwnIsGivenToNobodyElse(log: list[str]) -> None:
    """
    An address that an account owns is given to nobody else, whether the account or its shared
    profile names it. An account that can't be read is logged and doesn't hinder the others.
    """
    assert given(reserved(), "bob") == "10.0.0.3"
    assert [line for line in log if "dave" in line]


@pytest.mark.parametrize("error", [StoreError("it is gone")])
def test_aStoreThatFails(error: Exception, log: list[str]) -> None:
    assert given(reserved(error), "bob") == "10.0.0.1"
    assert log == ["no address is reserved for its account before that calls: it is gone"]
