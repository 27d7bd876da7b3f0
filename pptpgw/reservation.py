"""
The reservation of addresses that accounts own, before the first caller comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from pptpgw.auth.accounts import AccountsChecker
from pptpgw.auth.chain import checkersOf
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IAddressPools
from pptpgw.log import Logger
from pptpgw.session.pool import ownedOf
from pptpgw.slices import inSlices
from pptpgw.store.record import Account

_log = Logger()


def reserve(clock: IReactorTime, portal: Portal, pools: IAddressPools) -> Deferred[Any]:
    """
    Reserve in C{pools} the addresses that the accounts of every store among the checkers of
    C{portal} own. Addresses of other checkers' accounts are learned when their users call.

    @param clock: for slices, since stores may have thousands of accounts.
    @return: fires when that is done or has failed; a failure is logged.
    """
    asked = [
        checker.store.accounts().addCallbacks(
            lambda accounts: inSlices(clock, _reserve(accounts, pools)), _failed
        )
        for checker in checkersOf(portal)
        if isinstance(checker, AccountsChecker)
    ]
    return DeferredList(asked)


def _reserve(accounts: Iterable[Account], pools: IAddressPools) -> Iterator[None]:
    for account in accounts:
        yield
        try:
            networks = account.profile.addresses
        except ConfigurationError as error:
            _log.warn(
                "{user!a} has a profile that can't be read: {error}", user=account.name, error=error
            )
            continue
        if own := ownedOf(networks):
            pools.reserve(account.name, own)


def _failed(failure: Failure) -> None:
    _log.warn(
        "no address is reserved for its account before that calls: {why}",
        why=failure.getErrorMessage(),
    )
