"""
Addresses that accounts own: told to the address pools before the first caller comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from pptpgw.auth.accounts import AccountsChecker
from pptpgw.auth.chain import checkersOf
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IAddressPools
from pptpgw.log import Logger
from pptpgw.session.pool import ownedOf
from pptpgw.store.record import Account

_log = Logger()


def reserve(portal: Portal, pools: IAddressPools) -> Deferred[Any]:
    """
    Reserve in C{pools} what the accounts of every store among the checkers of C{portal} own; those
    of other checkers are learned as their users call.

    @return: fires when that is done, or couldn't be, which is logged.
    """
    asked = [
        checker.store.accounts().addCallbacks(_reserve, _failed, callbackArgs=(pools,))
        for checker in checkersOf(portal)
        if isinstance(checker, AccountsChecker)
    ]
    return DeferredList(asked)


def _reserve(accounts: Iterable[Account], pools: IAddressPools) -> None:
    for account in accounts:
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
